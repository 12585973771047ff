//! What the tests of sockets, streams and many connections share.

pub(crate) mod clients;
pub(crate) mod many;
pub(crate) mod memory;
pub(crate) mod sockets;
pub(crate) mod streams;
