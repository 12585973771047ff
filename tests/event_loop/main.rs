//! The loop: turns, runs, handles, timers, readers, errors, exits and the end.
//!
//! | promise | test |
//! |---|---|
//! | A turn runs what was ready when it began; what its callbacks add waits for the next one. | `turn::what_a_callback_schedules_waits_for_the_next_turn_and_a_poll_lies_between` |
//! | I/O comes before due timers, and both after what was ready. | `turn::a_turn_runs_what_was_ready_calls_of_threads_among_it_then_io_then_due_timers` |
//! | A stop ends the run after its turn, and the loop runs again. | `stop_and_restart::stop_during_a_turn_lets_the_whole_batch_run` |
//! | Nothing is lost between two runs. | `stop_and_restart::a_thousand_runs_lose_no_callback_timer_reader_or_task` |
//! | A run takes as many turns as on CPython. | `hops::awaiting_an_immediate_child_task_takes_4_turns` |
//! | A loop that runs refuses a second run. | `nested_runs::a_nested_run_of_the_same_loop_is_refused_with_asyncios_text` |
//! | Timers run in the order of their deadlines, equal ones in the order of their calls. | `handles_and_timers::equal_deadlines_run_first_come_first_served` |
//! | A cancelled handle never runs, and its callback is dropped at once. | `handles_and_timers::a_cancelled_callback_is_dropped_at_once_and_once` |
//! | A reader is called in each turn in which its descriptor is ready. | `readers_and_writers::a_reader_that_reads_nothing_is_called_in_every_turn` |
//! | A reader that says it drained its descriptor costs no system call. | `readers_and_writers::a_reader_that_says_it_drained_and_did_not_sleeps_until_more_comes` |
//! | A reused descriptor gets no events of the old file. | `descriptors::a_reused_descriptor_never_gets_another_registrations_events_while_a_duplicate_lives_on` |
//! | An error goes to the exception handler, with name and place. | `exceptions::a_callback_that_fails_or_panics_is_reported_with_its_name_and_place` |
//! | An exit leaves the run, and the rest of its turn stays queued. | `exits::a_handler_may_leave_the_loop_and_the_rest_of_the_turn_stays` |
//! | A panic in user code ends no run and no process. | `panics::hooks_observer_and_handler_are_dropped_one_by_one_with_the_loop` |
//! | A chain of values is dropped without recursion, however long it is. | `long_chains::futures_whose_callbacks_own_the_next_are_dropped_without_recursion` |
//! | Closing drops everything that the loop was given, in a documented order. | `closing::what_was_given_is_dropped_in_the_order_that_is_documented` |
//! | Virtual time jumps to the next deadline, and a deadlock is an error. | `virtual_time::time_jumps_exactly_to_the_next_deadline` |
//! | In real time no timer is early. | `real_clock::a_chain_of_timers_costs_one_turn_each_and_none_is_early` |
//! | The watchdog names a callback while it blocks the loop. | `watchdog::a_callback_that_blocks_is_named_while_it_blocks` |

mod closing;
mod descriptors;
mod exceptions;
mod exits;
mod handles_and_timers;
mod hops;
mod long_chains;
mod nested_runs;
mod panics;
mod readers_and_writers;
mod real_clock;
mod stop_and_restart;
mod turn;
mod virtual_time;
mod watchdog;
