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
//! - A socket of looplab's own is not armed again while its owner knows that it is drained: see [`Edge`].
//! - Registering again under a reused number fails with ENOENT, which is how a stale registration is recognised.

mod edge;

pub(super) use edge::Edge;

use super::handle::{Entry, Repeating};
use crate::error::{Error, Result};
use crate::trace::{Direction, IoEntry, Ready};
use mio::event::Event;
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
    /// How many registrations are the user's, and how many callbacks the others have.
    levels: usize,
    waiting: usize,
}

struct Registration {
    fd: RawFd,
    generation: usize,
    kind: Kind,
}

enum Kind {
    /// A reader and a writer of the user's.
    Level { reader: Option<Rc<Repeating>>, writer: Option<Rc<Repeating>> },
    /// A descriptor of looplab's own.
    Edge(Rc<Edge>),
}

/// The callbacks of one descriptor: the reader, the writer.
type Sides = [Option<Rc<dyn Entry>>; 2];

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
pub(super) type Orphans = Vec<(RawFd, Direction, Rc<dyn Entry>)>;

impl Registration {
    /// What an event says, and whom it concerns. A hang-up or an error makes a descriptor both readable and writable, as
    /// asyncio treats it.
    fn report(&self, event: &Event) -> (RawFd, Ready, Sides) {
        let broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
        let read_closed = event.is_read_closed() || broken;
        let write_closed = event.is_write_closed() || broken;
        let ready =
            Ready { read: event.is_readable() || read_closed, write: event.is_writable() || write_closed };
        match &self.kind {
            Kind::Level { .. } => {
                let read = self.entry(Direction::Read).filter(|_| ready.read);
                let write = self.entry(Direction::Write).filter(|_| ready.write);
                (self.fd, ready, [read, write])
            }
            // What nobody asked for is noted, and not reported.
            Kind::Edge(edge) => {
                let uneven = read_closed || event.is_priority();
                let read = ready.read.then(|| edge.report(Direction::Read, uneven)).flatten();
                let write = ready.write.then(|| edge.report(Direction::Write, write_closed)).flatten();
                (self.fd, Ready { read: read.is_some(), write: write.is_some() }, [read, write])
            }
        }
    }

    fn interest(&self) -> Option<Interest> {
        match &self.kind {
            Kind::Level { reader, writer } => {
                let read = reader.as_ref().map(|_| Interest::READABLE);
                let write = writer.as_ref().map(|_| Interest::WRITABLE);
                match (read, write) {
                    (Some(read), Some(write)) => Some(read.add(write)),
                    (read, write) => read.or(write),
                }
            }
            Kind::Edge(edge) => edge.armed.get().map(|(_, interest)| interest),
        }
    }

    fn token(&self, slot: usize) -> Token {
        Token(self.generation << SLOT_BITS | slot)
    }

    /// The callbacks that are to be queued when it is ready.
    fn entry(&self, direction: Direction) -> Option<Rc<dyn Entry>> {
        match (&self.kind, direction) {
            (Kind::Level { reader: side, .. }, Direction::Read)
            | (Kind::Level { writer: side, .. }, Direction::Write) => {
                side.as_ref().map(|side| side.clone() as Rc<dyn Entry>)
            }
            (Kind::Edge(edge), _) => edge.entry(direction),
        }
    }

    fn orphans(self) -> Orphans {
        let orphan = |direction| Some((self.fd, direction, self.entry(direction)?));
        let orphans = [Direction::Read, Direction::Write].into_iter().filter_map(orphan).collect();
        if let Kind::Edge(edge) = self.kind {
            edge.armed.set(None);
            edge.gone.set(true);
            drop((edge.replace(Direction::Read, None), edge.replace(Direction::Write, None)));
        }
        orphans
    }
}

/// The reader or the writer.
fn side(kind: &mut Kind, direction: Direction) -> Option<&mut Option<Rc<Repeating>>> {
    match (kind, direction) {
        (Kind::Level { reader: side, .. }, Direction::Read)
        | (Kind::Level { writer: side, .. }, Direction::Write) => Some(side),
        (Kind::Edge(_), _) => None,
    }
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
            levels: 0,
            waiting: 0,
        };
        Ok((reactor, waker))
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Whether there is no descriptor to wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.levels == 0 && self.waiting == 0
    }

    /// An owner's descriptor has got a callback, or lost it.
    pub(super) fn count_callback(&mut self, more: bool) {
        self.waiting = if more { self.waiting + 1 } else { self.waiting.saturating_sub(1) };
    }

    /// Adds a reader or writer, in place of the one there was.
    pub(super) fn add(&mut self, fd: RawFd, direction: Direction, callback: &Rc<Repeating>) -> Added {
        let Some(&slot) = self.by_fd.get(&fd) else {
            let mut kind = Kind::Level { reader: None, writer: None };
            side(&mut kind, direction).map(|side| side.replace(callback.clone()));
            return match self.register(fd, kind, interest_in(direction), direction) {
                Ok(_) => Added::Registered(None),
                Err(error) => Added::Refused(error),
            };
        };
        let Some(side_of) = side(&mut self.slots[slot].kind, direction) else { return self.occupied(slot) };
        let before = side_of.replace(callback.clone());
        // The number names another file now if this answers ENOENT, and none if it answers EBADF.
        if self.reregister(slot) {
            return Added::Registered(before);
        }
        side(&mut self.slots[slot].kind, direction).map(|side| std::mem::replace(side, before));
        Added::Stale(self.forget(slot))
    }

    /// A descriptor of looplab's own is to be reported when it is ready. If it may be ready now, the next poll tells.
    pub(super) fn watch(&mut self, fd: RawFd, edge: &Rc<Edge>, direction: Direction) -> Added {
        let wanted = news_in(direction);
        let Some((token, armed)) = edge.armed.get() else {
            if edge.gone.get() {
                let text = format!("descriptor {fd} was closed by somebody else than its owner");
                return Added::Refused(Error::Runtime(text.into()));
            }
            if let Some(&slot) = self.by_fd.get(&fd) {
                return self.occupied(slot);
            }
            return match self.register(fd, Kind::Edge(edge.clone()), wanted, direction) {
                Ok(token) => {
                    // Registering reports what is ready: no need to ask again.
                    edge.armed.set(Some((token, wanted)));
                    edge.drained(direction);
                    Added::Registered(None)
                }
                Err(error) => Added::Refused(error),
            };
        };
        let both = armed.add(wanted);
        if both != armed {
            if let Err(error) = self.poll.registry().reregister(&mut SourceFd(&fd), token, both) {
                return Added::Refused(refused(fd, direction, error));
            }
            edge.armed.set(Some((token, both)));
            edge.drained(direction);
        } else if !edge.is_drained(direction) {
            self.reported.push(token);
        }
        Added::Registered(None)
    }

    /// Ends the registration of a descriptor of looplab's own.
    pub(super) fn unwatch(&mut self, fd: RawFd, edge: &Edge) -> Orphans {
        let Some((token, _)) = edge.armed.get() else { return Orphans::new() };
        let Some(slot) = self.slot_of(token) else { return Orphans::new() };
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        self.forget(slot)
    }

    /// The number has a registration of the other kind: it is in use, or stale.
    fn occupied(&mut self, slot: usize) -> Added {
        if !self.reregister(slot) {
            return Added::Stale(self.forget(slot));
        }
        let registration = &self.slots[slot];
        let by = match registration.kind {
            Kind::Level { .. } => "a reader or writer of the loop",
            Kind::Edge(_) => "a socket",
        };
        Added::Refused(Error::Runtime(format!("File descriptor {} is used by {by}", registration.fd).into()))
    }

    fn register(&mut self, fd: RawFd, kind: Kind, interest: Interest, direction: Direction) -> Result<Token> {
        let generation = self.generation;
        self.generation = (generation + 1) % (1 << (SLOT_BITS - 1));
        let registration = Registration { fd, generation, kind };
        let vacant = self.slots.vacant_entry();
        let token = registration.token(vacant.key());
        let registered = self.poll.registry().register(&mut SourceFd(&fd), token, interest);
        registered.map_err(|error| refused(fd, direction, error))?;
        self.levels += usize::from(matches!(registration.kind, Kind::Level { .. }));
        self.by_fd.insert(fd, vacant.key());
        vacant.insert(registration);
        Ok(token)
    }

    /// Arms one again; false if its descriptor is closed.
    fn reregister(&mut self, slot: usize) -> bool {
        let registration = &self.slots[slot];
        let interest = registration.interest().unwrap_or(Interest::READABLE);
        let (fd, token) = (registration.fd, registration.token(slot));
        self.poll.registry().reregister(&mut SourceFd(&fd), token, interest).is_ok()
    }

    /// Removes a reader or writer; the callback, if there was one. An error of the kernel is no error here: it says that
    /// the descriptor is closed already.
    pub(super) fn remove(&mut self, fd: RawFd, direction: Direction) -> Option<Rc<Repeating>> {
        let slot = *self.by_fd.get(&fd)?;
        let callback = side(&mut self.slots[slot].kind, direction)?.take()?;
        if self.slots[slot].interest().is_some() {
            self.reregister(slot);
        } else {
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
            self.forget(slot);
        }
        Some(callback)
    }

    fn forget(&mut self, slot: usize) -> Orphans {
        let registration = self.slots.remove(slot);
        self.by_fd.remove(&registration.fd);
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
    pub(super) fn rearm(&mut self) -> Orphans {
        let mut orphans = Vec::new();
        self.rearmed.clear();
        for token in std::mem::take(&mut self.reported) {
            // Who waited, gave up and waited again in one turn stands here several times.
            if self.rearmed.contains_key(&token) {
                continue;
            }
            let Some(slot) = self.slot_of(token) else { continue };
            let registration = &self.slots[slot];
            let Some(interest) = registration.interest() else { continue };
            if let Kind::Edge(edge) = &registration.kind
                && !edge.is_due()
            {
                continue;
            }
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
    /// with the time that is left, and finds the self-pipe readable if the signal was one of the loop's. Nor does what
    /// comes for descriptors for which nobody waits.
    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> Result<Batch> {
        let most = self.slots.len() + [WAKER, SIGNALS].len();
        if self.events.capacity() < most {
            self.events = Events::with_capacity(most.next_power_of_two());
        }
        let until = timeout.filter(|wait| !wait.is_zero()).map(|wait| (Instant::now(), wait));
        let mut left = timeout;
        loop {
            match self.poll.poll(&mut self.events, left) {
                Ok(()) => {
                    let (batch, unasked) = self.collect();
                    if !unasked || !batch.ready.is_empty() || left == Some(Duration::ZERO) {
                        return Ok(batch);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            left = until.map(|(began, wait)| wait.saturating_sub(began.elapsed())).or(left);
        }
    }

    /// What the poll brought, and whether that was nothing but news that nobody waits for.
    fn collect(&mut self) -> (Batch, bool) {
        let mut batch = Batch::default();
        let mut events: Vec<_> = self.events.iter().collect();
        if !self.rearmed.is_empty() {
            events.sort_by_key(|event| self.rearmed.get(&event.token()).copied().unwrap_or(usize::MAX));
        }
        let mut unasked = !events.is_empty();
        for event in events {
            match event.token() {
                WAKER => unasked = false,
                SIGNALS => (unasked, batch.signals) = (false, true),
                token => {
                    let Some(slot) = self.slot_of(token) else { continue };
                    let (fd, ready, sides) = self.slots[slot].report(event);
                    if ready.read || ready.write {
                        self.reported.push(token);
                        batch.ready.push((fd, ready, sides));
                    }
                }
            }
        }
        (batch, unasked)
    }

    /// Ends all registrations, for `close`.
    pub(super) fn take_all(&mut self) -> Orphans {
        let mut orphans = Vec::new();
        for (_, registration) in std::mem::take(&mut self.slots) {
            let _ = self.poll.registry().deregister(&mut SourceFd(&registration.fd));
            orphans.extend(registration.orphans());
        }
        self.by_fd.clear();
        self.reported.clear();
        (self.levels, self.waiting) = (0, 0);
        orphans
    }

    /// The descriptors for which somebody waits.
    pub(super) fn list(&self) -> Vec<IoEntry> {
        let side = |r: &Registration, direction| r.entry(direction).map(|callback| callback.id());
        let mut entries: Vec<IoEntry> = self
            .slots
            .iter()
            .map(|(_, r)| IoEntry {
                fd: r.fd,
                reader: side(r, Direction::Read),
                writer: side(r, Direction::Write),
            })
            .filter(|entry| entry.reader.is_some() || entry.writer.is_some())
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
