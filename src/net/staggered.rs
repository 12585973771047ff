//! Happy eyeballs: connecting to several addresses at a time, each begun a little after the one before.
//!
//! It guarantees the order and the turns of asyncio's `staggered_race`. The next address is tried when the one before has
//! failed, or after the delay. The first connection wins, and the other attempts are cancelled and closed. When the race ends,
//! no attempt is left, however it ends.
//!
//! Each attempt is a task that first makes the task of the next one. It does not sort the addresses; see [`interleave`].

use super::async_fd::AsyncFd;
use super::connect::{all_failed, connect_to};
use crate::combine::wait_for;
use crate::drop_guard::DropGuard;
use crate::error::{Error, IoError, Result};
use crate::event_loop::{EventLoop, get_running_loop};
use crate::sync::Event;
use crate::task::{Future as Waiter, Task, TaskRef, current_task};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

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
        left: RefCell::new(addresses.into()),
        delay,
        place,
        attempts: RefCell::default(),
        ended: RefCell::default(),
        winner: Cell::default(),
        errors: RefCell::default(),
        failure: Cell::default(),
    });
    let abandoned = DropGuard::new(|| race.cancel_all(None));
    race.begin_attempt(None)?;
    let mut cancelled = None;
    while !race.attempts.borrow().is_empty() {
        let ended = {
            let lp = get_running_loop()?;
            Waiter::of_kind(&lp, "connect", place)
        };
        *race.ended.borrow_mut() = Some(ended.clone());
        if let Err(error) = ended.await {
            race.cancel_all(error.cancel_message());
            cancelled = Some(error);
        }
        drop(race.ended.take());
    }
    abandoned.disarm();
    match cancelled.or_else(|| race.failure.take()) {
        Some(error) => Err(error),
        None => {
            race.winner.take().ok_or_else(|| all_failed(race.errors.take().into_iter().flatten().collect()))
        }
    }
}

struct Race {
    /// The addresses that are not tried yet.
    left: RefCell<VecDeque<SocketAddr>>,
    delay: Duration,
    place: Place,
    /// The attempts that are not done.
    attempts: RefCell<Vec<TaskRef>>,
    /// Completed when no attempt is left.
    ended: RefCell<Option<Waiter<()>>>,
    winner: Cell<Option<AsyncFd<TcpStream>>>,
    /// One for each attempt, in the order in which they began; `None` while it has not failed.
    errors: RefCell<Vec<Option<IoError>>>,
    /// What is no matter of one address, such as a loop that closes.
    failure: Cell<Option<Error>>,
}

impl Race {
    /// Makes the task of the next attempt, which waits for the failure of the one before.
    fn begin_attempt(self: &Rc<Self>, failed_before: Option<Event>) -> Result<()> {
        let lp: EventLoop = get_running_loop()?;
        let race = self.clone();
        let body = async move { race.attempt(failed_before).await };
        let task: Task<()> = lp.create_task_at(self.place, body)?;
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
        let Some(address) = self.left.borrow_mut().pop_front() else { return Ok(()) };
        let failed = Event::new();
        self.begin_attempt(Some(failed.clone()))?;
        let number = self.errors.borrow().len();
        self.errors.borrow_mut().push(None);
        match connect_to(address, self.place).await {
            Ok(socket) => {
                drop(self.winner.replace(Some(socket)));
                self.cancel_all(None);
            }
            Err(Error::Io(error)) => {
                self.errors.borrow_mut()[number] = Some(error);
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
            drop(self.failure.replace(Some(error)));
        }
        let ended = self.ended.borrow().clone().filter(|_| self.attempts.borrow().is_empty());
        if let Some(ended) = ended.filter(|ended| !ended.done()) {
            // It is pending, so this cannot fail.
            let _ = ended.set_result(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{all_tasks, create_task, yield_now};
    use nix::sys::socket::{Backlog, listen};
    use std::future::poll_fn;
    use std::net::TcpListener;
    use std::panic::Location;
    use std::task::Poll;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Returns an address that never answers: the queue of the listener is full.
    fn silent() -> (SocketAddr, TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listen(&listener, Backlog::new(0).expect("a length")).expect("it listens");
        let address = listener.local_addr().expect("its address");
        let first = TcpStream::connect(address).expect("there is room for one");
        (address, listener, first)
    }

    fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
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
        let (silent, _listener, _first) = silent();
        let answers = TcpListener::bind("127.0.0.1:0")?;
        let address = answers.local_addr()?;
        assert_eq!(winner(vec![silent, address], Duration::from_millis(1))?, address);
        Ok(())
    }

    #[test]
    fn the_next_address_is_tried_at_once_if_the_one_before_fails() -> Result<()> {
        let answers = TcpListener::bind("127.0.0.1:0")?;
        let address = answers.local_addr()?;
        assert_eq!(winner(vec![nowhere(), nowhere(), address, nowhere()], HOUR)?, address);
        Ok(())
    }

    #[test]
    fn both_families_take_part() -> Result<()> {
        let Ok(six) = TcpListener::bind("[::1]:0") else { return Ok(()) };
        let (silent, _listener, _first) = silent();
        let addresses = vec![silent, silent, six.local_addr()?];
        let addresses = interleave(addresses, 1);
        assert_eq!(addresses[1], six.local_addr()?);
        assert_eq!(winner(addresses, Duration::from_millis(1))?, six.local_addr()?);
        Ok(())
    }

    #[test]
    fn all_failures_are_told_in_the_order_of_the_attempts() {
        let (one, other) = (nowhere(), nowhere());
        let text = |addresses: Vec<SocketAddr>| winner(addresses, HOUR).unwrap_err().to_string();
        let expected = format!("Multiple exceptions: {}, {}", text(vec![one]), text(vec![other]));
        assert_eq!(text(vec![one, other]), expected);
    }

    #[test]
    fn a_cancelled_race_ends_its_attempts() -> Result<()> {
        let (silent, _listener, _first) = silent();
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
        let (silent, _listener, _first) = silent();
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
