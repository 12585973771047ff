//! The other shapes of the primitives under the explorer: bounded semaphores, queues with an order of their own, and the end
//! of a queue.

use super::library::{holds, join, ms, worker};
use looplab::explore::World;
use looplab::sync::{BoundedSemaphore, LifoQueue, PriorityQueue, Queue};
use looplab::{Error, Result, sleep};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// For `library::every_two_disturbances_in_pairs`.
pub(super) const TESTS: &[fn()] = &[
    a_bounded_semaphore_is_full_again_and_takes_no_more,
    a_priority_queue_loses_nothing_and_keeps_its_order,
    a_lifo_queue_loses_nothing_and_keeps_its_order,
];

#[test]
fn a_bounded_semaphore_is_full_again_and_takes_no_more() {
    holds(&["main", "user"], |world| {
        let semaphore = BoundedSemaphore::new(1);
        let full = semaphore.clone();
        world.finally(move || match full.release() {
            Err(_) if !full.locked() => Ok(()),
            _ => Err(Error::msg("a permit is lost, or one was added")),
        });
        world.main(async move {
            let use_it = |semaphore: BoundedSemaphore| async move {
                let _permit = semaphore.permit().await?;
                sleep(ms(1)).await
            };
            join((0..3).map(|_| worker("user", use_it(semaphore.clone()))).collect()).await
        })
    });
}

const ITEMS: [u32; 5] = [5, 1, 4, 2, 3];

/// Items are put, taken or left. What is left comes out in the queue's order.
fn in_order(world: &World, queue: Queue<u32>, follows: fn(u32, u32) -> bool) -> Result<()> {
    let (put, got) = (Rc::new(Cell::new(0)), Rc::<RefCell<Vec<u32>>>::default());
    let (left, was_put, was_got) = (queue.clone(), put.clone(), got.clone());
    world.finally(move || {
        let rest: Vec<u32> = std::iter::from_fn(|| left.get_nowait().ok()).collect();
        let sorted = rest.windows(2).all(|pair| follows(pair[0], pair[1]));
        let got = was_got.borrow();
        match sorted && was_put.get() == got.len() + rest.len() {
            true => Ok(()),
            false => Err(Error::msg(format!("put {}, got {got:?}, left {rest:?}", was_put.get()))),
        }
    });
    world.main(async move {
        let (putting, getting) = (queue.clone(), queue.clone());
        let putter = worker("putter", async move {
            for item in ITEMS {
                putting.put(item).await?;
                put.set(put.get() + 1);
            }
            Ok(())
        });
        let getter = worker("getter", async move {
            for _ in 0..3 {
                let item = getting.get().await?;
                got.borrow_mut().push(item);
                sleep(ms(1)).await?;
            }
            Ok(())
        });
        // Whichever ends, the other waits no more. (A task that is cancelled before its first step has no code for that.)
        for task in [&putter, &getter] {
            let ends = queue.clone();
            task.add_done_callback(move |_| ends.shutdown(false));
        }
        join(vec![putter, getter]).await
    })
}

#[test]
fn a_priority_queue_loses_nothing_and_keeps_its_order() {
    holds(&["main", "putter", "getter"], |world| {
        in_order(world, (*PriorityQueue::new(2)).clone(), |before, after| before <= after)
    });
}

#[test]
fn a_lifo_queue_loses_nothing_and_keeps_its_order() {
    // Of two that are left, the one that was put later comes first.
    holds(&["main", "putter", "getter"], |world| {
        in_order(world, (*LifoQueue::new(2)).clone(), |before, after| {
            let place = |item| ITEMS.iter().position(|put| *put == item);
            place(before) > place(after)
        })
    });
}
