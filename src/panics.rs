//! Drops values of the user and logs texts, so that a panic there goes no further.
//!
//! Every type of looplab that owns a value of the user drops it here, and alone. So two destructors
//! that panic never meet, which would abort the process. The use of the stack is bounded, however
//! long a chain of values that own each other is. As in CPython, a destructor's failure is reported
//! and never raised.
//!
//! It does not handle the inside of one value of the user. Two destructors that panic in one
//! closure, one body or one `Vec<T>` still abort, and a long list of boxes still recurses. That is
//! the language's rule.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::mem::{forget, needs_drop};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::LocalKey;

/// Logs an error with the target `looplab`; a panic of the logger goes no further.
macro_rules! log_error {
    ($($args:tt)+) => {
        $crate::panics::log(format_args!($($args)+), |text| log::error!(target: "looplab", "{text}"))
    };
}

/// Logs a warning, as `log_error` does an error.
macro_rules! log_warn {
    ($($args:tt)+) => {
        $crate::panics::log(format_args!($($args)+), |text| log::warn!(target: "looplab", "{text}"))
    };
}

/// How many destructors run inside of each other; deeper ones wait in a queue.
const DROPS: u32 = 16;
/// How many loggers run inside of each other: the work of one can fail and be reported.
const LOGGERS: u32 = 4;

thread_local! {
    static DROPPING: Cell<u32> = const { Cell::new(0) };
    static LOGGING: Cell<u32> = const { Cell::new(0) };
    #[cfg(feature = "explore")]
    static PANICKED: Cell<Option<Arc<str>>> = const { Cell::new(None) };
    static DEFERRED: RefCell<VecDeque<Box<dyn Any>>> = const { RefCell::new(VecDeque::new()) };
}

/// One level of something that can run inside of itself on this thread.
pub(crate) struct Nested(&'static LocalKey<Cell<u32>>);

impl Nested {
    /// Enters one more level; `None` at the limit.
    pub(crate) fn enter(depth: &'static LocalKey<Cell<u32>>, limit: u32) -> Option<Self> {
        let now = depth.get();
        (now < limit).then(|| {
            depth.set(now + 1);
            Self(depth)
        })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Runs code of the user. A panic in it becomes the panic's text. (`error::catch` makes an error of
/// it.)
pub(crate) fn catch_text<R>(code: impl FnOnce() -> R) -> Result<R, Arc<str>> {
    catch_unwind(AssertUnwindSafe(code)).map_err(text_of_panic)
}

/// Returns the text of a caught panic, and drops its payload.
pub(crate) fn text_of_panic(payload: Box<dyn Any + Send>) -> Arc<str> {
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => Arc::from(*text),
        None => match payload.downcast_ref::<String>() {
            Some(text) => Arc::from(text.as_str()),
            None => Arc::from("a panic whose payload is not a text"),
        },
    };
    // The payload is a value of the user. Its destructor may panic too, and must not end the loop.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        forget(second);
    }
    text
}

/// Drops a value of the user. A panic in its destructor is logged and goes no further.
///
/// A chain of values is dropped without recursion. From some depth on they wait in a queue until
/// the deepest running destructor has returned.
#[inline]
pub(crate) fn drop_quietly<T: 'static>(value: T) {
    if needs_drop::<T>() {
        drop_nested(value);
    }
}

fn drop_nested<T: 'static>(value: T) {
    let Some(_level) = Nested::enter(&DROPPING, DROPS) else { return defer(Box::new(value)) };
    drop_here(value);
    if DROPPING.get() == DROPS {
        drop_deferred();
    }
}

fn drop_here<T>(value: T) {
    if let Err(panic) = catch_text(|| drop(value)) {
        log_panic(panic);
    }
}

/// Logs the panic of a destructor.
#[cold]
fn log_panic(panic: Arc<str>) {
    log_error!("a destructor panicked: {panic}");
    #[cfg(feature = "explore")]
    PANICKED.set(Some(panic));
}

/// Takes the text of the last destructor on this thread that panicked.
#[cfg(feature = "explore")]
pub(crate) fn take_destructor_panic() -> Option<Arc<str>> {
    PANICKED.take()
}

/// Puts a value into the queue. While the thread's locals are destroyed there is no queue, and the
/// value is dropped here.
#[cold]
fn defer(value: Box<dyn Any>) {
    let mut value = Some(value);
    let _ = DEFERRED.try_with(|deferred| value.take().map(|value| deferred.borrow_mut().push_back(value)));
    if let Some(value) = value {
        drop_here(value);
    }
}

/// Drops the values of the queue, and those that their destructors put into it.
#[cold]
fn drop_deferred() {
    let next = || DEFERRED.try_with(|deferred| deferred.borrow_mut().pop_front()).ok().flatten();
    while let Some(value) = next() {
        drop_here(value);
    }
}

/// Drops several values of the user one by one, so that the panics of two never meet.
pub(crate) fn drop_all<C: IntoIterator<Item: 'static>>(values: C) {
    values.into_iter().for_each(drop_quietly);
}

/// A value of the user, which it compares by. [`drop_quietly`] drops it when its owner is dropped.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Guarded<T: 'static>(Option<T>);

impl<T: 'static> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Takes the value out. The caller drops it from then on.
    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("it is taken once, by value")
    }
}

impl<T: 'static> Deref for Guarded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken by value only")
    }
}

impl<T: 'static> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is taken by value only")
    }
}

impl<T: 'static> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            drop_quietly(value);
        }
    }
}

/// A collection of values of the user. [`drop_all`] drops them when their owner is dropped.
#[derive(Default)]
pub(crate) struct Apart<C: IntoIterator<Item: 'static> + Default>(C);

impl<C: IntoIterator<Item: 'static> + Default> Apart<C> {
    /// Takes the collection out. The caller drops it from then on.
    pub(crate) fn take(&mut self) -> C {
        std::mem::take(&mut self.0)
    }
}

impl<C: IntoIterator<Item: 'static> + Default> From<C> for Apart<C> {
    fn from(collection: C) -> Self {
        Self(collection)
    }
}

impl<C: IntoIterator<Item: 'static> + Default> Deref for Apart<C> {
    type Target = C;
    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C: IntoIterator<Item: 'static> + Default> DerefMut for Apart<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.0
    }
}

impl<C: IntoIterator<Item: 'static> + Default> Drop for Apart<C> {
    fn drop(&mut self) {
        drop_all(self.take());
    }
}

/// Formats a text that may hold values of the user. If their `Debug` or `Display` panics, the text
/// says so.
pub(crate) fn text_of(args: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    // What was written before the panic is kept.
    if catch_text(|| write!(text, "{args}")).is_err() {
        text.push_str("(its Debug or Display panicked)");
    }
    text
}

/// Logs a text. If there is no logger, if the logger panics, or if it runs too deep inside of
/// itself, the text goes to standard error, as with Python's `logging.lastResort`.
pub(crate) fn log(args: fmt::Arguments<'_>, log: fn(&str)) {
    if log::max_level() == log::LevelFilter::Off {
        if !has_logger() {
            to_stderr(&text_of(args));
        }
        return;
    }
    let text = text_of(args);
    let level = Nested::enter(&LOGGING, LOGGERS);
    if level.is_none() || catch_text(|| log(&text)).is_err() {
        to_stderr(&text);
    }
}

/// Returns whether the program has a logger, for one whose highest level is `Off`.
///
/// `log` does not say. In place of none it has a logger without fields, which enables nothing.
/// Alternative: the level alone. Problem: `RUST_LOG=off` gives the same level, and such a program
/// wants silence.
fn has_logger() -> bool {
    let logger = log::logger();
    let error = log::Metadata::builder().level(log::Level::Error).target("looplab").build();
    size_of_val(logger) > 0 || catch_text(|| logger.enabled(&error)).unwrap_or(true)
}

/// Writes a line to standard error. A failure cannot be reported anywhere.
pub(crate) fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
