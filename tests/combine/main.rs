//! What waits for several tasks, or for one with a limit.
//!
//! | promise | test |
//! |---|---|
//! | `gather` gives results in the order of its arguments. | `gather::results_come_in_the_order_of_the_arguments` |
//! | `wait` raises no errors of what it waits for. | `wait::it_never_raises_the_errors_of_what_it_waits_for` |
//! | `wait_for` ends when its cancelled target has ended. | `wait_for::on_timeout_it_cancels_and_waits_until_the_cancellation_is_finished` |
//! | `timeout` turns its own cancel into an error, and no other cancel. | `timeout::when_the_time_is_over_the_task_is_cancelled_and_the_scope_raises_timed_out` |
//! | `shield` keeps a cancel from the inner future. | `shield::cancelling_the_waiter_does_not_reach_the_inner_one` |
//! | `as_completed` gives the first to end first. | `as_completed::what_ends_first_comes_first` |
//! | A task group cancels its other children at the first failure. | `task_group::the_first_failure_cancels_the_siblings_and_the_body_and_comes_out_as_a_group` |

mod as_completed;
mod gather;
mod shield;
mod task_group;
mod timeout;
mod wait;
mod wait_for;
