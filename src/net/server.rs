//! `Server`: listening sockets and the connections that came through them.
//!
//! It promises asyncio's rules: `close` stops listening and leaves the connections alone, `wait_closed` waits until the
//! last of them is gone, `close_clients` and `abort_clients` end them. A cancelled `serve_forever` does all three. One turn
//! accepts all connections that wait, at most one more than the backlog. When the system has no descriptor left, that is
//! reported once and tried again a second later, and the connections wait in the kernel. An accepted connection is served,
//! even if the server is closed in the same turn. A loop that closes ends its servers.

mod accept;
mod listening;

pub(super) use accept::Connected;
pub use listening::ServerSocket;
pub(super) use listening::{Listener, Listening};

use super::transport::Link;
use crate::error::{Error, Result};
use crate::event_loop::{Dependant, Dependence, EventLoop, Inner, get_running_loop};
use crate::panics::drop_quietly;
use crate::sync::wait_queue::WaitQueue;
use crate::task::{Future as Waiter, yield_now};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// What [`start_server`](super::start_server) and [`start_unix_server`](super::start_unix_server) give: sockets that
/// accept connections (`asyncio.Server`). Cloning gives another handle of the same server.
///
/// A server that serves goes on when its handles are dropped, as in asyncio: it ends by [`close`](Self::close), by
/// cancelling [`serve_forever`](Self::serve_forever), or with its loop.
///
/// ```
/// use looplab::{EventLoop, net::{open_connection, start_server}};
/// EventLoop::new()?.run_until_complete(async {
///     let server = start_server(async |_, writer: looplab::net::StreamWriter| {
///         writer.write(b"welcome\n")?;
///         writer.close();
///         Ok(())
///     }, "127.0.0.1", 0).await?;
///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
///     assert_eq!(reader.readline().await?, b"welcome\n");
///     server.close();
///     server.wait_closed().await
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct Server(Rc<Shared>);

pub(super) struct Shared {
    lp: Weak<Inner>,
    place: Place,
    limit: usize,
    backlog: usize,
    /// `None` once no connection can come any more: the handler may own this server.
    connected: RefCell<Option<Connected>>,
    /// `None` once it is closed.
    sockets: RefCell<Option<Vec<Rc<Listening>>>>,
    serving: Cell<bool>,
    /// The connections, by number, in the order in which they came. Weak: the loop and the handlers keep them.
    clients: RefCell<BTreeMap<u64, Weak<Link>>>,
    last_client: Cell<u64>,
    /// Closed, and the last connection is gone.
    over: Cell<bool>,
    closers: WaitQueue,
    forever: RefCell<Option<Waiter<()>>>,
    /// Ends it with its loop, until it is closed.
    dependence: RefCell<Option<Dependence>>,
}

impl Server {
    pub(super) fn new(
        lp: &EventLoop,
        sockets: Vec<Listening>,
        connected: Connected,
        (limit, backlog): (usize, usize),
        place: Place,
    ) -> Self {
        let shared = Rc::new(Shared {
            lp: lp.downgrade(),
            place,
            limit,
            backlog,
            connected: RefCell::new(Some(connected)),
            sockets: RefCell::new(Some(sockets.into_iter().map(Rc::new).collect())),
            serving: Cell::new(false),
            clients: RefCell::default(),
            last_client: Cell::new(0),
            over: Cell::new(false),
            closers: WaitQueue::default(),
            forever: RefCell::new(None),
            dependence: RefCell::default(),
        });
        let weak: Weak<Shared> = Rc::downgrade(&shared);
        *shared.dependence.borrow_mut() = lp.add_dependant(weak);
        Self(shared)
    }

    /// Accepts connections until it is cancelled, then closes the server and its connections, and waits until the last
    /// one is gone (`Server.serve_forever`). Calling [`close`](Self::close) cancels it, too. Starts serving if that was not
    /// done yet.
    ///
    /// Always fails: with [`Error::Cancelled`] in the end; with [`Error::Runtime`] at once if the server is closed, or if
    /// another task is in `serve_forever`. Each connection is closed as by [`close_clients`](Self::close_clients), after its
    /// written bytes are flushed: an idle client reads the end of the stream. A client that takes no more bytes keeps the
    /// wait going; a second cancellation ends it. (CPython 3.12 and 3.13.0 do not close the connections:
    /// there an idle client keeps a cancelled `serve_forever` waiting.)
    ///
    /// ```
    /// use looplab::{EventLoop, create_task, net::{StreamReader, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let handler = async |reader: StreamReader, _writer| reader.read_to_end().await.map(drop);
    ///     let server = start_server(handler, "127.0.0.1", 0).await?;
    ///     let serving = create_task(server.serve_forever());
    ///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     serving.cancel();
    ///     assert!(serving.await.is_err_and(|error| error.is_cancelled()));
    ///     assert_eq!(reader.read_to_end().await?, b"");
    ///     assert!(!server.is_serving());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[track_caller]
    pub fn serve_forever(&self) -> impl Future<Output = Result<()>> + use<> {
        let (server, place) = (self.0.clone(), Location::caller());
        async move { server.serve_forever(place).await }
    }

    /// Begins to accept, and yields once (`Server.start_serving`). Idempotent. For a server that was made without.
    ///
    /// Fails with [`Error::Runtime`] if it is closed.
    ///
    /// ```
    /// use looplab::{EventLoop, net::{StreamWriter, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let hello = async |_, writer: StreamWriter| writer.write("hello");
    ///     let server = start_server(hello, "127.0.0.1", 0).start_serving(false).await?;
    ///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     assert!(!server.is_serving());                         // the client waits in the kernel
    ///     server.start_serving().await?;
    ///     assert_eq!(reader.read_to_end().await?, b"hello");
    ///     server.close();
    ///     assert!(server.start_serving().await.is_err());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn start_serving(&self) -> impl Future<Output = Result<()>> + use<> {
        let server = self.0.clone();
        async move {
            server.start()?;
            // So that whoever waits for I/O comes to its turn.
            yield_now().await
        }
    }

    /// Whether it accepts connections (`Server.is_serving`). There is an example at [`start_serving`](Self::start_serving).
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.serving.get()
    }

    /// Stops listening and closes the listening sockets (`Server.close`). Connections that were accepted go on. Idempotent;
    /// may be called at any time on the loop's thread. A [`serve_forever`](Self::serve_forever) is cancelled. Closing the
    /// loop does the same. There is an example at [`Server`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits until the server is closed and the last of its connections is gone, in either order (`Server.wait_closed`,
    /// since 3.12.1). Does not close anything.
    ///
    /// Fails with [`Error::Cancelled`] only. There is an example at [`Server`].
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + use<> {
        let (server, place) = (self.0.clone(), Location::caller());
        async move { server.wait_closed(place).await }
    }

    /// Closes all connections, each when what was written to it is flushed (`Server.close_clients`, 3.13). May be called at
    /// any time on the loop's thread, before and after [`close`](Self::close).
    ///
    /// ```
    /// use looplab::{EventLoop, net::{StreamReader, StreamWriter, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let polite = async |reader: StreamReader, writer: StreamWriter| {
    ///         writer.write("hello\n")?;
    ///         reader.read_to_end().await?;                       // until the client goes, or is made to
    ///         Ok(())
    ///     };
    ///     let server = start_server(polite, "127.0.0.1", 0).await?;
    ///     let (reader, _writer) = open_connection("127.0.0.1", server.port()).await?;
    ///     assert_eq!(reader.readline().await?, b"hello\n");
    ///     server.close();
    ///     server.close_clients();
    ///     server.wait_closed().await?;
    ///     assert_eq!(reader.readline().await?, b"");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn close_clients(&self) {
        self.0.close_clients();
    }

    /// Closes all connections at once; what is not sent yet is thrown away (`Server.abort_clients`, 3.13). Else as
    /// [`close_clients`](Self::close_clients), where there is an example.
    pub fn abort_clients(&self) {
        for link in self.0.clients() {
            link.force_close(None);
        }
    }

    /// The listening sockets; none once it is closed (`Server.sockets`). May be called at any time on the loop's thread.
    /// There is an example at [`ServerSocket`].
    #[must_use]
    pub fn sockets(&self) -> Vec<ServerSocket> {
        let sockets = self.0.sockets.borrow();
        sockets.iter().flatten().map(|listening| ServerSocket::of(listening)).collect()
    }

    /// The port of the first socket: what port 0 has become (`server.sockets[0].getsockname()[1]`). 0 if there is none: a
    /// closed server, or a Unix one. May be called at any time on the loop's thread.
    ///
    /// ```
    /// use looplab::{EventLoop, net::start_server};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let server = start_server(async |_, _| {}, "127.0.0.1", 0).await?;
    ///     assert_ne!(server.port(), 0);
    ///     server.close();
    ///     assert_eq!(server.port(), 0);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[must_use]
    pub fn port(&self) -> u16 {
        self.sockets().first().and_then(|socket| socket.local_addr().port()).unwrap_or(0)
    }

    /// Its loop, while that exists (`Server.get_loop`).
    #[must_use]
    pub fn event_loop(&self) -> Option<EventLoop> {
        self.0.lp.upgrade().map(EventLoop)
    }
}

impl Shared {
    pub(super) fn start(self: &Rc<Self>) -> Result<()> {
        let sockets = self.sockets.borrow().clone().ok_or_else(|| self.closed())?;
        if !self.serving.replace(true) {
            let listened = sockets.iter().try_for_each(|socket| self.listen(socket));
            // It may be asked again.
            self.serving.set(listened.is_ok());
            return listened;
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.sockets.borrow().is_none()
    }

    /// asyncio's text, also where asyncio fails with `'NoneType' object is not iterable`.
    fn closed(&self) -> Error {
        Error::Runtime(format!("server {self:?} is closed").into())
    }

    fn close(&self) {
        let Some(sockets) = self.sockets.take() else { return };
        for socket in sockets {
            socket.stop();
        }
        self.serving.set(false);
        drop(self.dependence.take());
        // A `serve_forever` that was cancelled goes on to close the server, and keeps its place until it is over.
        let forever = self.forever.borrow().clone().filter(|forever| !forever.done());
        if let Some(forever) = forever {
            drop(self.forever.take());
            forever.cancel();
        }
        self.end_if_over();
    }

    fn drop_handler(&self) {
        let handler = self.connected.take();
        drop_quietly(handler);
    }

    async fn serve_forever(self: Rc<Self>, place: Place) -> Result<()> {
        if self.forever.borrow().is_some() {
            let text = format!("server {self:?} is already being awaited on serve_forever()");
            return Err(Error::Runtime(text.into()));
        }
        if self.is_closed() {
            return Err(self.closed());
        }
        self.start()?;
        let forever = Waiter::of_kind(&get_running_loop()?, "serve_forever", place);
        *self.forever.borrow_mut() = Some(forever.clone());
        let serves = Serves(self.clone(), forever);
        let ended = (&serves.1).await;
        self.close();
        self.close_clients();
        self.wait_closed(place).await?;
        ended
    }

    async fn wait_closed(&self, place: Place) -> Result<()> {
        if self.over.get() { Ok(()) } else { self.closers.wait("server.wait_closed", place).await }
    }

    // ---- the connections ----

    fn attach(self: &Rc<Self>, link: &Rc<Link>) {
        let number = self.last_client.get() + 1;
        self.last_client.set(number);
        self.clients.borrow_mut().insert(number, Rc::downgrade(link));
        link.belongs_to(self.clone(), number);
    }

    pub(super) fn detach(&self, number: u64) {
        self.clients.borrow_mut().remove(&number);
        self.end_if_over();
    }

    fn clients(&self) -> Vec<Rc<Link>> {
        self.clients.borrow().values().filter_map(Weak::upgrade).collect()
    }

    fn close_clients(&self) {
        for link in self.clients() {
            link.close();
        }
    }

    fn end_if_over(&self) {
        if self.is_closed() && self.clients.borrow().is_empty() && !self.over.replace(true) {
            self.closers.wake_all(&Ok(()));
            self.drop_handler();
        }
    }
}

/// No connection can come any more.
impl Dependant for Shared {
    fn loop_closed(&self) {
        self.close();
        self.drop_handler();
    }
}

/// One `serve_forever`, until it is over or dropped.
struct Serves(Rc<Shared>, Waiter<()>);

impl Drop for Serves {
    fn drop(&mut self) {
        let mut forever = self.0.forever.borrow_mut();
        let ours = forever.as_ref() == Some(&self.1);
        let taken = if ours { forever.take() } else { None };
        drop(forever);
        drop(taken);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets = self.sockets.borrow();
        let names: Vec<String> = sockets.iter().flatten().map(|socket| socket.name.to_string()).collect();
        let comma = if names.len() == 1 { "," } else { "" };
        write!(f, "<Server sockets=({}{comma})>", names.join(", "))
    }
}
