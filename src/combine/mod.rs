//! The combinators, which wait for several things or limit a wait: `gather`, `wait`, `timeout`,
//! `TaskGroup` and others.
//!
//! Each one guarantees what asyncio's function of that name does. All are built of the same three
//! parts. There is a done callback on each task or future, and a timer. The awaiting task is
//! suspended on a future of the combinator.

mod as_completed;
mod cancellable;
mod coroutine;
mod gather;
mod shield;
mod task_group;
mod timeout;
mod wait;
mod wait_for;

pub use as_completed::{AsCompleted, Completed, as_completed};
pub use cancellable::{Cancellable, cancellable};
pub use coroutine::{Coroutine, Step};
pub use gather::{Gather, GatherAll, Gathering, Values, gather};
#[doc(hidden)]
pub use gather::{Tuple, gather_tuple};
pub(crate) use gather::{gather_at, gather_on};
pub use shield::{Shield, Shielded, shield};
pub use task_group::TaskGroup;
pub use timeout::{Timeout, timeout, timeout_at};
pub use wait::{DoneAndPending, ReturnWhen, Waitable, wait};
pub use wait_for::wait_for;
