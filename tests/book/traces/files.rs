//! The file of a trace: which one is taken, which is refused, and which loop writes it.

use super::{replayed, traced};
use looplab::{Clock, Error, EventLoop, Result, sleep};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::process::{geteuid, getuid};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{Ended, Process, again, report, role, watchdog};

/// A loop that has run once.
fn run_once_in_virtual_time(label: &str) -> Result<EventLoop> {
    let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
    let label = label.to_owned();
    let named = looplab::Task::builder().name(label).spawn_on(&lp, async { sleep(Duration::ZERO).await });
    lp.run_until_complete(named)?;
    Ok(lp)
}

/// Builds a loop and reports how that ended.
fn try_a_loop() {
    match run_once_in_virtual_time("recorded") {
        Ok(_) => report("recorded"),
        Err(error) => report(format!("{:?}: {error}", kind(&error))),
    }
}

fn kind(error: &Error) -> Option<std::io::ErrorKind> {
    if let Error::Io(error) = error { Some(error.kind()) } else { None }
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn a_link_a_fifo_and_all_that_is_no_regular_file_of_ones_own_is_refused_at_once() -> Result<()> {
    if role().is_some() {
        let _dog = watchdog();
        try_a_loop();
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    fs::write(at("target"), "precious")?;
    symlink(at("target"), at("link.jsonl"))?;
    symlink(at("nothing"), at("dangling.jsonl"))?;
    nix::unistd::mkfifo(&at("fifo.jsonl"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    fs::create_dir(at("folder.txt"))?;
    fs::write(at("second.txt"), "precious")?;
    fs::hard_link(at("second.txt"), at("hard.txt"))?;
    let mut refused = vec![
        ("link.jsonl", "is a symbolic link"),
        ("dangling.jsonl", "is a symbolic link"),
        ("fifo.jsonl", "is no regular file"),
        ("folder.txt", "is a directory"),
        ("hard.txt", "is known by other names, too (hard links)"),
    ];
    fs::write(at("foreign.txt"), "precious")?;
    // Only root may give a file away, and not even root in a namespace that knows no other user.
    if geteuid().is_root() && chown(at("foreign.txt"), Some(65_534), None).is_ok() {
        refused.push(("foreign.txt", "belongs to another user"));
    }
    let before = names(folder.path());
    for (name, why) in refused {
        let file = at(name);
        let lines = Process::start(again!("child").env("LOOPLAB_TRACE", &file)).end().fine();
        let text = format!(
            "Some(InvalidInput): LOOPLAB_TRACE={}: the file {why}; a trace goes to a new file, or to an old \
             regular one",
            file.display()
        );
        assert_eq!(lines, [text]);
        assert!(name.starts_with("f") || name.starts_with("d") || fs::read(file)? == b"precious", "{name}");
    }
    assert_eq!(names(folder.path()), before, "nothing was made, not even behind a dangling link");
    Ok(())
}

#[test]
fn a_new_trace_is_private_and_so_is_an_old_file_that_is_replaced() -> Result<()> {
    if role().is_some() {
        return run_once_in_virtual_time("recorded").map(drop);
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.jsonl");
    replayed(&traced(&mut again!("child"), &file));
    assert_eq!(mode(&file), 0o600);
    fs::write(&file, "x".repeat(100_000))?;
    fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    replayed(&traced(&mut again!("child"), &file));
    assert_eq!(mode(&file), 0o600);
    Ok(())
}

// ---- several processes ----

#[test]
fn a_child_that_inherits_the_variable_writes_a_file_of_its_own() -> Result<()> {
    match role().as_deref() {
        Some("parent") => {
            let _dog = watchdog();
            let lp = run_once_in_virtual_time("parent")?;
            let child = Process::start(&mut again!("child")).end().fine();
            report(&child[0]);
            lp.run_until_complete(sleep(Duration::ZERO))?;
            return lp.close();
        }
        Some(_) => {
            report(std::process::id());
            return run_once_in_virtual_time("child").map(drop);
        }
        None => {}
    }
    let folder = tempfile::tempdir()?;
    for (given, extension) in [("x.jsonl", "jsonl"), ("x.txt", "txt")] {
        let file = folder.path().join(given);
        let lines = Process::start(again!("parent").env("LOOPLAB_TRACE", &file)).end().fine();
        let own = folder.path().join(format!("x.{}.{extension}", lines[0]));
        let [of_parent, of_child] = [&file, &own].map(|file| fs::read_to_string(file).expect("a trace"));
        let names = |text: &str, name: &str| {
            // This file's own text is in the trace, too.
            text.lines().any(|line| line.contains(name) && !line.contains(r#""k":"file""#))
        };
        assert!(names(&of_parent, "parent.step") && !names(&of_parent, "child.step"), "{of_parent}");
        assert!(names(&of_child, "child.step") && !names(&of_child, "parent.step"), "{of_child}");
        assert_eq!(mode(&own), 0o600);
        if extension == "jsonl" {
            replayed(&of_parent);
            replayed(&of_child);
        }
    }
    assert_eq!(names(folder.path()).len(), 4);
    Ok(())
}

/// Runs `body` in a forked process, which ends with it and runs nothing of the test program any more.
#[allow(unsafe_code, reason = "there is no other way to fork")]
fn forked(body: impl FnOnce() -> bool) -> Pid {
    // SAFETY: the child only runs `body` and ends. What other threads hold is not used: the test program's main thread
    // waits for this one, and holds no lock of the allocator's or of looplab's meanwhile.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Parent { child } => child,
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

#[test]
fn a_forked_child_neither_repeats_the_parents_lines_nor_adds_to_them() -> Result<()> {
    if role().is_some() {
        let _dog = watchdog();
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
        // In a turn, lines wait in the buffer. The child ends its copy of the loop, and runs one of its own.
        let mut copy = Some(lp.clone());
        lp.call_soon(move || {
            let child = forked(|| {
                drop(copy.take());
                std::thread::spawn(|| run_once_in_virtual_time("child").is_ok()).join().is_ok_and(|fine| fine)
            });
            report(child);
            assert!(ended_well(child));
            looplab::stop()
        })?;
        lp.run_forever()?;
        drop(lp);
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.jsonl");
    let lines = Process::start(again!("parent").env("LOOPLAB_TRACE", &file)).end().fine();
    let of_parent = replayed(&fs::read_to_string(&file)?);
    let closed = of_parent.last().expect("lines");
    assert_eq!((&closed["e"], &closed["ev"]), (&"loop".into(), &"closed".into()));
    let of_child = fs::read_to_string(folder.path().join(format!("x.{}.jsonl", lines[0])))?;
    replayed(&of_child);
    assert!(of_child.contains("child.step"), "{of_child}");
    Ok(())
}

#[test]
fn the_exit_of_a_forked_child_writes_nothing() -> Result<()> {
    if role().is_some() {
        let _dog = watchdog();
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
        lp.call_soon(move || {
            let child = forked(|| std::process::exit(0));
            assert!(ended_well(child));
            looplab::stop()
        })?;
        return lp.run_forever();
    }
    let folder = tempfile::tempdir()?;
    replayed(&traced(&mut again!("parent"), &folder.path().join("x.jsonl")));
    assert_eq!(names(folder.path()).len(), 1);
    Ok(())
}

/// The lock is the parent's, but a forked child shares it: it lasts until both have ended.
#[test]
fn a_trace_that_a_forked_child_of_a_dead_process_may_still_write_is_not_overwritten() -> Result<()> {
    if role().as_deref() == Some("parent") {
        let _dog = watchdog();
        let lp = run_once_in_virtual_time("parent")?;
        let child = forked(|| {
            // Until the test has seen what it wants.
            let mut gate = std::io::stdin().lock();
            std::io::Read::read(&mut gate, &mut [0]).is_ok()
        });
        report(child);
        return lp.close();
    }
    if role().is_some() {
        report(std::process::id());
        return run_once_in_virtual_time("later").map(drop);
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("x.jsonl");
    let (gate, opens) = std::io::pipe()?;
    // What the parent prints goes to a file: a pipe would not end before the child has.
    let said = folder.path().join("said");
    let mut parent = again!("parent");
    parent.env("LOOPLAB_TRACE", &file).stdin(gate).stdout(fs::File::create(&said)?);
    assert!(parent.status()?.success());
    drop(parent);
    let of_parent = fs::read(&file)?;
    let later = Process::start(again!("later").env("LOOPLAB_TRACE", &file)).end().fine();
    assert_eq!(fs::read(&file)?, of_parent);
    assert!(folder.path().join(format!("x.{}.jsonl", later[0])).exists());
    drop(opens);
    Ok(())
}

// ---- raised privileges ----

/// Makes a set-user-id copy of this program that becomes another user; `None` where that cannot be had.
fn set_user_id_copy(folder: &Path) -> Option<std::path::PathBuf> {
    if !geteuid().is_root() {
        return None;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o777)).ok()?;
    let copy = folder.join("program");
    // Not by this process: another test's child could hold the copy open for writing, and then it cannot be run.
    Command::new("cp").arg(std::env::current_exe().ok()?).arg(&copy).status().ok()?;
    chown(&copy, Some(65_534), None).ok()?;
    fs::set_permissions(&copy, Permissions::from_mode(0o4755)).ok()?;
    Some(copy)
}

#[test]
fn a_process_with_raised_privileges_ignores_the_variables_and_says_so_once() -> Result<()> {
    if role().is_some() {
        report(format!("{} {}", getuid().as_raw(), geteuid().as_raw()));
        for _ in 0..2 {
            // Virtual time is refused, too: this one takes a moment of the machine's.
            let lp = EventLoop::new()?;
            let began = std::time::Instant::now();
            lp.run_until_complete(sleep(Duration::from_millis(2)))?;
            report(began.elapsed() >= Duration::from_millis(2));
        }
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let Some(program) = set_user_id_copy(folder.path()) else {
        eprintln!("not tried: only root can make a program of another user");
        return Ok(());
    };
    let inner = again!("child");
    let mut raised = Command::new(program);
    raised.args(inner.get_args()).envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let file = folder.path().join("x.jsonl");
    let Ended { status, lines, stderr } =
        Process::start(raised.env("LOOPLAB_TRACE", &file).env("LOOPLAB_CLOCK", "virtual")).end();
    assert!(status.success(), "{stderr}");
    if lines[0] == "0 0" {
        eprintln!("not tried: this file system knows no set-user-id programs");
        return Ok(());
    }
    assert_eq!(lines, ["0 65534", "true", "true"]);
    assert!(!file.exists());
    assert_eq!(
        stderr.matches("looplab: ").collect::<Vec<_>>().len(),
        1,
        "one warning for the process: {stderr}"
    );
    let text = "looplab: LOOPLAB_… variables are ignored in a process with raised privileges: \
                real user id 0, effective user id 65534\n";
    assert!(stderr.contains(text), "{stderr}");
    assert_eq!(fs::metadata(folder.path())?.uid(), 0);
    Ok(())
}
