//! What is registered: a registration for each descriptor, in a list under its number.
//!
//! It promises that a token names one registration: it is the descriptor and a generation, and whoever comes with the token
//! of a registration that is gone finds nothing. (Generations come again, but only after 2^31 registrations; on a 32-bit
//! system after 2^15.) It makes no system call.

use super::callback::Callback;
use super::edge::Edge;
use super::reactor::SIGNALS;
use crate::trace::{Direction, Ready};
use mio::event::Event;
use mio::{Interest, Token};
use std::cell::Cell;
use std::os::fd::RawFd;
use std::rc::Rc;

/// The low half of a token is the descriptor, the high half the generation.
const FD_BITS: u32 = usize::BITS / 2;

pub(super) struct Registration {
    pub(super) token: Token,
    pub(super) kind: Kind,
    pub(super) reported: Cell<Reported>,
    /// The poll for which it was armed again.
    pub(super) armed_for: Cell<u64>,
}

/// The number of the poll that has last reported a descriptor, and its place among those that this poll reported.
pub(super) type Reported = (u64, usize);

pub(super) enum Kind {
    /// A reader and a writer of the user's.
    Level { reader: Option<Rc<Callback>>, writer: Option<Rc<Callback>> },
    /// A descriptor of looplab's own.
    Edge(Rc<Edge>),
}

/// The callbacks of one descriptor: the reader, the writer.
pub(super) type Sides = [Option<Rc<Callback>>; 2];

/// Callbacks that lost their registration. They hold user values: the caller drops them with no borrow held.
pub(super) type Orphans = Vec<(RawFd, Direction, Rc<Callback>)>;

impl Registration {
    pub(super) fn new(token: Token, kind: Kind) -> Self {
        Self { token, kind, reported: Cell::default(), armed_for: Cell::new(0) }
    }

    pub(super) fn fd(&self) -> RawFd {
        fd_of(self.token) as RawFd
    }

    /// What an event says, and whom it concerns. A hang-up or an error makes a descriptor both readable and writable, as
    /// asyncio treats it.
    #[inline]
    pub(super) fn report(&self, event: &Event) -> (Ready, Sides) {
        let broken = event.is_error() || event.is_read_closed() && event.is_write_closed();
        let read_closed = event.is_read_closed() || broken;
        let write_closed = event.is_write_closed() || broken;
        let ready =
            Ready { read: event.is_readable() || read_closed, write: event.is_writable() || write_closed };
        match &self.kind {
            Kind::Level { .. } => {
                let read = self.entry(Direction::Read).filter(|_| ready.read);
                let write = self.entry(Direction::Write).filter(|_| ready.write);
                (ready, [read, write])
            }
            // What nobody asked for is noted, and not reported.
            Kind::Edge(edge) => {
                let uneven = read_closed || event.is_priority();
                let read = if ready.read { edge.report(Direction::Read, uneven) } else { None };
                let write = if ready.write { edge.report(Direction::Write, write_closed) } else { None };
                (Ready { read: read.is_some(), write: write.is_some() }, [read, write])
            }
        }
    }

    pub(super) fn interest(&self) -> Option<Interest> {
        match &self.kind {
            Kind::Level { reader, writer } => {
                let read = reader.as_ref().map(|_| Interest::READABLE);
                let write = writer.as_ref().map(|_| Interest::WRITABLE);
                match (read, write) {
                    (Some(read), Some(write)) => Some(read.add(write)),
                    (read, write) => read.or(write),
                }
            }
            Kind::Edge(edge) => edge.armed().map(|(_, interest)| interest),
        }
    }

    /// What is to be armed before the next poll, so that it is reported if it is still ready.
    #[inline]
    pub(super) fn due(&self) -> Option<Interest> {
        match &self.kind {
            Kind::Edge(edge) if !edge.is_due() => None,
            _ => self.interest(),
        }
    }

    /// The callbacks that are to be queued when it is ready.
    pub(super) fn entry(&self, direction: Direction) -> Option<Rc<Callback>> {
        match (&self.kind, direction) {
            (Kind::Level { reader: side, .. }, Direction::Read)
            | (Kind::Level { writer: side, .. }, Direction::Write) => side.clone(),
            (Kind::Edge(edge), _) => edge.entry(direction),
        }
    }

    pub(super) fn orphans(self) -> Orphans {
        let orphan = |direction| Some((self.fd(), direction, self.entry(direction)?));
        let orphans = [Direction::Read, Direction::Write].into_iter().filter_map(orphan).collect();
        if let Kind::Edge(edge) = self.kind {
            edge.bury();
        }
        orphans
    }
}

impl Kind {
    /// The reader or the writer, if these are the user's.
    pub(super) fn side(&mut self, direction: Direction) -> Option<&mut Option<Rc<Callback>>> {
        match (self, direction) {
            (Self::Level { reader: side, .. }, Direction::Read)
            | (Self::Level { writer: side, .. }, Direction::Write) => Some(side),
            (Self::Edge(_), _) => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Registrations {
    list: Vec<Option<Registration>>,
    count: usize,
    generation: usize,
    /// The place of the self-pipe of the signals, which is no registration.
    pub(super) signals: Cell<Reported>,
}

impl Registrations {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The next generation's token; `None` for a number that does not fit, which takes a 32-bit system.
    pub(super) fn new_token(&mut self, fd: RawFd) -> Option<Token> {
        let generation = self.generation;
        // One bit less, for the tokens that are not of registrations.
        self.generation = (generation + 1) % (1 << (FD_BITS - 1));
        // What is no descriptor at all is left to the kernel to refuse.
        let fd = usize::try_from(fd).unwrap_or_default();
        (fd <= FD_MASK).then_some(Token(generation << FD_BITS | fd))
    }

    pub(super) fn insert(&mut self, registration: Registration) {
        let fd = fd_of(registration.token);
        if fd >= self.list.len() {
            self.list.resize_with(fd + 1, || None);
        }
        self.list[fd] = Some(registration);
        self.count += 1;
    }

    pub(super) fn get(&self, fd: RawFd) -> Option<&Registration> {
        self.list.get(usize::try_from(fd).ok()?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, fd: RawFd) -> Option<&mut Registration> {
        self.list.get_mut(usize::try_from(fd).ok()?)?.as_mut()
    }

    /// The one that the token was made for, if it is still there.
    #[inline]
    pub(super) fn of(&self, token: Token) -> Option<&Registration> {
        self.list.get(fd_of(token))?.as_ref().filter(|registration| registration.token == token)
    }

    /// The place that this token has in a poll because the poll before has reported it.
    #[inline]
    pub(super) fn rank(&self, token: Token, poll: u64) -> Option<usize> {
        let (last, place) = match token {
            SIGNALS => self.signals.get(),
            _ => self.of(token)?.reported.get(),
        };
        (last + 1 == poll).then_some(place)
    }

    pub(super) fn remove(&mut self, fd: RawFd) -> Option<Registration> {
        let registration = self.list.get_mut(usize::try_from(fd).ok()?)?.take()?;
        self.count -= 1;
        Some(registration)
    }

    /// By descriptor.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.list.iter().flatten()
    }

    /// All of them, in the order in which they were made, leaving none.
    pub(super) fn take_all(&mut self) -> Vec<Registration> {
        self.count = 0;
        let mut all: Vec<_> = std::mem::take(&mut self.list).into_iter().flatten().collect();
        all.sort_by_key(|registration| registration.token);
        all
    }
}

const FD_MASK: usize = (1 << FD_BITS) - 1;

fn fd_of(token: Token) -> usize {
    token.0 & FD_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(registrations: &mut Registrations, fd: RawFd) -> Token {
        let token = registrations.new_token(fd).expect("a small number");
        let kind = Kind::Level { reader: None, writer: None };
        registrations.insert(Registration::new(token, kind));
        token
    }

    #[test]
    fn a_token_names_one_registration_also_when_its_descriptor_is_used_again() {
        let mut registrations = Registrations::default();
        let first = register(&mut registrations, 7);
        assert_eq!(registrations.of(first).map(Registration::fd), Some(7));
        assert!(registrations.remove(7).is_some());
        assert!(registrations.of(first).is_none());
        let second = register(&mut registrations, 7);
        assert!(registrations.of(first).is_none());
        assert_eq!(registrations.of(second).map(Registration::fd), Some(7));
        assert_eq!(registrations.len(), 1);
    }

    #[test]
    fn a_number_that_is_no_descriptor_has_no_registration() {
        let mut registrations = Registrations::default();
        register(&mut registrations, 0);
        for fd in [-1, 1, RawFd::MAX] {
            assert!(registrations.get(fd).is_none(), "{fd}");
            assert!(registrations.remove(fd).is_none(), "{fd}");
        }
        assert!(registrations.of(Token(usize::MAX)).is_none());
    }

    #[test]
    fn all_are_taken_in_the_order_in_which_they_were_made() {
        let mut registrations = Registrations::default();
        for fd in [9, 3, 12, 5] {
            register(&mut registrations, fd);
        }
        let fds: Vec<RawFd> = registrations.take_all().iter().map(Registration::fd).collect();
        assert_eq!(fds, [9, 3, 12, 5]);
        assert_eq!((registrations.len(), registrations.iter().count()), (0, 0));
    }
}
