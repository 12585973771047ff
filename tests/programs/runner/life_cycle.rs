//! The life cycle of one runner after another, turn by turn, beside what CPython 3.13 printed.
//!
//! `life_cycle.py` is the same in Python, function by function, and `life_cycle.out` its output.

use looplab::trace::{Event, Record};
use looplab::{Clock, Error, EventLoop, ExceptionContext, Result, Runner, Task, TaskRef};
use looplab::{current_task, get_running_loop, sleep, to_thread, yield_now};
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use support::{HOUR, show};

const ON_CPYTHON: &str = include_str!("life_cycle.out");

type Main = Pin<Box<dyn Future<Output = Result<Option<u32>>>>>;

/// Lines, each with the turn in which it was said or which was the last before. A turn in which nothing ran does not
/// count: how often the poll finds nothing is up to the machine, once a thread has a part in it.
#[derive(Clone, Default)]
struct Log {
    lines: Rc<RefCell<Vec<String>>>,
    turns: Rc<Cell<u64>>,
}

impl Log {
    fn say(&self, text: impl Display) {
        self.lines.borrow_mut().push(format!("{} {text}", self.turns.get()));
    }

    fn count(&self, event: &Event<'_>) {
        if matches!(event, Event::Batch { n: 1.. }) {
            self.turns.set(self.turns.get() + 1);
        }
    }
}

/// A runner in virtual time with a log, which also has what goes to the exception handler.
struct Watched {
    runner: Runner,
    log: Log,
}

impl Watched {
    fn new() -> Self {
        let log = Log::default();
        let (reports, counter) = (log.clone(), log.clone());
        let count = move |record: &Record<'_>| counter.count(&record.event);
        let options = EventLoop::builder().clock(Clock::virtual_time()).observer(count);
        let mut runner = Runner::builder().event_loop(options).build();
        let lp = runner.get_loop().expect("a loop");
        lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
            // In CPython garbage collection chooses the time of this one.
            if !context.message().starts_with("Task was destroyed") {
                let error = context.error().map(show).unwrap_or_default();
                reports.say(format!("REPORT {}: {error}", context.message()));
            }
        }));
        Self { runner, log }
    }

    fn run(&mut self, main: Main) {
        let text = match self.runner.run(main) {
            Ok(None) => "run ends".to_owned(),
            Ok(Some(value)) => format!("run ends: {value}"),
            Err(error) => format!("run fails: {}", show(&error)),
        };
        self.log.say(text);
    }

    fn close(mut self) -> Vec<String> {
        self.runner.close().expect("nothing leaves the shutdown");
        self.log.say("closed");
        self.log.lines.take()
    }
}

fn spawn(name: &str, body: impl Future<Output = Result<()>> + 'static) -> TaskRef {
    Task::builder().name(name).spawn(body).to_ref()
}

async fn waits(log: Log, name: &'static str) -> Result<()> {
    let ended = sleep(HOUR).await;
    if ended.is_err() {
        log.say(format!("{name} Cancelled"));
    }
    ended
}

async fn endless(log: Log, name: &'static str) -> Result<()> {
    loop {
        log.say(format!("{name} runs"));
        yield_now().await?;
    }
}

async fn at_once(_: Log) -> Result<Option<u32>> {
    Ok(Some(1))
}

async fn two_steps(log: Log) -> Result<Option<u32>> {
    yield_now().await?;
    log.say("main goes on");
    Ok(Some(2))
}

async fn fails(_: Log) -> Result<Option<u32>> {
    Err(Error::msg("main failed"))
}

async fn leaves_a_task(log: Log) -> Result<Option<u32>> {
    spawn("task", waits(log.clone(), "task"));
    yield_now().await?;
    log.say("main ends");
    Ok(None)
}

async fn leaves_a_task_that_never_ran(log: Log) -> Result<Option<u32>> {
    spawn("task", waits(log, "task"));
    Ok(None)
}

async fn leaves_a_failure(log: Log) -> Result<Option<u32>> {
    spawn("task", async { waits(log, "task").await.map_err(|_| Error::msg("cleanup failed")) });
    yield_now().await?;
    Ok(None)
}

async fn leaves_a_swallower(log: Log) -> Result<Option<u32>> {
    spawn("task", async move {
        assert!(waits(log.clone(), "task").await.is_err());
        for n in 0..3 {
            yield_now().await?;
            log.say(format!("task goes on {n}"));
        }
        Ok(())
    });
    yield_now().await?;
    Ok(None)
}

async fn leaves_a_slow_one_and_a_failure(log: Log) -> Result<Option<u32>> {
    spawn("slow", async move {
        let ended = sleep(HOUR).await;
        for n in 0..2 {
            yield_now().await?;
            log.say(format!("slow cleans up {n}"));
        }
        ended
    });
    spawn("failing", async { sleep(HOUR).await.map_err(|_| Error::msg("cleanup failed")) });
    yield_now().await?;
    Ok(None)
}

async fn leaves_one_that_makes_another(log: Log) -> Result<Option<u32>> {
    spawn("task", async move {
        let ended = waits(log.clone(), "task").await;
        spawn("late", endless(log, "late"));
        ended
    });
    yield_now().await?;
    Ok(None)
}

async fn leaves_a_timer(log: Log) -> Result<Option<u32>> {
    get_running_loop()?.call_later(HOUR, move || log.say("never"))?;
    Ok(None)
}

async fn cancels_itself(_: Log) -> Result<Option<u32>> {
    current_task().ok_or(Error::NoRunningLoop)?.cancel();
    Ok(None)
}

async fn uses_the_pool(_: Log) -> Result<Option<u32>> {
    to_thread(|| Some(5)).await
}

async fn leaves(_: Log) -> Result<Option<u32>> {
    Err(Error::Exit(3))
}

fn one<F: Future<Output = Result<Option<u32>>> + 'static>(name: &str, main: fn(Log) -> F) -> Vec<String> {
    let mut watched = Watched::new();
    let main = main(watched.log.clone());
    watched.run(Box::pin(main));
    [vec![format!("# {name}")], watched.close()].concat()
}

fn twice_on_one_runner() -> Vec<String> {
    let mut watched = Watched::new();
    let (first, second) = (watched.log.clone(), watched.log.clone());
    watched.run(Box::pin(async move {
        spawn("task", endless(first, "task"));
        Ok(None)
    }));
    watched.run(Box::pin(async move {
        yield_now().await?;
        second.say("main again");
        Ok(None)
    }));
    [vec!["# twice_on_one_runner".to_owned()], watched.close()].concat()
}

#[test]
fn a_runners_life_takes_the_turns_it_takes_on_cpython() {
    macro_rules! each {
        ($($main:ident),+) => { [$(one(stringify!($main), $main)),+] };
    }
    let lives = each!(
        at_once,
        two_steps,
        fails,
        leaves_a_task,
        leaves_a_task_that_never_ran,
        leaves_a_failure,
        leaves_a_swallower,
        leaves_a_slow_one_and_a_failure,
        leaves_one_that_makes_another,
        leaves_a_timer,
        cancels_itself,
        uses_the_pool,
        leaves
    );
    let lines = [lives.concat(), twice_on_one_runner()].concat();
    assert_eq!(lines, ON_CPYTHON.lines().collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a CPython 3.11 or later: LIFE_CYCLE_PYTHON, or else python3"]
fn the_transcript_is_what_cpython_prints() {
    let python = std::env::var("LIFE_CYCLE_PYTHON").unwrap_or("python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/runner/life_cycle.py");
    let output = Command::new(python).arg(script).stderr(Stdio::null()).output().expect("a Python");
    assert_eq!(String::from_utf8_lossy(&output.stdout), ON_CPYTHON);
}
