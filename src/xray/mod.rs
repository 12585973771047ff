//! X-ray: writes down what a loop did, and rebuilds its state from what was written.
//!
//! It promises that every event of every loop of the process becomes a line, in one order; that recording never changes
//! what the program does, fails it or panics; and that a trace in virtual time on one thread is the same, byte for byte,
//! each time. It reads the events of [`trace`](crate::trace) and nothing else of the crate.
//!
//! It promises that a trace is safe to leave on: the file is private, and no other file is harmed. A child process that
//! inherits the variable writes a file of its own.
//!
//! It does not promise that a process which is killed in the middle of a turn leaves everything: it loses what it did
//! since its last sleep, up to 64 KiB of lines.
//!
//! | variable | meaning |
//! |---|---|
//! | `LOOPLAB_TRACE=FILE.jsonl` | every event, as JSON Lines: `docs/trace.md` |
//! | `LOOPLAB_TRACE=FILE.txt` | one line per turn, for reading |
//! | `LOOPLAB_TRACE_SNAPSHOTS=1` | in `.jsonl`, after every event a `snap` line with the loop's full state (slow) |
//!
//! They are read when the first loop of the process is built, and from then on fixed. An empty variable is an unset one.
//!
//! Read in this order: `recorder` (who writes, and when the file is written), `file` (which file that is), `jsonl` and `text` (the two forms),
//! `replay` (back to a state), `state` (the form of that state).

mod fields;
mod file;
mod jsonl;
mod line;
mod place;
mod recorder;
mod replay;
mod stamp;
mod state;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use recorder::from_env;
pub use replay::Replay;
