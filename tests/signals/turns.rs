//! Signals among descriptors: the self-pipe has the place at which the kernel reports it, as in CPython's loop.
//!
//! | promise | test |
//! |---|---|
//! | the self-pipe is one descriptor among the others | `a_signal_that_a_writer_raises_is_read_after_that_writer` |
//! | what was reported keeps its place while it is ready | `a_self_pipe_that_came_first_stays_first` |
//! | removing another handler keeps the place | `removing_another_handler_keeps_the_place_of_the_self_pipe` |
//! | a poll that found the self-pipe empty ends its place | `a_self_pipe_that_was_read_loses_its_place_in_the_next_turn` |
//! | a self-pipe that was not read is reported again | `a_run_that_is_left_before_the_self_pipe_is_read_queues_its_reader_again` |
//! | a call of a thread has no place among descriptors | `a_call_of_a_thread_holds_no_place_for_the_signal_after_it` |
//!
//! The words of each test but the last are those of the same program on CPython 3.15 with an `EpollSelector`.
//! Every test runs in a process of its own.

use looplab::{Error, Result, get_running_loop};
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;
use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::thread;
use support::{Lab, child, say, says};

/// Says its word, then raises SIGUSR1.
fn raises(word: &'static str) -> impl FnMut() -> Result<()> + 'static {
    move || {
        say(word);
        raise(SIGUSR1).map_err(Error::from)
    }
}

/// Makes this number of turns, each in a run of its own.
fn turns(lab: &Lab, count: usize) -> Result<()> {
    lab.clear();
    (0..count).try_for_each(|_| lab.run_once().map(drop))
}

#[test]
fn a_signal_that_a_writer_raises_is_read_after_that_writer() {
    child!(|| {
        let lab = Lab::new();
        let (socket, _peer) = UnixStream::pair()?;
        lab.add_signal_handler(SIGUSR1, says("c1"))?;
        lab.add_writer(&socket, raises("c0"))?;
        turns(&lab, 5)?;
        lab.is("run | turn 1 | select for ever idle | polled a:w | +h3 io a | batch 1 | run h3 | 'c0' | end
            run | turn 2 | select for ever idle | polled a:w | +h3 io a | +h1 signals | batch 2
                | run h3 | 'c0' | run h1 | signal 10 | +h2 signal 10 | signal 10 | +h2 signal 10 | end
            run | turn 3 | select 0 ready | polled a:w | +h3 io a | batch 3
                | run h2 | 'c1' | run h2 | 'c1' | run h3 | 'c0' | end
            run | turn 4 | select for ever idle | polled a:w | +h3 io a | +h1 signals | batch 2
                | run h3 | 'c0' | run h1 | signal 10 | +h2 signal 10 | signal 10 | +h2 signal 10 | end
            run | turn 5 | select 0 ready | polled a:w | +h3 io a | batch 3
                | run h2 | 'c1' | run h2 | 'c1' | run h3 | 'c0' | end");
        Ok(())
    })
    .fine();
}

#[test]
fn a_self_pipe_that_came_first_stays_first() {
    child!(|| {
        let lab = Lab::new();
        let (socket, _peer) = UnixStream::pair()?;
        lab.add_signal_handler(SIGUSR1, says("c1"))?;
        raise(SIGUSR1)?;
        lab.add_writer(&socket, raises("c0"))?;
        turns(&lab, 3)?;
        lab.is("run | turn 1 | select for ever idle | polled a:w | +h1 signals | +h3 io a | batch 2
                | run h1 | signal 10 | +h2 signal 10 | run h3 | 'c0' | end
            run | turn 2 | select 0 ready | polled a:w | +h1 signals | +h3 io a | batch 3
                | run h2 | 'c1' | run h1 | signal 10 | +h2 signal 10 | run h3 | 'c0' | end
            run | turn 3 | select 0 ready | polled a:w | +h1 signals | +h3 io a | batch 3
                | run h2 | 'c1' | run h1 | signal 10 | +h2 signal 10 | run h3 | 'c0' | end");
        Ok(())
    })
    .fine();
}

#[test]
fn removing_another_handler_keeps_the_place_of_the_self_pipe() {
    child!(|| {
        let lab = Lab::new();
        let (socket, _peer) = UnixStream::pair()?;
        lab.add_signal_handler(SIGUSR1, says("c1"))?;
        lab.add_signal_handler(SIGUSR2, says("c2"))?;
        raise(SIGUSR1)?;
        lab.add_writer(&socket, says("w"))?;
        lab.remove_signal_handler(SIGUSR2)?;
        turns(&lab, 3)?;
        lab.is("run | turn 1 | select for ever idle | polled a:w | +h1 signals | +h4 io a | batch 2
                | run h1 | signal 10 | +h2 signal 10 | run h4 | 'w' | end
            run | turn 2 | select 0 ready | polled a:w | +h4 io a | batch 2 | run h2 | 'c1' | run h4 | 'w' | end
            run | turn 3 | select for ever idle | polled a:w | +h4 io a | batch 1 | run h4 | 'w' | end");
        Ok(())
    })
    .fine();
}

#[test]
fn a_self_pipe_that_was_read_loses_its_place_in_the_next_turn() {
    child!(|| {
        let lab = Lab::new();
        let (socket, _peer) = UnixStream::pair()?;
        let calls = Cell::new(0);
        lab.add_signal_handler(SIGUSR1, move || {
            say("c1");
            if calls.replace(calls.get() + 1) == 0 {
                get_running_loop()?.add_writer(&socket, says("w"))?;
                raise(SIGUSR1)?;
            }
            Ok(())
        })?;
        lab.call_soon(|| raise(SIGUSR1).map_err(Error::from))?;
        raise(SIGUSR1)?;
        turns(&lab, 4)?;
        lab.is("run | turn 1 | select 0 ready | +h1 signals | batch 2
                | run h3 | run h1 | signal 10 | +h2 signal 10 | signal 10 | +h2 signal 10 | end
            run | turn 2 | select 0 ready | batch 2 | run h2 | 'c1' | writer a h4 | run h2 | 'c1' | end
            run | turn 3 | select for ever idle | polled a:w | +h4 io a | +h1 signals | batch 2
                | run h4 | 'w' | run h1 | signal 10 | +h2 signal 10 | end
            run | turn 4 | select 0 ready | polled a:w | +h4 io a | batch 2 | run h2 | 'c1' | run h4 | 'w' | end");
        Ok(())
    })
    .fine();
}

#[test]
fn a_run_that_is_left_before_the_self_pipe_is_read_queues_its_reader_again() {
    child!(|| {
        let lab = Lab::new();
        let (socket, _peer) = UnixStream::pair()?;
        lab.add_signal_handler(SIGUSR1, says("c1"))?;
        let mut calls = 0;
        lab.add_writer(&socket, move || {
            say("w");
            calls += 1;
            if calls == 2 {
                return Err(Error::KeyboardInterrupt);
            }
            raise(SIGUSR1).map_err(Error::from)
        })?;
        turns(&lab, 1)?;
        assert!(matches!(lab.run_once(), Err(Error::KeyboardInterrupt)));
        turns(&lab, 3)?;
        lab.is("run | turn 3 | select 0 ready | polled a:w | +h3 io a | +h1 signals | batch 3
                | run h1 | signal 10 | +h2 signal 10 | run h3 | 'w' | run h1 | signal 10 | +h2 signal 10 | end
            run | turn 4 | select 0 ready | polled a:w | +h3 io a | batch 3
                | run h2 | 'c1' | run h2 | 'c1' | run h3 | 'w' | end
            run | turn 5 | select for ever idle | polled a:w | +h3 io a | +h1 signals | batch 2
                | run h3 | 'w' | run h1 | signal 10 | +h2 signal 10 | signal 10 | +h2 signal 10 | end");
        Ok(())
    })
    .fine();
}

/// In CPython the call's byte is in the self-pipe, so `c1` already runs in turn 2.
#[test]
fn a_call_of_a_thread_holds_no_place_for_the_signal_after_it() {
    child!(|| {
        let lab = Lab::new();
        lab.add_signal_handler(SIGUSR1, says("c1"))?;
        let remote = lab.remote();
        thread::spawn(move || remote.call_soon(raises("call"))).join().expect("no panic")?;
        turns(&lab, 3)?;
        lab.is("run | turn 1 | +h3 thread | select 0 ready | batch 1 | run h3 | 'call' | end
            run | turn 2 | select for ever idle | +h1 signals | batch 1 | run h1 | signal 10 | +h2 signal 10 | end
            run | turn 3 | select 0 ready | batch 1 | run h2 | 'c1' | end");
        Ok(())
    })
    .fine();
}
