//! Descriptors: which cannot be watched, what happens to numbers that are used again, and many of them. A registration
//! belongs to the file that was registered and not to its number.

use looplab::net::memory::MemoryStream;
use looplab::{Error, EventLoop, Result, get_running_loop, stop};
use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use support::{Drops, Lab, OnDrop, child, says, words};

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

// ---- what cannot be watched ----

fn refused(result: Result<()>) -> String {
    let error = result.unwrap_err();
    let number = if let Error::Io(error) = &error { error.raw_os_error() } else { None };
    assert!(
        number.is_some_and(|number| error.to_string().contains(&format!("(os error {number})"))),
        "{error:?}"
    );
    error.to_string()
}

#[test]
fn a_regular_file_is_an_error_that_names_it() -> Result<()> {
    let lab = Lab::new();
    let file = tempfile::NamedTempFile::new()?;
    let (fd, path) = (file.as_file().as_raw_fd(), file.path().display().to_string());
    let why = "it is a regular file or a device that is always ready and cannot be watched; \
               read it directly, or on a thread (Operation not permitted (os error 1))";
    assert_eq!(
        refused(lab.add_reader(file.as_file(), || ())),
        format!("cannot add a reader for descriptor {fd} ({path}): {why}")
    );
    assert_eq!(
        refused(lab.add_writer(file.as_file(), || ())),
        format!("cannot add a writer for descriptor {fd} ({path}): {why}")
    );
    assert!(lab.snapshot().io.is_empty());
    assert!(!lab.remove_reader(file.as_file())?);
    Ok(())
}

#[test]
fn the_null_device_is_an_error_that_names_it() -> Result<()> {
    let lab = Lab::new();
    let null = File::open("/dev/null")?;
    let start =
        format!("cannot add a reader for descriptor {} (/dev/null): it is a regular file", null.as_raw_fd());
    let text = refused(lab.add_reader(&null, || ()));
    assert!(text.starts_with(&start), "{text}");
    Ok(())
}

#[test]
fn a_number_that_is_no_open_descriptor_is_an_error() -> Result<()> {
    let lab = Lab::new();
    let drops = Drops::default();
    for fd in [-1, 1_000_000, RawFd::MAX] {
        let guard = drops.guard();
        let text = refused(lab.add_reader(&fd, move || {
            let _guard = &guard;
        }));
        let start = format!("cannot add a reader for descriptor {fd}: it is not an open descriptor; ");
        assert!(text.starts_with(&start), "{text}");
    }
    assert_eq!(drops.count(), 3, "the callback is dropped");
    assert!(lab.snapshot().io.is_empty());
    Ok(())
}

#[test]
fn a_closed_descriptor_is_an_error() {
    let ended = child!(|| {
        let lab = Lab::new();
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let fd = ours.as_raw_fd();
        drop(ours);
        let text = refused(lab.add_reader(&fd, || ()));
        assert!(text.contains(&format!("descriptor {fd}: it is not an open descriptor")), "{text}");
        // The same when something was registered under the number before.
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        assert_eq!(ours.as_raw_fd(), fd);
        lab.add_reader(&ours, || ()).expect("it is open");
        drop(ours);
        refused(lab.add_writer(&fd, || ()));
        assert!(lab.snapshot().io.is_empty(), "what was registered for the closed file is gone");
    });
    ended.fine();
}

// ---- numbers that are used again ----

/// In a process of its own, where nothing else takes the numbers.
#[test]
fn a_reused_descriptor_never_gets_another_registrations_events_while_a_duplicate_lives_on() {
    let ended = child!(|| {
        let lab = Lab::new();
        let (old, mut old_peer) = UnixStream::pair().expect("a pair");
        let fd = old.as_raw_fd();
        lab.add_reader(&old, says("old")).expect("it is open");
        let _duplicate = old.try_clone().expect("a duplicate");
        drop(old); // without removing the reader: epoll still watches the old file, because of the duplicate
        let (new, mut new_peer) = UnixStream::pair().expect("a pair");
        assert_eq!(new.as_raw_fd(), fd);
        lab.add_reader(&new, says("new")).expect("it is open");

        old_peer.write_all(b"for the old one").expect("it is connected");
        turn(&lab).expect("a turn");
        turn(&lab).expect("a turn");
        assert_eq!(words(), [""; 0], "nobody is there for what comes to the old file");
        new_peer.write_all(b"for the new one").expect("it is connected");
        turn(&lab).expect("a turn");
        assert_eq!(words(), ["new"]);
        assert_eq!(lab.snapshot().io.len(), 1);
        assert!(lab.remove_reader(&fd).expect("no error"));
        turn(&lab).expect("a turn");
        assert_eq!(words(), ["new"]);
    });
    ended.fine();
}

/// The kernel still reports the old file, and nothing tells that the number is not its any more. The registration is found
/// to be stale before the next poll. CPython calls the reader in every turn for as long as the duplicate lives.
#[test]
fn a_reader_whose_descriptor_was_closed_is_called_once_more_while_a_duplicate_lives_on() {
    for number_is_used_again in [false, true] {
        let lab = Lab::new();
        let (old, mut old_peer) = UnixStream::pair().expect("a pair");
        lab.add_reader(&old, says("old")).expect("it is open");
        let fd = old.as_raw_fd();
        let _duplicate = old.try_clone().expect("a duplicate");
        let other = File::open("/dev/null").expect("a file");
        if number_is_used_again {
            // The number names another file from here on, without being free in between.
            let mut number = OwnedFd::from(old);
            nix::unistd::dup2(&other, &mut number).expect("it is open");
            assert_eq!(number.as_raw_fd(), fd);
            old_peer.write_all(b"for the old one").expect("it is connected");
            (0..3).try_for_each(|_| turn(&lab)).expect("turns");
        } else {
            drop(old);
            old_peer.write_all(b"for the old one").expect("it is connected");
            (0..3).try_for_each(|_| turn(&lab)).expect("turns");
        }
        assert_eq!(words(), ["old"]);
        assert!(lab.snapshot().io.is_empty());
    }
}

#[test]
fn a_destructor_of_a_reader_that_lost_its_descriptor_may_leave_another_such_reader() {
    let ended = child!(|| {
        let lab = Lab::new();
        let (first, _peer) = UnixStream::pair().expect("a pair");
        let fd = first.as_raw_fd();
        let owner = Rc::new(Cell::new(Some(first)));
        // Gives the number to another file, with the reader still there.
        let gives_away = {
            let owner = owner.clone();
            move || {
                drop(owner.take());
                let (next, _peer) = UnixStream::pair().expect("a pair");
                assert_eq!(next.as_raw_fd(), fd);
                owner.set(Some(next));
            }
        };
        let (lp, gives_away_again) = ((*lab).clone(), gives_away.clone());
        let held = OnDrop(move || {
            lp.add_reader(&fd, || ()).expect("it is open");
            gives_away_again();
        });
        lab.add_reader(&fd, move || {
            let _its_own = &held;
        })
        .expect("it is open");
        gives_away();
        lab.add_reader(&fd, says("last")).expect("it is open");
        turn(&lab).expect("a turn");
        assert_eq!(words(), ["last"], "the peer is gone");
        assert_eq!(lab.snapshot().io.len(), 1);
    });
    ended.fine();
}

/// Adds a reader that closes its descriptor and is not removed. The next poll drops it, with what it holds.
fn lose_reader(lp: &EventLoop, held: impl Sized + 'static) -> Result<()> {
    let (ours, _theirs) = five_bytes()?;
    let (fd, owner) = (ours.as_raw_fd(), Cell::new(Some(ours)));
    lp.add_reader(&fd, move || {
        let _its_own = &held;
        drop(owner.take());
    })
}

#[test]
fn no_poll_sleeps_on_what_the_destructor_of_a_lost_reader_has_done() {
    let ended = child!(|| {
        for lab in [Lab::new, Lab::in_real_time] {
            let lab = lab();
            let read = lab.run_until_complete(async {
                let (ours, peer) = MemoryStream::pair()?;
                lose_reader(&get_running_loop()?, peer)?;
                ours.read(&mut [0; 8]).await
            });
            assert_eq!(read.expect("no deadlock"), 0, "the end of the stream");

            let _late = lab.call_later(Duration::from_secs(3600), says("late")).expect("it is open");
            let soon = |lp: &EventLoop| drop(lp.call_soon(stop));
            let timed = |lp: &EventLoop| drop(lp.call_later(Duration::ZERO, stop));
            for does in [EventLoop::stop, soon, timed] {
                let lp = lab.lp.clone();
                lose_reader(&lab, OnDrop(move || does(&lp))).expect("it is open");
                lab.run_forever().expect("it is stopped");
                assert!(words().is_empty(), "no time has passed");
            }
        }
    });
    ended.fine();
}

#[test]
fn a_reader_that_was_removed_before_closing_leaves_nothing_to_the_next_owner_of_the_number() {
    let ended = child!(|| {
        let lab = Lab::new();
        let (old, mut old_peer) = UnixStream::pair().expect("a pair");
        let fd = old.as_raw_fd();
        lab.add_reader(&old, says("old")).expect("it is open");
        let _duplicate = old.try_clone().expect("a duplicate");
        assert!(lab.remove_reader(&old).expect("no error"));
        drop(old);
        let (new, mut new_peer) = UnixStream::pair().expect("a pair");
        assert_eq!(new.as_raw_fd(), fd);
        lab.add_writer(&new, says("new")).expect("it is open");
        old_peer.write_all(b"x").expect("it is connected");
        new_peer.write_all(b"x").expect("it is connected");
        turn(&lab).expect("a turn");
        assert_eq!(words(), ["new"], "its writer, and no reader");
    });
    ended.fine();
}

#[test]
fn an_event_of_this_turn_never_reaches_a_descriptor_that_takes_the_number_over_in_this_turn() {
    let ended = child!(|| {
        let lab = Lab::new();
        let (old, _old_peer) = five_bytes().expect("a pair");
        let (new, _new_peer) = five_bytes().expect("a pair");
        let fd = old.as_raw_fd();
        lab.add_reader(&old, says("old")).expect("it is open");
        // The old reader's call is queued when this runs.
        let closed_here = Cell::new(Some(old));
        let kept: Rc<Cell<Option<UnixStream>>> = Rc::default();
        let keep = kept.clone();
        lab.call_soon(move || {
            let lp = get_running_loop()?;
            drop(closed_here.take());
            let again = new.try_clone()?;
            assert_eq!(again.as_raw_fd(), fd);
            lp.add_reader(&again, says("new"))?;
            keep.set(Some(again));
            Ok(())
        })
        .expect("it is open");
        lab.clear();
        turn(&lab).expect("a turn");
        turn(&lab).expect("a turn");
        lab.is("stop
            run
            turn 1 | select 0 ready | polled a:r | +h1 io a | batch 2
                | run h2 | no reader a | cancel h1 | reader a h3 | skip h1
            unstop | end
            stop
            run
            turn 2 | select 0 stopping | polled a:r | +h3 io a | batch 1 | run h3 | 'new'
            unstop | end");
        assert!(kept.take().is_some());
    });
    ended.fine();
}

#[test]
fn a_reader_whose_descriptor_was_closed_is_not_called_again_and_stops_nothing() {
    let ended = child!(|| {
        let lab = Lab::new();
        let (ours, _theirs) = five_bytes().expect("a pair");
        let (other, _other_peer) = five_bytes().expect("a pair");
        lab.add_reader(&ours, says("closed")).expect("it is open");
        lab.add_reader(&other, says("other")).expect("it is open");
        turn(&lab).expect("a turn");
        drop(ours);
        turn(&lab).expect("a turn");
        turn(&lab).expect("a turn");
        assert_eq!(words().iter().filter(|word| *word == "closed").count(), 1);
        assert_eq!(words().iter().filter(|word| *word == "other").count(), 3);
        assert_eq!(lab.snapshot().io.len(), 1, "the registration has gone with the file");
    });
    ended.fine();
}

// ---- many ----

#[test]
fn thousands_of_descriptors_ready_at_once_are_all_called_in_one_turn() {
    let ended = child!(|| {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(20_000);
        let count = usize::try_from((limit - 100) / 2).unwrap_or(0).min(3000);
        let lab = Lab::new();
        let calls = Rc::new(Cell::new(0));
        let mut pairs = Vec::new();
        for _ in 0..count {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            theirs.write_all(b"x").expect("it is connected");
            let (calls, mut reading) = (calls.clone(), Some(theirs));
            lab.add_reader(&ours, move || {
                calls.set(calls.get() + 1);
                drop(reading.take());
            })
            .expect("it is open");
            pairs.push(ours);
        }
        assert_eq!(lab.snapshot().io.len(), count);
        turn(&lab).expect("a turn");
        assert_eq!(calls.get(), count);
        for ours in &mut pairs {
            let mut byte = [0];
            ours.read_exact(&mut byte).expect("a byte");
            assert!(lab.remove_reader(ours).expect("no error"));
        }
        assert!(lab.snapshot().io.is_empty());
        turn(&lab).expect("a turn");
        assert_eq!(calls.get(), count);
    });
    ended.fine();
}
