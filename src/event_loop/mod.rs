//! The loop: a ready queue, timers, a poll, and the turn that runs through them in asyncio's order.
//!
//! It does what CPython's `BaseEventLoop` does, turn for turn, and every misuse is an error value.
//! It knows nothing of futures, and of tasks only what `AnyTask` says. It holds no borrow while
//! user code runs.
//!
//! Read [`turn`] first: it is the event loop. Then read `run`, which makes the turns, and after
//! that what a turn goes through: `inbox`, `timers`, `reactor`, `ready`, `callback`. `transitions`
//! shows every change of state.

mod callback;
mod clock;
mod close;
mod exceptions;
mod explored;
mod inbox;
mod memory;
mod reactor;
mod ready;
mod registration;
mod remote;
mod run;
mod running;
mod tasks;
mod timers;
mod transitions;
mod turn;
mod watch;

pub use callback::{Handle, TimerHandle};
pub use clock::Clock;
pub use exceptions::{ExceptionContext, FutureInfo, HandleInfo, TaskInfo};
pub use remote::{Remote, RemoteHandle};
/// The public function detects a fork; the library's own callers do not need that.
pub use running::get_running_loop as public_running_loop;
pub use running::stop;

pub(crate) use callback::{Callback, Header, WhenDone, call};
pub(crate) use close::{Dependant, Dependence};
pub(crate) use exceptions::report;
pub(crate) use explored::{Explored, JobKind, explored_here};
pub(crate) use inbox::Inbox;
pub(crate) use ready::{Entry, Failed};
pub(crate) use registration::Registration;
pub(crate) use running::{running, running_loop as get_running_loop};
pub(crate) use tasks::{AnyTask, TaskWaker};
pub(crate) use transitions::PushInfo;
pub(crate) use watch::Watch;

use crate::error::{Error, Result};
use crate::in_place::is_some;
use crate::observe::watchdog;
use crate::outcome::Outcome;
use crate::panics::{Guarded, drop_quietly};
use crate::signals::Signals;
use crate::threads::job;
use crate::trace::{Life, Observer, Place, ReadyEntry, Record, SignalEntry, Snapshot};
use running::LoopId;
use std::any::{Any, type_name_of_val};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// asyncio's event loop: single-threaded, stoppable and restartable.
///
/// This is a handle: a clone is another handle to the same loop. It is not `Send`; other threads
/// use [`remote`]. When the last handle is dropped, the loop is [closed](Self::close). A queued
/// callback that owns a handle to its own loop keeps the loop alive; inside callbacks use
/// [`get_running_loop`](crate::get_running_loop) instead.
///
/// ```
/// use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// lp.call_soon(|| println!("hello from turn 1"))?;
/// lp.call_soon(looplab::stop)?;
/// lp.run_forever()?;
/// lp.close()?;
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// # A loop does not move to another thread
///
/// The compiler says `` `Rc<…>` cannot be sent between threads safely``, where asyncio fails at run
/// time or not at all:
///
/// ```compile_fail,E0277
/// let lp = looplab::EventLoop::new()?;
/// std::thread::spawn(move || lp.call_soon(looplab::stop));
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// Move its [`remote`] instead (`loop.call_soon_threadsafe`):
///
/// ```
/// let lp = looplab::EventLoop::new()?;
/// let remote = lp.remote();
/// std::thread::spawn(move || remote.call_soon(looplab::stop));
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// [`remote`]: Self::remote
#[doc(alias("asyncio.AbstractEventLoop", "asyncio.BaseEventLoop", "asyncio.SelectorEventLoop"))]
#[derive(Clone)]
pub struct EventLoop(pub(crate) Rc<Inner>);

/// What all handles share. Each file keeps its own cells, so that no borrow spans two of them.
pub(crate) struct Inner {
    pub(crate) id: LoopId,
    number: u64,
    pub(crate) clock: Clock,
    /// The ready queue: first in, first out, nothing else. The turn decides how many entries run.
    ready: RefCell<VecDeque<Rc<dyn Entry>>>,
    timers: RefCell<timers::Timers>,
    pub(crate) reactor: RefCell<reactor::Reactor>,
    pub(crate) inbox: Arc<Inbox>,
    /// Counts what can wake the loop from another thread: each `Remote` and each waker holds a clone.
    senders: Arc<()>,
    /// An empty list, for its room: the next messages.
    message_room: Cell<Vec<inbox::Message>>,
    /// Messages are being pushed to the ready queue. One that comes meanwhile is for the next delivery.
    delivering: Cell<bool>,
    pub(crate) signals: RefCell<Signals>,
    pub(crate) signal_handlers: RefCell<BTreeMap<i32, Rc<dyn Callback>>>,
    /// The callback that reads the signals; made when the first handler is added.
    pub(crate) signal_reader: OnceCell<Rc<dyn Callback>>,
    pub(crate) tasks: tasks::TaskTable,
    /// What `close` ends although the loop does not own it, in order of registration.
    dependants: RefCell<BTreeMap<u64, Weak<dyn Dependant>>>,
    pub(crate) jobs: job::JobTable,
    exception_handler: RefCell<Option<exceptions::ExceptionHandler>>,
    /// An error with which an exception handler leaves the loop. The turn looks at it after each entry.
    exit: Cell<Option<Box<Error>>>,
    pub(crate) explored: Explored,
    /// The waker that is lent to task after task.
    lent: Cell<Option<Box<TaskWaker>>>,

    running: Cell<bool>,
    stopping: Cell<bool>,
    closed: Cell<bool>,
    /// `close` has dropped the observer. An observer that closes the loop itself is then not put
    /// back.
    over: Cell<bool>,
    runs: Cell<u64>,
    turns: Cell<u64>,
    /// The last turn in which this process was found to be the loop's own, and no forked child.
    checked_in_turn: Cell<u64>,
    /// The number of the last entry of this turn's batch.
    batch_end: Cell<u64>,
    /// The entry that runs now: what a trace calls `by`. `None` on a loop without an observer.
    running_entry: Cell<Option<u64>>,
    /// The task whose step it is, for the trace.
    running_task: Cell<Option<u64>>,
    /// The number of the last entry that was queued. Entries leave in the order in which they came,
    /// so none stores its number.
    last_entry: Cell<u64>,
    last_handle: Cell<u64>,
    last_object: Cell<u64>,

    debug: Cell<bool>,
    slow: Cell<Duration>,
    /// Whether anything observes.
    pub(crate) traced: Cell<bool>,
    recorder: Option<Recording>,
    observer: RefCell<Option<Guarded<Box<dyn Observer>>>>,
    on_park: Cell<Option<Hook>>,
    on_unpark: Cell<Option<Hook>>,
    watchdog: Option<watchdog::Watchdog>,
    /// What `net::memory` keeps on the loop.
    pub(crate) network: OnceCell<Rc<dyn Any>>,
}

/// Records every event, also those that the observer causes.
pub(crate) type Recording = Box<dyn Fn(&Record<'_>)>;

/// Is called before or after a poll that may sleep.
type Hook = Guarded<Box<dyn FnMut()>>;

/// The choices of a [`Builder`](crate::Builder).
#[derive(Default)]
pub(crate) struct Options {
    /// The clock; the machine's by default.
    pub(crate) clock: Option<Clock>,
    pub(crate) debug: bool,
    pub(crate) executor_threads: Option<usize>,
    pub(crate) observer: Option<Guarded<Box<dyn Observer>>>,
    pub(crate) recorder: Option<Recording>,
    pub(crate) on_park: Option<Hook>,
    pub(crate) on_unpark: Option<Hook>,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) explored: Explored,
}

impl EventLoop {
    pub(crate) fn with(options: Options) -> Result<Self> {
        let id = LoopId::next();
        let clock = options.clock.unwrap_or_else(Clock::monotonic);
        let (reactor, waker) = reactor::Reactor::new(id)?;
        let watchdog = options.watchdog.map(watchdog::Watchdog::start).transpose()?;
        let traced = options.observer.is_some() || options.recorder.is_some();
        let mut signals = Signals::new();
        signals.alone = options.explored.is_on();
        let lp = Self(Rc::new_cyclic(|weak| Inner {
            id,
            number: running::enlist(id, weak.clone()),
            timers: RefCell::new(timers::Timers::new(clock.now())),
            clock,
            ready: RefCell::default(),
            reactor: RefCell::new(reactor),
            inbox: Inbox::new(id, waker, traced),
            senders: Arc::default(),
            message_room: Cell::default(),
            delivering: Cell::new(false),
            signals: RefCell::new(signals),
            signal_handlers: RefCell::default(),
            signal_reader: OnceCell::new(),
            tasks: tasks::TaskTable::default(),
            dependants: RefCell::default(),
            jobs: job::JobTable::new(options.executor_threads),
            exception_handler: RefCell::default(),
            exit: Cell::default(),
            explored: options.explored,
            lent: Cell::new(None),
            running: Cell::new(false),
            stopping: Cell::new(false),
            closed: Cell::new(false),
            over: Cell::new(false),
            runs: Cell::new(0),
            turns: Cell::new(0),
            checked_in_turn: Cell::new(u64::MAX),
            batch_end: Cell::new(0),
            running_entry: Cell::new(None),
            running_task: Cell::new(None),
            last_entry: Cell::new(0),
            last_handle: Cell::new(0),
            last_object: Cell::new(0),
            debug: Cell::new(options.debug),
            slow: Cell::new(Duration::from_millis(100)),
            traced: Cell::new(traced),
            recorder: options.recorder,
            observer: RefCell::new(options.observer),
            on_park: Cell::new(options.on_park),
            on_unpark: Cell::new(options.on_unpark),
            watchdog,
            network: OnceCell::new(),
        }));
        lp.0.life_changed(Life::New);
        Ok(lp)
    }

    /// Queues `callback` for the next turn, after what is queued already (`loop.call_soon`). May be
    /// called at any time.
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`; the callback is dropped.
    #[doc(alias = "loop.call_soon")]
    #[track_caller]
    pub fn call_soon<R: Outcome>(&self, callback: impl FnOnce() -> R + 'static) -> Result<Handle> {
        self.queue_named(Location::caller(), type_name_of_val(&callback), callback)
    }

    /// Queues a callback under the path of its function, or a name of looplab's.
    pub(crate) fn queue_named<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<Handle> {
        if let Err(closed) = self.0.check_open() {
            drop_quietly(callback);
            return Err(closed);
        }
        let callback = self.named_once(place, name, callback);
        self.0.enqueue(callback.clone(), None);
        Ok(Handle { callback, lp: Rc::downgrade(&self.0) })
    }

    /// Runs `callback` when `delay` has passed, in the turn whose poll sees that
    /// (`loop.call_later`). A zero delay is legal and means the next turn, after its I/O. Equal
    /// deadlines run in the order in which they were set. A delay of more than thirty years is
    /// shortened to that.
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`.
    #[doc(alias = "loop.call_later")]
    #[track_caller]
    pub fn call_later<R: Outcome>(
        &self,
        delay: Duration,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        self.call_at(self.0.clock.deadline(delay), callback)
    }

    /// Runs `callback` when the loop's [`time`](Self::time) is `when` (`loop.call_at`). A time in
    /// the past is legal. In virtual time an instant of more than 250 years ahead is shortened to
    /// that.
    ///
    /// # Errors
    /// [`Error::Closed`] after `close`.
    #[doc(alias = "loop.call_at")]
    #[track_caller]
    pub fn call_at<R: Outcome>(
        &self,
        when: Instant,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        self.set_timer_named(Location::caller(), type_name_of_val(&callback), when, callback)
    }

    /// Sets a timer under the path of its function, or a name of looplab's.
    pub(crate) fn set_timer_named<R: Outcome>(
        &self,
        place: Place,
        name: &'static str,
        when: Instant,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<TimerHandle> {
        if let Err(closed) = self.0.check_open() {
            drop_quietly(callback);
            return Err(closed);
        }
        let callback = self.named_once(place, name, callback);
        self.0.schedule(when, callback.clone());
        Ok(TimerHandle::new(callback, when, Rc::downgrade(&self.0)))
    }

    /// Returns the loop's time, with which deadlines are compared (`loop.time`). Works on a closed
    /// loop, too.
    #[doc(alias = "loop.time")]
    #[must_use]
    pub fn time(&self) -> Instant {
        self.0.clock.now()
    }

    /// Returns the loop as other threads may use it. May be called at any time.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote { inbox: self.0.inbox.clone(), _counted: Some(self.0.senders.clone()) }
    }

    /// Tells whether a run is under way (`loop.is_running`).
    #[doc(alias = "loop.is_running")]
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.running.get()
    }

    /// Tells whether `close` was called (`loop.is_closed`).
    #[doc(alias = "loop.is_closed")]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Switches debug mode, which reports slow callbacks as warnings (`loop.set_debug`).
    /// May be called while the loop runs.
    #[doc(alias = "loop.set_debug")]
    pub fn set_debug(&self, debug: bool) {
        self.0.debug.set(debug);
    }

    /// Tells whether debug mode is on (`loop.get_debug`).
    #[doc(alias("loop.get_debug", "get_debug"))]
    #[must_use]
    pub fn debug(&self) -> bool {
        self.0.debug.get()
    }

    /// Sets from how long on a callback is slow in debug mode; 100 ms at first
    /// (`loop.slow_callback_duration`).
    #[doc(alias("loop.slow_callback_duration", "slow_callback_duration"))]
    pub fn set_slow_callback_duration(&self, limit: Duration) {
        self.0.slow.set(limit);
    }

    /// Returns the loop's structures as data: the ready entries in order, timers, descriptors,
    /// signal handlers, and what every task waits on. `Display` shows it as text. May be called at
    /// any time.
    #[doc(alias("asyncio.print_call_graph", "asyncio.capture_call_graph", "print_call_graph"))]
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

impl Inner {
    /// Reads the loop's structures between two transitions, so the parts agree with each other. Nothing
    /// changes, and no user code runs.
    fn snapshot(&self) -> Snapshot {
        let signal = |(signal, handler): (&i32, &Rc<dyn Callback>)| SignalEntry {
            signal: *signal,
            h: handler.handle(),
            label: handler.label(),
        };
        let ready = |(q, entry): (u64, &Rc<dyn Entry>)| ReadyEntry {
            q,
            h: entry.handle(),
            kind: entry.kind(),
            label: entry.label(),
            task: entry.task(),
            cancelled: entry.is_cancelled(),
            place: Some(entry.place()),
        };
        Snapshot {
            time: Some(self.clock.now()),
            turn: self.turns.get(),
            running: self.running.get(),
            closed: self.closed.get(),
            stopping: self.stopping.get(),
            ready: (self.last_that_left() + 1..).zip(self.ready.borrow().iter()).map(ready).collect(),
            batch_left: self.batch_left(),
            timers: self.timers.borrow().list(),
            io: self.reactor.borrow().list(),
            signals: self.signal_handlers.borrow().iter().map(signal).collect(),
            jobs: self.jobs.list(),
            tasks: self.tasks.list().iter().map(|task| task.entry()).collect(),
        }
    }

    /// Tells whether a `Remote`, or a waker that was cloned, can wake the loop.
    fn has_senders(&self) -> bool {
        Arc::strong_count(&self.senders) > 1 + usize::from(is_some(&self.lent))
    }
}

/// Two handles are equal if they are handles of the same loop (`is` in Python).
impl PartialEq for EventLoop {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for EventLoop {}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("number", &format_args!("{}", self.0.id))
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .field("debug", &self.debug())
            .finish()
    }
}
