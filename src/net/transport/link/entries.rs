//! What a connection puts into the ready queue: that its socket is ready, and that it is lost.
//!
//! Both promise that a loop which closes ends the connection, as the turn would have.

use super::Link;
use crate::error::Result;
use crate::event_loop::{About, Entry, EventLoop};
use crate::trace::{Direction, EntryKind, Place};
use std::cell::RefCell;
use std::rc::Rc;

/// The callback that ends a connection; also when a loop that closes drops it.
pub(super) struct Loss {
    pub(super) link: Rc<Link>,
    pub(super) end: Option<Result<()>>,
}

impl Drop for Loss {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            self.link.connection_lost(end);
        }
    }
}

/// The entry that stands in the ready queue when the socket is ready.
pub(super) struct Readiness {
    pub(super) id: u64,
    pub(super) direction: Direction,
    pub(super) place: Place,
    /// Gone when it was cancelled.
    pub(super) link: RefCell<Option<Rc<Link>>>,
}

impl Entry for Readiness {
    fn id(&self) -> u64 {
        self.id
    }

    fn is_cancelled(&self) -> bool {
        self.link.borrow().is_none()
    }

    fn cancel(&self) -> bool {
        let link = self.link.take();
        let first = link.is_some();
        if let Some(link) = link.filter(|link| link.event_loop().is_err()) {
            // The loop closes, and its connections with it.
            link.closing.set(true);
            link.connection_lost(Ok(()));
        }
        first
    }

    fn run(self: Rc<Self>, _: &EventLoop) -> Result<()> {
        let link = self.link.borrow().clone();
        match (link, self.direction) {
            (None, _) => Ok(()),
            (Some(link), Direction::Read) => link.read_ready(),
            (Some(link), Direction::Write) => link.write_ready(),
        }
    }

    fn about(&self) -> About {
        let label = match self.direction {
            Direction::Read => "read_ready",
            Direction::Write => "write_ready",
        };
        About { kind: EntryKind::Io, label: label.to_owned(), task: None, place: Some(self.place) }
    }
}
