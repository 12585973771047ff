//! The loop: turns, runs, handles, timers, readers, errors, exits and the end.

mod closing;
mod descriptors;
mod exceptions;
mod exits;
mod handles_and_timers;
mod hops;
mod nested_runs;
mod panics;
mod readers_and_writers;
mod real_clock;
mod stop_and_restart;
mod turn;
mod virtual_time;
mod watchdog;
