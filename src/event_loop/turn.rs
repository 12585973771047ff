//! One turn: the function a reader came for.
//!
//! A turn has the order of CPython's `_run_once`. First run the entries that are ready already,
//! with the calls of other threads among them. Then follow the callbacks of this poll's I/O, with
//! the reading of signals among them, and then the timers that are due. What these entries schedule
//! waits for the next turn, after another poll. `run` decides how often a turn is made.
//!
//! ```text
//!   inbox ─▶ cancelled timers ─▶ how long? ─▶ poll ─▶ I/O, inbox ─▶ due timers ─▶ freeze n, run exactly n
//! ```

use super::exceptions::{in_callback, report};
use super::reactor::PollEvents;
use super::ready::Failed;
use super::registration::FdCallbacks;
use super::transitions::{EntryWatch, PushInfo};
use super::{EventLoop, Hook, Inner};
use crate::error::{Error, Result};
use crate::in_place::is_some;
use crate::observe::snapshot::describe_all;
use crate::trace::{TaskState, Via, Wake, Why};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// No poll waits longer than a day (`MAXIMUM_SELECT_TIMEOUT`).
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// How many waiting tasks [`Error::Deadlock`] names.
const NAMED_IN_A_DEADLOCK: usize = 20;

/// How long the poll waits, and why.
struct PollTimeout {
    wait: Option<Duration>,
    why: Why,
    /// The handle of the timer that it waits for.
    timer: Option<u64>,
}

impl PollTimeout {
    fn is_zero(&self) -> bool {
        self.wait == Some(Duration::ZERO)
    }
}

impl EventLoop {
    /// Makes one turn. This is the event loop: `run_forever` calls it again and again, and everything that ever happens on
    /// a loop happens in here.
    ///
    /// # Errors
    /// An error that leaves the loop. The rest of the batch then stays queued, in order.
    pub(super) fn turn(&self) -> Result<()> {
        let lp = &*self.0;
        lp.begin_turn();

        if !lp.has_ready_entries_only() {
            // Calls of other threads come first, so that the choice of the timeout knows of them.
            self.empty_inbox(0);
            lp.drop_cancelled_timers();

            // The poll is the only place where the loop sleeps. It comes before the callbacks of every turn, so callbacks
            // that schedule each other for ever cannot keep I/O and timers from their turn.
            let batch = self.poll(lp.poll_timeout())?;
            let quiet = lp.ready.borrow().is_empty() && !lp.stopping.get();
            self.empty_inbox(usize::from(quiet));
            lp.queue_io(batch);
            lp.queue_due_timers();
        }

        // What is queued from here on is not in this turn: the batch is frozen.
        for _ in 0..lp.freeze_batch() {
            if let Some(exit) = self.run_next_entry() {
                return Err(*exit);
            }
        }
        Ok(())
    }

    /// Takes the first entry of the ready queue and runs it. Returns an error that leaves the loop.
    #[inline]
    fn run_next_entry(&self) -> Option<Box<Error>> {
        let lp = &*self.0;
        let entry = lp.ready.borrow_mut().pop_front()?;
        // A cancelled entry is skipped: it does nothing when it runs.
        let watch = lp.begin_entry(&entry);
        let result = entry.run(self);
        if result.is_ok() && watch.is_none() && !is_some(&lp.exit) {
            return None;
        }
        self.end_entry(watch, result)
    }

    /// Does what is left to do for an entry that has failed, was watched, or has made an exception handler leave the loop.
    #[cold]
    fn end_entry(
        &self,
        mut watch: Option<Box<EntryWatch<'_>>>,
        result: Result<(), Box<Failed>>,
    ) -> Option<Box<Error>> {
        let lp = &*self.0;
        if let Some(watch) = &mut watch {
            lp.entry_ran(watch, &result);
        }
        let own = match result {
            Ok(()) => None,
            Err(failed) if failed.error.leaves_the_loop() => Some(failed.error),
            Err(failed) => {
                let Failed { entry, error } = *failed;
                report(Some(self.clone()), in_callback(&*entry, error));
                None
            }
        };
        // A destructor in the entry may have called the exception handler, too.
        let requested = lp.exit.take();
        let exit = own.map(Box::new).or(requested);
        if let Some(watch) = watch {
            lp.entry_returned(*watch, exit.as_deref());
        }
        exit
    }

    /// Polls, and passes virtual time.
    #[inline]
    fn poll(&self, mut timeout: PollTimeout) -> Result<PollEvents> {
        let lp = &*self.0;
        if lp.traced.get() {
            lp.poll_begins(timeout.wait, timeout.why, timeout.timer);
            // The observer may have queued, timed or stopped something.
            timeout = lp.poll_timeout();
        }
        if timeout.is_zero() && lp.nothing_to_poll() {
            lp.polled(&[], None);
            return Ok(PollEvents::default());
        }
        self.poll_descriptors(&timeout)
    }

    fn poll_descriptors(&self, timeout: &PollTimeout) -> Result<PollEvents> {
        let lp = &*self.0;
        let flagged = lp.signals_wait();
        let mut batch = if lp.clock.is_virtual() && !timeout.is_zero() {
            self.poll_in_virtual_time(timeout.wait)?
        } else {
            self.poll_for_real(timeout.wait)?
        };
        // The poll found no byte for a signal that its flag announced: the byte is still to come,
        // or was read too early. The signal's place is after the I/O, where a byte sent now would
        // be.
        if flagged && batch.signals.is_none() && lp.signals_wait() {
            batch.signals = Some(batch.ready.len());
        }
        lp.explored.reorder(&mut batch.ready);
        if lp.traced.get() {
            lp.announce_polled(&batch, timeout);
        }
        Ok(batch)
    }

    fn poll_for_real(&self, timeout: Option<Duration>) -> Result<PollEvents> {
        let lp = &*self.0;
        let ready_in_memory = || lp.reactor.borrow().memory.is_ready();
        let timeout = if ready_in_memory() { Some(Duration::ZERO) } else { timeout };
        if timeout == Some(Duration::ZERO) && lp.nothing_outside() {
            return Ok(lp.reactor.borrow_mut().poll_memory());
        }
        lp.rearm()?;
        if timeout != Some(Duration::ZERO) {
            call_hook(&lp.on_park);
            lp.look_for_results();
            // A message or a signal may have come just before. The destructor of an orphan may have
            // queued, timed or stopped something, or made a socket in memory ready.
            let awaited = lp.inbox.going_to_sleep() && !lp.signals_wait() && !ready_in_memory();
            let timeout = if awaited { lp.poll_timeout().wait } else { Some(Duration::ZERO) };
            let batch = lp.reactor.borrow_mut().poll(timeout);
            lp.inbox.awake();
            call_hook(&lp.on_unpark);
            return batch;
        }
        lp.reactor.borrow_mut().poll(timeout)
    }

    /// Polls in virtual time, which stands still while anything happens and jumps to the first
    /// deadline when nothing does. While a descriptor is registered it passes as fast as real time,
    /// because what comes from outside takes real time. A job takes no time, unless a deadline is
    /// reached before the job is over.
    fn poll_in_virtual_time(&self, timeout: Option<Duration>) -> Result<PollEvents> {
        let lp = &*self.0;
        let batch = self.poll_for_real(Some(Duration::ZERO))?;
        if batch.signals.is_some() || !batch.ready.is_empty() || !lp.inbox.is_empty() {
            return Ok(batch);
        }
        // The destructor of an orphan has queued, timed or stopped something.
        if lp.poll_timeout().wait != timeout {
            return Ok(batch);
        }
        if lp.signals_wait() {
            return self.poll_for_real(Some(Duration::ZERO));
        }
        if lp.explored.is_on() {
            return self.poll_alone(timeout).map(|()| batch);
        }
        let watched = !lp.reactor.borrow().is_empty() || !lp.jobs.pending.is_empty();
        match timeout {
            Some(wait) if !watched => {
                lp.pass_time(wait);
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
            None if watched || lp.something_may_wake_it() => self.poll_for_real(None),
            None => Err(lp.deadlock()),
        }
    }
}

/// Calls a hook around the poll. It is out of its place meanwhile.
fn call_hook(place: &Cell<Option<Hook>>) {
    let Some(mut hook) = place.take() else { return };
    if let Err(error) = super::call(&mut *hook) {
        log_error!("a parking hook panicked: {error}");
    }
    place.set(Some(hook));
}

impl Inner {
    /// Tells whether a signal came that was not read yet.
    #[inline]
    fn signals_wait(&self) -> bool {
        self.signals.borrow().pending()
    }

    /// Tells whether there is nothing but ready entries, as in most turns of a busy loop. The steps
    /// before the batch would then find nothing, and without an observer nothing would show them:
    /// they are left out.
    #[inline]
    fn has_ready_entries_only(&self) -> bool {
        !self.ready.borrow().is_empty()
            && self.timers.borrow().is_empty()
            && self.inbox.is_empty()
            && self.jobs.pending.is_empty()
            && self.nothing_to_poll()
            && !self.traced.get()
    }

    /// Tells whether a poll that does not wait could report nothing; its system call is left out
    /// then. Other threads and signals are seen without it, by the inbox and by a flag.
    #[inline]
    fn nothing_to_poll(&self) -> bool {
        self.reactor.borrow().is_quiet() && !self.signals.borrow().need_poll()
    }

    /// Tells the same of the kernel alone, without the sockets in memory.
    #[inline]
    fn nothing_outside(&self) -> bool {
        self.reactor.borrow().is_empty() && !self.signals.borrow().need_poll()
    }

    /// Returns zero if anything is ready or the loop is stopping, else the time to the first timer,
    /// else `None`.
    #[inline]
    fn poll_timeout(&self) -> PollTimeout {
        let now = Some(Duration::ZERO);
        if !self.ready.borrow().is_empty() {
            return PollTimeout { wait: now, why: Why::Ready, timer: None };
        }
        if self.stopping.get() {
            return PollTimeout { wait: now, why: Why::Stopping, timer: None };
        }
        match self.timers.borrow().first() {
            None => PollTimeout { wait: None, why: Why::Idle, timer: None },
            Some((when, timer)) => {
                let left = when.saturating_duration_since(self.clock.now());
                let why = if left > LONGEST_WAIT { Why::Cap } else { Why::Timer };
                PollTimeout { wait: Some(left.min(LONGEST_WAIT)), why, timer: Some(timer) }
            }
        }
    }

    /// Announces what a poll has found. A thread's message is named only if the poll might sleep: then it has ended the
    /// sleep. Another one may come a moment earlier or later, and a trace in virtual time must repeat.
    fn announce_polled(&self, found: &PollEvents, timeout: &PollTimeout) {
        let events: Vec<_> = found.ready.iter().map(|event| (event.fd, event.ready())).collect();
        let wake = if found.signals.is_some() {
            Some(Wake::Signal)
        } else {
            (!timeout.is_zero() && !self.inbox.is_empty()).then_some(Wake::Thread)
        };
        self.polled(&events, wake);
    }

    /// Arms again what the last poll reported, so that the next one reports what is still ready.
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
        self.drop_orphans(orphans);
        Ok(())
    }

    /// Queues the callbacks of each ready descriptor, the reader before the writer. The callback that reads the signals has
    /// the place of the self-pipe among them.
    fn queue_io(&self, PollEvents { signals, mut ready, .. }: PollEvents) {
        let descriptors = ready.len();
        for (i, FdCallbacks { fd, callbacks }) in ready.drain(..).enumerate() {
            if signals == Some(i) {
                self.queue_signal_reader();
            }
            let info = PushInfo { via: Via::Io, fd: Some(fd), ..PushInfo::CALL_SOON };
            for callback in callbacks.into_iter().flatten() {
                self.enqueue_from(callback, || info);
            }
        }
        if signals == Some(descriptors) {
            self.queue_signal_reader();
        }
        if descriptors > 0 {
            self.reactor.borrow_mut().give_back(ready);
        }
    }

    fn queue_signal_reader(&self) {
        if let Some(reader) = self.signal_reader.get() {
            let info = PushInfo { via: Via::Io, ..PushInfo::CALL_SOON };
            self.enqueue_from(reader.clone(), || info);
        }
    }

    /// Tells whether something outside can still wake a loop for which nothing is ready, timed or
    /// registered. A handler of looplab's own does not count: a hanging program must not hang silently.
    pub(super) fn something_may_wake_it(&self) -> bool {
        let signals = self.signals.borrow();
        self.has_senders() || self.signal_handlers.borrow().keys().any(|signal| !signals.is_own(*signal))
    }

    /// Lets virtual time jump to the first deadline.
    pub(super) fn pass_time(&self, wait: Duration) {
        self.clock.advance(wait);
        self.timers.borrow_mut().follow(self.clock.now());
    }

    pub(super) fn deadlock(&self) -> Error {
        let mut text = String::from(if self.waits_for_outside() {
            "deadlock: nothing is ready, no timer is set, and nothing within the program wakes the loop"
        } else {
            "deadlock: nothing is ready, no timer is set, and nothing is registered that could wake the loop"
        });
        let tasks: Vec<_> = self.tasks.list().iter().map(|task| task.entry()).collect();
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

    /// A value that notes its drop, and may panic then.
    struct Noisy(Log, &'static str, bool);

    impl Drop for Noisy {
        fn drop(&mut self) {
            self.0.borrow_mut().push(format!("{} dropped", self.1));
            assert!(!self.2, "{} panics", self.1);
        }
    }

    /// Runs entries that end in every way there is, in runs that begin again after each exit.
    /// Returns what happened.
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
        drop(lp.create_task(async move { Ok(result) }));
        let later = lp.call_later(Duration::ZERO, || unreachable!("cancelled"))?;
        lp.call_soon(move || later.cancel())?;
        lp.call_soon(|| Result::<()>::Err(Error::Exit(3)))?;
        lp.call_soon(|| Result::<()>::Err(Error::msg("leave")))?;
        // This task's error is not read: it is reported when the entry, its last reference, is
        // dropped.
        drop(lp.create_task(async { Result::<()>::Err(Error::msg("leave unread")) }));
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
        let expected = [
            "Err(SystemExit: 3), 4 left",
            "Err(SystemExit: 7), 3 left",
            "Err(SystemExit: 7), 2 left",
            "Ok(()), 0 left",
        ];
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
