//! Tasks and futures: steps, wake-ups, cancellation and reports.
//!
//! | promise | test |
//! |---|---|
//! | A task takes as many turns as on CPython. | `tasks::the_hop_table` |
//! | Waiters and done callbacks run one turn after the result, in order of registration. | `futures::callbacks_and_awaiters_run_one_turn_later_in_order_of_registration` |
//! | A cancel reaches the body in the next turn, and goes down a chain first. | `cancellation::a_cancelled_chain_ends_from_the_inside_one_task_a_turn` |
//! | A cancel can be withdrawn until it is delivered. | `cancellation::uncancel_to_zero_withdraws_a_cancel_that_was_not_delivered` |
//! | A coroutine can be driven by hand, with `send`, `throw` and `close`. | `coroutine::send_runs_to_the_next_suspension_and_a_swallowed_throw_returns_the_value` |
//! | An eager task makes its first step in the call that makes it. | `eager::the_whole_trace_of_a_task_that_is_done_at_once` |
//! | A failure that is never read is reported once. | `reports::a_failure_that_was_never_read_is_reported_when_the_last_handle_goes` |
//! | Futures of other crates wake a task from any thread. | `foreign_futures::another_thread_wakes_a_task_while_the_loop_sleeps` |
//! | No wake-up and no cancellation is lost, in random programs. | `interleavings::no_wake_up_and_no_cancellation_is_lost_and_everything_is_dropped_once` |

mod cancellation;
mod coroutine;
mod eager;
mod foreign_futures;
mod futures;
mod interleavings;
mod reports;
mod tasks;
