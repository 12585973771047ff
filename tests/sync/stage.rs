//! What the tests of `looplab::sync` share: a stage on which a program plays while what it says is written down with the
//! number of the turn.

use looplab::{
    Clock, Error, EventLoop, ExceptionContext, Result, ReturnWhen, Task, get_running_loop, wait, yield_now,
};
use std::cell::RefCell;
use std::fmt::Display;
use support::watchdog;

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static REPORTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Writes down a word, with the number of the turn before it.
pub(crate) fn say(word: impl Display) {
    // A destructor that speaks when its loop is gone is not heard.
    if let Ok(lp) = get_running_loop() {
        SAID.with_borrow_mut(|said| said.push(format!("{} {word}", lp.turns())));
    }
}

/// A loop in virtual time: what nothing can wake ends with an error instead of hanging. What it reports is kept for
/// [`reports`], but for tasks that are left over at its end, which are no news.
pub(crate) fn new_loop() -> EventLoop {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build().expect("a loop");
    lp.set_exception_handler(Some(|_: &EventLoop, context: &ExceptionContext| {
        if context.message() != "Task was destroyed but it is pending!" {
            REPORTED.with_borrow_mut(|reported| reported.push(context.to_string()));
        }
    }));
    lp
}

/// What the loops of this thread have reported since this was asked last.
pub(crate) fn reports() -> Vec<String> {
    REPORTED.take()
}

/// Runs a program as the main task of a new loop; it says exactly this. The numbers are turns. Where the program could be
/// written in Python, what is expected is what CPython 3.13.0 prints for it.
#[track_caller]
pub(crate) fn plays(program: impl Future<Output = Result<()>> + 'static, expected: &[&str]) {
    let _dog = watchdog();
    SAID.take();
    let outcome = new_loop().run_until_complete(Task::builder().name("main").prepare(program));
    assert_eq!(SAID.take(), expected);
    outcome.expect("the program ends well");
    assert_eq!(reports(), [""; 0]);
}

/// Runs a program whose own assertions are the test.
#[track_caller]
pub(crate) fn runs(program: impl Future<Output = Result<()>> + 'static) {
    let _dog = watchdog();
    new_loop().run_until_complete(program).expect("the program ends well");
    assert_eq!(reports(), [""; 0]);
}

/// Lets `n` turns go by.
pub(crate) async fn turns(n: usize) -> Result<()> {
    for _ in 0..n {
        yield_now().await?;
    }
    Ok(())
}

/// Waits until all are done, however they end.
pub(crate) async fn all_done<T: 'static>(tasks: Vec<Task<T>>) -> Result<()> {
    wait(tasks, ReturnWhen::AllCompleted, None).await.map(drop)
}

/// The kinds of what a task waits for, as a snapshot shows them.
pub(crate) fn waits_for(name: &str) -> Vec<&'static str> {
    let snapshot = get_running_loop().expect("a running loop").snapshot();
    let task = snapshot.tasks.iter().find(|task| task.name == name).expect("a task of this name");
    match &task.state {
        looplab::trace::TaskState::Waiting(waits) => waits.iter().map(|wait| wait.kind).collect(),
        other => panic!("{name} is {other:?}"),
    }
}

/// Waits for something on one loop, and is refused on another, which `shown` says.
pub(crate) fn is_bound_to_its_first_loop<F>(shown: &str, waiting: impl Fn() -> F)
where
    F: Future<Output = Result<()>> + 'static,
{
    let _dog = watchdog();
    let (first, second) = (new_loop(), new_loop());
    let task = first.create_task(waiting());
    first.run_once().expect("a turn");
    assert!(!task.done(), "it had to wait, or this tests nothing");
    match second.run_until_complete(waiting()) {
        Err(Error::Runtime(text)) => {
            assert_eq!(&*text, format!("{shown} is bound to a different event loop"))
        }
        other => panic!("{other:?}"),
    }
}

/// Polls once, and drops what was polled: a wait that is given up without a cancellation.
pub(crate) async fn poll_once(future: impl Future<Output = Result<()>>) -> Option<Result<()>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(outcome) => Some(outcome),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
