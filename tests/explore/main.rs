//! The explorer: it finds classic faults at their points, passes their mended twins, and says what it did not look at.
//!
//! | promise | test |
//! |---|---|
//! | Each classic fault is found at its point, and its mended twin passes. | `lessons::the_explorer_finds_the_fault_of_each_lesson_and_passes_its_mended_twin` |
//! | The applications keep their life cycle at every point. | `applications::an_application_keeps_its_life_cycle_whenever_a_signal_comes` |
//! | Each kind of disturbance finds the fault that it is for. | `kinds::an_error_of_a_peer_fails_the_await_of_the_named_task` |
//! | What the library promises of its primitives holds at every point. | `library::a_lock_is_free_when_all_its_waiters_are_gone` |
//! | So do the promises of servers, streams and runners. | `streams::a_runner_ends_all_that_its_program_has_begun` |
//! | A log tells what happened, and its assertions say what did not. | `logs::a_log_tells_what_ran_and_what_was_noted_turn_by_turn` |
//! | So do bounded semaphores, and queues with an order of their own. | `sync::a_priority_queue_loses_nothing_and_keeps_its_order` |
//! | The safe patterns of the lessons hold at every point. | `patterns::shutdown::lesson_11::a_second_signal_changes_nothing_and_late_tasks_end_too` |
//! | A peer that misbehaves at any point finds what its other side lacks. | `peers::a_cut_finds_half_a_line_that_is_taken_for_one` |
//! | The explorer says what it did, and repeats what it names. | `reports::a_schedule_repeated_by_its_name_fails_in_the_same_way` |

mod applications;
mod kinds;
mod lessons;
mod library;
mod logs;
mod patterns;
mod peers;
mod reports;
mod streams;
mod sync;
