//! Signals that a loop handles. Each test runs in processes of its own.

mod defaults;
mod floods;
mod handlers;
mod loops;
mod turns;
