//! Child processes.
//!
//! | promise | test |
//! |---|---|
//! | A start takes asyncio's turns. | `starting::a_start_takes_asyncios_turns` |
//! | `communicate` feeds and reads at once, and cannot block. | `talking::communicate_feeds_and_reads_more_than_a_pipe_holds` |
//! | The return code tells an exit from a signal. | `ending::a_return_code_is_the_status_or_the_negative_signal` |
//! | A signal is never sent to a process that is gone. | `ending::a_signal_after_the_end_is_a_process_lookup_error` |
//! | Every child is reaped. | `reaping::a_child_is_reaped_though_its_handle_is_dropped` |
//! | A loop in debug mode logs asyncio's lines. | `debug::a_loop_in_debug_mode_logs_asyncios_lines` |
//! | No descriptor is left. | `reaping::many_children_leave_no_zombie_and_no_descriptor` |

mod debug;
mod ending;
mod helpers;
mod reaping;
mod starting;
mod talking;
