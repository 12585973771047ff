//! The lessons' servers with the programs that people use: `nc` for the echo server (lesson 22), `curl` for the HTTP one
//! (lesson 41). Then the same HTTP server with clients that are not polite: pipelining, one byte at a time, half a request.
//!
//! Both lessons serve for real when they are given a port. Where `nc` or `curl` is missing, its test says so and passes.

use app::browser::{Answer, answer, ask};
use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use support::{Watchdog, watchdog, with_default_signals};

/// A lesson that serves; it is killed if the test ends before.
struct Lesson {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    _dog: Watchdog,
}

impl Lesson {
    /// On a free port, which its first line tells.
    fn serve(name: &str) -> Self {
        let mut program = Command::new(support::examples().join(name));
        program.arg("0");
        let mut program = with_default_signals(&program).unwrap_or(program);
        let mut child = program
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut lesson = Self { child, stdout, address, _dog: watchdog() };
        let first = lesson.line();
        let place = first.split(';').next().unwrap_or_default();
        let port = place.rsplit([':', ' ']).next().and_then(|port| port.parse().ok());
        lesson.address.set_port(port.unwrap_or_else(|| panic!("no port in {first:?}")));
        lesson
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its output is text");
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("Linux's process ids are small"));
        kill(pid, signal).expect("it runs");
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a timeout");
        stream
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// It ends with status 0; the lines that it has still printed.
    fn end(mut self) -> Vec<String> {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("its output is text");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}: {rest}");
        rest.lines().map(str::to_owned).collect()
    }
}

impl Drop for Lesson {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn echo() -> Lesson {
    Lesson::serve("22_echo_server_ctrl_c")
}

fn http() -> Lesson {
    Lesson::serve("41_aiohttp_run_app_is_already_graceful")
}

/// The program, if this machine has it.
fn program(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("not tested: there is no {name} on this machine");
    }
    found.then(|| Command::new(name))
}

/// A running nc; it is killed when the test lets it go.
struct Nc {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Nc {
    fn connect(to: &Lesson) -> Option<Self> {
        let mut nc = program("nc")?;
        let port = to.address.port().to_string();
        nc.args(["127.0.0.1", &port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = nc.spawn().expect("nc starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Some(Self { child, stdout })
    }

    fn ask(&mut self, line: &str) -> String {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("nc listens");
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).expect("text");
        answer.trim_end().to_owned()
    }

    /// What it still hears. (nc ends when both sides have.)
    fn rest(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        rest
    }
}

impl Drop for Nc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(arguments: &[&str]) -> Option<Command> {
    let mut curl = program("curl")?;
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]).args(arguments);
    Some(curl)
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn nc_is_echoed_and_ctrl_c_ends_the_server() {
    let mut lesson = echo();
    let Some(mut nc) = Nc::connect(&lesson) else { return };
    assert_eq!(nc.ask("hello"), "HELLO");
    assert_eq!(nc.ask("Größe"), "GRößE");
    lesson.signal(SIGINT);
    assert_eq!(lesson.line(), "server: connection dropped");
    assert_eq!(nc.rest(), "");
    assert_eq!(lesson.end(), ["open connections: 0", "Bye!"]);
}

#[test]
fn an_nc_that_leaves_takes_no_other_client_with_it() {
    let mut lesson = echo();
    let (Some(mut stays), Some(mut leaves)) = (Nc::connect(&lesson), Nc::connect(&lesson)) else { return };
    assert_eq!((stays.ask("one"), leaves.ask("two")), ("ONE".to_owned(), "TWO".to_owned()));
    drop(leaves);
    assert_eq!(lesson.line(), "server: client left");
    assert_eq!(stays.ask("three"), "THREE");
    lesson.signal(SIGINT);
    assert_eq!(lesson.end(), ["server: connection dropped", "open connections: 0", "Bye!"]);
}

#[test]
fn curl_is_served_and_keeps_its_connection() {
    let lesson = http();
    let how = r"%{http_code}, new connections: %{num_connects}\n";
    let urls = [lesson.url("/"), lesson.url("/"), lesson.url("/nowhere")];
    let Some(mut curl) = curl(&["--write-out", how, &urls[0], &urls[1], &urls[2]]) else { return };
    let expected = "hello\n200, new connections: 1\nhello\n200, new connections: 0\n\
                    404: Not Found404, new connections: 0\n";
    assert_eq!(output(&mut curl), expected);
    lesson.signal(SIGTERM);
    assert_eq!(lesson.end(), ["on_shutdown", "on_cleanup"]);
}

/// Asks for what is slow, and sends the signal while it is in flight. Returns what curl and the lesson print from then on.
fn signalled_in_flight(signal: Signal) -> Option<(String, Vec<String>)> {
    let mut lesson = http();
    let mut curl = curl(&["--include", &lesson.url("/slow")])?;
    let curl = curl.stdout(Stdio::piped()).spawn().expect("curl starts");
    assert_eq!(lesson.line(), "slow: begin");
    lesson.signal(signal);
    let answered = curl.wait_with_output().expect("curl ends");
    let text = String::from_utf8(answered.stdout).expect("text");
    assert!(answered.status.success() && text.ends_with("\r\n\r\nslow done\n"), "{text}");
    Some((text, lesson.end()))
}

#[test]
fn sigterm_while_curl_waits_answers_it_and_exits_0() {
    for signal in [SIGTERM, SIGINT] {
        let mut attempts = 0;
        let (text, printed) = loop {
            let Some((text, printed)) = signalled_in_flight(signal) else { return };
            attempts += 1;
            // The request takes 0.4 s. On a machine that stands still meanwhile it may be over when the signal comes.
            if printed[0] != "slow: end" || attempts == 5 {
                break (text, printed);
            }
        };
        assert!(text.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{text}");
        assert_eq!(printed, ["on_shutdown", "slow: end", "on_cleanup"]);
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn hello() -> Answer {
    Answer(200, "hello\n".to_owned())
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let lesson = http();
    let mut stream = lesson.connect();
    let (first, second) = GET.split_at(GET.len() / 2);
    let slow = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(&[GET, slow, GET, first].concat()).expect("it reads");
    assert_eq!(answer(&mut stream).expect("the first"), hello());
    assert_eq!(answer(&mut stream).expect("the second"), Answer(200, "slow done\n".to_owned()));
    assert_eq!(answer(&mut stream).expect("the third"), hello());
    stream.write_all(second).expect("it reads");
    assert_eq!(answer(&mut stream).expect("the fourth"), hello());
    lesson.signal(SIGTERM);
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    assert_eq!(lesson.end(), ["slow: begin", "slow: end", "on_shutdown", "on_cleanup"]);
}

#[test]
fn a_client_that_sends_one_byte_at_a_time_is_served_and_keeps_no_other_waiting() {
    let lesson = http();
    let mut slow = lesson.connect();
    slow.set_nodelay(true).expect("an option");
    for byte in GET {
        assert_eq!(ask(&mut lesson.connect(), "/").expect("another client"), hello());
        slow.write_all(&[*byte]).expect("it reads");
    }
    assert_eq!(answer(&mut slow).expect("an answer"), hello());
    lesson.signal(SIGTERM);
    lesson.end();
}

#[test]
fn a_client_that_speaks_no_http_gets_400_and_the_end() {
    let lesson = http();
    let mut stream = lesson.connect();
    stream.write_all(b"hello\r\n\r\n").expect("it reads");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    lesson.signal(SIGTERM);
    lesson.end();
}
