//! Calls from another thread, for the instruction counter: the threads take turns.
//!
//! Two threads that work at the same time count differently in each run: a wake-up is needed or not, a lock is free or
//! not. Here one thread sleeps while the other works, a thousand calls at a time, so that the counts repeat.
//!
//! Alternative: one call at a time. Problem: what the threads need to take turns is counted with it, and the sum varies
//! by 8 % and more.

use crate::common::{WIDTH, begin_chains, chain_ended};
use crate::{looplab_peer, tokio_peer};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Lets another thread make `n` calls, and runs `deliver` after each `WIDTH` calls.
fn in_turns(n: u32, call: impl Fn(u32) + Send + 'static, mut deliver: impl FnMut()) -> Duration {
    let gate = Arc::new(Barrier::new(2));
    let senders = gate.clone();
    let sender = thread::spawn(move || {
        for first in (0..n / WIDTH).map(|turn| turn * WIDTH) {
            senders.wait();
            (first..first + WIDTH).for_each(&call);
            senders.wait();
        }
    });
    let began = Instant::now();
    for _ in 0..n / WIDTH {
        gate.wait();
        gate.wait();
        deliver();
    }
    let took = began.elapsed();
    sender.join().expect("no panic");
    took
}

pub(crate) fn on_looplab(n: u32) -> Duration {
    let lp = looplab_peer::new_loop();
    let remote = lp.remote();
    let call = move |i| {
        let callback = move || {
            black_box(i);
            if chain_ended() { looplab::stop() } else { Ok(()) }
        };
        remote.call_soon(callback).expect("open");
    };
    in_turns(n, call, || {
        begin_chains(WIDTH);
        lp.run_forever().expect("runs");
    })
}

/// What is sent is a callback of any type, as in looplab.
pub(crate) fn on_tokio(n: u32) -> Duration {
    let runtime = tokio_peer::runtime();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let call = move |i| {
        let callback: Box<dyn FnOnce() -> u32 + Send> = Box::new(move || i);
        sender.send(callback).expect("open");
    };
    in_turns(n, call, || {
        runtime.block_on(async {
            for _ in 0..WIDTH {
                let callback = receiver.recv().await.expect("sent");
                black_box(callback());
            }
        });
    })
}
