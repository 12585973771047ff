//! The safe patterns of the lessons' pages, disturbed at every point.
//!
//! Each lesson has a module. Its code down to the line `// Explored:` is the page's own, and a test compares it with the page.
//! Where a pattern has a limit, a test shows the schedule that breaks it, and the page says so.

mod applications;
mod background;
mod callbacks;
mod combinators;
mod lifecycle;
mod servers;
mod shutdown;
mod signals;

use looplab::explore::{Explore, World};
use looplab::{Error, EventLoop, Result, Signal, Task, sleep};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

const SIGTERM: Signal = Signal::SIGTERM;

/// Explores a program that runs the loop itself.
fn runs(program: impl Fn(&World, &EventLoop) -> Result<()> + Copy + Send + Sync + 'static) -> Explore {
    Explore::new(move |world| {
        let inside = world.clone();
        // An error of the program is a failure, too.
        let ended = Rc::new(Cell::new(Ok(())));
        let ends = ended.clone();
        world.finally(move || ended.replace(Ok(())));
        world.runs(move |lp| {
            ends.set(program(&inside, lp));
            Ok(())
        });
        Ok(())
    })
}

/// Explores a main task. It may end cancelled, but not with another error.
fn main_task(program: impl AsyncFn(&World) -> Result<()> + Clone + Send + Sync + 'static) -> Explore {
    Explore::new(move |world| {
        let (program, inside) = (program.clone(), world.clone());
        let ended = Rc::new(Cell::new(Ok(())));
        let ends = ended.clone();
        world.finally(move || match ended.replace(Ok(())) {
            Err(Error::Cancelled(_)) => Ok(()),
            ended => ended,
        });
        world.main(async move {
            let ended = program(&inside).await;
            ends.set(ended.clone());
            ended
        })
    })
}

/// Explores a service that a signal ends, or a minute. `on_signal` is called for both.
fn ended_by_signal(
    lp: &EventLoop,
    on_signal: impl Fn() + Clone + 'static,
    serve: impl FnOnce() -> Result<()>,
) -> Result<()> {
    lp.add_signal_handler(SIGTERM, on_signal.clone())?;
    let minute = lp.call_later(Duration::from_secs(60), on_signal)?;
    serve()?;
    minute.cancel();
    lp.remove_signal_handler(SIGTERM).map(drop)
}

/// Every schedule keeps the promises.
fn holds(explore: Explore) {
    let report = explore.run().expect("the undisturbed program is right");
    assert!(report.failures().is_empty(), "{report}");
    assert!(report.schedules() >= 3, "{report}");
}

/// This schedule fails with this message: the limit that the page states.
fn breaks(explore: Explore, schedule: &str, message: &str) {
    let report = explore.run().expect("the undisturbed program is right");
    let found = report.failures().iter().find(|failure| failure.schedule.to_string() == schedule);
    assert!(found.is_some_and(|failure| failure.message.contains(message)), "{report}");
}

fn check(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::msg(otherwise)) }
}

/// Makes a task that works for an hour, and needs `cleanup` for its end.
fn worker(world: &World, cleanup: Duration) -> Task<()> {
    let guard = world.guard();
    Task::builder().name("worker").spawn_on(world.event_loop(), async move {
        let _guard = guard;
        let ended = sleep(Duration::from_secs(3600)).await;
        sleep(cleanup).await?;
        ended
    })
}

/// Returns a text without white space and trailing commas, which a formatter may change.
fn essence(text: &str) -> String {
    let plain: String = text.split_whitespace().collect();
    plain.replace(",}", "}").replace(",)", ")")
}

#[test]
fn the_patterns_are_those_of_the_pages() {
    let root = support::root();
    let mut compared = 0;
    for (page, parts) in [
        ("applications", "applications"),
        ("background", "background"),
        ("callbacks-and-errors", "callbacks"),
        ("combinators", "combinators"),
        ("lifecycle", "lifecycle"),
        ("servers", "servers"),
        ("shutdown", "shutdown"),
        ("signals", "signals"),
        ("stopping", "shutdown"),
    ] {
        let text = fs::read_to_string(root.join(format!("docs/lessons/{page}.md"))).expect(page);
        let path = format!("tests/explore/patterns/{parts}.rs");
        let source = fs::read_to_string(root.join(&path)).expect("the patterns");
        for module in source.split("\nmod lesson_").skip(1) {
            let lesson = &module[..2];
            let Some(section) = text.split("\n## ").find(|section| section.starts_with(lesson)) else {
                continue;
            };
            let (own, _) =
                module.split_once("// Explored:").unwrap_or_else(|| panic!("{path}, {lesson}: no mark"));
            let items = own.split("\n\n").skip(1).filter(|item| !item.trim().is_empty());
            for item in items {
                assert!(
                    essence(section).contains(&essence(item)),
                    "{page}.md, lesson {lesson} has not:\n{item}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared >= 20, "{compared} items compared");
}
