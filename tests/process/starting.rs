//! Starting children.

use crate::helpers::{cat, gone, sleeper};
use looplab::process::{Command, Process, Stdio};
use looplab::{Error, EventLoop, Result, create_task, get_running_loop, yield_now};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Waker};
use support::{Lab, child};

/// Measured on CPython 3.15, with `_run_once` counted.
#[test]
fn a_start_takes_asyncios_turns() {
    let lab = Lab::reporting_in_real_time();
    let log = lab.log.clone();
    let said = lab.run(async move {
        let plain = Command::new("true").spawn().await?;
        log.say("without pipes");
        let piped = cat().spawn().await?;
        log.say("with three");
        piped.kill()?;
        piped.wait().await?;
        plain.wait().await.map(drop)
    });
    assert_eq!(said[..2], ["3 without pipes", "11 with three"]);
}

#[test]
fn what_cannot_be_started_is_an_error_of_the_system() {
    let said = Lab::reporting().run(async {
        let error = Command::new("/no/such/program").spawn().await.unwrap_err();
        let text = "FileNotFoundError: No such file or directory (os error 2)";
        assert_eq!(format!("{error:?}"), text);
        let error = Command::new("true").current_dir("/no/such/folder").spawn().await.unwrap_err();
        assert_eq!(format!("{error:?}"), text);
        let error = cat().limit(0).spawn().await.unwrap_err();
        assert_eq!(error.to_string(), "Limit cannot be <= 0");
        Ok(())
    });
    assert_eq!(said, ["2 returned ()"]);
}

#[test]
fn without_a_loop_nothing_is_started() {
    let start = pin!(sleeper().spawn());
    let std::task::Poll::Ready(Err(error)) = start.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it needs a loop")
    };
    assert!(matches!(error, Error::NoRunningLoop));
}

/// Returns the folder of the one `sleep` that this thread has started.
fn sleeping_child() -> PathBuf {
    let children = std::fs::read_to_string("/proc/thread-self/children").expect("Linux");
    format!("/proc/{}", children.trim()).into()
}

#[test]
fn a_start_that_is_cancelled_kills_the_child_and_reaps_it() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let start = create_task(async { sleeper().stdin(Stdio::piped()).spawn().await.map(drop) });
        yield_now().await?;
        let child = sleeping_child();
        assert!(child.exists());
        start.cancel();
        assert!(start.await.unwrap_err().is_cancelled());
        assert!(!child.exists());
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_start_that_is_dropped_kills_the_child() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let mut start = Box::pin(sleeper().stdin(Stdio::piped()).spawn());
        std::future::poll_fn(|cx| {
            assert!(start.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let child = sleeping_child();
        assert!(child.exists());
        drop(start);
        gone(child).await
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

/// Starts a shell and lets the loop make no turn until that has ended: its pipes are not connected before.
async fn start_one_that_ends_at_once(shell: Command) -> Result<Process> {
    let threads = || std::fs::read_dir("/proc/self/task").expect("Linux").count();
    let before = threads();
    let start = create_task(shell.spawn());
    yield_now().await?;
    // The thread that waits for the child ends when it has told the loop.
    while threads() > before {
        std::thread::yield_now();
    }
    start.into_output().await
}

/// Measured on CPython 3.15, with a `time.sleep` in the place of the wait for the thread.
#[test]
fn a_child_that_ends_before_its_pipes_are_connected_is_not_finished_before_they_are_closed() {
    let ended = child!(|| {
        EventLoop::new()?.run_until_complete(async {
            let line = Command::shell("exec 3<&0; sleep 3600 2>/dev/null & echo $!");
            let shell =
                start_one_that_ends_at_once(line.stdin(Stdio::piped()).stdout(Stdio::piped())).await?;
            assert_eq!(shell.returncode(), Some(0));
            let (stdin, stdout) =
                (shell.stdin.clone().expect("a pipe"), shell.stdout.clone().expect("a pipe"));
            let sleep = String::from_utf8_lossy(&stdout.readline().await?).trim().parse().expect("a number");
            assert!(!stdin.is_closing());
            shell.kill()?;
            nix::sys::signal::kill(Pid::from_raw(sleep), Signal::SIGKILL).expect("it sleeps");
            stdin.wait_closed().await?;

            // Another process could still read it, but nothing keeps it open.
            let line = Command::shell("exec 3<&0; sleep 3600 2>/dev/null &").process_group(0);
            let shell = start_one_that_ends_at_once(line.stdin(Stdio::piped()).stdout(Stdio::null())).await?;
            let stdin = shell.stdin.clone().expect("a pipe");
            assert!(stdin.is_closing());
            stdin.wait_closed().await?;
            let group = Pid::from_raw(i32::try_from(shell.pid()).expect("a small number"));
            nix::sys::signal::killpg(group, Signal::SIGKILL).expect("the other sleeps");

            let shell = start_one_that_ends_at_once(Command::shell("exit 3")).await?;
            assert_eq!(shell.returncode(), Some(3));
            let error = format!("{:?}", shell.kill().unwrap_err());
            assert_eq!(error, "ProcessLookupError: No such process (os error 3)");
            Ok(())
        })
    });
    ended.fine();
}

#[test]
fn a_child_has_the_environment_the_folder_and_the_group_that_were_set() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        // The fifth field of the last line is the process group.
        let line = "echo $COLOUR; pwd; cat /proc/$$/stat";
        let shell = Command::shell(line).env("COLOUR", "green").current_dir("/").process_group(0);
        let shell = shell.stdout(Stdio::piped()).spawn().await?;
        let (output, _) = shell.communicate("").await?;
        let output = String::from_utf8_lossy(&output);
        let group = output.lines().nth(2).and_then(|stat| stat.split(' ').nth(4));
        assert!(output.starts_with("green\n/\n"), "{output}");
        assert_eq!(group, Some(&*shell.pid().to_string()));
        assert_eq!(format!("{shell:?}"), format!("<Process {}>", shell.pid()));
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_loop_in_virtual_time_waits_for_a_child() {
    let lab = Lab::reporting();
    let said = lab.run(async {
        let before = get_running_loop()?.time();
        let code = Command::shell("exit 3").spawn().await?.wait().await?;
        assert_eq!(get_running_loop()?.time(), before);
        Ok(code)
    });
    assert!(said[0].ends_with("returned 3"), "{said:?}");
}
