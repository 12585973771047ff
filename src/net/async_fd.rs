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

use crate::error::{Error, Result};
use crate::event_loop::{Callback, EventLoop, Header, Registration, Watch, get_running_loop};
use crate::task::future_core::{AnyFuture, FutureCore};
use crate::task::leaf::Leaf;
use crate::trace::{Direction, Done, EntryKind, Place};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub(super) const ACCEPT: OpKind = OpKind::read("accept", "accept");
const CONNECT: OpKind = OpKind::write("connect", "connect");
pub(super) const READ: OpKind = OpKind::read("socket read", "read");
pub(super) const WRITE: OpKind = OpKind::write("socket write", "write");
const WRITE_ALL: OpKind = OpKind::write("socket write", "write_all");

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
    reading: WaitSlot,
    writing: WaitSlot,
    watch: OnceCell<Watch>,
    socket: S,
    #[cfg(feature = "futures-io")]
    place: Place,
}

impl<S: AsRawFd> AsyncFd<S> {
    /// Takes a socket that is non-blocking already. It is registered on a loop at its first wait.
    #[cfg_attr(not(feature = "futures-io"), allow(unused_variables, reason = "only the polls have a place"))]
    pub(super) fn new(socket: S, place: Place) -> Self {
        Self {
            reading: WaitSlot::default(),
            writing: WaitSlot::default(),
            watch: OnceCell::new(),
            socket,
            #[cfg(feature = "futures-io")]
            place,
        }
    }

    /// Takes a socket with its registration.
    pub(super) fn watched(socket: S, watch: Watch, place: Place) -> Self {
        Self { watch: watch.into(), ..Self::new(socket, place) }
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }

    /// Writes `<TcpStream fd=7>`.
    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{name} fd={}>", self.socket.as_raw_fd())
    }

    /// Creates the future of an operation. `attempt` makes its system call.
    pub(super) fn op<R>(
        &self,
        kind: &'static OpKind,
        place: Place,
        mut attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> impl Future<Output = Result<R>> {
        let mut op = Op::new(kind, place);
        poll_fn(move |cx| self.poll_op(cx, &mut op, 1, &mut attempt))
    }

    /// Waits until a connect is answered. As asyncio, it looks at the connection only after the socket is writable, so it makes
    /// no attempt before.
    pub(super) fn answered(&self, place: Place) -> impl Future<Output = Result<()>> {
        let mut begun = false;
        self.op(&CONNECT, place, move |_| {
            if std::mem::replace(&mut begun, true) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
        })
    }

    /// Makes an attempt, or waits. An attempt on an empty buffer (`len` is 0) cannot block.
    #[inline]
    fn poll_op<R>(
        &self,
        cx: &mut Context<'_>,
        op: &mut Op,
        len: usize,
        attempt: &mut dyn FnMut(&S) -> io::Result<R>,
    ) -> Poll<Result<R>> {
        let direction = op.kind.direction;
        let mut would_block = false;
        if op.waiting.is_some() {
            ready!(op.poll(cx))?;
        } else if let Some(watch) = self.watch.get() {
            if !watch.is_open() {
                return Poll::Ready(Err(Error::Closed));
            }
            if self.slot(direction).is_taken() {
                return Poll::Ready(Err(op.kind.busy()));
            }
            would_block = len > 0 && watch.is_drained(direction);
        }
        while !would_block {
            match attempt(&self.socket) {
                Ok(value) => return Poll::Ready(Ok(value)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.drained(direction);
                    would_block = true;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let (lp, watch) = self.watch()?;
        op.wait(cx, self.slot(direction), &lp, watch)?;
        Poll::Pending
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

    /// Returns the registration and its loop, which is the running one unless another executor polls.
    #[inline]
    fn watch(&self) -> Result<(EventLoop, &Watch)> {
        let Some(watch) = self.watch.get() else {
            let lp = get_running_loop()?;
            let watch = self.watch.get_or_init(|| Watch::new(&lp, self.socket.as_raw_fd()));
            return Ok((lp, watch));
        };
        let lp = watch.event_loop()?;
        // A loop stays on its thread, and only one runs there at a time. If none runs, another executor polls, and the
        // socket's own loop will wake it.
        if !lp.is_running()
            && let Ok(running) = get_running_loop()
        {
            watch.check_loop(&running)?;
        }
        Ok((lp, watch))
    }
}

impl<S: ByteStream> AsyncFd<S> {
    /// Creates the future of an operation on a buffer of `len` bytes.
    pub(super) fn transfer(
        &self,
        kind: &'static OpKind,
        place: Place,
        len: usize,
        mut attempt: impl FnMut(&S) -> io::Result<usize>,
    ) -> impl Future<Output = Result<usize>> {
        let mut op = Op::new(kind, place);
        poll_fn(move |cx| self.poll_transfer(cx, &mut op, len, &mut attempt))
    }

    /// Makes an attempt, and notes that a short one has drained the socket. A read of the stream's end proves nothing.
    #[inline]
    fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        op: &mut Op,
        len: usize,
        attempt: &mut dyn FnMut(&S) -> io::Result<usize>,
    ) -> Poll<Result<usize>> {
        let n = ready!(self.poll_op(cx, op, len, attempt))?;
        let is_short = n < len;
        match op.kind.direction {
            Direction::Read if is_short && S::SHORT_READ_DRAINS && n > 0 => self.drained(Direction::Read),
            Direction::Write if is_short => self.drained(Direction::Write),
            _ => {}
        }
        Poll::Ready(Ok(n))
    }

    /// Creates the future that writes all bytes.
    pub(super) fn write_all(&self, place: Place, data: &[u8]) -> impl Future<Output = Result<()>>
    where
        for<'s> &'s S: Write,
    {
        let (mut op, len, mut left) = (Op::new(&WRITE_ALL, place), data.len(), data);
        poll_fn(move |cx| self.poll_op(cx, &mut op, len, &mut |socket| write_rest(socket, &mut left)))
    }
}

/// Writes as much as there is room for, and shortens `left` to the rest, which would block.
fn write_rest(mut socket: impl Write, left: &mut &[u8]) -> io::Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    let written = socket.write(left)?;
    *left = &left[written..];
    match written {
        _ if left.is_empty() => Ok(()),
        0 => Err(ErrorKind::WriteZero.into()),
        _ => Err(ErrorKind::WouldBlock.into()),
    }
}

#[cfg(feature = "futures-io")]
impl<S: ByteStream> AsyncFd<S> {
    /// Polls an operation on a buffer of `len` bytes, and keeps its wait.
    pub(super) fn poll_kept(
        &self,
        cx: &mut Context<'_>,
        kind: &'static OpKind,
        len: usize,
        mut attempt: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<Result<usize>> {
        let slot = self.slot(kind.direction);
        // Out of its cell while it is polled, because a waker is user code.
        let mut op = slot.polled.take().unwrap_or_else(|| Box::new(Op::new(kind, self.place)));
        let result = self.poll_transfer(cx, &mut op, len, &mut attempt);
        slot.polled.set(Some(op));
        result
    }
}

/// The names of an operation.
pub(super) struct OpKind {
    direction: Direction,
    /// The wait's name in a snapshot.
    kind: &'static str,
    method: &'static str,
}

/// One operation, and its wait.
///
/// It takes asyncio's turns. In turn T the poll queues this wait's callback, and the callback runs in the same turn and
/// queues the task. The task continues in turn T+1. Nothing is read or written here: the operation makes its attempt when it
/// continues. So a wait that is cancelled or dropped, even at that late moment, loses nothing.
///
/// ```text
///        begin            the callback runs            the operation goes on, or is dropped
///   OVER ─────▶ WAITING ───────────────────▶ WOKEN ────────────────────────────────────────▶ OVER
///                  └──the operation is cancelled or dropped: the callback, too────────────────▲
/// ```
struct Op {
    /// A reference, because each idle connection keeps one.
    kind: &'static OpKind,
    place: Place,
    waiting: Option<Waiting>,
}

/// The wait of an operation. Dropping it takes the wait back.
struct Waiting {
    wait: Rc<ReadyWait>,
    leaf: Leaf,
}

/// One direction of a socket, in which one operation at a time may wait. It keeps the wait for the next operation, which
/// then allocates nothing.
#[derive(Default)]
struct WaitSlot {
    wait: Cell<Option<Rc<ReadyWait>>>,
    /// The operation of a stream that is polled, which has no future to be kept in.
    #[cfg(feature = "futures-io")]
    polled: Cell<Option<Box<Op>>>,
}

/// A reader (or writer) that wakes one operation, and the future that it completes, in one allocation.
struct ReadyWait {
    header: Header,
    core: FutureCore,
    registration: Rc<Registration>,
    direction: Direction,
    state: Cell<WaitState>,
}

/// Where a wait is in the diagram above.
#[derive(Clone, Copy, PartialEq)]
enum WaitState {
    Waiting,
    Woken,
    Over,
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

impl WaitSlot {
    /// Tells whether an operation waits here. It does so until it has gone on: no other operation reads between the
    /// readiness and that moment.
    #[inline]
    fn is_taken(&self) -> bool {
        let wait = self.wait.take();
        let taken = wait.as_ref().is_some_and(|wait| wait.state.get() != WaitState::Over);
        self.wait.set(wait);
        taken
    }

    /// Returns a wait as if it was new: the one of before, unless something still holds it.
    #[inline]
    fn renewed(&self, op: &Op, lp: &EventLoop, watch: &Watch) -> Rc<ReadyWait> {
        let OpKind { direction, kind, .. } = *op.kind;
        let header = Header::new(lp.0.next_handle(), EntryKind::Io, op.place, kind);
        if let Some(mut wait) = self.wait.take()
            // One that was cancelled, or was queued twice because a turn was interrupted, may be in the ready queue.
            && let Some(unused) = Rc::get_mut(&mut wait)
        {
            unused.core.renew(lp, kind, op.place);
            unused.header = header;
            return wait;
        }
        let core = FutureCore::future(lp, kind, op.place);
        let (registration, state) = (Rc::clone(watch), Cell::new(WaitState::Over));
        Rc::new(ReadyWait { header, core, registration, direction, state })
    }
}

impl Op {
    fn new(kind: &'static OpKind, place: Place) -> Self {
        Self { kind, place, waiting: None }
    }

    /// Begins to wait in a slot that is free, on the loop that `watch` belongs to.
    fn wait(&mut self, cx: &mut Context<'_>, slot: &WaitSlot, lp: &EventLoop, watch: &Watch) -> Result<()> {
        let wait = slot.renewed(self, lp, watch);
        slot.wait.set(Some(wait.clone()));
        wait.state.set(WaitState::Waiting);
        watch.set(lp, wait.direction, wait.clone()).inspect_err(|_| wait.state.set(WaitState::Over))?;
        let leaf = Leaf::new(wait.clone());
        match self.waiting.insert(Waiting { wait, leaf }).leaf.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => Err(Error::Runtime("a wait that has just begun is over".into())),
        }
    }

    /// Ready when it was woken; `Err` if an error is thrown here, or the wait was cancelled.
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(Waiting { wait, leaf }) = &mut self.waiting else { return Poll::Ready(Ok(())) };
        let thrown = ready!(leaf.poll(cx));
        let woken = wait.core.check_error();
        self.waiting = None;
        Poll::Ready(thrown.and(woken))
    }
}

impl Drop for Waiting {
    #[inline]
    fn drop(&mut self) {
        let Self { wait, leaf } = self;
        leaf.release();
        if wait.state.replace(WaitState::Over) == WaitState::Waiting
            && let Some(lp) = wait.core.event_loop()
        {
            drop(lp.0.unset(&wait.registration, wait.direction));
            lp.0.cancel(&**wait);
        }
    }
}

impl Callback for ReadyWait {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, lp: &EventLoop) -> Result<()> {
        if self.state.get() != WaitState::Waiting {
            return Ok(());
        }
        self.state.set(WaitState::Woken);
        // It waits no more, so the next poll does not report it.
        drop(lp.0.unset(&self.registration, self.direction));
        if self.core.done() { Ok(()) } else { self.core.complete_on(Some(lp), Done::Ok, || Rc::new(())) }
    }
}

impl AnyFuture for ReadyWait {
    fn core(&self) -> &FutureCore {
        &self.core
    }
}
