//! Calls from other threads, and calls that block.
//!
//! | promise | test |
//! |---|---|
//! | Calls of other threads run in order, and wake an idle loop. | `remote_calls::no_wake_up_is_lost_however_sending_and_falling_asleep_meet` |
//! | A call after `close` is refused. | `remote_calls::after_close_every_call_is_refused_and_its_values_are_dropped` |
//! | A thread waits for a body that runs on the loop. | `run_coroutine_threadsafe::a_thread_waits_for_the_value_of_a_body_that_runs_on_the_loop` |
//! | The pool starts a thread only when none is idle. | `executor::a_thread_is_started_only_when_no_idle_one_is_there` |
//! | A queued job that is cancelled never runs; a running one is not interrupted. | `executor::a_queued_job_that_is_cancelled_never_runs` |
//! | A shutdown waits for jobs or cancels them. | `executor::shutdown_that_waits_returns_when_the_threads_have_ended` |
//! | Storms of cancels and shutdowns leave no future pending and no thread. | `executor_storm::in_a_storm_of_cancellations_and_shutdowns_every_future_ends_and_no_thread_is_left` |

mod executor;
mod executor_storm;
mod gate;
mod remote_calls;
mod run_coroutine_threadsafe;
