//! The reactor: mio's edges made level-triggered, as asyncio's readers and writers are.
//!
//! It promises that a registered descriptor is reported in every turn in which it is ready, whether or not the callback
//! drained it; that an event never reaches a registration other than the one it was made for, even if the descriptor's
//! number was reused; and that nothing of the user's runs here. It does not own descriptors: closing one without
//! removing it first is allowed, and ends the registration as soon as the reactor notices.
//!
//! Some facts about epoll, and what follows:
//! - mio is always edge-triggered. Level-triggering is had by *re-arming*: before the next poll every registration that
//!   was reported is registered again, which makes the kernel report it again if it is still ready. (Rejected: asking
//!   `poll(2)` for each descriptor, which costs a call for those that are not ready as well.)
//! - A level-triggered epoll puts what it has reported back to the end of its list at once. So what it reports twice running
//!   comes first, in the order of the first time, and what becomes ready later comes after it. Re-arming comes too late for
//!   that order, so each registration keeps the place at which it was last reported, and so does the self-pipe of the
//!   signals. (Rejected: re-arming right after the poll. It gives the same order, but then nothing notices that a callback
//!   has closed its descriptor.)
//! - There is one registration per descriptor, so a reader and a writer share one, with the union of their interests.
//! - Descriptors are small numbers, for the system gives the lowest that is free. So the registrations stand in a list
//!   under their descriptors' numbers. (Rejected: a map, and a slab with a map; they take more room and more steps.)
//! - A descriptor that is closed leaves epoll, unless a duplicate of it lives on: then events keep coming under the old
//!   token. So a token carries a generation, and an event whose generation is not the registration's is dropped.
//! - A socket of looplab's own is not armed again while its owner knows that it is drained: see [`Edge`].
//! - Registering again under a reused number fails with ENOENT, which is how a stale registration is recognised.

use super::callback::Callback;
use super::edge::Edge;
use super::registration::{Kind, Orphans, Registration, Registrations, Sides};
use super::running::LoopId;
use crate::error::{Error, IoError, Result};
use crate::trace::{Direction, IoEntry, Ready};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const WAKER: Token = Token(usize::MAX);
pub(crate) const SIGNALS: Token = Token(usize::MAX - 1);
/// For how many events there is room at first; there always is for one of each registration, so a poll reports all that
/// is ready, as CPython's does.
const EVENTS: usize = 1024;

pub(crate) struct Reactor {
    id: LoopId,
    /// None when the loop is closed: its descriptor is closed then, however long a handle of the loop is kept.
    poll: Option<Poll>,
    events: Events,
    registrations: Registrations,
    /// What the last poll reported: to be armed again.
    reported: Vec<Token>,
    /// Room for the next batch.
    room: Vec<(RawFd, Ready, Sides)>,
    /// The number of the last poll.
    polls: u64,
    /// How many registrations are the user's, and how many callbacks the others have.
    levels: usize,
    waiting: usize,
}

/// What a poll brought.
#[derive(Default)]
pub(super) struct Batch {
    /// How many descriptors in `ready` come before the self-pipe of the signals; `None` if no signal is to be read.
    pub(super) signals: Option<usize>,
    /// Another thread has called.
    woken: bool,
    /// Per ready descriptor: what for, and the callbacks to queue, the reader before the writer.
    pub(super) ready: Vec<(RawFd, Ready, Sides)>,
}

/// What adding came to.
pub(super) enum Added {
    /// It is registered, in place of this one.
    Registered(Option<Rc<Callback>>),
    /// What was registered under the number belonged to a file that is closed: it is forgotten, and these lost their
    /// registration. Bury them and add again.
    Stale(Orphans),
    Refused(Error),
}

/// What an owner's descriptor is watched for. Urgent data, too, where the kernel tells of it: a read stops short of it,
/// with more behind, so from then on a short read proves nothing.
fn news_in(direction: Direction) -> Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if direction == Direction::Read {
        return Interest::READABLE.add(Interest::PRIORITY);
    }
    interest_in(direction)
}

fn interest_in(direction: Direction) -> Interest {
    match direction {
        Direction::Read => Interest::READABLE,
        Direction::Write => Interest::WRITABLE,
    }
}

impl Batch {
    /// Notes an event, and in `reported` that what it is for is to be armed again.
    #[inline(always)]
    fn note(&mut self, poll: u64, event: &Event, registrations: &Registrations, reported: &mut Vec<Token>) {
        let place = (poll, reported.len());
        match event.token() {
            WAKER => self.woken = true,
            SIGNALS => {
                self.signals.get_or_insert(self.ready.len());
                registrations.signals.set(place);
                reported.push(SIGNALS);
            }
            token => {
                let Some(registration) = registrations.of(token) else { return };
                let (ready, sides) = registration.report(event);
                if ready.read || ready.write {
                    registration.reported.set(place);
                    reported.push(token);
                    self.ready.push((registration.fd(), ready, sides));
                }
            }
        }
    }
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
            reported: Vec::new(),
            room: Vec::new(),
            polls: 1,
            levels: 0,
            waiting: 0,
        }
    }

    /// What descriptors are registered with.
    ///
    /// # Errors
    /// On a closed loop, which asks for nothing any more: its callers have checked before. In a forked child, whose poll is
    /// its parent's: what it removed would be deaf in the parent.
    pub(crate) fn registry(&self) -> Result<&Registry> {
        self.id.check_process()?;
        self.poll.as_ref().map(Poll::registry).ok_or(Error::Closed)
    }

    /// Does not ask for the process: its callers have.
    fn rearm_one(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match &self.poll {
            Some(poll) => poll.registry().reregister(&mut SourceFd(&fd), token, interest),
            None => Err(io::Error::other("the loop is closed")),
        }
    }

    fn disarm(&self, fd: RawFd) {
        // An error says that the descriptor is closed already.
        let _ = self.registry().map(|registry| registry.deregister(&mut SourceFd(&fd)));
    }

    /// Whether there is no descriptor to wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.levels == 0 && self.waiting == 0
    }

    /// An owner's descriptor has got a callback, or lost it.
    pub(super) fn count_callback(&mut self, more: bool) {
        self.waiting = if more { self.waiting + 1 } else { self.waiting.saturating_sub(1) };
    }

    /// Adds a reader or writer, in place of the one there was.
    pub(super) fn add(&mut self, fd: RawFd, direction: Direction, callback: &Rc<Callback>) -> Added {
        let Some(registration) = self.registrations.get_mut(fd) else {
            let mut kind = Kind::Level { reader: None, writer: None };
            kind.side(direction).map(|side| side.replace(callback.clone()));
            return match self.register(fd, kind, interest_in(direction), direction) {
                Ok(_) => Added::Registered(None),
                Err(error) => Added::Refused(error),
            };
        };
        let Some(side) = registration.kind.side(direction) else { return self.occupied(fd) };
        let before = side.replace(callback.clone());
        // The number names another file now if this answers ENOENT, and none if it answers EBADF.
        if self.reregister(fd) {
            return Added::Registered(before);
        }
        let side = self.registrations.get_mut(fd).and_then(|registration| registration.kind.side(direction));
        side.map(|side| std::mem::replace(side, before));
        Added::Stale(self.forget(fd))
    }

    /// A descriptor of looplab's own is to be reported when it is ready. If it may be ready now, the next poll tells.
    pub(super) fn watch(&mut self, edge: &Rc<Edge>, direction: Direction) -> Added {
        let fd = edge.fd;
        let wanted = news_in(direction);
        let Some((token, armed)) = edge.armed() else {
            if edge.is_gone() {
                let text = format!("descriptor {fd} was closed by somebody else than its owner");
                return Added::Refused(Error::Runtime(text.into()));
            }
            if self.registrations.get(fd).is_some() {
                return self.occupied(fd);
            }
            return match self.register(fd, Kind::Edge(edge.clone()), wanted, direction) {
                Ok(token) => {
                    // Registering reports what is ready: no need to ask again.
                    edge.arm(token, wanted, direction);
                    Added::Registered(None)
                }
                Err(error) => Added::Refused(error),
            };
        };
        let both = armed.add(wanted);
        if both != armed {
            if let Err(error) = self.id.check_process() {
                return Added::Refused(error);
            }
            if let Err(error) = self.rearm_one(fd, token, both) {
                return Added::Refused(refused(fd, direction, error));
            }
            edge.arm(token, both, direction);
        } else if !edge.is_drained(direction) {
            self.reported.push(token);
        }
        Added::Registered(None)
    }

    /// Ends the registration of a descriptor of looplab's own.
    pub(super) fn unwatch(&mut self, edge: &Edge) -> Orphans {
        let armed = edge.armed().and_then(|(token, _)| self.registrations.of(token));
        let Some(fd) = armed.map(Registration::fd) else { return Orphans::new() };
        self.disarm(fd);
        self.forget(fd)
    }

    /// The number has a registration of the other kind: it is in use, or stale.
    fn occupied(&mut self, fd: RawFd) -> Added {
        if !self.reregister(fd) {
            return Added::Stale(self.forget(fd));
        }
        let by = match self.registrations.get(fd).map(|registration| &registration.kind) {
            Some(Kind::Edge(_)) => "a socket",
            _ => "a reader or writer of the loop",
        };
        Added::Refused(Error::Runtime(format!("File descriptor {fd} is used by {by}").into()))
    }

    fn register(&mut self, fd: RawFd, kind: Kind, interest: Interest, direction: Direction) -> Result<Token> {
        let refused = |error| refused(fd, direction, error);
        let token = self.registrations.new_token(fd);
        let token = token.ok_or_else(|| refused(io::ErrorKind::InvalidInput.into()))?;
        self.registry()?.register(&mut SourceFd(&fd), token, interest).map_err(refused)?;
        self.levels += usize::from(matches!(kind, Kind::Level { .. }));
        self.registrations.insert(Registration::new(token, kind));
        Ok(token)
    }

    /// Arms one again; false if its descriptor is closed, or in a forked child.
    fn reregister(&mut self, fd: RawFd) -> bool {
        let Some(registration) = self.registrations.get(fd) else { return false };
        let interest = registration.interest().unwrap_or(Interest::READABLE);
        self.id.is_of_this_process() && self.rearm_one(fd, registration.token, interest).is_ok()
    }

    /// Removes a reader or writer; the callback, if there was one. An error of the kernel is no error here: it says that
    /// the descriptor is closed already.
    pub(super) fn remove(&mut self, fd: RawFd, direction: Direction) -> Option<Rc<Callback>> {
        let registration = self.registrations.get_mut(fd)?;
        let callback = registration.kind.side(direction)?.take()?;
        if registration.interest().is_some() {
            self.reregister(fd);
        } else {
            self.disarm(fd);
            self.forget(fd);
        }
        Some(callback)
    }

    fn forget(&mut self, fd: RawFd) -> Orphans {
        let Some(registration) = self.registrations.remove(fd) else { return Orphans::new() };
        let level = matches!(registration.kind, Kind::Level { .. });
        let orphans = registration.orphans();
        if level {
            self.levels -= 1;
        } else {
            self.waiting = self.waiting.saturating_sub(orphans.len());
        }
        orphans
    }

    /// Arms again what the last poll reported, but for what is known to be drained. What turns out to be closed loses its
    /// registration.
    ///
    /// # Errors
    /// In a forked child.
    pub(super) fn rearm(&mut self) -> Result<Orphans> {
        self.id.check_process()?;
        let mut orphans = Vec::new();
        self.polls += 1;
        let mut reported = std::mem::take(&mut self.reported);
        for token in reported.drain(..) {
            let Some(registration) = self.registrations.of(token) else { continue };
            // What waited, gave up and waited again in one turn stands here several times.
            if registration.armed_for.replace(self.polls) == self.polls {
                continue;
            }
            let Some(interest) = registration.due() else { continue };
            let fd = registration.fd();
            if let Err(error) = self.rearm_one(fd, token, interest) {
                log_warn!("descriptor {fd} was closed without removing its reader or writer: {error}");
                orphans.extend(self.forget(fd));
            }
        }
        // For its room.
        self.reported = reported;
        Ok(orphans)
    }

    /// Whether the poll before this one has reported the self-pipe of the signals.
    pub(super) fn signals_were_reported(&self) -> bool {
        self.registrations.rank(SIGNALS, self.polls).is_some()
    }

    /// Polls. `None` waits for ever. A signal that interrupts the wait does not end it: as in CPython, the poll goes on
    /// with the time that is left, and finds the self-pipe readable if the signal was one of the loop's. Nor does what
    /// comes for descriptors for which nobody waits.
    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> Result<Batch> {
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
                    let batch = self.collect();
                    let asked = batch.signals.is_some() || batch.woken || !batch.ready.is_empty();
                    if asked || self.events.is_empty() || left == Some(Duration::ZERO) {
                        return Ok(batch);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            left = until.map(|(began, wait)| wait.saturating_sub(began.elapsed())).or(left);
        }
    }

    /// What the poll brought.
    fn collect(&mut self) -> Batch {
        let Self { events, registrations, reported, polls, room, .. } = self;
        let mut batch = Batch { ready: std::mem::take(room), ..Batch::default() };
        let mut several = events.iter().skip(1);
        if several.next().is_none() {
            for event in &*events {
                batch.note(*polls, event, registrations, reported);
            }
        } else {
            for event in in_order(events, registrations, *polls) {
                batch.note(*polls, event, registrations, reported);
            }
        }
        if batch.ready.is_empty() {
            *room = std::mem::take(&mut batch.ready);
        }
        batch
    }

    /// Takes back a batch that was emptied, for its room.
    pub(super) fn give_back(&mut self, batch: Batch) {
        self.room = batch.ready;
        self.room.clear();
    }

    /// Ends all registrations and closes the loop's own descriptor, for `close`. The kernel forgets the registrations with
    /// it.
    pub(super) fn close(&mut self) -> Orphans {
        let mut ended = std::mem::replace(self, Self::with(self.id, None, 0));
        ended.registrations.take_all().into_iter().flat_map(Registration::orphans).collect()
    }

    /// The descriptors for which somebody waits.
    pub(super) fn list(&self) -> Vec<IoEntry> {
        let side = |r: &Registration, direction| r.entry(direction).map(|callback| callback.id);
        let entry = |r: &Registration| IoEntry {
            fd: r.fd(),
            reader: side(r, Direction::Read),
            writer: side(r, Direction::Write),
        };
        let entries = self.registrations.iter().map(entry);
        entries.filter(|entry| entry.reader.is_some() || entry.writer.is_some()).collect()
    }
}

/// The events, first those of what the last poll reported, too.
fn in_order<'a>(events: &'a Events, registrations: &Registrations, poll: u64) -> Vec<&'a Event> {
    let rank = |event: &&Event| registrations.rank(event.token(), poll).unwrap_or(usize::MAX);
    let mut events: Vec<_> = events.iter().collect();
    if !events.is_sorted_by_key(rank) {
        events.sort_by_cached_key(rank);
    }
    events
}

/// Why the kernel would not watch a descriptor, in words that name it.
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
