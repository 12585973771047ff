//! Nothing is left of a loop that has ended: a counting allocator over all shapes of programs.
//!
//! Each test is one shape: a program that is cut off in the middle, with a loop that is closed, and with a loop that is
//! dropped. What the program keeps (handles, futures, servers, wakers) outlives the loop. Three promises are checked:
//! what the user gave to the loop is dropped by the end of the loop, although the handles are still kept; the loop's
//! descriptors and ports are free at that moment; and when the handles are dropped as well, as many bytes are in use
//! as before.

mod callbacks;
mod combinators;
mod jobs;
mod network;
mod primitives;
mod program;

use cap::Cap;
use std::alloc::System;

/// Counts the bytes that are in use.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);
