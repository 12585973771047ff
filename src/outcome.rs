//! The values that callbacks and task bodies may return.
//!
//! One trait serves all of them, so that `|| println!("x")`, `|| { foo()?; Ok(()) }`, `move ||
//! lp.create_task(f())`, `|| panic!()` and `async { foo()?; Ok(()) }` all infer. It is not a
//! general conversion. A value that is not a `Result` is refused with a hint: it would be unclear
//! whether to report an error in it.

use crate::error::{Error, Result};

/// What a callback or a task's body returns: `()`, a `Result<T, looplab::Error>`, a task, or `!`. A
/// task is allowed so that `|| create_task(f())` is a callback.
///
/// An `Err` from a callback goes to the exception handler, and the loop continues. An `Err` from a
/// task's body is the task's result. [`Error::Exit`] and [`Error::KeyboardInterrupt`] leave the
/// loop.
///
/// ```
/// let lp = looplab::EventLoop::new()?;
/// lp.call_soon(|| println!("nothing to return"))?;
/// lp.call_soon(|| { looplab::get_running_loop()?.stop(); Ok(()) })?;
/// lp.run_forever()?;
/// # Ok::<(), looplab::Error>(())
/// ```
///
/// A callback of the wrong shape, which Python meets at run time, does not compile:
///
/// ```compile_fail,E0277
/// let lp = looplab::EventLoop::new()?;
/// lp.call_soon(|| 42)?;
/// # Ok::<(), looplab::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a callback or a task's body returns `()` or `looplab::Result<T>`, not `{Self}`",
    label = "returns `{Self}`",
    note = "wrap the value: `Ok(value)`; or end with a semicolon if it does not matter"
)]
pub trait Outcome: sealed::Sealed {
    /// The value of success.
    type Value: 'static;
    /// Converts it to a result.
    ///
    /// # Errors
    /// The error of the callback or body.
    fn into_result(self) -> Result<Self::Value>;
}

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

/// The type `!`. Stable Rust cannot name it yet, but can reach it as the return type of `fn() ->
/// !`.
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

    pub trait Returns {
        type Value;
    }
    impl<R> Returns for fn() -> R {
        type Value = R;
    }
}
