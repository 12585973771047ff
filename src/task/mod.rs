//! Tasks and futures: what waits, and how it is woken and cancelled.
//!
//! This room stands on the loop and adds nothing to its turn: a task's step is an entry of the ready queue like any
//! other. It promises CPython's `Task` and `Future`, hop for hop: which turn each thing happens in, and where a
//! cancellation is delivered.
//!
//! Read `step` for how an error is thrown into an await, `cell` for a task's life, `head` for how completing queues those
//! who wait, `cancel` for how a request travels.

mod as_completed;
mod cancel;
mod cancellable;
mod cell;
mod coroutine;
mod descriptor;
mod ensure;
mod future;
mod gather;
mod handle;
mod head;
mod jobs;
mod join;
mod shield;
mod sleep;
mod spawn;
mod step;
mod task_group;
mod threadsafe;
mod timeout;
mod untyped;
mod wait;
mod wait_for;

pub use as_completed::{AsCompleted, Completed, as_completed};
pub use cancellable::{Cancellable, cancellable};
pub use coroutine::{Coroutine, Step};
pub(crate) use descriptor::{Readiness, Spare};
pub use ensure::EnsureFuture;
pub use future::Future;
pub use gather::{Gather, GatherAll, Gathering, Values, gather};
#[doc(hidden)]
pub use gather::{Tuple, gather_tuple};
pub(crate) use gather::{gather_at, gather_on};
pub use handle::{CallbackId, Task, TaskRef};
pub(crate) use head::Holder;
pub use jobs::to_thread;
pub(crate) use jobs::to_thread_at;
pub use join::{Join, JoinRef};
pub use shield::{Shield, Shielded, shield};
pub use sleep::{Sleep, YieldNow, sleep, yield_now};
pub use spawn::{Prepared, TaskBuilder, all_tasks, create_task, current_task};
pub use task_group::TaskGroup;
pub use threadsafe::{RemoteTask, Submit, run_coroutine_threadsafe};
pub use timeout::{Timeout, timeout, timeout_at};
pub use wait::{DoneAndPending, ReturnWhen, Waitable, wait};
pub use wait_for::wait_for;
