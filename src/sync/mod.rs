//! asyncio's synchronisation primitives: [`Event`], [`Lock`], [`Condition`], [`Semaphore`], [`BoundedSemaphore`],
//! [`Barrier`], and the queues [`Queue`], [`PriorityQueue`], [`LifoQueue`].
//!
//! They promise asyncio's rules as of Python 3.15: the same turns, the same order, the same texts of errors. Above all:
//! **no permit, item or wake-up is lost when a woken waiter is cancelled**, nor when the future that waits is dropped. A
//! task that waits on one says so in a [snapshot](crate::EventLoop::snapshot) and in the trace: `lock`, `event`,
//! `condition`, `semaphore`, `barrier`, `queue.get`, `queue.put`, `queue.join`, and where.
//!
//! They do not work between threads: they are for the tasks of one loop, and bound to the loop on which somebody first
//! had to wait; waiting on another is an error. Other threads come in through [`Remote`](crate::Remote). Nothing here is
//! for other runtimes: a wait needs a running loop.
//!
//! Each is a handle: a clone is the same primitive, which a task can take along. A wait borrows nothing, so that
//! `create_task(queue.get())` works. What Python writes `async with` is a guard: [`Lock::lock`], [`Condition::lock`],
//! [`Semaphore::permit`]. The pairs `acquire` and `release` are there beside them, as in asyncio, for what no block can
//! express. (Rejected: an `acquire` that returns the guard, as elsewhere in Rust. A program brought over from Python would
//! compile and hold nothing. Rejected: primitives with a lifetime, shared through `Rc<Lock>`. Every one of them is
//! shared, and the loop's other handles are clones, too.)
//!
//! Read `waiters` first: a line of futures, and the rule of who is told when one of them gives up. All else is asyncio's
//! rules in few words.

mod barrier;
mod condition;
mod event;
mod lock;
mod queue;
mod semaphore;
mod store;
mod waiters;

pub use barrier::Barrier;
pub use condition::Condition;
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
