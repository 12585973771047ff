//! Signals that a loop handles. Each test runs in processes of its own.
//!
//! | promise | test |
//! |---|---|
//! | A handler runs two turns after its signal, as on CPython. | `handlers::a_signal_of_turn_1_is_read_in_turn_2_and_its_handler_runs_in_turn_3` |
//! | Without a handler a signal has its default effect again. | `defaults::removing_the_handler_brings_death_by_the_signal_back` |
//! | A flood loses no kind of signal. | `floods::a_flood_of_signals_from_a_child_process_loses_no_kind_and_nothing_else` |
//! | Each loop with a handler gets each signal. | `loops::two_loops_on_two_threads_each_get_every_signal` |
//! | The self-pipe keeps its place among the ready descriptors. | `turns::a_self_pipe_that_came_first_stays_first` |

mod defaults;
mod floods;
mod handlers;
mod loops;
mod turns;
