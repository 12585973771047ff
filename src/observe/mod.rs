//! Watching a loop: the events of its trace, its state as data, and the stall watchdog.

pub mod events;
pub(crate) mod watchdog;
