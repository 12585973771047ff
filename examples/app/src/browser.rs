//! The users of an application, as a lesson needs them: threads with blocking sockets, in no way connected to the loop.
//!
//! What goes wrong is named as Python's `http.client` names it.

use looplab::Signal;
use nix::sys::signal::{Signal as System, kill};
use nix::unistd::Pid;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// No answer of a lesson takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns a socket that listens on a free port of this machine.
pub fn listen() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// Returns an address that no socket listens on.
pub fn free_address() -> io::Result<SocketAddr> {
    listen()?.local_addr()
}

/// A response: its status and its body.
#[derive(Debug, PartialEq)]
pub struct Answer(pub u16, pub String);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

/// GET, on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer, &'static str> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| name(&error))?;
    ask(&mut stream, path).map_err(|error| name(&error))
}

/// GET, on a connection that may stay open.
pub fn ask(stream: &mut TcpStream, path: &str) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    answer(stream)
}

/// Reads one response, and no byte more.
pub fn answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let bad = || io::Error::new(ErrorKind::InvalidData, format!("no HTTP: {head:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.ok_or_else(bad)?];
    stream.read_exact(&mut body)?;
    Ok(Answer(status, String::from_utf8_lossy(&body).into_owned()))
}

/// Python's name of the error.
fn name(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "ConnectionRefusedError",
        ErrorKind::UnexpectedEof => "RemoteDisconnected",
        ErrorKind::ConnectionReset => "ConnectionResetError",
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "TimeoutError",
        _ => "OSError",
    }
}

/// Sends this process a signal, as `kill` does from outside.
pub fn send(signal: Signal) {
    let _ = System::try_from(signal.number()).and_then(|signal| kill(Pid::this(), signal));
}

/// Something that happens once, told from one thread to others (`threading.Event`).
pub fn gate() -> (Sender<()>, Receiver<()>) {
    channel()
}
