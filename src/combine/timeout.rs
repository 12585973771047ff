//! `timeout`: a scope that cancels its task when its time is over.
//!
//! It guarantees what asyncio's `timeout` does. The body runs in the caller's task, at no cost of
//! turns. When the time is over, that *task* is cancelled. If the body ends with this cancellation,
//! it becomes [`Error::TimedOut`] at the scope's end. A cancellation from outside is never
//! swallowed: the counts of `cancelling()` distinguish the two. (Unlike in asyncio, a cancellation
//! that was requested before the scope, and is not delivered by its end, stays one.)
//!
//! It does not interrupt a body that never suspends, and does not limit the body's cleanup.
//!
//! ```text
//!   CREATED ──1 run──▶ ACTIVE ──2 the body ends────────▶ FINISHED
//!                        └──3 the time is over──▶ EXPIRING ──4 the body ends──▶ EXPIRED
//! ```

use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{TimerHandle, get_running_loop};
use crate::outcome::{Outcome, ValueOf};
use crate::task::{TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Runs a body in this task, for `delay` at most (`async with asyncio.timeout(delay)`). `None` is
/// no limit.
///
/// When the time is over, the task is cancelled where it is suspended. The body may clean up, and
/// may await meanwhile. Then its [`Error::Cancelled`] becomes [`Error::TimedOut`] here. A body that
/// swallows the cancellation is not timed out: its value counts. If the task was cancelled from
/// outside too, that wins, and the error stays a cancellation. The time begins when the scope is
/// entered, at the first poll. A zero `delay` lets the body run to its first suspension.
///
/// A body may borrow from its surroundings. A [`Timeout`] is a limit that can be moved, and asked
/// whether it has expired. To limit the wait for a *task* that exists, use
/// [`wait_for`](crate::wait_for).
///
/// Dropping it half-way drops the body and cancels its timer. If it has cancelled the task already,
/// that request is withdrawn. It cancels the whole task, so use it around a `select!` or `join!`,
/// and not inside a branch of one.
///
/// # Errors
/// [`Error::TimedOut`]; the error of the body; [`Error::Runtime`] outside of a task;
/// [`Error::NoRunningLoop`] without a running loop.
///
/// ```
/// use looplab::{Clock, Error, EventLoop, sleep, timeout};
/// use std::time::Duration;
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// lp.run_until_complete(async {
///     let late = timeout(Duration::from_secs(1), sleep(Duration::from_secs(60))).await;
///     assert!(matches!(late, Err(Error::TimedOut)));
///     timeout(Duration::from_secs(1), async { Ok("in time") }).await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.timeout")]
#[track_caller]
pub fn timeout<F>(delay: impl Into<Option<Duration>>, body: F) -> impl Future<Output = Result<ValueOf<F>>>
where
    F: IntoFuture<Output: Outcome>,
{
    let (delay, place) = (delay.into(), Location::caller());
    async move { Timeout::after(delay)?.enter(place, body).await }
}

/// Runs a body in this task, until the loop's [`time`](crate::EventLoop::time) is `when`
/// (`asyncio.timeout_at`). Otherwise it is [`timeout`]. With a time in the past the body runs to
/// its first suspension.
///
/// # Errors
/// As [`timeout`].
///
/// ```
/// use looplab::{Clock, EventLoop, get_running_loop, sleep, timeout_at};
/// use std::time::Duration;
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// lp.run_until_complete(async {
///     let when = get_running_loop()?.time() + Duration::from_secs(2);      // one deadline for both
///     timeout_at(when, sleep(Duration::from_secs(1))).await?;
///     assert!(timeout_at(when, sleep(Duration::from_secs(5))).await.is_err());
///     assert_eq!(get_running_loop()?.time(), when);
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.timeout_at")]
#[track_caller]
pub fn timeout_at<F>(when: impl Into<Option<Instant>>, body: F) -> impl Future<Output = Result<ValueOf<F>>>
where
    F: IntoFuture<Output: Outcome>,
{
    let (limit, place) = (Timeout::at(when), Location::caller());
    async move { limit.enter(place, body).await }
}

/// A limit that can be moved while its body runs, and asked afterwards whether it has expired
/// (`asyncio.Timeout`). A clone is another handle of the same limit.
///
/// ```
/// use looplab::{Clock, EventLoop, Timeout, get_running_loop, sleep};
/// use std::time::Duration;
/// let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
/// lp.run_until_complete(async {
///     let limit = Timeout::after(Duration::from_secs(1))?;
///     let more = limit.clone();
///     let ended = limit.run(async move {
///         more.reschedule(get_running_loop()?.time() + Duration::from_secs(60))?;
///         sleep(Duration::from_secs(5)).await
///     });
///     ended.await?;
///     assert!(!limit.expired());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.Timeout")]
#[derive(Clone)]
pub struct Timeout(Rc<TimeoutInner>);

#[derive(Clone, Copy, PartialEq)]
enum TimeoutState {
    Created,
    Active,
    Expiring,
    Expired,
    Finished,
}

struct TimeoutInner {
    state: Cell<TimeoutState>,
    when: Cell<Option<Instant>>,
    /// The timer, or a queued callback if the time was over at once.
    alarm: RefCell<Option<TimerHandle>>,
    task: RefCell<Option<TaskRef>>,
    /// The count of `cancelling()` before the scope. If it is higher after the scope's own request
    /// is withdrawn, then the task was cancelled from outside, too.
    before: Cell<u32>,
    /// The task's step in which the scope was entered, if a cancellation was requested but not
    /// delivered by then.
    earlier: Cell<Option<u64>>,
}

impl Timeout {
    /// Makes a limit that begins now (`asyncio.timeout(delay)`). `None` is no limit.
    ///
    /// # Errors
    /// [`Error::NoRunningLoop`] without a running loop, because the limit needs its clock.
    ///
    /// ```
    /// use looplab::Timeout;
    /// assert!(Timeout::after(std::time::Duration::from_secs(1)).is_err());
    /// ```
    #[doc(alias("asyncio.timeout", "timeout"))]
    pub fn after(delay: impl Into<Option<Duration>>) -> Result<Self> {
        let lp = get_running_loop()?;
        Ok(Self::at(delay.into().map(|delay| lp.0.clock.deadline(delay))))
    }

    /// Makes a limit at a time of the loop's clock (`asyncio.timeout_at(when)`). `None` is no
    /// limit.
    ///
    /// ```
    /// use looplab::Timeout;
    /// assert_eq!(Timeout::at(None).when(), None);
    /// ```
    #[doc(alias("asyncio.timeout_at", "timeout_at"))]
    #[must_use]
    pub fn at(when: impl Into<Option<Instant>>) -> Self {
        Self(Rc::new(TimeoutInner {
            state: Cell::new(TimeoutState::Created),
            when: Cell::new(when.into()),
            alarm: RefCell::new(None),
            task: RefCell::new(None),
            before: Cell::new(0),
            earlier: Cell::new(None),
        }))
    }

    /// Runs `body` in this task under the limit, once (`async with`). See [`timeout`] for its
    /// promises, also for those when it is dropped.
    ///
    /// # Errors
    /// As [`timeout`], and [`Error::Runtime`] for a limit that was used before.
    #[track_caller]
    pub fn run<F>(&self, body: F) -> impl Future<Output = Result<ValueOf<F>>> + use<F>
    where
        F: IntoFuture<Output: Outcome>,
    {
        let (limit, place) = (self.clone(), Location::caller());
        async move { limit.enter(place, body).await }
    }

    /// Returns the time at which it ends, on the loop's clock (`Timeout.when`).
    #[doc(alias = "Timeout.when")]
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.0.when.get()
    }

    /// Returns whether the time was over while the body ran (`Timeout.expired`). This stays true if
    /// the body swallowed the cancellation, or if a cancellation from outside won.
    #[doc(alias = "Timeout.expired")]
    #[must_use]
    pub fn expired(&self) -> bool {
        matches!(self.0.state.get(), TimeoutState::Expiring | TimeoutState::Expired)
    }

    /// Moves the end, which may be in the past, or removes the limit with `None`
    /// (`Timeout.reschedule`). Any callback or task of the loop may call it while the body runs.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the body has not begun or has ended, or if the time is over;
    /// [`Error::NoRunningLoop`] between two runs.
    ///
    /// ```
    /// use looplab::Timeout;
    /// let error = Timeout::at(None).reschedule(None).unwrap_err();
    /// assert_eq!(error.to_string(), "Timeout has not been entered");
    /// ```
    #[doc(alias = "Timeout.reschedule")]
    #[track_caller]
    pub fn reschedule(&self, when: impl Into<Option<Instant>>) -> Result<()> {
        match self.0.state.get() {
            TimeoutState::Active => self.0.set_alarm(when.into(), Location::caller()),
            TimeoutState::Created => Err(Error::Runtime("Timeout has not been entered".into())),
            state => Err(Error::Runtime(format!("Cannot change state of {} Timeout", word(state)).into())),
        }
    }

    pub(crate) async fn enter<F>(self, place: Place, body: F) -> Result<ValueOf<F>>
    where
        F: IntoFuture<Output: Outcome>,
    {
        let limit = &self.0;
        limit.begin()?;
        let _leave = DropGuard::new(|| _ = limit.leave());
        limit.set_alarm(limit.when.get(), place)?;
        let outcome = body.await.into_result();
        if limit.leave() && matches!(outcome, Err(Error::Cancelled(_))) {
            return Err(Error::TimedOut);
        }
        outcome
    }
}

impl TimeoutInner {
    /// Takes arrow 1.
    fn begin(&self) -> Result<()> {
        if self.state.get() != TimeoutState::Created {
            return Err(Error::Runtime("Timeout has already been entered".into()));
        }
        let task = current_task().ok_or(Error::Runtime("Timeout should be used inside a task".into()))?;
        self.state.set(TimeoutState::Active);
        self.before.set(task.cancelling());
        self.earlier.set(task.cancel_undelivered().then(|| task.step_number()));
        *self.task.borrow_mut() = Some(task);
        Ok(())
    }

    fn set_alarm(self: &Rc<Self>, when: Option<Instant>, place: Place) -> Result<()> {
        self.when.set(when);
        self.stop_alarm();
        let Some(when) = when else { return Ok(()) };
        let lp = get_running_loop()?;
        lp.0.check_open()?;
        // Weak: a limit without handles has no task to cancel.
        let scope = Rc::downgrade(self);
        let expire = move || scope.upgrade().iter().for_each(|scope| scope.expire());
        let callback = lp.named_once(place, "timeout", expire);
        if when <= lp.time() {
            // Before all that the next poll finds (`call_soon` in asyncio).
            lp.0.enqueue(callback.clone(), None);
        } else {
            lp.0.schedule(when, callback.clone());
        }
        *self.alarm.borrow_mut() = Some(TimerHandle::new(callback, when, Rc::downgrade(&lp.0)));
        Ok(())
    }

    fn stop_alarm(&self) {
        self.alarm.take().iter().for_each(TimerHandle::cancel);
    }

    /// Takes arrow 3.
    fn expire(&self) {
        let task = self.task.borrow().clone();
        let (TimeoutState::Active, Some(task)) = (self.state.get(), task) else { return };
        // asyncio takes a request from before the scope for its own (gh-134471).
        if self.earlier.get().is_some_and(|step| task.step_number() == step || task.cancel_undelivered()) {
            self.before.set(self.before.get().saturating_sub(1));
        }
        task.cancel();
        self.state.set(TimeoutState::Expiring);
        drop(self.alarm.take());
    }

    /// Takes arrow 2 or 4 at the first call. Returns whether a cancellation with which the body
    /// ends is the scope's own.
    fn leave(&self) -> bool {
        self.stop_alarm();
        let task = self.task.borrow_mut().take();
        match (self.state.get(), task) {
            (TimeoutState::Expiring, Some(task)) => {
                self.state.set(TimeoutState::Expired);
                task.uncancel() <= self.before.get()
            }
            (TimeoutState::Active, _) => {
                self.state.set(TimeoutState::Finished);
                false
            }
            _ => false,
        }
    }
}

fn word(state: TimeoutState) -> &'static str {
    match state {
        TimeoutState::Created => "created",
        TimeoutState::Active => "active",
        TimeoutState::Expiring => "expiring",
        TimeoutState::Expired => "expired",
        TimeoutState::Finished => "finished",
    }
}

/// Writes `<Timeout [active]>`, as Python does, but without the time: an `Instant` is no number.
impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Timeout [{}]>", word(self.0.state.get()))
    }
}
