//! calloop: a loop of callbacks, which polls in every turn. Its "idle" callbacks are what `call_soon` is in asyncio; it
//! has no tasks. It sets and cancels a timer in a time that grows with the number of timers, so those rows leave it out.

use crate::common::{Overdue, WIDTH, begin_chains, chain_ended, chains_go_on};
use calloop::channel::{Event, channel};
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, LoopHandle};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// What another thread posts.
type Callback = Box<dyn FnOnce() -> u32 + Send>;

/// What the callbacks are called with: the loop, so that they can queue more.
struct Data(LoopHandle<'static, Self>);

fn new_loop() -> (EventLoop<'static, Data>, Data) {
    let lp = EventLoop::try_new().expect("a loop");
    let data = Data(lp.handle());
    (lp, data)
}

/// `insert_idle` gives a handle with which the callback could be cancelled, as `call_soon` does.
fn hop(left: u32, data: &mut Data) {
    match left {
        0 => _ = chain_ended(),
        left => drop(data.0.insert_idle(move |data| hop(left - 1, data))),
    }
}

fn hops(n: u32, width: u32) -> Duration {
    begin_chains(width);
    let (mut lp, mut data) = new_loop();
    for _ in 0..width {
        drop(data.0.insert_idle(move |data| hop(n / width, data)));
    }
    let began = Instant::now();
    while chains_go_on() {
        lp.dispatch(Duration::ZERO, &mut data).expect("runs");
    }
    began.elapsed()
}

pub(crate) fn callback_hop(n: u32) -> Duration {
    hops(n, WIDTH)
}

pub(crate) fn lone_callback_hop(n: u32) -> Duration {
    hops(n, 1)
}

pub(crate) fn timer_fire(n: u32) -> Duration {
    let (mut lp, mut data) = new_loop();
    let overdue = Overdue::new(n);
    begin_chains(n);
    for deadline in overdue.deadlines() {
        let fired = |_: Instant, (): &mut (), _: &mut Data| {
            chain_ended();
            TimeoutAction::Drop
        };
        data.0.insert_source(Timer::from_deadline(deadline), fired).expect("open");
    }
    let began = overdue.pass();
    while chains_go_on() {
        lp.dispatch(Duration::ZERO, &mut data).expect("runs");
    }
    began.elapsed()
}

pub(crate) fn post(n: u32) -> Duration {
    let (mut lp, mut data) = new_loop();
    let (sender, receiver) = channel::<Callback>();
    begin_chains(n);
    let received = |event: Event<Callback>, (): &mut (), _: &mut Data| {
        if let Event::Msg(callback) = event {
            black_box(callback());
            chain_ended();
        }
    };
    data.0.insert_source(receiver, received).expect("open");
    let began = Instant::now();
    let thread = thread::spawn(move || {
        for i in 0..n {
            sender.send(Box::new(move || i)).expect("open");
        }
    });
    while chains_go_on() {
        lp.dispatch(None, &mut data).expect("runs");
    }
    let took = began.elapsed();
    thread.join().expect("no panic");
    took
}

pub(crate) fn start_and_shut_down(n: u32) -> Duration {
    let began = Instant::now();
    for i in 0..n {
        let (mut lp, mut data) = new_loop();
        drop(data.0.insert_idle(move |_| {
            black_box(i);
        }));
        lp.dispatch(Duration::ZERO, &mut data).expect("runs");
    }
    began.elapsed()
}
