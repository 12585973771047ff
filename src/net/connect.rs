//! Connecting to the addresses of a name: one after the other, or several at a time (happy eyeballs).
//!
//! It guarantees the order and the texts of `loop.create_connection`: one failure keeps its text, several are joined, and
//! equal ones appear once. The error holds every failure. A connection that is abandoned half-way is closed.
//!
//! It guarantees the turns of asyncio's `staggered_race`. The next address is tried when the one before has failed, or after
//! the delay. The first connection wins, and the other attempts are cancelled and closed. When the race ends, no attempt is
//! left, however it ends. Each attempt is a task that first makes the task of the next one.
//!
//! It does not sort the addresses; see [`interleave`].

use super::address::tuple;
use super::async_fd::AsyncFd;
use crate::combine::wait_for;
use crate::drop_guard::DropGuard;
use crate::error::{Error, IoError, Result};
use crate::event_loop::get_running_loop;
use crate::sync::Event;
use crate::sync::wait_queue::WaitQueue;
use crate::task::{Task, TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::iter::Enumerate;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;
use std::vec::IntoIter;

/// Connects to the first address that answers.
pub(super) async fn connect(addresses: Vec<SocketAddr>, place: Place) -> Result<AsyncFd<TcpStream>> {
    let mut errors = Vec::new();
    for address in addresses {
        match connect_to(address, place).await {
            Err(Error::Io(error)) => errors.push(error),
            other => return other,
        }
    }
    Err(all_failed(errors))
}

/// Joins the errors of all addresses.
fn all_failed(errors: Vec<IoError>) -> Error {
    if let [only] = &*errors {
        return only.clone().into();
    }
    let texts: Vec<String> = errors.iter().map(IoError::to_string).collect();
    let text = match texts.first() {
        Some(first) if texts.iter().all(|text| text == first) => first.clone(),
        _ => format!("Multiple exceptions: {}", texts.join(", ")),
    };
    IoError::several(errors, text).map_or_else(|| Error::msg("no address to connect to"), Error::Io)
}

async fn connect_to(address: SocketAddr, place: Place) -> Result<AsyncFd<TcpStream>> {
    // An error of this call is the system's (no descriptor, no such family) and keeps its text.
    let socket = mio::net::TcpStream::connect(address)?;
    let fd = AsyncFd::new(TcpStream::from(socket), place);
    loop {
        fd.answered(place).await?;
        if let Some(error) = fd.socket().take_error()? {
            return Err(refused(address, error));
        }
        match fd.socket().peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(fd),
        }
    }
}

/// Returns the failure of one address in asyncio's words.
fn refused(address: SocketAddr, error: io::Error) -> Error {
    let number = error.raw_os_error().map(|number| format!("[Errno {number}] ")).unwrap_or_default();
    IoError::told(error, format!("{number}Connect call failed {}", tuple(address))).into()
}

/// Returns the addresses in turns from each family, in the order in which the families appear. The first family has
/// `first_count` addresses before the second begins (`_interleave_addrinfos`). A count of 0 changes nothing.
pub(super) fn interleave(addresses: Vec<SocketAddr>, first_count: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().filter(|_| first_count > 0) else { return addresses };
    let first = first.is_ipv6();
    let (mut ours, others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut ordered: Vec<_> = ours.drain(..(first_count - 1).min(ours.len())).collect();
    let mut families = [ours, others];
    while families.iter().any(|family| !family.is_empty()) {
        ordered.extend(families.iter_mut().filter_map(VecDeque::pop_front));
    }
    ordered
}

/// Connects to the address that answers first. Each is tried `delay` after the one before, or when that has failed. If all
/// fail, the error tells them in the order of the attempts.
pub(super) async fn connect_staggered(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    place: Place,
) -> Result<AsyncFd<TcpStream>> {
    let race = Rc::new(Race {
        left: RefCell::new(addresses.into_iter().enumerate()),
        delay,
        place,
        attempts: RefCell::default(),
        ended: WaitQueue::default(),
        winner: Cell::default(),
        errors: RefCell::default(),
        failure: Cell::default(),
    });
    let abandoned = DropGuard::new(|| race.cancel_all(None));
    race.begin_attempt(None)?;
    let mut cancelled = None;
    while !race.attempts.borrow().is_empty() {
        if let Err(error) = race.ended.wait("connect", place).await {
            race.cancel_all(error.cancel_message());
            cancelled = Some(error);
        }
    }
    abandoned.disarm();
    match cancelled.or_else(|| race.failure.take()) {
        Some(error) => Err(error),
        None => race.winner.take().ok_or_else(|| all_failed(race.errors.take().into_values().collect())),
    }
}

struct Race {
    /// The addresses that are not tried yet, with their numbers.
    left: RefCell<Enumerate<IntoIter<SocketAddr>>>,
    delay: Duration,
    place: Place,
    /// The attempts that are not done.
    attempts: RefCell<Vec<TaskRef>>,
    /// Woken when no attempt is left.
    ended: WaitQueue,
    winner: Cell<Option<AsyncFd<TcpStream>>>,
    /// The failures, by the numbers of their addresses.
    errors: RefCell<BTreeMap<usize, IoError>>,
    /// What is no matter of one address, such as a loop that closes.
    failure: Cell<Option<Error>>,
}

impl Race {
    /// Makes the task of the next attempt, which waits for the failure of the one before.
    fn begin_attempt(self: &Rc<Self>, failed_before: Option<Event>) -> Result<()> {
        let race = self.clone();
        let body = async move { race.attempt(failed_before).await };
        let task: Task<()> = get_running_loop()?.create_task_at(self.place, body)?;
        self.attempts.borrow_mut().push(task.to_ref());
        let weak = Rc::downgrade(self);
        task.add_done_callback_at(self.place, "task_done", move |task| {
            if let Some(race) = weak.upgrade() {
                race.attempt_done(&task.to_ref(), task.error().ok().flatten());
            }
        });
        Ok(())
    }

    async fn attempt(self: &Rc<Self>, failed_before: Option<Event>) -> Result<()> {
        if let Some(failed) = failed_before {
            match wait_for(failed.wait(), self.delay).await {
                Err(Error::TimedOut) => {}
                waited => waited?,
            }
        }
        let Some((number, address)) = self.left.borrow_mut().next() else { return Ok(()) };
        let failed = Event::new();
        self.begin_attempt(Some(failed.clone()))?;
        match connect_to(address, self.place).await {
            Ok(socket) => {
                self.winner.set(Some(socket));
                self.cancel_all(None);
            }
            Err(Error::Io(error)) => {
                self.errors.borrow_mut().insert(number, error);
                failed.set();
            }
            // The winner cancels the others.
            Err(Error::Cancelled(_)) => failed.set(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Cancels all attempts but the one that runs.
    fn cancel_all(&self, message: Option<&str>) {
        let running = current_task();
        let attempts = self.attempts.borrow().clone();
        for attempt in attempts.iter().filter(|attempt| Some(*attempt) != running.as_ref()) {
            match message {
                Some(message) => attempt.cancel_msg(message),
                None => attempt.cancel(),
            };
        }
    }

    fn attempt_done(&self, task: &TaskRef, error: Option<Error>) {
        self.attempts.borrow_mut().retain(|attempt| attempt != task);
        if let Some(error) = error.filter(|error| !error.is_cancelled()) {
            self.failure.set(Some(error));
        }
        if self.attempts.borrow().is_empty() {
            self.ended.wake_all(&Ok(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventLoop, all_tasks, create_task, yield_now};
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, socket,
    };
    use std::future::poll_fn;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
    use std::os::fd::AsRawFd;
    use std::panic::Location;
    use std::task::Poll;

    const HOUR: Duration = Duration::from_secs(3600);

    const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    /// Returns an address that never answers: the queue of the listener is full.
    fn silent(host: IpAddr) -> (SocketAddr, TcpListener, TcpStream) {
        let listener = TcpListener::bind((host, 0)).expect("a free port");
        listen(&listener, Backlog::new(0).expect("a length")).expect("it listens");
        let address = listener.local_addr().expect("its address");
        let first = TcpStream::connect(address).expect("there is room for one");
        (address, listener, first)
    }

    /// Returns an address that refuses, and that no other call returns: a socket that does not listen keeps the port.
    fn nowhere(host: IpAddr) -> SocketAddr {
        let family = if host.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let keeper = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        bind(keeper.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(host, 0))).expect("a free port");
        let keeper = TcpListener::from(keeper);
        let address = keeper.local_addr().expect("its address");
        std::mem::forget(keeper);
        address
    }

    fn connects(addresses: Vec<SocketAddr>) -> Result<AsyncFd<TcpStream>> {
        EventLoop::new()?.run_until_complete(connect(addresses, Location::caller()))
    }

    #[test]
    fn every_failure_is_reported_and_equal_ones_once() {
        let (one, other) = (nowhere(FOUR), nowhere(FOUR));
        let text = |address: SocketAddr| connects(vec![address]).err().expect("a refusal").to_string();
        let both = connects(vec![one, other]).err().expect("a refusal");
        assert_eq!(both.to_string(), format!("Multiple exceptions: {}, {}", text(one), text(other)));
        let Error::Io(both) = both else { panic!("{both:?}") };
        let each: Vec<String> = both.attempts().iter().map(ToString::to_string).collect();
        assert_eq!(each, [text(one), text(other)]);
        assert!(both.raw_os_error().is_some() && both.raw_os_error() == both.attempts()[0].raw_os_error());
        assert_eq!(connects(vec![one, one]).err().expect("a refusal").to_string(), text(one));
    }

    #[test]
    fn the_first_address_that_answers_is_taken() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stream = connects(vec![nowhere(FOUR), listener.local_addr()?])?;
        assert_eq!(stream.socket().peer_addr()?, listener.local_addr()?);
        Ok(())
    }

    /// Returns the address that won, or the error. No task must be left.
    fn winner(addresses: Vec<SocketAddr>, delay: Duration) -> Result<SocketAddr> {
        EventLoop::new()?.run_until_complete(async move {
            let connected = connect_staggered(addresses, delay, Location::caller()).await;
            assert_eq!(all_tasks().len(), 1, "only this task is left");
            Ok(connected?.socket().peer_addr()?)
        })
    }

    #[test]
    fn the_next_address_is_tried_after_the_delay() -> Result<()> {
        let (silent, _listener, _first) = silent(FOUR);
        let answers = TcpListener::bind("127.0.0.1:0")?;
        let address = answers.local_addr()?;
        assert_eq!(winner(vec![silent, address], Duration::from_millis(1))?, address);
        Ok(())
    }

    #[test]
    fn the_next_address_is_tried_at_once_if_the_one_before_fails() -> Result<()> {
        let answers = TcpListener::bind("127.0.0.1:0")?;
        let address = answers.local_addr()?;
        assert_eq!(winner(vec![nowhere(FOUR), nowhere(FOUR), address, nowhere(FOUR)], HOUR)?, address);
        Ok(())
    }

    #[test]
    fn the_family_that_answers_wins() -> Result<()> {
        if TcpListener::bind((SIX, 0)).is_err() {
            eprintln!("skipped: this machine has no ::1");
            return Ok(());
        }
        for (first, second) in [(SIX, FOUR), (FOUR, SIX)] {
            let answers = TcpListener::bind((second, 0))?;
            let address = answers.local_addr()?;
            assert_eq!(winner(vec![nowhere(first), address], HOUR)?, address);
            let (silent, _listener, _first) = silent(first);
            // The families take turns, so only one silent address comes before the one that answers.
            let addresses = interleave(vec![silent, silent, address], 1);
            assert_eq!(addresses, [silent, address, silent]);
            assert_eq!(winner(addresses, Duration::from_millis(1))?, address);
        }
        Ok(())
    }

    #[test]
    fn all_failures_are_told_in_the_order_of_the_attempts() {
        let (one, other) = (nowhere(FOUR), nowhere(FOUR));
        let text = |addresses: Vec<SocketAddr>| winner(addresses, HOUR).unwrap_err().to_string();
        let expected = format!("Multiple exceptions: {}, {}", text(vec![one]), text(vec![other]));
        assert_eq!(text(vec![one, other]), expected);
    }

    #[test]
    fn a_cancelled_race_ends_its_attempts() -> Result<()> {
        let (silent, _listener, _first) = silent(FOUR);
        EventLoop::new()?.run_until_complete(async move {
            let race = connect_staggered(vec![silent, silent], Duration::from_millis(1), Location::caller());
            let racing = create_task(async move { race.await.map(drop) });
            // This task, the race, two attempts, and the one that finds no address.
            while all_tasks().len() < 4 {
                yield_now().await?;
            }
            racing.cancel_msg("too slow");
            assert_eq!(racing.await.unwrap_err().cancel_message(), Some("too slow"));
            assert_eq!(all_tasks().len(), 1);
            Ok(())
        })
    }

    #[test]
    fn a_race_that_is_dropped_ends_its_attempts() -> Result<()> {
        let (silent, _listener, _first) = silent(FOUR);
        EventLoop::new()?.run_until_complete(async move {
            let mut race = Box::pin(connect_staggered(vec![silent], HOUR, Location::caller()));
            poll_fn(|cx| Poll::Ready(race.as_mut().poll(cx).is_pending())).await;
            yield_now().await?;
            drop(race);
            while all_tasks().len() > 1 {
                yield_now().await?;
            }
            Ok(())
        })
    }

    #[test]
    fn families_take_turns_from_the_first_address_on() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let [x, y] = [5, 6].map(|port| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)));
        let order = |count| interleave(vec![a, b, c, x, y, d], count);
        assert_eq!(order(0), [a, b, c, x, y, d]);
        assert_eq!(order(1), [a, x, b, y, c, d]);
        assert_eq!(order(2), [a, b, x, c, y, d]);
        assert_eq!(order(9), [a, b, c, d, x, y]);
        assert_eq!(interleave(vec![x, a, b], 1), [x, a, b]);
        assert_eq!(interleave(Vec::new(), 1), []);
    }
}
