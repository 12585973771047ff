//! All of it in one file: a small library that runs looplab's own lessons.
//!
//! The chapters before this one each have one idea; here they meet. The names, the shapes and the order
//! of a turn's phases are those of looplab. What is left out is on the chapter's page: observers,
//! virtual time, sockets and streams, and care for destructors that panic.
//!
//! Read it in this order: errors and outcomes, callbacks, futures, tasks, the awaits, the loop and its
//! turn, signals, the inbox and the executor, the combinators, and whole programs.
#![allow(missing_debug_implementations, reason = "no code prints these types")]
#![allow(private_interfaces, reason = "no other crate implements `EnsureFuture`")]

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::net::UnixStream as Pipe;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll as Poller, Token, Waker as PollWaker};
use signal_hook::low_level::{pipe, unregister};
use signal_hook::{SigId, consts};
use slab::Slab;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future as StdFuture, IntoFuture, poll_fn};
use std::io::Read;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

// ---------------------------------------------------------------- errors and outcomes

/// What every fallible call returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, with asyncio's texts.
#[derive(Clone)]
pub enum Error {
    /// A cancellation, delivered at an await (`asyncio.CancelledError`).
    Cancelled(Option<Arc<str>>),
    /// A deadline passed (`TimeoutError`).
    TimedOut,
    /// Ctrl-C; leaves the loop (`KeyboardInterrupt`).
    KeyboardInterrupt,
    /// Ends the program with this status; leaves the loop (`SystemExit`).
    Exit(i32),
    /// Misuse that asyncio answers with a `RuntimeError` or an `InvalidStateError`.
    Runtime(&'static str),
    /// The call needs a running loop on this thread.
    NoRunningLoop,
    /// User code panicked; the text is the panic's message.
    Panic(Arc<str>),
    /// An error of the program, of the system or of another crate.
    Other(Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Makes an error with this text.
    pub fn msg(text: impl Into<String>) -> Self {
        let error: Box<dyn std::error::Error + Send + Sync> = text.into().into();
        Self::Other(error.into())
    }

    /// Converts the error of another crate.
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Other(Arc::new(error))
    }

    /// Makes the error of a cancellation.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::Cancelled(None)
    }

    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Tells whether it leaves the loop instead of being reported.
    fn leaves_the_loop(&self) -> bool {
        matches!(self, Self::KeyboardInterrupt | Self::Exit(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(message) => f.write_str(message.as_deref().unwrap_or("")),
            Self::TimedOut => f.write_str("timed out"),
            Self::KeyboardInterrupt => f.write_str("KeyboardInterrupt"),
            Self::Exit(status) => write!(f, "{status}"),
            Self::Runtime(text) => f.write_str(text),
            Self::NoRunningLoop => f.write_str("no running event loop"),
            Self::Panic(text) => f.write_str(text),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::other(error)
    }
}

const CLOSED: Error = Error::Runtime("Event loop is closed");
const NOT_DONE: Error = Error::Runtime("Result is not set.");

/// Calls code of the program. A panic becomes an error, so it ends neither the turn nor the run.
fn catch<R>(function: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(function)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Error::Panic(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").into())
    })
}

/// What a callback or a task's body returns: nothing, a plain value, or a `Result`.
pub trait Outcome {
    /// The value of success.
    type Value: 'static;
    /// Converts it to a result.
    ///
    /// # Errors
    /// The error of the callback or body.
    fn into_result(self) -> Result<Self::Value>;
}

impl<T: 'static> Outcome for Result<T> {
    type Value = T;
    fn into_result(self) -> Self {
        self
    }
}

macro_rules! plain_values {
    ($($type:ty),+) => { $(impl Outcome for $type {
        type Value = $type;
        fn into_result(self) -> Result<$type> {
            Ok(self)
        }
    })+ };
}

plain_values!((), bool, u32, i32, usize, String, &'static str);

// ---------------------------------------------------------------- callbacks

type OnceFunction = Box<dyn FnOnce() -> Result<()>>;

/// A function that the loop calls once, unless it is cancelled before.
struct Callback {
    function: Cell<Option<OnceFunction>>,
}

/// What `call_soon` and `call_later` return.
#[derive(Clone)]
pub struct Handle(Rc<Callback>);

impl Callback {
    fn new<R: Outcome>(function: impl FnOnce() -> R + 'static) -> Rc<Self> {
        let function = move || function().into_result().map(drop);
        Rc::new(Self { function: Cell::new(Some(Box::new(function))) })
    }

    /// A cancelled callback has no function, and neither has one that was called.
    fn is_cancelled(&self) -> bool {
        let function = self.function.take();
        let cancelled = function.is_none();
        self.function.set(function);
        cancelled
    }

    fn run(&self) -> Result<()> {
        self.function.take().map_or(Ok(()), |function| catch(function)?)
    }
}

impl Handle {
    /// Keeps the callback from running, and drops its function.
    pub fn cancel(&self) {
        drop(self.0.function.take());
    }
}

/// What the ready queue holds: a callback, or the step of a task.
#[derive(Clone)]
enum Entry {
    Callback(Rc<Callback>),
    Step(Rc<TaskCell>),
}

// ---------------------------------------------------------------- futures

#[derive(Clone, Copy, PartialEq)]
enum State {
    Pending,
    Done,
    Failed,
    Cancelled,
}

/// What all futures have: a state, a value or an error, and the entries that wait.
struct FutureCore {
    lp: EventLoop,
    state: Cell<State>,
    value: RefCell<Option<Box<dyn Any>>>,
    error: RefCell<Option<Error>>,
    /// Whether any code has seen the error. If none has, it is reported in the end.
    retrieved: Cell<bool>,
    /// In the order of their registration, and with a key by which a leaf removes its own.
    waiters: RefCell<BTreeMap<u64, Entry>>,
    registered: Cell<u64>,
}

impl FutureCore {
    fn new(lp: &EventLoop) -> Self {
        Self {
            lp: lp.clone(),
            state: Cell::new(State::Pending),
            value: RefCell::default(),
            error: RefCell::default(),
            retrieved: Cell::new(false),
            waiters: RefCell::default(),
            registered: Cell::new(0),
        }
    }

    fn done(&self) -> bool {
        self.state.get() != State::Pending
    }

    fn cancelled(&self) -> bool {
        self.state.get() == State::Cancelled
    }

    // ANCHOR: complete
    /// Registers a waiter, and returns its key. If the future is done, the waiter is queued at once.
    fn add_waiter(&self, waiter: Entry) -> u64 {
        let key = self.registered.get() + 1;
        self.registered.set(key);
        if self.done() {
            self.lp.push(waiter);
        } else {
            self.waiters.borrow_mut().insert(key, waiter);
        }
        key
    }

    /// Completes the future. It calls nothing: what waits is queued, in order.
    fn complete(&self, outcome: Result<Box<dyn Any>>) {
        let state = match outcome {
            Ok(value) => {
                *self.value.borrow_mut() = Some(value);
                State::Done
            }
            Err(error) => {
                let cancelled = error.is_cancelled();
                *self.error.borrow_mut() = Some(error);
                if cancelled { State::Cancelled } else { State::Failed }
            }
        };
        self.state.set(state);
        for waiter in self.waiters.take().into_values() {
            self.lp.push(waiter);
        }
    }
    // ANCHOR_END: complete

    /// Returns `Ok` if it is done with a value, else its error.
    fn status(&self) -> Result<()> {
        self.retrieved.set(true);
        match &*self.error.borrow() {
            Some(error) => Err(error.clone()),
            None if self.done() => Ok(()),
            None => Err(NOT_DONE),
        }
    }

    fn value<T: Clone + 'static>(&self) -> Result<T> {
        self.status()?;
        let value = self.value.borrow();
        let value = value.as_ref().and_then(|value| value.downcast_ref::<T>());
        value.cloned().ok_or(Error::Runtime("a value of another type"))
    }
}

/// What can be awaited and cancelled, whatever its value is.
trait AnyFuture {
    fn core(&self) -> &FutureCore;

    /// Cancels it, or requests that; false if it is done.
    fn cancel(&self) -> bool;
}

/// A future that other code completes. A gathering is one that has children.
struct PlainFuture {
    core: FutureCore,
    children: Vec<Rc<dyn AnyFuture>>,
    cancel_requested: Cell<bool>,
    /// Whether a child's error is a value of the gathering (`return_exceptions`).
    keeps_errors: Cell<bool>,
}

impl PlainFuture {
    fn new(lp: &EventLoop, children: Vec<Rc<dyn AnyFuture>>) -> Rc<Self> {
        let (cancel_requested, keeps_errors) = (Cell::new(false), Cell::new(false));
        Rc::new(Self { core: FutureCore::new(lp), children, cancel_requested, keeps_errors })
    }

    /// Completes it, unless it is done already.
    fn settle(&self, outcome: Result<Box<dyn Any>>) {
        if !self.core.done() {
            self.core.complete(outcome);
        }
    }
}

impl AnyFuture for PlainFuture {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    fn cancel(&self) -> bool {
        if self.core.done() {
            return false;
        }
        if self.children.is_empty() {
            self.core.complete(Err(Error::cancelled()));
            return true;
        }
        // A gathering is over when its children are. So it only passes the request on.
        let accepted = self.children.iter().filter(|child| child.cancel()).count() > 0;
        self.cancel_requested.set(self.cancel_requested.get() | accepted);
        accepted
    }
}

/// A result that will be there later (`asyncio.Future`).
pub struct Future<T>(Rc<PlainFuture>, PhantomData<T>);

impl<T> Clone for Future<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T: Clone + 'static> Future<T> {
    fn new(lp: &EventLoop) -> Self {
        Self(PlainFuture::new(lp, Vec::new()), PhantomData)
    }

    /// Sets the value.
    ///
    /// # Errors
    /// If it is done.
    pub fn set_result(&self, value: T) -> Result<()> {
        if self.done() {
            return Err(Error::Runtime("invalid state"));
        }
        self.0.core.complete(Ok(Box::new(value)));
        Ok(())
    }

    /// Returns the value.
    ///
    /// # Errors
    /// Its error, or that it is not done.
    pub fn result(&self) -> Result<T> {
        self.0.core.value()
    }

    /// Tells whether it is done.
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.core.done()
    }

    /// Tells whether it was cancelled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.core.cancelled()
    }

    /// Cancels it; false if it is done.
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }
}

// ---------------------------------------------------------------- tasks

type Body = Pin<Box<dyn StdFuture<Output = Result<Box<dyn Any>>>>>;

/// A future whose value comes from a body that the loop runs step by step.
struct TaskCell {
    core: FutureCore,
    id: u64,
    name: Rc<str>,
    /// Empty while the body is polled, and when the task is done.
    body: Cell<Option<Body>>,
    started: Cell<bool>,
    must_cancel: Cell<bool>,
    /// How many cancellations were requested, and not taken back.
    requests: Cell<u32>,
    waits_on: RefCell<Option<Rc<dyn AnyFuture>>>,
    /// Its place in the loop's table, which keeps it alive until it is done.
    key: Cell<Option<usize>>,
    reports: Cell<bool>,
}

thread_local! {
    /// The loop that runs on this thread.
    static RUNNING: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    /// The task whose step runs.
    static CURRENT: RefCell<Option<Rc<TaskCell>>> = const { RefCell::new(None) };
}

impl AnyFuture for TaskCell {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    // ANCHOR: cancel
    /// Requests a cancellation. What the task waits on is cancelled; if there is nothing, the request
    /// is kept for the next step.
    fn cancel(&self) -> bool {
        if self.core.done() {
            return false;
        }
        self.requests.set(self.requests.get() + 1);
        let waits_on = self.waits_on.borrow().clone();
        if !waits_on.is_some_and(|future| future.cancel()) {
            self.must_cancel.set(true);
        }
        true
    }
    // ANCHOR_END: cancel
}

impl TaskCell {
    // ANCHOR: step
    /// Runs the body until its next suspension or its end. The error is one that leaves the loop.
    fn step(self: &Rc<Self>) -> Result<()> {
        self.waits_on.take();
        let Some(mut body) = self.body.take() else { return Ok(()) };
        let outer = CURRENT.replace(Some(self.clone()));
        let polled = if !self.started.replace(true) && self.must_cancel.take() {
            // An exception thrown into a coroutine that never started comes straight out of it.
            Poll::Ready(Err(Error::cancelled()))
        } else {
            let waker = self.core.lp.waker(self.key.get());
            let polled = catch(|| body.as_mut().poll(&mut Context::from_waker(&waker)));
            polled.unwrap_or_else(|panic| Poll::Ready(Err(panic)))
        };
        let ended = match polled {
            Poll::Pending => {
                self.body.set(Some(body));
                // A request of this very step is delivered at its first suspension.
                let waits_on = self.waits_on.borrow().clone();
                if self.must_cancel.get() && waits_on.is_some_and(|future| future.cancel()) {
                    self.must_cancel.set(false);
                }
                Ok(())
            }
            Poll::Ready(outcome) => {
                // The body's destructors run while its task is the current one.
                drop(catch(|| drop(body)));
                self.finish(outcome)
            }
        };
        CURRENT.set(outer);
        ended
    }
    // ANCHOR_END: step

    /// Sets the outcome. A request that no await has taken still counts, but not over an error.
    fn finish(&self, outcome: Result<Box<dyn Any>>) -> Result<()> {
        let late = self.must_cancel.take() && outcome.is_ok();
        let outcome = if late { Err(Error::cancelled()) } else { outcome };
        let exit = outcome.as_ref().err().filter(|error| error.leaves_the_loop()).cloned();
        self.core.complete(outcome);
        let kept = self.key.take().map(|key| self.core.lp.0.tasks.borrow_mut().remove(key));
        drop(kept);
        exit.map_or(Ok(()), Err)
    }

    /// Drops the body of a task that will never go on, because its loop is closed.
    fn abandon(self: &Rc<Self>) {
        self.key.set(None);
        if self.reports.get() {
            let context = ExceptionContext::new("Task was destroyed but it is pending!").with_task(self);
            self.core.lp.call_exception_handler(&context);
        }
        let outer = CURRENT.replace(Some(self.clone()));
        drop(catch(|| drop(self.body.take())));
        CURRENT.set(outer);
        self.core.waiters.take();
    }
}

impl Drop for TaskCell {
    fn drop(&mut self) {
        let error = self.core.error.borrow().clone().filter(|error| !error.is_cancelled());
        if let (Some(error), false) = (error, self.core.retrieved.get()) {
            let context = ExceptionContext::new("Task exception was never retrieved").with_error(error);
            self.core.lp.call_exception_handler(&context.with_task(self));
        }
    }
}

/// A task whose value has the type `T` (`asyncio.Task`).
pub struct Task<T>(Rc<TaskCell>, PhantomData<T>);

/// A task of any type.
#[derive(Clone)]
pub struct TaskRef(Rc<TaskCell>);

impl<T> Clone for Task<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

macro_rules! task_methods {
    () => {
        /// Requests a cancellation; false if the task is done.
        pub fn cancel(&self) -> bool {
            self.0.cancel()
        }

        /// Tells whether it is done.
        #[must_use]
        pub fn done(&self) -> bool {
            self.0.core.done()
        }

        /// Tells whether it ended cancelled.
        #[must_use]
        pub fn cancelled(&self) -> bool {
            self.0.core.cancelled()
        }

        /// Returns how many cancellations were requested, and not taken back.
        #[must_use]
        pub fn cancelling(&self) -> u32 {
            self.0.requests.get()
        }

        /// Returns its name.
        #[must_use]
        pub fn name(&self) -> Rc<str> {
            self.0.name.clone()
        }

        /// Returns its number.
        #[must_use]
        pub fn id(&self) -> u64 {
            self.0.id
        }

        /// Returns the error that it ended with.
        ///
        /// # Errors
        /// If it is not done, or was cancelled.
        pub fn error(&self) -> Result<Option<Error>> {
            match self.0.core.status() {
                Err(error) if self.done() && !error.is_cancelled() => Ok(Some(error)),
                status => status.map(|()| None),
            }
        }
    };
}

impl TaskRef {
    task_methods!();
}

impl<T: Clone + 'static> Task<T> {
    task_methods!();

    /// Returns the value.
    ///
    /// # Errors
    /// Its error, or that it is not done.
    pub fn result(&self) -> Result<T> {
        self.0.core.value()
    }

    /// Queues `callback` when the task is done.
    pub fn add_done_callback<R: Outcome>(&self, callback: impl FnOnce(&Self) -> R + 'static) {
        let this = self.clone();
        self.0.core.add_waiter(Entry::Callback(Callback::new(move || callback(&this))));
    }
}

impl Task<()> {
    /// Returns what makes a task with a name.
    #[must_use]
    pub fn builder() -> TaskBuilder {
        TaskBuilder::default()
    }
}

/// Makes a task with a name.
#[derive(Default)]
pub struct TaskBuilder {
    name: Option<Rc<str>>,
}

/// A named body that is no task yet.
pub struct Prepared<F>(TaskBuilder, F);

impl TaskBuilder {
    /// Sets the name.
    #[must_use]
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes the task on the running loop, and queues its first step.
    ///
    /// # Panics
    /// Without a running loop.
    pub fn spawn<F: StdFuture<Output: Outcome> + 'static>(
        self,
        body: F,
    ) -> Task<<F::Output as Outcome>::Value> {
        self.spawn_on(&get_running_loop().expect("a loop runs on this thread"), body)
    }

    /// Makes the task on this loop.
    pub fn spawn_on<F: StdFuture<Output: Outcome> + 'static>(
        self,
        lp: &EventLoop,
        body: F,
    ) -> Task<<F::Output as Outcome>::Value> {
        let id = lp.0.tasks_made.get() + 1;
        lp.0.tasks_made.set(id);
        let body = async { body.await.into_result().map(|value| Box::new(value) as Box<dyn Any>) };
        let cell = Rc::new(TaskCell {
            core: FutureCore::new(lp),
            id,
            name: self.name.unwrap_or_else(|| format!("Task-{id}").into()),
            body: Cell::new(Some(Box::pin(body))),
            started: Cell::new(false),
            must_cancel: Cell::new(false),
            requests: Cell::new(0),
            waits_on: RefCell::default(),
            key: Cell::new(None),
            reports: Cell::new(true),
        });
        if !lp.0.closed.get() {
            cell.key.set(Some(lp.0.tasks.borrow_mut().insert(cell.clone())));
            lp.push(Entry::Step(cell.clone()));
        }
        Task(cell, PhantomData)
    }

    /// Keeps a name and a body for `run_until_complete`.
    pub fn prepare<F: StdFuture<Output: Outcome> + 'static>(self, body: F) -> Prepared<F> {
        Prepared(self, body)
    }
}

/// Makes a task on the running loop (`asyncio.create_task`).
///
/// # Panics
/// Without a running loop.
pub fn create_task<F: StdFuture<Output: Outcome> + 'static>(body: F) -> Task<<F::Output as Outcome>::Value> {
    Task::builder().spawn(body)
}

/// Returns the task whose step runs (`asyncio.current_task`).
#[must_use]
pub fn current_task() -> Option<TaskRef> {
    CURRENT.with_borrow(|task| task.clone().map(TaskRef))
}

/// Returns the tasks of the running loop that are not done (`asyncio.all_tasks`).
#[must_use]
pub fn all_tasks() -> Vec<TaskRef> {
    get_running_loop().map(|lp| lp.all_tasks()).unwrap_or_default()
}

// ---------------------------------------------------------------- awaits

/// Where an await of a future ends. It is registered with the future while the task is suspended.
struct Leaf {
    on: Rc<dyn AnyFuture>,
    key: Option<u64>,
}

impl StdFuture for Leaf {
    type Output = Result<()>;

    // ANCHOR: leaf
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(task) = CURRENT.with_borrow(Clone::clone) else {
            return Poll::Ready(Err(Error::NoRunningLoop));
        };
        if self.key.is_some() && task.must_cancel.take() {
            return Poll::Ready(Err(Error::cancelled()));
        }
        if self.on.core().done() {
            return Poll::Ready(Ok(()));
        }
        *task.waits_on.borrow_mut() = Some(self.on.clone());
        if self.key.is_none() {
            self.key = Some(self.on.core().add_waiter(Entry::Step(task)));
        }
        Poll::Pending
    }
    // ANCHOR_END: leaf
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.on.core().waiters.borrow_mut().remove(&key);
        }
    }
}

/// Waits until a future is done, and returns its value.
async fn value_of<T: Clone + 'static>(on: Rc<dyn AnyFuture>) -> Result<T> {
    Leaf { on: on.clone(), key: None }.await?;
    on.core().value()
}

/// The await of a task or a future: boxed, so that it has a name.
type Awaited<T> = Pin<Box<dyn StdFuture<Output = Result<T>>>>;

macro_rules! awaitable {
    ($($type:ty),+) => { $(impl<T: Clone + 'static> IntoFuture for $type {
        type Output = Result<T>;
        type IntoFuture = Awaited<T>;
        fn into_future(self) -> Awaited<T> {
            Box::pin(value_of(self.0.clone()))
        }
    }

    impl<T: Clone + 'static> EnsureFuture for $type {
        type Value = T;
        fn ensure(self, _: &EventLoop) -> Rc<dyn AnyFuture> {
            self.0.clone()
        }
        fn read(core: &FutureCore) -> Result<T> {
            core.value()
        }
    })+ };
}

awaitable!(Task<T>, &Task<T>, Future<T>, &Future<T>);

/// What can be run, gathered or waited for: a body, a task or a future (`asyncio.ensure_future`).
pub trait EnsureFuture {
    /// The type of its value.
    type Value: 'static;
    /// Returns the future, which is a new task if it was a body.
    fn ensure(self, lp: &EventLoop) -> Rc<dyn AnyFuture>;
    /// Reads its value.
    ///
    /// # Errors
    /// The error that it ended with.
    fn read(core: &FutureCore) -> Result<Self::Value>;
}

impl<F: StdFuture<Output: Outcome<Value: Clone>> + 'static> EnsureFuture for F {
    type Value = <F::Output as Outcome>::Value;
    fn ensure(self, lp: &EventLoop) -> Rc<dyn AnyFuture> {
        Prepared(TaskBuilder::default(), self).ensure(lp)
    }
    fn read(core: &FutureCore) -> Result<Self::Value> {
        core.value()
    }
}

impl<F: StdFuture<Output: Outcome<Value: Clone>> + 'static> EnsureFuture for Prepared<F> {
    type Value = <F::Output as Outcome>::Value;
    fn ensure(self, lp: &EventLoop) -> Rc<dyn AnyFuture> {
        let task = self.0.spawn_on(lp, self.1);
        // Its caller waits for it, so no report is needed if it is never finished.
        task.0.reports.set(false);
        task.0
    }
    fn read(core: &FutureCore) -> Result<Self::Value> {
        core.value()
    }
}

macro_rules! ensure_task_ref {
    ($($type:ty),+) => { $(    impl EnsureFuture for $type {
        type Value = ();
        fn ensure(self, _: &EventLoop) -> Rc<dyn AnyFuture> {
            self.0.clone()
        }
        fn read(core: &FutureCore) -> Result<()> {
            core.status()
        }
    })+ };
}

ensure_task_ref!(TaskRef, &TaskRef);

/// Suspends for one turn (`asyncio.sleep(0)`).
///
/// # Errors
/// A cancellation.
pub async fn yield_now() -> Result<()> {
    let mut yielded = false;
    poll_fn(|_| {
        let Some(task) = CURRENT.with_borrow(Clone::clone) else {
            return Poll::Ready(Err(Error::NoRunningLoop));
        };
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(if task.must_cancel.take() { Err(Error::cancelled()) } else { Ok(()) });
        }
        task.core.lp.clone().push(Entry::Step(task));
        Poll::Pending
    })
    .await
}

/// Cancels a callback when it is dropped.
struct CancelOnDrop(Handle);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Suspends the task for `delay` (`asyncio.sleep`).
///
/// # Errors
/// A cancellation.
pub async fn sleep(delay: Duration) -> Result<()> {
    if delay.is_zero() {
        return yield_now().await;
    }
    let lp = get_running_loop()?;
    let slept = Future::<()>::new(&lp);
    let wakes = slept.0.clone();
    let _timer = CancelOnDrop(lp.call_later(delay, move || wakes.settle(Ok(Box::new(()))))?);
    slept.await
}

// ---------------------------------------------------------------- the loop

/// A handle of the loop. A clone is the same loop.
#[derive(Clone)]
pub struct EventLoop(Rc<Inner>);

type ExceptionHandler = Rc<dyn Fn(&EventLoop, &ExceptionContext) -> Result<()>>;
type Reader = Rc<dyn Fn() -> Result<()>>;

struct Inner {
    ready: RefCell<VecDeque<Entry>>,
    timers: RefCell<BTreeMap<(Instant, u64), Rc<Callback>>>,
    timers_set: Cell<u64>,
    reactor: RefCell<Reactor>,
    signals: RefCell<BTreeMap<Signal, SignalHandler>>,
    inbox: Arc<Inbox>,
    tasks: RefCell<Slab<Rc<TaskCell>>>,
    tasks_made: Cell<u64>,
    jobs: RefCell<Slab<Rc<PlainFuture>>>,
    executor: RefCell<Option<Executor>>,
    handler: RefCell<Option<ExceptionHandler>>,
    turns: Cell<u64>,
    stopping: Cell<bool>,
    running: Cell<bool>,
    closed: Cell<bool>,
}

impl PartialEq for EventLoop {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// A run under way. Dropping it ends the run, also when an error leaves it.
struct Run<'a>(&'a Inner);

impl<'a> Run<'a> {
    fn begin(lp: &'a EventLoop) -> Result<Self> {
        lp.check_runnable()?;
        lp.0.running.set(true);
        RUNNING.set(Some(lp.clone()));
        Ok(Self(&lp.0))
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.stopping.set(false);
        self.0.running.set(false);
        RUNNING.set(None);
    }
}

impl EventLoop {
    /// Makes a loop.
    ///
    /// # Errors
    /// Of the system.
    pub fn new() -> Result<Self> {
        let reactor = Reactor::new()?;
        let waker = PollWaker::new(reactor.poller.registry(), WAKER)?;
        Ok(Self(Rc::new(Inner {
            ready: RefCell::default(),
            timers: RefCell::default(),
            timers_set: Cell::new(0),
            reactor: RefCell::new(reactor),
            signals: RefCell::default(),
            inbox: Arc::new(Inbox { sent: Mutex::default(), waker }),
            tasks: RefCell::default(),
            tasks_made: Cell::new(0),
            jobs: RefCell::default(),
            executor: RefCell::default(),
            handler: RefCell::default(),
            turns: Cell::new(0),
            stopping: Cell::new(false),
            running: Cell::new(false),
            closed: Cell::new(false),
        })))
    }

    fn push(&self, entry: Entry) {
        if !self.0.closed.get() {
            self.0.ready.borrow_mut().push_back(entry);
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.0.closed.get() { Err(CLOSED) } else { Ok(()) }
    }

    fn check_runnable(&self) -> Result<()> {
        self.check_open()?;
        if self.0.running.get() {
            return Err(Error::Runtime("This event loop is already running"));
        }
        if RUNNING.with_borrow(Option::is_some) {
            return Err(Error::Runtime("Cannot run the event loop while another loop is running"));
        }
        Ok(())
    }

    /// Queues a callback (`loop.call_soon`).
    ///
    /// # Errors
    /// If the loop is closed.
    pub fn call_soon<R: Outcome>(&self, function: impl FnOnce() -> R + 'static) -> Result<Handle> {
        self.check_open()?;
        let callback = Callback::new(function);
        self.push(Entry::Callback(callback.clone()));
        Ok(Handle(callback))
    }

    /// Sets a timer (`loop.call_later`).
    ///
    /// # Errors
    /// If the loop is closed.
    pub fn call_later<R: Outcome>(
        &self,
        delay: Duration,
        function: impl FnOnce() -> R + 'static,
    ) -> Result<Handle> {
        self.check_open()?;
        let sequence = self.0.timers_set.get();
        self.0.timers_set.set(sequence + 1);
        let callback = Callback::new(function);
        self.0.timers.borrow_mut().insert((Instant::now() + delay, sequence), callback.clone());
        Ok(Handle(callback))
    }

    /// Makes a future of this loop.
    #[must_use]
    pub fn create_future<T: Clone + 'static>(&self) -> Future<T> {
        Future::new(self)
    }

    /// Returns the tasks that are not done.
    #[must_use]
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.0.tasks.borrow().iter().map(|(_, task)| TaskRef(task.clone())).collect()
    }

    /// Tells whether the loop runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.running.get()
    }

    /// Tells whether the loop is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Returns how many turns the loop has made.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.turns.get()
    }

    /// Ends the run after the turn that is under way (`loop.stop`).
    pub fn stop(&self) {
        self.0.stopping.set(true);
    }

    /// Runs turn after turn until `stop` (`loop.run_forever`).
    ///
    /// # Errors
    /// If the loop may not run, or an error leaves it.
    pub fn run_forever(&self) -> Result<()> {
        let _run = Run::begin(self)?;
        loop {
            self.turn()?;
            if self.0.stopping.get() {
                return Ok(());
            }
        }
    }

    /// Runs until the body, task or future is done, and returns its value (`loop.run_until_complete`).
    ///
    /// # Errors
    /// Its error, the error of the run, or that the run ended before.
    pub fn run_until_complete<A: EnsureFuture>(&self, what: A) -> Result<A::Value> {
        self.check_runnable()?;
        let future = what.ensure(self);
        let (this, watched) = (self.clone(), Rc::downgrade(&future));
        let stop = Callback::new(move || {
            // An error that leaves the loop has ended this run already, and must not stop the next one.
            let left = |error: &Error| error.leaves_the_loop();
            let error = watched.upgrade().and_then(|future| future.core().error.borrow().clone());
            if !error.as_ref().is_some_and(left) {
                this.stop();
            }
        });
        let key = future.core().add_waiter(Entry::Callback(stop));
        let ran = self.run_forever();
        future.core().waiters.borrow_mut().remove(&key);
        if let Err(error) = ran {
            future.core().retrieved.set(future.core().done());
            return Err(error);
        }
        if !future.core().done() {
            return Err(Error::Runtime("Event loop stopped before Future completed."));
        }
        A::read(future.core())
    }

    // ANCHOR: turn
    /// Makes one turn. This is the event loop.
    fn turn(&self) -> Result<()> {
        let lp = &*self.0;
        lp.turns.set(lp.turns.get() + 1);
        // Calls of other threads come first, so that the choice of the timeout knows of them.
        self.empty_inbox();
        self.drop_cancelled_timers();
        let events = self.poll(self.poll_timeout())?;
        self.empty_inbox();
        self.queue_io(&events);
        self.queue_due_timers();

        // What is queued from here on is not in this turn: the batch is frozen.
        let frozen = lp.ready.borrow().len();
        for _ in 0..frozen {
            let next = lp.ready.borrow_mut().pop_front();
            match next {
                Some(Entry::Callback(callback)) => self.report_or_exit(callback.run())?,
                Some(Entry::Step(task)) => task.step()?,
                None => {}
            }
        }
        Ok(())
    }
    // ANCHOR_END: turn

    /// Reports the error of a callback, or returns one that leaves the loop.
    fn report_or_exit(&self, ran: Result<()>) -> Result<()> {
        match ran {
            Err(error) if error.leaves_the_loop() => return Err(error),
            Err(error) => {
                self.call_exception_handler(
                    &ExceptionContext::new("Exception in callback").with_error(error),
                );
            }
            Ok(()) => {}
        }
        Ok(())
    }

    fn drop_cancelled_timers(&self) {
        let mut timers = self.0.timers.borrow_mut();
        while let Some(first) = timers.first_entry().filter(|first| first.get().is_cancelled()) {
            first.remove();
        }
    }

    /// Returns zero if anything is ready or the loop stops, else the time to the first timer, else `None`.
    fn poll_timeout(&self) -> Option<Duration> {
        if !self.0.ready.borrow().is_empty() || self.0.stopping.get() {
            return Some(Duration::ZERO);
        }
        let timers = self.0.timers.borrow();
        let ((when, _), _) = timers.first_key_value()?;
        Some(when.saturating_duration_since(Instant::now()))
    }

    // ANCHOR: poll
    /// Polls: the only place where the loop sleeps. A message that has come just before keeps it awake.
    fn poll(&self, timeout: Option<Duration>) -> Result<Vec<Token>> {
        let sleeps = timeout != Some(Duration::ZERO) && self.0.inbox.going_to_sleep();
        let timeout = if sleeps { timeout } else { Some(Duration::ZERO) };
        self.0.reactor.borrow_mut().poll(timeout)
    }
    // ANCHOR_END: poll

    /// Queues the callbacks of what the poll has found. None of them runs here.
    fn queue_io(&self, events: &[Token]) {
        for &event in events {
            let reader = self.0.reactor.borrow().readers.get(&event).cloned();
            if let Some(reader) = reader {
                self.push(Entry::Callback(Callback::new(move || reader())));
            }
        }
    }

    fn queue_due_timers(&self) {
        let now = Instant::now();
        let mut timers = self.0.timers.borrow_mut();
        while let Some(first) = timers.first_entry().filter(|first| first.key().0 <= now) {
            self.push(Entry::Callback(first.remove()));
        }
    }

    /// Closes the loop (`loop.close`). Tasks that are not done are reported and dropped.
    ///
    /// # Errors
    /// If it runs.
    pub fn close(&self) -> Result<()> {
        if self.0.running.get() {
            return Err(Error::Runtime("Cannot close a running event loop"));
        }
        if self.0.closed.replace(true) {
            return Ok(());
        }
        self.0.inbox.sent().closed = true;
        let signals: Vec<Signal> = self.0.signals.borrow().keys().copied().collect();
        for signal in signals {
            self.remove_signal_handler(signal)?;
        }
        // Everything is taken out first and dropped then: destructors may use the loop.
        let tasks = mem::take(&mut *self.0.tasks.borrow_mut());
        drop((
            self.0.ready.take(),
            self.0.timers.take(),
            mem::take(&mut self.0.reactor.borrow_mut().readers),
        ));
        for (_, task) in tasks {
            task.abandon();
        }
        if let Some(executor) = self.0.executor.take() {
            executor.shutdown(false, false)?;
        }
        Ok(())
    }
}

/// Returns the loop that runs on this thread (`asyncio.get_running_loop`).
///
/// # Errors
/// If there is none.
pub fn get_running_loop() -> Result<EventLoop> {
    RUNNING.with_borrow(|lp| lp.clone().ok_or(Error::NoRunningLoop))
}

/// Stops the running loop.
///
/// # Errors
/// If there is none.
pub fn stop() -> Result<()> {
    get_running_loop()?.stop();
    Ok(())
}

// ---------------------------------------------------------------- reports

/// What is reported to the exception handler.
pub struct ExceptionContext {
    message: String,
    error: Option<Error>,
    task: Option<TaskInfo>,
}

/// The task that a report is about.
pub struct TaskInfo {
    /// Its name.
    pub name: String,
}

impl ExceptionContext {
    fn new(message: &str) -> Self {
        Self { message: message.to_owned(), error: None, task: None }
    }

    fn with_error(mut self, error: Error) -> Self {
        self.error = Some(error);
        self
    }

    fn with_task(mut self, task: &TaskCell) -> Self {
        self.task = Some(TaskInfo { name: task.name.to_string() });
        self
    }

    /// Returns what has happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the error.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns the task.
    #[must_use]
    pub fn task(&self) -> Option<&TaskInfo> {
        self.task.as_ref()
    }
}

impl EventLoop {
    /// Sets what reports go to (`loop.set_exception_handler`).
    pub fn set_exception_handler<F, R>(&self, handler: Option<F>)
    where
        F: Fn(&EventLoop, &ExceptionContext) -> R + 'static,
        R: Outcome,
    {
        let handler = handler.map(|handler| -> ExceptionHandler {
            Rc::new(move |lp, context| handler(lp, context).into_result().map(drop))
        });
        drop(self.0.handler.replace(handler));
    }

    /// Reports to the exception handler, or to the log if there is none.
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        let handler = self.0.handler.borrow().clone();
        let Some(handler) = handler else {
            let error = context.error.as_ref().map(ToString::to_string).unwrap_or_default();
            return log::error!("{} {error}", context.message);
        };
        if let Err(error) = catch(|| handler(self, context)).and_then(|called| called) {
            log::error!("Unhandled error in exception handler: {error}");
        }
    }
}

// ---------------------------------------------------------------- descriptors and signals

const WAKER: Token = Token(usize::MAX);
/// Descriptors have their own numbers as tokens, and signals have theirs above these.
const SIGNALS: usize = 1 << 32;

/// A signal (`signal.Signals`), with those that the lessons use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// The terminal is gone.
    pub const SIGHUP: Self = Self(consts::SIGHUP);
    /// Ctrl-C.
    pub const SIGINT: Self = Self(consts::SIGINT);
    /// A request to end.
    pub const SIGTERM: Self = Self(consts::SIGTERM);
    /// A meaning of the program's own.
    pub const SIGUSR1: Self = Self(consts::SIGUSR1);
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(signal_hook::low_level::signal_name(self.0).unwrap_or("a signal"))
    }
}

/// What Python's module `signal` has.
pub mod signal {
    /// Sends a signal to the program itself (`signal.raise_signal`).
    ///
    /// # Errors
    /// Of the system.
    pub fn raise(signal: super::Signal) -> super::Result<()> {
        Ok(signal_hook::low_level::raise(signal.0)?)
    }
}

/// What waits for descriptors: mio's edges made levels.
struct Reactor {
    poller: Poller,
    events: Events,
    readers: BTreeMap<Token, Reader>,
    reported: Vec<Token>,
}

impl Reactor {
    fn new() -> Result<Self> {
        let (readers, reported) = (BTreeMap::new(), Vec::new());
        Ok(Self { poller: Poller::new()?, events: Events::with_capacity(256), readers, reported })
    }

    // ANCHOR: reactor
    /// Arms what the last poll reported, waits, and returns what is ready now.
    fn poll(&mut self, timeout: Option<Duration>) -> Result<Vec<Token>> {
        for token in mem::take(&mut self.reported) {
            if self.readers.contains_key(&token) && token.0 < SIGNALS {
                let fd = token.0 as RawFd;
                self.poller.registry().reregister(&mut SourceFd(&fd), token, Interest::READABLE)?;
            }
        }
        match self.poller.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            polled => polled?,
        }
        self.reported = self.events.iter().map(|event| event.token()).collect();
        Ok(self.reported.clone())
    }
    // ANCHOR_END: reactor
}

/// The self-pipe of one signal, and the action that writes into it.
struct SignalHandler {
    pipe: Pipe,
    action: SigId,
    handler: Reader,
}

impl EventLoop {
    /// Calls `reader` in each turn in which the descriptor can be read (`loop.add_reader`).
    ///
    /// # Errors
    /// Of the system.
    pub fn add_reader<R: Outcome>(&self, fd: RawFd, reader: impl Fn() -> R + 'static) -> Result<()> {
        self.check_open()?;
        let mut reactor = self.0.reactor.borrow_mut();
        let token = Token(fd as usize);
        reactor.poller.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        reactor.readers.insert(token, Rc::new(move || reader().into_result().map(drop)));
        Ok(())
    }

    /// Removes a reader; false if there was none (`loop.remove_reader`).
    ///
    /// # Errors
    /// Of the system.
    pub fn remove_reader(&self, fd: RawFd) -> Result<bool> {
        let removed = self.0.reactor.borrow_mut().readers.remove(&Token(fd as usize));
        if removed.is_some() {
            self.0.reactor.borrow().poller.registry().deregister(&mut SourceFd(&fd))?;
        }
        Ok(removed.is_some())
    }

    /// Has the loop call `handler` when the signal has come, at least once (`loop.add_signal_handler`).
    ///
    /// # Errors
    /// If the loop is closed, or the system refuses it.
    pub fn add_signal_handler<R: Outcome>(
        &self,
        signal: Signal,
        handler: impl Fn() -> R + 'static,
    ) -> Result<()> {
        self.check_open()?;
        self.remove_signal_handler(signal)?;
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let (mut pipe, token) = (Pipe::from_std(read), Token(SIGNALS + signal.0 as usize));
        let this = self.clone();
        let mut reactor = self.0.reactor.borrow_mut();
        reactor.poller.registry().register(&mut pipe, token, Interest::READABLE)?;
        reactor.readers.insert(token, Rc::new(move || this.read_signal(signal)));
        let action = pipe::register(signal.0, write)?;
        let handler: Reader = Rc::new(move || handler().into_result().map(drop));
        self.0.signals.borrow_mut().insert(signal, SignalHandler { pipe, action, handler });
        Ok(())
    }

    // ANCHOR: signal
    /// Reads a self-pipe until it is empty, and queues the handler once for each byte.
    fn read_signal(&self, signal: Signal) -> Result<()> {
        let signals = self.0.signals.borrow();
        let Some(SignalHandler { pipe, handler, .. }) = signals.get(&signal) else { return Ok(()) };
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = (&*pipe).read(&mut bytes) {
            for _ in 0..count {
                let handler = handler.clone();
                self.push(Entry::Callback(Callback::new(move || handler())));
            }
        }
        Ok(())
    }
    // ANCHOR_END: signal

    /// Removes a signal's handler; false if there was none (`loop.remove_signal_handler`).
    ///
    /// # Errors
    /// Of the system.
    pub fn remove_signal_handler(&self, signal: Signal) -> Result<bool> {
        let removed = self.0.signals.borrow_mut().remove(&signal);
        let Some(mut removed) = removed else { return Ok(false) };
        unregister(removed.action);
        let mut reactor = self.0.reactor.borrow_mut();
        reactor.poller.registry().deregister(&mut removed.pipe)?;
        let reader = reactor.readers.remove(&Token(SIGNALS + signal.0 as usize));
        drop(reactor);
        drop(reader);
        Ok(true)
    }
}

// ---------------------------------------------------------------- other threads

/// What another thread asks for.
enum Message {
    /// Wake the task of this key, whose waker was called.
    Wake(usize),
    /// Set the result of the job of this key.
    JobEnded(usize, Result<Box<dyn Any + Send>>),
}

#[derive(Default)]
struct Sent {
    messages: Vec<Message>,
    asleep: bool,
    closed: bool,
}

/// How other threads reach the loop: a list and a flag under one lock, and a waker.
struct Inbox {
    sent: Mutex<Sent>,
    waker: PollWaker,
}

impl Inbox {
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ANCHOR: inbox
    /// Sends a message, and wakes the loop if it sleeps. A closed loop takes none.
    fn send(&self, message: Message) {
        let mut sent = self.sent();
        if sent.closed {
            return;
        }
        sent.messages.push(message);
        let asleep = mem::take(&mut sent.asleep);
        drop(sent);
        if asleep && let Err(error) = self.waker.wake() {
            log::error!("cannot wake the loop from another thread: {error}");
        }
    }

    /// Notes that the loop goes to sleep; false if a message has come, and then it must not.
    fn going_to_sleep(&self) -> bool {
        let mut sent = self.sent();
        sent.asleep = sent.messages.is_empty();
        sent.asleep
    }
    // ANCHOR_END: inbox

    fn take(&self) -> Vec<Message> {
        let mut sent = self.sent();
        sent.asleep = false;
        mem::take(&mut sent.messages)
    }
}

/// Wakes a task for futures that are not this library's. It may be called on any thread.
struct TaskWaker {
    inbox: Arc<Inbox>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.inbox.send(Message::Wake(self.task));
    }
}

impl EventLoop {
    fn waker(&self, task: Option<usize>) -> Waker {
        let waker = |task| Waker::from(Arc::new(TaskWaker { inbox: self.0.inbox.clone(), task }));
        task.map_or_else(|| Waker::noop().clone(), waker)
    }

    /// Queues what other threads have sent.
    fn empty_inbox(&self) {
        for message in self.0.inbox.take() {
            match message {
                Message::Wake(key) => {
                    let task = self.0.tasks.borrow().get(key).cloned();
                    task.into_iter().for_each(|task| self.push(Entry::Step(task)));
                }
                Message::JobEnded(key, outcome) => {
                    let future = self.0.jobs.borrow_mut().remove(key);
                    let set = move || future.settle(outcome.map(|value| value as Box<dyn Any>));
                    self.push(Entry::Callback(Callback::new(set)));
                }
            }
        }
    }
}

// ---------------------------------------------------------------- the executor

type Function = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// A thread that takes a job claims it, and a cancel claims it, too: the first of them has it.
struct Job {
    key: usize,
    function: Function,
    claimed: Arc<AtomicBool>,
    inbox: Arc<Inbox>,
}

/// Threads for code that blocks (`concurrent.futures.ThreadPoolExecutor`).
#[derive(Clone)]
pub struct Executor(Arc<Mutex<Pool>>);

struct Pool {
    /// `None` when it is shut down.
    jobs: Option<Sender<Job>>,
    queue: Receiver<Job>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
}

impl Executor {
    /// Makes an executor; `most` limits its threads.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (jobs, queue) = unbounded();
        Self(Arc::new(Mutex::new(Pool { jobs: Some(jobs), queue, threads: Vec::new(), most })))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, job: Job) -> Result<()> {
        let mut pool = self.pool();
        let refused = Error::Runtime("cannot schedule new futures after shutdown");
        let Some(jobs) = &pool.jobs else { return Err(refused) };
        // The pool holds a receiver, and the channel has no limit: sending neither fails nor blocks.
        drop(jobs.send(job));
        if pool.threads.len() < pool.most {
            let queue = pool.queue.clone();
            pool.threads.push(thread::spawn(move || work(&queue)));
        }
        Ok(())
    }

    /// Ends the executor: with `wait` after all jobs, with `cancel` without those that have not begun.
    ///
    /// # Errors
    /// Never; it returns a result as looplab's does.
    pub fn shutdown(&self, wait: bool, cancel: bool) -> Result<()> {
        let mut pool = self.pool();
        drop(pool.jobs.take());
        if cancel {
            pool.queue.try_iter().for_each(drop);
        }
        let threads = mem::take(&mut pool.threads);
        drop(pool);
        if wait {
            for thread in threads {
                drop(thread.join());
            }
        }
        Ok(())
    }
}

// ANCHOR: work
/// Runs jobs until the channel is closed and empty.
fn work(queue: &Receiver<Job>) {
    for Job { key, function, claimed, inbox } in queue {
        if !claimed.swap(true, Ordering::Relaxed) {
            inbox.send(Message::JobEnded(key, catch(function)));
        }
    }
}
// ANCHOR_END: work

impl EventLoop {
    /// Runs `function` on a thread of the default executor (`loop.run_in_executor`).
    ///
    /// # Errors
    /// If the loop is closed or the executor is shut down.
    pub fn run_in_executor<R: Clone + Send + 'static>(
        &self,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Future<R>> {
        let executor = self.0.executor.borrow_mut().get_or_insert_with(|| Executor::new(32)).clone();
        self.run_in(&executor, function)
    }

    /// Runs `function` on a thread of this executor.
    ///
    /// # Errors
    /// If the loop is closed or the executor is shut down.
    pub fn run_in<R: Clone + Send + 'static>(
        &self,
        executor: &Executor,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Future<R>> {
        self.check_open()?;
        let future = Future::<R>::new(self);
        let key = self.0.jobs.borrow_mut().insert(future.0.clone());
        let (claimed, inbox) = (Arc::new(AtomicBool::new(false)), self.0.inbox.clone());
        let withdraw = claimed.clone();
        let function: Function = Box::new(move || Box::new(function()));
        executor.submit(Job { key, function, claimed, inbox })?;
        // If the future is cancelled before a thread has claimed the job, no thread runs it.
        let (this, watched) = (self.clone(), Rc::downgrade(&future.0));
        let ended = move || {
            let cancelled = watched.upgrade().is_some_and(|future| future.core.cancelled());
            if cancelled && !withdraw.swap(true, Ordering::Relaxed) {
                this.0.jobs.borrow_mut().remove(key);
            }
        };
        future.0.core.add_waiter(Entry::Callback(Callback::new(ended)));
        Ok(future)
    }

    /// Waits for the jobs of the default executor, and ends it (`loop.shutdown_default_executor`). This chapter
    /// knows no limit.
    pub fn shutdown_default_executor(
        &self,
        _limit: Option<Duration>,
    ) -> impl StdFuture<Output = Result<()>> + 'static {
        let this = self.clone();
        async move {
            let executor = this.0.executor.borrow().clone();
            let Some(executor) = executor else { return Ok(()) };
            // Joining blocks, so it is done on a thread of its own.
            let joiner = Executor::new(1);
            this.run_in(&joiner, move || drop(executor.shutdown(true, false)))?.await?;
            joiner.shutdown(true, false)
        }
    }
}

/// Runs `function` on a thread (`asyncio.to_thread`).
///
/// # Errors
/// Its panic, or a cancellation.
pub async fn to_thread<R: Clone + Send + 'static>(
    function: impl FnOnce() -> R + Send + 'static,
) -> Result<R> {
    get_running_loop()?.run_in_executor(function)?.await
}

// ---------------------------------------------------------------- combinators

/// Several at once; made by [`gather`].
pub struct Gather<T>(Result<Gathering<T>>);

/// A gathering whose outcomes are all values; made by [`Gather::return_exceptions`].
pub struct GatherAll<T>(Result<Gathering<T>>);

/// The future that is done when its children are, and how a child's value is read.
struct Gathering<T> {
    future: Rc<PlainFuture>,
    read: fn(&FutureCore) -> Result<T>,
}

/// Runs several at once, and awaits them all (`asyncio.gather`). The first error goes to the awaiter at once.
pub fn gather<I: IntoIterator<Item: EnsureFuture>>(children: I) -> Gather<<I::Item as EnsureFuture>::Value> {
    Gather(get_running_loop().map(|lp| Gathering::start(&lp, children)))
}

impl<T: 'static> Gathering<T> {
    // ANCHOR: gather
    /// Makes the children, and the future that is done when they are.
    fn start<A: EnsureFuture<Value = T>>(lp: &EventLoop, children: impl IntoIterator<Item = A>) -> Self {
        let children: Vec<_> = children.into_iter().map(|child| child.ensure(lp)).collect();
        let future = PlainFuture::new(lp, children);
        let left = Rc::new(Cell::new(future.children.len()));
        if left.get() == 0 {
            future.core.complete(Ok(Box::new(())));
        }
        for child in &future.children {
            let (outer, child_of, left) = (future.clone(), child.clone(), left.clone());
            let done = Callback::new(move || {
                left.set(left.get() - 1);
                let error = child_of.core().status().err();
                if let (Some(error), false) = (error, outer.keeps_errors.get()) {
                    outer.settle(Err(error));
                } else if left.get() == 0 {
                    let cancelled = outer.cancel_requested.get();
                    outer.settle(if cancelled { Err(Error::cancelled()) } else { Ok(Box::new(())) });
                }
            });
            child.core().add_waiter(Entry::Callback(done));
        }
        Self { future, read: A::read }
    }
    // ANCHOR_END: gather

    /// Waits until it is done, and returns the children's outcomes.
    async fn outcomes(self) -> Result<Vec<Result<T>>> {
        Leaf { on: self.future.clone(), key: None }.await?;
        self.future.core.status()?;
        Ok(self.future.children.iter().map(|child| (self.read)(child.core())).collect())
    }
}

impl<T: 'static> Gather<T> {
    /// Makes errors values: the gathering is done when all children are.
    #[must_use]
    pub fn return_exceptions(self) -> GatherAll<T> {
        if let Ok(gathering) = &self.0 {
            gathering.future.keeps_errors.set(true);
        }
        GatherAll(self.0)
    }
}

impl<T: 'static> IntoFuture for Gather<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = Awaited<Vec<T>>;
    fn into_future(self) -> Awaited<Vec<T>> {
        Box::pin(async { self.0?.outcomes().await?.into_iter().collect() })
    }
}

impl<T: 'static> IntoFuture for GatherAll<T> {
    type Output = Result<Vec<Result<T>>>;
    type IntoFuture = Awaited<Vec<Result<T>>>;
    fn into_future(self) -> Awaited<Vec<Result<T>>> {
        Box::pin(async { self.0?.outcomes().await })
    }
}

/// When [`wait`] returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ReturnWhen {
    /// When all are done.
    AllCompleted,
    /// When the first is done.
    FirstCompleted,
}

/// Waits until some or all are done, and returns those that are and those that are not (`asyncio.wait`).
///
/// # Errors
/// A cancellation of the waiting.
pub async fn wait<A: EnsureFuture + Clone>(
    items: impl IntoIterator<Item = A>,
    when: ReturnWhen,
    limit: Option<Duration>,
) -> Result<(Vec<A>, Vec<A>)> {
    let lp = get_running_loop()?;
    let items: Vec<(A, Rc<dyn AnyFuture>)> =
        items.into_iter().map(|item| (item.clone(), item.ensure(&lp))).collect();
    let waiter = Future::<()>::new(&lp);
    let wakes = waiter.0.clone();
    let timer = limit.map(|limit| lp.call_later(limit, move || wakes.settle(Ok(Box::new(())))));
    let _timer = timer.transpose()?.map(CancelOnDrop);
    let left = Rc::new(Cell::new(items.len()));
    let mut keys = Vec::new();
    for (_, future) in &items {
        let (left, wakes) = (left.clone(), waiter.0.clone());
        let done = Callback::new(move || {
            left.set(left.get() - 1);
            if left.get() == 0 || when == ReturnWhen::FirstCompleted {
                wakes.settle(Ok(Box::new(())));
            }
        });
        keys.push(future.core().add_waiter(Entry::Callback(done)));
    }
    let waited = waiter.await;
    for ((_, future), key) in items.iter().zip(keys) {
        future.core().waiters.borrow_mut().remove(&key);
    }
    waited?;
    let (done, pending): (Vec<_>, Vec<_>) = items.into_iter().partition(|(_, future)| future.core().done());
    let handles = |items: Vec<(A, _)>| items.into_iter().map(|(item, _)| item).collect();
    Ok((handles(done), handles(pending)))
}

/// Cancels the awaiting task's wait for `body` when the time is over (`asyncio.wait_for`).
///
/// # Errors
/// [`Error::TimedOut`], a cancellation, or the error of the body.
pub async fn wait_for<T>(body: impl StdFuture<Output = Result<T>>, limit: Duration) -> Result<T> {
    let (lp, task) = (get_running_loop()?, current_task().ok_or(Error::NoRunningLoop)?);
    let (expired, before, target) = (Rc::new(Cell::new(false)), task.cancelling(), task.clone());
    let expires = expired.clone();
    let timer = CancelOnDrop(lp.call_later(limit, move || {
        expires.set(true);
        target.cancel()
    })?);
    let outcome = body.await;
    drop(timer);
    if expired.get() {
        // The request was this timeout's, and is taken back. Another one keeps the cancellation.
        task.0.requests.set(task.0.requests.get().saturating_sub(1));
        if task.cancelling() <= before && outcome.as_ref().is_err_and(Error::is_cancelled) {
            return Err(Error::TimedOut);
        }
    }
    outcome
}

/// Protects a task from a cancellation of its awaiter (`asyncio.shield`).
///
/// # Panics
/// Without a running loop.
pub fn shield<A: EnsureFuture<Value: Clone>>(inner: A) -> Future<A::Value> {
    let lp = get_running_loop().expect("a loop runs on this thread");
    let (inner, outer) = (inner.ensure(&lp), Future::new(&lp));
    let (source, shielded) = (inner.clone(), outer.0.clone());
    let copy = Callback::new(move || {
        let outcome = A::read(source.core());
        shielded.settle(outcome.map(|value| Box::new(value) as Box<dyn Any>));
    });
    inner.core().add_waiter(Entry::Callback(copy));
    outer
}

// ---------------------------------------------------------------- whole programs

/// Runs a program: its main task, then the end of all others, of the executor and of the loop (`asyncio.run`).
///
/// # Errors
/// The error of the main task; [`Error::KeyboardInterrupt`] if Ctrl-C has cancelled it.
pub fn run<F: StdFuture<Output: Outcome<Value: Clone>> + 'static>(
    main: F,
) -> Result<<F::Output as Outcome>::Value> {
    if get_running_loop().is_ok() {
        return Err(Error::Runtime("asyncio.run() cannot be called from a running event loop"));
    }
    let lp = EventLoop::new()?;
    let task = Task::builder().spawn_on(&lp, main);
    let (interrupted, main) = (Rc::new(Cell::new(false)), task.clone());
    let arrived = interrupted.clone();
    lp.add_signal_handler(Signal::SIGINT, move || {
        // The first Ctrl-C cancels the main task; a second one, or one that comes too late, leaves the loop.
        if arrived.replace(true) || !main.cancel() { Err(Error::KeyboardInterrupt) } else { Ok(()) }
    })?;
    let mut result = lp.run_until_complete(&task);
    if interrupted.get() && result.as_ref().is_err_and(Error::is_cancelled) {
        result = Err(Error::KeyboardInterrupt);
    }
    drop(task);
    let ended = shutdown(&lp);
    lp.close()?;
    ended.and(result)
}

// ANCHOR: shutdown
/// Cancels what is left, waits for it, and ends the executor.
fn shutdown(lp: &EventLoop) -> Result<()> {
    let tasks = lp.all_tasks();
    if !tasks.is_empty() {
        for task in &tasks {
            task.cancel();
        }
        let gathering = Gathering::start(lp, &tasks);
        gathering.future.keeps_errors.set(true);
        lp.run_until_complete(async { gathering.outcomes().await.map(drop) })?;
    }
    for task in tasks {
        if let Ok(Some(error)) = task.error() {
            let context = ExceptionContext::new("unhandled exception during asyncio.run() shutdown");
            lp.call_exception_handler(&context.with_error(error).with_task(&task.0));
        }
    }
    // asyncio ends the asynchronous generators here. There are none, and their turns are made all the same.
    lp.run_until_complete(async {})?;
    lp.run_until_complete(lp.shutdown_default_executor(None))
}
// ANCHOR_END: shutdown
