//! Descriptors: socket pairs and pipes, with real bytes in them.
//!
//! They are there from the first use. `a0` and `z0` are the two ends of a socket pair, `a1` and `z1` those of a pipe, of which
//! `a1` reads; even numbers are pairs, odd ones pipes. Everything happens in this process, so what is ready when depends on
//! the program alone. Amounts that depend on the kernel's buffers are never printed.

use crate::world::{World, list, text};
use looplab::Result;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, shutdown, socketpair};
use nix::unistd::{pipe2, read, write};
use serde_json::Value;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

const KINDS: [&str; 10] =
    ["reader", "writer", "unreader", "unwriter", "write", "read", "fill", "drain", "half", "shut"];

/// Whether a program uses descriptors.
pub(crate) fn are_in(program: &Value) -> bool {
    fn any(ops: &[Value]) -> bool {
        ops.iter()
            .any(|op| op.as_str().is_some_and(|kind| matches!(kind, "reader" | "writer")) || any(list(op)))
    }
    let lists = ["callbacks", "bodies"].into_iter().filter_map(|key| program[key].as_object());
    any(list(&program["script"])) || lists.flat_map(|lists| lists.values()).any(|ops| any(list(ops)))
}

/// An end, or none once it is closed.
pub(crate) type End = Option<Rc<OwnedFd>>;

fn open(number: usize) -> [End; 2] {
    let (a, z) = if number.is_multiple_of(2) {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::Stream, None, flags).expect("a socket pair")
    } else {
        pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).expect("a pipe")
    };
    [a, z].map(|end| Some(Rc::new(end)))
}

/// Writes until nothing more fits, to the last byte.
fn fill(end: &OwnedFd) -> Result<(), Errno> {
    for size in [4096, 1] {
        let error = loop {
            if let Err(error) = write(end, &[b'x'; 4096][..size]) {
                break error;
            }
        };
        if error != Errno::EAGAIN {
            return Err(error);
        }
    }
    Ok(())
}

/// Reads until nothing is left; whether that is the end.
fn drain(end: &OwnedFd) -> Result<bool, Errno> {
    let mut room = vec![0; 65536];
    loop {
        match read(end, &mut room) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn transfer(kind: &str, end: &OwnedFd, size: usize) -> Result<String, Errno> {
    let mut room = vec![b'x'; size];
    Ok(match kind {
        "write" => write(end, &room)?.to_string(),
        "read" => match read(end, &mut room)? {
            0 => "end".to_owned(),
            n => n.to_string(),
        },
        "fill" => fill(end).map(|()| "full".to_owned())?,
        "drain" => if drain(end)? { "end" } else { "empty" }.to_owned(),
        _ => shutdown(end.as_raw_fd(), Shutdown::Write).map(|()| "ok".to_owned())?,
    })
}

impl World {
    /// What is done to an end. `None` if it is no operation on one; nothing if the end is closed.
    pub(crate) fn descriptor_op<'a>(
        self: &Rc<Self>,
        kind: &str,
        arg: impl Fn(usize) -> &'a Value,
    ) -> Option<Result<Option<String>>> {
        if !KINDS.contains(&kind) {
            return None;
        }
        let x = text(arg(1));
        let Some(end) = self.end(x) else { return Some(Ok(None)) };
        Some(match kind {
            "reader" | "writer" => self.watch_end(kind, x, &end, text(arg(2))).map(|()| None),
            "unreader" => self.lp.remove_reader(&end).map(|was| Some(was.to_string())),
            "unwriter" => self.lp.remove_writer(&end).map(|was| Some(was.to_string())),
            "shut" => self.shut(x, &end).map(|()| None),
            _ => {
                let size = arg(2).as_u64().unwrap_or(1) as usize;
                let done = transfer(kind, &end, size).unwrap_or_else(|error| format!("{error:?}"));
                Ok(Some(done))
            }
        })
    }

    fn end(&self, name: &str) -> End {
        let number: usize = name.strip_prefix(['a', 'z'])?.parse().ok()?;
        let mut ends = self.ends.borrow_mut();
        let pair = ends.entry(number).or_insert_with(|| open(number));
        pair[usize::from(name.starts_with('z'))].clone()
    }

    /// A reader or writer that has done its operations as often as it may removes itself, or the loop would turn for ever.
    fn watch_end(self: &Rc<Self>, kind: &str, name: &str, end: &Rc<OwnedFd>, callback: &str) -> Result<()> {
        let call = self.caller(callback, format!(" for {kind} {name}"));
        let (world, name, callback) = (self.clone(), name.to_owned(), callback.to_owned());
        let reads = kind == "reader";
        let ready = move || {
            if world.is_tired(&callback)
                && let Some(end) = world.end(&name)
            {
                if reads {
                    world.lp.remove_reader(&end)?
                } else {
                    world.lp.remove_writer(&end)?
                };
            }
            call()
        };
        if reads { self.lp.add_reader(end, ready) } else { self.lp.add_writer(end, ready) }
    }

    fn shut(&self, name: &str, end: &Rc<OwnedFd>) -> Result<()> {
        self.lp.remove_reader(end)?;
        self.lp.remove_writer(end)?;
        let number: usize = name[1..].parse().unwrap_or(0);
        if let Some(pair) = self.ends.borrow_mut().get_mut(&number) {
            pair[usize::from(name.starts_with('z'))] = None;
        }
        Ok(())
    }
}
