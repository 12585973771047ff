//! Bodies and values that tests of tasks use.

use crate::Log;
use looplab::{Error, Result, YieldNow, get_running_loop, yield_now};
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// An hour of virtual time.
pub const HOUR: Duration = Duration::from_secs(3600);

/// Returns milliseconds of virtual time.
pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Returns an error as the logs show it.
pub fn show(error: &Error) -> String {
    match error {
        Error::Cancelled(None) => "Cancelled".to_owned(),
        Error::Cancelled(Some(message)) => format!("Cancelled({message})"),
        Error::Panic(text) => format!("Panic({text})"),
        other => other.to_string(),
    }
}

/// Awaits a future of the running loop that is never set.
pub async fn forever() -> Result<()> {
    let never = get_running_loop()?.create_future::<()>();
    never.await
}

/// Waits for ever; says what was thrown, and returns it.
pub async fn pass_on(log: Log, name: &'static str) -> Result<()> {
    let thrown = forever().await;
    if let Err(error) = &thrown {
        crate::say!(log, "{name} {}", show(error));
    }
    thrown
}

/// Waits for ever; says what was thrown, and swallows it.
pub async fn swallow<T>(log: Log, name: &'static str, value: T) -> Result<T> {
    if let Err(error) = forever().await {
        crate::say!(log, "{name} {}", show(&error));
    }
    Ok(value)
}

/// Returns the text of a failure; panics on success.
#[track_caller]
pub fn failure<T: std::fmt::Debug>(result: Result<T>) -> String {
    show(&result.expect_err("it should have failed"))
}

/// Counts how often it is dropped.
pub struct Guard(pub Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A body that yields once, returns, and keeps what it holds until it is dropped itself. (An `async` block drops what it
/// holds when it returns.)
pub struct Holds<G> {
    pub held: G,
    pub yields: YieldNow,
}

impl<G> Holds<G> {
    pub fn new(held: G) -> Self {
        Self { held, yields: yield_now() }
    }
}

impl<G: Unpin> Future for Holds<G> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.yields).poll(cx)
    }
}
