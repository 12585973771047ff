//! The transitions: every change of state that is an event of the trace is one method here.
//!
//! A transition of the loop changes the state first and then calls the observer, with no borrow held. The state of tasks,
//! futures and jobs is in rooms above the loop: their transitions are announced here after the change. Nothing else calls
//! the observer, and traced, watched and plain loops take the same path. Without an observer a transition costs one test.

use super::Inner;
use super::callback::{Callback, Header, call};
use super::exceptions::{HandleInfo, created_at};
use super::ready::{Entry, Failed};
use crate::error::Error;
use crate::observe::names::{is_own, shorten};
use crate::observe::watchdog;
use crate::panics::drop_quietly;
use crate::trace::{Direction, Done, Event, Life, On, Place, Ready, Record, Via, Wait, Wake, Why};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How an entry came into the ready queue, for the trace.
#[derive(Clone, Copy)]
pub(crate) struct PushInfo<'a> {
    pub(crate) via: Via,
    pub(crate) cause: Option<On>,
    pub(crate) thread: Option<&'a str>,
    pub(crate) fd: Option<i32>,
    pub(crate) signal: Option<i32>,
}

impl PushInfo<'_> {
    pub(crate) const CALL_SOON: Self =
        Self { via: Via::CallSoon, cause: None, thread: None, fd: None, signal: None };
}

/// What watches an entry that runs: the observer, debug mode, the watchdog.
pub(super) struct EntryWatch<'a> {
    q: u64,
    /// The entry and when it began, in debug mode.
    began: Option<(Rc<dyn Entry>, Instant)>,
    /// Its error.
    error: Option<Error>,
    _watch: Option<watchdog::WatchGuard<'a>>,
}

/// Runs and turns.
impl Inner {
    pub(super) fn life_changed(&self, life: Life) {
        self.trace(|| Event::Loop(life));
    }

    pub(super) fn set_stop_flag(&self) {
        self.stopping.set(true);
        self.trace(|| Event::Stop { by: self.running_entry.get() });
    }

    pub(super) fn clear_stop_flag(&self) {
        if self.stopping.replace(false) {
            self.trace(|| Event::Unstop);
        }
    }

    #[inline]
    pub(super) fn begin_turn(&self) {
        let n = self.turns.get() + 1;
        self.turns.set(n);
        self.trace(|| Event::Turn { n });
    }

    pub(super) fn poll_begins(&self, timeout: Option<Duration>, why: Why, handle: Option<u64>) {
        self.trace(|| Event::Select { timeout, why, handle });
    }

    pub(super) fn polled(&self, events: &[(i32, Ready)], wake: Option<Wake>) {
        self.trace(|| Event::Polled { events, wake });
    }

    /// Freezes the batch: the entries that are ready now. Those that come later are for the next turn.
    #[inline]
    pub(super) fn freeze_batch(&self) -> usize {
        let n = self.ready.borrow().len();
        self.batch_end.set(self.last_entry.get());
        self.trace(|| Event::Batch { n });
        n
    }
}

/// Entries.
impl Inner {
    /// Appends an entry to the ready queue, after the calls that other threads have sent before. `cause` is the future whose
    /// completion queues it.
    #[inline]
    pub(crate) fn enqueue(&self, entry: Rc<dyn Entry>, cause: Option<On>) {
        self.enqueue_from(entry, || PushInfo { cause, ..PushInfo::CALL_SOON });
    }

    /// Appends an entry as [`enqueue`](Self::enqueue) does. `info` is called for the trace.
    #[inline(always)]
    pub(crate) fn enqueue_from<'a>(&self, entry: Rc<dyn Entry>, info: impl FnOnce() -> PushInfo<'a>) {
        if self.traced.get() | !self.inbox.is_empty() {
            self.deliver_and_enqueue(entry, info());
        } else {
            self.push(entry);
        }
    }

    /// Appends an entry to the ready queue and returns its number.
    // The hottest call of the loop, which the compiler sometimes leaves out of line.
    #[inline(always)]
    fn push(&self, entry: Rc<dyn Entry>) -> u64 {
        let q = self.last_entry.get() + 1;
        self.last_entry.set(q);
        self.ready.borrow_mut().push_back(entry);
        q
    }

    /// Returns the number of the last entry that has left the ready queue. In a batch it is the one
    /// that runs.
    pub(super) fn last_that_left(&self) -> u64 {
        self.last_entry.get() - self.ready.borrow().len() as u64
    }

    #[cold]
    fn deliver_and_enqueue(&self, entry: Rc<dyn Entry>, info: PushInfo<'_>) {
        self.deliver_sent();
        if !self.traced.get() {
            self.push(entry);
            return;
        }
        let (h, kind, label, own) = (entry.handle(), entry.kind(), entry.label(), entry.is_own());
        let (task, place) = (entry.task(), Some(entry.place()));
        let q = self.push(entry);
        let PushInfo { via, cause, thread, fd, signal } = info;
        let (label, by) = (label.as_str(), self.running_entry.get());
        let push = Event::Push { q, h, via, kind, label, own, task, cause, by, thread, fd, signal, place };
        self.announce(push);
    }

    /// Returns how many entries of this turn's batch have not run yet.
    pub(super) fn batch_left(&self) -> usize {
        self.batch_end.get().saturating_sub(self.last_that_left()) as usize
    }

    /// Marks the entry as the running one, and starts what watches it. A cancelled entry is announced as skipped.
    #[inline]
    pub(super) fn begin_entry(&self, entry: &Rc<dyn Entry>) -> Option<Box<EntryWatch<'_>>> {
        let watched = self.traced.get() | self.debug.get() | self.watchdog.is_some();
        if watched { self.watch_entry(entry) } else { None }
    }

    /// Boxed, so that a plain loop moves one word.
    #[cold]
    fn watch_entry(&self, entry: &Rc<dyn Entry>) -> Option<Box<EntryWatch<'_>>> {
        let q = self.last_that_left();
        if entry.is_cancelled() {
            self.trace(|| Event::Skip { q, h: entry.handle() });
            return None;
        }
        self.trace(|| Event::Run { q, h: entry.handle() });
        self.running_entry.set(Some(q));
        self.running_task.set(entry.task());
        let _watch = self.watchdog.as_ref().map(|watchdog| watchdog.watch(&HandleInfo::of(&**entry)));
        let began = self.debug.get().then(|| (entry.clone(), self.clock.now()));
        Some(Box::new(EntryWatch { q, began, error: None, _watch }))
    }

    /// Notes the entry's error, and warns of a slow entry in debug mode. Called before the error is reported, which takes
    /// time of its own.
    #[cold]
    pub(super) fn entry_ran(&self, watch: &mut EntryWatch<'_>, result: &Result<(), Box<Failed>>) {
        watch.error = result.as_ref().err().map(|failed| failed.error.clone());
        let Some((entry, began)) = watch.began.take() else { return };
        let took = self.clock.now().saturating_duration_since(began);
        if took >= self.slow.get() {
            let (label, place, took) = (entry.label(), created_at(entry.place()), took.as_secs_f64());
            log_warn!("Executing <{label}{place}> took {took:.3} seconds");
        }
    }

    /// Ends the watching. `exit` is what ends the run.
    #[cold]
    pub(super) fn entry_returned(&self, watch: EntryWatch<'_>, exit: Option<&Error>) {
        let EntryWatch { q, error, _watch, .. } = watch;
        drop(_watch);
        self.trace(|| Event::Returned { q, error: exit.or(error.as_ref()) });
        self.running_entry.set(None);
        self.running_task.set(None);
        drop_quietly(error);
    }

    /// Cancels a callback that is not on the timer heap.
    pub(crate) fn cancel(&self, callback: &dyn Callback) {
        if callback.cancel() {
            self.trace(|| Event::Cancelled { h: callback.handle(), by: self.running_entry.get() });
        }
    }
}

/// Timers.
impl Inner {
    /// Puts a callback on the timer heap.
    pub(crate) fn schedule(&self, when: Instant, callback: Rc<dyn Callback>) {
        let when = self.clock.cut(when);
        if !self.traced.get() {
            return self.timers.borrow_mut().push(when, callback);
        }
        let (h, label, place) = (callback.handle(), callback.label(), Some(callback.place()));
        let own = callback.is_own();
        self.timers.borrow_mut().push(when, callback);
        let (label, by) = (label.as_str(), self.running_entry.get());
        // A sleep and a time limit set their timer inside the step of the task that they are for.
        let task = self.running_task.get().filter(|_| own);
        self.trace(|| Event::Timer { h, when, label, own, by, task, place });
    }

    /// Notes that a timer was marked as cancelled.
    pub(crate) fn timer_cancelled(&self, timer: &Header) {
        let (h, by) = (timer.id, self.running_entry.get());
        if timer.on_heap.get() {
            self.timers.borrow_mut().cancelled += 1;
            self.trace(|| Event::TimerCancelled { h, by });
        } else {
            self.trace(|| Event::Cancelled { h, by });
        }
    }

    pub(super) fn drop_cancelled_timers(&self) {
        let handles = self.timers.borrow_mut().drop_cancelled(self.traced.get());
        if !handles.is_empty() {
            self.trace(|| Event::TimersDropped { handles: &handles });
        }
    }

    pub(super) fn queue_due_timers(&self) {
        let mut timers = self.timers.borrow_mut();
        if timers.is_empty() {
            return;
        }
        let now = timers.nanos(self.clock.now());
        if !self.traced.get() {
            return timers.take_due(now, |callback| {
                self.push(callback);
            });
        }
        drop(timers);
        // Popped one by one: an observer that looks at the loop sees on the heap what was not announced yet. A timer that
        // the observer sets meanwhile waits for the next turn.
        let newest = self.last_handle.get();
        let pop = || {
            let mut timers = self.timers.borrow_mut();
            if timers.first()?.1 <= newest { timers.pop_due(now) } else { None }
        };
        while let Some((callback, late)) = pop() {
            let h = callback.handle();
            let q = self.push(callback);
            self.trace(|| Event::Due { q, h, late: Duration::from_nanos(late) });
        }
    }
}

/// Registrations.
impl Inner {
    /// Announces a reader or writer, and cancels the one that it replaces.
    pub(super) fn registered(
        &self,
        fd: i32,
        direction: Direction,
        callback: &dyn Callback,
        before: Option<Rc<dyn Callback>>,
    ) {
        if self.traced.get() {
            let (h, label, by) = (callback.handle(), callback.label(), self.running_entry.get());
            self.trace(|| Event::Registered { fd, direction, h, label: &label, by });
        }
        if let Some(before) = before {
            self.cancel(&*before);
        }
    }

    pub(super) fn unregistered(&self, fd: i32, direction: Direction) {
        self.trace(|| Event::Unregistered { fd, direction, by: self.running_entry.get() });
    }

    pub(crate) fn signal_registered(&self, signal: i32, handler: &dyn Callback) {
        if self.traced.get() {
            let (h, label, by) = (handler.handle(), handler.label(), self.running_entry.get());
            self.trace(|| Event::SignalRegistered { signal, h, label: &label, by });
        }
    }

    pub(crate) fn signal_unregistered(&self, signal: i32) {
        self.trace(|| Event::SignalUnregistered { signal, by: self.running_entry.get() });
    }

    pub(crate) fn signal_read(&self, signal: i32, at: Instant) {
        self.trace(|| Event::Signal { signal, at });
    }

    pub(super) fn reported(&self, message: &str) {
        self.trace(|| Event::Reported { message, by: self.running_entry.get() });
    }

    /// Announces what an explorer is about to do.
    #[cfg(feature = "explore")]
    pub(crate) fn disturbed(&self, what: &str) {
        self.trace(|| Event::Disturbed { what });
    }
}

/// Tasks and futures.
impl Inner {
    /// Announces a new task, or a new name of one.
    pub(crate) fn task_named(&self, task: u64, name: &str, body: &str, parent: Option<u64>, place: Place) {
        let by = || self.running_entry.get();
        self.trace(|| Event::Task { task, name, body, parent, by: by(), place: Some(place) });
    }

    #[inline]
    pub(crate) fn step_began(&self, task: u64, thrown: Option<&Error>) {
        self.trace(|| Event::Step { task, thrown });
    }

    /// Sets the task whose step it is, inside of the entry that runs, for an eager step. Returns the one before.
    pub(crate) fn set_running_task(&self, task: Option<u64>) -> Option<u64> {
        self.running_task.replace(task)
    }

    pub(crate) fn suspended(&self, task: u64, on: &[Wait]) {
        self.trace(|| Event::Park { task, on });
    }

    #[inline]
    pub(crate) fn yielded(&self, task: u64) {
        self.trace(|| Event::Yielded { task });
    }

    pub(crate) fn cancel_requested(&self, task: u64) {
        self.trace(|| Event::CancelRequested { task, by: self.running_entry.get() });
    }

    #[inline]
    pub(crate) fn future_made(&self, future: u64, kind: &str, place: Option<Place>) {
        self.trace(|| Event::Future { future, kind, place });
    }

    #[inline]
    pub(crate) fn completed(&self, on: On, state: Done, error: Option<&Error>) {
        let by = || self.running_entry.get();
        self.trace(|| match on {
            On::Task(task) => Event::TaskDone { task, state, error, by: by() },
            On::Future(future) => Event::FutureDone { future, state, error, by: by() },
        });
    }
}

/// Jobs.
impl Inner {
    /// Announces a new job; `name` is the full path of its function.
    pub(crate) fn job_created(&self, job: u64, name: &str, place: Place) {
        if self.traced.get() {
            let (label, own, by) = (shorten(name), is_own(name), self.running_entry.get());
            self.trace(|| Event::Job { job, label: &label, own, by, place });
        }
    }

    pub(crate) fn job_began(&self, job: u64, thread: &str, at: Option<Instant>) {
        self.trace(|| Event::JobRuns { job, thread, at: self.if_real(at) });
    }

    pub(crate) fn job_ended(&self, job: u64, thread: &str, state: &str, at: Option<Instant>) {
        self.trace(|| Event::JobEnds { job, thread, state, at: self.if_real(at) });
    }

    /// Returns a thread's instant, unless the loop has a clock of its own, on which the thread's work took no time.
    fn if_real(&self, at: Option<Instant>) -> Option<Instant> {
        at.filter(|_| !self.clock.is_virtual())
    }
}

/// The numbers that name things in a trace.
impl Inner {
    /// Returns the next number of a handle.
    #[inline]
    pub(crate) fn next_handle(&self) -> u64 {
        let id = self.last_handle.get() + 1;
        self.last_handle.set(id);
        id
    }

    /// Returns the next number of a task or future.
    #[inline]
    pub(crate) fn next_object(&self) -> u64 {
        let id = self.last_object.get() + 1;
        self.last_object.set(id);
        id
    }
}

/// The observer.
impl Inner {
    /// Calls the recorder and the observer, after the transition.
    #[inline]
    fn trace<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if self.traced.get() {
            self.announce(event());
        }
    }

    #[cold]
    fn announce(&self, event: Event<'_>) {
        let record = Record {
            event,
            loop_number: self.number,
            time: self.clock.now(),
            virtual_time: self.clock.is_virtual(),
            observed: self.observer.borrow().is_some(),
            snapshot: &|| self.snapshot(),
        };
        // The recorder comes first, so that it writes this event before those that the observer causes.
        if let Some(recorder) = &self.recorder {
            recorder(&record);
        }
        // The observer is out of its cell during the call, so it is not called for what it does itself.
        let Some(mut observer) = self.observer.borrow_mut().take() else { return };
        if let Err(error) = call(|| observer.observe(&record)) {
            log_error!("the observer panicked and is not called any more: {error}");
            self.traced.set(self.recorder.is_some());
            return drop_quietly(observer);
        }
        if self.over.get() {
            // It has closed the loop itself.
            return drop_quietly(observer);
        }
        *self.observer.borrow_mut() = Some(observer);
    }
}
