//! Calls from other threads, and calls that block.

mod executor;
mod executor_storm;
mod gate;
mod remote_calls;
mod run_coroutine_threadsafe;
