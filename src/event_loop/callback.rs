//! What the ready queue holds, and the handles with which a caller can take it back.
//!
//! It promises that a cancelled entry never runs its callback, that cancelling drops the callback at once with no borrow
//! held, and that a callback which is called again and again (a reader, a signal handler) may remove itself while it
//! runs. An entry does not know the queue it is in, and what an error means is the turn's to judge.
//!
//! The life of a handle (the numbers are cited by the tests):
//!
//! ```text
//!            1 made                         5 cancelled before: skipped
//!   call_soon ──▶ QUEUED ──3 runs──▶ DONE        ▲
//!                   ▲   └──4 cancel()──▶ CANCELLED ┘
//!            2 due  │                     ▲
//!   call_later ──▶ ON THE HEAP ──4 cancel()┘
//! ```
//! Cancelling a handle that has run (or runs right now) only sets the mark.

use super::{EventLoop, Inner};
use crate::error::{Error, Result};
use crate::outcome::Outcome;
use crate::panics::drop_quietly;
use crate::trace::{EntryKind, Place};
use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Instant;

/// With what an entry leaves the loop, if with anything. Boxed: so rare a thing should not make the usual answer larger
/// than one word.
pub(crate) type Leaves = Result<(), Box<Error>>;

/// One thing that can stand in the ready queue: a callback, or a task's step.
pub(crate) trait Entry {
    /// The number of its handle.
    fn id(&self) -> u64;
    /// Whether it was cancelled and is to be skipped.
    fn is_cancelled(&self) -> bool;
    /// Marks it and drops the callback; false if it was cancelled before.
    fn cancel(&self) -> bool;
    /// The loop is closed: drops a callback that a handle may keep. It is not marked as cancelled, as in asyncio.
    fn forget(&self) {}
    /// Runs it. An error is what the user's code left behind; a panic is one too.
    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<()>;
    /// Runs it unless it was cancelled, reports its error, and drops it. The error returned is one that leaves the loop.
    /// An observed turn makes the same steps one by one; for all others this is one call instead of four through the `dyn`.
    fn take_turn(self: Rc<Self>, lp: &EventLoop) -> Leaves {
        if self.is_cancelled() {
            return Ok(());
        }
        Rc::clone(&self).run(lp).or_else(|error| lp.judge(self.about(), error))
    }
    /// What it is, for the trace and for reports.
    fn about(&self) -> About;
}

/// What a person wants to know of an entry.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) kind: EntryKind,
    pub(crate) label: String,
    pub(crate) task: Option<u64>,
    pub(crate) place: Option<Place>,
}

/// An entry that can also stand on the timer heap. Once it is cancelled nothing of the user's is left in it.
pub(crate) trait Timed: Entry {
    /// Marks it as cancelled, and leaves the callback where it is; false if it was cancelled before.
    fn mark_cancelled(&self) -> bool;
    /// Whether it stands there now. Nobody asks, and it is not kept true, once it is cancelled.
    fn on_heap(&self) -> &Cell<bool>;
}

/// A callback that runs once: `call_soon`, `call_later`, a done callback.
pub(crate) struct Callback<F: 'static> {
    id: u64,
    kind: EntryKind,
    cancelled: Cell<bool>,
    on_heap: Cell<bool>,
    place: Place,
    /// Names it for a reader. Made only when somebody asks.
    name: fn() -> String,
    function: Cell<Option<F>>,
}

impl<F> Callback<F> {
    pub(crate) fn new(id: u64, kind: EntryKind, place: Place, function: F) -> Self {
        Self {
            id,
            kind,
            cancelled: Cell::new(false),
            on_heap: Cell::new(false),
            place,
            name: short_name::<F>,
            function: Cell::new(Some(function)),
        }
    }

    /// Another name than that of the function's type, for a function that wraps the one which a reader knows.
    pub(crate) fn named(mut self, name: fn() -> String) -> Self {
        self.name = name;
        self
    }
}

impl<F> Drop for Callback<F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(function) = self.function.get_mut().take() {
            drop_quietly(function);
        }
    }
}

impl<F, R> Entry for Callback<F>
where
    F: FnOnce() -> R,
    R: Outcome,
{
    fn id(&self) -> u64 {
        self.id
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn cancel(&self) -> bool {
        let first = self.mark_cancelled();
        self.forget();
        first
    }

    fn forget(&self) {
        drop_quietly(self.function.take());
    }

    fn run(self: Rc<Self>, _: &EventLoop) -> Result<()> {
        match self.function.take() {
            Some(function) => call(function),
            None => Ok(()),
        }
    }

    /// Shorter than for others: a cancelled callback has no function left.
    fn take_turn(self: Rc<Self>, lp: &EventLoop) -> Leaves {
        let Some(function) = self.function.take() else { return Ok(()) };
        call(function).or_else(|error| lp.judge(self.about(), error))
    }

    fn about(&self) -> About {
        About { kind: self.kind, label: (self.name)(), task: None, place: Some(self.place) }
    }
}

impl<F, R> Timed for Callback<F>
where
    F: FnOnce() -> R,
    R: Outcome,
{
    fn mark_cancelled(&self) -> bool {
        !self.cancelled.replace(true)
    }

    fn on_heap(&self) -> &Cell<bool> {
        &self.on_heap
    }
}

type Function = Box<dyn FnMut() -> Result<()>>;

/// A callback that runs again and again: a reader, a writer, a signal handler.
///
/// While it runs it is out of its slot, so it may remove itself; it is put back unless it was cancelled meanwhile.
pub(crate) struct Repeating {
    id: u64,
    kind: EntryKind,
    cancelled: Cell<bool>,
    place: Place,
    label: String,
    function: RefCell<Option<Function>>,
}

impl Drop for Repeating {
    fn drop(&mut self) {
        drop_quietly(self.function.get_mut().take());
    }
}

impl Repeating {
    pub(crate) fn new<F, R>(id: u64, kind: EntryKind, place: Place, mut function: F) -> Rc<Self>
    where
        F: FnMut() -> R + 'static,
        R: Outcome,
    {
        Rc::new(Self {
            id,
            kind,
            cancelled: Cell::new(false),
            place,
            label: short_name::<F>(),
            function: RefCell::new(Some(Box::new(move || call(&mut function)))),
        })
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }
}

impl Entry for Repeating {
    fn id(&self) -> u64 {
        self.id
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn cancel(&self) -> bool {
        let first = !self.cancelled.replace(true);
        let function = self.function.borrow_mut().take();
        drop_quietly(function);
        first
    }

    fn run(self: Rc<Self>, _: &EventLoop) -> Result<()> {
        let Some(mut function) = self.function.borrow_mut().take() else { return Ok(()) };
        let result = function();
        if self.cancelled.get() {
            drop_quietly(function);
        } else {
            *self.function.borrow_mut() = Some(function);
        }
        result
    }

    fn about(&self) -> About {
        About { kind: self.kind, label: self.label.clone(), task: None, place: Some(self.place) }
    }
}

/// Calls user code; a panic in it becomes an error.
pub(crate) fn call<R: Outcome>(function: impl FnOnce() -> R) -> Result<()> {
    // Not `catch`: its `Result` in a `Result` would be taken apart once more, for each entry.
    let caught = catch_unwind(AssertUnwindSafe(|| function().into_result().map(drop)));
    caught.unwrap_or_else(|payload| Err(Error::from_panic(payload)))
}

/// The name of a function or closure as a reader knows it: the last part of its path, or the last two.
pub(crate) fn short_name<F>() -> String {
    shorten(type_name::<F>())
}

fn shorten(full: &str) -> String {
    if full.starts_with("fn(") || full.starts_with("for<") {
        return "fn pointer".to_owned();
    }
    // A traced loop asks for a name with each entry, so the usual path is looked at where it stands.
    if full.contains('<') { last_parts(&outside_of_brackets(full)) } else { last_parts(full) }
}

/// What stands in <> (arguments of a generic, the type that an `impl` is for) is no part of the name.
fn outside_of_brackets(full: &str) -> String {
    let mut path = String::with_capacity(full.len());
    let (mut depth, mut before) = (0, ' ');
    for c in full.chars() {
        match c {
            '<' => depth += 1,
            '>' if before == '-' => {}
            '>' => depth -= 1,
            _ if depth == 0 => path.push(c),
            _ => {}
        }
        before = c;
    }
    path
}

fn last_parts(path: &str) -> String {
    // Between two parts stands `::`, so every other part of these is empty.
    let mut parts = path.rsplit(':').filter(|part| !part.is_empty());
    let last = parts.next().unwrap_or(path);
    if !last.starts_with('{') {
        return last.to_owned();
    }
    match parts.find(|part| !part.starts_with('{')) {
        Some(named) => [named, "::{closure}"].concat(),
        None => last.to_owned(),
    }
}

/// A queued callback, with which it can be cancelled (`asyncio.Handle`). Dropping it does not cancel.
///
/// ```
/// # use looplab::EventLoop;
/// let lp = EventLoop::new()?;
/// let handle = lp.call_soon(|| unreachable!("cancelled"))?;
/// handle.cancel();
/// assert!(handle.cancelled());
/// lp.stop();
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    entry: Rc<dyn Entry>,
    lp: Weak<Inner>,
}

impl Handle {
    pub(crate) fn new(entry: Rc<dyn Entry>, lp: Weak<Inner>) -> Self {
        Self { entry, lp }
    }

    /// Takes the callback back: it will not run, and is dropped now. Idempotent; may be called at any time, also by an
    /// earlier callback of the same turn (`asyncio.Handle.cancel`).
    pub fn cancel(&self) {
        // A handle of the loop: the destructor that runs may drop the last other one.
        match self.lp.upgrade().map(EventLoop) {
            Some(lp) => lp.0.cancel_entry(&*self.entry),
            None => drop(self.entry.cancel()),
        }
    }

    /// Whether `cancel` was called (`asyncio.Handle.cancelled`).
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.entry.is_cancelled()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_entry("Handle", &*self.entry, f)
    }
}

/// A timer, with which it can be cancelled (`asyncio.TimerHandle`). Dropping it does not cancel.
///
/// ```
/// # use looplab::EventLoop;
/// # use std::time::Duration;
/// let lp = EventLoop::new()?;
/// let timer = lp.call_later(Duration::from_secs(3600), || println!("an hour later"))?;
/// assert!(timer.when() > lp.time());
/// timer.cancel();
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone)]
pub struct TimerHandle {
    entry: Rc<dyn Timed>,
    when: Instant,
    lp: Weak<Inner>,
}

impl TimerHandle {
    pub(crate) fn new(entry: Rc<dyn Timed>, when: Instant, lp: Weak<Inner>) -> Self {
        Self { entry, when, lp }
    }

    /// Takes the timer back: its callback will not run, and is dropped now. The entry stays on the heap until it comes
    /// to its head, or until more than half of over 100 timers are cancelled (`asyncio.TimerHandle.cancel`).
    pub fn cancel(&self) {
        // It is counted before its callback is dropped: a destructor may run the loop, and a turn may drop the timer.
        if self.entry.mark_cancelled()
            && let Some(lp) = self.lp.upgrade().map(EventLoop)
        {
            lp.0.timer_cancelled(&*self.entry);
        }
        self.entry.cancel();
    }

    /// Whether `cancel` was called.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.entry.is_cancelled()
    }

    /// The deadline, on the loop's clock (`asyncio.TimerHandle.when`).
    #[must_use]
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_entry("TimerHandle", &*self.entry, f)
    }
}

fn debug_entry(name: &str, entry: &(impl Entry + ?Sized), f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let about = entry.about();
    write!(f, "<{name} ")?;
    if entry.is_cancelled() {
        f.write_str("cancelled ")?;
    }
    f.write_str(&about.label)?;
    match about.place {
        Some(place) => write!(f, " created at {}:{}>", place.file(), place.line()),
        None => f.write_str(">"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_named_as_its_reader_wrote_it() {
        for (full, name) in [
            ("crate::first", "first"),
            ("crate::main::{{closure}}", "main::{closure}"),
            ("crate::main::{{closure}}::{{closure}}", "main::{closure}"),
            ("crate::room::<impl crate::EventLoop>::run<A>::{{closure}}", "run::{closure}"),
            ("<crate::Job as crate::Steps>::step::{{closure}}", "step::{closure}"),
            ("crate::generic<fn() -> i32>", "generic"),
            ("alloc::boxed::Box<dyn core::ops::FnOnce() -> ()>", "Box"),
            ("fn() -> i32", "fn pointer"),
            ("for<'a> fn(&'a i32)", "fn pointer"),
        ] {
            assert_eq!(shorten(full), name, "{full}");
        }
    }

    #[test]
    fn the_compilers_names_have_the_form_that_is_expected() {
        fn named() {}
        fn name_of<F>(_: &F) -> String {
            short_name::<F>()
        }
        let here = "the_compilers_names_have_the_form_that_is_expected::{closure}";
        assert_eq!((name_of(&named).as_str(), name_of(&|| ()).as_str()), ("named", here));
        assert_eq!(name_of(&(named as fn())), "fn pointer");
    }
}
