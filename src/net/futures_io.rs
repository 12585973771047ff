//! `AsyncRead` and `AsyncWrite` for the sockets, so that protocol crates run on them: hyper through smol-hyper, and
//! whatever takes a `futures-io` stream. (Rejected: an HTTP or TLS layer of our own.)
//!
//! It promises what the sockets promise: one attempt in the poll that returns its result, and readiness that wakes through
//! an entry of the ready queue. Any waker will do, the task's own or another (`join!`, `FuturesUnordered`).
//!
//! A cancellation is delivered here as at any await of looplab's: the read or write on which the task waits fails with an
//! [`io::Error`] that holds [`Error::Cancelled`](crate::Error::Cancelled). The foreign code on the way sees an I/O error,
//! and gives up or not, as it likes; [`Error::from`](crate::Error) and [`Error::other`](crate::Error::other) make the
//! cancellation of it again, so that `?` passes it on. (hyper takes an error between two requests for the connection's
//! quiet end: its task then ends, and not as cancelled. Where that matters there is [`cancellable`](crate::cancellable),
//! with which the foreign future is dropped.) A request that comes while the foreign code waits for nothing of
//! looplab's is kept for its next await, as everywhere.
//!
//! A poll that is pending has the right to wait for its direction until such a poll has returned: nobody can tell that it
//! was given up. So a socket that is read through `AsyncRead` is not read in other ways beside it.

use super::readiness::{Attempt, Drained, Io, READ, Stream, WRITE, What, emptied, read, write};
use super::ready_wait::Readiness;
use super::{TcpStream, UnixStream};
use crate::error::Error;
use crate::trace::Direction;
use futures_io::{AsyncRead, AsyncWrite};
use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Where a stream's polls wait: an operation that is polled has no future of its own to keep that in. Made when it is
/// first needed, for most sockets are never polled so.
#[derive(Default)]
pub(crate) struct Polls {
    read: Cell<Option<Box<Readiness>>>,
    write: Cell<Option<Box<Readiness>>>,
}

impl Polls {
    fn side(&self, direction: Direction) -> &Cell<Option<Box<Readiness>>> {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }
}

impl<S: AsRawFd> Io<S> {
    fn poll_io(
        &self,
        cx: &mut Context<'_>,
        what: &'static What,
        attempt: &mut dyn FnMut(&S) -> Attempt<usize>,
        at_once: bool,
    ) -> Poll<io::Result<usize>> {
        let side = self.polls.side(what.direction);
        // Out of its cell while it is polled, for a waker is another's code.
        let mut readiness = side.take().unwrap_or_default();
        let polled = self.poll(cx, (what, self.place()), &mut readiness, attempt, at_once);
        side.set(Some(readiness));
        polled.map_err(into_io)
    }
}

/// The error of an operation, as code that knows no looplab can take it.
fn into_io(error: Error) -> io::Error {
    match &error {
        Error::Io(io) => match (io.raw_os_error(), io.get_ref()) {
            (Some(number), _) => io::Error::from_raw_os_error(number),
            (None, None) => io.kind().into(),
            (None, Some(_)) => io::Error::new(io.kind(), error),
        },
        _ => io::Error::other(error),
    }
}

fn read_vectored<S: Stream>(mut socket: &S, bufs: &mut [IoSliceMut<'_>]) -> Attempt<usize>
where
    for<'s> &'s S: io::Read,
{
    let room = bufs.iter().map(|buf| buf.len()).sum();
    let n = io::Read::read_vectored(&mut socket, bufs)?;
    Ok((n, emptied::<S>(n, room)))
}

fn write_vectored(mut socket: impl io::Write, bufs: &[IoSlice<'_>]) -> Attempt<usize> {
    let given: usize = bufs.iter().map(|buf| buf.len()).sum();
    let n = socket.write_vectored(bufs)?;
    Ok((n, if n < given { Drained::Yes } else { Drained::Unknown }))
}

macro_rules! futures_io {
    ($($by:ty)*) => {$(
        impl AsyncRead for $by {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let at_once = buf.is_empty();
                self.io().poll_io(cx, &READ, &mut |socket| read(socket, buf), at_once)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let at_once = bufs.iter().all(|buf| buf.is_empty());
                self.io().poll_io(cx, &READ, &mut |socket| read_vectored(socket, bufs), at_once)
            }
        }

        impl AsyncWrite for $by {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
                self.io().poll_io(cx, &WRITE, &mut |socket| write(socket, data), data.is_empty())
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let at_once = bufs.iter().all(|buf| buf.is_empty());
                self.io().poll_io(cx, &WRITE, &mut |socket| write_vectored(socket, bufs), at_once)
            }

            /// Nothing is buffered.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends the writing direction: the other side reads the end of the stream.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.io().socket().shutdown(Shutdown::Write))
            }
        }
    )*};
}

futures_io!(TcpStream &TcpStream UnixStream &UnixStream);
