//! The raw limit: the least code that does the work at all, with no loop around it. Nothing can be cancelled, nothing is
//! named, and nothing is checked for being closed. What a loop costs beyond this is what its promises cost.

use crate::common::{Overdue, THREADS, WIDTH, begin_chains, chain_ended, chains_go_on, far_delays};
use mio::{Events, Poll, Token, Waker};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hint::black_box;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

type Queue = VecDeque<Callback>;
struct Callback(Box<dyn FnOnce(&mut Queue)>);

fn hop(left: u32, queue: &mut Queue) {
    match left {
        0 => _ = chain_ended(),
        left => queue.push_back(Callback(Box::new(move |queue| hop(left - 1, queue)))),
    }
}

/// Runs them batch by batch, as a loop's turns do.
fn hops(n: u32, width: u32, mut before_each_batch: impl FnMut()) -> Duration {
    begin_chains(width);
    let mut queue = Queue::new();
    for _ in 0..width {
        queue.push_back(Callback(Box::new(move |queue| hop(n / width, queue))));
    }
    let began = Instant::now();
    while chains_go_on() {
        before_each_batch();
        for _ in 0..queue.len() {
            if let Some(Callback(callback)) = queue.pop_front() {
                callback(&mut queue);
            }
        }
    }
    began.elapsed()
}

pub(crate) fn callback_hop(n: u32) -> Duration {
    hops(n, WIDTH, || ())
}

pub(crate) fn lone_callback_hop(n: u32) -> Duration {
    hops(n, 1, || ())
}

pub(crate) fn polled_callback_hop(n: u32) -> Duration {
    let (mut poll, mut events) = (Poll::new().expect("a poll"), Events::with_capacity(64));
    hops(n, 1, || poll.poll(&mut events, Some(Duration::ZERO)).expect("polls"))
}

/// A heap of deadlines, and a boxed callback in a slot for each.
struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
    slots: Vec<Option<Box<dyn FnOnce()>>>,
}

impl Timers {
    fn set(deadlines: impl Iterator<Item = Instant>) -> Self {
        let mut timers = Self { heap: BinaryHeap::new(), slots: Vec::new() };
        for deadline in deadlines {
            timers.heap.push(Reverse((deadline, timers.slots.len())));
            timers.slots.push(Some(Box::new(|| _ = chain_ended())));
        }
        timers
    }
}

fn far() -> impl Fn(Duration) -> Instant {
    let now = Instant::now();
    move |delay| now + delay
}

pub(crate) fn timer_insert(n: u32) -> Duration {
    let began = Instant::now();
    let timers = Timers::set(far_delays(n).map(far()));
    let took = began.elapsed();
    drop(timers);
    took
}

/// Only the callbacks go.
pub(crate) fn timer_cancel(n: u32) -> Duration {
    let mut timers = Timers::set(far_delays(n).map(far()));
    let began = Instant::now();
    for slot in &mut timers.slots {
        drop(slot.take());
    }
    began.elapsed()
}

pub(crate) fn timer_fire(n: u32) -> Duration {
    begin_chains(n);
    let overdue = Overdue::new(n);
    let mut timers = Timers::set(overdue.deadlines());
    let began = overdue.pass();
    while let Some(Reverse((_, slot))) = timers.heap.pop() {
        if let Some(callback) = timers.slots[slot].take() {
            callback();
        }
    }
    began.elapsed()
}

type Posted = Box<dyn FnOnce() -> u32 + Send>;

/// A queue, and a poll whose waker is woken for every callback that finds the queue empty.
pub(crate) fn post(n: u32) -> Duration {
    let (mut poll, mut events) = (Poll::new().expect("a poll"), Events::with_capacity(64));
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let queue: Arc<Mutex<Vec<Posted>>> = Arc::default();
    let theirs = (queue.clone(), waker.clone());
    let began = Instant::now();
    let thread = thread::spawn(move || {
        for i in 0..n {
            let mut queue = theirs.0.lock().expect("no panic");
            queue.push(Box::new(move || i));
            if queue.len() == 1 {
                theirs.1.wake().expect("wakes");
            }
        }
    });
    let mut left = n as usize;
    while left > 0 {
        poll.poll(&mut events, None).expect("polls");
        let callbacks = std::mem::take(&mut *queue.lock().expect("no panic"));
        left -= callbacks.len();
        for callback in callbacks {
            black_box(callback());
        }
    }
    let took = began.elapsed();
    thread.join().expect("no panic");
    // Not before: with the waker its wake-up would go.
    drop(waker);
    took
}

/// Threads that share one channel of jobs, and one channel for what came of them.
fn jobs(n: u32, batch: u32) -> Duration {
    let (submit, jobs) = mpsc::channel::<Posted>();
    let (done, results) = mpsc::channel();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..THREADS {
        let (jobs, done) = (jobs.clone(), done.clone());
        thread::spawn(move || {
            loop {
                let job = jobs.lock().expect("no panic").recv();
                let Ok(job) = job else { return };
                done.send(job()).expect("open");
            }
        });
    }
    let began = Instant::now();
    for _ in 0..n / batch {
        for i in 0..batch {
            submit.send(Box::new(move || i)).expect("open");
        }
        for _ in 0..batch {
            black_box(results.recv().expect("open"));
        }
    }
    began.elapsed()
}

pub(crate) fn job_round_trip(n: u32) -> Duration {
    jobs(n, 1)
}

pub(crate) fn job_batch(n: u32) -> Duration {
    jobs(n, WIDTH)
}

/// A poll and its waker, which is all that a loop must ask the system for.
pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for _ in 0..n {
        let poll = Poll::new().expect("a poll");
        black_box(Waker::new(poll.registry(), Token(0)).expect("a waker"));
    }
    began.elapsed()
}
