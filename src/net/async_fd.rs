//! `AsyncFd`: a socket of the standard library on a loop. One operation is an attempt, a wait if it would block, and an
//! attempt again, as in `loop.sock_recv`.
//!
//! It guarantees that an attempt is made only in the poll that returns its result, so no received byte is lost. Only one
//! operation waits in each direction; a second one is an error. A socket belongs to the loop of its first wait.
//!
//! An operation skips its first attempt if the socket is known to be drained: an earlier attempt found that it would block,
//! or came back short. A short read proves this for TCP only: on a Unix socket, a message with descriptors ends a read.
//!
//! It does not handle callbacks: transports and servers use [`Watch`] itself.

use super::ready_wait::{Readiness, WaitSlot};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Watch, get_running_loop};
use crate::trace::{Direction, Place};
#[cfg(feature = "futures-io")]
use std::cell::Cell;
use std::cell::OnceCell;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The names of an operation.
pub(super) struct OpKind {
    direction: Direction,
    /// The wait's name in a snapshot.
    kind: &'static str,
    method: &'static str,
}

impl OpKind {
    pub(super) const fn read(kind: &'static str, method: &'static str) -> Self {
        Self { direction: Direction::Read, kind, method }
    }

    pub(super) const fn write(kind: &'static str, method: &'static str) -> Self {
        Self { direction: Direction::Write, kind, method }
    }

    /// Returns the error of a second operation, in the words of asyncio's streams.
    fn busy(&self) -> Error {
        let awaited = match self.direction {
            Direction::Read => "incoming data",
            Direction::Write => "the socket to be writable",
        };
        let method = self.method;
        let text = format!("{method}() called while another coroutine is already waiting for {awaited}");
        Error::Runtime(text.into())
    }
}

pub(super) const READ: OpKind = OpKind::read("socket read", "read");
pub(super) const WRITE: OpKind = OpKind::write("socket write", "write");
pub(super) const WRITE_ALL: OpKind = OpKind::write("socket write", "write_all");

/// A socket that transfers a stream of bytes.
pub(super) trait ByteStream: AsRawFd {
    /// Whether a read that does not fill its buffer has drained the socket.
    const SHORT_READ_DRAINS: bool;
}

impl ByteStream for std::net::TcpStream {
    const SHORT_READ_DRAINS: bool = true;
}

impl ByteStream for std::os::unix::net::UnixStream {
    const SHORT_READ_DRAINS: bool = false;
}

/// A non-blocking socket and its registration. The fields are dropped in this order: first the waits, then the registration,
/// then the descriptor.
pub(super) struct AsyncFd<S> {
    #[cfg(feature = "futures-io")]
    polls: Polls,
    watch: OnceCell<Watch>,
    reading: WaitSlot,
    writing: WaitSlot,
    fd: RawFd,
    socket: S,
}

impl<S: AsRawFd> AsyncFd<S> {
    /// Takes a socket that is non-blocking already. It is registered on a loop at its first wait.
    #[track_caller]
    pub(super) fn new(socket: S) -> Self {
        Self::at(socket, Location::caller())
    }

    #[cfg_attr(not(feature = "futures-io"), allow(unused_variables, reason = "only the polls have a place"))]
    pub(super) fn at(socket: S, place: Place) -> Self {
        Self {
            #[cfg(feature = "futures-io")]
            polls: Polls { read: Cell::default(), write: Cell::default(), place },
            watch: OnceCell::new(),
            reading: WaitSlot::default(),
            writing: WaitSlot::default(),
            fd: socket.as_raw_fd(),
            socket,
        }
    }

    /// Takes a socket with its registration.
    pub(super) fn watched(socket: S, watch: Watch, place: Place) -> Self {
        Self { watch: watch.into(), ..Self::at(socket, place) }
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }

    /// Creates the future of an operation. `attempt` makes its system call.
    pub(super) fn op<F, R>(&self, kind: &'static OpKind, place: Place, attempt: F) -> Op<'_, S, F>
    where
        F: FnMut(&Self) -> io::Result<R> + Unpin,
    {
        Op { fd: self, state: OpState::new(kind, place), attempt }
    }

    /// Makes an attempt, or waits.
    fn poll_op<R>(
        &self,
        cx: &mut Context<'_>,
        op: &mut OpState,
        attempt: &mut dyn FnMut(&Self) -> io::Result<R>,
    ) -> Poll<Result<R>> {
        let direction = op.kind.direction;
        let mut would_block = false;
        if op.readiness.is_waiting() {
            ready!(op.readiness.poll(cx))?;
        } else if let Some(watch) = self.watch.get() {
            if !watch.is_open() {
                return Poll::Ready(Err(Error::Closed));
            }
            if self.slot(direction).is_taken() {
                return Poll::Ready(Err(op.kind.busy()));
            }
            would_block = !op.is_empty && watch.is_drained(direction);
        }
        while !would_block {
            match attempt(self) {
                Ok(value) => return Poll::Ready(Ok(value)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.drained(direction);
                    would_block = true;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        match self.wait(cx, op) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Waits for a direction that would block, and in which no other operation waits.
    fn wait(&self, cx: &mut Context<'_>, op: &mut OpState) -> Result<()> {
        let OpKind { direction, kind, .. } = *op.kind;
        let (lp, watch) = self.watch()?;
        op.readiness.begin(cx, self.slot(direction), (&lp, watch), direction, (kind, op.place))
    }

    #[inline]
    fn slot(&self, direction: Direction) -> &WaitSlot {
        match direction {
            Direction::Read => &self.reading,
            Direction::Write => &self.writing,
        }
    }

    /// Notes that only an event can bring more bytes or room.
    #[inline]
    fn drained(&self, direction: Direction) {
        if let Some(watch) = self.watch.get() {
            watch.drained(direction);
        }
    }

    /// Returns the registration and its loop. That loop runs, unless another executor polls.
    #[inline]
    fn watch(&self) -> Result<(EventLoop, &Watch)> {
        if let Some(watch) = self.watch.get() {
            let lp = watch.event_loop()?;
            // A loop stays on its thread, and only one runs there at a time.
            if lp.is_running() {
                return Ok((lp, watch));
            }
        }
        self.register()
    }

    /// Returns the same for a socket without a registration, or one whose loop is not the running one.
    #[cold]
    fn register(&self) -> Result<(EventLoop, &Watch)> {
        let lp = match get_running_loop() {
            Ok(lp) => lp,
            // Another executor polls: the socket's own loop will wake it.
            Err(error) => {
                let watch = self.watch.get().ok_or(error)?;
                return Ok((watch.event_loop()?, watch));
            }
        };
        let watch = self.watch.get_or_init(|| Watch::new(&lp, self.fd));
        watch.check_loop(&lp)?;
        Ok((lp, watch))
    }
}

impl<S: ByteStream> AsyncFd<S>
where
    for<'s> &'s S: Read + Write,
{
    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let n = (&self.socket).read(buf)?;
        self.note_read(n, buf.len());
        Ok(n)
    }

    /// Notes a short read. The end of the stream proves nothing.
    pub(super) fn note_read(&self, n: usize, room: usize) {
        if S::SHORT_READ_DRAINS && 0 < n && n < room {
            self.drained(Direction::Read);
        }
    }

    pub(super) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        let n = (&self.socket).write(data)?;
        self.note_written(n, data.len());
        Ok(n)
    }

    /// Writes as much as there is room for, and shortens `left` to the rest, which would block.
    pub(super) fn try_write_all(&self, left: &mut &[u8]) -> io::Result<()> {
        if left.is_empty() {
            return Ok(());
        }
        let written = self.try_write(left)?;
        *left = &left[written..];
        match written {
            _ if left.is_empty() => Ok(()),
            0 => Err(ErrorKind::WriteZero.into()),
            _ => Err(ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn note_written(&self, n: usize, len: usize) {
        if n < len {
            self.drained(Direction::Write);
        }
    }
}

/// What an operation is, and its wait.
struct OpState {
    /// A reference, because each idle connection keeps one.
    kind: &'static OpKind,
    place: Place,
    readiness: Readiness,
    /// The buffer is empty, so an attempt cannot block.
    is_empty: bool,
}

impl OpState {
    fn new(kind: &'static OpKind, place: Place) -> Self {
        Self { kind, place, readiness: Readiness::default(), is_empty: false }
    }
}

/// The future of one operation.
pub(super) struct Op<'a, S, F> {
    fd: &'a AsyncFd<S>,
    state: OpState,
    attempt: F,
}

impl<S, F> Op<'_, S, F> {
    /// Tells the length of the buffer.
    pub(super) fn with_len(mut self, len: usize) -> Self {
        self.state.is_empty = len == 0;
        self
    }
}

impl<S, F, R> Future for Op<'_, S, F>
where
    S: AsRawFd,
    F: FnMut(&AsyncFd<S>) -> io::Result<R> + Unpin,
{
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let Op { fd, state, attempt } = &mut *self;
        fd.poll_op(cx, state, attempt)
    }
}

/// The operations of a stream that is polled: they have no futures to be kept in.
#[cfg(feature = "futures-io")]
struct Polls {
    read: Cell<Option<Box<OpState>>>,
    write: Cell<Option<Box<OpState>>>,
    place: Place,
}

#[cfg(feature = "futures-io")]
impl<S: AsRawFd> AsyncFd<S> {
    /// Polls an operation on a buffer of `len` bytes, and keeps its wait.
    pub(super) fn poll_kept<R>(
        &self,
        cx: &mut Context<'_>,
        kind: &'static OpKind,
        len: usize,
        mut attempt: impl FnMut(&Self) -> io::Result<R>,
    ) -> Poll<Result<R>> {
        let kept = match kind.direction {
            Direction::Read => &self.polls.read,
            Direction::Write => &self.polls.write,
        };
        // Out of its cell while it is polled, because a waker is user code.
        let mut op = kept.take().unwrap_or_else(|| Box::new(OpState::new(kind, self.polls.place)));
        op.is_empty = len == 0;
        let polled = self.poll_op(cx, &mut op, &mut attempt);
        kept.set(Some(op));
        polled
    }
}

impl<S> AsyncFd<S> {
    /// Writes `<TcpStream fd=7>`.
    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{name} fd={}>", self.fd)
    }
}
