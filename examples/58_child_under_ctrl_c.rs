//! Ctrl-C goes to the child processes too, and a child that is not ended outlives its parent.
//!
//! The terminal sends SIGINT to each process of its foreground group. A child in the parent's group dies before
//! the parent can ask it to finish. In a group of its own it learns of Ctrl-C from the parent: the parent
//! closes its input, reads the rest and waits. A child that no code ends runs on after the loop is closed.
//!
//! The program sends the signals as the terminal would.

use looplab::process::{Command, Process, Stdio};
use looplab::{Error, Result, get_running_loop, signal, sync::Event};
use nix::sys::signal::{Signal::SIGINT, Signal::SIGKILL, kill};
use nix::unistd::{Pid, getpgid, getpgrp};

const WORKER: &str = r#"while read job; do echo "did $job"; done; echo saved"#;

fn pid_of(child: &Process) -> Result<Pid> {
    Ok(Pid::from_raw(child.pid().try_into().map_err(Error::other)?))
}

fn ctrl_c(child: Pid) -> Result<()> {
    if getpgid(Some(child)).map_err(Error::other)? == getpgrp() {
        kill(child, SIGINT).map_err(Error::other)?;
    }
    signal::raise(looplab::Signal::SIGINT)
}

async fn shut_down(worker: &Process) -> Result<()> {
    let (rest, _) = worker.communicate("two\n").await?; // a last job, and the end of its input
    let rest = String::from_utf8_lossy(&rest);
    let lines: Vec<String> = rest.lines().map(|line| format!("'{line}'")).collect();
    println!("  then it says: [{}]", lines.join(", "));
    println!("  return code: {}", worker.returncode().unwrap_or_default());
    Ok(())
}

/// Waits for an event that is never set.
async fn until_cancelled() -> Result<()> {
    Event::new().wait().await
}

async fn work(mut command: Command) -> Result<()> {
    command = command.arg("-c").arg(WORKER).stdin(Stdio::piped()).stdout(Stdio::piped());
    let worker = command.spawn().await?;
    let (Some(stdin), Some(stdout)) = (&worker.stdin, &worker.stdout) else {
        return Err(Error::msg("no pipes"));
    };
    stdin.write("one\n")?;
    println!("  the worker says: {}", String::from_utf8_lossy(&stdout.readline().await?).trim());
    let child = pid_of(&worker)?;
    get_running_loop()?.call_soon(move || ctrl_c(child))?;
    let ended = until_cancelled().await; // serving
    shut_down(&worker).await?;
    ended
}

async fn forget() -> Result<Pid> {
    let child = Command::new("/bin/sleep").arg("3600").process_group(0).spawn().await?;
    pid_of(&child)
}

fn until_ctrl_c(command: Command) -> Result<()> {
    match looplab::run(work(command)) {
        Err(Error::KeyboardInterrupt) => println!("  Ctrl-C"),
        ended => ended?,
    }
    Ok(())
}

fn main() -> Result<()> {
    println!("in the parent's group:");
    until_ctrl_c(Command::new("/bin/sh"))?;

    println!("in a group of its own:");
    until_ctrl_c(Command::new("/bin/sh").process_group(0))?;

    println!("forgotten:");
    let child = looplab::run(forget())?;
    kill(child, None).map_err(Error::other)?; // fails if there is no such process
    println!("  the loop is closed, and the child runs");
    kill(child, SIGKILL).map_err(Error::other)
}

// Explained in docs/lessons/signals.md.
// Next: 17_coroutine_by_hand.rs
