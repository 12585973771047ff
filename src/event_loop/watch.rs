//! Watching descriptors: the readers and writers of the program, and the sockets of looplab.
//!
//! It guarantees the same for both. Readiness only queues a callback. Setting a callback again
//! replaces it. A callback may remove itself, and one that was removed before its turn does not run.
//! An event never reaches a registration that is gone.
//!
//! A socket's [`Watch`] costs less than a reader: [`Watch::drained`] spares a system call for each
//! event, see [`Registration`]. The reactor asks the kernel; this file does not.

use super::callback::Callback;
use super::reactor::{Added, Reactor};
use super::registration::{FdCallbacks, Owner, Registration};
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::trace::{Direction, EntryKind, Place, Ready};
use std::any::type_name_of_val;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;
use std::rc::Rc;

impl EventLoop {
    /// Calls `callback` in every turn in which the descriptor is ready to be read, or has hung up
    /// or failed (`loop.add_reader`). It is level-triggered: what is not read is reported again. A
    /// reader that was there is replaced. May be called while the loop runs.
    ///
    /// Being level-triggered costs a system call for each event. A reader that reads until the
    /// descriptor would block spares it by returning [`Drained`](crate::Drained).
    ///
    /// The loop does not own the descriptor. Remove the reader before you close it. A reader whose
    /// descriptor was closed is not called any more. But while a duplicate of the descriptor exists,
    /// it may be called once, even if the number names another file by then.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) after `close`. [`Error::Io`](crate::Error::Io),
    /// naming the descriptor, if it is not open or cannot be watched (a regular file).
    ///
    /// ```
    /// use std::{io::{Read, Write}, os::unix::net::UnixStream};
    /// let lp = looplab::EventLoop::new()?;
    /// let (mut ours, mut theirs) = UnixStream::pair()?;
    /// let fd = ours.try_clone()?;
    /// lp.add_reader(&fd, move || {
    ///     let n = ours.read(&mut [0; 16])?;
    ///     println!("{n} bytes");
    ///     looplab::stop()
    /// })?;
    /// theirs.write_all(b"hello")?;
    /// lp.run_forever()?;
    /// assert!(lp.remove_reader(&fd)?);
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "loop.add_reader")]
    #[track_caller]
    pub fn add_reader<R: Outcome>(
        &self,
        source: &impl AsRawFd,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.register(source.as_raw_fd(), Direction::Read, Location::caller(), callback)
    }

    /// Removes a reader and tells whether there was one (`loop.remove_reader`). A call of it that
    /// is queued already does not run. May be called while the loop runs, by the reader itself too;
    /// returns false on a closed loop.
    ///
    /// # Errors
    /// None today. The type is the same as [`remove_signal_handler`](Self::remove_signal_handler)'s, which
    /// can fail.
    #[doc(alias = "loop.remove_reader")]
    pub fn remove_reader(&self, source: &impl AsRawFd) -> Result<bool> {
        Ok(self.unregister(source.as_raw_fd(), Direction::Read))
    }

    /// Calls `callback` in every turn in which the descriptor is ready to be written
    /// (`loop.add_writer`). Returning [`Drained`](crate::Drained) says that it would block now.
    ///
    /// # Errors
    /// As [`add_reader`](Self::add_reader).
    #[doc(alias = "loop.add_writer")]
    #[track_caller]
    pub fn add_writer<R: Outcome>(
        &self,
        source: &impl AsRawFd,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        self.register(source.as_raw_fd(), Direction::Write, Location::caller(), callback)
    }

    /// Removes a writer, as [`remove_reader`](Self::remove_reader) does a reader
    /// (`loop.remove_writer`).
    ///
    /// # Errors
    /// None today.
    #[doc(alias = "loop.remove_writer")]
    pub fn remove_writer(&self, source: &impl AsRawFd) -> Result<bool> {
        Ok(self.unregister(source.as_raw_fd(), Direction::Write))
    }

    fn register<R: Outcome>(
        &self,
        fd: RawFd,
        direction: Direction,
        place: Place,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        let callback = Guarded::new(callback);
        self.0.check_open()?;
        let name = type_name_of_val(&*callback);
        let callback = self.named_repeated(EntryKind::Io, place, name, callback.into_inner());
        let before = self.0.add_to_reactor(|reactor| {
            reactor.add(Registration::new(self, fd, Owner::User), direction, &callback)
        })?;
        self.0.registered(fd, direction, &*callback, before);
        Ok(())
    }

    fn unregister(&self, fd: RawFd, direction: Direction) -> bool {
        let removed = self.0.reactor.borrow_mut().remove(fd, direction);
        let Some(callback) = removed else { return false };
        self.0.unregistered(fd, direction);
        self.0.cancel(&*callback);
        true
    }
}

/// One descriptor on one loop. Dropping it ends the registration: do that before the descriptor is
/// closed.
pub(crate) struct Watch(Rc<Registration>);

impl Watch {
    /// Makes a watch without a system call, which setting the first callback makes.
    pub(crate) fn new(lp: &EventLoop, fd: RawFd) -> Self {
        Self(Rc::new(Registration::new(lp, fd, Owner::Socket)))
    }

    /// Checks that `lp` is its loop.
    ///
    /// # Errors
    /// [`Error::Runtime`] if it is another one.
    pub(crate) fn check_loop(&self, lp: &EventLoop) -> Result<()> {
        if std::ptr::eq(self.lp.as_ptr(), Rc::as_ptr(&lp.0)) {
            return Ok(());
        }
        let text = format!("the socket with descriptor {} is bound to a different event loop", self.fd);
        Err(Error::Runtime(text.into()))
    }

    /// Tells whether its loop is open. This costs nothing while the descriptor is registered.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.interest.get().is_some() || self.event_loop().is_ok()
    }

    /// Calls `callback` in every turn in which the descriptor may be ready, until
    /// [`unset`](Self::unset). It replaces the callback before. It is level-triggered, unless it
    /// calls [`drained`](Self::drained).
    ///
    /// # Errors
    /// [`Error::Closed`] on a closed loop; [`Error::Io`] if the kernel refuses; [`Error::Runtime`]
    /// if the program has a reader or writer of the descriptor.
    pub(crate) fn call<R: Outcome>(
        &self,
        direction: Direction,
        place: Place,
        name: &'static str,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        let lp = self.event_loop()?;
        self.set(&lp, direction, lp.named_repeated(EntryKind::Io, place, name, callback))
    }

    /// Sets a callback as [`call`](Self::call) does. `lp` is its loop.
    pub(crate) fn set(&self, lp: &EventLoop, direction: Direction, callback: Rc<dyn Callback>) -> Result<()> {
        // The kernel already watches a side that is drained, and reports what comes.
        if !self.0.is_drained(direction) {
            lp.0.add_to_reactor(|reactor| reactor.watch(&self.0, direction))?;
        }
        let before = lp.0.reactor.borrow_mut().set_callback(&self.0, direction, Some(callback.clone()));
        lp.0.registered(self.fd, direction, &*callback, before);
        Ok(())
    }

    /// Removes the callback, and tells whether there was one. A call of it that is queued already
    /// does not run.
    pub(crate) fn unset(&self, direction: Direction) -> bool {
        let Some(lp) = self.lp.upgrade().map(EventLoop) else { return false };
        let removed = lp.0.unset(self, direction);
        removed.inspect(|callback| lp.0.cancel(&**callback)).is_some()
    }
}

/// What may outlive the watch, such as a callback of it, clones the registration.
impl Deref for Watch {
    type Target = Rc<Registration>;
    fn deref(&self) -> &Rc<Registration> {
        &self.0
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(lp) = self.lp.upgrade().map(EventLoop) {
            let orphans = lp.0.reactor.borrow_mut().unwatch(self);
            lp.0.drop_orphans(orphans);
        }
    }
}

/// A socket in memory says what it is ready for, and the next poll reports it.
impl Registration {
    /// Gives the socket a negative number in place of a descriptor. It is not ready at first.
    pub(crate) fn in_memory(lp: &EventLoop) -> Rc<Self> {
        let number = lp.0.reactor.borrow_mut().memory.new_number();
        Rc::new(Self::new(lp, number, Owner::Memory))
    }

    /// Returns a watch of the socket. The one before must be dropped.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        Watch(self.clone())
    }

    /// Says what the socket is ready for now.
    pub(crate) fn set_ready(self: &Rc<Self>, ready: Ready) {
        if let Some(lp) = self.lp.upgrade().map(EventLoop) {
            lp.0.reactor.borrow_mut().memory.set_ready(self, ready);
        }
    }
}

impl Inner {
    /// Adds a callback to the reactor, and returns the callback that it replaces.
    pub(super) fn add_to_reactor(
        &self,
        mut add: impl FnMut(&mut Reactor) -> Result<Added>,
    ) -> Result<Option<Rc<dyn Callback>>> {
        loop {
            let added = add(&mut self.reactor.borrow_mut());
            match added? {
                Added::Registered(before) => return Ok(before),
                // A destructor that runs here may register the number again.
                Added::Stale(orphans) => self.drop_orphans(orphans),
            }
        }
    }

    /// Cancels callbacks that have lost their registration: queued calls of them are skipped.
    pub(super) fn drop_orphans(&self, orphans: impl IntoIterator<Item = FdCallbacks>) {
        for FdCallbacks { fd, callbacks } in orphans {
            for (callback, direction) in callbacks.into_iter().zip([Direction::Read, Direction::Write]) {
                let Some(callback) = callback else { continue };
                self.unregistered(fd, direction);
                self.cancel(&*callback);
            }
        }
    }

    /// Removes and returns a callback. A queued call of it stays.
    #[inline]
    pub(crate) fn unset(
        &self,
        registration: &Registration,
        direction: Direction,
    ) -> Option<Rc<dyn Callback>> {
        let removed = self.reactor.borrow_mut().set_callback(registration, direction, None)?;
        self.unregistered(registration.fd, direction);
        Some(removed)
    }
}
