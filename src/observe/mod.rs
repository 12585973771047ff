//! Watching a loop: the events of its trace, its state as data, names of functions, and the stall watchdog.

pub mod events;
pub(crate) mod names;
pub(crate) mod watchdog;
