//! Whole programs: the runner, applications, processes.
//!
//! | promise | test |
//! |---|---|
//! | `run` gives the value of main and closes its loop. | `runner::run_gives_the_value_of_main` |
//! | The end cancels the tasks, gathers them, reports, and ends the pool, in this order. | `runner::the_order_is_cancel_gather_report_pool_close` |
//! | A runner's life takes the turns that it takes on CPython. | `runner::a_runners_life_takes_the_turns_it_takes_on_cpython` |
//! | An application answers the requests in flight before it ends. | `app_life::sigterm_in_mid_request_refuses_the_next_and_answers_this_one` |
//! | `nc` and `curl` are served. | `app_clients::curl_is_served_and_keeps_its_connection` |
//! | A forked child harms no loop of its parent. | `processes::a_run_that_a_fork_has_copied_ends_in_the_child_and_goes_on_in_the_parent` |

mod app_clients;
mod app_life;
mod processes;
mod runner;
