//! How the tests of jobs wait: at gates, and for conditions. A watchdog ends a wait that is in vain.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// A gate that jobs wait at until it is opened, for good.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().expect("no panic");
        drop(self.0.1.wait_while(closed, |open| !*open).expect("no panic"));
    }
}

/// Looks again and again until it is so.
pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}
