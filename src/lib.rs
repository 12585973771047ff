//! asyncio's event loop, turn for turn, in small safe Rust: a loop to study, to teach with, and to test stop and restart
//! semantics on.
//!
//! ```
//! use looplab::{EventLoop, Error, create_task, sleep};
//! use std::time::Duration;
//!
//! async fn stubborn() -> looplab::Result<&'static str> {
//!     match sleep(Duration::from_secs(3600)).await {
//!         Err(Error::Cancelled(_)) => Ok("I decide"),          // a cancellation can be caught, as in Python
//!         other => other.map(|()| "slept well"),
//!     }
//! }
//!
//! let lp = EventLoop::new()?;
//! let said = lp.run_until_complete(async {
//!     let task = create_task(stubborn());
//!     sleep(Duration::ZERO).await?;
//!     task.cancel();
//!     task.await
//! })?;
//! assert_eq!(said, "I decide");
//! # Ok::<(), looplab::Error>(())
//! ```
//!
//! # What it promises
//!
//! 1. **The same turn.** What CPython's loop does in turn N, looplab does in turn N. Where it differs on purpose there is a
//!    row in [`book::differences`] and a test; thousands of programs that print the same on both show it
//!    ([`book::conformance`]).
//! 2. **You can see it.** Every transition of the loop's structures is an [event](trace), any program can be
//!    [recorded](book::trace) without a change, and [`EventLoop::snapshot`] shows the queue at any moment.
//! 3. **It reads like a book.** One room, one idea; arrows between modules go down only.
//!
//! It is not meant for production servers: it is single-threaded, and looks at fidelity first and at speed second.
//!
//! # The rooms, in reading order
//!
//! | room | what |
//! |---|---|
//! | `event_loop/turn.rs` | one turn, top to bottom: **the** function a reader came for ([`book::anatomy`]) |
//! | `event_loop/run.rs` | runs: who calls a turn, and how often; stop and restart |
//! | `event_loop/` | `ready`, `timers`, `reactor`, `inbox`, `signals`, `handle`, `clock`: what a turn goes through |
//! | `task/` | futures and tasks: the step, cancellation, combinators |
//! | `net/` | sockets, streams and servers |
//! | `sync/` | locks, events, queues between tasks |
//! | `executor.rs` | the blocking thread pool |
//! | `runner.rs` | whole programs: `run`, and what Ctrl-C means |
//! | `xray/` | what is recorded, and how it becomes a table (feature `xray`) |
//! | `trace.rs`, `error.rs`, `outcome.rs` | the ground floor: events, errors, what callbacks return |
//!
//! # What calls what a callback
//!
//! [`EventLoop::call_soon`] puts a callback into the ready queue; `turn` takes it out in the next turn and runs it. A
//! [`Task`]'s step stands in the same queue. Nothing else ever runs user code.
#![deny(unsafe_code)]

#[macro_use]
mod panics;

mod builder;
mod environment;
mod error;
mod event_loop;
mod executor;
pub mod net;
mod outcome;
mod runner;
pub mod sync;
mod task;
pub mod trace;
#[cfg(feature = "xray")]
pub mod xray;

pub use builder::Builder;
pub use error::{Error, ErrorGroup, IoError, Result};
pub use event_loop::{
    Clock, EventLoop, ExceptionContext, FutureInfo, Handle, HandleInfo, Remote, TaskInfo, TimerHandle,
    get_running_loop, stop,
};
pub use executor::{Executor, ExecutorBuilder, JobInfo};
pub use outcome::Outcome;
pub use runner::{Runner, RunnerBuilder, run};
pub use task::*;

/// The pages of `docs/`, compiled so that their code is tested.
#[cfg(any(doc, doctest))]
pub mod book {
    #[doc = include_str!("../docs/anatomy.md")]
    pub mod anatomy {}
    #[doc = include_str!("../docs/conformance.md")]
    pub mod conformance {}
    #[doc = include_str!("../docs/differences.md")]
    pub mod differences {}
    /// The lessons, theme by theme: the pitfall, why it happens, the safe pattern, and the trace that shows it.
    pub mod lessons {
        #[doc = include_str!("../docs/lessons/stopping.md")]
        pub mod stopping {}
        #[doc = include_str!("../docs/lessons/callbacks-and-errors.md")]
        pub mod callbacks_and_errors {}
        #[doc = include_str!("../docs/lessons/signals.md")]
        pub mod signals {}
        #[doc = include_str!("../docs/lessons/cancellation.md")]
        pub mod cancellation {}
        #[doc = include_str!("../docs/lessons/shutdown.md")]
        pub mod shutdown {}
        #[doc = include_str!("../docs/lessons/lifecycle.md")]
        pub mod lifecycle {}
        #[doc = include_str!("../docs/lessons/combinators.md")]
        pub mod combinators {}
        #[doc = include_str!("../docs/lessons/threads.md")]
        pub mod threads {}
        #[doc = include_str!("../docs/lessons/background.md")]
        pub mod background {}
        #[doc = include_str!("../docs/lessons/servers.md")]
        pub mod servers {}
        #[doc = include_str!("../docs/lessons/applications.md")]
        pub mod applications {}
    }
    #[doc = include_str!("../docs/speed.md")]
    pub mod speed {}
    #[doc = include_str!("../docs/trace.md")]
    pub mod trace {}
    #[doc = include_str!("../README.md")]
    pub mod readme {}
}
