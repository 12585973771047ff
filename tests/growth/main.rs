//! Ten times as many operations cost about ten times as much.
//!
//! Each test is one operation. It is done `n` times and ten times as often, each time on a loop of its own, and the thread's
//! CPU time is compared. Quadratic work costs a hundred times as much; the limit is 25, because the larger run misses the
//! cache more often. Only the ratio counts, so the speed of the machine has no part in it. Another process may disturb one
//! measurement: the least of several counts.
//!
//! | promise | test |
//! |---|---|
//! | The queue, the heap and the inbox do not grow slow. | `callbacks::posts_from_another_thread` |
//! | Tasks and futures do not grow slow. | `tasks::cancelling_sleepers_newest_first` |
//! | What combines tasks does not grow slow. | `combinators::as_completed_of_many` |
//! | Waiters of a primitive leave it without a search, from either end. | `primitives::waiters_of_an_event` |
//! | Jobs, readers and connections do not grow slow. | `outside::connections_of_a_server` |

mod callbacks;
mod combinators;
mod outside;
mod primitives;
mod tasks;

use looplab::{Clock, EventLoop, ExceptionContext, Result};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

const LIMIT: f64 = 25.0;
const ROUNDS: usize = 5;

/// The CPU time of this thread since it began.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Does the operation `n` times on a new loop, and returns the CPU time. The end of the loop is part of it.
fn cost(n: usize, operation: &impl Fn(&EventLoop, usize) -> Result<()>) -> Duration {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
    // Tasks that are still pending at the end would be reported one by one.
    lp.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
    let before = cpu_time();
    operation(&lp, n).expect("the operation succeeds");
    lp.close().expect("no run is under way");
    drop(lp);
    cpu_time() - before
}

/// Fails if ten times as many operations cost more than [`LIMIT`] times as much, in every round.
fn grows_with_the_number(n: usize, operation: impl Fn(&EventLoop, usize) -> Result<()>) {
    let _watchdog = support::watchdog();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        // A disturbed measurement of the few would let quadratic work pass, and the few are quickly done.
        let few = (0..3).map(|_| cost(n, &operation)).min().unwrap_or_default();
        let many = cost(10 * n, &operation);
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        if ratio <= LIMIT {
            return;
        }
        ratios.push(format!("{ratio:.0}"));
    }
    panic!("{} operations cost {} times as much as {n}", 10 * n, ratios.join(", "));
}

/// A linear search in each of the operations is what the tests are for.
#[test]
#[should_panic(expected = "times as much as 300")]
fn a_linear_search_in_each_operation_is_found() {
    grows_with_the_number(300, |lp, n| {
        let mut waiters: Vec<usize> = Vec::new();
        for i in 0..n {
            assert!(waiters.iter().all(|other| *other != i));
            waiters.push(i);
        }
        lp.call_soon(|| ()).map(drop)
    });
}
