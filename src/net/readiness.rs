//! How a socket waits: one operation is an attempt, a wait if it would block, and an attempt again.
//!
//! It promises that an attempt is made in the poll that returns its result and in no other, so that what was read is
//! never lost; that one operation at a time waits in each direction, and a second one is told so; and that a socket
//! belongs to the loop on which it first waited.
//!
//! An operation tries before it waits, as `loop.sock_recv` does. If the socket is known to be drained (the last read found
//! nothing, or came back short, and the poll has reported nothing since) the attempt would only find that, and is left
//! out: see `event_loop/reactor/edge.rs`. A short read proves it for TCP alone: on a Unix socket a message that carries
//! descriptors ends a read, with more behind it.
//!
//! # For callbacks in place of futures
//!
//! A transport, which is called back and not awaited, uses [`Watch`](crate::event_loop::Watch) itself:
//!
//! ```text
//!   let watch = Watch::new(&lp, fd);                                 no system call yet
//!   watch.call(Direction::Read, place, callback)?                    as add_reader; as add_writer with Direction::Write
//!   watch.drained(Direction::Read)                                   in the callback, when `read` came back short or
//!                                                                    would block: saves a system call per event
//!   watch.unset(Direction::Read)                                     as remove_reader: pauses; costs nothing
//!   drop(watch)                                                      before the descriptor is closed
//! ```
//! A callback that does not say `drained` is called in the next turn again if the descriptor is still ready, as any
//! reader of asyncio's; one that does is called when there is news. `drained` holds for both directions: a `write` that
//! took less than it was given has filled the socket. A pause forgets nothing: after `unset`, `call` reports what came
//! meanwhile. Attempts are made on the socket itself, at any time; `watch.is_drained` says whether one would be in vain.
//! For the bytes there is [`with_read_buffer`], one for all connections of a thread.

use super::ready_wait::{Readiness, Spare};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Watch, get_running_loop};
use crate::trace::{Direction, Place};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// How much is read at once: what asyncio's transports ask for.
const READ_SIZE: usize = 256 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's read buffer: an idle connection needs none of its own. Inside of `f` a second loan gets another one.
pub(crate) fn with_read_buffer<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    if buffer.is_empty() {
        buffer = vec![0; READ_SIZE];
    }
    let result = f(&mut buffer);
    let _ = BUFFER.try_with(|cell| cell.set(buffer));
    result
}

/// What an operation is, for people and for the errors.
pub(crate) struct What {
    pub(crate) direction: Direction,
    /// What a snapshot shows the task to wait for.
    pub(crate) kind: &'static str,
    /// The method.
    pub(crate) name: &'static str,
}

impl What {
    pub(crate) const fn read(kind: &'static str, name: &'static str) -> Self {
        Self { direction: Direction::Read, kind, name }
    }

    pub(crate) const fn write(kind: &'static str, name: &'static str) -> Self {
        Self { direction: Direction::Write, kind, name }
    }

    /// asyncio's words, which it has for its streams alone.
    fn busy(&self) -> Error {
        let awaited = match self.direction {
            Direction::Read => "incoming data",
            Direction::Write => "the socket to be writable",
        };
        let name = self.name;
        let text = format!("{name}() called while another coroutine is already waiting for {awaited}");
        Error::Runtime(text.into())
    }
}

/// What an attempt brought: the result, and whether it has drained the socket.
pub(crate) type Attempt<R> = io::Result<(R, Drained)>;

/// Whether a system call has taken all there was (or filled all the room), so that only an event can bring more.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Drained {
    Yes,
    Unknown,
}

/// A kind of socket, by what a read that does not fill the buffer says of it.
pub(crate) trait Stream {
    /// It has emptied the socket.
    const SHORT_READ_EMPTIES: bool;
}

impl Stream for std::net::TcpStream {
    const SHORT_READ_EMPTIES: bool = true;
}

impl Stream for std::os::unix::net::UnixStream {
    const SHORT_READ_EMPTIES: bool = false;
}

/// A socket and its place on a loop.
///
/// The fields are dropped in this order: first the waits, then the registration, then the descriptor.
pub(crate) struct Io<S> {
    #[cfg(feature = "futures-io")]
    pub(super) polls: super::futures_io::Polls,
    watch: OnceCell<Watch>,
    spare: Spare,
    #[cfg(feature = "futures-io")]
    place: Place,
    fd: RawFd,
    socket: S,
}

impl<S: AsRawFd> Io<S> {
    /// A socket that is non-blocking already. It joins a loop when it first waits.
    #[track_caller]
    pub(crate) fn new(socket: S) -> Self {
        Self::at(socket, Location::caller())
    }

    #[cfg_attr(not(feature = "futures-io"), allow(unused_variables, reason = "only its polls tell of it"))]
    pub(crate) fn at(socket: S, place: Place) -> Self {
        Self {
            #[cfg(feature = "futures-io")]
            polls: super::futures_io::Polls::default(),
            watch: OnceCell::new(),
            spare: Spare::default(),
            #[cfg(feature = "futures-io")]
            place,
            fd: socket.as_raw_fd(),
            socket,
        }
    }

    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// Leaves the loop.
    pub(crate) fn into_socket(self) -> S {
        self.socket
    }

    /// Where the socket was made.
    #[cfg(feature = "futures-io")]
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// One operation.
    pub(crate) fn op<F, R>(&self, what: &'static What, place: Place, attempt: F) -> Op<'_, S, F>
    where
        F: FnMut(&S) -> Attempt<R> + Unpin,
    {
        Op { io: self, what, place, readiness: Readiness::default(), at_once: false, attempt }
    }

    /// Makes an attempt, or waits. `readiness` is the operation's own.
    pub(crate) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        (what, place): (&'static What, Place),
        readiness: &mut Readiness,
        attempt: &mut dyn FnMut(&S) -> Attempt<R>,
        at_once: bool,
    ) -> Poll<Result<R>> {
        let direction = what.direction;
        let mut in_vain = false;
        if readiness.is_waiting() {
            ready!(readiness.poll(cx, &self.spare))?;
        } else if let Some(watch) = self.watch.get() {
            if !watch.is_open() {
                return Poll::Ready(Err(Error::Closed));
            }
            if watch.is_claimed(direction) {
                return Poll::Ready(Err(what.busy()));
            }
            // An empty buffer has nothing to wait for.
            in_vain = !at_once && watch.is_drained(direction);
        }
        while !in_vain {
            match attempt(&self.socket) {
                Ok((value, drained)) => {
                    if drained == Drained::Yes {
                        self.drained(direction);
                    }
                    return Poll::Ready(Ok(value));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => in_vain = true,
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        match self.wait(cx, (what, place), readiness) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Waits: the socket has nothing to read, or no room.
    fn wait(
        &self,
        cx: &mut Context<'_>,
        (what, place): (&What, Place),
        readiness: &mut Readiness,
    ) -> Result<()> {
        self.drained(what.direction);
        let (lp, watch) = self.watch()?;
        let begun = readiness.begin(cx, (&lp, watch, &self.spare), what.direction, (what.kind, place))?;
        if begun { Ok(()) } else { Err(what.busy()) }
    }

    #[inline]
    fn drained(&self, direction: Direction) {
        if let Some(watch) = self.watch.get() {
            watch.drained(direction);
        }
    }

    /// The registration and its loop, which runs unless another executor polls.
    #[inline]
    fn watch(&self) -> Result<(EventLoop, &Watch)> {
        if let Some(watch) = self.watch.get() {
            let lp = watch.event_loop()?;
            // A loop stays on its thread, and one at a time runs there.
            if lp.is_running() {
                return Ok((lp, watch));
            }
        }
        self.join_loop()
    }

    /// The same when it has none yet, or when its loop is not the running one.
    #[cold]
    fn join_loop(&self) -> Result<(EventLoop, &Watch)> {
        let lp = match get_running_loop() {
            Ok(lp) => lp,
            // Polled by another executor: the socket's own loop will wake it.
            Err(error) => {
                let watch = self.watch.get().ok_or(error)?;
                return Ok((watch.event_loop()?, watch));
            }
        };
        let watch = self.watch.get_or_init(|| Watch::new(&lp, self.fd));
        if watch.belongs_to(&lp) {
            return Ok((lp, watch));
        }
        Err(Error::Runtime(
            format!("the socket with descriptor {} is bound to a different event loop", self.fd).into(),
        ))
    }
}

impl<S> Io<S>
where
    S: AsRawFd + Stream,
    for<'s> &'s S: io::Read + io::Write,
{
    pub(crate) fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
        place: Place,
    ) -> impl Future<Output = Result<usize>> + use<'a, S> {
        let at_once = buf.is_empty();
        Op { at_once, ..self.op(&READ, place, move |socket| read(socket, buf)) }
    }

    pub(crate) fn write<'a>(
        &'a self,
        data: &'a [u8],
        place: Place,
    ) -> impl Future<Output = Result<usize>> + use<'a, S> {
        Op { at_once: data.is_empty(), ..self.op(&WRITE, place, move |socket| write(socket, data)) }
    }

    pub(crate) fn write_all<'a>(
        &'a self,
        data: &'a [u8],
        place: Place,
    ) -> impl Future<Output = Result<()>> + use<'a, S> {
        let mut left = data;
        let attempt = move |socket: &S| {
            if left.is_empty() {
                return Ok(((), Drained::Unknown));
            }
            let (taken, drained) = write(socket, left)?;
            left = &left[taken..];
            if left.is_empty() {
                Ok(((), drained))
            } else if taken == 0 {
                Err(ErrorKind::WriteZero.into())
            } else {
                // What was not taken has no room now.
                Err(ErrorKind::WouldBlock.into())
            }
        };
        Op { at_once: data.is_empty(), ..self.op(&WRITE_ALL, place, attempt) }
    }
}

pub(crate) const READ: What = What::read("socket read", "read");
pub(crate) const WRITE: What = What::write("socket write", "write");
const WRITE_ALL: What = What::write("socket write", "write_all");

/// Reads once.
pub(crate) fn read<S: Stream>(mut socket: &S, buf: &mut [u8]) -> Attempt<usize>
where
    for<'s> &'s S: io::Read,
{
    let n = io::Read::read(&mut socket, buf)?;
    Ok((n, emptied::<S>(n, buf.len())))
}

/// What a read of `n` bytes says. At the end of the stream it says nothing.
pub(crate) fn emptied<S: Stream>(n: usize, room: usize) -> Drained {
    if S::SHORT_READ_EMPTIES && 0 < n && n < room { Drained::Yes } else { Drained::Unknown }
}

/// Writes once. What takes less than it was given is full.
pub(crate) fn write(mut socket: impl io::Write, data: &[u8]) -> Attempt<usize> {
    let n = socket.write(data)?;
    Ok((n, if n < data.len() { Drained::Yes } else { Drained::Unknown }))
}

/// One operation of a socket.
pub(crate) struct Op<'a, S, F> {
    io: &'a Io<S>,
    /// Only a reference: an idle connection holds one of these.
    what: &'static What,
    place: Place,
    readiness: Readiness,
    /// It is over at once, whatever the socket has.
    at_once: bool,
    attempt: F,
}

impl<S, F, R> Future for Op<'_, S, F>
where
    S: AsRawFd,
    F: FnMut(&S) -> Attempt<R> + Unpin,
{
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let Op { io, what, place, readiness, at_once, attempt } = &mut *self;
        io.poll(cx, (what, *place), readiness, attempt, *at_once)
    }
}

impl<S> Io<S> {
    /// `<TcpStream fd=7>`.
    pub(crate) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{name} fd={}>", self.fd)
    }
}
