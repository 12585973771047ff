//! A run is turns until the stop flag; everything else about starting and stopping is bookkeeping.
//!
//! What is queued when a run ends stays queued, and is the first that the next run does. The end of a
//! run undoes what its beginning did, also when an error leaves it: a guard's destructor sees to that.
//! `run_until_complete` is a run with a callback on a future, and the callback stops the loop.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Debug)]
enum Error {
    /// Ends the run and the program (`SystemExit`). The loop does not handle it.
    Exit(i32),
    Runtime(&'static str),
}

type Result<T> = std::result::Result<T, Error>;
type Callback = Rc<dyn Fn() -> Result<()>>;

/// A value that will be there later, and the callbacks that wait for it.
struct Future {
    lp: EventLoop,
    value: Cell<Option<&'static str>>,
    callbacks: RefCell<Vec<Callback>>,
}

impl Future {
    /// Sets the value and queues the callbacks. It calls none: they run in the next turn.
    fn set_result(&self, value: &'static str) {
        self.value.set(Some(value));
        self.lp.0.ready.borrow_mut().extend(self.callbacks.take());
    }

    fn add_done_callback(&self, callback: Callback) {
        match self.value.get() {
            Some(_) => self.lp.0.ready.borrow_mut().push_back(callback),
            None => self.callbacks.borrow_mut().push(callback),
        }
    }
}

thread_local! {
    /// Whether a loop runs in this thread.
    static ANY_RUNS: Cell<bool> = const { Cell::new(false) };
}

#[derive(Clone, Default)]
struct EventLoop(Rc<Inner>);

#[derive(Default)]
struct Inner {
    ready: RefCell<VecDeque<Callback>>,
    stopping: Cell<bool>,
    running: Cell<bool>,
    closed: Cell<bool>,
}

// ANCHOR: run
/// A run under way. Dropping it ends the run, also when an error leaves it.
struct Run<'a>(&'a Inner);

impl<'a> Run<'a> {
    fn begin(lp: &'a EventLoop) -> Result<Self> {
        lp.check_open()?;
        if lp.0.running.get() {
            return Err(Error::Runtime("This event loop is already running"));
        }
        if ANY_RUNS.get() {
            return Err(Error::Runtime("Cannot run the event loop while another loop is running"));
        }
        // All checks come before the first change, so a refused run changes nothing.
        lp.0.running.set(true);
        ANY_RUNS.set(true);
        Ok(Self(&lp.0))
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.stopping.set(false);
        self.0.running.set(false);
        ANY_RUNS.set(false);
    }
}
// ANCHOR_END: run

impl EventLoop {
    fn check_open(&self) -> Result<()> {
        if self.0.closed.get() { Err(Error::Runtime("Event loop is closed")) } else { Ok(()) }
    }

    fn call_soon(&self, callback: impl Fn() -> Result<()> + 'static) -> Result<()> {
        self.check_open()?;
        self.0.ready.borrow_mut().push_back(Rc::new(callback));
        Ok(())
    }

    fn create_future(&self) -> Rc<Future> {
        Rc::new(Future { lp: self.clone(), value: Cell::default(), callbacks: RefCell::default() })
    }

    fn stop(&self) {
        self.0.stopping.set(true);
    }

    // ANCHOR: forever
    fn run_forever(&self) -> Result<()> {
        let _run = Run::begin(self)?;
        loop {
            self.turn()?;
            if self.0.stopping.get() {
                return Ok(());
            }
        }
    }
    // ANCHOR_END: forever

    // ANCHOR: until
    /// Runs until the future is done, and returns its value (`loop.run_until_complete`).
    fn run_until_complete(&self, future: &Future) -> Result<&'static str> {
        self.check_open()?;
        let this = self.clone();
        let stop: Callback = Rc::new(ok(move || this.stop()));
        future.add_done_callback(stop.clone());
        let ran = self.run_forever();
        // A run that ended early leaves its callback behind, and that would stop a later run.
        future.callbacks.borrow_mut().retain(|other| !Rc::ptr_eq(other, &stop));
        ran?;
        future.value.get().ok_or(Error::Runtime("Event loop stopped before Future completed."))
    }
    // ANCHOR_END: until

    // ANCHOR: turn
    /// Makes one turn. An error leaves it at once, and the rest of the batch stays queued.
    fn turn(&self) -> Result<()> {
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback()?;
            }
        }
        Ok(())
    }
    // ANCHOR_END: turn

    // ANCHOR: close
    /// Closes the loop and drops what is queued. A running loop cannot be closed.
    fn close(&self) -> Result<()> {
        if self.0.running.get() {
            return Err(Error::Runtime("Cannot close a running event loop"));
        }
        self.0.closed.set(true);
        // Taken out first and dropped then, with no borrow held: a destructor may use the loop.
        drop(self.0.ready.take());
        Ok(())
    }
    // ANCHOR_END: close
}

fn show(what: &str, result: Result<&str>) {
    match result {
        Ok(text) => println!("  {what}: {text}"),
        Err(Error::Exit(status)) => println!("  {what}: exit {status}"),
        Err(Error::Runtime(text)) => println!("  {what}: {text}"),
    }
}

/// Makes a callback of a function that cannot fail.
fn ok(function: impl Fn()) -> impl Fn() -> Result<()> {
    move || {
        function();
        Ok(())
    }
}

fn main() -> Result<()> {
    let lp = EventLoop::default();
    let stopper = |lp: EventLoop| ok(move || lp.stop());

    println!("stopped before the future is done");
    let future = lp.create_future();
    lp.call_soon(stopper(lp.clone()))?;
    show("run", lp.run_until_complete(&future));
    let done = future.clone();
    lp.call_soon(ok(move || done.set_result("the value")))?;
    lp.call_soon(stopper(lp.clone()))?;
    lp.call_soon(ok(|| println!("  the rest of this run")))?;
    lp.run_forever()?;
    lp.call_soon(ok(|| println!("  queued between the runs")))?;
    show("run again", lp.run_until_complete(&future));

    println!("an error leaves in the middle of a batch");
    lp.call_soon(|| Err(Error::Exit(3)))?;
    lp.call_soon(ok(|| println!("  the rest of the batch")))?;
    show("run", lp.run_forever().map(|()| "stopped"));
    lp.stop();
    show("run again", lp.run_forever().map(|()| "stopped"));

    println!("what a run refuses");
    let this = lp.clone();
    lp.call_soon(ok(move || {
        show("the same loop", this.run_forever().map(|()| "ran"));
        show("another loop", EventLoop::default().run_forever().map(|()| "ran"));
        show("close", this.close().map(|()| "closed"));
        this.stop();
    }))?;
    lp.run_forever()?;
    show("close", lp.close().map(|()| "closed"));
    show("call_soon", lp.call_soon(ok(|| ())).map(|()| "queued"));
    show("run", lp.run_forever().map(|()| "ran"));
    Ok(())
}
