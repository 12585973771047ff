//! X-ray: writes a record of what a loop did, and rebuilds the loop's state from that record.
//!
//! Every event of every loop of the process becomes a line, in one order. Recording never changes
//! what the program does, and never fails it. A trace in virtual time on one thread is the same
//! each time, byte for byte. X-ray reads the events of [`trace`](crate::trace) and nothing else of
//! the crate.
//!
//! A trace is safe to leave on: the file is private, and no other file is harmed. A child process
//! that inherits the variable writes a file of its own.
//!
//! A process that is killed in the middle of a turn loses the events since its last sleep, at most
//! 64 KiB of lines.
//!
//! | variable | meaning |
//! |---|---|
//! | `LOOPLAB_TRACE=FILE.jsonl` | every event, as JSON Lines: `docs/trace.md` |
//! | `LOOPLAB_TRACE=FILE.html` | the same events in a page that replays them, for a browser |
//! | `LOOPLAB_TRACE=FILE.txt` | one line per turn, for reading |
//! | `LOOPLAB_TRACE_SNAPSHOTS=1` | after every event a `snap` line with the loop's full state, but not in `.txt` (slow) |
//!
//! The variables are read when the first loop of the process is built. An empty variable counts as
//! unset.
//!
//! Read `recorder` first: it says when the file is written. Then read `file`, and the forms `jsonl`,
//! `page` and `text`. `replay` goes back from lines to a state. `state` is the form of that state.
//! `story` tells a trace in the sentences of `words`. `history` keeps a whole trace, for `causes` and
//! `questions`.

mod causes;
mod fields;
mod file;
mod history;
mod jsonl;
mod line;
mod names;
mod output;
mod page;
mod place;
mod questions;
mod recorder;
mod replay;
mod source;
mod stamp;
mod state;
mod story;
mod text;
mod words;

#[cfg(test)]
mod tests;

pub use causes::Cause;
pub use history::History;
pub use page::{page, python};
pub use questions::Question;
pub(crate) use recorder::from_env;
#[cfg(feature = "explore")]
pub(crate) use recorder::recording_in_memory;
pub use replay::Replay;
pub use story::{ReadyNames, Sentence, sentences};
