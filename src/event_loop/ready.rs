//! What the ready queue holds: entries, each a callback or a task's step.
//!
//! An entry knows neither its number nor its place in the queue: `transitions` queues it, and
//! `turn` takes and runs it.

use super::EventLoop;
use crate::error::{Error, Result};
use crate::trace::{EntryKind, Place};
use std::rc::Rc;

/// What the ready queue holds: a callback, or a task's step.
pub(crate) trait Entry {
    /// Returns the number of its handle.
    fn handle(&self) -> u64;

    fn kind(&self) -> EntryKind;

    /// Names it for a reader.
    fn label(&self) -> String;

    fn place(&self) -> Place;

    /// Tells whether looplab made it for itself. A step is always the program's.
    fn is_own(&self) -> bool {
        false
    }

    /// Returns the number of the task whose step it is.
    fn task(&self) -> Option<u64> {
        None
    }

    /// A step is never cancelled.
    fn is_cancelled(&self) -> bool {
        false
    }

    /// Calls it once, unless it was cancelled, and drops it unless it has failed. Alternative: the turn drops it. Problem: a
    /// drop of unknown type costs nearly as many instructions as the rest of the turn.
    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<(), Box<Failed>>;

    /// Drops what only the closed loop would have used, even if a handle keeps the entry.
    fn loop_closed(&self) {}
}

/// An entry that has failed, and its error.
pub(crate) struct Failed {
    pub(super) entry: Rc<dyn Entry>,
    pub(crate) error: Error,
}

impl Failed {
    #[cold]
    pub(crate) fn new(entry: Rc<dyn Entry>, error: Error) -> Box<Self> {
        Box::new(Self { entry, error })
    }
}
