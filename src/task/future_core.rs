//! The core: what a future and a task have in common, whatever their type.
//!
//! It promises that the state goes one way, that completing walks *one* list in order of registration, and that nothing
//! of the user's is called while it does: waiting tasks and done callbacks are pushed to the ready queue. (Rejected:
//! completing through `call_soon(wake)`, which would cost a turn more than asyncio.)
//!
//! ```text
//!             1 set_result / a body returns      ──▶ OK
//!   PENDING ──2 set_error / a body fails         ──▶ ERR
//!             3 cancel() / a body ends cancelled ──▶ CANCELLED        (no arrow leads back, and none across)
//! ```

use crate::error::{Error, Result};
use crate::event_loop::{
    Callback, Dependant, Dependence, Entry, EventLoop, ExceptionContext, Inner, PushInfo, report,
};
use crate::panics::{drop_all, drop_quietly};
use crate::trace::{Done, On, Place};
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

/// The message of a cancellation.
pub(crate) type CancelMessage = Option<Arc<str>>;

/// A future, a task, a sleep, a gathering: whatever can be waited on and cancelled.
pub(crate) trait AnyFuture: Any {
    fn core(&self) -> &FutureCore;
    /// What it failed or was cancelled with; reading it here does not count as retrieving.
    fn error(&self) -> Option<Error>;
    /// What cancelling it means; `cancel` makes the walk.
    fn begin_cancel(self: Rc<Self>, message: &CancelMessage) -> Begin;
    /// All that it forwarded the cancellation to has answered; `accepted` if any did. Whether it accepts.
    fn end_cancel(self: Rc<Self>, _accepted: bool, _message: &CancelMessage) -> bool {
        true
    }
    /// It waits, through others, on itself: nobody else will ever queue it, and a cancellation must. False if it is
    /// nothing that can be queued.
    fn break_circle(self: Rc<Self>) -> bool {
        false
    }
    fn into_any(self: Rc<Self>) -> Rc<dyn Any>;
    fn as_any_future(self: Rc<Self>) -> Rc<dyn AnyFuture>;
}

/// What cancelling one object begins with.
pub(crate) enum Begin {
    /// It is decided: whether the request was accepted.
    Decided(bool),
    /// Ask these first, then [`AnyFuture::end_cancel`].
    Forward(Vec<Rc<dyn AnyFuture>>),
    /// The walk came back to a task that it is just asking.
    Circle,
}

/// Who waits through a task's own waker: whatever has a step that can be queued.
pub(crate) trait Woken {
    /// What it waited on is done: its step is due.
    fn wakeup(self: Rc<Self>, lp: &EventLoop, cause: Option<On>);
}

/// An awaitable with a value.
pub(crate) trait FutureOf<T>: AnyFuture {
    /// The outcome of one that is done; marks it as retrieved.
    fn outcome(&self) -> Result<T>;
}

pub(crate) struct FutureCore {
    lp: Weak<Inner>,
    id: u64,
    is_task: bool,
    kind: &'static str,
    place: Place,
    state: Cell<Option<Done>>,
    /// Failed, and nobody has read it yet.
    unretrieved: Cell<bool>,
    waiters: Cell<Waiters>,
    rare: OnceCell<Box<Rare>>,
}

/// What few have: boxed, so that it costs the many a pointer only.
#[derive(Default)]
struct Rare {
    /// The message of its cancellation.
    message: RefCell<CancelMessage>,
    /// Kept by a lock: who holds what is waited for.
    holder: OnceCell<Holder>,
    /// Ends it with its loop: it has callbacks.
    dependence: OnceCell<Dependence>,
}

/// The number of the task that holds something, kept up to date by its owner; shared with those who wait for it.
pub(crate) type Holder = Rc<Cell<Option<u64>>>;

/// Who is to hear of the completion, in order of registration. Most have one, jobs two; a tree is for those of whom so many
/// may go again that looking through a list would take long.
#[derive(Default)]
enum Waiters {
    #[default]
    None,
    One(u64, Waiter),
    Few(Vec<(u64, Waiter)>),
    Many(BTreeMap<u64, Waiter>),
}

/// How many are few.
const FEW: usize = 8;

pub(crate) enum Waiter {
    /// A task that waits through its own waker: it is pushed itself.
    Step(Rc<dyn Woken>),
    /// Anything else that polls futures: `join!`, `FuturesUnordered`, another executor.
    Waker(Waker),
    /// A done callback.
    Callback(Rc<Callback>),
}

impl FutureCore {
    pub(crate) fn future(lp: &EventLoop, kind: &'static str, place: Place) -> Self {
        let core = Self::new(lp.downgrade(), lp.0.next_object(), false, kind, place);
        lp.0.future_made(core.id, kind, Some(place));
        core
    }

    pub(crate) fn task(lp: Weak<Inner>, id: u64, place: Place) -> Self {
        Self::new(lp, id, true, "task", place)
    }

    fn new(lp: Weak<Inner>, id: u64, is_task: bool, kind: &'static str, place: Place) -> Self {
        Self {
            lp,
            id,
            is_task,
            kind,
            place,
            state: Cell::new(None),
            unretrieved: Cell::new(false),
            waiters: Cell::default(),
            rare: OnceCell::new(),
        }
    }

    /// Makes it the core of another future of its loop, as if it was new. Whoever owns it knows that nobody waits.
    #[inline]
    pub(crate) fn renew(&mut self, lp: &EventLoop, kind: &'static str, place: Place) {
        self.id = lp.0.next_object();
        (self.kind, self.place) = (kind, place);
        *self.state.get_mut() = None;
        *self.unretrieved.get_mut() = false;
        *self.waiters.get_mut() = Waiters::None;
        if self.rare.get().is_some() {
            self.rare = OnceCell::new();
        }
        lp.0.future_made(self.id, kind, Some(place));
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn on(&self) -> On {
        if self.is_task { On::Task(self.id) } else { On::Future(self.id) }
    }

    pub(crate) fn set_holder(&self, holder: Holder) {
        let _ = self.rare.get_or_init(Box::default).holder.set(holder);
    }

    pub(crate) fn holder(&self) -> Option<u64> {
        self.rare.get()?.holder.get()?.get()
    }

    #[inline]
    pub(crate) fn event_loop(&self) -> Option<EventLoop> {
        self.lp.upgrade().map(EventLoop)
    }

    /// Registers its owner as a dependant of the loop, once.
    pub(crate) fn end_with_loop(&self, owner: Weak<dyn Dependant>) {
        let dependence = &self.rare.get_or_init(Box::default).dependence;
        if dependence.get().is_none()
            && let Some(made) = self.event_loop().and_then(|lp| lp.add_dependant(owner))
        {
            let _ = dependence.set(made);
        }
    }

    /// The loop is closed: its callbacks will never run, and what they hold is dropped. They stay registered, so that
    /// completing it still says that somebody cannot be told.
    pub(crate) fn forget_callbacks(&self) {
        let waiters = self.waiters.take();
        let callbacks = waiters.callbacks();
        self.waiters.set(waiters);
        callbacks.iter().for_each(|callback| callback.function.forget());
    }

    pub(crate) fn belongs_to(&self, lp: &EventLoop) -> bool {
        std::ptr::eq(self.lp.as_ptr(), Rc::as_ptr(&lp.0))
    }

    /// Whether both belong to the same loop.
    pub(crate) fn has_the_loop_of(&self, other: &Self) -> bool {
        self.lp.ptr_eq(&other.lp)
    }

    /// Belongs to no loop: a task that could not be made.
    pub(crate) fn has_no_loop(&self) -> bool {
        self.lp.ptr_eq(&Weak::new())
    }

    #[inline]
    pub(crate) fn done(&self) -> bool {
        self.state.get().is_some()
    }

    #[inline]
    pub(crate) fn cancelled(&self) -> bool {
        self.state.get() == Some(Done::Cancelled)
    }

    pub(crate) fn failed(&self) -> bool {
        self.state.get() == Some(Done::Err)
    }

    /// Whether it failed; asking counts as reading (`not f.cancelled() and f.exception() is not None`).
    pub(crate) fn failed_and_read(&self) -> bool {
        self.retrieved();
        self.failed()
    }

    /// The error of a cancelled one: the same message for every reader.
    pub(crate) fn cancelled_error(&self) -> Error {
        Error::Cancelled(self.rare.get().and_then(|rare| rare.message.borrow().clone()))
    }

    /// Why there is no result to read.
    pub(crate) fn no_result(&self) -> Error {
        Error::InvalidState(if self.done() {
            "the result was taken by into_output"
        } else {
            "Result is not set."
        })
    }

    /// The error of one that cannot fail otherwise.
    pub(crate) fn cancellation(&self) -> Option<Error> {
        self.cancelled().then(|| self.cancelled_error())
    }

    #[inline]
    pub(crate) fn set_message(&self, message: CancelMessage) {
        if message.is_some() || self.rare.get().is_some() {
            *self.rare.get_or_init(Box::default).message.borrow_mut() = message;
        }
    }

    /// Somebody has read the outcome (or tried to cancel it, which counts as much, as in asyncio).
    #[inline]
    pub(crate) fn retrieved(&self) {
        self.unretrieved.set(false);
    }

    pub(crate) fn is_unretrieved(&self) -> bool {
        self.unretrieved.get()
    }

    /// Registers who is to hear; a key to take it back with.
    #[inline]
    pub(crate) fn add_waiter(&self, waiter: Waiter) -> u64 {
        // Keys only grow, so that a key of the past never names a later registration.
        let key = next_key();
        match self.waiters.replace(Waiters::One(key, waiter)) {
            Waiters::None => {}
            before => self.put_behind(before),
        }
        key
    }

    /// Puts the one that has just come behind those who were there.
    #[cold]
    fn put_behind(&self, before: Waiters) {
        if let Waiters::One(key, waiter) = self.waiters.take() {
            self.waiters.set(before.and(key, waiter));
        }
    }

    /// Takes a registration back. It is returned so that it is dropped with no borrow held.
    #[inline]
    pub(crate) fn remove_waiter(&self, key: u64) -> Option<Waiter> {
        match self.waiters.take() {
            Waiters::None => None,
            Waiters::One(only, waiter) if only == key => Some(waiter),
            mut several => {
                let removed = several.remove(key);
                self.waiters.set(several);
                removed
            }
        }
    }

    /// Takes a registration back and drops it.
    #[inline]
    pub(crate) fn drop_waiter(&self, key: u64) {
        if let Some(waiter) = self.remove_waiter(key) {
            waiter.discard();
        }
    }

    /// Drops all registrations without waking anything.
    pub(crate) fn drop_waiters(&self) {
        self.waiters.take().discard();
    }
}

impl Drop for FutureCore {
    #[inline]
    fn drop(&mut self) {
        match self.waiters.take() {
            Waiters::None => {}
            waiters => waiters.discard(),
        }
    }
}

impl Waiter {
    /// Drops it: a waker and a callback are the user's, a task is not.
    #[inline]
    fn discard(self) {
        match self {
            Self::Step(_) => {}
            others => drop_quietly(others),
        }
    }
}

/// Arrows 1, 2 and 3: sets the state and queues everything that waits. `error` is for the trace.
///
/// # Errors
/// [`Error::Closed`] if something waits and the loop is closed; the state has changed then, as in asyncio.
pub(crate) fn complete<A>(owner: &Rc<A>, state: Done, error: Option<&Error>) -> Result<()>
where
    A: AnyFuture + ?Sized,
{
    owner.core().complete(state, error, || owner.clone().into_any())
}

impl FutureCore {
    /// Completes a future that nothing outside of looplab can reach, so that it has no done callbacks.
    pub(crate) fn complete_private(&self, state: Done) -> Result<()> {
        self.complete(state, None, || Rc::new(()))
    }

    /// `owner` gives the future itself, for its done callbacks.
    fn complete<O>(&self, state: Done, error: Option<&Error>, owner: O) -> Result<()>
    where
        O: Fn() -> Rc<dyn Any>,
    {
        self.state.set(Some(state));
        self.unretrieved.set(state == Done::Err);
        let lp = self.event_loop();
        if let Some(lp) = &lp {
            lp.0.completed(self.on(), state, error);
        }
        let waiters = self.waiters.take();
        if let Waiters::None = waiters {
            return Ok(());
        }
        let Some(lp) = lp.filter(|lp| !lp.is_closed()) else {
            waiters.discard();
            return Err(Error::Closed);
        };
        let cause = Some(self.on());
        match waiters {
            Waiters::One(_, waiter) => waiter.notify(&lp, cause, &owner),
            several => several.into_iter().for_each(|waiter| waiter.notify(&lp, cause, &owner)),
        }
        Ok(())
    }
}

impl Waiter {
    /// Queues or wakes it, because `owner` is complete.
    #[inline]
    fn notify(self, lp: &EventLoop, cause: Option<On>, owner: impl Fn() -> Rc<dyn Any>) {
        match self {
            Self::Step(waiting) => waiting.wakeup(lp, cause),
            Self::Waker(waker) => {
                // A foreign waker that panics must not cost the others their wake-up.
                if let Err(error) = crate::event_loop::call(|| waker.wake()) {
                    let context = ExceptionContext::new("Exception in a waker").with_error(error);
                    report(Some(lp.clone()), context);
                }
            }
            Self::Callback(callback) => {
                callback.function.bind(owner());
                lp.0.enqueue(Entry::Callback(callback), PushInfo { cause, ..PushInfo::CALL_SOON });
            }
        }
    }
}

impl Waiters {
    /// These and one more.
    fn and(self, key: u64, waiter: Waiter) -> Self {
        match self {
            Self::None => Self::One(key, waiter),
            Self::One(first, before) => Self::Few(vec![(first, before), (key, waiter)]),
            Self::Few(mut list) if list.len() < FEW => {
                list.push((key, waiter));
                Self::Few(list)
            }
            Self::Few(list) => Self::Many(list.into_iter().chain([(key, waiter)]).collect()),
            Self::Many(mut map) => {
                map.insert(key, waiter);
                Self::Many(map)
            }
        }
    }

    /// Of several.
    fn remove(&mut self, key: u64) -> Option<Waiter> {
        match self {
            Self::Few(list) => {
                let place = list.iter().position(|(other, _)| *other == key)?;
                Some(list.remove(place).1)
            }
            Self::Many(map) => map.remove(&key),
            Self::None | Self::One(..) => None,
        }
    }

    #[cold]
    fn discard(self) {
        drop_all(self.into_iter());
    }

    /// The done callbacks among them.
    fn callbacks(&self) -> Vec<Rc<Callback>> {
        let callback = |waiter: &Waiter| match waiter {
            Waiter::Callback(callback) => Some(callback.clone()),
            Waiter::Step(_) | Waiter::Waker(_) => None,
        };
        match self {
            Self::None => Vec::new(),
            Self::One(_, waiter) => callback(waiter).into_iter().collect(),
            Self::Few(list) => list.iter().filter_map(|(_, waiter)| callback(waiter)).collect(),
            Self::Many(map) => map.values().filter_map(callback).collect(),
        }
    }

    fn into_iter(self) -> impl Iterator<Item = Waiter> {
        let (list, map) = match self {
            Self::None => (Vec::new(), BTreeMap::new()),
            Self::One(key, waiter) => (vec![(key, waiter)], BTreeMap::new()),
            Self::Few(list) => (list, BTreeMap::new()),
            Self::Many(map) => (Vec::new(), map),
        };
        list.into_iter().map(|(_, waiter)| waiter).chain(map.into_values())
    }
}

/// A number that this thread has not given before. Registration keys are per thread, as futures and tasks are.
#[inline]
pub(crate) fn next_key() -> u64 {
    thread_local! { static LAST: Cell<u64> = const { Cell::new(0) } }
    LAST.try_with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
    .unwrap_or(0)
}
