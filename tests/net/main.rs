//! Sockets, streams and servers.

mod futures_io;
mod helpers;
mod many;
mod many_hundreds;
mod server;
mod server_addresses;
mod server_resources;
mod sockets;
mod streams;
mod streams_property;
mod system;
mod transport;
mod udp;
mod unix;
mod waiting;
