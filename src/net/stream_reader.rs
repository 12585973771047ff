//! `StreamReader`: bytes that have come, and those who wait for more.
//!
//! It promises asyncio's answers, texts and turns: bytes that are fed in turn N wake the reader, which goes on in turn
//! N+1; a read that finds enough does not suspend. No byte is lost when a read is cancelled or dropped: bytes leave the
//! buffer in the very step that returns them. Its memory is bounded: when more than twice the limit is buffered, the
//! transport is told to stop, and to go on when the limit is reached again or somebody waits.
//!
//! It knows no socket. Who feeds it is the transport, or a test.

mod bytes;
mod separators;
mod state;

pub(super) use bytes::Bytes;
pub use separators::Separators;
pub(super) use state::Source;

use crate::error::{Error, Result};
use state::{Collected, State};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// The limit of a stream that was given none: 64 KiB.
pub(super) const DEFAULT_LIMIT: usize = 1 << 16;

/// The reading half of a connection (`asyncio.StreamReader`): chunks, lines, exact numbers of bytes. Cloning gives
/// another handle of the same stream.
///
/// Every read may be cancelled and dropped at any time: what it did not return is still there. One reads at a time; a
/// second one that would have to wait gets an error.
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
#[derive(Clone)]
pub struct StreamReader(Rc<State>);

impl StreamReader {
    /// One that nothing feeds but [`feed_data`](Self::feed_data), with the limit of 64 KiB (`asyncio.StreamReader()`). Needs
    /// no loop.
    ///
    /// # Errors
    /// None; a `Result` as for [`with_limit`](Self::with_limit).
    ///
    /// ```
    /// let reader = looplab::net::StreamReader::new()?;
    /// assert!(!reader.at_eof());
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// The same with another limit, in bytes: no line may be longer, and when more than twice as many are buffered, the
    /// transport is paused (`asyncio.StreamReader(limit=…)`).
    ///
    /// # Errors
    /// [`Error::Value`] for 0, with asyncio's text.
    ///
    /// ```
    /// let error = looplab::net::StreamReader::with_limit(0).unwrap_err();
    /// assert_eq!(error.to_string(), "Limit cannot be <= 0");
    /// ```
    pub fn with_limit(limit: usize) -> Result<Self> {
        if limit == 0 {
            return Err(Error::Value("Limit cannot be <= 0".into()));
        }
        Ok(Self(Rc::new(State::new(limit))))
    }

    pub(super) fn set_source(&self, source: Weak<dyn Source>) {
        *self.0.source.borrow_mut() = Some(source);
    }

    /// Reads up to `n` bytes: what is there, or, if nothing is, what comes next. Empty at the end of the stream
    /// (`StreamReader.read(n)`).
    ///
    /// Fails with the stream's [`exception`](Self::exception); with [`Error::Runtime`] if another read waits; with
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
    #[track_caller]
    pub fn read(&self, n: usize) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move { state.read(n, place).await }
    }

    /// Reads all there is until the end of the stream (`StreamReader.read()`, `read(-1)`). Fails as
    /// [`read`](Self::read) does. When it is cancelled or dropped, what it had read goes back into the stream.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"all of it")?;
    /// reader.feed_eof();
    /// assert_eq!(EventLoop::new()?.run_until_complete(reader.read_to_end())?, b"all of it");
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn read_to_end(&self) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move {
            state.check()?;
            let mut all = Collected::new(&state);
            loop {
                let block = state.read(state.limit, place).await?;
                if block.is_empty() {
                    return Ok(std::mem::take(&mut all.bytes));
                }
                all.bytes.extend(block);
            }
        }
    }

    /// Reads a line with its `\n`; at the end of the stream what is left, without one; then nothing
    /// (`StreamReader.readline`).
    ///
    /// Fails as [`read`](Self::read) does; and with [`Error::Value`] if the line is longer than the limit: it is
    /// dropped then, or, if its end has not come yet, everything that is buffered.
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
    #[track_caller]
    pub fn readline(&self) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move { state.readline(place).await }
    }

    /// The next [line](Self::readline); `None` at the end of the stream (`async for line in reader`).
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
        let (state, place) = (self.0.clone(), Location::caller());
        async move {
            let line = state.readline(place).await?;
            Ok(Some(line).filter(|line| !line.is_empty()))
        }
    }

    /// Reads exactly `n` bytes (`StreamReader.readexactly`).
    ///
    /// Fails with [`Error::IncompleteRead`] if the stream ends before, which takes what had come; else as
    /// [`read`](Self::read) does. Cancelled, it has taken nothing.
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
    #[track_caller]
    pub fn readexactly(&self, n: usize) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let (state, place) = (self.0.clone(), Location::caller());
        async move { state.readexactly(n, place).await }
    }

    /// Reads up to and with a separator, or whichever of several ends first (`StreamReader.readuntil`).
    ///
    /// Fails with [`Error::LimitOverrun`] if what stands before the separator is longer than the limit, and leaves it in
    /// the stream; with [`Error::IncompleteRead`] if the stream ends before, which takes what had come; with
    /// [`Error::Value`] for no separator or an empty one; else as [`read`](Self::read) does.
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
    #[track_caller]
    pub fn readuntil<S>(&self, separator: S) -> impl Future<Output = Result<Vec<u8>>> + use<S>
    where
        S: Into<Separators>,
    {
        let (state, place, separators) = (self.0.clone(), Location::caller(), separator.into());
        async move { state.readuntil(&separators, place).await }
    }

    /// Whether the stream has ended and all of it was read (`StreamReader.at_eof`). There is an example at
    /// [`feed_eof`](Self::feed_eof).
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.0.eof.get() && self.0.buffer.borrow().is_empty()
    }

    /// The error that the connection was lost with; every read fails with it, whatever is buffered
    /// (`StreamReader.exception`). There is an example at [`set_exception`](Self::set_exception).
    #[must_use]
    pub fn exception(&self) -> Option<Error> {
        self.0.error.borrow().clone()
    }

    /// Sets that error and wakes who waits (`StreamReader.set_exception`). The transport does it; a test may. May be called
    /// at any time on the loop's thread.
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
    pub fn set_exception(&self, error: Error) {
        let before = self.0.error.replace(Some(error.clone()));
        drop(before);
        self.0.wake(Err(error));
    }

    /// Adds bytes and wakes who waits (`StreamReader.feed_data`). The transport does it; a test may. May be called at any
    /// time on the loop's thread.
    ///
    /// # Errors
    /// [`Error::Runtime`] after [`feed_eof`](Self::feed_eof): `feed_data after feed_eof`. There is an example there.
    pub fn feed_data(&self, data: &[u8]) -> Result<()> {
        self.0.feed(data)
    }

    /// Ends the stream and wakes who waits (`StreamReader.feed_eof`). Idempotent. The transport does it; a test may. May be
    /// called at any time on the loop's thread.
    ///
    /// ```
    /// # use looplab::{EventLoop, net::StreamReader};
    /// let reader = StreamReader::new()?;
    /// reader.feed_data(b"the last")?;
    /// reader.feed_eof();
    /// assert_eq!(reader.feed_data(b"more").unwrap_err().to_string(), "feed_data after feed_eof");
    /// EventLoop::new()?.run_until_complete(async move {
    ///     assert!(!reader.at_eof());                             // there is something to be read
    ///     assert_eq!(reader.read(100).await?, b"the last");
    ///     assert!(reader.at_eof());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn feed_eof(&self) {
        self.0.eof.set(true);
        self.0.wake(Ok(()));
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = &*self.0;
        f.write_str("<StreamReader")?;
        let buffered = state.buffer.borrow().len();
        if buffered > 0 {
            write!(f, " {buffered} bytes")?;
        }
        if state.eof.get() {
            f.write_str(" eof")?;
        }
        if state.limit != DEFAULT_LIMIT {
            write!(f, " limit={}", state.limit)?;
        }
        if let Some(waiter) = &*state.waiter.borrow() {
            write!(f, " waiter={waiter:?}")?;
        }
        if let Some(error) = &*state.error.borrow() {
            write!(f, " exception={error:?}")?;
        }
        if state.paused.get() {
            f.write_str(" paused")?;
        }
        f.write_str(">")
    }
}
