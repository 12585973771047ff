//! Child processes (`asyncio.create_subprocess_exec`), with the feature `process`.
//!
//! A [`Command`] starts a [`Process`], whose pipes are streams. They guarantee what asyncio's do: a thread waits for the
//! child, and the loop's thread reaps it (`_ThreadedChildWatcher`). So a signal never reaches another process that got the
//! same number. Every child is reaped at its end, also one whose `Process` was dropped or whose loop is closed.
//!
//! They do not end a child: one that still runs outlives the loop, and the program.
//! [Lesson 58](crate::book::lessons::signals) shows why, and what to do.
//!
//! ```
//! use looplab::{EventLoop, process::{Command, Stdio}};
//! EventLoop::new()?.run_until_complete(async {
//!     let sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
//!     let (sorted, _) = sort.communicate("pear\napple\n").await?;
//!     assert_eq!(sorted, b"apple\npear\n");
//!     assert_eq!(sort.returncode(), Some(0));
//!     Ok(())
//! })?;
//! # Ok::<(), looplab::Error>(())
//! ```

mod child;
mod command;
mod debug;
mod handle;
mod watcher;

pub use command::Command;
pub use handle::Process;
pub use std::process::Stdio;
