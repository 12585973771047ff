//! What a connection puts into the ready queue: that its socket is ready, and that it is lost.
//!
//! Both promise that a loop which closes ends the connection, as the turn would have.

use super::Link;
use crate::error::Result;
use crate::event_loop::{EventLoop, Function};
use crate::trace::Direction;
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

/// The function of a connection's reader or writer.
pub(super) struct SocketReady {
    direction: Direction,
    /// `None` after it was cancelled.
    link: RefCell<Option<Rc<Link>>>,
}

impl SocketReady {
    pub(super) fn new(direction: Direction, link: Option<Rc<Link>>) -> Self {
        Self { direction, link: RefCell::new(link) }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.direction {
            Direction::Read => "read_ready",
            Direction::Write => "write_ready",
        }
    }
}

impl Function for SocketReady {
    fn call(&self, _: &EventLoop) -> Result<()> {
        let link = self.link.borrow().clone();
        match (link, self.direction) {
            (None, _) => Ok(()),
            (Some(link), Direction::Read) => link.read_ready(),
            (Some(link), Direction::Write) => link.write_ready(),
        }
    }

    fn discard(&self) {
        let link = self.link.take();
        if let Some(link) = link.filter(|link| link.event_loop().is_err()) {
            // The loop closes, and its connections with it.
            link.closing.set(true);
            link.connection_lost(Ok(()));
        }
    }
}
