//! asyncio's event loop, turn for turn, in small safe Rust: a loop to study, to teach with, and to test stop and restart
//! semantics on.
//!
//! Ten chapters, then the same shapes in `event_loop`, `task`, `threads`. [Build the loop yourself](book::build) grows the
//! loop from nothing. [Chapter 1](book::build::ready_queue) is 57 lines of code.
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
//! 1. **The same turn.** What CPython's loop does in turn N, looplab does in turn N. Each difference on purpose has a row in
//!    [`book::differences`] and a test. Thousands of programs that print the same on both show it ([`book::conformance`]).
//! 2. **You can see it.** Every transition of the loop's structures is an [event](trace). Any program can be
//!    [recorded](book::trace) without a change. [`EventLoop::snapshot`] shows the queue at any moment.
//! 3. **It reads like a book.** Each room has one idea; arrows between modules go down only.
//!
//! [From asyncio](book::from_asyncio), and from tokio: what each call becomes.
//!
//! It is not meant for production servers: it is single-threaded, and never trades fidelity or readability for speed.
//!
//! # The rooms, in reading order
//!
//! | room | what |
//! |---|---|
//! | `event_loop/turn.rs` | one turn, top to bottom: **the** function that a reader came for ([`book::anatomy`]) |
//! | `event_loop/run.rs` | runs: what calls a turn, and how often; stop and restart |
//! | `event_loop/transitions.rs` | every change of state that is an event |
//! | `event_loop/` | `ready`, `callback`, `timers`, `reactor`, `inbox`, `clock`: the parts that a turn goes through |
//! | `signals/` | from a signal's delivery to its handler's turn |
//! | `task/`, `combine/` | futures and tasks: the step and cancellation; combinators |
//! | `net/` | sockets, streams and servers, also in memory |
//! | `process/` | child processes (feature `process`) |
//! | `sync/` | locks, events, queues between tasks |
//! | `threads/` | the blocking thread pool, on crossbeam-channel, and its jobs |
//! | `runner.rs` | whole programs: `run`, and what Ctrl-C means |
//! | `observe/` | watching a loop: events, snapshots, the stall watchdog |
//! | `xray/` | recording the events, and rebuilding a state from them (feature `xray`) |
//! | `explore/` | disturbing a program at every point, for tests (feature `explore`) |
//! | `error.rs`, `outcome.rs`, `panics.rs` | the ground floor: errors, what callbacks return, panics of user code |
//!
//! # When code of the program runs
//!
//! [`EventLoop::call_soon`] pushes a callback to the ready queue. `turn` pops it in the next turn
//! and runs it. A [`Task`]'s step waits in the same queue. All other code of the program runs where
//! something needs it:
//!
//! | code | when it runs |
//! |---|---|
//! | the exception handler | where an error is reported, also while a task or future is dropped |
//! | an observer | right after each transition |
//! | `on_park`, `on_unpark` | before and after a poll that may sleep |
//! | functions given to a pool | on the threads of the pool |
//! | wakers that are not looplab's | where the future they wait for is done |
//! | destructors, `Clone`, `Ord`, `Debug` | where a value is dropped, read, sorted or reported |
//! | the logger | where looplab reports through `log` |
//!
//! # Panics
//!
//! A panic ends neither the run nor the process. A callback's panic goes to the exception handler,
//! a task's becomes its result. A panic of a destructor, a hook or an observer goes to `log`. If
//! the logger fails, it goes to standard error.
//!
//! - With `panic = "abort"` in the profile nothing can be caught: the first panic ends the process.
//! - Two destructors that panic inside of one value (a closure, a body, a `Vec<T>`) abort the
//!   process, as in all of Rust. The crate drops its values one by one, so the destructors of two
//!   values never meet.
//! - Tasks, futures, queues and [`ErrorGroup`]s that own each other are dropped without recursion.
//!   A type that nests its own boxes still recurses, and so do errors that wrap each other. The
//!   stack of the thread limits such a chain.
#![deny(unsafe_code)]

#[macro_use]
mod panics;

mod builder;
mod combine;
mod drop_guard;
mod environment;
mod error;
mod event_loop;
#[cfg(feature = "explore")]
pub mod explore;
mod in_place;
#[cfg(test)]
#[path = "tests/interleavings.rs"]
mod interleavings;
pub mod net;
mod observe;
mod outcome;
#[cfg(feature = "process")]
pub mod process;
mod runner;
mod signals;
pub mod sync;
mod task;
mod threads;
#[cfg(feature = "xray")]
pub mod xray;

pub use builder::Builder;
pub use combine::{
    AsCompleted, Cancellable, Completed, Coroutine, DoneAndPending, Gather, GatherAll, Gathering, ReturnWhen,
    Shield, Shielded, Step, TaskGroup, Timeout, Values, Waitable, as_completed, cancellable, gather, shield,
    timeout, timeout_at, wait, wait_for,
};
#[doc(hidden)]
pub use combine::{Tuple, gather_tuple};
pub use error::{Error, ErrorGroup, IoError, Result};
pub use event_loop::{
    Clock, EventLoop, ExceptionContext, FutureInfo, Handle, HandleInfo, Remote, RemoteHandle, TaskInfo,
    TimerHandle, public_running_loop as get_running_loop, stop,
};
pub use observe::trace;
pub use outcome::{Drained, Outcome};
pub use runner::{Runner, RunnerBuilder, main, run};
pub use signals::signal::{self, Signal};
pub use task::{
    CallbackId, EnsureFuture, Future, Join, JoinRef, Prepared, Sleep, Task, TaskBuilder, TaskFactory,
    TaskRef, YieldNow, all_tasks, create_task, current_task, sleep, yield_now,
};
pub use threads::{
    Executor, ExecutorBuilder, JobInfo, RemoteTask, Submit, run_coroutine_threadsafe, to_thread,
};

/// The pages of `docs/`, compiled so that their code is tested.
#[cfg(any(doc, doctest))]
pub mod book {
    // Alternative: the pictures, too. Problem: rustdoc copies no files.
    macro_rules! without_pictures {
        ($page:literal) => {
            concat!(include_str!(concat!("../", $page)), "\n<style>.docblock img { display: none }</style>\n")
        };
    }

    #[doc = include_str!("../docs/anatomy.md")]
    pub mod anatomy {}
    #[doc = include_str!("../docs/architecture.md")]
    pub mod architecture {}
    #[doc = include_str!("../docs/build/index.md")]
    pub mod build {
        #[doc = include_str!("../docs/build/01_ready_queue.md")]
        pub mod ready_queue {}
        #[doc = include_str!("../docs/build/02_timers.md")]
        pub mod timers {}
        #[doc = include_str!("../docs/build/03_poll.md")]
        pub mod poll {}
        #[doc = include_str!("../docs/build/04_threads.md")]
        pub mod threads {}
        #[doc = include_str!("../docs/build/05_signals.md")]
        pub mod signals {}
        #[doc = include_str!("../docs/build/06_runs.md")]
        pub mod runs {}
        #[doc = include_str!("../docs/build/07_tasks.md")]
        pub mod tasks {}
        #[doc = include_str!("../docs/build/08_futures.md")]
        pub mod futures {}
        #[doc = include_str!("../docs/build/09_executor.md")]
        pub mod executor {}
        #[doc = include_str!("../docs/build/10_looplab.md")]
        pub mod looplab {}
    }
    #[doc = include_str!("../docs/conformance.md")]
    pub mod conformance {}
    #[doc = include_str!("../docs/differences.md")]
    pub mod differences {}
    #[doc = include_str!("../docs/documents.md")]
    pub mod documents {}
    /// [differences]: crate::book::differences
    ///
    #[doc = include_str!("../docs/from-asyncio.md")]
    pub mod from_asyncio {}
    /// The lessons, theme by theme: the pitfall, why it happens, the safe pattern, and the trace that shows it.
    pub mod lessons {
        #[doc = without_pictures!("docs/lessons/stopping.md")]
        pub mod stopping {}
        #[doc = without_pictures!("docs/lessons/callbacks-and-errors.md")]
        pub mod callbacks_and_errors {}
        #[doc = without_pictures!("docs/lessons/signals.md")]
        pub mod signals {}
        #[doc = without_pictures!("docs/lessons/cancellation.md")]
        pub mod cancellation {}
        #[doc = without_pictures!("docs/lessons/shutdown.md")]
        pub mod shutdown {}
        #[doc = without_pictures!("docs/lessons/lifecycle.md")]
        pub mod lifecycle {}
        #[doc = without_pictures!("docs/lessons/combinators.md")]
        pub mod combinators {}
        #[doc = without_pictures!("docs/lessons/threads.md")]
        pub mod threads {}
        #[doc = without_pictures!("docs/lessons/background.md")]
        pub mod background {}
        #[doc = without_pictures!("docs/lessons/servers.md")]
        pub mod servers {}
        #[doc = without_pictures!("docs/lessons/applications.md")]
        pub mod applications {}
        #[doc = without_pictures!("docs/lessons/exploring.md")]
        pub mod exploring {}
    }
    #[doc = include_str!("../docs/processes.md")]
    pub mod processes {}
    #[doc = include_str!("../docs/speed.md")]
    pub mod speed {}
    #[doc = include_str!("../docs/symptoms.md")]
    pub mod symptoms {}
    #[doc = include_str!("../docs/testing.md")]
    pub mod testing {}
    #[doc = include_str!("../docs/trace.md")]
    pub mod trace {}
    // The first definition of a link counts, so on this page the README's links lead to pages.
    /// [anatomy]: crate::book::anatomy
    /// [architecture]: crate::book::architecture
    /// [build]: crate::book::build
    /// [chapter-1]: crate::book::build::ready_queue
    /// [conformance]: crate::book::conformance
    /// [differences]: crate::book::differences
    /// [documents]: crate::book::documents
    /// [from-asyncio]: crate::book::from_asyncio
    /// [lessons]: crate::book::lessons
    /// [processes]: crate::book::processes
    /// [speed]: crate::book::speed
    /// [symptoms]: crate::book::symptoms
    /// [testing]: crate::book::testing
    /// [trace]: crate::book::trace
    /// [xray]: crate::xray
    ///
    #[doc = without_pictures!("README.md")]
    pub mod readme {}
}
