//! The combinators, which wait for several things or limit a wait.
//!
//! Each guarantees what asyncio's function of that name does, and is built of at most three parts.
//! These are done callbacks on what it waits for, a timer, and a future that the task awaits.
//!
//! | combinator | parts | a cancellation of the awaiting task |
//! |---|---|---|
//! | `gather` | callbacks, a future | cancels the children |
//! | `wait`, `as_completed` | callbacks, a timer, a future for each await | ends the await |
//! | `shield` | a callback, a future | ends the await |
//! | `timeout`, `wait_for` | a timer, and the body or target in the task itself | reaches the body or target |
//! | `TaskGroup` | callbacks, a future, and the body in the task itself | cancels the children |

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
