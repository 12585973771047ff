//! Locks, events, conditions, semaphores, barriers and queues.
//!
//! They are there from the first use. The first letter of a name says what it is, the number which: `l` locks; `e` events;
//! `d` conditions; `m0` a semaphore of 0, `m1` of 2, `m2` a bounded one of 1, `m3` of 3; `q0` a queue for one item, `q1` one
//! without a limit, `q2` a last-in-first-out one and `q3` a priority queue for two, `q4` a queue for two, `q5` for three; `r0` a
//! barrier for two, `r1` for three.

use crate::body::all;
use crate::world::{World, list, text};
use looplab::Result;
use looplab::sync::{
    Barrier, BoundedSemaphore, Condition, Event, LifoQueue, Lock, PriorityQueue, Queue, Semaphore,
};
use serde_json::Value;
use std::ops::Deref;
use std::rc::Rc;

#[derive(Clone)]
pub(crate) enum Thing {
    Lock(Lock),
    Event(Event),
    Condition(Condition),
    Semaphore(Semaphore),
    Bounded(BoundedSemaphore),
    Queue(Rc<dyn Deref<Target = Queue<String>>>),
    Barrier(Barrier),
}

impl Thing {
    fn new(name: &str) -> Self {
        let number: usize = name[1..].parse().unwrap_or(0);
        match (&name[..1], number) {
            ("l", _) => Self::Lock(Lock::new()),
            ("e", _) => Self::Event(Event::new()),
            ("d", _) => Self::Condition(Condition::new()),
            ("m", n) if n % 4 == 2 => Self::Bounded(BoundedSemaphore::new(1)),
            ("m", n) => Self::Semaphore(Semaphore::new([0, 2, 0, 3][n % 4])),
            ("r", n) => Self::Barrier(Barrier::new(2 + n % 2).expect("two parties or three")),
            (_, n) => Self::Queue(match n % 6 {
                0 => Rc::new(Box::new(Queue::new(1))),
                1 => Rc::new(Box::new(Queue::new(0))),
                2 => Rc::new(LifoQueue::new(2)),
                3 => Rc::new(PriorityQueue::new(2)),
                n => Rc::new(Box::new(Queue::new(n - 2))),
            }),
        }
    }

    async fn acquire(&self) -> Result<()> {
        match self {
            Self::Lock(lock) => lock.acquire().await,
            Self::Condition(condition) => condition.acquire().await,
            Self::Semaphore(semaphore) => semaphore.acquire().await,
            Self::Bounded(semaphore) => semaphore.acquire().await,
            _ => Ok(()),
        }
    }

    fn release(&self) -> Result<()> {
        match self {
            Self::Lock(lock) => lock.release(),
            Self::Condition(condition) => condition.release(),
            Self::Semaphore(semaphore) => {
                semaphore.release();
                Ok(())
            }
            Self::Bounded(semaphore) => semaphore.release(),
            _ => Ok(()),
        }
    }

    fn locked(&self) -> bool {
        match self {
            Self::Lock(lock) => lock.locked(),
            Self::Condition(condition) => condition.locked(),
            Self::Semaphore(semaphore) => semaphore.locked(),
            Self::Bounded(semaphore) => semaphore.locked(),
            _ => false,
        }
    }

    /// An operation that does not wait; `None` if there is none with this name.
    fn plain<'a>(&self, kind: &str, arg: impl Fn(usize) -> &'a Value) -> Option<Result<String>> {
        let ok = |done: Result<()>| done.map(|()| "ok".to_owned());
        Some(match (kind, self) {
            ("release", _) => ok(self.release()),
            ("locked", _) => Ok(self.locked().to_string()),
            ("event_set", Self::Event(event)) => ok({
                event.set();
                Ok(())
            }),
            ("event_clear", Self::Event(event)) => ok({
                event.clear();
                Ok(())
            }),
            ("is_set", Self::Event(event)) => Ok(event.is_set().to_string()),
            ("notify", Self::Condition(condition)) => {
                ok(condition.notify(arg(2).as_u64().unwrap_or(0) as usize))
            }
            ("notify_all", Self::Condition(condition)) => ok(condition.notify_all()),
            ("put_nowait", Self::Queue(queue)) => ok(queue.put_nowait(text(arg(2)).to_owned())),
            ("get_nowait", Self::Queue(queue)) => queue.get_nowait(),
            ("task_done", Self::Queue(queue)) => ok(queue.task_done()),
            ("qsize", Self::Queue(queue)) => {
                Ok(format!("{} {} {}", queue.qsize(), queue.empty(), queue.full()))
            }
            ("shutdown", Self::Queue(queue)) => ok({
                queue.shutdown(arg(2).as_bool().unwrap_or(false));
                Ok(())
            }),
            ("barrier_state", Self::Barrier(barrier)) => {
                Ok(format!("{} {}", barrier.n_waiting(), barrier.broken()))
            }
            _ => return None,
        })
    }

    /// An operation that waits, and what is said after it.
    async fn wait<'a>(
        &self,
        kind: &str,
        x: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Result<Option<String>> {
        let said = match (kind, self) {
            ("acquire", _) => self.acquire().await.map(|()| format!("acquired {x}"))?,
            ("event_wait", Self::Event(event)) => event.wait().await.map(|()| format!("saw {x}"))?,
            ("cond_wait", Self::Condition(condition)) => {
                condition.wait().await.map(|()| format!("was notified by {x}"))?
            }
            ("put", Self::Queue(queue)) => {
                queue.put(text(arg(2)).to_owned()).await.map(|()| format!("put {x}"))?
            }
            ("get", Self::Queue(queue)) => format!("got {} from {x}", queue.get().await?),
            ("join", Self::Queue(queue)) => queue.join().await.map(|()| format!("joined {x}"))?,
            ("barrier", Self::Barrier(barrier)) => format!("is number {} at {x}", barrier.wait().await?),
            ("barrier_reset", Self::Barrier(barrier)) => {
                barrier.reset().await.map(|()| format!("reset {x}"))?
            }
            ("barrier_abort", Self::Barrier(barrier)) => {
                barrier.abort().await.map(|()| format!("aborted {x}"))?
            }
            _ => return Ok(None),
        };
        Ok(Some(said))
    }
}

impl World {
    fn thing(&self, name: &str) -> Option<Thing> {
        let known = name.starts_with(['l', 'e', 'd', 'm', 'q', 'r']) && name.len() > 1;
        known.then(|| {
            self.things.borrow_mut().entry(name.to_owned()).or_insert_with(|| Thing::new(name)).clone()
        })
    }

    /// Does an operation that does not wait. Returns `None` if a thing has no such operation. On a closed loop it does
    /// nothing, because no task can be woken there.
    pub(crate) fn sync_op<'a>(
        &self,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Option<Result<Option<String>>> {
        const KINDS: [&str; 13] = [
            "release",
            "locked",
            "event_set",
            "event_clear",
            "is_set",
            "notify",
            "notify_all",
            "put_nowait",
            "get_nowait",
            "task_done",
            "qsize",
            "shutdown",
            "barrier_state",
        ];
        if !KINDS.contains(&kind) {
            return None;
        }
        if self.lp.is_closed() {
            return Some(Ok(None));
        }
        let done = self.thing(text(arg(1)))?.plain(kind, arg)?;
        Some(done.map(Some))
    }

    /// What waits. Whether it was an operation on such a thing.
    pub(crate) async fn sync_wait<'a>(
        self: &Rc<Self>,
        who: &Rc<str>,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Result<bool> {
        let x = text(arg(1));
        let Some(thing) = self.thing(x) else { return Ok(false) };
        if kind == "cond_wait_for" {
            self.wait_until_set(&thing, text(arg(2))).await?;
            self.say(who, format_args!("{x} saw {} set", text(arg(2))));
            return Ok(true);
        }
        let said = thing.wait(kind, x, arg).await?;
        if let Some(said) = &said {
            self.say(who, said);
        }
        Ok(said.is_some())
    }

    /// `Condition.wait_for`: until an event is set. A task that sets it must notify, too.
    async fn wait_until_set(&self, condition: &Thing, event: &str) -> Result<()> {
        if let (Thing::Condition(condition), Some(Thing::Event(event))) = (condition, self.thing(event)) {
            condition.wait_for(move || event.is_set()).await?;
        }
        Ok(())
    }

    /// `async with`.
    pub(crate) async fn with(self: &Rc<Self>, who: &Rc<str>, x: &str, ops: &Value) -> Result<Option<String>> {
        let Some(thing) = self.thing(x) else { return Ok(None) };
        thing.acquire().await?;
        self.say(who, format_args!("has {x}"));
        let outcome = all(self.clone(), who.clone(), list(ops).to_vec()).await;
        thing.release()?;
        outcome
    }
}
