//! An event loop is a queue of functions, and a rule for how many of them run at once.
//!
//! The loop freezes the length of its queue, and runs exactly that many callbacks: this is a turn.
//! What they queue waits for the next turn. `stop` only sets a flag, and the loop looks at the flag
//! at the end of a turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// A function that the loop calls. A Python function can be called again and again, and so can this.
type Callback = Rc<dyn Fn()>;

/// A handle of the loop. A clone is the same loop, so a callback can own one.
#[derive(Clone, Default)]
struct EventLoop(Rc<Inner>);

#[derive(Default)]
struct Inner {
    /// What runs soon, first in, first out.
    ready: RefCell<VecDeque<Callback>>,
    stopping: Cell<bool>,
}

impl EventLoop {
    /// Queues a callback (`loop.call_soon`).
    fn call_soon(&self, callback: impl Fn() + 'static) {
        self.0.ready.borrow_mut().push_back(Rc::new(callback));
    }

    /// Ends the run after the turn that is under way (`loop.stop`).
    fn stop(&self) {
        self.0.stopping.set(true);
    }

    // ANCHOR: run
    /// Makes turn after turn until the stop flag is set at the end of one (`loop.run_forever`).
    fn run_forever(&self) {
        loop {
            self.turn();
            if self.0.stopping.get() {
                break;
            }
        }
        // The flag is cleared here and not at the beginning, so a stop before the run counts.
        self.0.stopping.set(false);
    }
    // ANCHOR_END: run

    // ANCHOR: turn
    /// Makes one turn: runs what is queued now, and nothing that is queued meanwhile.
    fn turn(&self) {
        let frozen = self.0.ready.borrow().len();
        for _ in 0..frozen {
            // The borrow ends with this line. A callback may queue, so none may be held while it runs.
            let next = self.0.ready.borrow_mut().pop_front();
            if let Some(callback) = next {
                callback();
            }
        }
    }
    // ANCHOR_END: turn
}

fn main() {
    let lp = EventLoop::default();

    let this = lp.clone();
    lp.call_soon(move || {
        println!("  first: calls stop()");
        this.stop();
        println!("  first: still running after stop()");
        this.call_soon(|| println!("  late callback"));
    });
    lp.call_soon(|| println!("  second: was already queued"));
    println!("run 1");
    lp.run_forever();
    println!("run 1 returned");

    lp.call_soon(|| println!("  queued between the runs"));
    let this = lp.clone();
    lp.call_soon(move || this.stop());
    println!("run 2");
    lp.run_forever();
    println!("run 2 returned");
}
