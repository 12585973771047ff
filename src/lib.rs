//! asyncio's event loop, turn for turn, in small safe Rust.
#![deny(unsafe_code)]

mod builder;
mod error;
mod event_loop;
mod executor;
mod outcome;
mod task;
pub mod trace;
#[cfg(feature = "xray")]
pub mod xray;

pub use builder::Builder;
pub use error::{Error, Result};
pub use event_loop::{
    Clock, EventLoop, ExceptionContext, FutureInfo, Handle, HandleInfo, Remote, TaskInfo, TimerHandle,
    get_running_loop, stop,
};
pub use executor::{Executor, ExecutorBuilder, JobInfo};
pub use outcome::Outcome;
pub use task::*;
