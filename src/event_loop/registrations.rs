//! The reactor's list of registrations, under the numbers of their descriptors.
//!
//! A token names one registration: it is the descriptor and a generation, so the token of a registration that is gone finds
//! nothing. (Generations repeat, but only after 2^31 registrations; on a 32-bit system after 2^15.)

use super::registration::Registration;
use mio::Token;
use std::os::fd::RawFd;
use std::rc::Rc;

/// The low half of a token is the descriptor, the high half the generation.
const FD_BITS: u32 = usize::BITS / 2;
const FD_MASK: usize = (1 << FD_BITS) - 1;

#[derive(Default)]
pub(super) struct Registrations {
    list: Vec<Option<Rc<Registration>>>,
    count: usize,
    generation: usize,
}

impl Registrations {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Returns a token of the next generation; `None` for a number that does not fit, which takes a 32-bit system.
    pub(super) fn new_token(&mut self, fd: RawFd) -> Option<Token> {
        let generation = self.generation;
        // One bit is left for the tokens of the waker and the signals.
        self.generation = (generation + 1) % (1 << (FD_BITS - 1));
        // The kernel refuses a number that is no descriptor.
        let fd = usize::try_from(fd).unwrap_or_default();
        (fd <= FD_MASK).then_some(Token(generation << FD_BITS | fd))
    }

    /// Adds an armed registration.
    pub(super) fn insert(&mut self, registration: Rc<Registration>) {
        let fd = fd_of(registration.token());
        if fd >= self.list.len() {
            self.list.resize_with(fd + 1, || None);
        }
        self.list[fd] = Some(registration);
        self.count += 1;
    }

    pub(super) fn get(&self, fd: RawFd) -> Option<&Rc<Registration>> {
        self.list.get(usize::try_from(fd).ok()?)?.as_ref()
    }

    /// Returns the registration that the token was made for, if it still exists.
    #[inline]
    pub(super) fn of(&self, token: Token) -> Option<&Rc<Registration>> {
        self.list.get(fd_of(token))?.as_ref().filter(|registration| registration.token() == token)
    }

    pub(super) fn remove(&mut self, fd: RawFd) -> Option<Rc<Registration>> {
        let registration = self.list.get_mut(usize::try_from(fd).ok()?)?.take()?;
        self.count -= 1;
        Some(registration)
    }

    /// Lists the registrations by descriptor.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.list.iter().flatten().map(|registration| &**registration)
    }

    /// Removes all registrations and returns them in the order in which they were made.
    pub(super) fn take_all(&mut self) -> Vec<Rc<Registration>> {
        self.count = 0;
        let mut all: Vec<_> = std::mem::take(&mut self.list).into_iter().flatten().collect();
        all.sort_by_key(|registration| registration.token());
        all
    }
}

fn fd_of(token: Token) -> usize {
    token.0 & FD_MASK
}

#[cfg(test)]
mod tests {
    use super::super::EventLoop;
    use super::super::registration::Owner;
    use super::*;
    use mio::Interest;

    fn register(registrations: &mut Registrations, fd: RawFd) -> Token {
        let lp = EventLoop::new().unwrap();
        let token = registrations.new_token(fd).expect("a small number");
        let registration = Registration::new(&lp, fd, Owner::User);
        registration.arm(token, Interest::READABLE);
        registrations.insert(Rc::new(registration));
        token
    }

    fn fd_named_by(registrations: &Registrations, token: Token) -> Option<RawFd> {
        registrations.of(token).map(|registration| registration.fd)
    }

    #[test]
    fn a_token_names_one_registration_also_when_its_descriptor_is_used_again() {
        let mut registrations = Registrations::default();
        let first = register(&mut registrations, 7);
        assert_eq!(fd_named_by(&registrations, first), Some(7));
        assert!(registrations.remove(7).is_some());
        assert_eq!(fd_named_by(&registrations, first), None);
        let second = register(&mut registrations, 7);
        assert_eq!(fd_named_by(&registrations, first), None);
        assert_eq!(fd_named_by(&registrations, second), Some(7));
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
        let fds: Vec<RawFd> = registrations.take_all().iter().map(|registration| registration.fd).collect();
        assert_eq!(fds, [9, 3, 12, 5]);
        assert_eq!((registrations.len(), registrations.iter().count()), (0, 0));
    }
}
