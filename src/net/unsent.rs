//! `Unsent`: the bytes that are written and not sent yet, and the tasks that wait until few are left. It is the flow
//! control of asyncio's transports and the wait of `drain`.
//!
//! It guarantees that `drain` waits once more bytes than the high watermark are buffered, until at most the low one are. It
//! does not handle sockets: the transport sends.

use super::buffer::Buffer;
use crate::error::{Error, Result};
use crate::sync::wait_queue::WaitQueue;
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::io;

const HIGH_WATER: usize = 64 * 1024;

pub(super) struct Unsent {
    bytes: RefCell<Buffer>,
    /// The low and the high watermark.
    pub(super) limits: Cell<(usize, usize)>,
    /// More bytes than the high watermark were buffered, and not few enough since: `drain` waits.
    above_high: Cell<bool>,
    drainers: WaitQueue,
}

impl Unsent {
    pub(super) fn new() -> Self {
        let (bytes, above_high, drainers) = Default::default();
        Self { bytes, limits: Cell::new((HIGH_WATER / 4, HIGH_WATER)), above_high, drainers }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn extend(&self, more: &[u8]) {
        self.bytes.borrow_mut().extend(more);
    }

    pub(super) fn clear(&self) {
        self.bytes.borrow_mut().clear();
    }

    /// Removes as many bytes as `send` has sent, and wakes the waiting tasks if few are left.
    pub(super) fn send(&self, send: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        let sent = send(self.bytes.borrow().as_slice())?;
        self.bytes.borrow_mut().consume(sent);
        if self.above_high.get() && self.len() <= self.limits.get().0 {
            self.above_high.set(false);
            self.drainers.wake_all(&Ok(()));
        }
        Ok(())
    }

    pub(super) fn set_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        let high = high.unwrap_or_else(|| low.map_or(HIGH_WATER, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        if high < low {
            let text = format!("high ({high}) must be >= low ({low}) must be >= 0");
            return Err(Error::Value(text.into()));
        }
        self.limits.set((low, high));
        self.compare_with_high();
        Ok(())
    }

    /// Lets `drain` wait from now on if too many bytes are buffered.
    pub(super) fn compare_with_high(&self) {
        if self.len() > self.limits.get().1 {
            self.above_high.set(true);
        }
    }

    pub(super) async fn drain(&self, place: Place) -> Result<()> {
        if self.above_high.get() { self.drainers.wait("stream.drain", place).await } else { Ok(()) }
    }

    /// Wakes the waiting tasks, because the connection is gone.
    pub(super) fn end(&self, end: &Result<()>) {
        self.drainers.wake_all(end);
    }
}
