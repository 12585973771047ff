//! No zombie is left.

use crate::helpers::{cat, folder, gone, sleeper};
use looplab::{EventLoop, Result, yield_now};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use support::{Lab, child, logged, report};

#[test]
fn a_child_is_reaped_though_its_handle_is_dropped() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = sleeper().spawn().await?;
        let folder = folder(&child);
        assert!(folder.exists());
        child.terminate()?;
        drop(child);
        gone(folder).await
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_child_that_outlives_its_loop_lives_on_and_is_reaped_with_a_warning() {
    let lines = child!(|| {
        logged();
        let lp = EventLoop::new()?;
        let child = lp.run_until_complete(async { sleeper().spawn().await })?;
        lp.close()?;
        let folder = folder(&child);
        assert!(folder.exists());
        child.terminate()?;
        while folder.exists() || logged().is_empty() {
            std::thread::yield_now();
        }
        // Nothing notices the end, and the number may be another process's by now.
        assert_eq!(child.returncode(), None);
        child.kill()?;
        let text = format!("that handles pid {} is closed", child.pid());
        report(
            logged()
                .iter()
                .filter(|line| line.starts_with("WARN Loop <EventLoop ") && line.ends_with(&text))
                .count(),
        );
        Ok::<_, looplab::Error>(())
    });
    assert_eq!(lines.fine(), ["1"]);
}

/// The end of the child is queued, and the loop closes before that runs.
#[test]
fn a_child_whose_end_a_closed_loop_forgets_is_reaped() {
    let lines = child!(|| {
        let lp = EventLoop::new()?;
        let child = lp.run_until_complete(async { sleeper().spawn().await })?;
        child.kill()?;
        let stat = format!("/proc/{}/stat", child.pid());
        while !fs::read_to_string(&stat)?.contains(") Z ") {
            std::thread::yield_now();
        }
        lp.close()?;
        while folder(&child).exists() {
            std::thread::yield_now();
        }
        report("reaped");
        Ok::<_, looplab::Error>(())
    });
    assert_eq!(lines.fine(), ["reaped"]);
}

#[test]
fn a_child_that_other_code_has_reaped_has_the_return_code_255() {
    let lines = child!(|| {
        logged();
        let lp = EventLoop::new()?;
        let code = lp.run_until_complete(async {
            let child = sleeper().spawn().await?;
            let pid = Pid::from_raw(child.pid().try_into().expect("a process id"));
            kill(pid, Signal::SIGKILL).expect("it sleeps");
            while waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
                yield_now().await?;
            }
            child.wait().await
        })?;
        report(code);
        report(logged().iter().filter(|line| line.starts_with("WARN Unknown child process pid ")).count());
        Ok::<_, looplab::Error>(())
    });
    let lines = lines.fine();
    // Which of the two reaps first is not in the test's hand.
    assert!(lines == ["255", "1"] || lines == ["-9", "0"], "{lines:?}");
}

/// Waits until the pipes whose ends were read are closed: that takes some turns, and only a child that ends late hides it.
async fn closed() -> Result<()> {
    for _ in 0..5 {
        yield_now().await?;
    }
    Ok(())
}

#[test]
fn many_children_leave_no_zombie_and_no_descriptor() {
    let lines = child!(|| {
        let lp = EventLoop::new()?;
        let open = || fs::read_dir("/proc/self/fd").expect("Linux").count();
        // The first child makes what is kept: the entropy of a hash map, the self-pipe.
        lp.run_until_complete(async {
            cat().spawn().await?.communicate("").await?;
            closed().await
        })?;
        let before = open();
        lp.run_until_complete(async {
            for _ in 0..40 {
                let cat = cat().spawn().await?;
                assert_eq!(cat.communicate("hello").await?.0, b"hello");
            }
            closed().await
        })?;
        report(open() - before);
        report(format!("{:?}", waitpid(None, Some(WaitPidFlag::WNOHANG))));
        Ok::<_, looplab::Error>(())
    });
    assert_eq!(lines.fine(), ["0", "Err(ECHILD)"]);
}
