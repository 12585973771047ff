//! The reactor: mio's edges made level-triggered, as asyncio's readers and writers are.
//!
//! A registered descriptor is reported in every turn in which it is ready, whether or not the callback drained it. An event
//! never reaches a registration other than the one it was made for, even if the descriptor's number was reused. No user
//! code runs here. The reactor does not own descriptors: closing one without removing it first is allowed, and ends the
//! registration as soon as the reactor notices.
//!
//! Some facts about epoll, and what follows:
//! - mio is always edge-triggered. Level-triggering is had by *re-arming*: before the next poll every registration that
//!   was reported is registered again, which makes the kernel report it again if it is still ready. Alternative: ask
//!   `poll(2)` for each descriptor. Problem: it costs a call for those that are not ready as well. Alternative: re-arm only
//!   now and then. Problem: an edge that has been reported looks like a drained descriptor, so a turn would be missed.
//! - A level-triggered epoll puts what it has reported back to the end of its list at once. So what it reports twice running
//!   comes first, in the order of the first time, and what becomes ready later comes after it. Re-arming comes too late for
//!   that order, so each registration keeps the place at which it was last reported, and so does the self-pipe of the
//!   signals. Alternative: re-arm right after the poll. Problem: then nothing notices that a callback has closed its
//!   descriptor.
//! - There is one registration for each descriptor, so a reader and a writer share one, with the union of their interests.
//! - Descriptors are small numbers, for the system gives the lowest that is free. So the registrations are in a list under
//!   their descriptors' numbers. Alternative: a map, or a slab with a map. Problem: more room and more steps.
//! - A descriptor that is closed leaves epoll, unless a duplicate of it lives on: then events keep coming under the old
//!   token. So a token carries a generation, and an event of another generation is dropped.
//! - Registering again under a reused number fails with ENOENT, which is how a stale registration is recognised.

use super::callback::Callback;
use super::memory::MemorySockets;
use super::registration::{FdCallbacks, Owner, Registration, Registrations};
use super::running::LoopId;
use crate::error::{Error, IoError, Result};
use crate::signals::SIGNALS;
use crate::trace::{Direction, IoEntry};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const WAKER: Token = Token(usize::MAX);
/// The room for events at first. There always is room for one event of each registration, so a poll reports all that is
/// ready, as CPython's does.
const EVENTS: usize = 1024;

pub(crate) struct Reactor {
    id: LoopId,
    /// `None` when the loop is closed: its descriptor is closed then, however long a handle of the loop is kept.
    poll: Option<Poll>,
    events: Events,
    registrations: Registrations,
    pub(super) memory: MemorySockets,
    /// What the next poll arms again if it is due: what the last poll reported, and what was watched since.
    reported: Vec<Token>,
    /// The last poll that has reported the self-pipe of the signals, and its place in that poll.
    signals_reported: (u64, u32),
    /// An empty list, for its room: the next poll's events.
    room: Vec<FdCallbacks>,
    /// The number of the last poll.
    polls: u64,
    /// How many callbacks wait for descriptors.
    callbacks: usize,
}

/// What a poll brought.
#[derive(Default)]
pub(super) struct PollEvents {
    /// How many descriptors in `ready` come before the self-pipe of the signals; `None` if no signal is to be read.
    pub(super) signals: Option<usize>,
    /// Another thread has called.
    woken: bool,
    pub(super) ready: Vec<FdCallbacks>,
}

/// What adding a callback came to.
pub(super) enum Added {
    /// It is registered, in place of this one.
    Registered(Option<Rc<dyn Callback>>),
    /// The number was registered for a file that is closed. That registration is ended: drop its callbacks and add again.
    Stale(Option<FdCallbacks>),
}

fn interest_in(direction: Direction) -> Interest {
    match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    }
}

/// Returns what a socket is watched for: urgent data too, where the kernel reports it. A read stops short of urgent data,
/// so a short read proves nothing from then on.
fn socket_interest_in(direction: Direction) -> Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if direction == Direction::Read {
        return Interest::READABLE.add(Interest::PRIORITY);
    }
    interest_in(direction)
}

impl Reactor {
    pub(super) fn new(id: LoopId) -> Result<(Self, mio::Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        Ok((Self::with(id, Some(poll), EVENTS), waker))
    }

    fn with(id: LoopId, poll: Option<Poll>, events: usize) -> Self {
        Self {
            id,
            poll,
            events: Events::with_capacity(events),
            registrations: Registrations::default(),
            memory: MemorySockets::default(),
            reported: Vec::new(),
            signals_reported: (0, 0),
            room: Vec::new(),
            polls: 1,
            callbacks: 0,
        }
    }

    /// Returns what descriptors are registered with.
    ///
    /// # Errors
    /// On a closed loop; callers have checked that before. In a forked child, which shares the poll with its parent: what
    /// the child removed would be lost to the parent.
    pub(crate) fn registry(&self) -> Result<&Registry> {
        self.id.check_process()?;
        self.poll.as_ref().map(Poll::registry).ok_or(Error::Closed)
    }

    /// Tells whether no callback waits for a descriptor.
    pub(crate) fn is_empty(&self) -> bool {
        self.callbacks == 0
    }

    /// Tells whether a poll that does not wait would report nothing.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.is_empty() && self.memory.is_quiet()
    }

    /// Polls the sockets in memory alone, without a look at the kernel.
    pub(super) fn poll_memory(&mut self) -> PollEvents {
        let mut found = PollEvents { ready: std::mem::take(&mut self.room), ..PollEvents::default() };
        self.memory.report(&mut found.ready);
        found
    }

    /// Sets or removes the callback of one side of a socket's registration; returns the one before.
    pub(super) fn set_callback(
        &mut self,
        registration: &Registration,
        direction: Direction,
        callback: Option<Rc<dyn Callback>>,
    ) -> Option<Rc<dyn Callback>> {
        let is_counted = registration.owner != Owner::Memory;
        self.callbacks += usize::from(callback.is_some() && is_counted);
        let before = registration.side(direction).callback.replace(callback);
        self.callbacks -= usize::from(before.is_some() && is_counted);
        before
    }

    /// Adds a reader or writer, in place of the one there was.
    pub(super) fn add(
        &mut self,
        new: Registration,
        direction: Direction,
        callback: &Rc<dyn Callback>,
    ) -> Result<Added> {
        let fd = new.fd;
        let Some(registration) = self.registrations.get(fd).cloned() else {
            let new = Rc::new(new);
            self.register(new.clone(), direction, interest_in(direction))?;
            return Ok(Added::Registered(self.set_callback(&new, direction, Some(callback.clone()))));
        };
        if registration.owner != Owner::User {
            return self.occupied(&registration);
        }
        let before = self.set_callback(&registration, direction, Some(callback.clone()));
        // The number names another file now if this answers ENOENT, and none if it answers EBADF.
        if self.rearm_for_callbacks(&registration) {
            return Ok(Added::Registered(before));
        }
        self.set_callback(&registration, direction, before);
        Ok(Added::Stale(self.forget(fd)))
    }

    /// Has the next poll report a socket if it is ready.
    pub(super) fn watch(&mut self, registration: &Rc<Registration>, direction: Direction) -> Result<Added> {
        if registration.owner == Owner::Memory {
            self.memory.watch(registration, direction);
            return Ok(Added::Registered(None));
        }
        let (fd, wanted) = (registration.fd, socket_interest_in(direction));
        let Some(armed) = registration.interest.get() else {
            if registration.gone.get() {
                let text = format!("descriptor {fd} was closed by code that does not own it");
                return Err(Error::Runtime(text.into()));
            }
            if let Some(other) = self.registrations.get(fd).cloned() {
                return self.occupied(&other);
            }
            self.register(registration.clone(), direction, wanted)?;
            // Registering reports what is ready: no need to ask again.
            registration.drained(direction);
            return Ok(Added::Registered(None));
        };
        let both = armed.add(wanted);
        if both != armed {
            self.id.check_process()?;
            self.arm(registration, both).map_err(|error| refused(fd, direction, error))?;
            registration.drained(direction);
        } else if !registration.is_drained(direction) && !registration.listed.replace(true) {
            self.reported.push(registration.token.get());
        }
        Ok(Added::Registered(None))
    }

    /// Ends the registration of a socket.
    pub(super) fn unwatch(&mut self, registration: &Registration) -> Option<FdCallbacks> {
        if registration.owner == Owner::Memory {
            return Some(self.memory.remove(registration));
        }
        registration.interest.get()?;
        self.disarm(registration.fd);
        self.forget(registration.fd)
    }

    /// Removes a reader or writer and returns it. An error of the kernel is ignored: it says that the descriptor is closed.
    pub(super) fn remove(&mut self, fd: RawFd, direction: Direction) -> Option<Rc<dyn Callback>> {
        let registration = self.registrations.get(fd)?.clone();
        if registration.owner != Owner::User {
            return None;
        }
        let callback = self.set_callback(&registration, direction, None)?;
        if registration.callbacks_interest().is_some() {
            self.rearm_for_callbacks(&registration);
        } else {
            self.disarm(fd);
            self.forget(fd);
        }
        Some(callback)
    }

    /// Refuses a number that has a registration of the other owner, unless that one is stale.
    fn occupied(&mut self, registration: &Registration) -> Result<Added> {
        let (fd, interest) = (registration.fd, registration.interest.get().unwrap_or(Interest::READABLE));
        if !self.id.is_of_this_process() || self.arm(registration, interest).is_err() {
            return Ok(Added::Stale(self.forget(fd)));
        }
        let by = match registration.owner {
            Owner::Socket | Owner::Memory => "a socket",
            Owner::User => "a reader or writer of the loop",
        };
        Err(Error::Runtime(format!("File descriptor {fd} is used by {by}").into()))
    }

    fn register(&mut self, new: Rc<Registration>, direction: Direction, interest: Interest) -> Result<()> {
        let fd = new.fd;
        let refuse = |error| refused(fd, direction, error);
        let token = self.registrations.new_token(fd);
        let token = token.ok_or_else(|| refuse(io::ErrorKind::InvalidInput.into()))?;
        self.registry()?.register(&mut SourceFd(&fd), token, interest).map_err(refuse)?;
        new.arm(token, interest);
        self.registrations.insert(new);
        Ok(())
    }

    /// Arms a registration again. Its callers have checked the process.
    fn arm(&self, registration: &Registration, interest: Interest) -> io::Result<()> {
        let Some(poll) = &self.poll else { return Err(io::Error::other("the loop is closed")) };
        let token = registration.token.get();
        poll.registry().reregister(&mut SourceFd(&registration.fd), token, interest)?;
        registration.arm(token, interest);
        Ok(())
    }

    fn disarm(&self, fd: RawFd) {
        // An error says that the descriptor is closed already.
        let _ = self.registry().map(|registry| registry.deregister(&mut SourceFd(&fd)));
    }

    /// Arms a registration of the user's for its callbacks; false if its descriptor is closed, or in a forked child.
    fn rearm_for_callbacks(&self, registration: &Registration) -> bool {
        let interest = registration.callbacks_interest().unwrap_or(Interest::READABLE);
        self.id.is_of_this_process() && self.arm(registration, interest).is_ok()
    }

    fn forget(&mut self, fd: RawFd) -> Option<FdCallbacks> {
        let left = self.registrations.remove(fd)?.end();
        self.callbacks -= left.callbacks.iter().flatten().count();
        Some(left)
    }

    /// Arms again what the last poll reported, except for what is known to be drained. A registration whose descriptor is
    /// closed ends.
    ///
    /// # Errors
    /// In a forked child.
    pub(super) fn rearm(&mut self) -> Result<Vec<FdCallbacks>> {
        self.id.check_process()?;
        let mut orphans = Vec::new();
        self.polls += 1;
        let mut reported = std::mem::take(&mut self.reported);
        for token in reported.drain(..) {
            let Some(registration) = self.registrations.of(token) else { continue };
            registration.listed.set(false);
            if !registration.is_due() {
                continue;
            }
            let (fd, interest) = (registration.fd, registration.interest.get().unwrap_or(Interest::READABLE));
            if let Err(error) = self.arm(registration, interest) {
                log_warn!("descriptor {fd} was closed without removing its reader or writer: {error}");
                orphans.extend(self.forget(fd));
            }
        }
        // For its room.
        self.reported = reported;
        Ok(orphans)
    }

    /// Tells whether the poll before this one has reported the self-pipe of the signals.
    pub(super) fn signals_were_reported(&self) -> bool {
        self.signals_reported.0 + 1 == self.polls
    }

    /// Polls. `None` waits for ever. A signal that interrupts the wait does not end it. As in
    /// CPython, the poll continues with the time that is left, and finds the self-pipe readable if
    /// the signal was one of the loop's. An event that no callback waits for does not end it
    /// either.
    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> Result<PollEvents> {
        let most = self.registrations.len() + [WAKER, SIGNALS].len();
        if self.events.capacity() < most {
            self.events = Events::with_capacity(most.next_power_of_two());
        }
        let until = timeout.filter(|wait| !wait.is_zero()).map(|wait| (Instant::now(), wait));
        let mut left = timeout;
        loop {
            let Some(poll) = &mut self.poll else { return Err(Error::Closed) };
            match poll.poll(&mut self.events, left) {
                Ok(()) => {
                    let found = self.collect();
                    let awaited = found.signals.is_some() || found.woken || !found.ready.is_empty();
                    if awaited || self.events.is_empty() || left == Some(Duration::ZERO) {
                        return Ok(found);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            left = until.map(|(began, wait)| wait.saturating_sub(began.elapsed())).or(left);
        }
    }

    /// Notes the events of a poll. Sockets in memory come first, then what the last poll has
    /// reported, too.
    fn collect(&mut self) -> PollEvents {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut found = self.poll_memory();
        if events.iter().nth(1).is_none() {
            events.iter().for_each(|event| self.note(event, &mut found));
        } else {
            let mut sorted: Vec<_> = events.iter().collect();
            if !sorted.is_sorted_by_key(|event| self.rank(event)) {
                sorted.sort_by_cached_key(|event| self.rank(event));
            }
            sorted.into_iter().for_each(|event| self.note(event, &mut found));
        }
        self.events = events;
        if found.ready.is_empty() {
            self.room = std::mem::take(&mut found.ready);
        }
        found
    }

    /// Notes one event, and that its source is to be armed again.
    #[inline]
    fn note(&mut self, event: &Event, found: &mut PollEvents) {
        let place = self.reported.len() as u32;
        match event.token() {
            WAKER => found.woken = true,
            SIGNALS => {
                found.signals.get_or_insert(found.ready.len());
                self.signals_reported = (self.polls, place);
                self.reported.push(SIGNALS);
            }
            token => {
                let Some(registration) = self.registrations.of(token) else { return };
                let callbacks = registration.report(event);
                if callbacks.iter().any(Option::is_some) {
                    registration.reported_by.set(self.polls);
                    registration.reported_at.set(place);
                    registration.listed.set(true);
                    self.reported.push(token);
                    found.ready.push(FdCallbacks { fd: registration.fd, callbacks });
                }
            }
        }
    }

    /// Returns the place that an event's source had in the last poll; it comes last if it was not in that poll.
    fn rank(&self, event: &Event) -> u32 {
        let place = |of: &Rc<Registration>| (of.reported_by.get(), of.reported_at.get());
        let (poll, place) = match event.token() {
            SIGNALS => self.signals_reported,
            token => self.registrations.of(token).map_or((0, 0), place),
        };
        if poll + 1 == self.polls { place } else { u32::MAX }
    }

    /// Takes back a list that was emptied, for its room.
    pub(super) fn give_back(&mut self, mut room: Vec<FdCallbacks>) {
        room.clear();
        self.room = room;
    }

    /// Ends all registrations and closes the loop's own descriptor, for `close`. The kernel forgets the registrations with
    /// it.
    pub(super) fn close(&mut self) -> Vec<FdCallbacks> {
        let mut ended = std::mem::replace(self, Self::with(self.id, None, 0));
        let all = ended.registrations.take_all().into_iter().chain(ended.memory.take_all());
        all.map(|registration| registration.end()).collect()
    }

    /// Lists the descriptors and sockets in memory that have a callback, by number.
    pub(super) fn list(&self) -> Vec<IoEntry> {
        let side =
            |r: &Registration, direction| r.side(direction).callback().map(|callback| callback.header().id);
        let entry = |r: &Registration| IoEntry {
            fd: r.fd,
            reader: side(r, Direction::Read),
            writer: side(r, Direction::Write),
        };
        let entries = self.memory.iter().chain(self.registrations.iter()).map(entry);
        entries.filter(|entry| entry.reader.is_some() || entry.writer.is_some()).collect()
    }
}

/// Says why the kernel would not watch a descriptor, and names it.
fn refused(fd: RawFd, direction: Direction, error: io::Error) -> Error {
    let what = match direction {
        Direction::Read => "reader",
        Direction::Write => "writer",
    };
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).map(|path| format!(" ({})", path.display()));
    let path = path.unwrap_or_default();
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "it is a regular file or a device that is always ready and cannot be watched; \
             read it directly, or on a thread"
        }
        _ if fd < 0 || path.is_empty() => "it is not an open descriptor; add it before closing it",
        _ => "the system refused it",
    };
    let text = format!("cannot add a {what} for descriptor {fd}{path}: {why} ({error})");
    IoError::told(error, text).into()
}
