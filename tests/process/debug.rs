//! What a loop in debug mode logs about its children: asyncio's lines, which `debug_lines.py` prints on CPython 3.15.

use crate::helpers::cat;
use looplab::process::{Command, Stdio};
use looplab::{EventLoop, Result, create_task, yield_now};
use std::fs;
use std::time::Duration;
use support::{child, logged, report};

/// Starts, feeds, ends and gives up children.
async fn program() -> Result<()> {
    cat().spawn().await?.communicate("hello").await?;
    // It reads first: a child that ends while it starts is described with its return code, by CPython too.
    let shell =
        Command::shell("read line; echo 'it is' >&2; exit 3").stdin(Stdio::piped()).stderr_to_stdout();
    shell.spawn().await?.communicate("go\n").await?;
    let sleep = Command::new("sleep").arg("3600").spawn().await?;
    sleep.kill()?;
    sleep.wait().await?;
    Command::new("/no/such/program").spawn().await.unwrap_err();
    let start = Command::new("sleep").arg("3600").stdin(Stdio::piped()).spawn();
    let start = create_task(async move { start.await.map(drop) });
    yield_now().await?;
    start.cancel();
    start.await.unwrap_err();
    Ok(())
}

/// Writes `PID` for each number of two digits or more.
fn without_pids(line: &str) -> String {
    let parts = line.split_inclusive(|c: char| !c.is_ascii_digit());
    let mut text = String::new();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        text.push_str(if digits > 1 { "PID" } else { &part[..digits] });
        text.push_str(&part[digits..]);
    }
    text
}

/// Returns the lines in an order of their own: the end of a child and the end of its pipes come in any order.
fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn a_loop_in_debug_mode_logs_asyncios_lines() {
    let ended = child!(|| {
        logged();
        EventLoop::builder().debug(true).build()?.run_until_complete(program())?;
        logged().iter().filter(|line| !line.contains("Executing <")).for_each(report);
        Result::Ok(())
    });
    let transcript = fs::read_to_string(support::root().join("tests/process/debug_lines.out"));
    let expected = sorted(transcript.expect("what CPython logs").lines().map(str::to_owned));
    assert_eq!(sorted(ended.fine().iter().map(|line| without_pids(line))), expected);
}

#[test]
fn without_debug_mode_or_a_logger_nothing_is_said() {
    let ended = child!(|| {
        let lp = EventLoop::builder().debug(true).build()?;
        // The start of a child takes as long as the machine needs.
        lp.set_slow_callback_duration(Duration::MAX);
        lp.run_until_complete(async { cat().spawn().await?.communicate("hello").await.map(drop) })?;
        logged();
        EventLoop::new()?.run_until_complete(program())?;
        logged().iter().for_each(report);
        Result::Ok(())
    });
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.fine(), [""; 0]);
}
