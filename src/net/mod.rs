//! Sockets, streams and servers.
//!
//! The sockets ([`TcpListener`], [`TcpStream`] and the others) are asyncio's `loop.sock_recv` and its family: each operation
//! is a future. The streams ([`open_connection`], [`StreamReader`], [`StreamWriter`]) and servers ([`start_server`]) are
//! asyncio's. Both work on real sockets and on those in [`memory`], which make a program with servers deterministic.
//!
//! They guarantee asyncio's turns: a ready socket only queues a callback, and only that callback wakes a task. So an
//! operation that had to wait continues one turn after the turn of the event. An operation that is cancelled or dropped
//! takes no bytes from the kernel. The sockets do not buffer, and nothing here handles protocols.
//!
//! A write to a lost connection is an error and raises no SIGPIPE, whatever the program has set. The exceptions are the
//! vectored writes of the feature `futures-io` and pipes, if the program has reset SIGPIPE, which Rust's runtime ignores.
//!
//! Read `async_fd` first, then `socket`, `transport` and `server`.

/// Implements `From` for each of several types.
macro_rules! conversions {
    ($target:ident: $($value:tt: $from:ty => $result:expr;)*) => {$(
        impl From<$from> for $target {
            fn from($value: $from) -> Self {
                $result
            }
        }
    )*};
}

mod address;
mod async_fd;
mod buffer;
mod connect;
mod establish;
#[cfg(feature = "futures-io")]
mod futures_io;
mod listening;
pub mod memory;
mod open_connection;
mod pipe;
mod separators;
mod server;
mod socket;
mod socket_methods;
mod start_server;
mod stream_reader;
mod stream_writer;
mod tcp;
mod transport;
mod udp;
mod unix;
mod unsent;

pub use address::{Address, Endpoint, Hosts};
pub use listening::ServerSocket;
pub use open_connection::{
    OpenConnection, Opening, open_connection, open_connection_on, open_unix_connection,
};
#[cfg(feature = "process")]
pub(crate) use pipe::{FeedTime, ReadPipe, write_pipe};
pub use pipe::{connect_read_pipe, connect_write_pipe, stdin};
pub use separators::Separators;
pub use server::Server;
pub use socket::{AnyListener, AnyStream};
pub use start_server::{
    StartServer, Starting, start_server, start_server_on, start_server_with, start_unix_server,
};
pub use stream_reader::StreamReader;
pub use stream_writer::StreamWriter;
pub use tcp::{TcpListener, TcpStream};
pub use transport::Transport;
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
