//! Tasks and futures: steps, wake-ups, cancellation and reports.

mod cancellation;
mod coroutine;
mod foreign_futures;
mod futures;
mod interleavings;
mod reports;
mod tasks;
