//! The programs that run on the terminal. What one says is what its test waits for.

use looplab::trace::{Event, Record};
use looplab::{Builder, Clock, Error, EventLoop, Result, Runner, Signal, Task};
use looplab::{create_task, current_task, get_running_loop, run, sleep, to_thread, yield_now};
use std::fmt::Debug;
use std::io::{Read, stdin};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use support::report;

const HOUR: Duration = Duration::from_secs(3600);
const SIGINT: i32 = 2;

fn show<T: Debug>(what: &str, result: &Result<T>) {
    match result {
        Ok(value) => report(format!("{what}: {value:?}")),
        Err(Error::Cancelled(_)) => report(format!("{what}: Cancelled")),
        Err(error) => report(format!("{what}: {error}")),
    }
}

/// Sleeps for ever, as far as a test goes, and says what ended that.
async fn waits(what: &str) -> Result<()> {
    report(format!("{what} waits"));
    let ended = sleep(HOUR).await;
    show(what, &ended);
    ended
}

/// Says "SIGINT" for each one, as soon as the process has handled it: from a thread, whatever the loop does.
fn announce_deliveries() -> Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGINT, theirs)?;
    thread::spawn(move || {
        while ours.read_exact(&mut [0]).is_ok() {
            report("SIGINT");
        }
    });
    Ok(())
}

fn for_ever() -> ! {
    loop {
        thread::park();
    }
}

pub(crate) fn waiting_main() {
    show("run", &run(waits("main")));
}

pub(crate) fn swallowing_main() {
    show("run", &run(async { waits("main").await.map(|()| "slept").or(Ok("swallowed")) }));
}

pub(crate) fn main_with_a_long_cleanup() {
    let result = run(async {
        let ended = waits("main").await;
        waits("cleanup").await?;
        ended
    });
    show("run", &result);
}

pub(crate) fn main_that_will_not_end() {
    let result = run(async {
        loop {
            let _ = waits("main").await;
        }
        #[allow(unreachable_code, reason = "it gives the body its type")]
        Ok(())
    });
    show("run", &result);
}

pub(crate) fn main_that_blocks() {
    let result = run(async {
        announce_deliveries()?;
        report("main blocks");
        for_ever();
        #[allow(unreachable_code, reason = "it gives the body its type")]
        Ok(())
    });
    show("run", &result);
}

/// Blocks until a line comes over the terminal.
pub(crate) fn main_that_blocks_for_a_while() {
    let result = run(async {
        announce_deliveries()?;
        report("main blocks");
        stdin().read_line(&mut String::new())?;
        report("main goes on");
        waits("main").await
    });
    show("run", &result);
}

pub(crate) fn callback_that_blocks() {
    let result = run(async {
        get_running_loop()?.call_soon(|| {
            announce_deliveries()?;
            report("callback blocks");
            for_ever();
            #[allow(unreachable_code, reason = "it gives the callback its type")]
            Ok(())
        })?;
        waits("main").await
    });
    show("run", &result);
}

pub(crate) fn main_that_others_cancelled_too() {
    let result = run(async {
        current_task().ok_or(Error::NoRunningLoop)?.cancel();
        let _ = waits("main").await;
        waits("main").await
    });
    show("run", &result);
}

pub(crate) fn two_runs() {
    let mut runner = Runner::new();
    for name in ["first", "second"] {
        let result = runner.run(async move { waits(name).await.map(|()| "slept").or(Ok("swallowed")) });
        show("run", &result);
    }
    show("close", &runner.close());
}

/// The sweep has it, because another task has left the loop.
pub(crate) fn main_that_is_swept() {
    let result = run(async {
        create_task(async { Err::<(), _>(Error::Exit(3)) });
        let _ = waits("main").await;
        waits("main").await
    });
    show("run", &result);
}

pub(crate) fn work_behind_the_run() {
    show("run", &run(async { Ok(1) }));
    report("behind the run");
    for_ever();
}

pub(crate) fn stubborn_task() {
    let result = run(async {
        create_task(async {
            let _ = waits("task").await;
            waits("task").await
        });
        yield_now().await
    });
    show("run", &result);
    report("behind the run");
    for_ever();
}

/// A thread that cannot be interrupted: the classic that needs more than one Ctrl-C.
pub(crate) fn blocking_job() {
    let result = run(async {
        let (begin, begun) = channel();
        let job = to_thread(move || {
            let _ = begin.send(());
            for_ever();
        });
        let waits = create_task(job);
        yield_now().await?;
        begun.recv().map_err(Error::other)?;
        get_running_loop()?.call_soon(|| report("main waits for the job"))?;
        let ended = waits.await;
        show("main", &ended);
        get_running_loop()?.call_later(Duration::ZERO, || report("sweeping"))?;
        ended
    });
    show("run", &result);
}

pub(crate) fn own_handler_before() {
    let mut runner = Runner::new();
    let lp = runner.get_loop().expect("a loop");
    lp.add_signal_handler(SIGINT, || report("own handler")).expect("it can be caught");
    show("run", &runner.run(own_handler_is_left_alone()));
    report("closing");
    show("close", &runner.close());
    for_ever();
}

pub(crate) fn own_handler_inside() {
    let mut runner = Runner::new();
    let result = runner.run(async {
        get_running_loop()?.add_signal_handler(SIGINT, || report("own handler"))?;
        own_handler_is_left_alone().await
    });
    show("run", &result);
    show("close", &runner.close());
    report("closed");
    for_ever();
}

/// Ends when a line comes over the terminal.
async fn own_handler_is_left_alone() -> Result<()> {
    let lp = get_running_loop()?;
    let (line, arrived) = (lp.create_future::<()>(), stdin());
    let done = line.clone();
    lp.add_reader(&arrived, move || {
        let lp = get_running_loop()?;
        stdin().read_line(&mut String::new())?;
        lp.remove_reader(&stdin())?;
        done.set_result(())
    })?;
    report("main waits");
    line.await
}

pub(crate) fn ignored() {
    show("run", &run(own_handler_is_left_alone()));
}

pub(crate) fn run_on_a_thread() {
    let ended = thread::spawn(|| drop(run(waits("main")))).join();
    report(format!("joined: {ended:?}"));
}

pub(crate) fn sigterm_and_ctrl_c() {
    let mut runner = Runner::builder().sigterm(true).build();
    let result = runner.run(async {
        let _ = waits("main").await;
        waits("cleanup").await
    });
    show("run", &result);
    show("close", &runner.close());
}

/// That Ctrl-C could be pressed is no reason to wait for ever.
pub(crate) fn hangs_in_virtual_time() {
    let clock = EventLoop::builder().clock(Clock::virtual_time());
    let mut runner = Runner::builder().event_loop(clock).build();
    let result = runner.run(async {
        let never = get_running_loop()?.create_future::<()>();
        never.await
    });
    report(matches!(result, Err(Error::Deadlock(_))));
}

/// Says when the loop has printed its state.
fn tells_of_dumps(builder: Builder) -> Builder {
    let mut dump = None;
    builder.observer(move |record: &Record<'_>| match record.event {
        Event::Push { q, label: "dump", .. } => dump = Some(q),
        Event::Returned { q, .. } if dump == Some(q) => report("dumped"),
        _ => {}
    })
}

fn run_on(builder: Builder, body: impl Future<Output = Result<()>> + 'static) {
    let mut runner = Runner::builder().event_loop(builder).build();
    show("run", &runner.run(body));
}

pub(crate) fn asked_by_ctrl_backslash() {
    run_on(tells_of_dumps(EventLoop::builder().dump_on(Signal::SIGQUIT)), async {
        let worker = Task::builder().name("worker").spawn(sleep(HOUR));
        report("main waits");
        let ended = worker.await;
        show("main", &ended);
        ended
    });
}

pub(crate) fn asked_in_debug_mode() {
    run_on(tells_of_dumps(EventLoop::builder().debug(true)), waits("main"));
}

pub(crate) fn not_asked() {
    run_on(EventLoop::builder(), waits("main"));
}

/// Blocks until a line comes over the terminal. Says that the watchdog has warned, once it has said that it blocks.
pub(crate) fn blocks_and_is_asked() {
    static BLOCKS: AtomicBool = AtomicBool::new(false);
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            eprintln!("{}", record.args());
            if BLOCKS.swap(false, SeqCst) {
                report("warned");
            }
        }
        fn flush(&self) {}
    }
    log::set_logger(&Logger).expect("the only logger");
    log::set_max_level(log::LevelFilter::Warn);
    let builder = EventLoop::builder().dump_on(Signal::SIGQUIT).watchdog(Duration::from_millis(2));
    run_on(tells_of_dumps(builder), async {
        report("main blocks");
        BLOCKS.store(true, SeqCst);
        stdin().read_line(&mut String::new())?;
        report("main goes on");
        let ended = sleep(HOUR).await;
        show("main", &ended);
        ended
    });
}

pub(crate) fn own_handler_for_ctrl_backslash() {
    let builder = EventLoop::builder().dump_on(Signal::SIGQUIT);
    run_on(builder, async {
        let lp = get_running_loop()?;
        if !lp.remove_signal_handler(Signal::SIGQUIT)? {
            report("no handler of the program's");
        }
        let pressed = lp.create_future();
        let set = pressed.clone();
        lp.add_signal_handler(Signal::SIGQUIT, move || {
            report("own handler");
            set.set_result(())
        })?;
        report("main waits");
        pressed.await
    });
}
