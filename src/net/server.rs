//! `Server`: listening sockets and their connections.
//!
//! It guarantees asyncio's rules: `close` stops listening and leaves the connections open, and `wait_closed` waits for the
//! last of them. A cancelled `serve_forever` closes all. One turn accepts all waiting connections, at most one more than the
//! backlog. Without a free descriptor it reports this once, and tries again a second later. An accepted connection is
//! served, even if the server is closed in the same turn. A loop that closes ends its servers.
//!
//! A connection takes asyncio's turns. In turn N it is accepted, and in N+1 a task of its own begins it. In N+2 the
//! handler's task is created, and in N+3 it makes its first step and the first bytes are read.

use super::address::Endpoint;
use super::establish::establish;
use super::listening::{Accepted, Listening, ServerSocket};
use super::socket::Socket;
use super::stream_reader::StreamReader;
use super::stream_writer::StreamWriter;
use super::transport::{Transport, TransportInner};
use crate::drop_guard::DropGuard;
use crate::error::{Error, Result};
use crate::event_loop::{
    Dependant, Dependence, EventLoop, ExceptionContext, Inner, get_running_loop, report,
};
use crate::panics::drop_quietly;
use crate::sync::wait_queue::WaitQueue;
use crate::task::{Future as Waiter, yield_now};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

/// The function that is called with each connection.
pub(super) type ClientConnected = Rc<dyn Fn(&EventLoop, StreamReader, StreamWriter, Place) -> Result<()>>;

/// Sockets that accept connections (`asyncio.Server`). Created by [`start_server`](super::start_server) and
/// [`start_unix_server`](super::start_unix_server). A clone is another handle of the same server.
///
/// As in asyncio, dropping the handles does not end a server. It ends by [`close`](Self::close), by cancelling
/// [`serve_forever`](Self::serve_forever), or with its loop.
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
#[doc(alias = "asyncio.Server")]
#[derive(Clone)]
pub struct Server(Rc<ServerInner>);

struct ServerInner {
    lp: Weak<Inner>,
    place: Place,
    limit: usize,
    backlog: usize,
    /// `None` once no connection can arrive. The handler may own this server.
    client_connected: RefCell<Option<ClientConnected>>,
    /// `None` once the server is closed.
    sockets: RefCell<Option<Vec<Rc<Listening>>>>,
    serving: Cell<bool>,
    /// The connections in the order of their arrival. Weak, because the loop and the handlers own them.
    clients: RefCell<BTreeMap<u64, Weak<TransportInner>>>,
    closers: WaitQueue,
    /// The wait of `serve_forever`.
    forever: RefCell<Option<Waiter<()>>>,
    /// Closes the server with its loop.
    dependence: RefCell<Option<Dependence>>,
}

impl Server {
    pub(super) fn new(
        lp: &EventLoop,
        sockets: Vec<Listening>,
        client_connected: ClientConnected,
        (limit, backlog): (usize, usize),
        place: Place,
    ) -> Self {
        Self(Rc::new_cyclic(|inner: &Weak<ServerInner>| ServerInner {
            lp: Rc::downgrade(&lp.0),
            place,
            limit,
            backlog,
            client_connected: RefCell::new(Some(client_connected)),
            sockets: RefCell::new(Some(sockets.into_iter().map(Rc::new).collect())),
            serving: Cell::new(false),
            clients: RefCell::default(),
            closers: WaitQueue::default(),
            forever: RefCell::new(None),
            dependence: RefCell::new(lp.add_dependant(inner.clone())),
        }))
    }

    /// Accepts connections until it is cancelled (`Server.serve_forever`), also by [`close`](Self::close). Then it closes the
    /// server and its connections, and waits until the last one is gone.
    ///
    /// It always fails: with [`Error::Cancelled`] in the end, or with [`Error::Runtime`] if the server is closed or another
    /// task is in `serve_forever`. It closes the connections as [`close_clients`](Self::close_clients) does. A client that
    /// does not read its bytes prolongs the wait; a second cancellation ends it. (CPython 3.12 and 3.13.0 do not close the
    /// connections, so an idle client prolongs the wait as well.)
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
    #[doc(alias = "Server.serve_forever")]
    #[track_caller]
    pub fn serve_forever(&self) -> impl Future<Output = Result<()>> + use<> {
        let (server, place) = (self.clone(), Location::caller());
        async move {
            let inner = &*server.0;
            if inner.forever.borrow().is_some() {
                let text = format!("server {server:?} is already being awaited on serve_forever()");
                return Err(Error::Runtime(text.into()));
            }
            server.start()?;
            let waiter = Waiter::of_kind(&get_running_loop()?, "serve_forever", place);
            *inner.forever.borrow_mut() = Some(waiter.clone());
            let _reset = DropGuard::new(|| drop(inner.forever.take()));
            let cancelled = waiter.await;
            inner.close();
            server.close_clients();
            inner.wait_closed(place).await?;
            cancelled
        }
    }

    /// Begins to accept, and yields once (`Server.start_serving`). Idempotent.
    ///
    /// Fails with [`Error::Runtime`] if the server is closed.
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
    #[doc(alias = "Server.start_serving")]
    pub fn start_serving(&self) -> impl Future<Output = Result<()>> + use<> {
        let server = self.clone();
        async move {
            server.start()?;
            // As in asyncio, lets the loop poll once.
            yield_now().await
        }
    }

    fn start(&self) -> Result<()> {
        let Some(sockets) = self.0.sockets.borrow().clone() else {
            // asyncio's text, also where asyncio fails with `'NoneType' object is not iterable`.
            return Err(Error::Runtime(format!("server {self:?} is closed").into()));
        };
        if self.0.serving.replace(true) {
            return Ok(());
        }
        let server = self.clone();
        let accepted: Accepted = Rc::new(move |socket, peer| server.accept_client(socket, peer));
        let ServerInner { backlog, place, .. } = *self.0;
        let listened = sockets.iter().try_for_each(|socket| socket.listen(backlog, place, accepted.clone()));
        // After a failure it may be called again.
        self.0.serving.set(listened.is_ok());
        listened
    }

    /// Returns whether it accepts connections (`Server.is_serving`). There is an example at
    /// [`start_serving`](Self::start_serving).
    #[doc(alias = "Server.is_serving")]
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.serving.get()
    }

    /// Closes the listening sockets and leaves the connections open (`Server.close`). It cancels a
    /// [`serve_forever`](Self::serve_forever). Idempotent. It may be called at any time on the loop's thread. Closing the loop
    /// does the same. There is an example at [`Server`].
    #[doc(alias = "Server.close")]
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits until the server is closed and the last of its connections is gone (`Server.wait_closed`, as of 3.12.1). It closes
    /// nothing. It fails with [`Error::Cancelled`] only. There is an example at [`Server`].
    #[doc(alias = "Server.wait_closed")]
    #[track_caller]
    pub fn wait_closed(&self) -> impl Future<Output = Result<()>> + use<> {
        let (inner, place) = (self.0.clone(), Location::caller());
        async move { inner.wait_closed(place).await }
    }

    /// Closes all connections, each once its written bytes are flushed (`Server.close_clients`, 3.13). It may be called at any
    /// time on the loop's thread, before and after [`close`](Self::close).
    ///
    /// ```
    /// use looplab::{EventLoop, net::{StreamReader, StreamWriter, open_connection, start_server}};
    /// EventLoop::new()?.run_until_complete(async {
    ///     let polite = async |reader: StreamReader, writer: StreamWriter| {
    ///         writer.write("hello\n")?;
    ///         reader.read_to_end().await?;                       // until the connection is closed
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
    #[doc(alias = "Server.close_clients")]
    pub fn close_clients(&self) {
        self.clients().iter().for_each(Transport::close);
    }

    /// Closes all connections at once and discards their unsent bytes, otherwise as [`close_clients`](Self::close_clients)
    /// (`Server.abort_clients`, 3.13).
    #[doc(alias = "Server.abort_clients")]
    pub fn abort_clients(&self) {
        self.clients().iter().for_each(Transport::abort);
    }

    fn clients(&self) -> Vec<Transport> {
        self.0.clients.borrow().values().filter_map(Weak::upgrade).map(Transport).collect()
    }

    /// Begins an accepted connection. It is a client from now on, so a server that is closed in this turn still serves it.
    /// (asyncio makes it one a turn later, and drops it in this case.)
    fn accept_client(&self, socket: Socket, peer: Endpoint) -> Result<()> {
        let lp = get_running_loop()?;
        let reader = StreamReader::with_limit(self.0.limit)?;
        let transport = Transport::new(&lp, socket, Some(peer), reader, self.0.place)?;
        self.attach(&transport);
        lp.create_task_at(self.0.place, self.clone().establish(transport))?;
        Ok(())
    }

    /// The body of a new connection's task (asyncio's `_accept_connection2`).
    async fn establish(self, transport: Transport) -> Result<()> {
        let (server, made) = (self.clone(), transport.clone());
        let connection_made = move || server.connection_made(made);
        match establish(&transport, connection_made, self.0.place).await {
            Err(error) if !error.leaves_the_loop() => {
                // As asyncio, it reports this in debug mode only.
                if transport.in_debug_mode() {
                    let text = "Error on transport creation for incoming connection";
                    report(Some(get_running_loop()?), ExceptionContext::new(text).with_error(error));
                }
                Ok(())
            }
            other => other,
        }
    }

    fn connection_made(&self, transport: Transport) -> Result<()> {
        let client_connected = self.0.client_connected.borrow().clone();
        let Some(client_connected) = client_connected else { return Ok(()) };
        let reader = transport.0.reader.clone();
        client_connected(&get_running_loop()?, reader, StreamWriter::new(transport), self.0.place)
    }

    /// Counts a connection as a client until it is gone.
    fn attach(&self, transport: &Transport) {
        let mut clients = self.0.clients.borrow_mut();
        let number = clients.last_key_value().map_or(0, |(last, _)| last + 1);
        clients.insert(number, Rc::downgrade(&transport.0));
        drop(clients);
        let inner = self.0.clone();
        transport.set_client_guard(DropGuard::new(Box::new(move || {
            inner.clients.borrow_mut().remove(&number);
            inner.end_if_over();
        })));
    }

    /// Returns the listening sockets, and none once the server is closed (`Server.sockets`). It may be called at any time on
    /// the loop's thread. There is an example at [`ServerSocket`].
    #[doc(alias = "Server.sockets")]
    #[must_use]
    pub fn sockets(&self) -> Vec<ServerSocket> {
        let sockets = self.0.sockets.borrow();
        sockets.iter().flatten().map(|listening| ServerSocket::new(listening)).collect()
    }

    /// Returns the port of the first socket, as the system chose it for port 0 (`server.sockets[0].getsockname()[1]`). Returns
    /// 0 for a closed server and a Unix server. It may be called at any time on the loop's thread.
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

    /// Returns the loop of the server while it exists (`Server.get_loop`).
    #[doc(alias("Server.get_loop", "get_loop"))]
    #[must_use]
    pub fn event_loop(&self) -> Option<EventLoop> {
        self.0.lp.upgrade().map(EventLoop)
    }
}

impl ServerInner {
    /// Returns whether the server is closed and the last connection is gone.
    fn is_over(&self) -> bool {
        self.sockets.borrow().is_none() && self.clients.borrow().is_empty()
    }

    fn close(&self) {
        let Some(sockets) = self.sockets.take() else { return };
        for socket in sockets {
            socket.stop();
        }
        self.serving.set(false);
        drop(self.dependence.take());
        // A `serve_forever` that was cancelled is done: it closes the server, and resets `forever` at its end.
        let forever = self.forever.borrow().clone().filter(|forever| !forever.done());
        if let Some(forever) = forever {
            drop(self.forever.take());
            forever.cancel();
        }
        self.end_if_over();
    }

    async fn wait_closed(&self, place: Place) -> Result<()> {
        if self.is_over() { Ok(()) } else { self.closers.wait("server.wait_closed", place).await }
    }

    fn end_if_over(&self) {
        if self.is_over() {
            self.closers.wake_all(&Ok(()));
            drop_quietly(self.client_connected.take());
        }
    }
}

/// Closes the server. No connection can arrive afterwards.
impl Dependant for ServerInner {
    fn loop_closed(&self) {
        self.close();
        drop_quietly(self.client_connected.take());
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sockets = self.0.sockets.borrow();
        let names: Vec<String> = sockets.iter().flatten().map(|socket| socket.name.to_string()).collect();
        let comma = if names.len() == 1 { "," } else { "" };
        write!(f, "<Server sockets=({}{comma})>", names.join(", "))
    }
}
