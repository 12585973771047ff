//! Jobs on a thread pool, rule by rule of asyncio's `run_in_executor`: which threads are started, what comes back and in
//! which turn, and what of it can be seen. Rooms of their own have: what cancelling means (`cancelling`), how loop and pool
//! may outlive each other (`ending`), and how a pool ends (`shutdown`).

mod cancelling;
mod ending;
mod shutdown;

use crate::gate::{Gate, until};
use looplab::trace::{Event, Record, TaskState, Via};
use looplab::{
    Clock, Error, EventLoop, ExceptionContext, Executor, Future, Result, Task, get_running_loop, to_thread,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use support::{Watchdog, watchdog};

const HOUR: Duration = Duration::from_secs(3600);

/// A loop in real time with a watchdog; its default pool has `threads` threads.
fn loop_with(threads: usize) -> Result<(EventLoop, Watchdog)> {
    let lp = EventLoop::builder().clock(Clock::monotonic()).executor_threads(threads).build()?;
    Ok((lp, watchdog()))
}

/// One turn that does not sleep.
fn turn(lp: &EventLoop) -> Result<()> {
    lp.stop();
    lp.run_forever()
}

/// Turns until the loop has heard of the end of all its jobs.
fn finish_jobs(lp: &EventLoop) -> Result<()> {
    while !lp.snapshot().jobs.is_empty() {
        lp.run_once()?;
    }
    Ok(())
}

/// The result of a job, the moment it is there: the loop does not sleep, so that what it does next meets the thread while
/// that has hardly let go.
fn hear_at_once<R: Clone + 'static>(lp: &EventLoop, job: &Future<R>) -> Result<R> {
    while !job.done() {
        turn(lp)?;
        // With one processor the thread would wait until this one's share of it is used up.
        thread::yield_now();
    }
    job.result()
}

fn thread_name() -> String {
    thread::current().name().unwrap_or("unnamed").to_owned()
}

/// A job that has begun, and waits at a gate.
fn begin<R: Send + 'static>(lp: &EventLoop, pool: &Executor, gate: &Gate, value: R) -> Result<Future<R>> {
    let (gate, (begun, has_begun)) = (gate.clone(), channel());
    let job = lp.run_in(pool, move || {
        let _ = begun.send(());
        gate.pass();
        value
    })?;
    has_begun.recv().expect("the job begins");
    Ok(job)
}

// ---- which threads ----

#[test]
fn no_thread_is_started_before_there_is_work() {
    let pool = Executor::new(3);
    assert_eq!((pool.threads(), pool.queued(), pool.running().len()), (0, 0, 0));
}

#[test]
fn a_thread_is_started_only_when_no_idle_one_is_there() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let pool = Executor::new(4);
    // Once a job's end is known, its thread is idle: also in the very next moment.
    for _ in 0..200 {
        let job = lp.run_in(&pool, thread_name)?;
        assert_eq!(hear_at_once(&lp, &job)?, "looplab_0");
    }
    assert_eq!(pool.threads(), 1);
    // With that one busy a second is needed, and no third.
    let (gate, other) = (Gate::new(), Gate::new());
    let first = begin(&lp, &pool, &gate, ())?;
    let second = begin(&lp, &pool, &other, ())?;
    assert_eq!(pool.threads(), 2);
    gate.open();
    lp.run_until_complete(&first)?;
    let job = lp.run_in(&pool, thread_name)?;
    assert_eq!(lp.run_until_complete(&job)?, "looplab_0");
    assert_eq!(pool.threads(), 2);
    other.open();
    lp.run_until_complete(&second)
}

#[test]
fn jobs_that_need_each_other_all_run_at_once() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, all) = (Executor::new(6), Arc::new(Barrier::new(6)));
    let meet = || {
        let all = all.clone();
        lp.run_in(&pool, move || {
            all.wait();
        })
    };
    let jobs = (0..6).map(|_| meet()).collect::<Result<Vec<_>>>()?;
    for job in jobs {
        lp.run_until_complete(&job)?;
    }
    assert_eq!(pool.threads(), 6);
    Ok(())
}

#[test]
fn there_are_never_more_threads_than_allowed_and_the_queue_takes_everything() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(3), Gate::new());
    let pass = |n| {
        let gate = gate.clone();
        lp.run_in(&pool, move || {
            gate.pass();
            n
        })
    };
    let jobs = (0..5000).map(pass).collect::<Result<Vec<_>>>()?;
    until(|| pool.running().len() == 3);
    assert_eq!((pool.threads(), pool.queued()), (3, 4997));
    gate.open();
    for (n, job) in jobs.iter().enumerate() {
        assert_eq!(lp.run_until_complete(job)?, n);
    }
    assert_eq!(pool.threads(), 3);
    Ok(())
}

#[test]
fn by_default_there_may_be_four_threads_more_than_processors_and_32_at_most() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let processors = thread::available_parallelism()?.get();
    let most = (processors + 4).min(32);
    let (pool, gate) = (Executor::builder().build(), Gate::new());
    lp.set_default_executor(pool.clone());
    for _ in 0..most + 10 {
        let gate = gate.clone();
        lp.run_in_executor(move || gate.pass())?;
    }
    until(|| pool.running().len() == most);
    assert_eq!((pool.threads(), pool.queued()), (most, 10));
    gate.open();
    finish_jobs(&lp)
}

#[test]
fn the_default_pool_has_as_many_threads_as_the_loops_builder_says() -> Result<()> {
    let (lp, _dog) = loop_with(2)?;
    let (names, seen) = channel();
    for _ in 0..50 {
        let names = names.clone();
        lp.run_in_executor(move || names.send(thread_name()).expect("somebody hears"))?;
    }
    finish_jobs(&lp)?;
    assert!(seen.try_iter().all(|name| ["looplab_0", "looplab_1"].contains(&&*name)));
    Ok(())
}

#[test]
fn threads_are_named_after_their_pool() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let pool = Executor::builder().name("disk").build();
    let (default, own) = (lp.run_in_executor(thread_name)?, lp.run_in(&pool, thread_name)?);
    assert_eq!(lp.run_until_complete(&default)?, "looplab_0");
    assert_eq!(lp.run_until_complete(&own)?, "disk_0");
    Ok(())
}

// ---- what comes back, and when ----

/// The events that tell in which turn what happened, as words; the gate is opened whenever the loop is about to sleep.
fn recorded(clock: Clock, gate: Gate) -> Result<(EventLoop, Rc<RefCell<Vec<String>>>)> {
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let words = log.clone();
    let observer = move |record: &Record<'_>| {
        let word = match record.event {
            Event::Turn { n } => format!("turn {n}"),
            Event::Select { why, .. } => format!("select {why:?}"),
            Event::Job { job, .. } => format!("job {job}"),
            Event::JobRuns { job, thread, .. } => format!("jrun {job} {thread}"),
            Event::JobEnds { job, thread, state, .. } => format!("jend {job} {thread} {state}"),
            Event::Push { via: Via::Threadsafe, label, thread, .. } => {
                format!("+{label} of {}", thread.unwrap_or("nobody"))
            }
            Event::FutureDone { state, .. } => format!("future {state:?}"),
            Event::Step { .. } => "step".to_owned(),
            Event::Park { on, .. } => format!("park {}", on[0].kind),
            Event::TaskDone { state, .. } => format!("task {state:?}"),
            _ => return,
        };
        words.borrow_mut().push(word);
    };
    let lp = EventLoop::builder().clock(clock).observer(observer).on_park(move || gate.open()).build()?;
    Ok((lp, log))
}

fn blocking() -> u32 {
    42
}

/// The begin of a job is reported once, and costs no turn: a recorded loop makes the same turns as any other. When it is
/// reported depends on the clock.
fn assert_turns(log: &[String], thread: &str) {
    let (begun, told): (Vec<&str>, Vec<&str>) =
        log.iter().map(String::as_str).partition(|word| word.starts_with("jrun"));
    assert_eq!(begun, [format!("jrun 1 {thread}")]);
    let expected = format!(
        "turn 1 | select Ready | step | job 1 | park job
            | turn 2 | select Idle | +job.set_result of {thread} | jend 1 {thread} ok | future Ok
            | turn 3 | select Ready | step | task Ok
            | turn 4 | select Ready"
    );
    assert_eq!(told, expected.split('|').map(str::trim).collect::<Vec<_>>());
}

#[test]
fn the_future_is_set_in_one_turn_and_its_awaiter_goes_on_in_the_next() -> Result<()> {
    for clock in [Clock::monotonic(), Clock::virtual_time()] {
        let _dog = watchdog();
        let gate = Gate::new();
        let (lp, log) = recorded(clock, gate.clone())?;
        let pool = Executor::builder().name("pool").build();
        let main = async move { begin(&get_running_loop()?, &pool, &gate, blocking())?.await };
        assert_eq!(lp.run_until_complete(main)?, 42);
        assert_turns(&log.borrow(), "pool_0");
    }
    Ok(())
}

#[test]
fn a_job_that_is_over_when_it_was_submitted_takes_the_same_turns() -> Result<()> {
    for clock in [Clock::monotonic(), Clock::virtual_time()] {
        let _dog = watchdog();
        let lp = EventLoop::builder().clock(clock).build()?;
        let main = async {
            let lp = get_running_loop()?;
            let (pool, begun) = (Executor::new(1), lp.turns());
            let job = lp.run_in(&pool, || ())?;
            pool.shutdown(true, false)?;
            assert!(!job.done(), "its thread has ended, and the loop has not heard of it");
            job.await?;
            Ok(lp.turns() - begun)
        };
        assert_eq!(lp.run_until_complete(main)?, 2);
    }
    Ok(())
}

#[test]
fn to_thread_takes_the_same_turns_and_its_value_needs_no_clone() -> Result<()> {
    struct Unique(u32);
    for clock in [Clock::monotonic(), Clock::virtual_time()] {
        let _dog = watchdog();
        let gate = Gate::new();
        let (lp, log) = recorded(clock, gate.clone())?;
        let job = move || {
            gate.pass();
            Unique(blocking())
        };
        assert_eq!(lp.run_until_complete(async { to_thread(job).await })?.0, 42);
        assert_turns(&log.borrow(), "looplab_0");
    }
    Ok(())
}

#[test]
fn a_panic_is_the_awaiters_error_and_the_thread_lives_on() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let texts: [fn(); 3] = [|| panic!("aua"), || panic!("{}!", "aua"), || std::panic::panic_any(7)];
    for (function, text) in texts.into_iter().zip(["aua", "aua!", "a panic whose payload is not a text"]) {
        let job = lp.run_in_executor(function)?;
        let error = lp.run_until_complete(&job).unwrap_err();
        assert!(matches!(&error, Error::Panic(said) if **said == *text), "{error:?}");
    }
    let job = lp.run_in_executor(thread_name)?;
    assert_eq!(lp.run_until_complete(&job)?, "looplab_0");
    Ok(())
}

#[test]
fn a_failure_that_is_never_read_is_reported() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = reports.clone();
    lp.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        seen.borrow_mut().push(context.message().to_owned());
    }));
    drop(lp.run_in_executor(|| panic!("aua"))?);
    finish_jobs(&lp)?;
    turn(&lp)?; // the callback holds the last handle of the future
    assert_eq!(*reports.borrow(), ["Future exception was never retrieved"]);
    Ok(())
}

#[test]
fn a_job_may_run_a_loop_of_its_own() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let pool = Executor::new(2);
    let inner = pool.clone();
    let job = lp.run_in(&pool, move || -> Result<u32> {
        let lp = EventLoop::new()?;
        let job = lp.run_in(&inner, blocking)?;
        lp.run_until_complete(&job)
    })?;
    assert_eq!(lp.run_until_complete(&job)??, 42);
    Ok(())
}

// ---- what can be seen ----

#[test]
fn a_snapshot_shows_the_jobs_and_that_a_task_waits_for_one_and_where() -> Result<()> {
    let (lp, _dog) = loop_with(1)?;
    let (pool, gate) = (Executor::new(1), Gate::new());
    let first = begin(&lp, &pool, &gate, ())?;
    let second = lp.run_in(&pool, blocking)?;
    let line = line!() - 1;
    let task = Task::builder().name("waiter").spawn_on(&lp, async move { second.await.map(drop) });
    turn(&lp)?;
    let state = lp.snapshot();
    let jobs: Vec<_> = state.jobs.iter().map(|job| (job.id, &*job.label, job.running)).collect();
    assert_eq!(jobs, [(1, "begin::{closure}", true), (2, "blocking", false)]);
    assert_eq!((state.jobs[1].place.file(), state.jobs[1].place.line()), ("tests/threads/executor.rs", line));
    let TaskState::Waiting(waits) = &state.tasks[0].state else { panic!("{state}") };
    let place = waits[0].place.expect("it was made somewhere");
    assert_eq!((waits[0].kind, place.line()), ("job", line));
    let text = state.to_string();
    let queued = format!("blocking at tests/threads/executor.rs:{line} (queued)");
    assert!(text.contains("begin::{closure} at ") && text.contains(&queued), "{text}");
    // The pool says it, too.
    assert_eq!(pool.running()[0].to_string().split(':').next(), Some("begin"));
    assert!(pool.running()[0].to_string().ends_with("on looplab_0"));
    gate.open();
    lp.run_until_complete(&first)?;
    lp.run_until_complete(&task)
}

// ---- virtual time ----

#[test]
fn a_virtual_loop_that_waits_for_a_job_is_not_deadlocked_and_really_waits() -> Result<()> {
    let _dog = watchdog();
    let gate = Gate::new();
    let open = gate.clone();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).on_park(move || open.open()).build()?;
    let began = lp.time();
    let pass = gate.clone();
    let job = lp.run_in_executor(move || pass.pass())?;
    lp.run_until_complete(&job)?;
    assert_eq!(lp.time(), began, "no deadline was passed");
    Ok(())
}

#[test]
fn a_job_takes_no_virtual_time_unless_a_deadline_is_reached_before_it_is_over() -> Result<()> {
    let _dog = watchdog();
    let (at_once, later) = (Gate::new(), Gate::new());
    let (first, second) = (at_once.clone(), later.clone());
    let lp = EventLoop::builder().clock(Clock::virtual_time()).on_park(move || at_once.open()).build()?;
    let began = lp.time();
    let hour = lp.call_later(HOUR, || unreachable!("an hour later"))?;
    let job = lp.run_in_executor(move || first.pass())?;
    lp.run_until_complete(&job)?;
    assert_eq!(lp.time(), began);
    lp.call_later(Duration::from_millis(1), move || later.open())?;
    let job = lp.run_in_executor(move || second.pass())?;
    lp.run_until_complete(&job)?;
    assert_eq!(lp.time(), began + Duration::from_millis(1));
    hour.cancel();
    Ok(())
}

/// A thread is as quick as it likes, and the turns are the same.
#[test]
fn in_virtual_time_jobs_come_back_one_by_one_when_there_is_nothing_else_to_do() -> Result<()> {
    fn busy(turns: u32) -> Result<()> {
        match turns {
            0 => Ok(()),
            _ => get_running_loop()?.call_soon(move || busy(turns - 1)).map(drop),
        }
    }
    for (clock, expected) in [(Clock::virtual_time(), [5, 7, 9]), (Clock::monotonic(), [1, 1, 1])] {
        let _dog = watchdog();
        let (lp, pool) = (EventLoop::builder().clock(clock).build()?, Executor::new(1));
        let jobs = [(); 3].map(|()| lp.run_in(&pool, blocking)).into_iter().collect::<Result<Vec<_>>>()?;
        pool.shutdown(true, false)?; // all of them are over, and the loop could know
        lp.call_soon(|| busy(3))?;
        let mut turns = Vec::new();
        while turns.len() < jobs.len() {
            lp.run_once()?;
            let done = jobs.iter().filter(|job| job.done()).count();
            turns.resize(done, lp.turns());
        }
        assert_eq!(turns, expected);
    }
    Ok(())
}

/// A thread that has delivered its result, and still holds the loop for a moment, does not count as one that may wake it.
#[test]
fn after_its_last_job_a_virtual_loop_finds_its_deadlocks_again() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    for _ in 0..500 {
        let job = lp.run_in_executor(blocking)?;
        lp.run_until_complete(&job)?;
        assert!(matches!(lp.run_forever(), Err(Error::Deadlock(_))));
    }
    Ok(())
}
