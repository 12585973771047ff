//! `AsyncRead` and `AsyncWrite` for the sockets, so that protocol crates run on them: hyper through smol-hyper, and any
//! crate that takes a `futures-io` stream. Alternative: an HTTP or TLS layer of looplab. Problem: it would be another crate.
//!
//! It guarantees what the sockets guarantee, with any waker: the task's own or one of a `join!` or `FuturesUnordered`.
//!
//! A cancellation makes the pending read or write fail with an [`io::Error`] that holds
//! [`Error::Cancelled`](crate::Error::Cancelled). [`Error::from`](crate::Error) and [`Error::other`](crate::Error::other)
//! convert it back, so `?` passes it on. The protocol crate may ignore it: hyper takes an error between two requests for the
//! end of the connection. [`cancellable`](crate::cancellable) drops the foreign future instead.
//!
//! It does not handle a pending poll that is given up: its direction stays taken until such a poll returns.

use super::async_fd::{READ, WRITE};
use super::memory::MemoryStream;
use super::{TcpStream, UnixStream};
use crate::error::Error;
use futures_io::{AsyncRead, AsyncWrite};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Converts an operation's error for code that does not know looplab.
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

macro_rules! futures_io {
    ($($stream:ty)*) => {$(
        impl AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_kept(cx, &READ, buf.len(), |mut socket| socket.read(buf)).map_err(into_io)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let room = bufs.iter().map(|buf| buf.len()).sum();
                self.0.poll_kept(cx, &READ, room, |mut socket| socket.read_vectored(bufs)).map_err(into_io)
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
                self.0.poll_kept(cx, &WRITE, data.len(), |mut socket| socket.write(data)).map_err(into_io)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let len = bufs.iter().map(|buf| buf.len()).sum();
                self.0.poll_kept(cx, &WRITE, len, |mut socket| socket.write_vectored(bufs)).map_err(into_io)
            }

            /// Does nothing, because nothing is buffered.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends the writing direction: the other side reads the end of the stream.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.0.socket().shutdown(Shutdown::Write))
            }
        }
    )*};
}

futures_io!(TcpStream &TcpStream UnixStream &UnixStream MemoryStream &MemoryStream);
