//! The works of `benches/peers` that stay within the process, to be run under an instruction counter.
//!
//! `instructions WORK PEER N` does the work with `N` operations and prints how long they took, in nanoseconds. Without
//! arguments it lists the works and peers, a line each.
//!
//! `benches/instructions.sh` runs each with N and with 2 N: what the second counts more, divided by N, is the number of
//! instructions for an operation. Start-up, set-up and take-down fall out of it. `benches/paired.sh` compares the times of
//! two revisions.

#[path = "../peers/common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../peers/echo/counted_only.rs"]
mod echo;
#[path = "../peers/looplab_peer.rs"]
#[allow(dead_code)]
mod looplab_peer;
#[path = "../peers/posts_counted.rs"]
mod posts_counted;
#[path = "../peers/tokio_peer.rs"]
#[allow(dead_code)]
mod tokio_peer;

use std::time::Duration;

/// A name without spaces, the work of looplab, and tokio's if it has the same.
type Work = (&'static str, fn(u32) -> Duration, Option<fn(u32) -> Duration>);

const WORKS: &[Work] = &[
    ("callback-hop-1000", looplab_peer::callback_hop, Some(tokio_peer::callback_hop)),
    ("callback-hop-1", looplab_peer::lone_callback_hop, Some(tokio_peer::lone_callback_hop)),
    ("task-hop-1000", looplab_peer::task_hop, Some(tokio_peer::task_hop)),
    ("task-hop-1", looplab_peer::lone_task_hop, Some(tokio_peer::lone_task_hop)),
    ("spawn-await", looplab_peer::spawn_await, Some(tokio_peer::spawn_await)),
    ("future-hop", looplab_peer::future_hop, Some(tokio_peer::future_hop)),
    ("restart", looplab_peer::restart, Some(tokio_peer::restart)),
    ("timer-insert", looplab_peer::timer_insert, Some(tokio_peer::timer_insert)),
    ("timer-cancel", looplab_peer::timer_cancel, Some(tokio_peer::timer_cancel)),
    ("timer-fire", looplab_peer::timer_fire, Some(tokio_peer::sleeper_wake)),
    ("sleeper-wake", looplab_peer::sleeper_wake, Some(tokio_peer::sleeper_wake)),
    ("post-1000", posts_counted::on_looplab, Some(posts_counted::on_tokio)),
    ("job-1", looplab_peer::job_round_trip, Some(tokio_peer::job_round_trip)),
    ("job-1000", looplab_peer::job_batch, Some(tokio_peer::job_batch)),
    ("tcp-echo", echo::counted::on_looplab, Some(echo::counted::on_tokio)),
    // A hop with its three events. The script says where the trace goes.
    ("trace-jsonl", looplab_peer::callback_hop, None),
    ("trace-page", looplab_peer::callback_hop, None),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [first, rest @ ..] if first == echo::counted::CLIENT => echo::counted::be_the_client(rest),
        [work, peer, n] => {
            let found = WORKS.iter().find(|(name, ..)| name == work);
            let run =
                found.and_then(|(_, looplab, tokio)| if peer == "tokio" { *tokio } else { Some(*looplab) });
            let (Some(run), Ok(n)) = (run, n.parse()) else {
                eprintln!("no such work, or not a number: {work} {peer} {n}");
                std::process::exit(2);
            };
            println!("{}", run(n).as_nanos());
        }
        _ => {
            for (name, _, tokio) in WORKS {
                println!("{name} looplab");
                if tokio.is_some() {
                    println!("{name} tokio");
                }
            }
        }
    }
}
