//! Where warnings go: to the logger, and without one to standard error, as with Python's `logging.lastResort`.

use log::{LevelFilter, Metadata, Record};
use looplab::{Clock, Error, EventLoop, Result, Runner, create_task, sleep};
use std::time::Duration;
use support::{HOUR, child, logged, ms, report};

/// A slow callback, a task that refuses to end, and a failure that nothing reads.
fn warn() -> Result<()> {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).debug(true);
    let mut runner = Runner::builder().event_loop(lp).sweep_until_quiet(ms(10)).build();
    runner.get_loop()?.set_slow_callback_duration(Duration::ZERO);
    runner.run(async {
        create_task(async { Err::<(), _>(Error::msg("unread")) });
        create_task(async {
            loop {
                let _: Result<()> = sleep(HOUR).await;
            }
        });
        sleep(ms(1)).await
    })?;
    runner.close()
}

const TEXTS: [&str; 3] = ["Executing <", "tasks refuse to end within", "Task exception was never retrieved"];

#[test]
fn without_a_logger_warnings_and_errors_go_to_standard_error() {
    let ended = child!(warn);
    for text in TEXTS {
        assert!(ended.stderr.contains(text), "no {text:?} in {}", ended.stderr);
    }
    ended.fine();
}

#[test]
fn with_a_logger_they_go_there_and_nowhere_else() {
    let ended = child!(|| {
        logged();
        warn()?;
        logged().iter().for_each(report);
        Ok::<(), Error>(())
    });
    assert_eq!(ended.stderr, "");
    let lines = ended.fine().join("\n");
    for text in TEXTS {
        assert!(lines.contains(text), "no {text:?} in {lines}");
    }
    assert!(lines.contains("WARN Executing <") && lines.contains("ERROR Task exception"), "{lines}");
}

/// A logger with a level of its own, as those that read `RUST_LOG`.
struct Levelled(LevelFilter);

impl log::Log for Levelled {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.0
    }
    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            report(record.args());
        }
    }
    fn flush(&self) {}
}

#[test]
fn a_logger_that_is_off_means_silence() {
    let ended = child!(|| {
        static OFF: Levelled = Levelled(LevelFilter::Off);
        log::set_logger(&OFF).expect("there is none");
        log::set_max_level(LevelFilter::Off);
        warn()
    });
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.fine(), [""; 0]);
}
