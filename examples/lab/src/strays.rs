//! What a program has started outside of its process group.
//!
//! Each run has a mark, an environment variable with a value of its own. A process inherits it, also in
//! another group or session, and also if its parent has ended. Linux shows each process's environment
//! in `/proc`. Elsewhere nothing is found, and the group is all that is killed.
//!
//! A process that is started without the environment is not found.

use std::process::{self, Command};
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "LOOPLAB_LAB_RUN";

/// A value that no other run has.
#[derive(Debug)]
pub(crate) struct Mark(String);

impl Mark {
    /// Marks a command and what it will start.
    pub(crate) fn put(command: &mut Command) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let value = format!("{}.{}", process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        command.env(VARIABLE, &value);
        Self(value)
    }

    /// Kills every process that has the mark.
    #[cfg(target_os = "linux")]
    pub(crate) fn kill_all(&self) {
        use std::collections::HashSet;
        let mut killed = HashSet::new();
        // One may have started another before it was killed. So this looks until nothing new is found.
        while marked(&format!("{VARIABLE}={}", self.0)).filter(|pid| killed.insert(*pid)).count() > 0 {}
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn kill_all(&self) {}
}

/// Returns the processes with a variable in their environment, each killed when it is found.
#[cfg(target_os = "linux")]
fn marked(variable: &str) -> impl Iterator<Item = i32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let numbers = processes.filter_map(|process| process.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(move |pid| kill_marked(*pid, variable).is_some())
}

/// Kills a process if it has the variable.
#[cfg(target_os = "linux")]
fn kill_marked(pid: i32, variable: &str) -> Option<()> {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    // Opened before it is looked at: its number may pass to another process in between.
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find(|one| *one == variable.as_bytes())?;
    pidfd_send_signal(process, Signal::KILL).ok()
}
