//! TCP echo: nanoseconds for a request and its answer, at three numbers of connections and two sizes.
//!
//! Each peer's server is a process of its own, held to one processor where there are two; the client, the same for all,
//! is held to another. Each connection has one request on its way at a time. All servers are there during all rounds, and
//! take turns; those that are not asked sleep in their polls.

mod client;
pub(crate) mod idle;
mod servers;

use crate::work::{Figures, Goal, Row};
use crate::{Options, progress};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The first argument of a process that is a server.
pub(crate) const CHILD: &str = "--echo-server-of";

/// Ours to begin with; its streams are another floor, and so are asyncio's and uvloop's, which `peers.py` serves.
const PEERS: [&str; 6] = ["looplab", "tokio", "raw", "streams", "asyncio", "uvloop"];
const SIZES: [(&str, usize); 2] = [("64 B", 64), ("16 KiB", 16 * 1024)];
const CONNECTIONS: [usize; 3] = [1, 50, 500];

/// What keeps up with tokio and the raw limit, but for noise.
const GOALS: [Goal; 2] = [Goal::Ratio("tokio", 1.0), Goal::Ratio("raw", 1.1)];

/// The rows of TCP echo.
pub(crate) fn measure(options: &Options) -> Vec<Row> {
    let params =
        SIZES.iter().flat_map(|size| CONNECTIONS.iter().map(move |connections| (*size, *connections)));
    let title = |(size, connections): ((&str, usize), usize)| format!("{connections} × {}", size.0);
    let wanted: Vec<_> = params.filter(|param| options.wants("TCP echo", &title(*param))).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let before = sched_getaffinity(Pid::from_raw(0)).ok();
    let mut servers: Vec<Server> = PEERS.iter().filter_map(|peer| Server::start(peer)).collect();
    hold_to(1);
    let measured = |((size, connections), title): (((&str, usize), usize), String)| {
        progress("TCP echo", &title);
        row(&mut servers, size.1, connections, title, options)
    };
    let rows = wanted.into_iter().map(|param| (param, title(param))).map(measured).collect();
    if let Some(before) = before {
        let _ = sched_setaffinity(Pid::from_raw(0), &before);
    }
    rows
}

fn row(servers: &mut [Server], size: usize, connections: usize, param: String, options: &Options) -> Row {
    // A lone connection waits for the other processor to wake up, again and again.
    let requests = if connections == 1 { 10_000 } else { 40_000 };
    let requests = if options.quick { requests / 10 } else { requests };
    let mut rounds = vec![Vec::new(); servers.len()];
    // The first round warms up.
    for round in 0..=options.rounds() {
        for i in 0..servers.len() {
            let turn = (round + i) % servers.len();
            let took = client::ask(servers[turn].address, size, connections, requests);
            if let Ok(took) = took
                && round > 0
            {
                rounds[turn].push(took.as_nanos() as f64 / requests as f64);
            }
        }
    }
    let figures = servers.iter().map(|server| server.peer.to_owned()).zip(rounds);
    let figures = figures.filter(|(_, rounds)| !rounds.is_empty());
    Row {
        name: "TCP echo",
        param,
        unit: "ns",
        goals: GOALS.to_vec(),
        figures: figures.map(|(peer, rounds)| (peer, Figures::new(rounds))).collect(),
    }
}

/// A server in a process of its own; killed when it is dropped.
struct Server {
    peer: &'static str,
    address: SocketAddr,
    process: Child,
}

impl Server {
    /// `None` if that peer is not there.
    fn start(peer: &'static str) -> Option<Self> {
        let mut command = match peer {
            "asyncio" | "uvloop" => {
                let python = std::env::var("LOOPLAB_PYTHON").unwrap_or_else(|_| "python3".to_owned());
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");
                let mut command = Command::new(python);
                command.args([script, "echo_server", peer]);
                command
            }
            _ => {
                let mut command = Command::new(std::env::current_exe().ok()?);
                command.args([CHILD, peer]);
                command
            }
        };
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut line = String::new();
        let read = process.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let address = line.trim().parse();
        match (read, address) {
            (Some(Ok(_)), Ok(address)) => Some(Self { peer, address, process }),
            _ => {
                let _ = process.kill();
                let _ = process.wait();
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the server of this peer, until it is killed.
pub(crate) fn be_the_child(arguments: &[String]) {
    hold_to(0);
    let served = match arguments.first().map(String::as_str) {
        Some("looplab") => servers::looplab(),
        Some("streams") => servers::streams(),
        Some("tokio") => servers::tokio(),
        _ => servers::raw(),
    };
    if let Err(error) = served {
        eprintln!("{arguments:?}: {error}");
    }
}

/// Holds this thread to one processor, if there are two.
fn hold_to(processor: usize) {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return;
    }
    let mut set = CpuSet::new();
    if set.set(processor).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
