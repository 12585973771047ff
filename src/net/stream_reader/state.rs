//! The state of a `StreamReader`, and asyncio's rules for reading from it.
//!
//! It promises that whoever gives up takes nothing along, and that no borrow is held while anybody is woken or the
//! transport is told. What each read means to a caller is told at [`StreamReader`](super::StreamReader).

use super::{Bytes, Separators};
use crate::error::{Error, Result};
use crate::event_loop::get_running_loop;
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::{Rc, Weak};

/// Where the bytes come from, as far as a full buffer must stop it.
pub(in crate::net) trait Source {
    fn pause_reading(&self);
    fn resume_reading(&self);
}

pub(super) struct State {
    pub(super) limit: usize,
    pub(super) buffer: RefCell<Bytes>,
    pub(super) eof: Cell<bool>,
    pub(super) error: RefCell<Option<Error>>,
    /// Who waits for more; at most one.
    pub(super) waiter: RefCell<Option<Waiter<()>>>,
    /// Weak: a connection keeps its reader, not the other way round.
    pub(super) source: RefCell<Option<Weak<dyn Source>>>,
    pub(super) paused: Cell<bool>,
    /// Counts how often bytes were taken or put back.
    changes: Cell<u64>,
}

/// What `read_to_end` has taken so far. It goes back where it came from unless it is returned.
pub(super) struct Collected {
    state: Rc<State>,
    pub(super) bytes: Vec<u8>,
}

impl Collected {
    pub(super) fn new(state: &Rc<State>) -> Self {
        Self { state: state.clone(), bytes: Vec::new() }
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.state.change().put_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// Who waits stands in the stream while this lives.
struct Waits<'a>(&'a State, &'a Waiter<()>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiter = self.0.waiter.borrow_mut();
        // Somebody else may wait by now: this one was woken, but has not gone on yet.
        let ours = waiter.as_ref() == Some(self.1);
        let taken = if ours { waiter.take() } else { None };
        drop(waiter);
        drop(taken);
    }
}

impl State {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            buffer: RefCell::default(),
            eof: Cell::new(false),
            error: RefCell::new(None),
            waiter: RefCell::new(None),
            source: RefCell::new(None),
            paused: Cell::new(false),
            changes: Cell::new(0),
        }
    }

    /// The buffer, to take from it.
    fn change(&self) -> RefMut<'_, Bytes> {
        self.changes.set(self.changes.get() + 1);
        self.buffer.borrow_mut()
    }

    pub(super) fn feed(&self, data: &[u8]) -> Result<()> {
        if self.eof.get() {
            return Err(Error::Runtime("feed_data after feed_eof".into()));
        }
        if data.is_empty() {
            return Ok(());
        }
        self.buffer.borrow_mut().extend(data);
        self.wake(Ok(()));
        let too_much = self.buffer.borrow().len() > self.limit.saturating_mul(2);
        if too_much
            && !self.paused.get()
            && let Some(source) = self.source()
        {
            self.paused.set(true);
            source.pause_reading();
        }
        Ok(())
    }

    fn source(&self) -> Option<Rc<dyn Source>> {
        self.source.borrow().as_ref().and_then(Weak::upgrade)
    }

    pub(super) fn check(&self) -> Result<()> {
        self.error.borrow().clone().map_or(Ok(()), Err)
    }

    pub(super) fn wake(&self, outcome: Result<()>) {
        let waiter = self.waiter.borrow_mut().take();
        if let Some(waiter) = waiter.filter(|waiter| !waiter.done()) {
            let told = match outcome {
                Ok(()) => waiter.set_result(()),
                Err(error) => waiter.set_error(error),
            };
            // A closed loop has nobody who could go on.
            drop(told);
        }
    }

    /// Waits until something is fed. A stream that was paused goes on: else a read of more than twice the limit would
    /// wait for ever.
    async fn wait(&self, who: &str, place: Place) -> Result<()> {
        if self.waiter.borrow().is_some() {
            let text = format!("{who}() called while another coroutine is already waiting for incoming data");
            return Err(Error::Runtime(text.into()));
        }
        // It may have come between the wake-up of this read and its next step. asyncio would wait for ever.
        self.check()?;
        self.go_on();
        let waiter = Waiter::of_kind(&get_running_loop()?, "stream.read", place);
        *self.waiter.borrow_mut() = Some(waiter.clone());
        let _waits = Waits(self, &waiter);
        (&waiter).await
    }

    fn go_on(&self) {
        if self.paused.replace(false)
            && let Some(source) = self.source()
        {
            source.resume_reading();
        }
    }

    fn maybe_go_on(&self) {
        if self.paused.get() && self.buffer.borrow().len() <= self.limit {
            self.go_on();
        }
    }

    fn take(&self, n: usize) -> Vec<u8> {
        let taken = self.change().take(n);
        self.maybe_go_on();
        taken
    }

    /// All that is left of a stream that has ended too early.
    fn incomplete(&self, expected: Option<usize>) -> Error {
        let partial = self.change().take(usize::MAX);
        Error::IncompleteRead { partial: partial.into(), expected }
    }

    pub(super) async fn read(&self, n: usize, place: Place) -> Result<Vec<u8>> {
        self.check()?;
        if n == 0 {
            return Ok(Vec::new());
        }
        // Again and again: another task may have taken what this one was woken for. asyncio would return nothing then,
        // which means the end of the stream.
        while self.buffer.borrow().is_empty() && !self.eof.get() {
            self.wait("read", place).await?;
        }
        Ok(self.take(n))
    }

    pub(super) async fn readexactly(&self, n: usize, place: Place) -> Result<Vec<u8>> {
        self.check()?;
        while self.buffer.borrow().len() < n {
            if self.eof.get() {
                return Err(self.incomplete(Some(n)));
            }
            self.wait("readexactly", place).await?;
        }
        Ok(if n == 0 { Vec::new() } else { self.take(n) })
    }

    pub(super) async fn readline(&self, place: Place) -> Result<Vec<u8>> {
        match self.readuntil(&Separators::NEWLINE, place).await {
            Err(Error::IncompleteRead { partial, expected: None }) => Ok(partial.to_vec()),
            Err(Error::LimitOverrun { message, consumed }) => {
                let mut buffer = self.change();
                match buffer.as_slice().get(consumed) {
                    Some(b'\n') => buffer.consume(consumed + 1),
                    _ => buffer.clear(),
                }
                drop(buffer);
                self.maybe_go_on();
                Err(Error::Value(message.into()))
            }
            other => other,
        }
    }

    pub(super) async fn readuntil(&self, separators: &Separators, place: Place) -> Result<Vec<u8>> {
        separators.check()?;
        self.check()?;
        // Before it there is no separator: what was searched once is not searched again.
        let (mut searched, mut changes) = (0, self.changes.get());
        let found = loop {
            let buffered = self.buffer.borrow().len();
            if self.changes.get() != changes {
                // Another task has taken some of it between the wake-up and this step.
                (searched, changes) = (0, self.changes.get());
            }
            if buffered - searched >= separators.shortest() {
                let found = separators.find(self.buffer.borrow().as_slice(), searched);
                if let Some(found) = found {
                    break found;
                }
                // The end may be the beginning of a separator.
                searched = (buffered + 1).saturating_sub(separators.longest());
                if searched > self.limit {
                    let message = "Separator is not found, and chunk exceed the limit";
                    return Err(Error::LimitOverrun { message, consumed: searched });
                }
            }
            // Only now: the last bytes of a stream may complete a separator.
            if self.eof.get() {
                return Err(self.incomplete(None));
            }
            self.wait("readuntil", place).await?;
        };
        if found.start > self.limit {
            let message = "Separator is found, but chunk is longer than limit";
            return Err(Error::LimitOverrun { message, consumed: found.start });
        }
        Ok(self.take(found.end))
    }
}
