//! No item is lost or given twice, and no task waits for what is there.

use super::crew::{Crew, Part, parts};
use crate::stage::turns;
use looplab::sync::{LifoQueue, PriorityQueue, Queue};
use looplab::{Error, Result, create_task, sleep};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// What a crew has put and got.
#[derive(Clone, Default)]
struct Books {
    next: Rc<Cell<i32>>,
    put: Rc<RefCell<Vec<i32>>>,
    got: Rc<RefCell<Vec<i32>>>,
    getting: Rc<Cell<usize>>,
    putting: Rc<Cell<usize>>,
}

impl Books {
    /// One member's work: it puts, or it gets.
    async fn work(self, queue: Queue<i32>, crew: Crew, me: usize, part: Part) -> Result<()> {
        for _ in 0..part.rounds {
            crew.go(&part.before).await?;
            if part.role < 2 {
                let item = self.next.get();
                self.next.set(item + 1);
                // Ranks that are not the order of putting, and no two alike.
                let item = item * 7919 % 10_007;
                self.putting.set(self.putting.get() + 1);
                let put = crew.waits(me, &part, queue.put(item)).await;
                self.putting.set(self.putting.get() - 1);
                if put?.is_some() {
                    self.put.borrow_mut().push(item);
                }
            } else {
                self.getting.set(self.getting.get() + 1);
                let got = crew.waits(me, &part, queue.get()).await;
                self.getting.set(self.getting.get() - 1);
                if let Some(item) = got? {
                    self.got.borrow_mut().push(item);
                    let stayed = crew.go(&part.inside).await;
                    queue.task_done()?;
                    stayed?;
                }
            }
            assert!(queue.maxsize() == 0 || queue.qsize() <= queue.maxsize());
            crew.go(&part.after).await?;
        }
        Ok(())
    }
}

/// Lets a crew work on a queue, and balances the books; `in_order` if the items come out as they were put.
fn nothing_is_lost(queue: Queue<i32>, parts: Vec<Part>, in_order: bool) {
    let books = Books::default();
    let (the_queue, the_books) = (queue.clone(), books.clone());
    let member = move |crew, me, part| books.clone().work(queue.clone(), crew, me, part);
    Crew::works(parts, member, move |crew| async move {
        let (queue, Books { put, got, getting, putting, .. }) = (the_queue, the_books);
        sleep(Duration::from_secs(1)).await?;
        assert!(queue.empty() || getting.get() == 0, "{queue:?}");
        assert!(queue.full() || putting.get() == 0, "{queue:?}");
        // What is left in line does not know that the queue was shut down until it is woken.
        queue.shutdown(false);
        let failures = crew.failures().await?;
        assert!(failures.iter().all(|error| matches!(error, Error::QueueShutDown)), "{failures:?}");
        let join = create_task(queue.join());
        turns(2).await?;
        let left = queue.qsize();
        assert_eq!(join.done(), left == 0, "{queue:?}");
        while !queue.empty() {
            got.borrow_mut().push(queue.get_nowait()?);
            queue.task_done()?;
        }
        join.await?;
        let (mut put, mut got) = (put.take(), got.take());
        if !in_order {
            put.sort_unstable();
            got.sort_unstable();
        }
        assert_eq!(put, got);
        Ok(())
    });
}

proptest! {
    #[test]
    fn under_random_cancellations_no_item_is_lost_and_the_order_is_that_of_putting(
        parts in parts(),
        maxsize in 0..4_usize,
    ) {
        nothing_is_lost(Queue::new(maxsize), parts, true);
    }

    #[test]
    fn under_random_cancellations_a_lifo_queue_loses_no_item(parts in parts(), maxsize in 0..4_usize) {
        nothing_is_lost((*LifoQueue::new(maxsize)).clone(), parts, false);
    }

    #[test]
    fn under_random_cancellations_a_priority_queue_loses_no_item(parts in parts(), maxsize in 0..4_usize) {
        nothing_is_lost((*PriorityQueue::new(maxsize)).clone(), parts, false);
    }
}
