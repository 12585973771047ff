//! What the tests of streams and servers share: a loop whose program says what happens in which turn.
//!
//! The expected lines are those of the same program on CPython 3.13, with `_run_once` counted.

use looplab::net::{Server, StreamReader, StreamWriter, open_connection};
use looplab::{EventLoop, ExceptionContext, Outcome, Result, get_running_loop, yield_now};
use std::cell::RefCell;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::net::TcpStream;
use support::watchdog;

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Says a word, with the number of the turn.
pub(crate) fn say(word: impl Display) {
    let turn = get_running_loop().map_or(0, |lp| lp.turns());
    SAID.with_borrow_mut(|said| said.push(format!("{turn} {word}")));
}

/// Says bytes, or what a read failed with.
pub(crate) fn say_bytes(read: Result<Vec<u8>>) {
    say_as("", read);
}

pub(crate) fn say_as(name: &str, read: Result<Vec<u8>>) {
    match read {
        Ok(bytes) => say(format!("{name}{}", quoted(&bytes))),
        Err(error) => say(format!("{name}{error}")),
    }
}

/// As Python would show them, but for the `b`.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("'{}'", bytes.escape_ascii())
}

/// Runs a program; what it and the exception handler said, line by line.
pub(crate) fn said<F, T>(program: F) -> Vec<String>
where
    F: Future<Output: Outcome<Value = T>> + 'static,
    T: Clone + Debug + 'static,
{
    let _dog = watchdog();
    SAID.take();
    let lp = EventLoop::new().expect("a loop");
    lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        let error = context.error().map(ToString::to_string).unwrap_or_default();
        say(format!("report: {}: {error}", context.message()));
    }));
    lp.run_until_complete(program).expect("the program ends well");
    lp.close().expect("the loop ends well");
    SAID.take()
}

/// The program's lines are exactly these.
#[track_caller]
pub(crate) fn says<F, T>(program: F, expected: &[&str])
where
    F: Future<Output: Outcome<Value = T>> + 'static,
    T: Clone + Debug + 'static,
{
    let said = said(program);
    assert!(said == expected, "expected: {expected:#?}\nsaid: {said:#?}");
}

/// Lets some turns pass.
pub(crate) async fn turns(n: usize) -> Result<()> {
    for _ in 0..n {
        yield_now().await?;
    }
    Ok(())
}

/// A client outside of the loop, that blocks: it is connected when this returns.
pub(crate) fn dial(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens")
}

/// A client on the loop.
pub(crate) async fn connect(server: &Server) -> Result<(StreamReader, StreamWriter)> {
    open_connection("127.0.0.1", server.port()).await
}
