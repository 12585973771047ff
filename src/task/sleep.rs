//! Sleeping and yielding.
//!
//! They guarantee asyncio's turns. A sleep's timer runs in the turn that sees the deadline, and the sleeper goes on in the
//! turn after. A yield takes one turn and no timer. Both start when they are first awaited, as a coroutine's body does.

use super::cell::RunState;
use super::context::StepId;
use super::future_core::{AnyFuture, FutureCore};
use super::leaf::Leaf;
use super::step::look_at_current;
use crate::error::Result;
use crate::event_loop::{Callback, EventLoop, Header, get_running_loop};
use crate::in_place::rc_in_place;
use crate::trace::{Done, EntryKind, Place};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Suspends the task for `delay` (`asyncio.sleep`); a zero delay is [`yield_now`].
///
/// Fails with [`Error::Cancelled`](crate::Error::Cancelled) if the task is cancelled meanwhile, and with
/// [`Error::NoRunningLoop`](crate::Error::NoRunningLoop) without a loop. Dropping it cancels its timer.
///
/// ```
/// use looplab::{Clock, EventLoop, sleep};
/// use std::time::Duration;
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// lp.run_until_complete(async { sleep(Duration::from_secs(60)).await })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.sleep")]
#[track_caller]
pub fn sleep(delay: Duration) -> Sleep {
    Sleep { delay, place: Location::caller(), state: SleepState::New }
}

/// Lets all other ready entries run, and goes on in the next turn (`asyncio.sleep(0)`). A cancellation point.
///
/// ```
/// # use looplab::{EventLoop, yield_now};
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async { yield_now().await })?;
/// assert_eq!(lp.turns(), 3);                      // two steps, and the callback that ends the run
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias("asyncio.sleep", "sleep"))]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: None }
}

/// Made by [`sleep`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    delay: Duration,
    place: Place,
    state: SleepState,
}

enum SleepState {
    New,
    /// A zero delay only yields.
    Yielding(YieldNow),
    /// The timer holds its loop weakly: a task that sleeps must not keep the loop alive that keeps the task.
    Waiting {
        timer: Rc<SleepTimer>,
        leaf: Leaf,
    },
}

/// Made by [`yield_now`].
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    /// The step that it yielded in; of context 0 outside of any step.
    yielded: Option<StepId>,
}

/// A sleep's timer, and the future that it completes, in one allocation.
struct SleepTimer {
    header: Header,
    core: FutureCore,
}

impl Future for Sleep {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let SleepState::New = self.state {
            self.state = self.begin()?;
        }
        match &mut self.state {
            SleepState::New => Poll::Pending,
            SleepState::Yielding(yielding) => Pin::new(yielding).poll(cx),
            SleepState::Waiting { timer, leaf } => {
                let thrown = ready!(leaf.poll(cx));
                end_timer(timer);
                Poll::Ready(thrown.and_then(|()| timer.core.check_error()))
            }
        }
    }
}

impl Sleep {
    /// Sets the timer.
    fn begin(&self) -> Result<SleepState> {
        if self.delay.is_zero() {
            return Ok(SleepState::Yielding(yield_now()));
        }
        let lp = get_running_loop()?;
        let timer = rc_in_place(|| SleepTimer {
            core: FutureCore::future(&lp, "sleep", self.place),
            header: Header::new(lp.0.next_handle(), EntryKind::Callback, self.place, "sleep"),
        });
        lp.0.schedule(lp.0.clock.deadline(self.delay), timer.clone());
        Ok(SleepState::Waiting { leaf: Leaf::new(timer.clone()), timer })
    }
}

/// Cancels the timer when its sleeper ends (`finally: h.cancel()` in asyncio's `sleep`).
fn end_timer(timer: &SleepTimer) {
    if timer.header.mark_cancelled()
        && let Some(lp) = timer.core.event_loop()
    {
        lp.0.timer_cancelled(&timer.header);
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let SleepState::Waiting { timer, leaf } = &mut self.state {
            leaf.release();
            end_timer(timer);
        }
    }
}

impl Future for YieldNow {
    type Output = Result<()>;

    /// Pending the first time, and the next step is queued at the end of this one. Then ready with `Ok`, or with `Err` if
    /// something is thrown here.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(since) = self.yielded.take() {
            let thrown = look_at_current(|current| current.context.take_thrown(since)).flatten();
            return Poll::Ready(thrown.map_or(Ok(()), |error| Err(*error)));
        }
        let current = look_at_current(|current| {
            let own_waker = current.context.is_own_waker(cx);
            if own_waker {
                current.state.set(RunState::Woken);
            }
            (current.context.step(), own_waker)
        });
        let (step, woken) = current.unwrap_or_default();
        if !woken {
            cx.waker().wake_by_ref();
        }
        self.yielded = Some(step);
        Poll::Pending
    }
}

impl Callback for SleepTimer {
    fn header(&self) -> &Header {
        &self.header
    }

    fn call(&self, lp: &EventLoop) -> Result<()> {
        // Nothing is left to cancel when its sleeper ends.
        self.header.mark_cancelled();
        // Only its sleep can reach it, so it has no done callbacks that take the future.
        if self.core.done() { Ok(()) } else { self.core.complete_on(Some(lp), Done::Ok, || Rc::new(())) }
    }
}

impl AnyFuture for SleepTimer {
    fn core(&self) -> &FutureCore {
        &self.core
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<sleep {:?} at {}:{}>", self.delay, self.place.file(), self.place.line())
    }
}

impl fmt::Debug for YieldNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<yield>")
    }
}
