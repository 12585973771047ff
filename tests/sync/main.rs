//! `looplab::sync`: each primitive alone, and all of them in random programs.

mod barrier;
mod condition;
mod event;
mod lock;
mod queue;
mod queue_items;
mod random;
mod semaphore;
mod stage;
