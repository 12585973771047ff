//! `Peer`: one end of a connection in memory as the explorer sees it, which lets it misbehave.

use super::backlog::Network;
use super::wire::Wire;
use crate::event_loop::EventLoop;
use std::rc::Rc;

pub(crate) struct Peer {
    wire: Rc<Wire>,
    end: usize,
}

impl Peer {
    /// Lists the ends of a loop's connections, in the order in which they were made.
    pub(crate) fn all(lp: &EventLoop) -> Vec<Self> {
        let both = |wire: Rc<Wire>| [0, 1].map(|end| Self { wire: wire.clone(), end });
        Network::of(lp).wires().into_iter().flat_map(both).collect()
    }

    /// Returns the number of its socket, without the sign.
    pub(crate) fn number(&self) -> u64 {
        self.wire.number(self.end).unsigned_abs().into()
    }

    /// Returns the name of the listener that was connected to.
    pub(crate) fn listener(&self) -> String {
        self.wire.name(1).to_owned()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.wire.is_open(self.end)
    }

    /// Tells whether it is the end that connected, or the only open one.
    pub(crate) fn is_first(&self) -> bool {
        self.end == 0 || !self.wire.is_open(0)
    }

    /// Returns how many bytes it has sent.
    pub(crate) fn sent(&self) -> usize {
        self.wire.sent(self.end)
    }

    pub(crate) fn reset(&self) {
        self.wire.reset();
    }

    pub(crate) fn stall(&self) {
        self.wire.set_stalled(true);
    }

    pub(crate) fn half_close(&self) {
        self.wire.half_close(self.end);
    }

    pub(crate) fn cut_after(&self, bytes: usize) {
        self.wire.cut_after(self.end, bytes);
    }
}
