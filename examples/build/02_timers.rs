//! A timer is a callback with a time, and the loop sleeps until the first of them.
//!
//! Due timers only join the ready queue, so they run after what was ready before. Of equal deadlines
//! the one that was set first runs first. Cancelling sets a mark: a marked callback is skipped.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// A function that the loop calls, and the mark that keeps it from being called.
struct Callback {
    function: Box<dyn Fn()>,
    cancelled: Cell<bool>,
}

/// What `call_soon` and `call_later` return.
type Handle = Rc<Callback>;

impl Callback {
    fn new(function: impl Fn() + 'static) -> Handle {
        Rc::new(Self { function: Box::new(function), cancelled: Cell::new(false) })
    }

    /// Keeps the callback from running (`handle.cancel`). It stays where it is, and is skipped there.
    fn cancel(&self) {
        self.cancelled.set(true);
    }

    fn run(&self) {
        if !self.cancelled.get() {
            (self.function)();
        }
    }
}

#[derive(Clone, Default)]
struct EventLoop(Rc<Inner>);

#[derive(Default)]
struct Inner {
    ready: RefCell<VecDeque<Handle>>,
    /// By deadline, and by the order in which they were set.
    timers: RefCell<BTreeMap<(Instant, u64), Handle>>,
    timers_set: Cell<u64>,
    stopping: Cell<bool>,
}

impl EventLoop {
    fn call_soon(&self, function: impl Fn() + 'static) -> Handle {
        let handle = Callback::new(function);
        self.0.ready.borrow_mut().push_back(handle.clone());
        handle
    }

    // ANCHOR: call_at
    /// Sets a timer (`loop.call_at`).
    fn call_at(&self, when: Instant, function: impl Fn() + 'static) -> Handle {
        let sequence = self.0.timers_set.get();
        self.0.timers_set.set(sequence + 1);
        let handle = Callback::new(function);
        self.0.timers.borrow_mut().insert((when, sequence), handle.clone());
        handle
    }
    // ANCHOR_END: call_at

    fn call_later(&self, delay: Duration, function: impl Fn() + 'static) -> Handle {
        self.call_at(Instant::now() + delay, function)
    }

    fn stop(&self) {
        self.0.stopping.set(true);
    }

    fn run_forever(&self) {
        loop {
            self.turn();
            if self.0.stopping.get() {
                break;
            }
        }
        self.0.stopping.set(false);
    }

    // ANCHOR: turn
    /// Makes one turn: sleeps until something is to be done, queues the due timers, runs the batch.
    fn turn(&self) {
        self.drop_cancelled_timers();
        match self.timeout() {
            Some(wait) => thread::sleep(wait),
            // Nothing will ever be due, so the loop sleeps for ever, as asyncio's does.
            None => thread::park(),
        }
        self.queue_due_timers();
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback.run();
            }
        }
    }
    // ANCHOR_END: turn

    /// Drops cancelled timers from the head, so that the loop does not wake for them.
    fn drop_cancelled_timers(&self) {
        let mut timers = self.0.timers.borrow_mut();
        while let Some(first) = timers.first_entry().filter(|first| first.get().cancelled.get()) {
            first.remove();
        }
    }

    // ANCHOR: timeout
    /// Returns how long the loop may sleep: zero, until the first timer, or `None` for ever.
    fn timeout(&self) -> Option<Duration> {
        if !self.0.ready.borrow().is_empty() || self.0.stopping.get() {
            return Some(Duration::ZERO);
        }
        let timers = self.0.timers.borrow();
        let ((when, _), _) = timers.first_key_value()?;
        Some(when.saturating_duration_since(Instant::now()))
    }
    // ANCHOR_END: timeout

    // ANCHOR: due
    /// Moves the timers that are due to the end of the ready queue, in order.
    fn queue_due_timers(&self) {
        let now = Instant::now();
        let mut timers = self.0.timers.borrow_mut();
        while let Some(first) = timers.first_entry().filter(|first| first.key().0 <= now) {
            self.0.ready.borrow_mut().push_back(first.remove());
        }
    }
    // ANCHOR_END: due
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn main() {
    let lp = EventLoop::default();
    let stop_after = |delay| {
        let this = lp.clone();
        lp.call_later(delay, move || this.stop())
    };

    println!("run 1");
    let equal = Instant::now() + ms(20);
    lp.call_at(equal, || println!("  the first of two equal deadlines"));
    lp.call_at(equal, || println!("  the second"));
    lp.call_later(Duration::ZERO, || println!("  a timer without a delay"));
    lp.call_soon(|| println!("  ready"));
    lp.call_soon(|| thread::sleep(ms(15))); // so that the next two are due in one turn
    let never = lp.call_later(ms(10), || println!("  never printed"));
    lp.call_later(ms(5), move || never.cancel());
    stop_after(ms(50));
    lp.run_forever();

    println!("run 2, after stop()");
    let this = lp.clone();
    lp.call_soon(move || {
        println!("  parent");
        this.call_soon(|| println!("  child"));
    });
    lp.stop();
    lp.stop(); // still one turn
    lp.run_forever();

    println!("run 3");
    stop_after(ms(10));
    lp.run_forever();
    println!("run 3 returned");
}
