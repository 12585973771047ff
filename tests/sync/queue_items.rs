//! What is in a `sync::Queue`: the orders in which items come out, and items that run code of their own.

use crate::stage::{all_done, poll_once, runs, turns};
use looplab::sync::{LifoQueue, PriorityQueue, Queue};
use looplab::{Error, create_task};
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use support::{Drops, OnDrop};

#[test]
fn a_priority_queue_gives_the_lowest_first_and_equals_in_order() {
    let queue = PriorityQueue::new(0);
    for item in [3, 1, 2] {
        queue.put_nowait(item).unwrap();
    }
    assert_eq!([(); 3].map(|()| queue.get_nowait().unwrap()), [1, 2, 3]);

    /// Compared by its rank alone.
    #[derive(Debug)]
    struct Job(u8, usize);
    impl Ord for Job {
        fn cmp(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }
    }
    impl PartialOrd for Job {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Job {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }
    impl Eq for Job {}
    let jobs = PriorityQueue::new(0);
    for number in 0..100 {
        jobs.put_nowait(Job(u8::try_from(number % 3).unwrap(), number)).unwrap();
    }
    let mut last = Job(0, 0);
    for _ in 1..100 {
        let next = (jobs.qsize() == 100).then(|| jobs.get_nowait().unwrap());
        assert!(next.is_none_or(|first| first.1 == 0));
        let next = jobs.get_nowait().unwrap();
        assert!((last.0, last.1) < (next.0, next.1), "{last:?} before {next:?}");
        last = next;
    }
}

#[test]
fn a_lifo_queue_gives_the_youngest_first() {
    let queue = LifoQueue::new(0);
    for item in [3, 1, 2] {
        queue.put_nowait(item).unwrap();
    }
    assert_eq!([(); 3].map(|()| queue.get_nowait().unwrap()), [2, 1, 3]);
}

#[test]
fn every_kind_of_queue_is_a_queue() {
    fn size(queue: &Queue<i32>) -> usize {
        queue.qsize()
    }
    let (lifo, heap) = (LifoQueue::new(2), PriorityQueue::new(1));
    lifo.put_nowait(1).unwrap();
    assert_eq!((size(&lifo), size(&heap)), (1, 0));
    assert_eq!(format!("{lifo:?}"), "<LifoQueue maxsize=2 qsize=1 tasks=1>");
    assert_eq!(format!("{:?}", heap.clone()), "<PriorityQueue maxsize=1 qsize=0>");
}

#[test]
fn an_item_that_could_not_be_put_is_dropped() {
    runs(async {
        let (queue, drops) = (Queue::new(1), Drops::default());
        queue.put_nowait(drops.guard())?;
        assert!(queue.put_nowait(drops.guard()).is_err());
        assert_eq!(drops.count(), 1);
        let (mine, item) = (queue.clone(), drops.guard());
        let task = create_task(async move { mine.put(item).await });
        turns(1).await?;
        task.cancel();
        all_done(vec![task]).await?;
        assert_eq!(drops.count(), 2);
        assert!(poll_once(queue.put(drops.guard())).await.is_none());
        assert_eq!(drops.count(), 3);
        queue.shutdown(true);
        assert_eq!(drops.count(), 4);
        Ok(())
    });
}

#[test]
fn an_items_destructor_may_use_the_queue() {
    let queue = Queue::new(0);
    for _ in 0..3 {
        let mine = queue.clone();
        let seen = move || {
            assert!(mine.put_nowait(None).is_err() && mine.get_nowait().is_err());
            assert_eq!(format!("{mine:?}"), "<Queue maxsize=0 qsize=0 shutdown>");
        };
        queue.put_nowait(Some(OnDrop(Box::new(seen) as Box<dyn FnMut()>))).unwrap();
    }
    queue.shutdown(true);
    assert!(queue.empty());
}

thread_local! {
    static IN_COMPARISON: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Runs a piece of the program whenever it is compared.
#[derive(PartialEq, Eq)]
struct Meddling(i32);

impl Ord for Meddling {
    fn cmp(&self, other: &Self) -> Ordering {
        let meddle = IN_COMPARISON.take();
        if let Some(meddle) = &meddle {
            meddle();
        }
        IN_COMPARISON.set(meddle);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Meddling {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn comparing_items_cannot_use_the_queue_and_gets_an_error() {
    let (queue, met) = (PriorityQueue::new(0), Rc::new(Cell::new(0)));
    let (mine, count) = (queue.clone(), met.clone());
    queue.put_nowait(Meddling(2)).unwrap();
    IN_COMPARISON.set(Some(Box::new(move || {
        count.set(count.get() + 1);
        assert_eq!(mine.qsize(), 1);
        for error in [mine.put_nowait(Meddling(9)).err(), mine.get_nowait().err()] {
            assert_eq!(error.unwrap().to_string(), "comparing the items of a queue uses the queue");
        }
        mine.shutdown(true);
    })));
    queue.put_nowait(Meddling(1)).unwrap();
    IN_COMPARISON.take();
    assert!(met.get() > 0);
    // The items were not there to be drained, so they are not lost either.
    assert_eq!([(); 2].map(|()| queue.get_nowait().unwrap().0), [1, 2]);
    assert!(matches!(queue.get_nowait(), Err(Error::QueueShutDown)));
}

#[test]
fn no_item_is_lost_when_a_comparison_panics_in_a_put() {
    let queue = PriorityQueue::new(0);
    queue.put_nowait(Meddling(2)).unwrap();
    IN_COMPARISON.set(Some(Box::new(|| std::panic::panic_any("on purpose"))));
    assert!(catch_unwind(AssertUnwindSafe(|| queue.put_nowait(Meddling(1)))).is_err());
    IN_COMPARISON.take();
    assert_eq!(queue.qsize(), 2);
    assert_eq!([(); 2].map(|()| queue.get_nowait().unwrap().0).iter().sum::<i32>(), 3);
}
