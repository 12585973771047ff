//! Tasks and futures: what waits, and how it is woken and cancelled.
//!
//! This room stands on the loop and adds nothing to its turn: a task's step is an entry of the ready queue like any
//! other. It promises CPython's `Task` and `Future`, hop for hop: which turn each thing happens in, and where a
//! cancellation is delivered.
//!
//! Read `context` and `leaf` for how an error is thrown into an await, `cell` for a task's life, `future_core` for how completing queues those
//! who wait, `cancel` for how a request travels.

pub(crate) mod cancel;
pub(crate) mod cell;
pub(crate) mod context;
pub(crate) mod ensure;
pub(crate) mod future;
pub(crate) mod future_core;
pub(crate) mod handles;
pub(crate) mod join;
pub(crate) mod leaf;
pub(crate) mod sleep;
pub(crate) mod spawn;
pub(crate) mod untyped;

pub use ensure::EnsureFuture;
pub use future::Future;
pub(crate) use future_core::Holder;
pub use handles::{CallbackId, Task, TaskRef};
pub use join::{Join, JoinRef};
pub use sleep::{Sleep, YieldNow, sleep, yield_now};
pub use spawn::{Prepared, TaskBuilder, all_tasks, create_task, current_task};
