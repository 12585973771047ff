//! Pipes as streams: `connect_read_pipe`, `connect_write_pipe`, and standard input.
//!
//! They guarantee the turns of asyncio's `_UnixReadPipeTransport` and `_UnixWritePipeTransport`. Bytes that are ready in turn N
//! are fed to the reader in turn N, the end in turn N + 1. A child's output is delivered one turn later, as asyncio's
//! `_call` does.
//!
//! The reading end is here. The writing end is a [`Transport`], whose socket never reads: it is ready to be read when the
//! other end is closed. They do not handle regular files, which are always ready.
//!
//! A write to a closed pipe raises SIGPIPE if the program has reset that signal, which Rust's runtime ignores.

use super::buffer::with_read_buffer;
use super::establish::{establish, queue_callbacks};
use super::socket::{Connection, Socket};
use super::stream_reader::{DEFAULT_LIMIT, Flow, StreamReader, StreamReaderInner};
use super::stream_writer::StreamWriter;
use super::transport::{ClientGuard, Transport};
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, Inner, get_running_loop, report};
use crate::trace::{Direction, Place};
use mio::unix::pipe::Receiver;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// Makes a reader of the reading end of a pipe, of a terminal or of a socket (`loop.connect_read_pipe`).
///
/// The descriptor becomes non-blocking, for every process and every duplicate that shares it. Dropping the reader closes it.
///
/// Fails with [`Error::Value`] for a regular file, with asyncio's text, and with [`Error::Cancelled`].
///
/// ```
/// use looplab::{EventLoop, net::{connect_read_pipe, connect_write_pipe}};
/// let (reader, writer) = std::io::pipe()?;
/// EventLoop::new()?.run_until_complete(async move {
///     let (reader, writer) = (connect_read_pipe(reader).await?, connect_write_pipe(writer).await?);
///     writer.write("through the pipe\n")?;
///     writer.close();
///     assert_eq!(reader.read_to_end().await?, b"through the pipe\n");
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "loop.connect_read_pipe")]
#[track_caller]
pub fn connect_read_pipe(pipe: impl Into<OwnedFd>) -> impl Future<Output = Result<StreamReader>> {
    read_pipe(pipe.into(), Location::caller())
}

async fn read_pipe(pipe: OwnedFd, place: Place) -> Result<StreamReader> {
    let reader = StreamReader::with_limit(DEFAULT_LIMIT)?;
    ReadPipe::connect(&reader, pipe, FeedTime::AtOnce, None, place).await?;
    Ok(reader)
}

/// Makes a writer of the writing end of a pipe, of a terminal or of a socket (`loop.connect_write_pipe`).
///
/// The descriptor becomes non-blocking, for every process and every duplicate that shares it. Dropping the writer closes it
/// once all is written, and so does [`write_eof`](StreamWriter::write_eof). When the other end is closed, the writer closes.
///
/// Fails with [`Error::Value`] for a regular file, with asyncio's text, and with [`Error::Cancelled`]. There is an example at
/// [`connect_read_pipe`].
#[doc(alias = "loop.connect_write_pipe")]
#[track_caller]
pub fn connect_write_pipe(pipe: impl Into<OwnedFd>) -> impl Future<Output = Result<StreamWriter>> {
    write_pipe(pipe.into(), None, Location::caller())
}

/// Makes a reader of standard input: a terminal or a pipe (`loop.connect_read_pipe(…, sys.stdin)`).
///
/// The descriptor becomes non-blocking, and so does a terminal's output, which shares it. A program that also prints much
/// should read in a thread instead: `to_thread(|| std::io::stdin().read_line(…))`.
///
/// Fails as [`connect_read_pipe`] does, so for a standard input that is a file.
///
/// ```no_run
/// use looplab::{Result, net};
/// async fn echo() -> Result<()> {
///     let stdin = net::stdin().await?;
///     while let Some(line) = stdin.next_line().await? {
///         println!("you wrote {}", String::from_utf8_lossy(&line).trim_end());
///     }
///     Ok(())
/// }
/// looplab::run(echo())?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "sys.stdin")]
#[track_caller]
pub fn stdin() -> impl Future<Output = Result<StreamReader>> {
    let place = Location::caller();
    async move { read_pipe(io::stdin().as_fd().try_clone_to_owned()?, place).await }
}

/// Makes a writer of a descriptor. `lost` is dropped once it is closed.
pub(crate) async fn write_pipe(
    pipe: OwnedFd,
    lost: Option<ClientGuard>,
    place: Place,
) -> Result<StreamWriter> {
    let pipe = non_blocking(pipe, "Pipe transport is only for pipes, sockets and character devices")?;
    // What nothing feeds: a pipe has one direction.
    let unused = StreamReader::with_limit(DEFAULT_LIMIT)?;
    let transport = Transport::new(&get_running_loop()?, Socket::Pipe(pipe), None, unused, place)?;
    if let Some(lost) = lost {
        transport.set_client_guard(lost);
    }
    let writer = StreamWriter::new(transport);
    establish(&writer.transport(), || (), place).await?;
    Ok(writer)
}

/// Makes a descriptor non-blocking that can be waited for.
fn non_blocking(pipe: OwnedFd, refused: &'static str) -> Result<File> {
    let file = File::from(pipe);
    let kind = file.metadata()?.file_type();
    if !(kind.is_fifo() || kind.is_socket() || kind.is_char_device()) {
        return Err(Error::Value(refused.into()));
    }
    // The standard library has no such call for a file. mio's works on any descriptor.
    let pipe = Receiver::from(OwnedFd::from(file));
    pipe.set_nonblocking(true)?;
    Ok(OwnedFd::from(pipe).into())
}

/// When the reader gets what was read.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "process"), allow(dead_code, reason = "only a child's output comes a turn later"))]
pub(crate) enum FeedTime {
    /// In the turn that reads.
    AtOnce,
    /// One turn later, as all calls of a child's transport in asyncio.
    InTheNextTurn,
}

/// The reading end of a pipe. Its reader owns it, so that dropping the reader closes the pipe.
pub(crate) struct ReadPipe {
    lp: Weak<Inner>,
    place: Place,
    reader: Weak<StreamReaderInner>,
    feed_time: FeedTime,
    state: Cell<State>,
    /// `None` once the pipe is closed.
    open: RefCell<Option<Rc<Connection>>>,
    lost: Cell<Option<ClientGuard>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reading,
    Paused,
    Ended,
}

impl ReadPipe {
    /// Begins to read in three callbacks of the next turn, as [`establish`]. `lost` is dropped once the pipe is
    /// closed.
    pub(crate) async fn connect(
        reader: &StreamReader,
        pipe: OwnedFd,
        feed_time: FeedTime,
        lost: Option<ClientGuard>,
        place: Place,
    ) -> Result<()> {
        let file = non_blocking(pipe, "Pipe transport is for pipes/sockets only.")?;
        let waiter = {
            let lp = get_running_loop()?;
            let open = Connection::new(&lp, Socket::Pipe(file))?;
            let pipe = Rc::new(Self {
                lp: Rc::downgrade(&lp.0),
                place,
                reader: Rc::downgrade(&reader.0),
                feed_time,
                state: Cell::new(State::Reading),
                open: RefCell::new(Some(Rc::new(open))),
                lost: Cell::new(lost),
            });
            let open = pipe.clone();
            reader.set_flow_control(move |flow| open.control_flow(flow));
            queue_callbacks(&lp, || (), move || pipe.begin_reading(), place)?
        };
        waiter.await
    }

    fn begin_reading(self: &Rc<Self>) -> Result<()> {
        let Some(open) = self.open() else { return Ok(()) };
        if self.state.get() != State::Reading {
            return Ok(());
        }
        let weak = Rc::downgrade(self);
        let ready = move || weak.upgrade().map_or(Ok(()), |pipe| pipe.read_ready());
        open.watch.call(Direction::Read, self.place, "read_ready", ready)
    }

    /// Reads once for one event. The next poll reports the bytes that are left.
    fn read_ready(self: &Rc<Self>) -> Result<()> {
        let Some(open) = self.open() else { return Ok(()) };
        with_read_buffer(|buffer| match open.recv(buffer) {
            Ok(None) => Ok(()),
            Ok(Some(0)) => {
                self.stop_reading();
                if let FeedTime::AtOnce = self.feed_time {
                    let reader = self.reader();
                    self.queue("eof_received", move || reader.iter().for_each(StreamReader::feed_eof))?;
                }
                self.lose(None)
            }
            Ok(Some(n)) => self.received(&buffer[..n]),
            Err(error) => self.failed(error),
        })
    }

    fn received(&self, data: &[u8]) -> Result<()> {
        let Some(reader) = self.reader() else { return Ok(()) };
        match self.feed_time {
            FeedTime::AtOnce => reader.feed_data(data),
            FeedTime::InTheNextTurn => {
                let data = data.to_vec();
                self.queue("pipe_data_received", move || reader.feed_data(&data))
            }
        }
    }

    fn failed(self: &Rc<Self>, error: io::Error) -> Result<()> {
        // A terminal's other end is gone: no fault of the program.
        let is_hang_up = error.raw_os_error() == Some(5);
        let error = Error::from(error);
        if !is_hang_up {
            let text = "Fatal read error on pipe transport";
            report(self.event_loop(), ExceptionContext::new(text).with_error(error.clone()));
        }
        self.stop_reading();
        self.lose(Some(error))
    }

    fn stop_reading(&self) {
        self.state.set(State::Ended);
        self.unwatch();
    }

    /// Stops reading, or reads again.
    fn control_flow(self: &Rc<Self>, flow: Flow) {
        match (flow, self.state.get()) {
            (Flow::Pause, State::Reading) => {
                self.state.set(State::Paused);
                self.unwatch();
            }
            (Flow::Resume, State::Paused) => {
                self.state.set(State::Reading);
                // This fails on a closed loop, which reads nothing.
                let _ = self.begin_reading();
            }
            _ => {}
        }
    }

    fn reader(&self) -> Option<StreamReader> {
        self.reader.upgrade().map(StreamReader)
    }

    fn open(&self) -> Option<Rc<Connection>> {
        self.open.borrow().clone()
    }

    fn unwatch(&self) {
        if let Some(open) = self.open() {
            open.watch.unset(Direction::Read);
        }
    }

    /// Closes the pipe in the next turn, and tells the reader then, or one turn later.
    fn lose(self: &Rc<Self>, error: Option<Error>) -> Result<()> {
        let pipe = self.clone();
        self.queue("call_connection_lost", move || {
            drop(pipe.open.take());
            let reader = pipe.reader();
            let end = move || {
                let Some(reader) = &reader else { return };
                match error {
                    None => reader.feed_eof(),
                    Some(error) => reader.set_exception(error),
                }
            };
            let ended = match pipe.feed_time {
                FeedTime::AtOnce => {
                    end();
                    Ok(())
                }
                FeedTime::InTheNextTurn => pipe.queue("pipe_connection_lost", end),
            };
            drop(pipe.lost.take());
            ended
        })
    }

    fn event_loop(&self) -> Option<EventLoop> {
        self.lp.upgrade().map(EventLoop)
    }

    fn queue<R: crate::Outcome>(
        &self,
        name: &'static str,
        callback: impl FnOnce() -> R + 'static,
    ) -> Result<()> {
        let lp = self.event_loop().ok_or(Error::Closed)?;
        lp.queue_named(self.place, name, callback).map(|_| ())
    }
}
