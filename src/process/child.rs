//! `Child`: a child's process id, its signals, and its one reaping.
//!
//! It guarantees that no signal is sent after the reaping, when the system may give the number to another process. The
//! threads that may reap (the loop's, or the watcher's once the loop is closed) meet in one lock.

use super::debug::debug;
use crate::error::{Error, Result};
use crate::signals::signal::{Signal, check_number};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The return code of a child that other code has reaped, as in asyncio.
const UNKNOWN: i32 = 255;

pub(super) struct Child {
    pid: Pid,
    /// `None` until it is reaped.
    returncode: Mutex<Option<i32>>,
}

impl Child {
    pub(super) fn new(child: &process::Child) -> Self {
        Self { pid: Pid::from_child(child), returncode: Mutex::default() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Blocks until the child has ended, and leaves it to be reaped.
    pub(super) fn wait_for_end(&self) {
        // An error says that other code has reaped it.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.pid), options), Err(Errno::INTR)) {}
    }

    /// Reaps the child, which has ended. Returns its exit status, or the negative number of the signal that killed it.
    pub(super) fn reap(&self) -> i32 {
        let mut returncode = self.returncode();
        if let Some(returncode) = *returncode {
            return returncode;
        }
        let status = loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                ended => break ended.ok().flatten(),
            }
        };
        let code = status.and_then(|(_, status)| {
            status.exit_status().or_else(|| status.terminating_signal().map(|signal| -signal))
        });
        *returncode = Some(code.unwrap_or(UNKNOWN));
        drop(returncode);
        let pid = self.pid();
        match code {
            Some(code) => debug(format_args!("process {pid} exited with returncode {code}")),
            None => log_warn!("Unknown child process pid {pid}, will report returncode {UNKNOWN}"),
        }
        code.unwrap_or(UNKNOWN)
    }

    /// Sends a signal unless the child has been reaped.
    pub(super) fn send_signal(&self, signal: Signal) -> Result<()> {
        let number = signal.number();
        check_number(number)?;
        let Some(named) = rustix::process::Signal::from_named_raw(number) else {
            // A real-time signal. rustix makes one only with `unsafe`, and the standard library sends none.
            return Err(Error::Value(
                format!("the real-time signal {number} cannot be sent to a child").into(),
            ));
        };
        let returncode = self.returncode();
        if returncode.is_some() {
            return Ok(());
        }
        match kill_process(self.pid, named) {
            // Other code has reaped it, which asyncio ignores.
            Err(Errno::SRCH) => Ok(()),
            sent => sent.map_err(|error| std::io::Error::from(error).into()),
        }
    }

    fn returncode(&self) -> MutexGuard<'_, Option<i32>> {
        self.returncode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
