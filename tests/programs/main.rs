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
//! | An error shows its kind, and a group is a tree. | `error_texts::debug_is_the_last_line_of_pythons_traceback` |
//! | `main` prints an error once and gives the exit code. | `error_texts::main_prints_an_error_once_and_an_exit_not_at_all` |
//! | The explored service keeps its promise, and its careless twin does not. | `service::the_explored_service_saves_what_it_has_taken` |
//! | Lesson 46 needs no Redis, and its client survives any answer. | `redis::lesson_46_shows_the_same_on_a_machine_without_redis_and_says_so` |
//! | Warnings are seen without a logger. | `warnings::without_a_logger_warnings_and_errors_go_to_standard_error` |
//! | The README's crate builds and runs. | `readme::the_readmes_own_crate_builds_and_ends_as_it_says` |

mod app_clients;
mod app_life;
mod error_texts;
mod processes;
mod readme;
mod redis;
mod runner;
mod service;
mod warnings;
