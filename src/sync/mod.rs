//! asyncio's synchronisation primitives: [`Event`], [`Lock`], [`Condition`], [`Semaphore`],
//! [`BoundedSemaphore`], [`Barrier`], and the queues [`Queue`], [`PriorityQueue`], [`LifoQueue`].
//!
//! They guarantee the rules of asyncio 3.15: the same turns, the same order, the same error texts.
//! Above all, **no permit, item or wake-up is lost** when a woken waiter is cancelled, or when the
//! future that waits is dropped. A [snapshot](crate::EventLoop::snapshot) and the trace show what a
//! task waits for, and where: `lock`, `event`, `condition`, `semaphore`, `barrier`, `queue.get`,
//! `queue.put` or `queue.join`.
//!
//! They do not work between threads: a primitive serves the tasks of one loop. Its first wait binds
//! it to the running loop, and waiting on another loop is an error. Other threads use
//! [`Remote`](crate::Remote). A wait needs a running looplab loop, so other runtimes cannot use the
//! primitives.
//!
//! # Handles and guards
//!
//! Each primitive is a handle, and a clone is the same primitive. A wait borrows nothing, so
//! `create_task(queue.get())` compiles. A guard is Python's `async with`: [`Lock::lock`],
//! [`Condition::lock`], [`Semaphore::permit`]. `acquire` and `release` exist as in asyncio, for
//! what no block can express.
//!
//! Alternative: an `acquire` that returns the guard, as elsewhere in Rust. Problem: a program
//! translated from Python would compile and hold nothing. Alternative: primitives without handles,
//! shared as `Rc<Lock>`. Problem: all of them are shared, and the loop's other handles are clones
//! as well.
//!
//! Read `wait_queue` first: the queue of waiters, and the rule for a waiter that leaves it
//! unserved. The primitives are asyncio's rules on top of it.

mod barrier;
mod condition;
mod event;
mod lock;
mod queue;
mod semaphore;
mod store;
pub(crate) mod wait_queue;

pub use barrier::Barrier;
pub use condition::Condition;
pub use event::Event;
pub use lock::{Lock, LockGuard};
pub use queue::{LifoQueue, PriorityQueue, Queue};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore};
