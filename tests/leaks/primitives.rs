//! Tasks that wait on the primitives of `sync`.

use crate::program::{BOTH, shapes};
use looplab::sync::{
    Barrier, BoundedSemaphore, Condition, Event, LifoQueue, Lock, PriorityQueue, Queue, Semaphore,
};

shapes! { BOTH;
    a_lock(p) {
        let lock = Lock::new();
        let (first, second, third) = (lock.clone(), lock.clone(), lock.clone());
        p.waits(async move {
            let _guard = first.lock().await?;
            std::future::pending().await
        });
        p.waits(async move { second.lock().await.map(drop) });
        p.waits(async move { third.acquire().await });
        p.turns(2)?;
        p.keep(lock);
    }

    a_lock_that_only_its_tasks_hold(p) {
        let lock = Lock::new();
        for _ in 0..3 {
            let lock = lock.clone();
            p.waits(async move {
                let _guard = lock.lock().await?;
                std::future::pending().await
            });
        }
        p.turns(2)?;
    }

    an_event(p) {
        let event = Event::new();
        p.waits(event.wait());
        p.waits(event.wait());
        p.turns(2)?;
        p.keep(event);
    }

    an_event_whose_waiter_is_woken_and_has_not_run(p) {
        let event = Event::new();
        p.waits(event.wait());
        p.turns(2)?;
        event.set();
        p.keep(event);
    }

    a_semaphore(p) {
        let one = Semaphore::new(1);
        let first = one.clone();
        p.waits(async move {
            let _permit = first.permit().await?;
            std::future::pending().await
        });
        p.waits(one.acquire());
        let second = one.clone();
        p.waits(async move { second.permit().await.map(drop) });
        p.turns(2)?;
        p.keep(one);
    }

    a_bounded_semaphore(p) {
        let none = BoundedSemaphore::new(0);
        p.waits(none.acquire());
        let second = none.clone();
        p.waits(async move { second.permit().await.map(drop) });
        p.turns(2)?;
        p.keep(none);
    }

    a_condition(p) {
        let changed = Condition::new();
        for _ in 0..2 {
            let changed = changed.clone();
            p.waits(async move {
                let _guard = changed.lock().await?;
                changed.wait().await
            });
        }
        let (held, guard) = (changed.clone(), p.guard());
        p.waits(async move {
            let _guard = held.lock().await?;
            held.wait_for(move || std::mem::size_of_val(&guard) == 0).await
        });
        p.turns(3)?;
        p.keep(changed);
    }

    a_condition_whose_notified_waiter_waits_for_the_lock(p) {
        let changed = Condition::new();
        let (waiting, notifying) = (changed.clone(), changed.clone());
        p.waits(async move {
            let _guard = waiting.lock().await?;
            waiting.wait().await
        });
        p.waits(async move {
            let _guard = notifying.lock().await?;
            notifying.notify_all()?;
            std::future::pending().await
        });
        p.turns(4)?;
        p.keep(changed);
    }

    a_barrier(p) {
        let barrier = Barrier::new(3)?;
        for _ in 0..2 {
            let barrier = barrier.clone();
            p.waits(async move { barrier.wait().await.map(drop) });
        }
        p.turns(2)?;
        p.keep(barrier);
    }

    the_getters_of_a_queue(p) {
        let queue = Queue::<u8>::new(0);
        for _ in 0..2 {
            let queue = queue.clone();
            p.waits(async move { queue.get().await.map(drop) });
        }
        p.turns(2)?;
        p.keep(queue);
    }

    the_putters_of_a_queue(p) {
        let queue = Queue::new(1);
        queue.put_nowait(String::from("first"))?;
        p.waits(queue.put(String::from("second")));
        p.waits(queue.put(String::from("third")));
        p.turns(2)?;
        p.keep(queue);
    }

    the_join_of_a_queue(p) {
        let queue = Queue::new(0);
        queue.put_nowait(String::from("first"))?;
        p.waits(queue.join());
        p.turns(2)?;
        p.keep(queue);
    }

    priority_and_lifo_queues(p) {
        let (ranked, stack) = (PriorityQueue::new(1), LifoQueue::new(1));
        ranked.put_nowait(1)?;
        stack.put_nowait(1)?;
        p.waits(ranked.put(2));
        p.waits(stack.put(2));
        p.waits(ranked.join());
        p.turns(2)?;
        p.keep((ranked, stack));
    }
}
