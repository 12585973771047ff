//! Steps: what is being polled now, what it waits on, and what is to be thrown into it.
//!
//! This is where asyncio's "throw into the coroutine at its await" becomes Rust. Each task (and each `Coroutine` driven
//! by hand) has a [`Stepper`]; while it is polled it is the thread's current one, and the leaf futures that it awaits find
//! it there. It promises:
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
    injected: Cell<Thrown>,
    /// Thrown by a leaf that refused to wait, to be delivered in the next step (a task that awaits itself).
    refused: Cell<Thrown>,
    waits: RefCell<Waits>,
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
    fn insert(&mut self, key: u64, wait: Registered) {
        match self {
            Self::None => *self = Self::One(key, wait),
            _ => self.insert_another(key, wait),
        }
    }

    #[cold]
    fn insert_another(&mut self, key: u64, wait: Registered) {
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
    pub(crate) fn begin(&self, injected: Thrown) {
        self.number.set(self.number.get() + 1);
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
    #[inline]
    fn take_injected(&self, with: u64, since: u64) -> Thrown {
        if self.id != with || since >= self.number.get() {
            return None;
        }
        self.injected.take()
    }

    /// Notes that the leaf with this registration was polled again, through the task's own waker, for the same `on`.
    /// False if that is not how it was registered.
    fn is_polled_again(&self, key: u64, on: &Rc<dyn Awaitable>) -> bool {
        let mut waits = self.waits.borrow_mut();
        let Some(wait) = waits.get_mut(key).filter(|wait| wait.own_waker && Rc::ptr_eq(&wait.on, on)) else {
            return false;
        };
        wait.seen = self.number.get();
        true
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

/// Whether there is anything in a cell whose content cannot be looked at.
pub(super) fn is_some<T>(cell: &Cell<Option<T>>) -> bool {
    let content = cell.take();
    let is_some = content.is_some();
    cell.set(content);
    is_some
}

/// Who is being polled.
#[derive(Clone)]
pub(crate) struct Current {
    stepping: Rc<dyn Stepping>,
    /// The data pointer of the waker that it is polled with: tells its own waker from any other.
    waker: *const (),
}

thread_local! {
    /// The innermost, which every leaf asks for.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// Those in whose polls it is being polled: coroutines driven by hand, and loops inside of loops.
    static OUTER: RefCell<Vec<Current>> = const { RefCell::new(Vec::new()) };
}

/// Makes `stepping` the current one while the guard lives.
pub(crate) struct Entered {
    nested: bool,
}

impl Entered {
    /// `waker` is the data pointer of the waker that it is polled with.
    #[inline]
    pub(crate) fn new(stepping: Rc<dyn Stepping>, waker: *const ()) -> Self {
        let entered = Some(Current { stepping, waker });
        let outer = CURRENT.try_with(|current| current.replace(entered)).ok().flatten();
        let nested = outer.is_some();
        if let Some(outer) = outer {
            let _ = OUTER.try_with(|stack| stack.borrow_mut().push(outer));
        }
        Self { nested }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        let outer =
            if self.nested { OUTER.try_with(|stack| stack.borrow_mut().pop()).ok().flatten() } else { None };
        let left = CURRENT.try_with(|current| current.replace(outer));
        drop(left);
    }
}

/// Who is being polled now: the innermost.
#[inline]
fn current() -> Option<Current> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The same, for a look at it: nothing of the user's may run in `look`.
#[inline]
fn look_at_current<R>(look: impl FnOnce(&Stepper, *const ()) -> R) -> Option<R> {
    let look = |current: &Current| look(current.stepping.stepper(), current.waker);
    CURRENT.try_with(|current| current.borrow().as_ref().map(look)).ok().flatten()
}

/// The task that is in its step now: the innermost; a coroutine driven by hand inside of it does not hide it.
pub(crate) fn current_task() -> Option<super::TaskRef> {
    let outer = || OUTER.try_with(|stack| stack.borrow().clone()).unwrap_or_default();
    let task = |current: Current| current.stepping.task();
    current().and_then(task).or_else(|| outer().into_iter().rev().find_map(task))
}

/// One leaf's part in all this: embedded in every future that waits on an [`Awaitable`].
#[derive(Default)]
pub(crate) struct Awaiting(Place);

#[derive(Default)]
enum Place {
    #[default]
    Nowhere,
    /// Registered with what it waits on, and with who polls it: that one knows on what.
    Registered { with: Rc<dyn Stepping>, waiter: u64, since: u64 },
    /// Registered only with what it waits on: polled outside of any step.
    Alone { on: Rc<dyn Awaitable>, waiter: u64 },
    /// It refused to wait, and its error comes in the next step of the stepper with this id.
    Refused { with: u64, since: u64 },
    /// A bare yield; the id is 0 if nobody's step it was.
    Yielded { with: u64, since: u64 },
}

impl Awaiting {
    /// Waits on `on`. Ready with `Ok` once it is done, with `Err` if something is thrown here.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, on: &Rc<dyn Awaitable>) -> Poll<Result<()>> {
        let head = on.head();
        if let Some(error) = self.thrown(&**on) {
            if head.done() {
                // asyncio has read the outcome by now, and throws the cancellation in its place.
                head.retrieved();
            }
            self.release();
            return Poll::Ready(Err(error));
        }
        if head.done() {
            self.release();
            return Poll::Ready(Ok(()));
        }
        self.wait(cx, on, head);
        Poll::Pending
    }

    /// Registers with what is not done yet, or refuses to wait.
    fn wait(&mut self, cx: &mut Context<'_>, on: &Rc<dyn Awaitable>, head: &Head) {
        let Some(current) = current() else {
            self.release();
            let waiter = head.add_waiter(Waiter::Waker(cx.waker().clone()));
            self.0 = Place::Alone { on: on.clone(), waiter };
            return;
        };
        let task = current.stepping.task_head();
        if let Some(error) = task.and_then(|task| refusal(&current.stepping, task, head)) {
            let stepper = current.stepping.stepper();
            stepper.refused.set(Some(Box::new(error)));
            self.release();
            self.0 = Place::Refused { with: stepper.id, since: stepper.number.get() };
            return;
        }
        let is_task = task.is_some();
        self.register(cx, current, is_task, on);
    }

    /// A bare yield: pending once, and the next step is queued at the end of this one.
    pub(crate) fn poll_yield(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Place::Yielded { with, since } = self.0 {
            self.0 = Place::Nowhere;
            let error = look_at_current(|stepper, _| stepper.take_injected(with, since)).flatten();
            return Poll::Ready(error.map_or(Ok(()), |error| Err(*error)));
        }
        let current = look_at_current(|stepper, waker| {
            let own_waker = waker == cx.waker().data();
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

    /// The injected error, if this leaf was pending in an earlier step of the current one.
    #[inline]
    fn thrown(&self, on: &dyn Awaitable) -> Option<Error> {
        let (with, since, refused) = match &self.0 {
            Place::Registered { with, since, .. } => {
                let stepper = with.stepper();
                if !stepper.has_untaken() {
                    return None;
                }
                (stepper.id, *since, false)
            }
            Place::Refused { with, since } => (*with, *since, true),
            _ => return None,
        };
        let error = look_at_current(|stepper, _| stepper.take_injected(with, since)).flatten()?;
        let keeps_its_own = !refused && on.error().is_some_and(|own| own.is_cancelled());
        (!keeps_its_own).then_some(*error)
    }

    #[inline]
    fn register(&mut self, cx: &Context<'_>, current: Current, is_task: bool, on: &Rc<dyn Awaitable>) {
        let Current { stepping, waker } = current;
        let stepper = stepping.stepper();
        let own_waker = waker == cx.waker().data();
        let now = stepper.number.get();
        let mut since = now;
        if let Place::Registered { with, waiter, since: first } = &self.0
            && same(with, &stepping)
        {
            if own_waker && stepper.is_polled_again(*waiter, on) {
                return;
            }
            since = *first;
        }
        self.release();
        let waiter = if own_waker && is_task {
            Waiter::Step(stepping.clone())
        } else {
            Waiter::Waker(cx.waker().clone())
        };
        let waiter = on.head().add_waiter(waiter);
        let wait = Registered { on: on.clone(), seen: now, own_waker };
        stepper.waits.borrow_mut().insert(waiter, wait);
        self.0 = Place::Registered { with: stepping, waiter, since };
    }

    /// Takes the registration back: the leaf is done, or is dropped.
    #[inline]
    pub(crate) fn release(&mut self) {
        if !matches!(self.0, Place::Nowhere) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        match std::mem::take(&mut self.0) {
            Place::Registered { with, waiter, .. } => {
                let wait = with.stepper().waits.borrow_mut().remove(waiter);
                // Who is done has forgotten all who waited.
                if let Some(wait) = wait.filter(|wait| !wait.on.head().done()) {
                    drop(wait.on.head().remove_waiter(waiter));
                }
            }
            Place::Alone { on, waiter } => drop(on.head().remove_waiter(waiter)),
            _ => {}
        }
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.release();
    }
}

fn same(a: &Rc<dyn Stepping>, b: &Rc<dyn Stepping>) -> bool {
    std::ptr::addr_eq(Rc::as_ptr(a), Rc::as_ptr(b))
}

/// Why `current`, which has the head `task`, may not wait on what has the head `on`, if it may not: asyncio's two errors,
/// thrown in the next step.
#[inline]
fn refusal(current: &Rc<dyn Stepping>, task: &Head, on: &Head) -> Option<Error> {
    let itself = std::ptr::eq(task, on);
    if itself || !task.has_the_loop_of(on) { Some(refused(current, on, itself)) } else { None }
}

#[cold]
fn refused(current: &Rc<dyn Stepping>, on: &Head, itself: bool) -> Error {
    let name = current.clone().task().map(|task| task.name());
    let name = name.as_deref().unwrap_or_default();
    let text = if itself {
        format!("Task cannot await on itself: {name}")
    } else {
        format!("Task {name} got Future {} {} attached to a different loop", on.kind(), on.id())
    };
    Error::Runtime(text.into())
}
