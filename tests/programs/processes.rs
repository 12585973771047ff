//! Forked children, programs started by the loop's process, and what they inherit. Every test runs in a process of its own.
//! `docs/processes.md` tells the same in prose.

use looplab::net::{StreamWriter, UnixStream as Socket, open_unix_connection, start_unix_server};
use looplab::{Clock, Error, EventLoop, Result, get_running_loop, sleep};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;
use std::time::Duration;
use support::{Process, again, child, report, role, say, says, watchdog, words};

const MS: Duration = Duration::from_millis(1);

/// Runs `body` in a forked process, which ends with it; whether it answered true.
#[allow(unsafe_code, reason = "there is no other way to fork")]
fn forked(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only runs `body` and ends. The test program's main thread waits for this one, and holds no lock of
    // the allocator's or of looplab's meanwhile.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Parent { child } => ended_well(child),
        ForkResult::Child => {
            let status = i32::from(!body());
            // SAFETY: it ends the process, whatever its state.
            unsafe { nix::libc::_exit(status) }
        }
    }
}

fn ended_well(child: Pid) -> bool {
    matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)))
}

fn is_the_parents<T>(result: Result<T>) -> bool {
    let text = "this event loop belongs to the parent process; after a fork, make a loop of your own";
    matches!(result, Err(Error::Runtime(said)) if *said == *text)
}

/// A loop with a reader, a socket of looplab's that a task reads, and a signal handler. Each says what it got.
struct Listening {
    lp: EventLoop,
    reader: UnixStream,
    to_reader: UnixStream,
    to_socket: UnixStream,
}

fn listening() -> Result<Listening> {
    let lp = EventLoop::builder().clock(Clock::monotonic()).build()?;
    let (reader, to_reader) = UnixStream::pair()?;
    let (socket, to_socket) = UnixStream::pair()?;
    let mut reading = reader.try_clone()?;
    lp.add_reader(&reader, move || {
        let mut byte = [0];
        reading.read_exact(&mut byte)?;
        say(char::from(byte[0]));
        if byte == *b"z" { looplab::stop() } else { Ok(()) }
    })?;
    let socket = Socket::from_std(socket)?;
    lp.create_task(async move {
        let mut bytes = [0; 8];
        let n = socket.read(&mut bytes).await?;
        say(String::from_utf8_lossy(&bytes[..n]));
        Ok(())
    });
    lp.add_signal_handler(SIGUSR1, says("usr1"))?;
    // The task waits, and the loop has polled.
    for _ in 0..3 {
        lp.stop();
        lp.run_forever()?;
    }
    Ok(Listening { lp, reader, to_reader, to_socket })
}

/// Everything that the loop listens to still reaches it.
fn hears_everything(parent: &mut Listening) -> Result<()> {
    parent.to_socket.write_all(b"socket")?;
    raise(SIGUSR1)?;
    // The last byte stops the loop, two turns after the signal's.
    let mut last = parent.to_reader.try_clone()?;
    parent.lp.call_later(20 * MS, move || last.write_all(b"z").map_err(Error::from))?;
    parent.lp.run_forever()?;
    let mut said = words();
    said.sort();
    assert_eq!(said, ["socket", "usr1", "z"]);
    Ok(())
}

#[test]
fn a_child_that_is_forked_in_a_callback_has_no_running_loop_and_leaves_the_parents_alone() {
    child!(|| {
        let _dog = watchdog();
        let mut parent = listening()?;
        let (lp, reader) = (parent.lp.clone(), parent.reader.as_raw_fd());
        parent.lp.call_soon(move || {
            assert!(forked(|| {
                matches!(get_running_loop(), Err(Error::NoRunningLoop))
                    && matches!(looplab::stop(), Err(Error::NoRunningLoop))
                    && is_the_parents(lp.add_writer(&reader, || ()))
                    && is_the_parents(lp.add_reader(&reader, || ()))
                    && is_the_parents(lp.add_signal_handler(SIGUSR2, || ()))
                    && matches!(lp.remove_reader(&reader), Ok(false))
                    && matches!(lp.remove_signal_handler(SIGUSR1), Ok(false))
            }));
            assert!(forked(|| matches!(lp.remove_reader(&reader), Ok(true))));
            looplab::stop()
        })?;
        parent.lp.run_forever()?;
        hears_everything(&mut parent)
    })
    .fine();
}

#[test]
fn a_child_runs_a_loop_of_its_own_inside_the_callback_that_forked() {
    child!(|| {
        let _dog = watchdog();
        let mut parent = listening()?;
        parent.lp.call_soon(move || {
            assert!(forked(|| {
                let run = || {
                    EventLoop::new()?.run_until_complete(async {
                        sleep(MS).await?;
                        get_running_loop()?.call_soon(|| ()).map(drop)
                    })
                };
                run().is_ok() && get_running_loop().is_err()
            }));
            looplab::stop()
        })?;
        parent.lp.run_forever()?;
        hears_everything(&mut parent)
    })
    .fine();
}

#[test]
fn a_run_that_a_fork_has_copied_ends_in_the_child_and_goes_on_in_the_parent() {
    child!(|| {
        let _dog = watchdog();
        let mut parent = listening()?;
        let forks = Rc::new(RefCell::new(None));
        let fork_here = forks.clone();
        parent.lp.call_soon(move || {
            #[allow(unsafe_code, reason = "there is no other way to fork")]
            // SAFETY: as in `forked`; the child leaves this function through the end of its run.
            match unsafe { fork() }.expect("a process") {
                ForkResult::Parent { child } => {
                    assert!(ended_well(child));
                    looplab::stop()
                }
                ForkResult::Child => {
                    *fork_here.borrow_mut() = Some("child");
                    Ok(())
                }
            }
        })?;
        let ended = parent.lp.run_forever();
        if forks.borrow().is_some() {
            let fine = is_the_parents(ended)
                && is_the_parents(parent.lp.run_forever())
                && is_the_parents(parent.lp.run_once())
                && parent.lp.close().is_ok();
            #[allow(unsafe_code, reason = "the rest of the test is the parent's")]
            // SAFETY: it ends the process, whatever its state.
            unsafe {
                nix::libc::_exit(i32::from(!fine))
            }
        }
        ended?;
        hears_everything(&mut parent)
    })
    .fine();
}

#[test]
fn a_copy_that_a_child_closes_between_two_runs_leaves_the_parents_loop_alone() {
    child!(|| {
        let _dog = watchdog();
        let mut parent = listening()?;
        let lp = parent.lp.clone();
        assert!(forked(move || lp.close().is_ok() && is_closed(&lp)));
        hears_everything(&mut parent)
    })
    .fine();
}

#[test]
fn a_copy_of_a_unix_server_that_a_child_closes_leaves_the_parents_file_and_clients_alone() {
    child!(|| {
        let _dog = watchdog();
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let lp = EventLoop::new()?;
        let bound = path.clone();
        let handler = async |_, writer: StreamWriter| writer.write("hello");
        let server = lp.run_until_complete(async move { start_unix_server(handler, &bound).await })?;
        assert!(forked(|| {
            server.close();
            lp.close().is_ok() && server.sockets().is_empty()
        }));
        assert!(path.exists() && server.is_serving());
        let greeted = lp.run_until_complete(async move {
            let (reader, _writer) = open_unix_connection(&path).await?;
            reader.read_to_end().await
        })?;
        assert_eq!(greeted, b"hello");
        Ok(())
    })
    .fine();
}

fn is_closed(lp: &EventLoop) -> bool {
    lp.is_closed() && matches!(lp.run_forever(), Err(Error::Closed))
}

/// The self-pipe is shared: the parent wakes, and finds no signal.
#[test]
fn a_signal_of_a_forked_child_is_not_the_parents() {
    child!(|| {
        let _dog = watchdog();
        let parent = listening()?;
        assert!(forked(|| raise(SIGUSR1).is_ok()));
        for _ in 0..4 {
            parent.lp.stop();
            parent.lp.run_forever()?;
        }
        assert_eq!(words(), [""; 0]);
        Ok(())
    })
    .fine();
}

/// A call in the child goes to the child's copy, which never runs: it does not wake the parent.
#[test]
fn a_remote_of_a_forked_child_does_not_reach_the_parent() {
    child!(|| {
        let _dog = watchdog();
        let parent = listening()?;
        let remote = parent.lp.remote();
        assert!(forked(move || {
            let call = std::thread::spawn(move || remote.call_soon(says("never")));
            call.join().is_ok()
        }));
        for _ in 0..4 {
            parent.lp.stop();
            parent.lp.run_forever()?;
        }
        assert_eq!(words(), [""; 0]);
        Ok(())
    })
    .fine();
}

/// Started with SIGHUP ignored, as under `nohup`: a program that it starts inherits that, until a handler was added.
#[test]
fn a_program_that_is_started_ignores_no_signal_that_the_loop_has_handled() {
    if role().as_deref() == Some("ignoring") {
        let lp = EventLoop::new().expect("a loop");
        report(is_ignored_by_a_child(SIGHUP));
        lp.add_signal_handler(SIGHUP, || ()).expect("it can be caught");
        report(is_ignored_by_a_child(SIGHUP));
        lp.remove_signal_handler(SIGHUP).expect("a signal");
        raise(SIGHUP).expect("this process ignores it again");
        return report(is_ignored_by_a_child(SIGHUP));
    }
    let test = again!("ignoring");
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(test.get_program()).args(test.get_args());
    shell.envs(test.get_envs().filter_map(|(key, value)| Some((key, value?))));
    assert_eq!(Process::start(&mut shell).end().fine(), ["true", "false", "false"]);
}

fn is_ignored_by_a_child(signal: i32) -> bool {
    let output = Command::new("cat").arg("/proc/self/status").output().expect("a child");
    let status = String::from_utf8(output.stdout).expect("text");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    u64::from_str_radix(mask.trim(), 16).expect("a number") & 1 << (signal - 1) != 0
}

/// The handler of other code interrupts the poll, which goes on with the time that is left.
#[test]
fn a_handler_of_other_code_that_interrupts_the_poll_ends_no_turn() {
    child!(|| {
        let _dog = watchdog();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        signal_hook::flag::register_usize(SIGUSR1, count, 1)?;
        let (asleep, sleeps) = channel();
        let builder = EventLoop::builder().clock(Clock::monotonic());
        let lp = builder.on_park(move || asleep.send(pthread_self()).unwrap_or_default()).build()?;
        let remote = lp.remote();
        let other = std::thread::spawn(move || {
            let thread = sleeps.recv().expect("the loop goes to sleep");
            // It need not sleep yet: the signals go on until one has come, and for a while after that.
            for _ in 0..20 {
                pthread_kill(thread, Signal::SIGUSR1).expect("the thread lives");
                std::thread::sleep(MS);
            }
            remote.stop()
        });
        lp.run_forever()?;
        other.join().expect("no panic")?;
        assert_eq!((lp.turns(), seen.load(SeqCst)), (1, 1));
        Ok(())
    })
    .fine();
}
