//! The values that callbacks and task bodies may return.
//!
//! One trait serves all of them, so that `|| println!("x")`, `|| { foo()?; Ok(()) }`, `move ||
//! task.cancel()`, `move || lp.create_task(f())`, `|| panic!()` and `async { foo()?; Ok(()) }` all
//! infer. It is not a general conversion. A future is refused with a hint, because nothing would
//! run it.

use crate::error::{Error, Result};
use std::any::Any;

/// What a callback or a task's body returns: `()`, a `Result<T, looplab::Error>`, a plain value, a
/// task, or `!`.
///
/// An `Err` from a callback goes to the exception handler, and the loop continues. An `Err` from a
/// task's body is the task's result. [`Error::Exit`] and [`Error::KeyboardInterrupt`] leave the
/// loop. The value of a callback is dropped.
///
/// ```
/// let lp = looplab::EventLoop::new()?;
/// lp.call_soon(|| println!("nothing to return"))?;
/// lp.call_soon(|| { looplab::get_running_loop()?.stop(); Ok(()) })?;
/// let task = lp.create_task(async { looplab::yield_now().await?; Ok("done") });
/// lp.call_soon(move || task.cancel())?;                  // a plain value: bool
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// Plain values are `bool`, `char`, the numbers, `String`, `&'static str` and [`Drained`]. An
/// `Option` is an outcome if its content is one, and an error in it is an error. A task's body
/// returns any other value as `Ok(value)`.
///
/// # What does not compile
///
/// A callback that returns a future, as Python's `loop.call_soon(coroutine_function)`: Python warns
/// that it was never awaited, and Rust refuses it.
///
/// ```compile_fail,E0277
/// let lp = looplab::EventLoop::new()?;
/// lp.call_soon(async || println!("never printed"))?;
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// The compiler says what to write instead:
///
/// ```text
/// note: nothing runs a future (`async || …`, `async { … }`) that a callback returns; make a task: `|| looplab::create_task(…)`
/// ```
///
/// ```
/// let lp = looplab::EventLoop::new()?;
/// lp.call_soon(|| looplab::create_task(async { println!("printed"); looplab::stop() }))?;
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// A body with the error of another crate. Convert it as [`Error`] shows.
///
/// ```compile_fail,E0277
/// let lp = looplab::EventLoop::new()?;
/// lp.create_task(async { "seven".parse::<i32>() });
/// # Ok::<(), looplab::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback or a task's body cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "nothing runs a future (`async || …`, `async {{ … }}`) that a callback returns; make a task: `|| looplab::create_task(…)`",
    note = "it returns nothing, a plain value, a task, or `looplab::Result<T>`: another value is `Ok(value)`, another error `.map_err(looplab::Error::other)`"
)]
pub trait Outcome: sealed::Sealed {
    /// The value of success.
    type Value: 'static;
    /// Converts the value to a result.
    ///
    /// # Errors
    /// The error of the callback or body.
    fn into_result(self) -> Result<Self::Value>;
}

/// The value of a future whose output is an [`Outcome`].
pub(crate) type ValueOf<F> = <<F as IntoFuture>::Output as Outcome>::Value;

impl Outcome for () {
    type Value = ();
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<T: 'static> Outcome for Result<T, Error> {
    type Value = T;
    fn into_result(self) -> Result<T> {
        self
    }
}

/// Implements it for values that cannot hold an error.
macro_rules! plain {
    ($($value:ty)+) => {$(
        impl Outcome for $value {
            type Value = Self;
            fn into_result(self) -> Result<Self> {
                Ok(self)
            }
        }

        impl sealed::Sealed for $value {}
    )+};
}

plain! { bool char i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 String &'static str Drained }

/// Alternative: an `Option` of anything. Problem: the error in `Some(Err(…))` would be lost.
impl<T: Outcome> Outcome for Option<T> {
    type Value = Option<T::Value>;
    fn into_result(self) -> Result<Option<T::Value>> {
        self.map(T::into_result).transpose()
    }
}

/// What a reader or writer returns that used its descriptor until it would block.
///
/// A reader is called again in the next turn if its descriptor is still ready. To learn whether it
/// is, the loop registers the descriptor with the kernel again after each call (`epoll_ctl`). After
/// a call that returned `Drained` it does not need to: the kernel reports later changes. (asyncio
/// has no such value, because its selector is level-triggered itself.)
///
/// Return it only after a read or write that failed with
/// [`WouldBlock`](std::io::ErrorKind::WouldBlock). A reader that returns it with bytes left is not
/// called until more bytes come. It has no effect after the peer has hung up or the descriptor has
/// failed: the reader is then called in every turn until it is removed. Other callbacks may return
/// it, too, without any effect.
///
/// A reader that sometimes stops earlier returns an `Option`:
///
/// ```
/// use looplab::{Drained, EventLoop};
/// use std::{io::{ErrorKind, Read, Write}, os::unix::net::UnixStream};
/// let lp = EventLoop::new()?;
/// let (mut ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// let fd = ours.try_clone()?;
/// lp.add_reader(&fd, move || loop {
///     match ours.read(&mut [0; 16]) {
///         Ok(0) => {
///             looplab::stop()?;                      // the end of the stream
///             return Ok(None);
///         }
///         Ok(n) => println!("{n} bytes"),
///         Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Some(Drained)),
///         Err(error) => return Err(error.into()),
///     }
/// })?;
/// theirs.write_all(b"hello")?;
/// lp.call_soon(move || drop(theirs))?;
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained;

impl Drained {
    /// Tells whether a callback has returned it.
    pub(crate) fn is_said_by(value: &dyn Any) -> bool {
        value.is::<Self>() || value.downcast_ref() == Some(&Some(Self))
    }
}

/// The type `!`. Stable Rust cannot name it yet, but can reach it: it is what `fn() -> !` returns.
type Never = <fn() -> ! as sealed::Returns>::Value;

impl Outcome for Never {
    type Value = ();
    fn into_result(self) -> Result<()> {
        self
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T> Sealed for crate::error::Result<T, crate::error::Error> {}
    impl Sealed for super::Never {}
    impl<T: super::Outcome> Sealed for Option<T> {}

    pub trait Returns {
        type Value;
    }
    impl<R> Returns for fn() -> R {
        type Value = R;
    }
}
