//! `run_app`: an application's whole life, from its startup to its cleanup, and what signals mean to it.
//!
//! It promises aiohttp's life cycle. SIGINT and SIGTERM end the serving: the port and the idle connections are closed, and
//! the shutdown hooks run. Requests in flight are answered for twice the timeout, and cancelled after that. The cleanup
//! runs, all tasks that are left are cancelled, and `run_app` returns. A second signal ends all that at once, without the
//! cleanup, and `run_app` fails with [`Error::Exit`]`(1)`. A signal during the startup ends it where it is. If the startup
//! fails or is ended, no shutdown or cleanup hook runs. Contexts that were entered are abandoned (see [`App::abandon`]).
//!
//! [`Running`] is the same without signals and without a loop of its own. The program decides when it ends.

use super::app::App;
use super::connections::{Connections, Listener};
use looplab::net::TcpListener;
use looplab::net::memory::MemoryListener;
use looplab::sync::Event;
use looplab::{
    Error, EventLoop, ExceptionContext, Result, Signal, Task, gather, get_running_loop, yield_now,
};
use std::net::SocketAddr;
use std::time::Duration;

/// Where to serve. In a socket that listens already, connections wait until the startup is done. An address, or a name in
/// memory, is bound when it is done.
pub enum Site {
    /// A socket that listens already.
    Socket(std::net::TcpListener),
    /// An address that is bound when the startup is done.
    Address(SocketAddr),
    /// A name of the running loop, for clients in memory.
    Memory(String),
}

impl Site {
    fn listen(self) -> Result<Listener> {
        match self {
            Self::Socket(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
            Self::Address(address) => TcpListener::bind(address).map(Listener::Tcp),
            Self::Memory(name) => MemoryListener::bind(name).map(Listener::Memory),
        }
    }
}

impl From<std::net::TcpListener> for Site {
    fn from(socket: std::net::TcpListener) -> Self {
        Self::Socket(socket)
    }
}

impl From<SocketAddr> for Site {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// How the application ends.
#[derive(Clone, Copy)]
pub struct Options {
    /// Half of the time that requests in flight have when the application ends: it is waited for twice.
    pub shutdown_timeout: Duration,
    /// Whether SIGINT and SIGTERM end it.
    pub handle_signals: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { shutdown_timeout: Duration::from_secs(60), handle_signals: true }
    }
}

/// Runs an application on a loop of its own until a signal ends it.
pub fn run_app(app: &App, site: impl Into<Site>, options: Options) -> Result<()> {
    run_app_on(&EventLoop::new()?, app, site, options)
}

/// Runs an application on this loop, and closes the loop.
pub fn run_app_on(lp: &EventLoop, app: &App, site: impl Into<Site>, options: Options) -> Result<()> {
    let main = lp.create_task(serve(app.clone(), site.into(), options));
    let served = match lp.run_until_complete(&main) {
        Err(Error::Exit(_) | Error::KeyboardInterrupt) => Ok(()), // the first signal
        ended => ended,
    };
    // From here on a signal is the second one, and goes out of whatever runs then.
    let ended = end_main(lp, &main);
    let app = app.clone();
    let rest = end_the_rest(lp).and_then(|()| lp.run_until_complete(async move { app.abandon().await }));
    lp.close()?;
    rest.and(ended).and(served)
}

/// Cancels the main task and waits for it: this is where the graceful shutdown runs.
fn end_main(lp: &EventLoop, main: &Task<()>) -> Result<()> {
    if main.done() {
        return Ok(());
    }
    main.cancel();
    match lp.run_until_complete(main) {
        Err(Error::Cancelled(_)) => Ok(()),
        ended => ended,
    }
}

/// Cancels all tasks that are left, and waits for them.
fn end_the_rest(lp: &EventLoop) -> Result<()> {
    let left = lp.all_tasks();
    if left.is_empty() {
        return Ok(());
    }
    left.iter().for_each(|task| _ = task.cancel());
    let all = left.clone();
    lp.run_until_complete(async move { gather(all).return_exceptions().await.map(drop) })?;
    for task in left {
        if let Ok(Some(error)) = task.error() {
            let context = ExceptionContext::new("unhandled exception during asyncio.run() shutdown");
            lp.call_exception_handler(&context.with_error(error));
        }
    }
    Ok(())
}

/// Waits for an event that is never set.
async fn until_cancelled() -> Result<()> {
    Event::new().wait().await
}

async fn serve(app: App, site: Site, options: Options) -> Result<()> {
    if options.handle_signals {
        // A signal is an error that leaves the loop: not even a startup hook that never returns keeps it.
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            get_running_loop()?.add_signal_handler(signal, || Err::<(), _>(Error::Exit(1)))?;
        }
    }
    let running = Running::start(app, site).await?;
    let ended = until_cancelled().await;
    running.end(options.shutdown_timeout).await?;
    if options.handle_signals {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            get_running_loop()?.remove_signal_handler(signal)?;
        }
    }
    ended
}

/// An application that serves (aiohttp's `AppRunner`).
pub struct Running {
    app: App,
    connections: Connections,
    accepting: Task<()>,
}

impl Running {
    /// Runs the startup, and serves.
    pub async fn start(app: App, site: impl Into<Site>) -> Result<Self> {
        app.startup().await?;
        let listener = match site.into().listen() {
            Ok(listener) => listener,
            Err(error) => {
                app.shutdown().await?;
                app.cleanup().await?;
                return Err(error);
            }
        };
        let connections = Connections::new(app.clone());
        let accepting = Task::builder().name("accept").spawn(connections.clone().accept_from(listener));
        Ok(Self { app, connections, accepting })
    }

    /// Ends it gracefully.
    pub async fn end(self, shutdown_timeout: Duration) -> Result<()> {
        self.accepting.cancel();
        // A request that had arrived when the port was closed is in flight. The poll reports it in the first turn from
        // here, and its connection reads it in the second. So in the third the connection is not taken for idle.
        for _ in 0..3 {
            yield_now().await?;
        }
        self.connections.close_idle();
        self.app.shutdown().await?;
        self.connections.shutdown(shutdown_timeout).await?;
        self.app.cleanup().await
    }
}
