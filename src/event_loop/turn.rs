//! One turn: the function a reader came for.
//!
//! It promises the order of CPython's `_run_once`. In one turn run the entries that were ready already, then the callbacks
//! of this poll's I/O, with the reading of signals among them, then the timers that are due. Calls of other threads are
//! among the ready entries, each where it fell. What these entries schedule waits for the next turn, with a poll in between.
//! How often a turn is made is `run`'s matter.
//!
//! ```text
//!   inbox ─▶ cancelled timers ─▶ how long? ─▶ poll ─▶ I/O, inbox ─▶ due timers ─▶ freeze n, run exactly n
//! ```

use super::callback::{About, Entry, Leaves};
use super::snapshot::describe_all;
use super::{EventLoop, Inner, Origin, exceptions, reactor};
use crate::error::{Error, Result};
use crate::panics::drop_quietly;
use crate::trace::{Event, TaskState, Via, Why};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// No poll waits longer than a day (`MAXIMUM_SELECT_TIMEOUT`).
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How many waiting tasks [`Error::Deadlock`] names.
const NAMED_IN_A_DEADLOCK: usize = 20;

/// How long the poll waits, and why.
struct Wait {
    timeout: Option<Duration>,
    why: Why,
    timer: Option<u64>,
}

impl EventLoop {
    /// This is the event loop: `run_forever` calls it again and again, and everything that ever happens on a loop
    /// happens in here. An error is one that leaves the loop; the rest of the batch then stays queued, in order.
    pub(super) fn turn(&self) -> Result<()> {
        let lp = &*self.0;
        lp.turns.set(lp.turns.get() + 1);
        lp.trace(|| Event::Turn { n: lp.turns.get() });

        if !lp.has_ready_entries_only() {
            // Calls of other threads come first, so that the choice of the timeout knows of them.
            self.empty_inbox(false);
            lp.drop_cancelled_timers();

            // The poll is the only place where the loop sleeps. It comes before the callbacks of every turn, so callbacks
            // that schedule each other for ever cannot keep I/O and timers from their turn.
            let batch = self.poll(lp.how_long())?;
            self.empty_inbox(true);
            lp.queue_io(batch);
            lp.queue_due_timers();
        }

        // What is queued from here on is not in this turn: the batch is frozen.
        let n = lp.ready.len();
        lp.batch_left.set(n);
        lp.trace(|| Event::Batch { n });
        for _ in 0..n {
            self.run_first_entry()?;
        }
        Ok(())
    }

    /// Takes the first entry of the ready queue, and gives it its turn.
    #[inline]
    fn run_first_entry(&self) -> Result<()> {
        let lp = &*self.0;
        let Some(entry) = lp.ready.pop() else { return Ok(()) };
        lp.batch_left.set(lp.batch_left.get() - 1);
        if lp.is_observed() {
            return self.run_observed(entry);
        }
        let result = entry.take_turn(self);
        if result.is_err() || lp.somebody_wants_to_leave() { lp.what_leaves(result) } else { Ok(()) }
    }

    /// The same step by step, for those who look on: the observer, the watchdog, debug mode.
    #[cold]
    fn run_observed(&self, entry: Rc<dyn Entry>) -> Result<()> {
        let lp = &*self.0;
        let q = lp.ready.left();
        if entry.is_cancelled() {
            lp.trace(|| Event::Skip { q, h: entry.id() });
            return lp.what_leaves(Ok(()));
        }
        lp.trace(|| Event::Run { q, h: entry.id() });
        lp.running_entry.set(q);
        let watch = lp.watchdog.as_ref().map(|watchdog| watchdog.watch(&*entry));
        let began = lp.debug.get().then(|| lp.now());
        let result = Rc::clone(&entry).run(self);
        if let Some(began) = began {
            self.warn_if_slow(&*entry, began);
        }
        let judged = result.clone().or_else(|error| self.judge(entry.about(), error));
        drop(entry);
        drop(watch);
        let leaves = lp.what_leaves(judged);
        lp.trace(|| Event::Returned { q, error: leaves.as_ref().err().or(result.as_ref().err()) });
        lp.running_entry.set(0);
        drop_quietly(result);
        leaves
    }

    /// What an entry left behind goes to the exception handler, unless it leaves the loop.
    #[cold]
    pub(crate) fn judge(&self, about: About, error: Error) -> Leaves {
        if error.leaves_the_loop() {
            return Err(Box::new(error));
        }
        exceptions::report(Some(self.clone()), exceptions::in_callback(about, error));
        Ok(())
    }

    fn warn_if_slow(&self, entry: &dyn Entry, began: Instant) {
        let took = self.0.now().saturating_duration_since(began);
        if took >= self.0.slow.get() {
            let about = entry.about();
            let place =
                about.place.map(|p| format!(" created at {}:{}", p.file(), p.line())).unwrap_or_default();
            let took = took.as_secs_f64();
            log_warn!("Executing <{}{place}> took {took:.3} seconds", about.label);
        }
    }

    /// Polls, and passes virtual time.
    #[inline]
    fn poll(&self, wait: Wait) -> Result<reactor::Batch> {
        let lp = &*self.0;
        let wait = if lp.is_traced() { lp.tell_of_the_poll(&wait) } else { wait };
        if wait.timeout == Some(Duration::ZERO) && lp.nothing_to_poll() {
            lp.trace(|| Event::Polled { events: &[] });
            return Ok(reactor::Batch::default());
        }
        self.really_poll(&wait)
    }

    fn really_poll(&self, wait: &Wait) -> Result<reactor::Batch> {
        let lp = &*self.0;
        let flagged = lp.signals_wait();
        let mut batch = if lp.clock.is_virtual() && wait.timeout != Some(Duration::ZERO) {
            self.poll_in_virtual_time(wait.timeout)?
        } else {
            self.poll_for_real(wait.timeout)?
        };
        if lp.is_traced() {
            let events: Vec<_> = batch.ready.iter().map(|(fd, ready, _)| (*fd, *ready)).collect();
            lp.trace(|| Event::Polled { events: &events });
        }
        // The poll found no byte for a signal that its flag announced: the byte is still to come, or was read too early.
        // The signal's place is after the I/O, where its byte would stand if it were sent now.
        if flagged && batch.signals.is_none() && lp.signals_wait() {
            batch.signals = Some(batch.ready.len());
        }
        Ok(batch)
    }

    fn poll_for_real(&self, timeout: Option<Duration>) -> Result<reactor::Batch> {
        let lp = &*self.0;
        if timeout == Some(Duration::ZERO) && lp.nothing_to_poll() {
            return Ok(reactor::Batch::default());
        }
        lp.rearm()?;
        if timeout != Some(Duration::ZERO) {
            self.park(true);
            lp.look_for_jobs();
            // Somebody may have sent, or a signal may have come, just before.
            let awaited = lp.inbox.going_to_sleep() && lp.ready.is_empty() && !lp.signals_wait();
            let timeout = if awaited { timeout } else { Some(Duration::ZERO) };
            let batch = lp.reactor.borrow_mut().poll(timeout);
            lp.inbox.awake();
            self.park(false);
            return batch;
        }
        lp.reactor.borrow_mut().poll(timeout)
    }

    /// Virtual time stands still while anything happens, and jumps to the first deadline when nothing does. While a
    /// descriptor is registered it passes as fast as real time, for what comes from outside takes real time. A job takes
    /// none, unless a deadline is reached before it is over.
    fn poll_in_virtual_time(&self, timeout: Option<Duration>) -> Result<reactor::Batch> {
        let lp = &*self.0;
        let batch = self.poll_for_real(Some(Duration::ZERO))?;
        if batch.signals.is_some() || !batch.ready.is_empty() || !lp.inbox.is_empty() {
            return Ok(batch);
        }
        if lp.signals_wait() {
            return self.poll_for_real(Some(Duration::ZERO));
        }
        let watched = !lp.reactor.borrow().is_empty() || !lp.jobs.is_empty();
        match timeout {
            Some(wait) if !watched => {
                lp.clock.advance(wait);
                lp.timers.follow(lp.now());
                Ok(batch)
            }
            Some(wait) => {
                let began = Instant::now();
                let batch = self.poll_for_real(timeout)?;
                if !lp.reactor.borrow().is_empty() || lp.inbox.is_empty() {
                    lp.clock.advance(began.elapsed().min(wait));
                }
                Ok(batch)
            }
            None if watched || lp.somebody_may_wake_it() => self.poll_for_real(None),
            None => Err(lp.deadlock()),
        }
    }

    fn park(&self, begins: bool) {
        let pick = |parking: &mut super::Parking| match begins {
            true => parking.on_park.take(),
            false => parking.on_unpark.take(),
        };
        let hook = pick(&mut self.0.parking.borrow_mut());
        let Some(mut hook) = hook else { return };
        if let Err(error) = super::call(&mut *hook) {
            log_error!("a parking hook panicked: {error}");
        }
        let mut parking = self.0.parking.borrow_mut();
        match begins {
            true => parking.on_park = Some(hook),
            false => parking.on_unpark = Some(hook),
        }
    }
}

impl Inner {
    /// Whether a signal came that nobody has taken.
    #[inline]
    fn signals_wait(&self) -> bool {
        self.signals.borrow().pending()
    }

    /// Whether the ready queue is the only room with anything in it, as it is in most turns of a busy loop. Then the steps
    /// before the batch would find nothing, and nobody who looks on would miss them: they are not made.
    #[inline]
    fn has_ready_entries_only(&self) -> bool {
        !self.ready.is_empty()
            && self.timers.is_empty()
            && self.inbox.is_empty()
            && self.jobs.is_empty()
            && self.nothing_to_poll()
            && !self.is_traced()
    }

    /// With nothing registered and no signal waiting, a poll that does not wait could report nothing: its system call is
    /// skipped. The inbox tells of other threads, a flag of signals.
    #[inline]
    fn nothing_to_poll(&self) -> bool {
        self.reactor.borrow().is_empty() && !self.signals.borrow().need_poll()
    }

    fn drop_cancelled_timers(&self) {
        if !self.timers.any_cancelled() {
            return;
        }
        let handles = self.timers.drop_cancelled(self.is_traced());
        if !handles.is_empty() {
            self.trace(|| Event::TimersDropped { handles: &handles });
        }
    }

    /// Zero if anything is ready or the loop is stopping; else until the first timer; else for ever.
    #[inline]
    fn how_long(&self) -> Wait {
        let now = Some(Duration::ZERO);
        if !self.ready.is_empty() {
            return Wait { timeout: now, why: Why::Ready, timer: None };
        }
        if self.stopping.get() {
            return Wait { timeout: now, why: Why::Stopping, timer: None };
        }
        match self.timers.first() {
            None => Wait { timeout: None, why: Why::Idle, timer: None },
            Some((when, timer)) => {
                let left = when.saturating_duration_since(self.now());
                let why = if left > LONGEST_WAIT { Why::Cap } else { Why::Timer };
                Wait { timeout: Some(left.min(LONGEST_WAIT)), why, timer: Some(timer) }
            }
        }
    }

    /// Traces the poll. The observer may have queued, timed or stopped something, so the wait is computed anew.
    #[cold]
    fn tell_of_the_poll(&self, wait: &Wait) -> Wait {
        self.trace(|| Event::Select { timeout: wait.timeout, why: wait.why, handle: wait.timer });
        self.how_long()
    }

    /// Registers again what the last poll reported, so that the next one reports what is still ready.
    ///
    /// # Errors
    /// In a forked child, whose run ends here.
    fn rearm(&self) -> Result<()> {
        let mut reactor = self.reactor.borrow_mut();
        let orphans = reactor.rearm()?;
        let mut signals = self.signals.borrow_mut();
        signals.begin_poll();
        if reactor.signals_were_reported() {
            signals.rearm(reactor.registry()?);
        }
        drop((signals, reactor));
        self.bury(orphans);
        Ok(())
    }

    /// Queues the callbacks of each ready descriptor, the reader before the writer. The entry that reads the signals has the
    /// place of the self-pipe among them.
    fn queue_io(&self, mut batch: reactor::Batch) {
        let (signals, descriptors) = (batch.signals, batch.ready.len());
        for (i, (fd, _, [reader, writer])) in batch.ready.drain(..).enumerate() {
            if signals == Some(i) {
                self.queue_signal_reader();
            }
            let origin = Origin { via: Via::Io, fd: Some(fd), ..Origin::CALL_SOON };
            if let Some(reader) = reader {
                self.push(reader, origin);
            }
            if let Some(writer) = writer {
                self.push(writer, origin);
            }
        }
        if signals == Some(descriptors) {
            self.queue_signal_reader();
        }
        if descriptors > 0 {
            self.reactor.borrow_mut().give_back(batch);
        }
    }

    fn queue_signal_reader(&self) {
        if let Some(reader) = self.signal_reader.get() {
            self.push(reader.clone(), Origin { via: Via::Io, ..Origin::CALL_SOON });
        }
    }

    fn queue_due_timers(&self) {
        if self.timers.is_empty() {
            return;
        }
        let now = self.timers.nanos(self.now());
        if !self.is_traced() {
            return self.timers.take_due(now, |entry| {
                self.ready.push(entry);
            });
        }
        // Popped one by one: an observer that looks at the loop sees those on the heap that it has not heard of. A timer that
        // the observer sets meanwhile waits for the next turn.
        let newest = self.last_handle.get();
        while self.timers.first().is_some_and(|(_, h)| h <= newest)
            && let Some(timer) = self.timers.pop_due(now)
        {
            let h = timer.entry.id();
            let q = self.ready.push(timer.entry);
            self.trace(|| Event::Due { q, h, late: Duration::from_nanos(timer.late) });
        }
    }

    /// Whether a loop for which nothing is ready, timed or registered can still be woken from outside. That one may press
    /// Ctrl-C does not count: a program that hangs is not to hang silently.
    pub(super) fn somebody_may_wake_it(&self) -> bool {
        let signals = self.signals.borrow();
        self.has_senders() || self.signal_handlers.borrow().keys().any(|signal| !signals.has_fuse(*signal))
    }

    fn deadlock(&self) -> Error {
        let mut text = String::from(
            "deadlock: nothing is ready, no timer is set, and nothing is registered that could wake the loop",
        );
        let tasks: Vec<_> = self.residents.list().iter().map(|resident| resident.entry()).collect();
        for task in tasks.iter().take(NAMED_IN_A_DEADLOCK) {
            text.push_str(&format!("; {} waits", task.name));
            if let TaskState::Waiting(waits) = &task.state {
                text.push_str(&format!(" for {}", describe_all(waits, &tasks)));
            }
        }
        if let Some(more) = tasks.len().checked_sub(NAMED_IN_A_DEADLOCK + 1) {
            text.push_str(&format!("; and {} more", more + 1));
        }
        Error::Deadlock(text.into())
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::Record;
    use crate::{Builder, Error, EventLoop, ExceptionContext, Result};
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    type Log = Rc<RefCell<Vec<String>>>;

    /// Notes that it is dropped, and may panic then.
    struct Noisy(Log, &'static str, bool);

    impl Drop for Noisy {
        fn drop(&mut self) {
            self.0.borrow_mut().push(format!("{} dropped", self.1));
            assert!(!self.2, "{} panics", self.1);
        }
    }

    /// Runs entries that end in every way there is, with a run that begins again after each that leaves; what happened.
    fn all_ways_to_end(builder: Builder) -> Result<Vec<String>> {
        let lp = builder.build()?;
        let log = Log::default();
        let note = |text: String| log.borrow_mut().push(text);
        let noisy = |name, panics| Noisy(log.clone(), name, panics);

        let heard = log.clone();
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            let error = context.error().map(ToString::to_string).unwrap_or_default();
            heard.borrow_mut().push(format!("heard of {error}"));
            if error.contains("leave") { Err(Error::Exit(7)) } else { Ok(()) }
        }));
        let [fine, cancelled, fails, panics, bad] =
            [("fine", false), ("cancelled", false), ("fails", false), ("panics", false), ("bad", true)]
                .map(|(name, panics)| noisy(name, panics));
        lp.call_soon(move || drop(fine))?;
        let handle = lp.call_soon(move || drop(cancelled))?;
        lp.call_soon(move || handle.cancel())?;
        lp.call_soon(move || Result::<()>::Err(Error::msg({ fails }.1)))?;
        lp.call_soon(move || panic!("{}", { panics }.1))?;
        lp.call_soon(move || drop(bad))?;
        let result = noisy("result", true);
        drop(lp.create_task(async move { Ok(result) })?);
        let later = lp.call_later(Duration::ZERO, || unreachable!("cancelled"))?;
        lp.call_soon(move || later.cancel())?;
        lp.call_soon(|| Result::<()>::Err(Error::Exit(3)))?;
        lp.call_soon(|| Result::<()>::Err(Error::msg("leave")))?;
        // Nobody reads this one's error: it is reported when the entry, its last reference, is dropped.
        drop(lp.create_task(async { Result::<()>::Err(Error::msg("leave unread")) })?);
        lp.call_soon(crate::stop)?;
        loop {
            let end = lp.run_forever();
            note(format!("{end:?}, {} left", lp.snapshot().ready.len()));
            if end.is_ok() {
                return Ok(log.take());
            }
        }
    }

    #[test]
    fn an_entry_ends_in_the_same_way_whether_or_not_anybody_looks_on() -> Result<()> {
        let unobserved = all_ways_to_end(EventLoop::builder())?;
        let ends = unobserved.iter().filter(|line| line.ends_with("left"));
        let expected =
            ["Err(Exit(3)), 4 left", "Err(Exit(7)), 3 left", "Err(Exit(7)), 2 left", "Ok(()), 0 left"];
        assert_eq!(ends.collect::<Vec<_>>(), expected);
        for builder in [
            EventLoop::builder().observer(|_: &Record<'_>| ()),
            EventLoop::builder().debug(true),
            EventLoop::builder().watchdog(Duration::from_secs(3600)),
        ] {
            assert_eq!(all_ways_to_end(builder)?, unobserved);
        }
        Ok(())
    }
}
