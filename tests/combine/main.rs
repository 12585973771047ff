//! What waits for several tasks, or for one with a limit.

mod as_completed;
mod gather;
mod shield;
mod task_group;
mod timeout;
mod wait;
mod wait_for;
