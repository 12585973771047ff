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
use crate::error::Result;
use crate::event_loop::{EventLoop, get_running_loop, running};
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
    Gather { state: get_running_loop().and_then(gathered), read: Gathered::<V>::values }
}

/// Gathers tasks of a loop that need not run. Fails inside another running loop, as `gather` of
/// such tasks does there.
pub(crate) fn gather_on(lp: &EventLoop, tasks: &[TaskRef], place: Place) -> Result<GatherAll<Vec<()>>> {
    let here = running().unwrap_or_else(|| lp.clone());
    let children: Result<Vec<_>> =
        tasks.iter().map(|task| Ok(task.ensure(lp, place)?.of_loop(&here)?.share())).collect();
    let gathered = Gathered::<Vec<()>>::start(lp, place, children?);
    Ok(Gather { state: Ok(gathered), read: Gathered::<Vec<()>>::values }.return_exceptions())
}

/// Several at once. Created by [`gather`]. Awaiting it gives the values.
#[must_use = "the children run, but their values are not awaited"]
pub struct Gather<V: Values, R = V> {
    state: Result<Rc<Gathered<V>>>,
    /// Reads the outcome from the `Gathered<V>`.
    read: fn(&dyn Any) -> Result<R>,
}

/// A gathering whose outcomes are all values. Created by [`Gather::return_exceptions`].
pub type GatherAll<V> = Gather<V, <V as Values>::Results>;

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
        Gather { state: self.state, read: Gathered::<V>::results }
    }
}

impl<V: Values, R: 'static> Gather<V, R> {
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

    fn values(gathered: &dyn Any) -> Result<V> {
        let Self { cell, children } = downcast(gathered);
        cell.core.check_error()?;
        V::values(children)
    }

    fn results(gathered: &dyn Any) -> Result<V::Results> {
        let Self { cell, children } = downcast(gathered);
        cell.core.check_error()?;
        Ok(V::results(children))
    }
}

/// Settles a gathering that was never awaited: the errors of children that were done at the call
/// are reported as its own.
impl<V: Values> Drop for Gathered<V> {
    fn drop(&mut self) {
        self.cell.settle();
    }
}

impl GatherCell {
    /// Looks at the children that were done at the call. This happens when the gathering is first
    /// used, because only then `return_exceptions` is decided.
    fn settle(self: &Rc<Self>) {
        // Completing fails only on a closed loop, where nothing waits.
        if self.children.is_empty() && !self.core.done() {
            let _ = self.core.complete(Done::Ok, || self.clone());
        }
        for child in self.done_at_once.take() {
            let _ = self.child_done(child);
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
                return self.core.fail(error, || self.clone());
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
            Some(last) if self.cancel_requested.get() => {
                self.core.fail(last.core().cancelled_error(), || self.clone())
            }
            _ => self.core.complete(Done::Ok, || self.clone()),
        }
    }

    fn living_children(&self) -> Vec<Rc<dyn AnyFuture>> {
        self.children.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Reports an error that no await has read, as asyncio does.
impl Drop for GatherCell {
    fn drop(&mut self) {
        self.core.report_unretrieved("_GatheringFuture exception was never retrieved");
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

impl<V: Values, R: 'static> EnsureFuture for Gather<V, R> {
    type Value = R;

    fn ensure(self, _: &EventLoop, _: Place) -> Result<Ensured<R>> {
        let gathered = self.state?;
        gathered.cell.settle();
        let future = gathered.cell.clone();
        Ok(Ensured::Shared(FutureOf { future, source: Some(gathered), read: self.read }))
    }
}

impl<V: Values, R: 'static> IntoFuture for Gather<V, R> {
    type Output = Result<R>;
    type IntoFuture = Gathering<V, R>;
    fn into_future(self) -> Self::IntoFuture {
        let leaf = self.state.as_ref().ok().map(|gathered| Leaf::new(gathered.cell.clone()));
        Gathering { leaf, gather: self }
    }
}

/// Awaits a gathering. Created by awaiting a [`Gather`] or [`GatherAll`].
#[must_use = "futures do nothing unless awaited"]
pub struct Gathering<V: Values, R> {
    /// `None` if the gathering has failed to start.
    leaf: Option<Leaf>,
    gather: Gather<V, R>,
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
        Poll::Ready((this.gather.read)(&**gathered))
    }
}

impl<V: Values, R> fmt::Debug for Gather<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state.as_deref() {
            Ok(Gathered { cell, .. }) => {
                write!(f, "<Gather of {}, {} done>", cell.count, cell.finished.get())
            }
            Err(error) => write!(f, "<Gather failed: {error}>"),
        }
    }
}

impl<V: Values, R> fmt::Debug for Gathering<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gather.fmt(f)
    }
}
