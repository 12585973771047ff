//! `gather`: several at once, one result.
//!
//! It guarantees asyncio's `gather` as of 3.12. The children start at the call. The first failure
//! goes to the awaiter at once, and the siblings run on. With `return_exceptions` every outcome is
//! a value. Cancelling the gathering cancels the children. It is over when all of them are, and
//! then cancelled, even if each child swallowed the request.
//!
//! It does not cancel the siblings of a child that fails: [`TaskGroup`](crate::TaskGroup) does.

mod children;

pub use children::{Tuple, Values};

use super::wait::distinct;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, FutureInfo, get_running_loop, report, running};
use crate::task::TaskRef;
use crate::task::cancel;
use crate::task::done_callback::add_done_callback;
use crate::task::ensure::{EnsureFuture, Ensured};
use crate::task::future_core::{AnyFuture, Begin, CancelMessage, FutureCore, FutureOf, downcast};
use crate::task::leaf::Leaf;
use crate::trace::{Done, Place};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

/// Runs several bodies, tasks or futures at once, and awaits all of them (`asyncio.gather`). The
/// results come in the order of the arguments. Bodies become tasks now, not at the await.
///
/// The first error goes to the awaiter at once. The others run on, and later errors are dropped;
/// see [`Gather::return_exceptions`]. For arguments of different types there is
/// [`gather!`](crate::gather!).
///
/// ```
/// use looplab::{EventLoop, gather, yield_now};
/// async fn double(n: u32) -> looplab::Result<u32> {
///     yield_now().await?;
///     Ok(2 * n)
/// }
/// let lp = EventLoop::new()?;
/// assert_eq!(lp.run_until_complete(async { gather([double(1), double(2)]).await })?, [2, 4]);
/// # Ok::<(), looplab::Error>(())
/// ```
#[doc(alias = "asyncio.gather")]
#[track_caller]
pub fn gather<I>(children: I) -> Gather<Vec<<I::Item as EnsureFuture>::Value>>
where
    I: IntoIterator<Item: EnsureFuture<Value: Clone>>,
{
    gather_at(Location::caller(), children)
}

/// Gathers as [`gather`], and shows `place` in traces and reports.
pub(crate) fn gather_at<I>(place: Place, children: I) -> Gather<Vec<<I::Item as EnsureFuture>::Value>>
where
    I: IntoIterator<Item: EnsureFuture<Value: Clone>>,
{
    gather_with(place, |lp| {
        children.into_iter().map(|child| Ok(child.ensure(lp, place)?.of_loop(lp)?.share())).collect()
    })
}

/// What [`gather!`](crate::gather!) calls.
#[doc(hidden)]
#[track_caller]
pub fn gather_tuple<C: Tuple>(children: C) -> Gather<C::Values> {
    let place = Location::caller();
    gather_with(place, |lp| children.ensure(lp, place))
}

/// Gathers the children that `ensure` returns, on the running loop. An error is kept for the await.
fn gather_with<V: Values>(place: Place, ensure: impl FnOnce(&EventLoop) -> Result<V::Children>) -> Gather<V> {
    let gathered = |lp: EventLoop| Ok(Gathered::start(&lp, place, ensure(&lp)?));
    Gather { state: get_running_loop().and_then(gathered) }
}

/// Gathers tasks of a loop that need not run. Fails inside another running loop, as `gather` of
/// such tasks does there.
pub(crate) fn gather_on(lp: &EventLoop, tasks: &[TaskRef], place: Place) -> Result<GatherAll<Vec<()>>> {
    let here = running().unwrap_or_else(|| lp.clone());
    let children: Result<Vec<_>> =
        tasks.iter().map(|task| Ok(task.ensure(lp, place)?.of_loop(&here)?.share())).collect();
    Ok(Gather { state: Ok(Gathered::start(lp, place, children?)) }.return_exceptions())
}

/// Several at once. Created by [`gather`]. Awaiting it gives the values.
#[must_use = "the children run, but their values are not awaited"]
pub struct Gather<V: Values> {
    state: Result<Rc<Gathered<V>>>,
}

/// A gathering whose outcomes are all values. Created by [`Gather::return_exceptions`].
#[must_use = "the children run, but their values are not awaited"]
pub struct GatherAll<V: Values>(Gather<V>);

/// A gathering and its children, whose values it reads.
struct Gathered<V: Values> {
    cell: Rc<GatherCell>,
    children: V::Children,
}

/// The future of a gathering. It does not know the types of the children.
struct GatherCell {
    core: FutureCore,
    /// In the order of the arguments. A child that was given twice is here twice, and is asked
    /// twice to cancel, as in asyncio. Weak, because each pending child holds the gathering in its
    /// callback; `Gathered` keeps them alive.
    children: Vec<Weak<dyn AnyFuture>>,
    /// The number of different children.
    count: usize,
    return_exceptions: Cell<bool>,
    /// Children that were done at the call, until `settle` looks at them.
    done_at_once: RefCell<Vec<Rc<dyn AnyFuture>>>,
    finished: Cell<usize>,
    /// With `return_exceptions`, the finished children until all are finished: they are read
    /// together. asyncio keeps them too, when the handle of the gathering is dropped.
    unread: RefCell<Vec<Rc<dyn AnyFuture>>>,
    /// `cancel` reached a child, so the end will be a cancellation, whatever the children make of
    /// it.
    cancel_requested: Cell<bool>,
}

impl<V: Values> Gather<V> {
    /// Collects every outcome as a value: an error or a cancellation of a child does not end the
    /// gathering (`return_exceptions=True`). Call it before anything else.
    ///
    /// ```
    /// use looplab::{Error, EventLoop, gather};
    /// async fn half(n: u32) -> looplab::Result<u32> {
    ///     if n % 2 == 0 { Ok(n / 2) } else { Err(Error::msg("odd")) }
    /// }
    /// let lp = EventLoop::new()?;
    /// let halves = lp.run_until_complete(async { gather([half(4), half(5)]).return_exceptions().await })?;
    /// assert!(matches!(&halves[..], [Ok(2), Err(_)]));
    /// # Ok::<(), looplab::Error>(())
    /// ```
    pub fn return_exceptions(self) -> GatherAll<V> {
        if let Ok(gathered) = &self.state {
            gathered.cell.return_exceptions.set(true);
        }
        GatherAll(self)
    }

    /// Cancels the children that are not done (`outer.cancel()`), and returns whether any of them
    /// accepted. The gathering is over when all of them are, and then cancelled.
    pub fn cancel(&self) -> bool {
        self.settled().is_some_and(|cell| cancel::cancel(cell, &None))
    }

    /// Returns whether it is over: all children done, or one failed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.settled().is_none_or(|cell| cell.core.done())
    }

    /// Returns whether it was cancelled *as a future*. As in asyncio, a gathering that ends because
    /// its children were cancelled is not cancelled itself: the cancellation is its error.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.settled().is_some_and(|cell| cell.core.cancelled())
    }

    fn settled(&self) -> Option<Rc<GatherCell>> {
        let cell = &self.state.as_ref().ok()?.cell;
        cell.settle();
        Some(cell.clone())
    }

    /// Returns it as a future whose outcome is what `read` returns.
    fn ensured<R: 'static>(self, read: fn(&dyn Any) -> Result<R>) -> Result<Ensured<R>> {
        let gathered = self.state?;
        gathered.cell.settle();
        Ok(Ensured::Shared(FutureOf { future: gathered.cell.clone(), source: Some(gathered), read }))
    }
}

impl<V: Values> Gathered<V> {
    fn start(lp: &EventLoop, place: Place, children: V::Children) -> Rc<Self> {
        let all = V::futures(&children);
        let weak = all.iter().map(Rc::downgrade).collect();
        let different = distinct(all, Rc::clone);
        let count = different.len();
        let (done, pending): (Vec<_>, Vec<_>) = different.into_iter().partition(|child| child.core().done());
        let cell = Rc::new(GatherCell {
            core: FutureCore::future(lp, "gather", place),
            children: weak,
            count,
            return_exceptions: Cell::new(false),
            done_at_once: RefCell::new(done),
            finished: Cell::new(0),
            unread: RefCell::default(),
            cancel_requested: Cell::new(false),
        });
        for child in pending {
            let (cell, weak) = (cell.clone(), Rc::downgrade(&child));
            add_done_callback(child, place, "gather", move |_| {
                weak.upgrade().map_or(Ok(()), |child| cell.child_done(child))
            });
        }
        Rc::new(Self { cell, children })
    }

    fn values(&self) -> Result<V> {
        self.cell.core.check_error()?;
        V::values(&self.children)
    }

    fn results(&self) -> Result<V::Results> {
        self.cell.core.check_error()?;
        Ok(V::results(&self.children))
    }
}

/// Settles a gathering that was never awaited: the errors of children that were done at the call
/// are reported as its own.
impl<V: Values> Drop for Gathered<V> {
    fn drop(&mut self) {
        self.cell.settle();
    }
}

impl<V: Values> GatherAll<V> {
    /// Cancels it as [`Gather::cancel`] does.
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// Returns whether it is over, as [`Gather::done`] does.
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.done()
    }
}

impl GatherCell {
    /// Looks at the children that were done at the call. This happens when the gathering is first
    /// used, because only then `return_exceptions` is decided.
    fn settle(self: &Rc<Self>) {
        let done = std::mem::take(&mut *self.done_at_once.borrow_mut());
        let nothing_to_do = self.children.is_empty() && !self.core.done();
        for child in done {
            // Completing fails only on a closed loop, where nothing waits.
            let _ = self.child_done(child);
        }
        if nothing_to_do {
            let _ = self.core.complete(Done::Ok, || self.clone());
        }
    }

    fn child_done(self: &Rc<Self>, child: Rc<dyn AnyFuture>) -> Result<()> {
        self.settle();
        self.finished.set(self.finished.get() + 1);
        if self.core.done() {
            child.core().mark_retrieved();
            return Ok(());
        }
        if !self.return_exceptions.get() {
            child.core().mark_retrieved();
            if let Some(error) = child.core().error() {
                return self.fail(error);
            }
        }
        if self.finished.get() < self.count {
            if self.return_exceptions.get() {
                self.unread.borrow_mut().push(child);
            }
            return Ok(());
        }
        // With `return_exceptions` the errors are read only now, all together.
        let children = self.living_children();
        drop(self.unread.take());
        for child in &children {
            child.core().mark_retrieved();
        }
        match children.last() {
            Some(last) if self.cancel_requested.get() => self.fail(last.core().cancelled_error()),
            _ => self.core.complete(Done::Ok, || self.clone()),
        }
    }

    fn living_children(&self) -> Vec<Rc<dyn AnyFuture>> {
        self.children.iter().filter_map(Weak::upgrade).collect()
    }

    fn fail(self: &Rc<Self>, error: Error) -> Result<()> {
        self.core.fail(error, || self.clone())
    }
}

/// Reports an error that no await has read, as asyncio does.
impl Drop for GatherCell {
    fn drop(&mut self) {
        if let Some(error) = self.core.take_unretrieved() {
            let info = FutureInfo { id: self.core.id(), place: self.core.place };
            let context = ExceptionContext::new("_GatheringFuture exception was never retrieved");
            report(self.core.event_loop(), context.with_error(error).with_future(info));
        }
    }
}

impl AnyFuture for GatherCell {
    fn core(&self) -> &FutureCore {
        &self.core
    }

    fn begin_cancel(&self, _: &CancelMessage) -> Begin {
        // Cancelling a plain future that has failed counts as reading its error; here it does not.
        if self.core.done() { Begin::Decided(false) } else { Begin::Forward(self.living_children()) }
    }

    fn end_cancel(&self, accepted: bool, _: &CancelMessage) -> bool {
        if accepted {
            self.cancel_requested.set(true);
        }
        accepted
    }
}

impl<V: Values> EnsureFuture for Gather<V> {
    type Value = V;

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<V>> {
        self.ensured(|source| downcast::<Gathered<V>>(source).values())
    }
}

impl<V: Values> EnsureFuture for GatherAll<V> {
    type Value = V::Results;

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<V::Results>> {
        self.0.ensured(|source| downcast::<Gathered<V>>(source).results())
    }
}

impl<V: Values> IntoFuture for Gather<V> {
    type Output = Result<V>;
    type IntoFuture = Gathering<V, V>;
    fn into_future(self) -> Self::IntoFuture {
        Gathering::of(self, Gathered::values)
    }
}

impl<V: Values> IntoFuture for GatherAll<V> {
    type Output = Result<V::Results>;
    type IntoFuture = Gathering<V, V::Results>;
    fn into_future(self) -> Self::IntoFuture {
        Gathering::of(self.0, Gathered::results)
    }
}

/// Awaits a gathering. Created by awaiting a [`Gather`] or [`GatherAll`].
#[must_use = "futures do nothing unless awaited"]
pub struct Gathering<V: Values, R> {
    /// `None` if the gathering has failed to start.
    leaf: Option<Leaf>,
    gather: Gather<V>,
    read: fn(&Gathered<V>) -> Result<R>,
}

impl<V: Values, R> Gathering<V, R> {
    fn of(gather: Gather<V>, read: fn(&Gathered<V>) -> Result<R>) -> Self {
        let leaf = gather.state.as_ref().ok().map(|gathered| Leaf::new(gathered.cell.clone()));
        Self { leaf, gather, read }
    }
}

impl<V: Values, R> Future for Gathering<V, R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let this = &mut *self;
        let gathered = this.gather.state.as_ref().map_err(Clone::clone)?;
        gathered.cell.settle();
        if let Some(leaf) = &mut this.leaf {
            ready!(leaf.poll(cx))?;
        }
        Poll::Ready((this.read)(gathered))
    }
}

impl<V: Values> fmt::Debug for Gather<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.as_deref() {
            Ok(Gathered { cell, .. }) => {
                write!(f, "<Gather of {}, {} done>", cell.count, cell.finished.get())
            }
            Err(error) => write!(f, "<Gather failed: {error}>"),
        }
    }
}

impl<V: Values> fmt::Debug for GatherAll<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<V: Values, R> fmt::Debug for Gathering<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gather.fmt(f)
    }
}
