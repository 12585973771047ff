//! Pipes to and from children.

use crate::helpers::cat;
use looplab::process::{Command, Stdio};
use looplab::{create_task, yield_now};
use support::Lab;

#[test]
fn communicate_feeds_and_reads_more_than_a_pipe_holds() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let input: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let cat = cat().spawn().await?;
        let (output, errors) = cat.communicate(input.clone()).await?;
        assert!(output == input && errors.is_empty());
        Ok(cat.returncode())
    });
    assert!(said[0].ends_with("returned Some(0)"), "{said:?}");
}

#[test]
fn communicate_forgives_a_child_that_does_not_read() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = Command::new("true").stdin(Stdio::piped()).spawn().await?;
        let (output, errors) = child.communicate(vec![0; 1_000_000]).await?;
        // What is no pipe reads as nothing, where asyncio has `None`.
        assert!(output.is_empty() && errors.is_empty());
        // What is no pipe takes nothing, as in asyncio.
        let child = Command::new("true").stdin(Stdio::null()).spawn().await?;
        child.communicate("lost").await?;
        Ok(child.returncode())
    });
    assert!(said[0].ends_with("returned Some(0)"), "{said:?}");
}

#[test]
fn a_cancelled_communicate_puts_back_what_it_had_and_leaves_the_child() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let mut cat = cat().spawn().await?;
        let output = cat.stdout.clone().expect("a pipe");
        let stdin = cat.stdin.take().expect("a pipe");
        let talk = create_task(cat.communicate(""));
        stdin.write("hello\n")?;
        // The bytes go to the waiting read.
        while !format!("{output:?}").contains("waiter") {
            yield_now().await?;
        }
        let watch = create_task(async move { Ok(()) });
        watch.await?;
        talk.cancel();
        assert!(talk.await.unwrap_err().is_cancelled());
        assert_eq!(output.readline().await?, b"hello\n");
        stdin.close();
        cat.wait().await
    });
    assert!(said[0].ends_with("returned 0"), "{said:?}");
}

#[test]
fn wait_does_not_return_while_a_pipe_is_full_and_nothing_reads() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = Command::shell("head -c 1000000 /dev/zero").stdout(Stdio::piped()).spawn().await?;
        let output = child.stdout.clone().expect("a pipe");
        let wait = create_task(child.wait());
        while !format!("{output:?}").contains("paused") {
            yield_now().await?;
        }
        // The stream holds at most 128 KiB and one read, the pipe 64 KiB: the child cannot have written all.
        assert!(!wait.done());
        assert_eq!(output.read_to_end().await?.len(), 1_000_000);
        wait.await
    });
    assert!(said[0].ends_with("returned 0"), "{said:?}");
}

#[test]
fn both_outputs_come_through_one_pipe() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let shell = Command::shell("echo one; echo two >&2; echo three").stderr_to_stdout().spawn().await?;
        assert!(shell.stderr.is_none());
        let (output, errors) = shell.communicate("").await?;
        assert_eq!((&*output, &*errors), (&b"one\ntwo\nthree\n"[..], &b""[..]));
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

#[test]
fn a_dialogue_line_by_line() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let cat = cat().spawn().await?;
        let (stdin, stdout) = (cat.stdin.as_ref().expect("a pipe"), cat.stdout.as_ref().expect("a pipe"));
        for word in ["one\n", "two\n"] {
            stdin.write(word)?;
            stdin.drain().await?;
            assert_eq!(stdout.readline().await?, word.as_bytes());
        }
        stdin.close();
        stdin.wait_closed().await?;
        assert_eq!(stdout.readline().await?, b"");
        cat.wait().await
    });
    assert!(said[0].ends_with("returned 0"), "{said:?}");
}

#[test]
fn standard_input_closes_when_the_child_ends() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let cat = cat().spawn().await?;
        let stdin = cat.stdin.clone().expect("a pipe");
        cat.kill()?;
        assert_eq!(cat.wait().await?, -9);
        stdin.wait_closed().await?;
        assert!(stdin.is_closing());
        stdin.write("lost")?;
        assert_eq!(stdin.drain().await.unwrap_err().to_string(), "Connection lost");
        Ok(())
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}

/// asyncio's first `drain` after the end succeeds: its transport passes the loss on in a turn of its own.
#[test]
fn the_first_drain_after_the_end_of_the_child_fails() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let child = Command::new("sleep").arg("3600").stdin(Stdio::piped()).spawn().await?;
        child.kill()?;
        let stat = format!("/proc/{}/stat", child.pid());
        // The loop makes no turn meanwhile.
        while !std::fs::read_to_string(&stat)?.contains(") Z ") {
            std::thread::yield_now();
        }
        let stdin = child.stdin.as_ref().expect("a pipe");
        stdin.write("x")?;
        assert_eq!(stdin.drain().await.unwrap_err().to_string(), "Connection lost");
        child.wait().await
    });
    assert!(said[0].ends_with("returned -9"), "{said:?}");
}

/// A grandchild keeps the reading end open, so only the end of the child closes standard input.
#[test]
fn standard_input_closes_though_another_process_could_read_it() {
    let lab = Lab::reporting_in_real_time();
    let said = lab.run(async {
        let line = "exec 3<&0; sleep 3600 2>/dev/null & echo $!";
        let shell = Command::shell(line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await?;
        let sleep = shell.stdout.as_ref().expect("a pipe").readline().await?;
        let sleep: i32 = String::from_utf8_lossy(&sleep).trim().parse().expect("a process id");
        // The grandchild has standard output as well: the child's end is not the pipe's.
        assert_eq!(shell.wait().await?, 0);
        let stdin = shell.stdin.clone().expect("a pipe");
        assert!(!stdin.is_closing());
        // asyncio ignores a signal to a child that has ended while a pipe is open.
        shell.kill()?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(sleep), nix::sys::signal::Signal::SIGKILL)
            .expect("it sleeps");
        stdin.wait_closed().await
    });
    assert!(said[0].ends_with("returned ()"), "{said:?}");
}
