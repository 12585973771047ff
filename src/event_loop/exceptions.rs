//! The exception handler, which gets the errors that no caller receives.
//!
//! It guarantees that no error and no panic of a callback is lost, and that none stops the loop.
//! Each goes to the handler that the program has set. If there is none, or if it fails, the default
//! handler logs the error, or writes it to standard error if the program has no logger.
//!
//! It does not handle the two errors that leave the loop: they end the run.

use super::callback::call;
use super::ready::Entry;
use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::panics::{Nested, drop_quietly};
use crate::trace::Place;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// How often a handler may be called inside of itself, by destructors that report what it has made.
const NESTED: u32 = 8;

thread_local! {
    static HANDLING: Cell<u32> = const { Cell::new(0) };
}

/// The handler that the program has set.
pub(super) type ExceptionHandler = Rc<dyn Fn(&EventLoop, &ExceptionContext) -> Result<()>>;

/// Describes an error to an exception handler (the `context` dictionary of asyncio).
///
/// ```
/// use looplab::{Error, EventLoop, ExceptionContext};
/// let lp = EventLoop::new()?;
/// lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| println!("{}", context.message())));
/// lp.call_exception_handler(&ExceptionContext::new("by hand").with_error(Error::msg("boom")));
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExceptionContext {
    message: String,
    error: Option<Error>,
    handle: Option<HandleInfo>,
    task: Option<TaskInfo>,
    future: Option<FutureInfo>,
    context: Option<Box<ExceptionContext>>,
}

/// The callback that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandleInfo {
    /// What it ran.
    pub label: String,
    /// Where it was queued.
    pub place: Option<Place>,
}

/// The task that failed or was destroyed. This is a description and no handle, because the last
/// handle is being dropped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where it was made.
    pub place: Place,
}

/// The future that failed. This is a description and no handle.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FutureInfo {
    /// Its number.
    pub id: u64,
    /// Where it was made.
    pub place: Place,
}

impl HandleInfo {
    pub(super) fn of(entry: &dyn Entry) -> Self {
        Self { label: entry.label(), place: Some(entry.place()) }
    }
}

impl ExceptionContext {
    /// Makes a context with a message only.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), error: None, handle: None, task: None, future: None, context: None }
    }

    /// Adds the error.
    #[must_use]
    pub fn with_error(mut self, error: Error) -> Self {
        self.error = Some(error);
        self
    }

    pub(crate) fn with_task(mut self, task: TaskInfo) -> Self {
        self.task = Some(task);
        self
    }

    pub(crate) fn with_future(mut self, future: FutureInfo) -> Self {
        self.future = Some(future);
        self
    }

    /// Returns what happened, in asyncio's words: `Task exception was never retrieved`, `Exception
    /// in callback …` and so on.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the error. There is none when a pending task was destroyed.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Returns the callback that failed.
    #[must_use]
    pub fn handle(&self) -> Option<&HandleInfo> {
        self.handle.as_ref()
    }

    /// Returns the task that failed or was destroyed.
    #[must_use]
    pub fn task(&self) -> Option<&TaskInfo> {
        self.task.as_ref()
    }

    /// Returns the future that failed.
    #[must_use]
    pub fn future(&self) -> Option<&FutureInfo> {
        self.future.as_ref()
    }

    /// Returns the context that a handler got which failed itself.
    #[must_use]
    pub fn context(&self) -> Option<&ExceptionContext> {
        self.context.as_deref()
    }
}

/// Shows the message, then one `key: value` line each, sorted by key, as asyncio's default handler
/// does.
impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.message.is_empty() {
            "Unhandled exception in event loop"
        } else {
            &self.message
        })?;
        if let Some(context) = &self.context {
            write!(f, "\ncontext: {}", context.message)?;
        }
        if let Some(FutureInfo { id, place }) = &self.future {
            write!(f, "\nfuture: <Future {id}{}>", created_at(place))?;
        }
        if let Some(HandleInfo { label, place }) = &self.handle {
            write!(f, "\nhandle: <Handle {label}{}>", place.map_or_else(String::new, created_at))?;
        }
        if let Some(TaskInfo { name, place, .. }) = &self.task {
            write!(f, "\ntask: <Task '{name}'{}>", created_at(place))?;
        }
        match &self.error {
            Some(error) => write!(f, "\n{error:?}"),
            None => Ok(()),
        }
    }
}

pub(super) fn created_at(place: Place) -> String {
    format!(" created at {}:{}", place.file(), place.line())
}

impl EventLoop {
    /// Sets the handler for errors that no caller receives (`loop.set_exception_handler`). `None` is
    /// [`clear_exception_handler`](Self::clear_exception_handler), which needs no type. May be called
    /// at any time, also by the handler.
    ///
    /// An `Err` or a panic of the handler goes to the default handler; [`Error::Exit`] and
    /// [`Error::KeyboardInterrupt`] leave the loop. A handler that drops a failed task or future is
    /// called inside of itself for that, eight times at most. Deeper reports go to the default
    /// handler.
    ///
    /// [`close`](Self::close) drops the handler at its end. A handler that is set on a closed loop
    /// gets later failures, and stays until the last handle of the loop is dropped. It should hold
    /// no handle itself.
    #[doc(alias = "loop.set_exception_handler")]
    pub fn set_exception_handler<F, R>(&self, handler: Option<F>)
    where
        F: Fn(&EventLoop, &ExceptionContext) -> R + 'static,
        R: Outcome,
    {
        let before = self.0.exception_handler.replace(handler.map(|handler| {
            Rc::new(move |lp: &Self, context: &_| handler(lp, context).into_result().map(drop)) as _
        }));
        drop_quietly(before);
    }

    /// Restores the default handler (`loop.set_exception_handler(None)`). May be called at any time.
    ///
    /// ```
    /// # use looplab::{EventLoop, ExceptionContext};
    /// let lp = EventLoop::new()?;
    /// lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| println!("{context}")));
    /// lp.clear_exception_handler();
    /// # Ok::<(), looplab::Error>(())
    /// ```
    #[doc(alias("loop.set_exception_handler", "set_exception_handler"))]
    pub fn clear_exception_handler(&self) {
        self.set_exception_handler(None::<fn(&Self, &ExceptionContext)>);
    }

    /// Reports an error as the loop does (`loop.call_exception_handler`). May be called at any
    /// time, also on a closed loop. If the handler returns an error that leaves the loop, the run
    /// under way ends; without a run the error is logged.
    #[doc(alias = "loop.call_exception_handler")]
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        self.0.reported(context.message());
        let handler = self.0.exception_handler.borrow().clone();
        let Some(handler) = handler else { return self.default_exception_handler(context) };
        let Some(level) = Nested::enter(&HANDLING, NESTED) else {
            return self.default_exception_handler(context);
        };
        let answer = call(|| handler(self, context));
        // This may be the last reference, because a handler may replace itself.
        drop_quietly(handler);
        drop(level);
        match answer {
            Ok(()) => {}
            Err(error) if error.leaves_the_loop() => self.0.request_exit(error),
            Err(error) => {
                let about = ExceptionContext::new("Unhandled error in exception handler").with_error(error);
                let about = ExceptionContext { context: Some(Box::new(context.clone())), ..about };
                self.default_exception_handler(&about);
                drop_quietly(about);
            }
        }
    }

    /// Reports an error as a loop without a handler does (`loop.default_exception_handler`): by one
    /// `log::error!` with the target `looplab`. A program without a logger gets the same on
    /// standard error, Python's last resort.
    #[doc(alias = "loop.default_exception_handler")]
    pub fn default_exception_handler(&self, context: &ExceptionContext) {
        log_error!("{context}");
    }
}

/// Calls the exception handler of `lp`, or the default one without a loop. Then drops the context,
/// which may hold the last reference to an error of the user.
pub(crate) fn report(lp: Option<EventLoop>, context: ExceptionContext) {
    match lp {
        Some(lp) => lp.call_exception_handler(&context),
        // As the default handler does.
        None => log_error!("{context}"),
    }
    drop_quietly(context);
}

impl Inner {
    /// Keeps an error with which an exception handler leaves the loop, until its entry has returned.
    #[cold]
    pub(crate) fn request_exit(&self, error: Error) {
        if self.running.get() {
            let before = self.exit.replace(Some(Box::new(error)));
            drop_quietly(before);
        } else {
            // There is no run to leave, and the next one must not end by this error.
            log_error!("an exception handler cannot leave a loop that does not run: {error:?}");
        }
    }
}

/// Describes a callback that failed.
pub(super) fn in_callback(entry: &dyn Entry, error: Error) -> ExceptionContext {
    let handle = HandleInfo::of(entry);
    let message = format!("Exception in callback {}{}", handle.label, created_at(entry.place()));
    ExceptionContext { handle: Some(handle), ..ExceptionContext::new(message).with_error(error) }
}
