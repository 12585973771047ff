//! Sockets, streams and servers.
//!
//! Two floors. Below are the sockets: [`TcpListener`], [`TcpStream`] and their like, whose every operation is a future
//! that makes its attempt when it is polled and waits for the descriptor otherwise (`loop.sock_recv` and its family in
//! asyncio). Above are asyncio's streams and servers.
//!
//! It promises asyncio's turns: readiness only queues a callback, and only that callback wakes a task, so an operation
//! that had to wait goes on one turn after the turn of its readiness. It promises that bytes are taken from the kernel
//! only in the very poll that returns them: whoever cancels or drops a waiting operation loses nothing. It does not
//! buffer (the streams do) and it knows no protocol.
//!
//! A write to a connection that is lost is an error and raises no SIGPIPE, whatever the program has made of that signal.
//! Only the vectored writes of the feature `futures-io` do, where it is not ignored (Rust's runtime ignores it).
//!
//! Read `readiness` first: how a socket waits. Then `tcp`, and `connect` for names and addresses.

mod connect;
#[cfg(feature = "futures-io")]
mod futures_io;
mod readiness;
mod ready_wait;
mod resolve;
mod server;
mod start;
mod stream_reader;
mod stream_writer;
mod tcp;
mod transport;
mod udp;
mod unix;

pub use server::{Server, ServerSocket};
pub use start::{
    Hosts, OpenConnection, Opening, StartServer, Starting, open_connection, open_unix_connection,
    start_server, start_server_with, start_unix_server,
};
pub use stream_reader::{Separators, StreamReader};
pub use stream_writer::StreamWriter;
pub use transport::{Endpoint, Transport};

pub use resolve::Address;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
