//! Tasks and futures: what waits, and how it is woken and cancelled.
//!
//! This room uses the loop and adds nothing to its turn: a task's step is an entry of the ready queue like any other. It
//! guarantees CPython's `Task` and `Future`: the turn in which each thing happens, and the await where a cancellation is
//! delivered.
//!
//! Read from below: `future_core` completes and queues the waiters; `cancel` forwards a request; `context` and `leaf` throw
//! an error into an await; `cell` is a task and `step` runs it; `spawn` makes it and `handles` are what users hold.

pub(crate) mod cancel;
pub(crate) mod cell;
mod context;
pub(crate) mod done_callback;
pub(crate) mod ensure;
pub(crate) mod future;
pub(crate) mod future_core;
pub(crate) mod handles;
pub(crate) mod keyed_list;
pub(crate) mod leaf;
pub(crate) mod sleep;
pub(crate) mod spawn;
pub(crate) mod step;

pub use done_callback::CallbackId;
pub use ensure::EnsureFuture;
pub use future::Future;
pub(crate) use future_core::Holder;
pub use handles::{Task, TaskRef};
pub use leaf::{Join, JoinRef};
pub use sleep::{Sleep, YieldNow, sleep, yield_now};
pub use spawn::{Prepared, TaskBuilder, TaskFactory, all_tasks, create_task, current_task};
