//! A task is a function that can pause, and the ready queue holds the tasks that can go on.
//!
//! An await asks "is it there?" and leaves a waker if not: calling the waker queues the task again. A
//! cancellation is a request: it queues the task, and the await where the task is suspended returns
//! an error. The task may clean up, pass the error on, or swallow it. Wakers and futures are std's, so
//! this chapter needs no other package.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// What an await returns if its task is cancelled (`asyncio.CancelledError`).
#[derive(Clone, Copy)]
struct Cancelled;

type Result<T> = std::result::Result<T, Cancelled>;
type Outcome = Result<&'static str>;
type Body = Pin<Box<dyn Future<Output = Outcome>>>;

/// The numbers of the tasks that can go on. Wakers must be `Send`, and so it has a lock.
type ReadyQueue = Arc<Mutex<VecDeque<u64>>>;

// ANCHOR: waker
/// Queues its task, unless the task is queued already.
#[derive(Default)]
struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: ReadyQueue,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().expect("no panic under the lock").push_back(self.task);
        }
    }
}
// ANCHOR_END: waker

#[derive(Default)]
struct Task {
    name: &'static str,
    /// Empty while the body is polled, and when the task is done.
    body: Cell<Option<Body>>,
    waker: Arc<TaskWaker>,
    started: Cell<bool>,
    must_cancel: Cell<bool>,
    outcome: Cell<Option<Outcome>>,
    waiters: RefCell<Vec<Waker>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Task>>> = const { RefCell::new(None) };
    static LOOP: Rc<EventLoop> = Rc::default();
}

impl Task {
    fn done(&self) -> bool {
        self.outcome.get().is_some()
    }

    fn cancelled(&self) -> bool {
        matches!(self.outcome.get(), Some(Err(Cancelled)))
    }

    // ANCHOR: cancel
    /// Requests a cancellation; false if the task is done (`task.cancel`).
    fn cancel(&self) -> bool {
        if self.done() {
            return false;
        }
        self.must_cancel.set(true);
        self.waker.clone().wake();
        true
    }
    // ANCHOR_END: cancel

    // ANCHOR: step
    /// Runs the body until its next suspension or its end.
    fn step(self: Rc<Self>) {
        // From here on a wake queues the task again, also one that comes during this step.
        self.waker.queued.store(false, Ordering::Relaxed);
        let Some(mut body) = self.body.take() else { return };
        let outer = CURRENT.replace(Some(self.clone()));
        let polled = if !self.started.replace(true) && self.must_cancel.get() {
            // An exception thrown into a coroutine that never started comes straight out of it.
            Poll::Ready(Err(Cancelled))
        } else {
            body.as_mut().poll(&mut Context::from_waker(&self.waker.clone().into()))
        };
        match polled {
            Poll::Pending => self.body.set(Some(body)),
            Poll::Ready(outcome) => self.finish(outcome),
        }
        CURRENT.set(outer);
    }
    // ANCHOR_END: step

    /// Sets the outcome and wakes what waits for it. A request that no await has taken still counts.
    fn finish(&self, outcome: Outcome) {
        let outcome = if self.must_cancel.get() { Err(Cancelled) } else { outcome };
        self.outcome.set(Some(outcome));
        self.waiters.take().into_iter().for_each(Waker::wake);
        LOOP.with(|lp| lp.tasks.borrow_mut().remove(&self.waker.task));
    }
}

// ANCHOR: leaf
/// Where every await ends: it suspends the task until `ready` returns true.
struct Leaf<F> {
    ready: F,
    suspended: bool,
}

impl<F: FnMut(&Waker) -> bool + Unpin> Future for Leaf<F> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // A request is thrown where the task was suspended, and never at an await that does not suspend.
        let task = CURRENT.with_borrow(|task| task.clone().expect("a task awaits"));
        if self.suspended && task.must_cancel.take() {
            return Poll::Ready(Err(Cancelled));
        }
        if (self.ready)(cx.waker()) {
            return Poll::Ready(Ok(()));
        }
        self.suspended = true;
        Poll::Pending
    }
}
// ANCHOR_END: leaf

fn leaf<F: FnMut(&Waker) -> bool + Unpin>(ready: F) -> Leaf<F> {
    Leaf { ready, suspended: false }
}

// ANCHOR: leaves
/// Suspends for one turn (`asyncio.sleep(0)`).
fn yield_now() -> impl Future<Output = Result<()>> {
    let mut yielded = false;
    leaf(move |waker| {
        if !yielded {
            waker.wake_by_ref();
        }
        std::mem::replace(&mut yielded, true)
    })
}

fn sleep(delay: Duration) -> impl Future<Output = Result<()>> {
    let when = Instant::now() + delay;
    leaf(move |waker| {
        let due = Instant::now() >= when;
        if !due {
            LOOP.with(|lp| lp.timers.borrow_mut().entry(when).or_default().push(waker.clone()));
        }
        due
    })
}

/// Waits until the task is done, however it ends.
fn wait(task: Rc<Task>) -> impl Future<Output = Result<()>> {
    leaf(move |waker| {
        task.waiters.borrow_mut().push(waker.clone());
        task.done()
    })
}
// ANCHOR_END: leaves

#[derive(Default)]
struct EventLoop {
    ready: ReadyQueue,
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    timers: RefCell<BTreeMap<Instant, Vec<Waker>>>,
    made: Cell<u64>,
}

/// Makes a task and queues its first step (`asyncio.create_task`).
fn create_task(name: &'static str, body: impl Future<Output = Outcome> + 'static) -> Rc<Task> {
    LOOP.with(|lp| {
        lp.made.set(lp.made.get() + 1);
        let waker = TaskWaker { task: lp.made.get(), ready: lp.ready.clone(), ..TaskWaker::default() };
        let body = Cell::new(Some(Box::pin(body) as Body));
        let task = Rc::new(Task { name, body, waker: Arc::new(waker), ..Task::default() });
        lp.tasks.borrow_mut().insert(task.waker.task, task.clone());
        task.waker.clone().wake();
        task
    })
}

impl EventLoop {
    fn run_until_complete(&self, main: &Task) {
        while !main.done() {
            self.turn();
        }
    }

    // ANCHOR: turn
    /// Makes one turn: sleeps until a task can go on, wakes the sleepers that are due, runs the batch.
    fn turn(&self) {
        let idle = self.ready.lock().expect("no panic under the lock").is_empty();
        let first = self.timers.borrow().keys().next().copied();
        if let (true, Some(when)) = (idle, first) {
            thread::sleep(when.saturating_duration_since(Instant::now()));
        }
        let later = self.timers.borrow_mut().split_off(&Instant::now());
        self.timers.replace(later).into_values().flatten().for_each(Waker::wake);
        let batch = std::mem::take(&mut *self.ready.lock().expect("no panic under the lock"));
        for task in batch {
            let task = self.tasks.borrow().get(&task).cloned();
            if let Some(task) = task {
                task.step();
            }
        }
    }
    // ANCHOR_END: turn
}

const HOUR: Duration = Duration::from_secs(3600);

async fn sleeper(kind: &'static str) -> Outcome {
    let mut slept = sleep(HOUR).await;
    let more = if kind == "immortal" { 2 } else { 0 };
    for _ in 0..more {
        slept = sleep(HOUR).await; // "an error while sleeping? never mind"
    }
    println!("{kind}: cleans up");
    if kind == "honest" { slept.map(|()| "slept") } else { Ok("swallowed") }
}

async fn cancels_itself(done: Rc<Task>) -> Outcome {
    let task = CURRENT.with_borrow(|task| task.clone().expect("this one"));
    println!("itself: requested {}, still running", task.cancel());
    wait(done).await?;
    println!("itself: an await that did not suspend, still running");
    sleep(Duration::from_millis(1)).await?;
    Ok("never returned")
}

async fn cancel(task: Rc<Task>) -> Result<()> {
    let mut requests = 0;
    while task.cancel() {
        requests += 1;
        yield_now().await?;
    }
    let result = task.outcome.get().and_then(Result::ok).unwrap_or("none");
    println!("{}: requests {requests}, cancelled {}, result {result}", task.name, task.cancelled());
    Ok(())
}

async fn program() -> Outcome {
    let tasks = ["swallows", "immortal", "honest"].map(|name| create_task(name, sleeper(name)));
    sleep(Duration::from_millis(1)).await?; // let them start
    for task in tasks.iter().cloned() {
        cancel(task).await?;
    }
    cancel(create_task("never started", sleeper("never"))).await?;
    let task = create_task("itself", cancels_itself(tasks[0].clone()));
    wait(task.clone()).await?;
    println!("itself: cancelled {}", task.cancelled());
    Ok("done")
}

fn main() {
    LOOP.with(Rc::clone).run_until_complete(&create_task("main", program()));
}
