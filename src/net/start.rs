//! How streams are opened and servers started.
