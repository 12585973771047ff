//! Steps: what is being polled now, what it waits on, and what is to be thrown into it.
//!
//! This is where asyncio's "throw into the coroutine at its await" becomes Rust. Each task (and each `Coroutine` driven
//! by hand) has a [`StepContext`]; while it is polled it is the thread's current one, and the leaf futures that it awaits find
//! it there. It promises:
//!
//! - An injected error is taken by a leaf that was pending in an *earlier* step, never by one that is polled for the
//!   first time: awaiting something finished is no suspension, so it is no place for a cancellation.
//! - A leaf whose own outcome is a cancellation keeps that one, and the injected error is gone: two requests, one
//!   delivery, the first message.
//! - An injection that no leaf took is not lost: the task remembers it again.
//! - A task waits on those leaves that it polled in its last step, and on those polled through another waker than its
//!   own (`join!`, `FuturesUnordered`), which are polled only when they are woken.

use super::future_core::{AnyFuture, FutureCore, Woken, next_key};
use crate::error::Error;
use crate::trace::Wait;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// A task or a coroutine, as the leaves that it awaits see it.
pub(crate) trait Stepping: Woken {
    fn context(&self) -> &StepContext;
    /// Its handle, if it is a task.
    fn task(self: Rc<Self>) -> Option<super::TaskRef>;
    /// The core, if it is a task.
    fn task_core(&self) -> Option<&FutureCore>;
}

/// An error that is to be thrown into a body. Boxed: it is rare, and every task has the room for it.
pub(crate) type Thrown = Option<Box<Error>>;

pub(crate) struct StepContext {
    /// Tells it from all others of this thread.
    pub(super) id: u64,
    /// The number of its step: the one it is in, or was in last. Steps and registrations are numbered by one counter: a
    /// registration with a smaller number comes from before the step.
    pub(super) number: Cell<u64>,
    /// Whether it is in a step now.
    active: Cell<bool>,
    /// What is to be thrown at the await where it is suspended.
    injected: Cell<Thrown>,
    /// Thrown by a leaf that refused to wait, to be delivered in the next step (a task that awaits itself).
    pub(super) refused: Cell<Thrown>,
    pub(super) waits: RefCell<Waits>,
    /// It was woken during its own step.
    woken: Cell<bool>,
}

/// The leaves that it waits on, each under the key of its registration. Nearly always there is one at most.
#[derive(Default)]
pub(super) enum Waits {
    #[default]
    None,
    One(u64, LeafWait),
    Many(BTreeMap<u64, LeafWait>),
}

/// One leaf's registration.
pub(crate) struct LeafWait {
    pub(super) on: Rc<dyn AnyFuture>,
    /// The step in which it was polled last.
    pub(super) seen: u64,
    pub(super) own_waker: bool,
}

impl LeafWait {
    /// Whether it is waited on after the step with this number.
    fn counts(&self, last: u64) -> bool {
        self.seen == last || !self.own_waker
    }
}

impl Default for StepContext {
    fn default() -> Self {
        Self {
            id: next_key(),
            number: Cell::new(0),
            active: Cell::new(false),
            injected: Cell::default(),
            refused: Cell::default(),
            waits: RefCell::default(),
            woken: Cell::new(false),
        }
    }
}

impl Waits {
    /// Keys only grow.
    #[inline]
    pub(super) fn insert(&mut self, key: u64, wait: LeafWait) {
        match self {
            Self::None => *self = Self::One(key, wait),
            _ => self.insert_another(key, wait),
        }
    }

    #[cold]
    fn insert_another(&mut self, key: u64, wait: LeafWait) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(key, wait),
            Self::One(first, before) => Self::Many(BTreeMap::from([(first, before), (key, wait)])),
            Self::Many(mut map) => {
                map.insert(key, wait);
                Self::Many(map)
            }
        };
    }

    fn get_mut(&mut self, key: u64) -> Option<&mut LeafWait> {
        match self {
            Self::One(only, wait) if *only == key => Some(wait),
            Self::Many(map) => map.get_mut(&key),
            _ => None,
        }
    }

    fn remove(&mut self, key: u64) -> Option<LeafWait> {
        match self {
            Self::One(only, _) if *only == key => match std::mem::take(self) {
                Self::One(_, wait) => Some(wait),
                _ => None,
            },
            Self::Many(map) => map.remove(&key),
            _ => None,
        }
    }

    /// Those that count after the step with this number, in order of registration.
    fn list(&self, last: u64) -> Vec<Rc<dyn AnyFuture>> {
        let on = |wait: &LeafWait| wait.counts(last).then(|| wait.on.clone());
        match self {
            Self::None => Vec::new(),
            Self::One(_, wait) => on(wait).into_iter().collect(),
            Self::Many(map) => map.values().filter_map(on).collect(),
        }
    }

    #[inline]
    fn any(&self, last: u64) -> bool {
        match self {
            Self::None => false,
            Self::One(_, wait) => wait.counts(last),
            Self::Many(map) => map.values().any(|wait| wait.counts(last)),
        }
    }
}

impl StepContext {
    /// Begins a step with what is to be thrown in it.
    #[inline]
    pub(crate) fn begin(&self, injected: Thrown) {
        self.number.set(next_key());
        self.active.set(true);
        self.woken.set(false);
        self.injected.set(injected);
    }

    /// Ends it; what was not taken.
    #[inline]
    pub(crate) fn end(&self) -> Thrown {
        self.active.set(false);
        self.injected.take()
    }

    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.active.get()
    }

    /// The number of its step: the one it is in, or was in last.
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// Whether no await has taken yet what is to be thrown in this step.
    pub(crate) fn has_untaken(&self) -> bool {
        is_some(&self.injected)
    }

    /// Notes a wake during its own step. At the step's end its next step is queued.
    pub(crate) fn wake(&self) {
        self.woken.set(true);
    }

    #[inline]
    pub(crate) fn was_woken(&self) -> bool {
        self.woken.get()
    }

    /// What a leaf refused with, to be thrown in the next step.
    #[inline]
    pub(crate) fn take_refused(&self) -> Thrown {
        self.refused.take()
    }

    #[inline]
    pub(crate) fn has_refused(&self) -> bool {
        is_some(&self.refused)
    }

    /// What it waits on, first what it came to first.
    pub(crate) fn waits(&self) -> Vec<Rc<dyn AnyFuture>> {
        self.waits.borrow().list(self.number.get())
    }

    /// Whether it waits on anything.
    #[inline]
    pub(crate) fn waits_on_something(&self) -> bool {
        self.waits.borrow().any(self.number.get())
    }

    /// Takes what is to be thrown in this step, for a leaf that has waited here since an earlier one.
    #[inline]
    pub(super) fn take_injected(&self, with: u64, since: u64) -> Thrown {
        if self.id == with && since < self.number.get() { self.injected.take() } else { None }
    }

    /// Notes that the leaf with this registration was polled again through the task's own waker. False if that is not how
    /// it was registered.
    pub(super) fn is_polled_again(&self, key: u64) -> bool {
        let mut waits = self.waits.borrow_mut();
        let Some(wait) = waits.get_mut(key).filter(|wait| wait.own_waker) else { return false };
        wait.seen = self.number.get();
        true
    }

    /// The leaf with this registration waits no more. Who asks holds what it waited on, so nothing of the user's is dropped.
    #[inline]
    pub(super) fn forget(&self, key: u64) {
        let mut waits = self.waits.borrow_mut();
        let forgotten = match &*waits {
            Waits::One(only, _) if *only == key => std::mem::take(&mut *waits),
            _ => waits.remove(key).map_or(Waits::None, |wait| Waits::One(key, wait)),
        };
        drop(waits);
        drop(forgotten);
    }

    /// The same for people.
    pub(crate) fn describe_waits(&self) -> Vec<Wait> {
        let describe = |on: Rc<dyn AnyFuture>| {
            let core = on.core();
            Wait { on: core.on(), kind: core.kind(), place: Some(core.place()), holder: core.holder() }
        };
        self.waits().into_iter().map(describe).collect()
    }
}

/// Whether there is anything in a cell whose content cannot be looked at.
pub(crate) fn is_some<T>(cell: &Cell<Option<T>>) -> bool {
    let content = cell.take();
    let is_some = content.is_some();
    cell.set(content);
    is_some
}

/// Who is being polled.
#[derive(Clone)]
pub(crate) struct Current {
    pub(super) stepping: Rc<dyn Stepping>,
    /// The data pointer of the waker that it is polled with: tells its own waker from any other.
    pub(super) waker: *const (),
}

thread_local! {
    /// The innermost, which every leaf asks for. Whoever enters leaves again, so it needs no destructor of the thread's;
    /// without one, asking for it is a plain look.
    static CURRENT: RefCell<ManuallyDrop<Option<Current>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    /// Those in whose polls it is being polled: by whom coroutines are driven by hand, and who closes another loop.
    static OUTER: RefCell<Vec<Current>> = const { RefCell::new(Vec::new()) };
}

/// Makes `stepping` the current one while the guard lives.
pub(crate) struct EnterGuard {
    nested: bool,
}

impl EnterGuard {
    /// `waker` is the data pointer of the waker that it is polled with.
    #[inline]
    pub(crate) fn new(stepping: Rc<dyn Stepping>, waker: *const ()) -> Self {
        match replace_current(Some(Current { stepping, waker })) {
            None => Self { nested: false },
            Some(outer) => Self::inside(outer),
        }
    }

    #[cold]
    fn inside(outer: Current) -> Self {
        let _ = OUTER.try_with(|stack| stack.borrow_mut().push(outer));
        Self { nested: true }
    }
}

impl Drop for EnterGuard {
    #[inline]
    fn drop(&mut self) {
        let outer =
            if self.nested { OUTER.try_with(|stack| stack.borrow_mut().pop()).ok().flatten() } else { None };
        drop(replace_current(outer));
    }
}

#[inline]
fn replace_current(by: Option<Current>) -> Option<Current> {
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(by)))
}

/// Who is being polled now: the innermost.
#[inline]
pub(crate) fn current() -> Option<Current> {
    CURRENT.with_borrow(|current| Option::clone(current))
}

/// The same, for a look at it: nothing of the user's may run in `look`.
#[inline]
pub(crate) fn look_at_current<R>(look: impl FnOnce(&StepContext, *const ()) -> R) -> Option<R> {
    let look = |current: &Current| look(current.stepping.context(), current.waker);
    CURRENT.with_borrow(|current| current.as_ref().map(look))
}

/// The task that is in its step now: the innermost; a coroutine driven by hand inside of it does not hide it.
pub(crate) fn current_task() -> Option<super::TaskRef> {
    let outer = || OUTER.try_with(|stack| stack.borrow().clone()).unwrap_or_default();
    let task = |current: Current| current.stepping.task();
    current().and_then(task).or_else(|| outer().into_iter().rev().find_map(task))
}
