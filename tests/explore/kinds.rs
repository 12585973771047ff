//! Each kind of disturbance finds the fault that it is for, and passes the mended twin.

use looplab::explore::{Explore, Report, World, WorldGuard};
use looplab::sync::Event;
use looplab::{
    Error, EventLoop, Result, Runner, Signal, Task, create_task, get_running_loop, sleep, timeout, to_thread,
};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const SIGINT: Signal = Signal::SIGINT;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn explored(explore: Explore) -> Report {
    explore.run().expect("the undisturbed program is right")
}

fn passes(explore: Explore) {
    let report = explored(explore);
    assert!(report.failures().is_empty() && report.schedules() >= 3, "{report}");
}

/// The first failure has this schedule, and its message contains this.
fn fails(explore: Explore, schedule: &str, message: &str) {
    let report = explored(explore);
    let first = report.failures().first().expect("a failure");
    assert_eq!(first.schedule.to_string(), schedule, "{report}");
    assert!(first.message.contains(message), "{report}");
}

/// Takes a connection for a query, and puts it back.
fn query(world: &World, puts_back: fn(&Result<()>) -> bool) -> Result<()> {
    let free = Rc::new(Cell::new(1));
    let check = free.clone();
    world.finally(move || if check.get() == 1 { Ok(()) } else { Err(Error::msg("a connection is lost")) });
    world.main(async move {
        let query = async move {
            free.set(free.get() - 1);
            let queried = sleep(ms(5)).await;
            free.set(free.get() + i32::from(puts_back(&queried)));
            queried
        };
        match Task::builder().name("db").spawn(query).await {
            Err(error) if error.to_string() == "reset" => Ok(()),
            other => other,
        }
    })
}

#[test]
fn an_error_of_a_peer_fails_the_await_of_the_named_task() {
    let reset = || Error::msg("reset");
    let careless = Explore::new(|world| query(world, Result::is_ok));
    fails(careless.errors("db", reset), "error:db#2@3", "a connection is lost");
    let careful = || Explore::new(|world| query(world, |_| true));
    passes(careful().errors("db", reset).cancels().pairs());
}

#[test]
fn an_error_does_not_undo_an_await_that_has_succeeded() {
    let waits = |world: &World| {
        world.main(async {
            let answer = get_running_loop()?.create_future::<()>();
            let asked = answer.clone();
            let query = async move {
                match asked.clone().await {
                    Err(_) if asked.done() => Err(Error::msg("an answer is lost")),
                    _ => Ok(()),
                }
            };
            let query = Task::builder().name("db").spawn(query);
            sleep(ms(5)).await?;
            answer.set_result(())?;
            query.await
        })
    };
    let report = explored(Explore::new(waits).errors("db", || Error::msg("reset")));
    assert!(report.failures().is_empty() && report.schedules() >= 2, "{report}");
}

/// Loads two parts by jobs, which are done in an order of their own.
fn load(world: &World, in_order: bool) -> Result<()> {
    let noting = world.clone();
    let parts = Rc::new(RefCell::new(Vec::new()));
    let check = parts.clone();
    world.finally(move || {
        if !in_order {
            check.borrow_mut().sort_unstable();
        }
        match check.borrow()[..] {
            [1, 2] => Ok(()),
            ref wrong => Err(Error::msg(format!("the parts are {wrong:?}"))),
        }
    });
    world.main(async move {
        let part = |n: u32| {
            let (noting, parts) = (noting.clone(), parts.clone());
            create_task(async move {
                let loaded = to_thread(move || n).await?;
                noting.note(format!("part {loaded}"));
                parts.borrow_mut().push(loaded);
                Ok::<(), Error>(())
            })
        };
        let (first, second) = (part(1), part(2));
        first.await?;
        second.await
    })
}

#[test]
fn jobs_end_in_another_order() {
    fails(
        Explore::new(|world| load(world, true)).jobs(),
        "late:load::{closure}#1@2.2",
        "the parts are [2, 1]",
    );
    passes(Explore::new(|world| load(world, false)).jobs().stops().pairs());
}

/// Gives a job a time limit, and does not wait for it afterwards.
fn hurried(world: &World, waits: bool) -> Result<()> {
    world.main(async move {
        match timeout(ms(10), to_thread(|| 7)).await {
            Ok(7) => Ok(()),
            Err(Error::TimedOut) if waits => get_running_loop()?.shutdown_default_executor(None).await,
            Err(Error::TimedOut) => Ok(()),
            other => Err(Error::msg(format!("{other:?}"))),
        }
    })
}

#[test]
fn a_job_may_take_longer_than_all_else() {
    fails(
        Explore::new(|world| hurried(world, false)).jobs(),
        "late:hurried::{closure}#1@2",
        "left behind: the job ",
    );
    passes(Explore::new(|world| hurried(world, true)).jobs().pairs());
}

#[test]
fn jobs_start_no_threads_and_run_without_a_running_loop() {
    let here = |world: &World| {
        let made = std::thread::current().id();
        world.main(async move {
            let pool = looplab::Executor::new(2);
            let in_pool = get_running_loop()?.run_in(&pool, || std::thread::current().id())?;
            let of_job = to_thread(|| (std::thread::current().id(), get_running_loop().is_err())).await?;
            let same = of_job == (made, true) && in_pool.into_output().await? == made;
            if same && pool.threads() == 0 { Ok(()) } else { Err(Error::Exit(1)) }
        })
    };
    passes(Explore::new(here).jobs().stops());
}

/// Submits two jobs to a pool, and shuts it down in the same callback.
fn shut_down(world: &World, cancel: bool, waits: bool) -> Result<()> {
    let ran = Arc::new(AtomicU32::new(0));
    world.main(async move {
        let (lp, pool) = (get_running_loop()?, looplab::Executor::new(1));
        let job = || {
            let ran = ran.clone();
            lp.run_in(&pool, move || ran.fetch_add(1, SeqCst))
        };
        let jobs = [job()?, job()?];
        pool.shutdown(waits, cancel)?;
        let at_return = ran.load(SeqCst);
        if waits && at_return != if cancel { 0 } else { 2 } {
            return Err(Error::msg(format!("{at_return} jobs had run when it returned")));
        }
        if lp.run_in(&pool, || ()).is_ok() || pool.queued() > 0 && (waits || cancel) {
            return Err(Error::msg("the pool is not shut down"));
        }
        for job in jobs {
            match (job.await, cancel) {
                (Ok(_), false) | (Err(Error::Cancelled(_)), true) => {}
                (ended, _) => return Err(Error::msg(format!("a job ended with {ended:?}"))),
            }
        }
        Ok(())
    })
}

#[test]
fn a_pool_that_is_shut_down_cancels_its_jobs_or_waits_for_them() {
    for (cancel, waits) in [(false, false), (false, true), (true, false), (true, true)] {
        let explore = Explore::new(move |world| shut_down(world, cancel, waits));
        let report = explored(explore.jobs().stops().pairs());
        assert!(report.failures().is_empty() && report.schedules() > 0, "{report}");
    }
}

#[test]
fn a_job_that_would_wait_for_its_own_pool_is_refused() {
    let waits = |world: &World| {
        world.main(async {
            let pool = looplab::Executor::new(1);
            let own = pool.clone();
            let refused = get_running_loop()?.run_in(&pool, move || own.shutdown(true, false).is_err())?;
            if refused.await? { Ok(()) } else { Err(Error::Exit(1)) }
        })
    };
    passes(Explore::new(waits).jobs().stops());
}

/// Reads two sockets that have data in the same poll.
fn two_readers(world: &World, in_order: bool) -> Result<()> {
    let read = Rc::new(RefCell::new(Vec::new()));
    let check = read.clone();
    world.finally(move || match check.borrow()[..] {
        [1, 2] => Ok(()),
        [2, 1] if !in_order => Ok(()),
        ref wrong => Err(Error::msg(format!("read {wrong:?}"))),
    });
    world.main(async move {
        let both = Event::new();
        let mut peers = Vec::new();
        for n in 1..=2 {
            let (here, there) = UnixStream::pair()?;
            let (here, read, both) = (Rc::new(here), read.clone(), both.clone());
            let socket = here.clone();
            get_running_loop()?.add_reader(&*here, move || {
                (&*socket).read_exact(&mut [0])?;
                get_running_loop()?.remove_reader(&*socket)?;
                read.borrow_mut().push(n);
                if read.borrow().len() == 2 {
                    both.set();
                }
                Ok::<(), Error>(())
            })?;
            peers.push(there);
        }
        for peer in &mut peers {
            peer.write_all(b".")?;
        }
        both.wait().await
    })
}

#[test]
fn descriptors_that_are_ready_together_come_in_any_order() {
    fails(Explore::new(|world| two_readers(world, true)).ties(), "tie:1@2", "read [2, 1]");
    let report = explored(Explore::new(|world| two_readers(world, false)).ties().stops());
    assert!(report.failures().is_empty(), "{report}");
}

/// A value that keeps itself alive while its circle is closed.
struct Ring {
    next: RefCell<Option<Rc<Self>>>,
    _guard: WorldGuard,
}

fn ring(world: &World, closed: bool) -> Result<()> {
    let guard = world.guard();
    world.main(async move {
        let ring = Rc::new(Ring { next: RefCell::default(), _guard: guard });
        if closed {
            *ring.next.borrow_mut() = Some(ring.clone());
        }
        let slept = sleep(ms(1)).await;
        ring.next.take();
        slept
    })
}

#[test]
fn a_program_that_gives_up_leaks_nothing() {
    let leak = "1 guarded values are still alive when all is over";
    fails(Explore::new(|world| ring(world, true)).drops(), "drop@1.1", leak);
    passes(Explore::new(|world| ring(world, false)).drops().stops().pairs());
}

/// Work that must not be dropped before it is finished, or is so.
struct Work {
    finished: bool,
    strict: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        assert!(self.finished || !self.strict, "unfinished work");
    }
}

fn work(world: &World, strict: bool) -> Result<()> {
    world.main(async move {
        let mut work = Work { finished: false, strict };
        sleep(ms(1)).await?;
        work.finished = true;
        Ok::<(), Error>(())
    })
}

#[test]
fn no_destructor_panics_when_a_program_gives_up() {
    fails(
        Explore::new(|world| work(world, true)).drops(),
        "drop@1.1",
        "a destructor panicked: unfinished work",
    );
    passes(Explore::new(|world| work(world, false)).drops().cancels().pairs());
}

/// Saves on Ctrl-C, at once or by a task of its own.
fn saves(world: &World, at_once: bool) {
    let saved = Rc::new(Cell::new(false));
    let check = saved.clone();
    world.finally(move || if check.get() { Ok(()) } else { Err(Error::msg("not saved")) });
    world.runner(Runner::builder(), move |runner| {
        runner.run(async move {
            let slept = sleep(ms(60_000)).await;
            if slept.is_err() && !at_once {
                sleep(ms(5)).await?;
            }
            saved.set(true);
            slept
        })
    });
}

#[test]
fn a_runner_gets_ctrl_c_and_the_second_one_interrupts() {
    let explored = |at_once| {
        let explore = Explore::new(move |world| {
            saves(world, at_once);
            Ok(())
        });
        explore.signals([SIGINT]).pairs()
    };
    fails(explored(false), "signal:SIGINT@1,signal:SIGINT@2", "not saved");
    passes(explored(true));
}

#[test]
fn a_runners_first_ctrl_c_cancels_its_main_task_and_ends_with_the_interrupt() {
    let ends = |world: &World| {
        let noting = world.clone();
        world.runner(Runner::builder(), move |runner| {
            let inside = noting.clone();
            let ended = runner.run(async move {
                let slept = sleep(ms(10)).await;
                inside.note(if matches!(slept, Err(Error::Cancelled(_))) { "cancelled" } else { "slept" });
                slept
            });
            match ended {
                Ok(()) | Err(Error::KeyboardInterrupt) => Ok(()),
                other => Err(Error::Exit(i32::from(other.is_err()))),
            }
        });
        Ok(())
    };
    passes(Explore::new(ends).signals([SIGINT]).pairs());
}

#[test]
fn a_program_that_only_a_signal_could_wake_does_not_hang() {
    let waits = |world: &World| {
        world.runs(|lp: &EventLoop| {
            lp.add_signal_handler(Signal::SIGTERM, looplab::stop)?;
            lp.run_forever()
        });
        Ok(())
    };
    let error = Explore::new(waits).signals([Signal::SIGTERM]).run().expect_err("refused").to_string();
    assert!(error.contains("nothing within the program wakes the loop"), "{error}");
}
