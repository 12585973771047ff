//! Steps: what is being polled now, what it waits on, and what is to be thrown into it.
//!
//! This is where asyncio's "throw into the coroutine at its await" becomes Rust. Each task (and each `Coroutine` driven
//! by hand) has a [`Stepper`]; while it is polled it stands on a thread-local stack, where the leaf futures that it
//! awaits find it. It promises:
//!
//! - An injected error is taken by a leaf that was pending in an *earlier* step, never by one that is polled for the
//!   first time: awaiting something finished is no suspension, so it is no place for a cancellation.
//! - A leaf whose own outcome is a cancellation keeps that one, and the injected error is gone: two requests, one
//!   delivery, the first message.
//! - An injection that no leaf took is not lost: the task remembers it again.
//! - A task waits on those leaves that it polled in its last step, and on those polled through another waker than its
//!   own (`join!`, `FuturesUnordered`), which are polled only when they are woken.

use super::head::{Awaitable, Head, Waiter, Woken, next_key};
use crate::error::{Error, Result};
use crate::trace::Wait;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A task or a coroutine, as the leaves that it awaits see it.
pub(crate) trait Stepping: Woken {
    fn stepper(&self) -> &Stepper;
    /// Its handle, if it is a task.
    fn task(self: Rc<Self>) -> Option<super::TaskRef>;
    /// The head, if it is a task.
    fn task_head(&self) -> Option<&Head>;
    /// Whether it is this very object.
    fn is(&self, other: &dyn Awaitable) -> bool;
}

/// An error that is to be thrown into a body. Boxed: it is rare, and every task has the room for it.
pub(crate) type Thrown = Option<Box<Error>>;

pub(crate) struct Stepper {
    /// Tells it from all others of this thread.
    id: u64,
    /// The number of its step: the one it is in, or was in last.
    number: Cell<u64>,
    /// Whether it is in a step now.
    active: Cell<bool>,
    /// What is to be thrown at the await where it is suspended.
    injected: RefCell<Thrown>,
    /// Thrown by a leaf that refused to wait, to be delivered in the next step (a task that awaits itself).
    refused: RefCell<Thrown>,
    waits: RefCell<Waits>,
    /// The data pointer of the waker that it is polled with: tells its own waker from any other.
    waker: Cell<*const ()>,
    /// It was woken during its own step.
    woken: Cell<bool>,
}

/// The leaves that it waits on, each under the key of its registration. Nearly always there is one at most.
#[derive(Default)]
enum Waits {
    #[default]
    None,
    One(u64, Registered),
    Many(BTreeMap<u64, Registered>),
}

/// One leaf's registration.
struct Registered {
    on: Rc<dyn Awaitable>,
    /// The step in which it was polled last.
    seen: u64,
    own_waker: bool,
}

impl Registered {
    /// Whether it is waited on after the step with this number.
    fn counts(&self, last: u64) -> bool {
        self.seen == last || !self.own_waker
    }
}

impl Default for Stepper {
    fn default() -> Self {
        Self {
            id: next_key(),
            number: Cell::new(0),
            active: Cell::new(false),
            injected: RefCell::default(),
            refused: RefCell::default(),
            waits: RefCell::default(),
            waker: Cell::new(std::ptr::null()),
            woken: Cell::new(false),
        }
    }
}

impl Waits {
    /// Keys only grow.
    fn insert(&mut self, key: u64, wait: Registered) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(key, wait),
            Self::One(first, before) => Self::Many(BTreeMap::from([(first, before), (key, wait)])),
            Self::Many(mut map) => {
                map.insert(key, wait);
                Self::Many(map)
            }
        };
    }

    fn get_mut(&mut self, key: u64) -> Option<&mut Registered> {
        match self {
            Self::One(only, wait) if *only == key => Some(wait),
            Self::Many(map) => map.get_mut(&key),
            _ => None,
        }
    }

    fn remove(&mut self, key: u64) -> Option<Registered> {
        match self {
            Self::One(only, _) if *only == key => match std::mem::take(self) {
                Self::One(_, wait) => Some(wait),
                _ => None,
            },
            Self::Many(map) => map.remove(&key),
            _ => None,
        }
    }

    /// In order of registration.
    fn iter(&self) -> impl Iterator<Item = &Registered> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(_, wait) => (Some(wait), None),
            Self::Many(map) => (None, Some(map.values())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl Stepper {
    /// Begins a step with what is to be thrown in it.
    #[inline]
    pub(crate) fn begin(&self, injected: Thrown, waker: *const ()) {
        self.number.set(self.number.get() + 1);
        self.active.set(true);
        self.woken.set(false);
        self.waker.set(waker);
        let before = self.injected.replace(injected);
        drop(before);
    }

    /// Ends it; what was not taken.
    #[inline]
    pub(crate) fn end(&self) -> Thrown {
        self.active.set(false);
        self.injected.borrow_mut().take()
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
        self.injected.borrow().is_some()
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
        self.refused.borrow_mut().take()
    }

    #[inline]
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.borrow().is_some()
    }

    /// What it waits on, first what it came to first.
    pub(crate) fn waits(&self) -> Vec<Rc<dyn Awaitable>> {
        let waits = self.waits.borrow();
        let last = self.number.get();
        waits.iter().filter(|wait| wait.counts(last)).map(|wait| wait.on.clone()).collect()
    }

    /// Whether it waits on anything.
    #[inline]
    pub(crate) fn waits_on_something(&self) -> bool {
        let last = self.number.get();
        self.waits.borrow().iter().any(|wait| wait.counts(last))
    }

    /// Takes what is to be thrown in this step, for a leaf that has waited here since an earlier one.
    fn take_injected(&self, with: u64, since: u64) -> Option<Error> {
        if self.id != with || since >= self.number.get() || !self.has_untaken() {
            return None;
        }
        self.injected.borrow_mut().take().map(|error| *error)
    }

    /// The same for people.
    pub(crate) fn describe_waits(&self) -> Vec<Wait> {
        let describe = |on: Rc<dyn Awaitable>| {
            let head = on.head();
            Wait { on: head.on(), kind: head.kind(), place: Some(head.place()), holder: head.holder() }
        };
        self.waits().into_iter().map(describe).collect()
    }
}

thread_local! {
    static STACK: RefCell<Vec<Rc<dyn Stepping>>> = const { RefCell::new(Vec::new()) };
}

/// Puts `stepping` on the stack while the guard lives.
pub(crate) struct Entered;

impl Entered {
    #[inline]
    pub(crate) fn new(stepping: Rc<dyn Stepping>) -> Self {
        let _ = STACK.try_with(|stack| stack.borrow_mut().push(stepping));
        Self
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        let left = STACK.try_with(|stack| stack.borrow_mut().pop());
        drop(left);
    }
}

/// Who is being polled now: the innermost.
#[inline]
pub(crate) fn current() -> Option<Rc<dyn Stepping>> {
    STACK.try_with(|stack| stack.borrow().last().cloned()).ok().flatten()
}

/// The same, for a look at it: nothing of the user's may run in `look`.
fn look_at_current<R>(look: impl FnOnce(&dyn Stepping) -> R) -> Option<R> {
    STACK.try_with(|stack| stack.borrow().last().map(|current| look(&**current))).ok().flatten()
}

/// The task that is in its step now: the innermost; a coroutine driven by hand inside of it does not hide it.
pub(crate) fn current_task() -> Option<super::TaskRef> {
    let stack = STACK.try_with(|stack| stack.borrow().clone()).unwrap_or_default();
    stack.into_iter().rev().find_map(|stepping| stepping.task())
}

/// One leaf's part in all this: embedded in every future that waits on an [`Awaitable`].
#[derive(Default)]
pub(crate) struct Awaiting(Place);

#[derive(Default)]
enum Place {
    #[default]
    Nowhere,
    /// Registered with who polls it, and with what it waits on.
    Registered { with: Option<Rc<dyn Stepping>>, on: Rc<dyn Awaitable>, waiter: u64, since: u64 },
    /// It refused to wait, and its error comes in the next step of the stepper with this id.
    Refused { with: u64, since: u64 },
    /// A bare yield; the id is 0 if nobody's step it was.
    Yielded { with: u64, since: u64 },
}

impl Awaiting {
    /// Waits on `on`. Ready with `Ok` once it is done, with `Err` if something is thrown here.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, on: &Rc<dyn Awaitable>) -> Poll<Result<()>> {
        let current = current();
        let refused = matches!(self.0, Place::Refused { .. });
        let keeps_its_own = || !refused && on.error().is_some_and(|own| own.is_cancelled());
        if let Some(current) = &current
            && let Some(error) = self.thrown(current, keeps_its_own)
        {
            if on.head().done() {
                // asyncio has read the outcome by now, and throws the cancellation in its place.
                on.head().retrieved();
            }
            self.release();
            return Poll::Ready(Err(error));
        }
        if on.head().done() {
            self.release();
            return Poll::Ready(Ok(()));
        }
        if let Some(current) = &current
            && let Some(error) = refusal(current, on)
        {
            let since = current.stepper().number.get();
            *current.stepper().refused.borrow_mut() = Some(Box::new(error));
            self.0 = Place::Refused { with: current.stepper().id, since };
            return Poll::Pending;
        }
        self.register(cx, current, on);
        Poll::Pending
    }

    /// A bare yield: pending once, and the next step is queued at the end of this one.
    pub(crate) fn poll_yield(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Place::Yielded { with, since } = self.0 {
            self.0 = Place::Nowhere;
            let error = look_at_current(|current| current.stepper().take_injected(with, since)).flatten();
            return Poll::Ready(error.map_or(Ok(()), Err));
        }
        let current = look_at_current(|current| {
            let stepper = current.stepper();
            let own_waker = stepper.waker.get() == cx.waker().data();
            if own_waker {
                stepper.wake();
            }
            (stepper.id, stepper.number.get(), own_waker)
        });
        let (with, since, woken) = current.unwrap_or_default();
        if !woken {
            cx.waker().wake_by_ref();
        }
        self.0 = Place::Yielded { with, since };
        Poll::Pending
    }

    /// The injected error, if this leaf was pending in an earlier step of `current`.
    fn thrown(&self, current: &Rc<dyn Stepping>, keeps_its_own: impl Fn() -> bool) -> Option<Error> {
        let (with, since) = match &self.0 {
            Place::Registered { with: Some(with), since, .. } => (with.stepper().id, *since),
            Place::Refused { with, since } => (*with, *since),
            _ => return None,
        };
        let error = current.stepper().take_injected(with, since);
        error.filter(|_| !keeps_its_own())
    }

    fn register(&mut self, cx: &Context<'_>, current: Option<Rc<dyn Stepping>>, on: &Rc<dyn Awaitable>) {
        let own_waker =
            current.as_ref().is_some_and(|current| current.stepper().waker.get() == cx.waker().data());
        if let Place::Registered { with: Some(with), on: before, waiter, .. } = &self.0
            && let Some(current) = &current
            && same(with, current)
            && Rc::ptr_eq(before, on)
            && own_waker
            && let Some(wait) = current.stepper().waits.borrow_mut().get_mut(*waiter)
            && wait.own_waker
        {
            wait.seen = current.stepper().number.get();
            return;
        }
        let first = match &self.0 {
            Place::Registered { since, with: Some(with), .. }
                if current.as_ref().is_some_and(|current| same(with, current)) =>
            {
                Some(*since)
            }
            _ => None,
        };
        self.release();
        let waiter = match &current {
            Some(current) if own_waker && current.task_head().is_some() => Waiter::Step(current.clone()),
            _ => Waiter::Waker(cx.waker().clone()),
        };
        let waiter = on.head().add_waiter(waiter);
        let since = first.unwrap_or_else(|| current.as_ref().map_or(0, |c| c.stepper().number.get()));
        if let Some(current) = &current {
            let seen = current.stepper().number.get();
            let wait = Registered { on: on.clone(), seen, own_waker };
            current.stepper().waits.borrow_mut().insert(waiter, wait);
        }
        self.0 = Place::Registered { with: current, on: on.clone(), waiter, since };
    }

    /// Takes the registration back: the leaf is done, or is dropped.
    pub(crate) fn release(&mut self) {
        if let Place::Registered { with, on, waiter, .. } = std::mem::take(&mut self.0) {
            drop(on.head().remove_waiter(waiter));
            if let Some(with) = with {
                let wait = with.stepper().waits.borrow_mut().remove(waiter);
                drop(wait);
            }
        }
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.release();
    }
}

fn same(a: &Rc<dyn Stepping>, b: &Rc<dyn Stepping>) -> bool {
    a.stepper().id == b.stepper().id
}

/// Why `current` may not wait on `on`, if it may not: asyncio's two errors, thrown in the next step.
fn refusal(current: &Rc<dyn Stepping>, on: &Rc<dyn Awaitable>) -> Option<Error> {
    if current.is(&**on) {
        let name = current.clone().task()?.name();
        return Some(Error::Runtime(format!("Task cannot await on itself: {name}").into()));
    }
    if current.task_head()?.has_the_loop_of(on.head()) {
        return None;
    }
    let task = current.clone().task()?;
    let text = format!(
        "Task {} got Future {} {} attached to a different loop",
        task.name(),
        on.head().kind(),
        on.head().id()
    );
    Some(Error::Runtime(text.into()))
}
