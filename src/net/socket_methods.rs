//! The methods that several kinds of sockets share.

/// Implements the methods of a connection, which transfers a stream of bytes.
macro_rules! byte_stream {
    ($stream:ident) => {
        impl $stream {
            /// Reads up to the length of the buffer; waits while there are no bytes (`loop.sock_recv_into`). Returns zero at
            /// the end of the stream. A read that is cancelled or dropped takes no bytes.
            ///
            /// A read right after one that has drained the socket waits without another system call.
            ///
            /// Fails with [`Error::Cancelled`](crate::Error::Cancelled), and with [`Error::Io`](crate::Error::Io) from the
            /// system. Fails with [`Error::Runtime`](crate::Error::Runtime) while another read waits, and with
            /// [`Error::Closed`](crate::Error::Closed) on a closed loop. There is an example at
            /// [`shutdown`](Self::shutdown).
            #[doc(alias("loop.sock_recv_into", "sock_recv_into"))]
            #[track_caller]
            pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
                let (len, place) = (buf.len(), Location::caller());
                self.0.transfer(&$crate::net::async_fd::READ, place, len, move |mut socket| {
                    std::io::Read::read(&mut socket, buf)
                })
            }

            /// Writes as many bytes as there is room for; waits while there is none (`sock.send`). Returns their number.
            /// Fails as [`read`](Self::read) does.
            ///
            /// ```
            /// use looplab::{EventLoop, net::UnixStream};
            /// EventLoop::new()?.run_until_complete(async {
            ///     let (ours, _theirs) = UnixStream::pair()?;
            ///     let all = vec![0; 10_000_000];
            ///     let taken = ours.write(&all).await?;
            ///     assert!(0 < taken && taken < all.len());           // the rest has no room now
            ///     Ok(())
            /// })?;
            /// # Ok::<(), looplab::Error>(())
            /// ```
            #[track_caller]
            pub fn write<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<usize>> + use<'a> {
                let (len, place) = (data.len(), Location::caller());
                self.0.transfer(&$crate::net::async_fd::WRITE, place, len, move |mut socket| {
                    std::io::Write::write(&mut socket, data)
                })
            }

            /// Writes all bytes (`loop.sock_sendall`). Fails as [`read`](Self::read) does; an unknown part of the bytes is
            /// sent then, also after a cancellation. There is an example at [`shutdown`](Self::shutdown).
            #[doc(alias("loop.sock_sendall", "sock_sendall"))]
            #[track_caller]
            pub fn write_all<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<()>> + use<'a> {
                self.0.write_all(Location::caller(), data)
            }

            /// Ends one direction or both (`sock.shutdown`). The other side then reads the end of the stream. Does not wait.
            ///
            /// # Errors
            /// [`Error::Io`](crate::Error::Io) if the socket is not connected.
            ///
            /// ```
            /// use looplab::{EventLoop, net::UnixStream};
            /// EventLoop::new()?.run_until_complete(async {
            ///     let (ours, theirs) = UnixStream::pair()?;
            ///     ours.write_all(b"hello").await?;
            ///     ours.shutdown(std::net::Shutdown::Write)?;
            ///     let mut buf = [0; 16];
            ///     assert_eq!(theirs.read(&mut buf).await?, 5);
            ///     assert_eq!(theirs.read(&mut buf).await?, 0);       // the end; the other direction is open
            ///     theirs.write_all(b"bye").await?;
            ///     assert_eq!(ours.read(&mut buf).await?, 3);
            ///     Ok(())
            /// })?;
            /// # Ok::<(), looplab::Error>(())
            /// ```
            pub fn shutdown(&self, how: std::net::Shutdown) -> Result<()> {
                Ok(self.0.socket().shutdown(how)?)
            }
        }
    };
}
pub(super) use byte_stream;

/// Implements what every socket has: the conversions into the standard library's socket and into a descriptor.
macro_rules! descriptor {
    ($($socket:ident)*) => {$(
        impl $socket {
            /// Returns the standard library's socket. It stays non-blocking. There is an example at
            /// [`from_std`](Self::from_std).
            #[must_use]
            pub fn into_std(self) -> net::$socket {
                self.0.into_socket()
            }
        }

        impl std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.0.socket().as_raw_fd()
            }
        }

        impl std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.socket().as_fd()
            }
        }

        impl From<$socket> for std::os::fd::OwnedFd {
            fn from(socket: $socket) -> Self {
                socket.into_std().into()
            }
        }

        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(stringify!($socket), f)
            }
        }
    )*};
}
pub(super) use descriptor;
