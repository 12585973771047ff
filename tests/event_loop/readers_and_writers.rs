//! Readers and writers: level-triggered as asyncio's are, and free to change while they run.

use looplab::{Drained, Error, EventLoop, ExceptionContext, Result, get_running_loop};
use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use support::{Drops, Lab, OnDrop, say, says, words};

/// One turn that does not wait.
fn turn(lab: &Lab) -> Result<()> {
    lab.stop();
    lab.run_forever()
}

/// A pair with five bytes to read at the first end.
fn five_bytes() -> Result<(UnixStream, UnixStream)> {
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(b"01234")?;
    Ok((ours, theirs))
}

/// Fills whatever buffers there are, so that the end cannot be written any more.
fn fill(end: &mut UnixStream) -> Result<()> {
    end.set_nonblocking(true)?;
    loop {
        match end.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

// ---- level-triggered ----

#[test]
fn a_reader_that_reads_one_byte_per_turn_of_five_gets_five_turns() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    let mut reading = ours.try_clone()?;
    lab.add_reader(&ours, move || {
        let mut byte = [0];
        reading.read_exact(&mut byte)?;
        say(char::from(byte[0]));
        Ok(())
    })?;
    lab.clear();
    for _ in 0..6 {
        turn(&lab)?;
    }
    assert_eq!(words(), ["0", "1", "2", "3", "4"]);
    let lines = lab.take();
    assert_eq!(lines.iter().filter(|line| *line == "polled a:r").count(), 5);
    assert_eq!(&lines[lines.len() - 4..], ["select 0 stopping", "batch 0", "unstop", "end"]);
    Ok(())
}

#[test]
fn a_reader_that_reads_nothing_is_called_in_every_turn() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    lab.add_reader(&ours, says("io"))?;
    for _ in 0..7 {
        turn(&lab)?;
    }
    assert_eq!(words().len(), 7);
    Ok(())
}

#[test]
fn what_was_readable_before_the_reader_was_added_is_reported() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    lab.add_reader(&ours, says("first"))?;
    turn(&lab)?;
    // Also to a second reader, when the first has left something.
    assert!(lab.remove_reader(&ours)?);
    turn(&lab)?;
    lab.add_reader(&ours, says("second"))?;
    turn(&lab)?;
    assert_eq!(words(), ["first", "second"]);
    Ok(())
}

#[test]
fn a_writer_is_called_in_every_turn_until_it_is_removed_or_the_buffer_is_full() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    let mut writing = ours.try_clone()?;
    lab.add_writer(&ours, says("writable"))?;
    turn(&lab)?;
    turn(&lab)?;
    fill(&mut writing)?;
    turn(&lab)?;
    assert_eq!(words().len(), 2);
    theirs.set_nonblocking(true)?;
    while theirs.read(&mut [0; 4096]).is_ok() {}
    turn(&lab)?;
    assert_eq!(words().len(), 3);
    assert!(lab.remove_writer(&ours)?);
    turn(&lab)?;
    assert_eq!(words().len(), 3);
    Ok(())
}

// ---- drained ----

/// Reads until the descriptor would block, and says each line that it reads.
fn drain(end: &mut UnixStream) -> Result<Option<Drained>> {
    let mut bytes = [0; 16];
    loop {
        match end.read(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(n) => say(String::from_utf8_lossy(&bytes[..n])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Some(Drained)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn nonblocking_pair() -> Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

#[test]
fn a_reader_that_drains_is_called_once_for_each_event() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = nonblocking_pair()?;
    let mut reading = ours.try_clone()?;
    lab.add_reader(&ours, move || drain(&mut reading))?;
    for event in ["one", "two", "three"] {
        theirs.write_all(event.as_bytes())?;
        turn(&lab)?;
        turn(&lab)?;
    }
    assert_eq!(words(), ["one", "two", "three"]);
    Ok(())
}

/// One byte is left after each call, and registering again would report it. So this shows also that 3,000 events take no `epoll_ctl`.
#[test]
fn a_reader_that_says_it_drained_and_did_not_sleeps_until_more_comes() -> Result<()> {
    const EVENTS: usize = 3_000;
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    let (mut reading, calls) = (ours.try_clone()?, Rc::new(Cell::new(0)));
    let counted = calls.clone();
    lab.add_reader(&ours, move || {
        counted.set(counted.get() + 1);
        reading.read_exact(&mut [0])?;
        Ok(Drained)
    })?;
    theirs.write_all(b"1")?;
    for event in 1..=EVENTS {
        theirs.write_all(b"2")?;
        for _ in 0..3 {
            turn(&lab)?;
            assert_eq!(calls.get(), event);
        }
    }
    Ok(())
}

#[test]
fn a_reader_that_stops_earlier_is_called_again() -> Result<()> {
    let lab = Lab::new();
    let (mut ours, _theirs) = five_bytes()?;
    let fd = ours.try_clone()?;
    let mut left = 5;
    lab.add_reader(&fd, move || {
        ours.read_exact(&mut [0])?;
        left -= 1;
        say(left);
        Ok((left == 0).then_some(Drained))
    })?;
    for _ in 0..7 {
        turn(&lab)?;
    }
    assert_eq!(words(), ["4", "3", "2", "1", "0"]);
    Ok(())
}

#[test]
fn saying_drained_after_a_hang_up_has_no_effect() -> Result<()> {
    let lab = Lab::new();
    let (ours, theirs) = UnixStream::pair()?;
    lab.add_reader(&ours, || {
        say("io");
        Drained
    })?;
    drop(theirs);
    for _ in 0..4 {
        turn(&lab)?;
    }
    assert_eq!(words().len(), 4);
    Ok(())
}

#[test]
fn an_answer_concerns_only_the_reader_that_gave_it() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    let fd = ours.try_clone()?;
    lab.add_reader(&ours, move || {
        get_running_loop()?.add_reader(&fd, says("second"))?;
        say("first");
        Ok(Drained)
    })?;
    for _ in 0..3 {
        turn(&lab)?;
    }
    assert_eq!(words(), ["first", "second", "second"]);
    Ok(())
}

#[test]
fn an_answer_that_fails_says_nothing() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    lab.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| say("reported")));
    lab.add_reader(&ours, || Result::<Drained>::Err(Error::msg("no answer")))?;
    for _ in 0..3 {
        turn(&lab)?;
    }
    assert_eq!(words().len(), 3);
    Ok(())
}

#[test]
fn one_side_that_is_drained_does_not_silence_the_other() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = nonblocking_pair()?;
    theirs.write_all(b"read")?;
    let mut reading = ours.try_clone()?;
    lab.add_reader(&ours, move || drain(&mut reading))?;
    lab.add_writer(&ours, says("write"))?;
    turn(&lab)?;
    turn(&lab)?;
    assert!(lab.remove_writer(&ours)?);
    turn(&lab)?;
    theirs.write_all(b"more")?;
    turn(&lab)?;
    assert_eq!(words(), ["read", "write", "write", "more"]);
    Ok(())
}

#[test]
fn a_writer_that_filled_its_buffer_is_called_when_there_is_room() -> Result<()> {
    let lab = Lab::new();
    let (ours, mut theirs) = UnixStream::pair()?;
    let mut writing = ours.try_clone()?;
    lab.add_writer(&ours, move || {
        say("full");
        fill(&mut writing)?;
        Ok(Drained)
    })?;
    turn(&lab)?;
    turn(&lab)?;
    assert_eq!(words().len(), 1);
    theirs.set_nonblocking(true)?;
    while theirs.read(&mut [0; 4096]).is_ok() {}
    turn(&lab)?;
    turn(&lab)?;
    assert_eq!(words().len(), 2);
    Ok(())
}

// ---- the order ----

/// CPython's order: the kernel puts what is still ready back at once, before anything that becomes ready later.
#[test]
fn a_descriptor_that_stays_ready_comes_before_one_that_became_ready_later() -> Result<()> {
    let lab = Lab::new();
    let (a, _a_peer) = five_bytes()?;
    let (b, mut b_peer) = UnixStream::pair()?;
    lab.add_reader(&a, says("a"))?;
    lab.add_reader(&b, says("b"))?;
    let mut stays_open = b_peer.try_clone()?;
    lab.call_soon(move || b_peer.write_all(b"x").map_err(Error::from))?;
    turn(&lab)?;
    turn(&lab)?;
    turn(&lab)?;
    assert_eq!(words(), ["a", "a", "b", "a", "b"]);
    stays_open.write_all(b"x")?;
    Ok(())
}

// ---- two sides ----

#[test]
fn both_sides_of_one_descriptor_are_reported_and_removed_one_by_one() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    lab.add_reader(&ours, says("reader"))?;
    lab.add_writer(&ours, says("writer"))?;
    turn(&lab)?;
    assert!(lab.remove_reader(&ours)?);
    assert!(!lab.remove_reader(&ours)?);
    turn(&lab)?;
    lab.add_reader(&ours, says("reader"))?;
    assert!(lab.remove_writer(&ours)?);
    assert!(!lab.remove_writer(&ours)?);
    turn(&lab)?;
    assert_eq!(words(), ["reader", "writer", "writer", "reader"]);
    let io = lab.snapshot().io;
    assert_eq!((io.len(), io[0].fd, io[0].writer), (1, ours.as_raw_fd(), None));
    assert!(lab.remove_reader(&ours)?);
    assert!(lab.snapshot().io.is_empty());
    Ok(())
}

#[test]
fn adding_a_writer_does_not_make_the_loop_forget_what_can_be_read() -> Result<()> {
    let lab = Lab::new();
    let (mut ours, _theirs) = five_bytes()?;
    fill(&mut ours)?;
    lab.add_reader(&ours, says("reader"))?;
    turn(&lab)?;
    lab.add_writer(&ours, says("writer"))?;
    turn(&lab)?;
    lab.remove_writer(&ours)?;
    turn(&lab)?;
    assert_eq!(words(), ["reader"; 3]);
    Ok(())
}

#[test]
fn a_hang_up_is_reported_to_both_sides() -> Result<()> {
    let lab = Lab::new();
    let (mut ours, theirs) = UnixStream::pair()?;
    fill(&mut ours)?;
    lab.add_reader(&ours, says("reader"))?;
    lab.add_writer(&ours, says("writer"))?;
    turn(&lab)?;
    assert_eq!(words().len(), 0);
    // Half a hang-up is the reader's matter alone …
    theirs.shutdown(Shutdown::Write)?;
    turn(&lab)?;
    assert_eq!(words(), ["reader"]);
    // … a whole one is both sides', although nothing can be written.
    theirs.shutdown(Shutdown::Both)?;
    turn(&lab)?;
    assert_eq!(words(), ["reader", "reader", "writer"]);
    Ok(())
}

#[test]
fn an_error_of_a_pipe_is_reported_to_both_sides() -> Result<()> {
    let lab = Lab::new();
    let (reader, writer): (PipeReader, PipeWriter) = pipe()?;
    lab.add_reader(&writer, says("reader"))?;
    turn(&lab)?;
    assert_eq!(words().len(), 0, "nobody can read the end that is for writing");
    lab.add_writer(&writer, says("writer"))?;
    rustix::io::ioctl_fionbio(&writer, true).map_err(std::io::Error::from)?;
    while (&writer).write(&[0; 4096]).is_ok() {}
    turn(&lab)?;
    assert_eq!(words().len(), 0, "and it is full");
    drop(reader);
    turn(&lab)?;
    assert_eq!(words(), ["reader", "writer"]);
    Ok(())
}

#[test]
fn the_end_of_a_pipe_is_readable() -> Result<()> {
    let lab = Lab::new();
    let (reader, writer) = pipe()?;
    let mut reading = reader.try_clone()?;
    lab.add_reader(&reader, move || {
        say(reading.read(&mut [0; 8])?);
        Ok(())
    })?;
    turn(&lab)?;
    drop(writer);
    turn(&lab)?;
    turn(&lab)?;
    assert_eq!(words(), ["0", "0"], "and stays so, turn for turn");
    Ok(())
}

// ---- replacing and removing ----

#[test]
fn adding_again_replaces_and_drops_the_callback_there_was() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    let drops = Drops::default();
    let guard = drops.guard();
    lab.add_reader(&ours, move || {
        let _guard = &guard;
        say("first");
    })?;
    turn(&lab)?;
    lab.add_reader(&ours, says("second"))?;
    assert_eq!(drops.count(), 1);
    turn(&lab)?;
    assert_eq!(words(), ["first", "second"]);
    assert_eq!(lab.snapshot().io.len(), 1);
    Ok(())
}

#[test]
fn a_replaced_reader_that_is_queued_already_does_not_run() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    let fd = ours.as_raw_fd();
    lab.call_soon(move || get_running_loop()?.add_reader(&fd, says("second")))?;
    lab.add_reader(&ours, says("first"))?;
    lab.clear();
    turn(&lab)?;
    turn(&lab)?;
    lab.is("stop
        run
        turn 1 | select 0 ready | polled a:r | +h2 io a | batch 2 | run h1 | reader a h3 | cancel h2 | skip h2
        unstop | end
        stop
        run
        turn 2 | select 0 stopping | polled a:r | +h3 io a | batch 1 | run h3 | 'second'
        unstop | end");
    Ok(())
}

#[test]
fn a_reader_may_remove_itself() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    let fd = ours.as_raw_fd();
    let guard = OnDrop(|| say("dropped"));
    lab.add_reader(&ours, move || {
        let _guard = &guard;
        assert!(get_running_loop()?.remove_reader(&fd)?);
        // Its values live until it returns.
        say("removed");
        Ok(())
    })?;
    turn(&lab)?;
    turn(&lab)?;
    assert_eq!(words(), ["removed", "dropped"]);
    Ok(())
}

#[test]
fn a_reader_may_replace_itself_and_may_remove_and_add_itself_again() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = five_bytes()?;
    let fd = ours.as_raw_fd();
    lab.add_reader(&ours, move || {
        say("first");
        get_running_loop()?.add_reader(&fd, move || {
            say("second");
            let lp = get_running_loop()?;
            lp.remove_reader(&fd)?;
            lp.add_reader(&fd, says("third"))
        })
    })?;
    for _ in 0..4 {
        turn(&lab)?;
    }
    assert_eq!(words(), ["first", "second", "third", "third"]);
    Ok(())
}

#[test]
fn a_reader_removed_by_another_in_the_same_turn_does_not_run() -> Result<()> {
    let lab = Lab::new();
    let (a, _a_peer) = five_bytes()?;
    let (b, _b_peer) = five_bytes()?;
    let fds = [a.as_raw_fd(), b.as_raw_fd()];
    for (index, word) in ["a", "b"].into_iter().enumerate() {
        lab.add_reader(&fds[index], move || {
            say(word);
            get_running_loop()?.remove_reader(&fds[1 - index]).map(drop)
        })?;
    }
    turn(&lab)?;
    assert_eq!(words().len(), 1, "whoever comes first removes the other");
    Ok(())
}

#[test]
fn removing_what_is_not_there_is_false() -> Result<()> {
    let lab = Lab::new();
    let (ours, _theirs) = UnixStream::pair()?;
    assert!(!lab.remove_reader(&ours)? && !lab.remove_writer(&ours)?);
    lab.add_reader(&ours, || ())?;
    assert!(!lab.remove_writer(&ours)?);
    assert!(!lab.remove_reader(&-1)? && !lab.remove_reader(&1_000_000)?);
    Ok(())
}

#[test]
fn a_reader_that_fails_or_panics_is_reported_and_stays() -> Result<()> {
    let lab = Lab::new();
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let tell = told.clone();
    lab.set_exception_handler(Some(move |_: &EventLoop, context: &ExceptionContext| {
        tell.borrow_mut().push(context.error().expect("an error").to_string());
    }));
    let (ours, _theirs) = five_bytes()?;
    let calls = Cell::new(0);
    lab.add_reader(&ours, move || {
        calls.set(calls.get() + 1);
        assert!(calls.get() % 2 == 1, "call {}", calls.get());
        Err::<(), _>(Error::msg(format!("call {}", calls.get())))
    })?;
    for _ in 0..3 {
        turn(&lab)?;
    }
    assert_eq!(*told.borrow(), ["call 1", "call 2", "call 3"]);
    Ok(())
}

#[test]
fn a_loop_sleeps_until_a_descriptor_is_ready() -> Result<()> {
    let lab = Lab::in_real_time();
    let (ours, mut theirs) = UnixStream::pair()?;
    lab.call_later(Duration::from_secs(3600), says("never"))?;
    lab.add_reader(&ours, || {
        say("io");
        looplab::stop()
    })?;
    let thread = std::thread::spawn(move || theirs.write_all(b"x").map(|()| theirs));
    lab.clear();
    lab.run_forever()?;
    thread.join().expect("no panic")?;
    lab.is("run
        turn 1 | select a while timer h1 | polled a:r | +h2 io a | batch 1 | run h2 | 'io' | stop
        unstop | end");
    Ok(())
}
