//! An exploration keeps nothing of a schedule that passes: its memory does not grow with their number.

use crate::MEMORY;
use looplab::explore::{Explore, World};
use looplab::{Result, Task, gather, sleep};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Tasks that sleep side by side. Each may be cancelled at each point, so a short program has many schedules.
fn sleepers(world: &World, count: u64) -> Result<()> {
    world.main(async move {
        let sleepers = (0..count).map(|i| {
            Task::builder().name("sleeper").spawn(async move { sleep(Duration::from_millis(i)).await })
        });
        gather(sleepers.collect::<Vec<_>>()).return_exceptions().await.map(drop)
    })
}

/// Explores `count` sleepers with as many schedules. Returns how many bytes more than at the beginning were in use at most.
fn most_bytes(count: u64, schedules: u64) -> usize {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let program = move |world: &World| {
        MOST.fetch_max(MEMORY.allocated(), SeqCst);
        sleepers(world, count)
    };
    let exploration = Explore::new(program).cancel("sleeper").pairs().at_most(schedules).threads(1);
    let before = MEMORY.allocated();
    MOST.store(before, SeqCst);
    let report = exploration.run().expect("the undisturbed program is right");
    assert!(report.failures().is_empty() && report.schedules() == schedules, "{report}");
    MOST.load(SeqCst) - before
}

/// Fails if ten times as many schedules need more memory, or if it is more than `limit` bytes.
fn does_not_grow(count: u64, schedules: u64, limit: usize) {
    most_bytes(count, schedules / 10); // what a thread and the library make once
    let before = MEMORY.allocated();
    let (few, many) = (most_bytes(count, schedules / 10), most_bytes(count, schedules));
    assert!(many < few + few / 4, "{few} bytes with {} schedules, {many} with {schedules}", schedules / 10);
    // What grows with the square of the program's length would be more.
    assert!(many < limit, "{many} bytes");
    let after = MEMORY.allocated();
    assert!(after <= before + 1024, "{before} bytes before, {after} after");
}

#[test]
fn ten_times_as_many_schedules_need_no_more_memory() {
    support::child!(|| does_not_grow(9, 4_000, 1 << 20)).fine();
}

#[test]
#[ignore = "takes half a minute; CI runs it"]
fn twenty_thousand_schedules_need_no_more_memory_than_two_thousand() {
    does_not_grow(14, 20_000, 1 << 23);
}
