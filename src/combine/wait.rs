//! Waiting for some of several: `asyncio.wait`.
//!
//! It promises asyncio's turns (there is no shortcut for what is done already), that it never cancels what it waits for
//! and never raises their errors, and that a timeout is no error. What is done is told by the state at the wake-up.

use super::timeout::set_timer;
use crate::error::{Error, Result};
use crate::event_loop::get_running_loop;
use crate::task::future_core::AnyFuture;
use crate::task::handles::{CallbackId, add_done_callback};
use crate::task::{Future, Task, TaskRef};
use crate::trace::Place;
use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

/// When [`wait`] is over (`return_when`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReturnWhen {
    /// When all are done.
    #[default]
    AllCompleted,
    /// When the first is done.
    FirstCompleted,
    /// When the first fails (a cancellation does not count), or all are done.
    FirstException,
}

/// A handle that [`wait`] can wait for: [`Task`], [`TaskRef`], [`Future`], or a reference to one. It cannot be implemented elsewhere.
pub trait Waitable: Clone + sealed::Waitable {}

impl<W: Clone + sealed::Waitable> Waitable for W {}

mod sealed {
    use super::{AnyFuture, Rc};

    pub trait Waitable {
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn awaitable(&self) -> Rc<dyn AnyFuture>;
    }
}

impl<T: 'static> sealed::Waitable for Task<T> {
    #[allow(private_interfaces)]
    fn awaitable(&self) -> Rc<dyn AnyFuture> {
        self.cell().clone()
    }
}

impl<T: 'static> sealed::Waitable for Future<T> {
    #[allow(private_interfaces)]
    fn awaitable(&self) -> Rc<dyn AnyFuture> {
        self.cell().clone()
    }
}

impl<W: sealed::Waitable> sealed::Waitable for &W {
    #[allow(private_interfaces)]
    fn awaitable(&self) -> Rc<dyn AnyFuture> {
        W::awaitable(self)
    }
}

impl sealed::Waitable for TaskRef {
    #[allow(private_interfaces)]
    fn awaitable(&self) -> Rc<dyn AnyFuture> {
        self.as_any_future()
    }
}

/// Those that are done, and those that are not.
pub type DoneAndPending<W> = (Vec<W>, Vec<W>);

/// Waits until all, the first, or the first failure of several is done, or until `timeout` has passed, and gives those
/// that are done and those that are not, in the order of the arguments (`asyncio.wait`).
///
/// It cancels nothing, also when it is cancelled itself, and reads no result: those who are done keep their errors.
///
/// Leaf fails with [`Error::Value`] if there is nothing to wait for, with [`Error::Cancelled`] if the waiter is
/// cancelled, and with [`Error::NoRunningLoop`] without a loop.
///
/// ```
/// use looplab::{EventLoop, ReturnWhen, create_task, sleep, wait};
/// use std::time::Duration;
/// let lp = EventLoop::new()?;
/// lp.run_until_complete(async {
///     let quick = create_task(async { Ok(1) });
///     let slow = create_task(async { sleep(Duration::from_secs(3600)).await?; Ok(2) });
///     let (done, pending) = wait([quick.clone(), slow.clone()], ReturnWhen::FirstCompleted, None).await?;
///     assert_eq!((done, pending), (vec![quick], vec![slow]));
///     Ok(())
/// })?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[track_caller]
pub fn wait<I>(
    several: I,
    when: ReturnWhen,
    timeout: Option<Duration>,
) -> impl std::future::Future<Output = Result<DoneAndPending<I::Item>>>
where
    I: IntoIterator<Item: Waitable>,
{
    let place = Location::caller();
    let mut unique: Vec<I::Item> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for one in several {
        if seen.insert(address(&one)) {
            unique.push(one);
        }
    }
    async move {
        if unique.is_empty() {
            return Err(Error::Value("Set of Tasks/Futures is empty.".into()));
        }
        let watch = Watch::start(&unique, when, timeout, place)?;
        (&watch.waiter).await?;
        Ok(unique.into_iter().partition(|one| sealed::Waitable::awaitable(one).core().done()))
    }
}

fn address(one: &impl Waitable) -> usize {
    std::ptr::from_ref(sealed::Waitable::awaitable(one).core()) as usize
}

/// The callbacks of one `wait`; dropping it takes them back (`finally` in asyncio's `_wait`).
struct Watch {
    waiter: Future<()>,
    timer: Rc<RefCell<Option<crate::event_loop::TimerHandle>>>,
    callbacks: Vec<(Rc<dyn AnyFuture>, CallbackId)>,
}

impl Watch {
    fn start<W: Waitable>(
        several: &[W],
        when: ReturnWhen,
        timeout: Option<Duration>,
        place: Place,
    ) -> Result<Self> {
        let lp = get_running_loop()?;
        let waiter = Future::of_kind(&lp, "wait", place);
        let timer = match timeout {
            Some(timeout) => {
                let waiter = waiter.clone();
                let (name, over) = ("wait", lp.0.deadline(timeout));
                Some(set_timer(&lp, place, name, over, move || release(&waiter))?)
            }
            None => None,
        };
        let timer = Rc::new(RefCell::new(timer));
        let left = Rc::new(Cell::new(several.len()));
        let mut callbacks = Vec::with_capacity(several.len());
        for one in several {
            let on = sealed::Waitable::awaitable(one);
            let (waiter, timer, left, one) = (waiter.clone(), timer.clone(), left.clone(), on.clone());
            let name = "wait";
            let id = add_done_callback(on.clone(), place, name, move |_| {
                left.set(left.get() - 1);
                // The last one's error is not looked at, as in asyncio: it does not count as read.
                let enough = left.get() == 0
                    || match when {
                        ReturnWhen::AllCompleted => false,
                        ReturnWhen::FirstCompleted => true,
                        ReturnWhen::FirstException => one.core().failed_and_read(),
                    };
                if !enough {
                    return Ok(());
                }
                if let Some(timer) = &*timer.borrow() {
                    timer.cancel();
                }
                release(&waiter)
            });
            callbacks.push((on, id));
        }
        Ok(Self { waiter, timer, callbacks })
    }
}

pub(crate) fn release(waiter: &Future<()>) -> Result<()> {
    if waiter.done() { Ok(()) } else { waiter.set_result(()) }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.borrow_mut().take() {
            timer.cancel();
        }
        for (on, id) in self.callbacks.drain(..) {
            on.core().drop_waiter(id.key());
        }
    }
}
