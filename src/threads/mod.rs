//! Blocking work on threads, and tasks for callers on other threads.
//!
//! `pool` runs jobs and knows no loop; `job` is a loop's table of them; `run_in_executor` ties both to a future.
//! `remote_task` is the other direction: a thread submits a body to a loop and waits for the result.

pub(crate) mod job;
pub(crate) mod pool;
mod remote_task;
pub(crate) mod run_in_executor;

pub use pool::{Executor, ExecutorBuilder, JobInfo};
pub use remote_task::{RemoteTask, Submit, run_coroutine_threadsafe};
pub use run_in_executor::to_thread;
pub(crate) use run_in_executor::to_thread_at;
