//! A process full of clients.
//!
//! They connect a few at a time, each waiting for its first answer, so that no queue of the kernel overflows and nothing
//! depends on how fast the server accepts. When all are connected, all of them speak. What each sends is its own, so an
//! answer that went to the wrong client is seen.

use super::many::room_for;
use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, exit};
use std::sync::{Arc, Barrier};
use std::thread;
use support::report;

const PLAN: &str = "LOOPLAB_TEST_CLIENTS";
const THREADS: usize = 4;
/// How many of a thread's clients connect at the same time.
const AT_ONCE: usize = 20;
const ROUNDS: usize = 4;

/// What the first byte of a client asks for: what comes is sent back, or more is sent than it reads.
pub(crate) const ECHO: u8 = b'e';
pub(crate) const FLOOD: u8 = b'f';

/// Makes a command the one of `many` clients of the servers at `addresses`; `kinds` says what becomes of each, again and
/// again from the beginning.
pub(crate) fn plan(command: &mut Command, many: usize, kinds: &[Kind], addresses: &str) {
    let kinds: String = kinds.iter().map(|kind| kind.letter()).collect();
    command.env(PLAN, format!("{many} {kinds} {addresses}"));
}

/// What becomes of a client once all are connected.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Speaks in several rounds, reads all its answers, closes.
    Echo,
    /// Speaks, and is gone without reading the answer, which resets the connection.
    Reset,
    /// Speaks, ends its own direction, and then reads.
    HalfOpen,
    /// Is sent more than it ever reads; waits until the server says that it has ended it.
    NeverReads,
    /// Says nothing more; waits for the server to end it.
    Idle,
}

const KINDS: [(Kind, char); 5] = [
    (Kind::Echo, 'E'),
    (Kind::Reset, 'R'),
    (Kind::HalfOpen, 'H'),
    (Kind::NeverReads, 'N'),
    (Kind::Idle, 'I'),
];

impl Kind {
    fn letter(self) -> char {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or('?', |(_, letter)| *letter)
    }

    fn of(letter: char) -> Self {
        KINDS.iter().find(|(_, l)| *l == letter).map_or(Self::Echo, |(kind, _)| *kind)
    }

    /// How many of this number of clients are of this kind.
    pub(crate) fn among(self, kinds: &[Self], many: usize) -> usize {
        (0..many).filter(|number| kinds[number % kinds.len()] == self).count()
    }
}

struct Client {
    number: usize,
    kind: Kind,
    socket: TcpStream,
}

/// The body of the clients' process.
pub(crate) fn run() -> ! {
    let plan = env::var(PLAN).expect("a plan");
    let [many, kinds, addresses] = plan.split(' ').collect::<Vec<_>>()[..] else { panic!("{plan}") };
    let many: usize = many.parse().expect("a number");
    assert_eq!(room_for(many, 1), many, "the limit is the server's, too");
    let kinds: Arc<[Kind]> = kinds.chars().map(Kind::of).collect();
    let addresses: Arc<[String]> = addresses.split(',').map(str::to_owned).collect();
    let all_connected = Arc::new(Barrier::new(THREADS));
    let threads = (0..THREADS).map(|thread| {
        let (kinds, addresses, all_connected) = (kinds.clone(), addresses.clone(), all_connected.clone());
        thread::spawn(move || {
            let numbers: Vec<usize> = (thread..many).step_by(THREADS).collect();
            let mut clients = Vec::new();
            for some in numbers.chunks(AT_ONCE) {
                connect(&mut clients, some, &kinds, &addresses);
            }
            all_connected.wait();
            speak(clients)
        })
    });
    let threads: Vec<_> = threads.collect();
    let (answers, left): (Vec<usize>, Vec<_>) =
        threads.into_iter().map(|thread| thread.join().expect("no client fails")).unzip();
    // Those that never read hold on until the server has done with them, and tells so by closing the pipe.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
    drop(left);
    report(format!("{} bytes came back", answers.iter().sum::<usize>()));
    exit(0)
}

fn connect(clients: &mut Vec<Client>, numbers: &[usize], kinds: &[Kind], addresses: &[String]) {
    let first = clients.len();
    for &number in numbers {
        let address = &addresses[number % addresses.len()];
        let mut socket = TcpStream::connect(address).expect("the server listens");
        let kind = kinds[number % kinds.len()];
        socket.write_all(&[if kind == Kind::NeverReads { FLOOD } else { ECHO }]).expect("it is open");
        clients.push(Client { number, kind, socket });
    }
    for client in &mut clients[first..] {
        client.socket.read_exact(&mut [0]).expect("the first answer");
    }
}

/// All of a thread's clients speak at the same time. Returns how many bytes came back, and the clients that are left.
fn speak(mut clients: Vec<Client>) -> (usize, Vec<Client>) {
    for client in clients.iter_mut().filter(|client| client.kind == Kind::Reset) {
        client.socket.write_all(&message(client.number, 0)).expect("it is open");
    }
    let mut bytes = 0;
    // A close with something unread resets the connection.
    for client in clients.extract_if(.., |client| client.kind == Kind::Reset) {
        bytes += client.socket.peek(&mut [0; 1024]).expect("an answer");
    }
    for round in 0..ROUNDS {
        for client in clients.iter_mut().filter(|client| client.speaks(round)) {
            client.socket.write_all(&message(client.number, round)).expect("it is open");
            if client.kind == Kind::HalfOpen {
                client.socket.shutdown(Shutdown::Write).expect("it is open");
            }
        }
        for client in clients.iter_mut().filter(|client| client.speaks(round)) {
            let sent = message(client.number, round);
            let mut answer = vec![0; sent.len()];
            client.socket.read_exact(&mut answer).expect("an answer");
            assert!(answer == sent, "client {} got another's answer", client.number);
            bytes += answer.len();
        }
    }
    for client in clients.extract_if(.., |client| client.kind == Kind::HalfOpen) {
        let mut socket = client.socket;
        assert_eq!(socket.read(&mut [0]).expect("the end of the stream"), 0);
    }
    clients.retain(|client| client.kind != Kind::Echo);
    // The others are ended by the server.
    for client in clients.iter_mut().filter(|client| client.kind == Kind::Idle) {
        assert_eq!(client.socket.read(&mut [0]).expect("the end of the stream"), 0);
    }
    clients.retain(|client| client.kind == Kind::NeverReads);
    (bytes, clients)
}

impl Client {
    fn speaks(&self, round: usize) -> bool {
        match self.kind {
            Kind::Echo => true,
            Kind::HalfOpen => round == 0,
            _ => false,
        }
    }
}

/// Up to 700 bytes, which no other client sends.
fn message(number: usize, round: usize) -> Vec<u8> {
    let text = format!("{number}/{round} ");
    let length = 1 + (number * 37 + round * 211) % 700;
    text.bytes().cycle().take(length.max(text.len())).collect()
}
