//! `Server`: listening sockets and the connections that came through them.
