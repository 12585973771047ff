//! Random programs on `looplab::sync`: members of a [crew](crew::Crew) that wait, cancel each other and call each other's
//! waits off at random points, in virtual time. Whatever they do, nothing may be lost, and the order must be fair.

mod barrier;
mod condition;
mod crew;
mod event;
mod lock;
mod queue;
mod semaphore;
