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
//! - A level-triggered epoll puts what it has reported back to the end of its list at once, so what stays ready comes
//!   before what becomes ready later, as CPython's loop sees it. Re-arming comes too late for that, so what was re-armed
//!   is moved to the front of the next batch. (Rejected: re-arming right after the poll. It gives the same order, but
//!   then nothing notices that a callback has closed its descriptor.)
//! - There is one registration per descriptor, so a reader and a writer share one, with the union of their interests.
//! - A descriptor that is closed leaves epoll, unless a duplicate of it lives on: then events keep coming under the old
//!   token. So a token carries a generation, and an event whose generation is not the slot's is dropped.
//! - Registering again under a reused number fails with ENOENT, which is how a stale registration is recognised.

use super::handle::{Entry, Repeating};
use crate::error::{Error, Result};
use crate::trace::{Direction, IoEntry, Ready};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const WAKER: Token = Token(usize::MAX);
pub(super) const SIGNALS: Token = Token(usize::MAX - 1);
/// The low half of a token is the slot, the high half its generation.
const SLOT_BITS: u32 = usize::BITS / 2;
/// For how many events there is room at first; there always is for one of each registration, so a poll reports all that
/// is ready, as CPython's does.
const EVENTS: usize = 1024;

pub(super) struct Reactor {
    poll: Poll,
    events: Events,
    slots: Slab<Registration>,
    by_fd: HashMap<RawFd, usize>,
    generation: usize,
    /// What the last poll reported: to be armed again.
    reported: Vec<Token>,
    /// What was armed again before this poll, in the order in which it was reported.
    rearmed: HashMap<Token, usize>,
}

struct Registration {
    fd: RawFd,
    generation: usize,
    reader: Option<Rc<Repeating>>,
    writer: Option<Rc<Repeating>>,
}

/// The callbacks of one descriptor: the reader, the writer.
type Sides = [Option<Rc<Repeating>>; 2];

/// What a poll brought.
#[derive(Default)]
pub(super) struct Batch {
    /// The self-pipe of the signals is readable, or a signal came that nobody has taken.
    pub(super) signals: bool,
    /// Per ready descriptor: what for, and the callbacks to queue, the reader before the writer.
    pub(super) ready: Vec<(RawFd, Ready, Sides)>,
}

/// What adding came to.
pub(super) enum Added {
    /// It is registered, in place of this one.
    Registered(Option<Rc<Repeating>>),
    /// What was registered under the number belonged to a file that is closed: it is forgotten, and these lost their
    /// registration. Bury them and add again.
    Stale(Orphans),
    Refused(Error),
}

/// Callbacks that lost their registration. They hold user values: the caller drops them with no borrow held.
pub(super) type Orphans = Vec<(RawFd, Direction, Rc<Repeating>)>;

impl Registration {
    fn side(&mut self, direction: Direction) -> &mut Option<Rc<Repeating>> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    fn interest(&self) -> Option<Interest> {
        let read = self.reader.as_ref().map(|_| Interest::READABLE);
        let write = self.writer.as_ref().map(|_| Interest::WRITABLE);
        match (read, write) {
            (Some(read), Some(write)) => Some(read.add(write)),
            (read, write) => read.or(write),
        }
    }

    fn token(&self, slot: usize) -> Token {
        Token(self.generation << SLOT_BITS | slot)
    }

    fn orphans(self) -> Orphans {
        let sides = [(Direction::Read, self.reader), (Direction::Write, self.writer)];
        sides.into_iter().filter_map(|(direction, side)| Some((self.fd, direction, side?))).collect()
    }
}

impl Reactor {
    pub(super) fn new() -> Result<(Self, mio::Waker)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let reactor = Self {
            poll,
            events: Events::with_capacity(EVENTS),
            slots: Slab::new(),
            by_fd: HashMap::new(),
            generation: 0,
            reported: Vec::new(),
            rearmed: HashMap::new(),
        };
        Ok((reactor, waker))
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Whether no descriptor of the user's is registered.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a reader or writer, in place of the one there was.
    pub(super) fn add(&mut self, fd: RawFd, direction: Direction, callback: &Rc<Repeating>) -> Added {
        if let Some(&slot) = self.by_fd.get(&fd) {
            let registration = &mut self.slots[slot];
            let before = registration.side(direction).replace(callback.clone());
            let (token, interest) = (registration.token(slot), registration.interest());
            let interest = interest.unwrap_or(Interest::READABLE);
            // The number names another file now if this answers ENOENT, and none if it answers EBADF.
            if self.poll.registry().reregister(&mut SourceFd(&fd), token, interest).is_ok() {
                return Added::Registered(before);
            }
            *self.slots[slot].side(direction) = before;
            return Added::Stale(self.forget(slot));
        }
        let generation = self.generation;
        self.generation = (generation + 1) % (1 << (SLOT_BITS - 1));
        let mut registration = Registration { fd, generation, reader: None, writer: None };
        *registration.side(direction) = Some(callback.clone());
        let interest = registration.interest().unwrap_or(Interest::READABLE);
        let vacant = self.slots.vacant_entry();
        let token = registration.token(vacant.key());
        if let Err(error) = self.poll.registry().register(&mut SourceFd(&fd), token, interest) {
            return Added::Refused(refused(fd, direction, error));
        }
        self.by_fd.insert(fd, vacant.key());
        vacant.insert(registration);
        Added::Registered(None)
    }

    /// Removes a reader or writer; the callback, if there was one. An error of the kernel is no error here: it says that
    /// the descriptor is closed already.
    pub(super) fn remove(&mut self, fd: RawFd, direction: Direction) -> Option<Rc<Repeating>> {
        let slot = *self.by_fd.get(&fd)?;
        let registration = &mut self.slots[slot];
        let callback = registration.side(direction).take()?;
        let token = registration.token(slot);
        match registration.interest() {
            Some(interest) => {
                let _ = self.poll.registry().reregister(&mut SourceFd(&fd), token, interest);
            }
            None => {
                let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
                self.forget(slot);
            }
        }
        Some(callback)
    }

    fn forget(&mut self, slot: usize) -> Orphans {
        let registration = self.slots.remove(slot);
        self.by_fd.remove(&registration.fd);
        registration.orphans()
    }

    /// Arms again what the last poll reported. What turns out to be closed loses its registration.
    pub(super) fn rearm(&mut self) -> Orphans {
        let mut orphans = Vec::new();
        self.rearmed.clear();
        for token in std::mem::take(&mut self.reported) {
            let Some(slot) = self.slot_of(token) else { continue };
            let registration = &self.slots[slot];
            let Some(interest) = registration.interest() else { continue };
            let fd = registration.fd;
            if let Err(error) = self.poll.registry().reregister(&mut SourceFd(&fd), token, interest) {
                log::warn!(target: "looplab", "descriptor {fd} was closed without removing its reader or writer: {error}");
                orphans.extend(self.forget(slot));
            } else {
                self.rearmed.insert(token, self.rearmed.len());
            }
        }
        orphans
    }

    /// The slot that a token was made for, unless the slot has been given to another registration since.
    fn slot_of(&self, token: Token) -> Option<usize> {
        let slot = token.0 & ((1 << SLOT_BITS) - 1);
        (self.slots.get(slot)?.token(slot) == token).then_some(slot)
    }

    /// Polls. `None` waits for ever. A signal that interrupts the wait does not end it: as in CPython, the poll goes on
    /// with the time that is left, and finds the self-pipe readable if the signal was one of the loop's.
    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> Result<Batch> {
        let most = self.slots.len() + [WAKER, SIGNALS].len();
        if self.events.capacity() < most {
            self.events = Events::with_capacity(most.next_power_of_two());
        }
        let until = timeout.filter(|wait| !wait.is_zero()).map(|wait| (Instant::now(), wait));
        let mut left = timeout;
        while let Err(error) = self.poll.poll(&mut self.events, left) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
            left = until.map(|(began, wait)| wait.saturating_sub(began.elapsed())).or(left);
        }
        Ok(self.collect())
    }

    fn collect(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut events: Vec<_> = self.events.iter().collect();
        if !self.rearmed.is_empty() {
            events.sort_by_key(|event| self.rearmed.get(&event.token()).copied().unwrap_or(usize::MAX));
        }
        for event in events {
            match event.token() {
                WAKER => {}
                SIGNALS => batch.signals = true,
                token => {
                    let Some(slot) = self.slot_of(token) else { continue };
                    // A hang-up or an error makes a descriptor both readable and writable, as asyncio treats it.
                    let broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
                    let registration = &self.slots[slot];
                    let ready = Ready {
                        read: event.is_readable() || event.is_read_closed() || broken,
                        write: event.is_writable() || event.is_write_closed() || broken,
                    };
                    let reader = registration.reader.clone().filter(|_| ready.read);
                    let writer = registration.writer.clone().filter(|_| ready.write);
                    self.reported.push(token);
                    batch.ready.push((registration.fd, ready, [reader, writer]));
                }
            }
        }
        batch
    }

    /// Ends all registrations, for `close`.
    pub(super) fn take_all(&mut self) -> Orphans {
        let mut orphans = Vec::new();
        for registration in std::mem::take(&mut self.slots) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&registration.1.fd));
            orphans.extend(registration.1.orphans());
        }
        self.by_fd.clear();
        self.reported.clear();
        orphans
    }

    pub(super) fn list(&self) -> Vec<IoEntry> {
        let side = |side: &Option<Rc<Repeating>>| side.as_ref().map(|callback| callback.id());
        let mut entries: Vec<IoEntry> = self
            .slots
            .iter()
            .map(|(_, r)| IoEntry { fd: r.fd, reader: side(&r.reader), writer: side(&r.writer) })
            .collect();
        entries.sort_by_key(|entry| entry.fd);
        entries
    }
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
    Error::from(io::Error::new(
        error.kind(),
        format!("cannot add a {what} for descriptor {fd}{path}: {why} ({error})"),
    ))
}
