//! The transport: a socket, what is still to be written, and the callbacks of the loop.
