//! Readers and writers: the descriptors that the user registers with the reactor.
//!
//! Readiness only ever queues a callback, adding again replaces, a callback may remove itself, and a callback that was
//! removed before its turn does not run. How descriptors are watched is the reactor's matter.

use super::callback::Callback;
use super::reactor::{Added, Reactor};
use super::registration::{Orphan, Owner, Registration};
use super::{EventLoop, Inner};
use crate::error::Result;
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::trace::{Direction, EntryKind};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::Location;
use std::rc::Rc;

impl EventLoop {
    /// Calls `callback` in every turn in which the descriptor is ready to be read, or has hung up
    /// or failed (`loop.add_reader`). It is level-triggered: what is not read is reported again. A
    /// reader that was there is replaced. May be called while the loop runs.
    ///
    /// The loop does not own the descriptor. Remove the reader before closing it. A reader whose
    /// descriptor was closed is not called any more. While a duplicate of the descriptor exists, it
    /// may be called once, even if the number names another file by then.
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
    /// None today. The result is one for the sake of signal handlers, whose removal can fail.
    pub fn remove_reader(&self, source: &impl AsRawFd) -> Result<bool> {
        Ok(self.unregister(source.as_raw_fd(), Direction::Read))
    }

    /// Calls `callback` in every turn in which the descriptor is ready to be written
    /// (`loop.add_writer`).
    ///
    /// # Errors
    /// As [`add_reader`](Self::add_reader).
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
    pub fn remove_writer(&self, source: &impl AsRawFd) -> Result<bool> {
        Ok(self.unregister(source.as_raw_fd(), Direction::Write))
    }

    fn register<R: Outcome>(
        &self,
        fd: RawFd,
        direction: Direction,
        place: crate::trace::Place,
        callback: impl FnMut() -> R + 'static,
    ) -> Result<()> {
        let callback = Guarded::new(callback);
        self.0.check_open()?;
        let callback: Rc<dyn Callback> = self.repeated(EntryKind::Io, place, callback.into_inner());
        let before = self.0.add_to_reactor(|reactor| {
            reactor.add(Registration::new(self, fd, Owner::User), direction, &callback)
        })?;
        self.0.registered(fd, direction, &*callback);
        if let Some(before) = before {
            self.0.cancel(&*before);
        }
        Ok(())
    }

    fn unregister(&self, fd: RawFd, direction: Direction) -> bool {
        let removed = self.0.reactor.borrow_mut().remove(fd, direction);
        let Some(callback) = removed else { return false };
        self.0.drop_orphans(vec![Orphan { fd, direction, callback }]);
        true
    }
}

impl Inner {
    /// Adds a callback to the reactor, and returns the callback that it replaces.
    pub(super) fn add_to_reactor(
        &self,
        mut add: impl FnMut(&mut Reactor) -> Added,
    ) -> Result<Option<Rc<dyn Callback>>> {
        loop {
            let added = add(&mut self.reactor.borrow_mut());
            match added {
                Added::Registered(before) => return Ok(before),
                Added::Refused(error) => return Err(error),
                // A destructor that runs here may register the number again.
                Added::Stale(orphans) => self.drop_orphans(orphans),
            }
        }
    }

    /// Cancels callbacks that have lost their registration: queued calls of them are skipped.
    pub(super) fn drop_orphans(&self, orphans: Vec<Orphan>) {
        for Orphan { fd, direction, callback } in orphans {
            self.unregistered(fd, direction);
            self.cancel(&*callback);
        }
    }
}
