//! Deadlines: a scope that cancels its task when its time is over.
//!
//! It promises what asyncio's `timeout` does: the body runs inside the caller's task, without another task and without
//! another turn; when the time is over that *task* is cancelled, and the cancellation that comes out of the body becomes
//! [`Error::TimedOut`] at the scope's end, if it is the scope's own. A cancellation from outside is never swallowed: the
//! counts of `cancelling()` tell the two apart. One thing is different on purpose: a cancellation that was requested
//! before the scope was entered, and is still on its way when the time is over, stays a cancellation.
//!
//! It does not interrupt a body that never suspends, and it does not bound the body's cleanup.
//!
//! ```text
//!   CREATED ──1 run──▶ ACTIVE ──2 the body ends────────▶ FINISHED
//!                        └──3 the time is over──▶ EXPIRING ──4 the body ends──▶ EXPIRED
//! ```

use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, TimerHandle, get_running_loop};
use crate::outcome::Outcome;
use crate::task::{TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Runs a body, in this task, for `delay` at most (`async with asyncio.timeout(delay)`); `None` for no limit.
///
/// When the time is over the task is cancelled where it is suspended. The body may clean up, await included; then its
/// [`Error::Cancelled`] becomes [`Error::TimedOut`] here. A body that swallows the cancellation is not timed out: its
/// value counts. If the task was cancelled from outside too, that wins, and the error stays a cancellation. The time
/// begins when the scope is entered, that is, at the first poll; a zero `delay` lets the body run to its first
/// suspension.
///
/// A body may borrow from its surroundings. For a limit that can be moved or asked about there is [`Timeout`]; to give
/// up a *task* that was made before, there is [`wait_for`](crate::wait_for).
///
/// Dropped half-way, it drops the body and takes its timer back, and the request of its own if it had made one already.
/// Since it cancels the whole task, use it around a `select!` or `join!` and not inside one of its branches.
///
/// # Errors
/// [`Error::TimedOut`]; whatever the body fails with; [`Error::Runtime`] outside of a task, [`Error::NoRunningLoop`]
/// without a loop.
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
pub fn timeout<F>(
    delay: impl Into<Option<Duration>>,
    body: F,
) -> impl Future<Output = Result<<F::Output as Outcome>::Value>>
where
    F: IntoFuture<Output: Outcome>,
{
    let (delay, place) = (delay.into(), Location::caller());
    async move { Timeout::after(delay)?.enter(place, body).await }
}

/// Runs a body, in this task, until the loop's [`time`](EventLoop::time) is `when` (`asyncio.timeout_at`); otherwise as
/// [`timeout`]. A time in the past means: until its first suspension.
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
pub fn timeout_at<F>(
    when: impl Into<Option<Instant>>,
    body: F,
) -> impl Future<Output = Result<<F::Output as Outcome>::Value>>
where
    F: IntoFuture<Output: Outcome>,
{
    let (limit, place) = (Timeout::at(when), Location::caller());
    async move { limit.enter(place, body).await }
}

/// A limit that can be moved while its body runs, and asked afterwards (`asyncio.Timeout`). Cloning gives another handle
/// of the same limit.
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
    /// The timer that ends the time, or a queued callback if the time was over at once.
    alarm: RefCell<Option<TimerHandle>>,
    task: RefCell<Option<TaskRef>>,
    /// The number of requests before the scope: as many must be left for the cancellation to be this scope's own.
    before: Cell<u32>,
    /// The task's step in which the scope was entered, if a cancellation was on its way by then.
    earlier: Cell<Option<u64>>,
}

impl Timeout {
    /// Makes a limit that begins now (`asyncio.timeout(delay)`); `None` for none.
    ///
    /// # Errors
    /// [`Error::NoRunningLoop`] without a loop: there is no clock.
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

    /// Makes a limit at a time of the loop's clock (`asyncio.timeout_at(when)`); `None` for none.
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

    /// Arrow 1: runs `body` in this task under the limit (`async with`), once. See [`timeout`] for what it promises,
    /// also when it is dropped.
    ///
    /// # Errors
    /// As [`timeout`], and [`Error::Runtime`] for a limit that was used before.
    #[track_caller]
    pub fn run<F>(&self, body: F) -> impl Future<Output = Result<<F::Output as Outcome>::Value>> + use<F>
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

    /// Returns whether its time was over while the body ran (`Timeout.expired`). It stays true if the body swallowed the
    /// cancellation, or if a cancellation from outside won.
    #[doc(alias = "Timeout.expired")]
    #[must_use]
    pub fn expired(&self) -> bool {
        matches!(self.0.state.get(), TimeoutState::Expiring | TimeoutState::Expired)
    }

    /// Moves the end, to the past also, or takes the limit away with `None` (`Timeout.reschedule`). From any callback or
    /// task of the loop, while the body runs.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the body has not begun, if its time is over, or if it has ended;
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

    pub(crate) async fn enter<F>(self, place: Place, body: F) -> Result<<F::Output as Outcome>::Value>
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

/// Sets a combinator's timer, shown under the combinator's name, at the place where the combinator was called.
pub(crate) fn set_timer<F, R>(
    lp: &EventLoop,
    place: Place,
    name: &'static str,
    when: Instant,
    function: F,
) -> Result<TimerHandle>
where
    F: FnOnce() -> R + 'static,
    R: Outcome,
{
    lp.0.check_open()?;
    let callback = lp.named_once(place, name, function);
    lp.0.schedule(when, callback.clone());
    Ok(TimerHandle::new(callback, when, lp.downgrade()))
}

impl TimeoutInner {
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
        // Weak: a limit without handles has no task to cancel.
        let scope = Rc::downgrade(self);
        let ring = move || scope.upgrade().map_or((), |scope| scope.expire());
        let name = "timeout";
        let alarm = if when <= lp.time() {
            lp.0.check_open()?;
            let callback = lp.named_once(place, name, ring);
            lp.0.enqueue(callback.clone(), None);
            TimerHandle::new(callback, when, lp.downgrade())
        } else {
            set_timer(&lp, place, name, when, ring)?
        };
        *self.alarm.borrow_mut() = Some(alarm);
        Ok(())
    }

    fn stop_alarm(&self) {
        self.alarm.take().iter().for_each(TimerHandle::cancel);
    }

    /// Arrow 3.
    fn expire(&self) {
        let task = self.task.borrow().clone();
        let (TimeoutState::Active, Some(task)) = (self.state.get(), task) else { return };
        // asyncio counts a request from before the scope as dealt with (gh-134471), and so takes it for its own.
        if self.earlier.get().is_some_and(|step| task.step_number() == step || task.cancel_undelivered()) {
            self.before.set(self.before.get().saturating_sub(1));
        }
        task.cancel();
        self.state.set(TimeoutState::Expiring);
        drop(self.alarm.take());
    }

    /// Arrows 2 and 4: returns whether a cancellation that comes out of the body is this scope's own. Only the first call
    /// counts.
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

/// `<Timeout [active]>`, as Python shows one, without the time: an `Instant` is no number.
impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Timeout [{}]>", word(self.0.state.get()))
    }
}
