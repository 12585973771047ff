//! A context around the serving, as one function: code before the wait is startup, code after it is cleanup.
//!
//! ```text
//! app.context(async |app, serving| {
//!     let job = create_task(…);        // startup
//!     serving.await?;                  // here the application serves; in Python: yield
//!     job.cancel();                    // cleanup
//! });
//! ```
//!
//! This is aiohttp's `cleanup_ctx`, an asynchronous generator with one `yield`. Rust has none, so its future is polled
//! up to that one wait, left there, and polled again when the serving is over. Alternative: a task for each context.
//! Problem: it would run beside the startup and not in it.

use looplab::{Error, Result};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

/// The wait in the middle of a context. It fails if a later part of the startup fails, so that the application never
/// serves. `serving.await?` then leaves the context, and the code after it does not run. To clean up in this case too, keep
/// the result: `let ended = serving.await; …; ended`.
pub struct Serving(Rc<Point>);

#[derive(Default)]
struct Point {
    reached: Cell<bool>,
    go_on: RefCell<Option<Result<()>>>,
}

impl Future for Serving {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.0.reached.set(true);
        // No waker is needed: the code that sets it polls next.
        self.0.go_on.borrow_mut().take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A context under way.
pub(super) struct Context {
    body: Pin<Box<dyn Future<Output = Result<()>>>>,
    point: Rc<Point>,
}

impl Context {
    pub(super) fn new(body: impl FnOnce(Serving) -> Pin<Box<dyn Future<Output = Result<()>>>>) -> Self {
        let point = Rc::<Point>::default();
        Self { body: body(Serving(point.clone())), point }
    }

    /// Runs it up to its wait.
    pub(super) async fn enter(&mut self) -> Result<()> {
        let ended = poll_fn(|cx| match self.body.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if self.point.reached.get() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match ended.await {
            None => Ok(()),
            Some(ended) => ended.and(Err(Error::msg("a context ended before the application has served"))),
        }
    }

    /// Runs the rest.
    pub(super) async fn leave(self, with: Result<()>) -> Result<()> {
        *self.point.go_on.borrow_mut() = Some(with);
        self.body.await
    }
}
