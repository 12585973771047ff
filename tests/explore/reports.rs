//! What the explorer says, and what it refuses.

use looplab::explore::{Explore, Report, Schedule, World};
use looplab::net::memory::MemoryListener;
use looplab::sync::Event;
use looplab::{
    Error, EventLoop, Result, Runner, Signal, Task, create_task, get_running_loop, shield, sleep, yield_now,
};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

type Program = fn(&World) -> Result<()>;

/// Leaves its commit behind if it is cancelled.
fn careless(world: &World) -> Result<()> {
    world.main(async {
        let commit = create_task(async { sleep(ms(5)).await });
        shield(&commit).await
    })
}

/// Makes many turns in which nothing can go wrong.
fn long(world: &World) -> Result<()> {
    let noting = world.clone();
    world.main(async move {
        for i in 0..50 {
            noting.note(i);
            sleep(ms(1)).await?;
        }
        Ok::<(), Error>(())
    })
}

fn explored(explore: Explore) -> Report {
    explore.run().expect("the undisturbed program is right")
}

/// Without the time that it took, which is no promise.
fn text(report: &Report) -> String {
    let text = report.to_string();
    let (before, rest) = text.split_once(" (in ").expect("a time");
    let (_, after) = rest.split_once(" s)").expect("its end");
    format!("{before}{after}")
}

#[test]
fn the_report_names_the_smallest_schedule_and_how_to_repeat_it() {
    let report = explored(Explore::new(careless).cancel("main"));
    let said = text(&report);
    let shown: Vec<&str> = said.lines().take(11).collect();
    let place = shown[3].trim_start().trim_start_matches("left behind: the task Task (");
    let place = place.split_once(')').expect("its end").0;
    assert_eq!(
        shown.join("\n").replace(place, "PLACE"),
        "explore: 3 of 13 schedules fail

    cancel main at the poll of turn 2; 2 schedules fail so
        left behind: the task Task (PLACE), the timer sleep (PLACE)

      turn    1  main.step
      turn    2  ✂ cancel main | Task.step | shield | main.wakeup
      turn    3  run_until_complete

    again:  LOOPLAB_EXPLORE='cancel:main#1@2' cargo test reports::the_report_names_the_smallest_schedule_and_how_to_repeat_it
"
    );
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_threads() {
    let with = |threads| text(&explored(Explore::new(careless).cancels().stops().pairs().threads(threads)));
    assert_eq!(with(1), with(4));
}

/// Notes in which turn it is, so that a restart is visible; and never ends if it is cancelled.
fn fussy(world: &World) -> Result<()> {
    let noting = world.clone();
    world.main(async move {
        while sleep(ms(1)).await.is_err() || noting.event_loop().turns() < 3 {}
        noting.note(noting.event_loop().turns());
        let mut slept = sleep(ms(1)).await;
        while slept.is_err() {
            slept = sleep(ms(1)).await.and(slept);
        }
        Ok::<(), Error>(())
    })
}

#[test]
fn a_schedule_repeated_by_its_name_fails_in_the_same_way() {
    let test = "reports::a_schedule_repeated_by_its_name_fails_in_the_same_way";
    let explore = |program: Program| Explore::new(program).cancel("main").stops();
    if let Some(role) = support::role() {
        // The environment names the schedule; nothing else is run.
        let (program, schedule) = role.split_once(' ').expect("two words");
        let report = explored(explore(if program == "careless" { careless } else { fussy }));
        assert_eq!(report.schedules(), 1);
        for failure in report.failures() {
            assert_eq!(failure.schedule.to_string(), schedule);
            support::report(&failure.message);
        }
        std::process::exit(0);
    }
    for (name, program) in [("careless", careless as Program), ("fussy", fussy)] {
        let report = explored(explore(program));
        assert!(report.failures().len() >= 2, "{report}");
        for failure in report.failures() {
            let schedule = failure.schedule.to_string();
            let mut command = support::command(test, &format!("{name} {schedule}"));
            let ended = support::Process::start(command.env("LOOPLAB_EXPLORE", &schedule)).end();
            assert_eq!(ended.fine(), std::slice::from_ref(&failure.message));
        }
    }
}

#[test]
fn a_disturbance_that_finds_nothing_to_disturb_fails_its_schedule() {
    let test = "reports::a_disturbance_that_finds_nothing_to_disturb_fails_its_schedule";
    if support::role().is_some() {
        let report = explored(Explore::new(long));
        for failure in report.failures() {
            support::report(&failure.message);
        }
        std::process::exit(0);
    }
    for schedule in [
        "cancel:worker#9@7",
        "signal:SIGTERM@7",
        "error:main#1@7",
        "job:load#9@7",
        "late:load#9@7",
        "reset:echo#9@7.1",
        "tie:1@7",
        "tie:18446744073709551615@7,stop@9",
        "stop@18446744073709551615",
    ] {
        let mut command = support::command(test, "repeat");
        let ended = support::Process::start(command.env("LOOPLAB_EXPLORE", schedule)).end();
        // The stop does what it says.
        let missed = schedule.trim_end_matches(",stop@9");
        assert_eq!(ended.fine(), [format!("the program never came to {missed}: is it the same program?")]);
    }
}

#[test]
fn a_repeated_schedule_is_traced_with_its_disturbance() {
    let test = "reports::a_repeated_schedule_is_traced_with_its_disturbance";
    if support::role().is_some() {
        assert_eq!(explored(Explore::new(careless).cancel("main")).failures().len(), 1);
        std::process::exit(0);
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (form, shown) in [("txt", "✂ cancel main |\n"), ("jsonl", r#""name":"cancel main","kind":"explore""#)]
    {
        let file = folder.path().join(format!("run.{form}"));
        let mut command = support::command(test, "repeat");
        command.env("LOOPLAB_EXPLORE", "cancel:main#1@2").env("LOOPLAB_TRACE", &file);
        support::Process::start(&mut command).end().fine();
        let trace = std::fs::read_to_string(&file).expect("a trace");
        assert!(trace.contains(shown), "{trace}");
        if form == "jsonl" {
            let told = looplab::xray::sentences(&trace).expect("a trace");
            let said = told.iter().find(|sentence| sentence.text.contains("explorer")).expect("a sentence");
            assert_eq!(said.text, "The explorer disturbs the program: cancel main.");
        }
    }
}

#[test]
fn a_failing_check_writes_a_page_of_the_smallest_schedule() {
    let check = || Explore::new(careless).cancel("main").check();
    let said = std::panic::catch_unwind(check).expect_err("it fails");
    let said = said.downcast_ref::<String>().expect("a text");
    let path = said.split_once("    picture: ").and_then(|(_, rest)| rest.lines().next()).expect("a path");
    assert!(
        path.ends_with("target/looplab/reports-a_failing_check_writes_a_page_of_the_smallest_schedule.html")
    );
    let page = std::fs::read_to_string(path).expect("a page");
    let traces: Vec<_> = page.split("class=\"trace\" data-name=").skip(1).collect();
    let [disturbed, undisturbed] = traces[..] else { panic!("{} traces", traces.len()) };
    assert!(disturbed.starts_with("\"disturbed\"") && undisturbed.starts_with("\"undisturbed\""));
    let mark = r#""name":"cancel main","kind":"explore""#;
    assert_eq!((disturbed.matches(mark).count(), undisturbed.matches(mark).count()), (1, 0));
}

#[test]
fn a_budget_takes_a_sample_and_says_what_it_left_out() {
    let report = explored(Explore::new(long).stops().pairs().at_most(300).seed(7));
    assert_eq!(report.schedules(), 300);
    assert!(report.left_out() > 1000, "{report}");
    let left =
        format!("a sample: {} more were left out; with seed 7 it is the same one", commas(report.left_out()));
    assert!(report.to_string().contains(&left), "{report}");
    let all = explored(Explore::new(long).stops());
    assert_eq!(all.left_out(), 0);
    assert!(!all.to_string().contains("sample"));
}

fn commas(n: u64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", n / 1000, n % 1000) }
}

#[test]
fn a_program_that_is_not_deterministic_is_refused_with_the_first_difference() {
    static BUILT: AtomicU32 = AtomicU32::new(0);
    let random = |world: &World| {
        let n = BUILT.fetch_add(1, SeqCst);
        world.main(async move {
            for _ in 0..n {
                sleep(ms(1)).await?;
            }
            Ok::<(), Error>(())
        })
    };
    let error = Explore::new(random).stops().run().expect_err("refused").to_string();
    assert!(
        error.starts_with("the program is not deterministic: two undisturbed runs differ, at `"),
        "{error}"
    );
}

#[test]
fn a_program_whose_times_or_notes_differ_is_refused_too() {
    static BUILT: AtomicU32 = AtomicU32::new(0);
    let late = |world: &World| {
        let n = BUILT.fetch_add(1, SeqCst);
        world.main(async move { sleep(ms(1 + u64::from(n))).await })
    };
    let error = Explore::new(late).run().expect_err("refused").to_string();
    assert!(error.contains("differ, at `turn 3 at 1ms` and `turn 3 at 2ms`. The usual causes"), "{error}");
    let noted = |world: &World| {
        world.note(BUILT.fetch_add(1, SeqCst) % 2);
        world.main(async { Ok::<(), Error>(()) })
    };
    let error = Explore::new(noted).run().expect_err("refused").to_string();
    assert!(
        error.contains("differ, at `0` and `1`. ") || error.contains("differ, at `1` and `0`. "),
        "{error}"
    );
}

#[test]
fn a_program_that_differs_after_a_disturbance_fails_with_the_disturbance() {
    let forgets = |world: &World| {
        static CANCELLED: AtomicU32 = AtomicU32::new(0);
        world.main(async {
            if sleep(ms(1)).await.is_err() {
                for _ in 0..CANCELLED.fetch_add(1, SeqCst) {
                    sleep(ms(1)).await?;
                }
            }
            Ok::<(), Error>(())
        })
    };
    let report = explored(Explore::new(forgets).cancels().pairs().threads(1));
    let first = &report.failures()[0];
    assert_eq!(first.schedule.to_string(), "cancel:main#1@2", "{report}");
    assert!(first.message.starts_with("the program is not deterministic after this: "), "{report}");
}

#[test]
fn an_undisturbed_program_that_breaks_a_promise_is_reported_first() {
    let leaves = |world: &World| {
        world.main(async {
            create_task(async { sleep(ms(1000)).await });
            Ok::<(), Error>(())
        })
    };
    let error = Explore::new(leaves).stops().run().expect_err("refused").to_string();
    assert!(
        error.starts_with("the undisturbed program breaks a promise: left behind: the task Task ("),
        "{error}"
    );
    let report = explored(Explore::new(leaves).stops().allow_left("Task").allow_left("sleep"));
    assert!(report.failures().is_empty(), "{report}");
}

#[test]
fn a_program_without_a_main_task_is_refused() {
    let error = Explore::new(|_| Ok(())).run().expect_err("refused").to_string();
    let refused = "the undisturbed program breaks a promise: the program needs world.main, world.runs or world.runner, and only one of them";
    assert_eq!(error, refused);
    let twice = |world: &World| {
        world.runs(|_| Ok(()));
        world.runner(Runner::builder(), |_| Ok(()));
        Ok(())
    };
    assert_eq!(Explore::new(twice).run().expect_err("refused").to_string(), refused);
}

#[test]
fn a_socket_in_memory_that_is_left_behind_is_called_a_socket() {
    let leaves = |world: &World| {
        world.main(async {
            create_task(async { MemoryListener::bind("shop")?.accept().await.map(drop) });
            sleep(ms(1)).await
        })
    };
    let error = Explore::new(leaves).allow_left("Task").run().expect_err("refused").to_string();
    assert_eq!(error, "the undisturbed program breaks a promise: left behind: the socket -1");
}

#[test]
fn reports_to_the_exception_handler_fail_a_schedule_unless_they_are_allowed() {
    let reports = |world: &World| {
        world.event_loop().call_soon(|| Err::<(), _>(Error::msg("boom")))?;
        world.main(async { sleep(ms(1)).await })
    };
    let error = Explore::new(reports).run().expect_err("refused").to_string();
    assert!(error.contains("reported to the exception handler: ") && error.ends_with("boom"), "{error}");
    assert!(explored(Explore::new(reports).allow_reports("boom")).failures().is_empty());
}

#[test]
fn a_guard_that_outlives_its_run_fails_the_schedule() {
    let leaks = |world: &World| {
        std::mem::forget(world.guard());
        world.main(async { Ok::<(), Error>(()) })
    };
    let error = Explore::new(leaks).run().expect_err("refused").to_string();
    assert!(error.ends_with("1 guarded values are still alive when all is over"), "{error}");
    let keeps = |world: &World| {
        let guard = world.guard();
        world.main(async move {
            let _guard = guard;
            sleep(ms(1)).await
        })
    };
    assert!(explored(Explore::new(keeps).cancels().stops().pairs()).failures().is_empty());
}

#[test]
fn a_panic_of_a_check_fails_the_schedule() {
    let panics = |world: &World| {
        world.finally(|| panic!("the books do not balance"));
        world.main(async { Ok::<(), Error>(()) })
    };
    let error = Explore::new(panics).run().expect_err("refused").to_string();
    assert!(error.contains("the books do not balance"), "{error}");
}

#[test]
#[should_panic(expected = "explore: 3 of 13 schedules fail")]
fn check_panics_with_the_report() {
    Explore::new(careless).cancel("main").check();
}

#[test]
#[should_panic(
    expected = "nothing is disturbed by .cancel(\"mian\"): no task has this name at any point; the tasks are: Task, main."
)]
fn check_panics_if_a_name_is_mistyped() {
    Explore::new(careless).cancel("mian").check();
}

#[test]
#[should_panic(expected = "the program has nothing that could be disturbed so")]
fn check_panics_if_nothing_can_be_disturbed() {
    Explore::new(long).jobs().check();
}

/// Every name counts by itself, whatever else is disturbed.
#[test]
fn a_name_that_is_never_found_fails_the_exploration() {
    let refused = |explore: Explore| explore.run().expect_err("a name is mistyped").to_string();
    let task = refused(Explore::new(careless).cancel("wroker").stops());
    assert!(task.starts_with("nothing is disturbed by .cancel(\"wroker\")"), "{task}");
    let error = refused(Explore::new(careless).errors("db", || Error::msg("reset")).stops());
    assert!(error.contains(".errors(\"db\", …): no task of this name waits"), "{error}");
    let signal = refused(Explore::new(careless).signals([Signal::SIGTERM]).stops().pairs());
    assert!(signal.contains(".signals([SIGTERM]): the program handles it at no poll"), "{signal}");
}

/// A task that only another disturbance makes is found in pairs.
#[test]
fn a_name_may_come_with_another_disturbance() {
    let program = |world: &World| {
        world.main(async {
            let lp = get_running_loop()?;
            let stop = Event::new();
            let minute = lp.call_later(ms(60_000), {
                let stop = stop.clone();
                move || stop.set()
            })?;
            let set = stop.clone();
            lp.add_signal_handler(Signal::SIGTERM, move || {
                let set = set.clone();
                Task::builder().name("cleanup").spawn(async move {
                    set.set();
                    Ok::<(), Error>(())
                });
            })?;
            let stopped = stop.wait().await;
            yield_now().await?;
            minute.cancel();
            lp.remove_signal_handler(Signal::SIGTERM)?;
            stopped
        })
    };
    let explore = || Explore::new(program).signals([Signal::SIGTERM]).cancel("cleanup");
    let alone = explore().run().expect_err("no cleanup without a signal").to_string();
    assert!(alone.contains(".cancel(\"cleanup\")") && alone.contains("needs pairs()"), "{alone}");
    explore().pairs().run().expect("the cleanup is found");
}

#[test]
fn check_prints_the_report_if_schedules_were_left_out() {
    let ended = support::child!(|| Explore::new(long).stops().at_most(3).check());
    let said = &ended.stderr;
    assert!(
        said.contains("explore: all of 3 schedules pass") && said.contains("more were left out"),
        "{said}"
    );
}

#[test]
fn a_panic_of_an_errors_closure_fails_the_schedule() {
    let report = explored(Explore::new(long).errors("main", || panic!("no error today")));
    let message = &report.failures()[0].message;
    assert!(
        message.starts_with("the explorer's observer panicked: ") && message.contains("no error today"),
        "{report}"
    );
}

#[test]
fn a_signal_that_is_delivered_reaches_the_handler_and_not_the_process() {
    let waits = |world: &World| {
        let noting = world.clone();
        world.runs(move |lp: &EventLoop| {
            let counting = noting.clone();
            lp.add_signal_handler(15, move || counting.note("SIGTERM"))?;
            lp.run_until_complete(async { sleep(ms(5)).await })?;
            lp.remove_signal_handler(15).map(drop)
        });
        Ok(())
    };
    let report = explored(Explore::new(waits).signals([15]).pairs());
    assert!(report.failures().is_empty() && report.schedules() >= 3, "{report}");
}

#[test]
fn a_text_that_names_no_schedule_is_refused() {
    for text in ["stop", "stop@x", "cancel:main@1", "signal:SIGNONE@1", "pause@1", "stop@1.2.3"] {
        let error = text.parse::<Schedule>().expect_err(text);
        assert!(error.to_string().contains("names no schedule"), "{error}");
    }
    for text in ["", "stop@12", "stop@3.1,cancel:a_b#7@9.2", "signal:SIGINT@4,signal:62@5"] {
        assert_eq!(text.parse::<Schedule>().expect("a schedule").to_string(), text);
    }
}

#[test]
fn a_restart_is_invisible_to_sleeps() {
    let report = explored(Explore::new(long).stops().pairs().at_most(500));
    assert!(report.failures().is_empty() && report.schedules() == 500, "{report}");
}

#[test]
fn a_stop_that_the_program_sees_is_a_visible_restart() {
    let counting = |world: &World| {
        let noting = world.clone();
        world.main(async move {
            sleep(ms(1)).await?;
            noting.note(noting.event_loop().turns());
            Ok::<(), Error>(())
        })
    };
    let report = explored(Explore::new(counting).stops());
    let first = &report.failures()[0];
    assert_eq!(first.schedule.to_string(), "stop@2");
    assert_eq!(first.message, "the restart is visible: note 1 is `4`, undisturbed `3`");
}
