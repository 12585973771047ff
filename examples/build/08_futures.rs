//! A future is a result that will be there later, and the list of what waits for it.
//!
//! Completing a future calls nothing: it moves the waiters to the ready queue. So each link of a chain
//! costs one turn, and no callback runs inside another. A task is a future, too. A cancellation walks
//! down the chain: a task passes it to what it waits on, and the future at the end is cancelled. The
//! error then travels up, from await to await.

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
struct Cancelled;

type Result<T> = std::result::Result<T, Cancelled>;

/// What the ready queue holds: a callback, or the step of a task.
enum Entry {
    Callback(Box<dyn FnOnce()>),
    Step(Rc<dyn AnyTask>),
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Pending,
    Done,
    Cancelled,
}

/// What all futures have. A waiter is an entry that is not queued yet.
#[derive(Default)]
struct FutureCore {
    state: Cell<State>,
    /// In the order of their registration, and with a key by which a leaf removes its own.
    waiters: RefCell<BTreeMap<u64, Entry>>,
    registered: Cell<u64>,
}

impl FutureCore {
    fn done(&self) -> bool {
        self.state.get() != State::Pending
    }

    // ANCHOR: core
    /// Registers a waiter, and returns its key. If the future is done, the waiter is queued at once.
    fn add_waiter(&self, waiter: Entry) -> u64 {
        if self.done() {
            queue(waiter);
            return 0;
        }
        self.registered.set(self.registered.get() + 1);
        self.waiters.borrow_mut().insert(self.registered.get(), waiter);
        self.registered.get()
    }

    /// Completes the future: what waits for it is queued, in order.
    fn complete(&self, state: State) {
        self.state.set(state);
        self.waiters.take().into_values().for_each(queue);
    }
    // ANCHOR_END: core
}

/// What can be awaited and cancelled, whatever its result is.
trait AnyFuture {
    fn core(&self) -> &FutureCore;

    /// Cancels it, or requests that; false if it is done.
    fn cancel(&self) -> bool;

    fn cancelled(&self) -> bool {
        self.core().state.get() == State::Cancelled
    }

    /// Queues `callback` when it is done.
    fn add_done_callback(&self, callback: impl FnOnce() + 'static)
    where
        Self: Sized,
    {
        self.core().add_waiter(Entry::Callback(Box::new(callback)));
    }
}

#[derive(Default)]
struct Future<T> {
    core: FutureCore,
    value: RefCell<Option<T>>,
}

impl<T> Future<T> {
    fn set_result(&self, value: T) {
        *self.value.borrow_mut() = Some(value);
        self.core.complete(State::Done);
    }
}

impl<T> AnyFuture for Future<T> {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    fn cancel(&self) -> bool {
        let pending = !self.core.done();
        if pending {
            self.core.complete(State::Cancelled);
        }
        pending
    }
}

type Body<T> = Pin<Box<dyn std::future::Future<Output = Result<T>>>>;

/// A future whose result comes from a body that the loop runs step by step.
struct Task<T> {
    future: Future<T>,
    body: Cell<Option<Body<T>>>,
    started: Cell<bool>,
    context: StepContext,
    /// Its place in the loop's table, which keeps it alive until it is done.
    key: Cell<usize>,
}

/// What the awaits inside of a task's body see of the task.
#[derive(Default)]
struct StepContext {
    must_cancel: Cell<bool>,
    waits_on: RefCell<Option<Rc<dyn AnyFuture>>>,
}

trait AnyTask {
    fn step(self: Rc<Self>);
    fn context(&self) -> &StepContext;
}

impl<T: 'static> AnyFuture for Task<T> {
    fn core(&self) -> &FutureCore {
        &self.future.core
    }

    // ANCHOR: cancel
    /// Requests a cancellation. What the task waits on is cancelled; if there is nothing, the request
    /// is kept for the next step.
    fn cancel(&self) -> bool {
        if self.core().done() {
            return false;
        }
        let waits_on = self.context.waits_on.borrow().clone();
        if !waits_on.is_some_and(|future| future.cancel()) {
            self.context.must_cancel.set(true);
        }
        true
    }
    // ANCHOR_END: cancel
}

impl<T: 'static> AnyTask for Task<T> {
    fn context(&self) -> &StepContext {
        &self.context
    }

    // ANCHOR: step
    /// Runs the body until its next suspension or its end.
    fn step(self: Rc<Self>) {
        self.context.waits_on.take();
        let Some(mut body) = self.body.take() else { return };
        let outer = CURRENT.replace(Some(self.clone()));
        let polled = if !self.started.replace(true) && self.context.must_cancel.get() {
            Poll::Ready(Err(Cancelled))
        } else {
            body.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        match polled {
            Poll::Pending => self.suspend(body),
            Poll::Ready(outcome) => self.finish(outcome),
        }
        CURRENT.set(outer);
    }
    // ANCHOR_END: step
}

impl<T: 'static> Task<T> {
    // ANCHOR: suspend
    /// Ends the step at an await. A request of this very step is delivered here.
    fn suspend(&self, body: Body<T>) {
        self.body.set(Some(body));
        if self.context.must_cancel.take() {
            self.cancel();
        }
    }
    // ANCHOR_END: suspend

    fn finish(&self, outcome: Result<T>) {
        LOOP.with(|lp| lp.tasks.borrow_mut().remove(self.key.get()));
        match outcome {
            Ok(value) if !self.context.must_cancel.get() => self.future.set_result(value),
            _ => self.core().complete(State::Cancelled),
        }
    }
}

/// Where an await of a future ends. It is registered with the future while the task is suspended.
struct Leaf {
    on: Rc<dyn AnyFuture>,
    key: Option<u64>,
}

impl std::future::Future for Leaf {
    type Output = Result<()>;

    // ANCHOR: leaf
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        let task = CURRENT.with_borrow(|task| task.clone().expect("a task awaits"));
        if self.key.is_some() && task.context().must_cancel.take() {
            return Poll::Ready(Err(Cancelled));
        }
        if self.on.core().done() {
            return Poll::Ready(Ok(()));
        }
        *task.context().waits_on.borrow_mut() = Some(self.on.clone());
        self.key = Some(self.on.core().add_waiter(Entry::Step(task)));
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

/// Waits for the result of a future or a task.
async fn value<T: Clone + 'static>(of: Rc<Task<T>>) -> Result<T> {
    Leaf { on: of.clone(), key: None }.await?;
    of.future.value.borrow().clone().ok_or(Cancelled)
}

/// Waits until it is done, however it ends. A cancellation of the waiting is not passed on.
async fn wait(on: &Rc<impl AnyFuture + 'static>) -> Result<()> {
    let waiter = Rc::new(Future::default());
    let done = waiter.clone();
    on.add_done_callback(move || done.set_result(()));
    until(waiter).await
}

async fn until<T: 'static>(future: Rc<Future<T>>) -> Result<()> {
    Leaf { on: future.clone(), key: None }.await?;
    if future.cancelled() { Err(Cancelled) } else { Ok(()) }
}

/// Suspends for one turn: the task queues itself.
async fn yield_now() -> Result<()> {
    let mut yielded = false;
    std::future::poll_fn(|_| {
        let task = CURRENT.with_borrow(|task| task.clone().expect("a task awaits"));
        match std::mem::replace(&mut yielded, true) {
            false => queue(Entry::Step(task)),
            true if task.context().must_cancel.take() => return Poll::Ready(Err(Cancelled)),
            true => return Poll::Ready(Ok(())),
        }
        Poll::Pending
    })
    .await
}

#[derive(Default)]
struct EventLoop {
    ready: RefCell<VecDeque<Entry>>,
    tasks: RefCell<Slab<Rc<dyn AnyTask>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn AnyTask>>> = const { RefCell::new(None) };
    static LOOP: EventLoop = EventLoop::default();
}

fn queue(entry: Entry) {
    LOOP.with(|lp| lp.ready.borrow_mut().push_back(entry));
}

fn create_task<T: 'static>(body: impl std::future::Future<Output = Result<T>> + 'static) -> Rc<Task<T>> {
    let future = Future { core: FutureCore::default(), value: RefCell::new(None) };
    let (started, context, key) = (Cell::new(false), StepContext::default(), Cell::new(0));
    let task = Rc::new(Task { future, body: Cell::new(Some(Box::pin(body))), started, context, key });
    task.key.set(LOOP.with(|lp| lp.tasks.borrow_mut().insert(task.clone())));
    queue(Entry::Step(task.clone()));
    task
}

/// Runs turns until the task is done.
fn run_until_complete(task: &Task<()>) {
    while !task.core().done() {
        let frozen = LOOP.with(|lp| lp.ready.borrow().len());
        assert!(frozen > 0, "nothing is ready, and nothing could wake this loop");
        for _ in 0..frozen {
            match LOOP.with(|lp| lp.ready.borrow_mut().pop_front()) {
                Some(Entry::Callback(callback)) => callback(),
                Some(Entry::Step(task)) => task.step(),
                None => {}
            }
        }
    }
}

async fn sleeper() -> Result<()> {
    println!("  sleeper: started");
    let slept = until(Rc::new(Future::<()>::default())).await;
    println!("  sleeper: cleans up");
    slept
}

async fn outer(inner: Rc<Task<()>>) -> Result<()> {
    let waited = value(inner).await;
    println!("  outer: cancelled {}", waited.is_err());
    waited
}

async fn cancel(what: &str, task: Rc<Task<()>>) -> Result<()> {
    println!("{what}");
    println!("  accepted: {}, cancelled at once: {}", task.cancel(), task.cancelled());
    wait(&task).await?;
    println!("  ended, cancelled: {}, accepted again: {}", task.cancelled(), task.cancel());
    Ok(())
}

async fn program() -> Result<()> {
    println!("a future with two callbacks");
    let future = Rc::new(Future::default());
    future.add_done_callback(|| println!("  first callback"));
    future.add_done_callback(|| println!("  second callback"));
    future.set_result("the value");
    println!("  the result is set");
    wait(&future).await?;
    println!("  the value: {:?}, accepted: {}", future.value.take().unwrap_or_default(), future.cancel());

    let task = create_task(sleeper());
    yield_now().await?;
    cancel("a task that waits", task).await?;
    cancel("a task that has not started", create_task(sleeper())).await?;
    let task = create_task(async { Err(Cancelled) });
    yield_now().await?;
    cancel("a task that has ended itself so", task).await?;

    let inner = create_task(sleeper());
    let outer = create_task(outer(inner.clone()));
    yield_now().await?;
    cancel("a task that waits for a task", outer).await?;
    println!("  and the inner one: {}", inner.cancelled());
    Ok(())
}

fn main() {
    run_until_complete(&create_task(program()));
}
