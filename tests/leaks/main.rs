//! Nothing is left of a loop that has ended: a counting allocator over all shapes of programs.
//!
//! Each test is one shape: a program that is cut off in the middle, with a loop that is closed, and with a loop that is
//! dropped. What the program keeps (handles, futures, servers, wakers) outlives the loop. Three promises are checked:
//! what the user gave to the loop is dropped by the end of the loop, although the handles are still kept; the loop's
//! descriptors and ports are free at that moment; and when the handles are dropped as well, as many bytes are in use
//! as before.
//!
//! | promise | test |
//! |---|---|
//! | Jobs leave nothing. | `jobs::a_job_that_runs_and_one_that_is_queued` |
//! | Sockets and servers leave no descriptor and no port. | `network::a_stream_that_is_read_and_written` |
//! | Callbacks, timers, readers and signal handlers leave nothing. | `callbacks::a_loop_that_never_runs` |
//! | Tasks and what combines them leave nothing. | `combinators::a_task_that_has_not_begun` |
//! | An exploration's memory does not grow with its schedules. | `explorations::ten_times_as_many_schedules_need_no_more_memory` |
//! | Locks, queues and their waiters leave nothing. | `primitives::a_lock` |

mod callbacks;
mod combinators;
mod explorations;
mod jobs;
mod network;
mod primitives;
mod program;

use cap::Cap;
use std::alloc::System;

/// Counts the bytes that are in use.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);
