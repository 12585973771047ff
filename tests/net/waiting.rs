//! How sockets wait: nothing is lost, whichever side gives up and when, and nothing reaches a registration that is gone.

use crate::helpers::sockets::{pair, run, waits};
use looplab::net::{TcpListener, TcpStream};
use looplab::trace::TaskState;
use looplab::xray::Replay;
use looplab::{
    Clock, Error, EventLoop, ExceptionContext, Result, Task, create_task, get_running_loop, sleep, yield_now,
};
use std::io::Write;
use std::net::TcpStream as Std;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::process::Command;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use support::watchdog;

const HOUR: Duration = Duration::from_secs(3600);

/// Cancels a waiting task in the very turn in which its descriptor is ready, behind the entry that wakes it.
async fn cancel_behind_readiness<T: 'static>(task: &Task<T>) -> Result<()> {
    let victim = task.clone();
    get_running_loop()?.call_later(Duration::ZERO, move || assert!(victim.cancel()))?;
    yield_now().await?;
    yield_now().await
}

#[test]
fn a_cancelled_accept_loses_no_connection() -> Result<()> {
    run(async {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0")?);
        for late in [false, true] {
            let accepting = create_task({
                let listener = listener.clone();
                async move { listener.accept().await }
            });
            waits().await?;
            let client = std::net::TcpStream::connect(listener.local_addr()?)?;
            if late {
                cancel_behind_readiness(&accepting).await?;
            } else {
                assert!(accepting.cancel());
            }
            assert!(accepting.into_output().await.unwrap_err().is_cancelled());
            let (_, peer) = listener.accept().await?;
            assert_eq!(peer, client.local_addr()?);
        }
        Ok(())
    })
}

#[test]
fn a_cancelled_read_loses_no_bytes() -> Result<()> {
    run(async {
        let (ours, mut theirs) = pair()?;
        let ours = Rc::new(ours);
        for late in [false, true] {
            let reader = ours.clone();
            let reading = create_task(async move { reader.read(&mut [0; 16]).await });
            waits().await?;
            theirs.write_all(b"hello")?;
            if late {
                cancel_behind_readiness(&reading).await?;
            } else {
                assert!(reading.cancel());
            }
            assert!(reading.await.unwrap_err().is_cancelled());
            let mut buf = [0; 16];
            let n = ours.read(&mut buf).await?;
            assert_eq!(&buf[..n], b"hello");
        }
        Ok(())
    })
}

#[test]
fn a_read_that_is_dropped_half_way_loses_no_bytes_and_leaves_no_registration() -> Result<()> {
    run(async {
        let lp = get_running_loop()?;
        let (ours, mut theirs) = pair()?;
        let mut buf = [0; 16];
        {
            let mut reading = pin!(ours.read(&mut buf));
            assert!(futures::poll!(&mut reading).is_pending());
            assert_eq!(lp.snapshot().io.len(), 1);
            theirs.write_all(b"hello")?;
            yield_now().await?;
            yield_now().await?;
        }
        assert!(lp.snapshot().io.is_empty());
        assert_eq!(ours.read(&mut buf).await?, 5);
        Ok(())
    })
}

/// An interrupted turn leaves a wait's entry in the queue, and the next poll queues it again.
#[test]
fn a_call_of_a_wait_that_is_over_does_not_end_the_next_one() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::new()?;
    let (ours, mut theirs) = pair()?;
    let reading = lp.create_task(async move {
        let mut buf = [0; 16];
        assert!(ours.read(&mut buf).await.unwrap_err().is_cancelled());
        // Between the two calls of the wait that was cancelled this reads what there is, and waits again.
        Ok([ours.read(&mut buf).await?, ours.read(&mut buf).await?])
    });
    lp.run_until_complete(waits())?;
    theirs.write_all(b"a")?;
    lp.call_soon(|| Err::<(), _>(Error::Exit(1)))?;
    assert!(matches!(lp.run_forever(), Err(Error::Exit(1))));
    assert!(reading.cancel());
    let writing = lp.create_task(async move {
        waits().await?;
        Ok(theirs.write_all(b"bc")?)
    });
    assert_eq!(lp.run_until_complete(&reading)?, [1, 2]);
    assert!(writing.done());
    Ok(())
}

#[test]
fn a_second_operation_in_one_direction_is_refused() -> Result<()> {
    run(async {
        let (ours, _theirs) = pair()?;
        let ours = Rc::new(ours);
        let (reader, writer) = (ours.clone(), ours.clone());
        let reading = create_task(async move { reader.read(&mut [0; 16]).await });
        let writing = create_task(async move { writer.write_all(&vec![0; 50_000_000]).await });
        waits().await?;
        let error = ours.read(&mut [0; 16]).await.unwrap_err();
        let text = "read() called while another coroutine is already waiting for incoming data";
        assert!(matches!(&error, Error::Runtime(_)) && error.to_string() == text);
        let error = ours.write(b"x").await.unwrap_err();
        let text = "write() called while another coroutine is already waiting for the socket to be writable";
        assert_eq!(error.to_string(), text);
        assert!(reading.cancel() && writing.cancel());
        assert!(reading.await.is_err() && writing.await.is_err());
        Ok(())
    })
}

#[test]
fn a_reused_descriptor_number_never_gets_the_readiness_of_the_one_before() -> Result<()> {
    run(async {
        let lp = get_running_loop()?;
        // Other tests take descriptors, too: try until the number comes back.
        for _ in 0..1000 {
            let (first, mut theirs) = pair()?;
            let (second, _other) = pair()?;
            let number = first.as_raw_fd();
            let reading = create_task(async move { first.read(&mut [0; 16]).await });
            waits().await?;
            // The readiness is known, and the entry queued, when the socket goes.
            theirs.write_all(b"hello")?;
            let moved = Rc::new(std::cell::RefCell::new(None));
            let (victim, keep) = (reading.clone(), moved.clone());
            let idle = move || -> Result<()> {
                victim.cancel();
                *keep.borrow_mut() = Some(second);
                Ok(())
            };
            lp.call_later(Duration::ZERO, idle)?;
            assert!(reading.await.unwrap_err().is_cancelled());
            let second = moved.take().expect("moved").into_std();
            // The lowest free number is given out first: fill the holes below.
            let mut copies = Vec::new();
            while copies.len() < 100 && copies.last().is_none_or(|copy: &Std| copy.as_raw_fd() < number) {
                copies.push(second.try_clone()?);
            }
            let Some(second) = copies.pop().filter(|copy| copy.as_raw_fd() == number) else { continue };
            let second = TcpStream::from_std(second)?;
            let waiting = create_task(async move { second.read(&mut [0; 16]).await });
            for _ in 0..5 {
                yield_now().await?;
            }
            assert!(!waiting.done());
            let state = lp.snapshot().tasks.pop().expect("the task").state;
            assert!(matches!(state, TaskState::Waiting(_)), "{state:?}");
            waiting.cancel();
            return waiting.await.map_or(Ok(()), |n| panic!("read {n} bytes of another socket"));
        }
        panic!("the number never came back");
    })
}

#[test]
fn a_loop_that_is_closed_ends_its_sockets_and_they_say_so() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::new()?;
    lp.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
    let (ours, mut theirs) = pair()?;
    let ours = Rc::new(ours);
    let reader = ours.clone();
    lp.create_task(async move { reader.read(&mut [0; 16]).await });
    lp.run_once()?;
    assert_eq!(lp.snapshot().io.len(), 1);
    lp.close()?;
    theirs.write_all(b"hello")?;
    let error = run(async move { ours.read(&mut [0; 16]).await }).unwrap_err();
    assert!(matches!(error, Error::Closed));
    Ok(())
}

#[test]
fn a_socket_belongs_to_the_loop_on_which_it_first_waited() -> Result<()> {
    let _dog = watchdog();
    let (one, (ours, _theirs)) = (EventLoop::new()?, pair()?);
    let ours = Rc::new(ours);
    let reader = ours.clone();
    one.run_until_complete(async move {
        let reading = create_task(async move { reader.read(&mut [0; 16]).await });
        waits().await?;
        reading.cancel();
        reading.await.map_or(Ok(()), |_| panic!("read something"))
    })?;
    let fd = ours.as_raw_fd();
    let error = run(async move { ours.read(&mut [0; 16]).await }).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the socket with descriptor {fd} is bound to a different event loop")
    );
    Ok(())
}

#[test]
fn a_descriptor_has_a_socket_or_a_reader_of_the_users_but_not_both() -> Result<()> {
    run(async {
        let lp = get_running_loop()?;
        let (ours, _theirs) = pair()?;
        lp.add_reader(&ours, || ())?;
        let error = ours.read(&mut [0; 16]).await.unwrap_err();
        let text = |by| format!("File descriptor {} is used by {by}", ours.as_raw_fd());
        assert_eq!(error.to_string(), text("a reader or writer of the loop"));
        assert!(lp.remove_reader(&ours)?);
        let mut buf = [0; 16];
        let mut reading = pin!(ours.read(&mut buf));
        assert!(futures::poll!(&mut reading).is_pending());
        assert_eq!(lp.add_reader(&ours, || ()).unwrap_err().to_string(), text("a socket"));
        assert!(!lp.remove_reader(&ours)?);
        Ok(())
    })
}

#[test]
fn a_snapshot_shows_what_a_task_waits_for_and_where() -> Result<()> {
    run(async {
        let (ours, _theirs) = pair()?;
        let fd = ours.as_raw_fd();
        let reading = create_task(async move { ours.read(&mut [0; 16]).await });
        waits().await?;
        let text = get_running_loop()?.snapshot().to_string();
        assert!(text.contains("waiting for socket read at tests/net/waiting.rs:"), "{text}");
        assert!(text.contains(&format!("fd{fd:<4} reader")), "{text}");
        reading.cancel();
        Ok(())
    })
}

#[test]
fn in_virtual_time_a_wait_for_a_socket_really_polls() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    let began = lp.time();
    let (ours, mut theirs) = pair()?;
    let (waiting, bell) = channel();
    let thread = thread::spawn(move || bell.recv().map(|()| theirs.write_all(b"hello")));
    lp.run_until_complete(async move {
        let sleeper = create_task(sleep(HOUR));
        create_task(async move { waiting.send(()).map_err(Error::other) });
        assert_eq!(ours.read(&mut [0; 16]).await?, 5);
        sleeper.cancel();
        Ok(())
    })?;
    assert!(lp.time() - began < HOUR);
    thread.join().expect("the thread").expect("told").map_err(Error::from)
}

#[test]
fn a_socket_without_a_waiter_is_nothing_to_wait_for() -> Result<()> {
    let _dog = watchdog();
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    let (ours, theirs) = pair()?;
    let error = lp.run_until_complete(async move {
        let mut buf = [0; 16];
        {
            let mut reading = pin!(ours.read(&mut buf));
            assert!(futures::poll!(&mut reading).is_pending());
        }
        sleep(HOUR).await?;
        get_running_loop()?.create_future::<()>().await?;
        drop((ours, theirs));
        Ok(())
    });
    assert!(matches!(error, Err(Error::Deadlock(_))), "{error:?}");
    Ok(())
}

#[test]
fn an_event_without_a_waiter_makes_no_turn() -> Result<()> {
    run(async {
        let (idle, mut unasked) = pair()?;
        let (ours, mut theirs) = pair()?;
        let mut buf = [0; 16];
        {
            let mut reading = pin!(idle.read(&mut buf));
            assert!(futures::poll!(&mut reading).is_pending());
        }
        let (waiting, bell) = channel();
        let thread = thread::spawn(move || {
            bell.recv().expect("told");
            unasked.write_all(b"psst").expect("written");
            theirs.write_all(b"hello").expect("written");
            (unasked, theirs)
        });
        let lp = get_running_loop()?;
        waiting.send(()).map_err(Error::other)?;
        let turn = lp.turns();
        assert_eq!(ours.peek(&mut [0; 16]).await?, 5);
        assert!(lp.turns() - turn <= 2, "{} turns", lp.turns() - turn);
        // It is not forgotten.
        assert_eq!(idle.read(&mut [0; 16]).await?, 4);
        thread.join().expect("the thread");
        Ok(())
    })
}

#[test]
fn the_state_rebuilt_from_a_trace_is_the_loops_own_at_every_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let tests = std::env::current_exe().expect("this test has a path");
    for test in [
        "memory::an_echo_takes_the_turns_of_tcp",
        "memory_ends::a_reset_fails_reads_and_breaks_writes_at_both_ends",
        "memory::a_loop_that_closes_ends_connections_and_frees_all",
        "waiting::a_cancelled_read_loses_no_bytes",
        "waiting::a_read_that_is_dropped_half_way_loses_no_bytes_and_leaves_no_registration",
        "waiting::a_call_of_a_wait_that_is_over_does_not_end_the_next_one",
        "waiting::a_second_operation_in_one_direction_is_refused",
        "waiting::a_reused_descriptor_number_never_gets_the_readiness_of_the_one_before",
        "waiting::a_descriptor_has_a_socket_or_a_reader_of_the_users_but_not_both",
        "waiting::a_loop_that_is_closed_ends_its_sockets_and_they_say_so",
    ] {
        let trace = folder.path().join(test.replace(':', "_") + ".jsonl");
        let run = Command::new(&tests)
            .args(["--exact", test])
            .env("LOOPLAB_TRACE", &trace)
            .env("LOOPLAB_TRACE_SNAPSHOTS", "1")
            .output()
            .expect("it runs");
        assert!(run.status.success(), "{test}");
        let mut replay = Replay::new();
        let text = std::fs::read_to_string(trace).expect("a trace");
        for line in text.lines() {
            replay.line(line).unwrap_or_else(|error| panic!("{test}: {error}\n{line}"));
        }
        assert!(replay.loops() > 0, "{test} made no loop");
    }
}
