//! Watching a loop: the events of its trace, its state as data, names of functions, and the stall
//! watchdog.

mod events;
mod log;
pub(crate) mod names;
mod observer;
pub(crate) mod snapshot;
pub(crate) mod waits;
pub(crate) mod watchdog;

/// Events: every transition of a loop's own structures, and the observer that receives them.
///
/// An event is emitted inside the operation that makes the transition, after the state has changed
/// and with no borrow held. So [`Record::snapshot`](crate::trace::Record::snapshot) is the truth
/// after the event. Without an observer nothing is described at all. An event is never inferred:
/// what is not an event did not happen.
///
/// Three kinds of numbers name things, so that addresses never appear. Each counts from 1 in its
/// loop.
///
/// - `q` is one entry's stay in the ready queue.
/// - `h` is a handle. A reader's handle is pushed many times, each time with a new `q`.
/// - Tasks and futures share one count.
pub mod trace {
    pub use super::events::{
        Direction, Done, EntryKind, Event, Life, On, Place, Ready, Via, Wait, Wake, Why,
    };
    pub use super::log::Log;
    pub use super::observer::{Observer, Record};
    pub use super::snapshot::{
        IoEntry, JobEntry, ReadyEntry, SignalEntry, Snapshot, TaskEntry, TaskState, TimerEntry,
    };
}
