//! A program that is cut off in the middle, and what is left of it.

use crate::MEMORY;
use looplab::{Builder, EventLoop, ExceptionContext, Result, Task};
use std::any::Any;
use std::cell::Cell;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use support::{Counted, Drops};

/// Makes a test of each shape: `name(p) { … }`, where `p` is the [`Program`].
macro_rules! shapes {
    ($ends:expr; $($(#[$meta:meta])* $name:ident($p:ident) $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            fn shape($p: &mut $crate::program::Program) -> looplab::Result<()> {
                $body
                Ok(())
            }
            // In a process of its own: bytes and descriptors are those of a whole process.
            let ended = support::child!(|| $crate::program::nothing_is_left(shape, $ends));
            ended.fine();
        }
    )*};
}
pub(crate) use shapes;

/// How a loop ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Closed,
    Dropped,
}

pub(crate) const BOTH: &[End] = &[End::Closed, End::Dropped];
/// For what holds its own loop: the last handle never goes, so only `close` ends it.
pub(crate) const CLOSED: &[End] = &[End::Closed];

type Shape = fn(&mut Program) -> Result<()>;

/// A loop, and what a program keeps of it.
pub(crate) struct Program {
    pub(crate) lp: EventLoop,
    kept: Vec<Box<dyn Any>>,
    descriptors: usize,
    ports: Vec<SocketAddr>,
    guards: Cell<usize>,
    drops: Drops,
}

impl Program {
    fn new() -> Result<Self> {
        let (kept, ports, drops) = (Vec::new(), Vec::new(), Drops::default());
        let lp = quiet(EventLoop::builder())?;
        Ok(Self { lp, kept, ports, descriptors: 0, guards: Cell::new(0), drops })
    }

    /// Takes another loop, made by this builder.
    pub(crate) fn rebuild(&mut self, builder: Builder) -> Result<()> {
        self.lp = quiet(builder)?;
        Ok(())
    }

    /// Something of the user's that the loop has to drop.
    pub(crate) fn guard(&self) -> Counted {
        self.guards.set(self.guards.get() + 1);
        self.drops.guard()
    }

    /// Keeps something beyond the end of the loop.
    pub(crate) fn keep(&mut self, value: impl Any) {
        self.kept.push(Box::new(value));
    }

    /// As [`keep`](Self::keep), for what has a descriptor of its own.
    pub(crate) fn keep_open(&mut self, value: impl Any) {
        self.descriptors += 1;
        self.keep(value);
    }

    /// A port that has to be free when the loop has ended.
    pub(crate) fn uses(&mut self, address: SocketAddr) {
        self.ports.push(address);
    }

    /// A task that waits when the loop ends.
    pub(crate) fn waits<F>(&self, body: F) -> Task<()>
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let guard = self.guard();
        self.lp.create_task(async move {
            let _guard = guard;
            body.await
        })
    }

    pub(crate) fn turns(&self, n: usize) -> Result<()> {
        for _ in 0..n {
            self.lp.stop();
            self.lp.run_forever()?;
        }
        Ok(())
    }
}

/// A loop whose reports are thrown away.
fn quiet(builder: Builder) -> Result<EventLoop> {
    let lp = builder.build()?;
    lp.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
    Ok(lp)
}

/// Lives so often. A leak leaves as much after each life; what the test's own threads take as they start comes once.
const LIVES: usize = 20;

/// Runs the program first for what is made once and kept.
pub(crate) fn nothing_is_left(shape: Shape, ends: &[End]) -> Result<()> {
    for end in ends {
        live(shape, *end)?;
        let mut left = Vec::new();
        while left.last() != Some(&0) {
            assert!(left.len() < LIVES, "bytes are left of each loop that was {end:?}: {left:?}");
            let before = MEMORY.allocated();
            live(shape, *end)?;
            left.push(MEMORY.allocated().wrapping_sub(before).cast_signed());
        }
    }
    Ok(())
}

/// The life of one program.
fn live(shape: Shape, end: End) -> Result<()> {
    let (open, threads) = (descriptors(), threads());
    let mut program = Program::new()?;
    shape(&mut program)?;
    let Program { lp, kept, descriptors: own, ports, guards, drops } = program;
    let remote = lp.remote();
    let handle = match end {
        End::Closed => {
            lp.close()?;
            Some(lp)
        }
        End::Dropped => {
            drop(lp);
            None
        }
    };
    assert!(remote.stop().is_err(), "a loop that was {end:?} is over");
    assert_eq!(
        drops.count(),
        guards.get(),
        "of what the user gave, so much is dropped when the loop is {end:?}"
    );
    for address in ports {
        drop(TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} when {end:?}: {error}")));
    }
    // A thread of a pool ends a moment after its loop.
    while self::threads() > threads {
        thread::yield_now();
    }
    let now = descriptors();
    assert_eq!(now.len(), open.len() + own, "{end:?}; before {open:?}, now {now:?}");
    drop(kept);
    assert_eq!(descriptors(), open, "{end:?}");
    drop((handle, remote));
    Ok(())
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// The open descriptors, but for the one that looks.
fn descriptors() -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    let describe = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?.display().to_string();
        let number = entry.file_name().display().to_string();
        (!target.starts_with("/proc/")).then(|| format!("{number} {target}"))
    };
    open.filter_map(describe).collect()
}
