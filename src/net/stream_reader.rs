//! `StreamReader`: the received bytes, and the task that waits for more.
//!
//! It guarantees asyncio's results, texts and turns: bytes that are fed in turn N wake the reader, which continues in turn
//! N+1. A read that finds enough bytes does not suspend. A read that is cancelled or dropped loses no byte: bytes leave the
//! buffer in the step that returns them. Memory is bounded: above twice the limit the transport pauses. It resumes at the
//! limit, or when a read waits.
//!
//! It does not handle sockets: a transport or a test feeds it. No borrow is held while a waiter is woken or the transport is
//! paused or resumed.

use super::buffer::Buffer;
use super::separators::Separators;
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::sync::wait_queue::WaitQueue;
use crate::trace::Place;
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

/// The limit of a stream that was given none: 64 KiB.
pub(super) const DEFAULT_LIMIT: usize = 1 << 16;

/// What a reader asks of its transport.
pub(super) enum Flow {
    Pause,
    Resume,
}

/// The reading half of a connection (`asyncio.StreamReader`): chunks, lines, exact numbers of bytes. A clone is another
/// handle of the same stream.
///
/// Every read may be cancelled or dropped at any time. The bytes that it did not return stay in the stream. Only one read
/// may wait at a time; a second one fails.
///
/// ```
/// # use looplab::{EventLoop, net::StreamReader};
/// let reader = StreamReader::new()?;
/// reader.feed_data(b"one\ntwo")?;
/// reader.feed_eof();
/// EventLoop::new()?.run_until_complete(async move {
///     assert_eq!(reader.readline().await?, b"one\n");
///     assert_eq!(reader.readline().await?, b"two");
///     assert!(reader.at_eof());
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.StreamReader")]
#[derive(Clone)]
pub struct StreamReader(pub(super) Rc<StreamReaderInner>);

#[derive(Default)]
pub(super) struct StreamReaderInner {
    limit: usize,
    buffer: RefCell<Buffer>,
    eof: Cell<bool>,
    error: RefCell<Option<Error>>,
    /// Has at most one waiter.
    waiters: WaitQueue,
    /// Pauses and resumes the transport, which owns this reader.
    flow_control: OnceCell<Box<dyn Fn(Flow)>>,
    paused: Cell<bool>,
    /// Counts the changes at the front of the buffer.
    changes: Cell<u64>,
}

impl StreamReader {
    /// Creates a reader with the limit of 64 KiB, which only [`feed_data`](Self::feed_data) feeds
    /// (`asyncio.StreamReader()`). Needs no loop.
    ///
    /// # Errors
    /// Never; a `Result` as in [`with_limit`](Self::with_limit).
    ///
    /// ```
    /// let reader = looplab::net::StreamReader::new()?;
    /// assert!(!reader.at_eof());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("asyncio.StreamReader", "StreamReader"))]
    pub fn new() -> Result<Self> {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// Creates a reader with a limit in bytes (`asyncio.StreamReader(limit=…)`). No line may be longer, and the transport is
    /// paused while more than twice as many bytes are buffered.
    ///
    /// # Errors
    /// [`Error::Value`] for 0, with asyncio's text.
    ///
    /// ```
    /// let error = looplab::net::StreamReader::with_limit(0).unwrap_err();
    /// assert_eq!(error.to_string(), "Limit cannot be <= 0");
    /// ```
    #[doc(alias("asyncio.StreamReader", "StreamReader"))]
    pub fn with_limit(limit: usize) -> Result<Self> {
        if limit == 0 {
            return Err(Error::Value("Limit cannot be <= 0".into()));
        }
        Ok(Self(Rc::new(StreamReaderInner { limit, ..StreamReaderInner::default() })))
    }

    /// Sets what pauses and resumes the transport, unless it is set. A function, so that this file does not depend on the
    /// transport.
    pub(super) fn set_flow_control(&self, flow_control: impl Fn(Flow) + 'static) {
        self.0.flow_control.get_or_init(|| Box::new(flow_control));
    }

    // ---- reading ----

    /// Reads up to `n` bytes; waits while none are buffered (`StreamReader.read(n)`). Returns no bytes at the end of the
    /// stream.
    ///
    /// Fails with the stream's [`exception`](Self::exception), with [`Error::Runtime`] if another read waits, and with
    /// [`Error::Cancelled`] if the task is cancelled while it waits.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"abcdef")?;
    /// EventLoop::new()?.run_until_complete(async move {
    ///     assert_eq!(reader.read(4).await?, b"abcd");
    ///     assert_eq!(reader.read(4).await?, b"ef");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamReader.read")]
    #[track_caller]
    pub fn read(&self, n: usize) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        self.clone().read_at(n, Location::caller())
    }

    async fn read_at(self, n: usize, place: Place) -> Result<Vec<u8>> {
        self.check_exception()?;
        if n == 0 {
            return Ok(Vec::new());
        }
        // A loop, because another task may have taken the bytes that woke this one. asyncio would return no bytes, which
        // means the end of the stream.
        while self.0.buffer.borrow().is_empty() && !self.0.eof.get() {
            self.wait_for_data("read", place).await?;
        }
        Ok(self.take(n))
    }

    /// Reads until the end of the stream (`StreamReader.read()`, `read(-1)`). Fails as [`read`](Self::read) does. When it is
    /// cancelled or dropped, the bytes that it has read go back into the stream.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"all of it")?;
    /// reader.feed_eof();
    /// assert_eq!(EventLoop::new()?.run_until_complete(reader.read_to_end())?, b"all of it");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("StreamReader.read", "read"))]
    #[track_caller]
    pub fn read_to_end(&self) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        self.read_to_end_at(Location::caller())
    }

    pub(crate) fn read_to_end_at(&self, place: Place) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let reader = self.clone();
        async move {
            reader.check_exception()?;
            let bytes = RefCell::new(Vec::new());
            let failed = DropGuard::new(|| reader.buffer_mut().put_back(bytes.take()));
            loop {
                let block = reader.clone().read_at(reader.0.limit, place).await?;
                if block.is_empty() {
                    failed.disarm();
                    return Ok(bytes.into_inner());
                }
                bytes.borrow_mut().extend(block);
            }
        }
    }

    /// Reads a line including its `\n` (`StreamReader.readline`). At the end of the stream it returns the rest without one,
    /// and then no bytes.
    ///
    /// Fails as [`read`](Self::read) does, and with [`Error::Value`] if the line is longer than the limit. The line is
    /// dropped then; if its end is not buffered yet, all buffered bytes are.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::with_limit(4)?;
    /// reader.feed_data(b"much too long\nfine\n")?;
    /// EventLoop::new()?.run_until_complete(async move {
    ///     let error = reader.readline().await.unwrap_err();
    ///     assert_eq!(error.to_string(), "Separator is found, but chunk is longer than limit");
    ///     assert_eq!(reader.readline().await?, b"fine\n");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamReader.readline")]
    #[track_caller]
    pub fn readline(&self) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        self.clone().readline_at(Location::caller())
    }

    async fn readline_at(self, place: Place) -> Result<Vec<u8>> {
        match self.clone().readuntil_at(Separators::NEWLINE, place).await {
            Err(Error::IncompleteRead { partial, expected: None }) => Ok(partial.to_vec()),
            Err(Error::LimitOverrun { message, consumed }) => {
                let ends_here = self.0.buffer.borrow().as_slice().get(consumed) == Some(&b'\n');
                self.take(if ends_here { consumed + 1 } else { usize::MAX });
                Err(Error::Value(message.into()))
            }
            other => other,
        }
    }

    /// Reads the next [line](Self::readline). Returns `None` at the end of the stream (`async for line in reader`).
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"1\n2\n3")?;
    /// reader.feed_eof();
    /// EventLoop::new()?.run_until_complete(async move {
    ///     let mut lines = 0;
    ///     while let Some(_line) = reader.next_line().await? {
    ///         lines += 1;
    ///     }
    ///     assert_eq!(lines, 3);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn next_line(&self) -> impl Future<Output = Result<Option<Vec<u8>>>> + use<> {
        let (reader, place) = (self.clone(), Location::caller());
        async move { Ok(Some(reader.readline_at(place).await?).filter(|line| !line.is_empty())) }
    }

    /// Reads exactly `n` bytes (`StreamReader.readexactly`).
    ///
    /// Fails with [`Error::IncompleteRead`], which takes the rest, if the stream ends before. Otherwise it fails as
    /// [`read`](Self::read) does. A cancelled read has taken nothing.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"abc")?;
    /// reader.feed_eof();
    /// let error = EventLoop::new()?.run_until_complete(reader.readexactly(5)).unwrap_err();
    /// assert_eq!(error.to_string(), "3 bytes read on a total of 5 expected bytes");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamReader.readexactly")]
    #[track_caller]
    pub fn readexactly(&self, n: usize) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let (reader, place) = (self.clone(), Location::caller());
        async move {
            reader.check_exception()?;
            while reader.0.buffer.borrow().len() < n {
                if reader.0.eof.get() {
                    return Err(reader.incomplete(Some(n)));
                }
                reader.wait_for_data("readexactly", place).await?;
            }
            Ok(if n == 0 { Vec::new() } else { reader.take(n) })
        }
    }

    /// Reads up to and including a separator, or the one of several that ends first (`StreamReader.readuntil`).
    ///
    /// Fails with [`Error::LimitOverrun`] if more bytes than the limit come before the separator; they stay in the stream.
    /// Fails with [`Error::IncompleteRead`], which takes the rest, if the stream ends before. Fails with [`Error::Value`] for
    /// no separator or an empty one, and otherwise as [`read`](Self::read) does.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"Host: me\r\nkey=value; ")?;
    /// EventLoop::new()?.run_until_complete(async move {
    ///     assert_eq!(reader.readuntil("\r\n").await?, b"Host: me\r\n");
    ///     assert_eq!(reader.readuntil(["=", "; "]).await?, b"key=");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamReader.readuntil")]
    #[track_caller]
    pub fn readuntil<S>(&self, separator: S) -> impl Future<Output = Result<Vec<u8>>> + use<S>
    where
        S: Into<Separators>,
    {
        self.clone().readuntil_at(separator.into(), Location::caller())
    }

    async fn readuntil_at(self, separators: Separators, place: Place) -> Result<Vec<u8>> {
        separators.check()?;
        self.check_exception()?;
        // No separator begins before `searched`, so no byte is searched twice.
        let (mut searched, mut changes) = (0, self.0.changes.get());
        let found = loop {
            let buffered = self.0.buffer.borrow().len();
            if self.0.changes.get() != changes {
                // Another task has taken bytes between the wake-up and this step.
                (searched, changes) = (0, self.0.changes.get());
            }
            if buffered - searched >= separators.shortest() {
                let found = separators.find(self.0.buffer.borrow().as_slice(), searched);
                if let Some(found) = found {
                    break found;
                }
                // The last bytes may be the beginning of a separator.
                searched = (buffered + 1).saturating_sub(separators.longest());
                if searched > self.0.limit {
                    let message = "Separator is not found, and chunk exceed the limit";
                    return Err(Error::LimitOverrun { message, consumed: searched });
                }
            }
            // Not earlier: the last bytes of a stream may complete a separator.
            if self.0.eof.get() {
                return Err(self.incomplete(None));
            }
            self.wait_for_data("readuntil", place).await?;
        };
        if found.start > self.0.limit {
            let message = "Separator is found, but chunk is longer than limit";
            return Err(Error::LimitOverrun { message, consumed: found.start });
        }
        Ok(self.take(found.end))
    }

    /// Waits until the stream is fed (asyncio's `_wait_for_data`). It resumes a paused transport: a read of more than twice
    /// the limit would wait forever.
    async fn wait_for_data(&self, method: &str, place: Place) -> Result<()> {
        if self.0.waiters.len() > 0 {
            let text =
                format!("{method}() called while another coroutine is already waiting for incoming data");
            return Err(Error::Runtime(text.into()));
        }
        // It may have been set between the wake-up of this read and this step. asyncio would wait forever.
        self.check_exception()?;
        self.resume_transport();
        self.0.waiters.wait("stream.read", place).await
    }

    fn check_exception(&self) -> Result<()> {
        self.exception().map_or(Ok(()), Err)
    }

    /// Borrows the buffer for a change at its front.
    fn buffer_mut(&self) -> RefMut<'_, Buffer> {
        self.0.changes.set(self.0.changes.get() + 1);
        self.0.buffer.borrow_mut()
    }

    fn take(&self, n: usize) -> Vec<u8> {
        let taken = self.buffer_mut().take(n);
        self.maybe_resume_transport();
        taken
    }

    /// Takes the rest of a stream that has ended too early.
    fn incomplete(&self, expected: Option<usize>) -> Error {
        let partial = self.buffer_mut().take(usize::MAX);
        Error::IncompleteRead { partial: partial.into(), expected }
    }

    fn maybe_resume_transport(&self) {
        if self.0.paused.get() && self.0.buffer.borrow().len() <= self.0.limit {
            self.resume_transport();
        }
    }

    fn resume_transport(&self) {
        if self.0.paused.replace(false)
            && let Some(flow_control) = self.0.flow_control.get()
        {
            flow_control(Flow::Resume);
        }
    }

    /// Returns whether the stream has ended and all of it was read (`StreamReader.at_eof`). There is an example at
    /// [`feed_eof`](Self::feed_eof).
    #[doc(alias = "StreamReader.at_eof")]
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.0.eof.get() && self.0.buffer.borrow().is_empty()
    }

    /// Returns the error that the connection was lost with (`StreamReader.exception`). Every read fails with it, even if
    /// bytes are buffered. There is an example at [`set_exception`](Self::set_exception).
    #[doc(alias = "StreamReader.exception")]
    #[must_use]
    pub fn exception(&self) -> Option<Error> {
        self.0.error.borrow().clone()
    }

    // ---- feeding ----

    /// Sets the exception and wakes the waiting read (`StreamReader.set_exception`). The transport calls it, and tests may.
    /// It may be called at any time on the loop's thread.
    ///
    /// ```
    /// # use looplab::{Error, EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// assert!(reader.exception().is_none());
    /// reader.set_exception(Error::msg("the line is cut"));
    /// assert!(reader.exception().is_some());
    /// let error = EventLoop::new()?.run_until_complete(reader.read(1)).unwrap_err();
    /// assert_eq!(error.to_string(), "the line is cut");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamReader.set_exception")]
    pub fn set_exception(&self, error: Error) {
        let old = self.0.error.replace(Some(error.clone()));
        drop(old);
        self.0.waiters.wake_all(&Err(error));
    }

    /// Adds bytes and wakes the waiting read (`StreamReader.feed_data`). The transport calls it, and tests may. It may be
    /// called at any time on the loop's thread.
    ///
    /// # Errors
    /// [`Error::Runtime`] after [`feed_eof`](Self::feed_eof), with the text `feed_data after feed_eof`. There is an example
    /// there.
    #[doc(alias = "StreamReader.feed_data")]
    pub fn feed_data(&self, data: &[u8]) -> Result<()> {
        if self.0.eof.get() {
            return Err(Error::Runtime("feed_data after feed_eof".into()));
        }
        if data.is_empty() {
            return Ok(());
        }
        self.0.buffer.borrow_mut().extend(data);
        self.0.waiters.wake_all(&Ok(()));
        let is_full = self.0.buffer.borrow().len() > self.0.limit.saturating_mul(2);
        if is_full
            && !self.0.paused.get()
            && let Some(flow_control) = self.0.flow_control.get()
        {
            self.0.paused.set(true);
            flow_control(Flow::Pause);
        }
        Ok(())
    }

    /// Ends the stream and wakes the waiting read (`StreamReader.feed_eof`). Idempotent. The transport calls it, and tests
    /// may. It may be called at any time on the loop's thread.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"the last")?;
    /// reader.feed_eof();
    /// assert_eq!(reader.feed_data(b"more").unwrap_err().to_string(), "feed_data after feed_eof");
    /// EventLoop::new()?.run_until_complete(async move {
    ///     assert!(!reader.at_eof());                             // there are bytes to be read
    ///     assert_eq!(reader.read(100).await?, b"the last");
    ///     assert!(reader.at_eof());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias = "StreamReader.feed_eof")]
    pub fn feed_eof(&self) {
        self.0.eof.set(true);
        self.0.waiters.wake_all(&Ok(()));
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str("<StreamReader")?;
        let buffered = inner.buffer.borrow().len();
        if buffered > 0 {
            write!(f, " {buffered} bytes")?;
        }
        if inner.eof.get() {
            f.write_str(" eof")?;
        }
        if inner.limit != DEFAULT_LIMIT {
            write!(f, " limit={}", inner.limit)?;
        }
        if let Some(waiter) = inner.waiters.first() {
            write!(f, " waiter={waiter:?}")?;
        }
        if let Some(error) = &*inner.error.borrow() {
            write!(f, " exception={error:?}")?;
        }
        if inner.paused.get() {
            f.write_str(" paused")?;
        }
        f.write_str(">")
    }
}
