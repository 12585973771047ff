//! What a signal does when no loop watches it: one table for the process.
//!
//! A delivery is either recorded, or does what it did before the first loop watched the signal. It
//! never does both or neither, also while several threads add and remove. (One gap, at the very
//! first watch, is signal-hook's own: see `signals`.)
//!
//! It does not see what other code of the process installs for the signal later.

use super::ring::{Action, Arrivals, bit, register};
use super::signal::invalid;
use crate::error::{Error, Result};
use signal_hook::{SigId, flag, low_level};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A signal that a loop of this process watches or once watched.
struct Disposition {
    /// How many loops watch it.
    watchers: usize,
    /// While set, a delivery does what the default does. `None` if the signal was ignored or had a
    /// handler before the first watch. Then nothing is emulated: signal-hook's handler calls the
    /// one before, or does nothing.
    default_armed: Option<Arc<AtomicBool>>,
}

/// Never locked in a signal handler.
static DISPOSITIONS: Mutex<BTreeMap<i32, Disposition>> = Mutex::new(BTreeMap::new());

fn dispositions() -> MutexGuard<'static, BTreeMap<i32, Disposition>> {
    DISPOSITIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers the recorder, then disarms the default.
///
/// In this order each delivery does one of the two. Until the store below the default is armed, and
/// a handler that finds it so kills the process, as without the call. A handler that finds it
/// disarmed has the recorder in its list. That holds because signal-hook's registration returns
/// only when no handler runs with the old list. Alternative: the other order. Problem: a gap in
/// which a delivery vanishes.
pub(super) fn start_recording(signum: i32, arrivals: Arc<Arrivals>, serial: u64) -> Result<SigId> {
    let mut table = dispositions();
    // This is asked before anything is registered. Afterwards the answer would be signal-hook's own
    // handler.
    let first = if table.contains_key(&signum) { None } else { Some(default_in_force(signum)?) };
    let recorder = register(signum, Action::Record { arrivals, serial, bit: bit(signum) }).map_err(
        |error| match error.kind() {
            ErrorKind::InvalidInput => invalid(signum),
            _ => error.into(),
        },
    )?;
    if let Err(error) = check_caught(signum) {
        low_level::unregister(recorder);
        return Err(error);
    }
    if let Some(emulate) = first {
        match Disposition::new(signum, emulate) {
            Ok(disposition) => table.insert(signum, disposition),
            Err(error) => {
                low_level::unregister(recorder);
                return Err(error.into());
            }
        };
    }
    if let Some(disposition) = table.get_mut(&signum) {
        disposition.watchers += 1;
        disposition.arm_default();
    }
    Ok(recorder)
}

/// Arms the default if this was the last watcher, then unregisters the recorder. On return the
/// recorder runs on no thread any more. Between the two a delivery does both, which is the same as
/// the default alone.
pub(super) fn stop_recording(signum: i32, recorder: SigId) {
    if let Some(disposition) = dispositions().get_mut(&signum) {
        disposition.watchers -= 1;
        disposition.arm_default();
    }
    low_level::unregister(recorder);
}

/// Makes the default take effect after `deliveries` more, even while a loop watches the signal.
/// Does nothing if the default was not in force before the first watch.
///
/// In each delivery this action runs after the one that emulates the default, because it is
/// younger. So what it arms takes effect with the next delivery.
pub(super) fn light_fuse(signum: i32, deliveries: u32) -> io::Result<Option<SigId>> {
    let armed = dispositions().get(&signum).and_then(|disposition| disposition.default_armed.clone());
    let Some(default_armed) = armed else { return Ok(None) };
    register(signum, Action::Fuse { left: AtomicU32::new(deliveries), default_armed }).map(Some)
}

/// Undoes that, also when the default is armed already and the next delivery would kill.
pub(super) fn put_out_fuse(signum: i32, fuse: SigId) {
    low_level::unregister(fuse);
    if let Some(disposition) = dispositions().get(&signum) {
        disposition.arm_default();
    }
}

/// Returns whether a delivery now would do what the default does: neither a loop nor other code
/// handles the signal.
pub(super) fn is_default_now(signum: i32) -> bool {
    match dispositions().get(&signum) {
        Some(disposition) => disposition.watchers == 0 && disposition.default_armed.is_some(),
        None => default_in_force(signum).unwrap_or(false),
    }
}

impl Disposition {
    fn new(signum: i32, emulate: bool) -> io::Result<Self> {
        if !emulate {
            return Ok(Self { watchers: 0, default_armed: None });
        }
        let armed = Arc::new(AtomicBool::new(false));
        if low_level::signal_name(signum).is_some() {
            flag::register_conditional_default(signum, armed.clone())?;
        } else {
            // Signals such as SIGRTMIN are not in signal-hook's table. The default of all these
            // ends the process.
            flag::register_conditional_shutdown(signum, 128 + signum, armed.clone())?;
        }
        Ok(Self { watchers: 0, default_armed: Some(armed) })
    }

    /// Arms or disarms the default, after the number of watchers has changed.
    fn arm_default(&self) {
        if let Some(armed) = &self.default_armed {
            armed.store(self.watchers == 0, SeqCst);
        }
    }
}

/// Checks that the process catches the signal. signal-hook installs its handler once. If other code
/// then set the signal to its default or to "ignore", nothing would ever arrive.
///
/// # Errors
/// [`Error::Runtime`] if it does not.
pub(super) fn check_caught(signum: i32) -> Result<()> {
    if !kernel_says(|status| is_in_set(status, "SigCgt:", signum))? {
        let text = format!(
            "sig {signum} cannot be caught: other code of this process has set it to its default or to \"ignore\""
        );
        return Err(Error::Runtime(text.into()));
    }
    Ok(())
}

/// Returns whether the signal has its default disposition: neither ignored nor caught.
fn default_in_force(signum: i32) -> io::Result<bool> {
    kernel_says(|status| is_default(status, signum))
}

/// Asks Linux's `/proc`. Without such a file the answer is yes. Alternative: `sigaction`. Problem:
/// it is unsafe to call.
fn kernel_says(ask: impl FnOnce(&str) -> bool) -> io::Result<bool> {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => Ok(ask(&status)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(true),
        // Most likely no descriptor is left. A wrong guess could kill a process that must ignore
        // the signal.
        Err(error) => Err(error),
    }
}

fn is_default(status: &str, signum: i32) -> bool {
    !is_in_set(status, "SigIgn:", signum) && !is_in_set(status, "SigCgt:", signum)
}

fn is_in_set(status: &str, name: &str, signum: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix(name));
    mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0) & bit(signum) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_in_proc_tell_the_default_from_ignored_and_caught() {
        let status = "SigPnd:\t0000000000000001\nSigIgn:\t8000000000001000\nSigCgt:\t0000000000000440\n";
        assert!([1, 12, 14, 63].iter().all(|n| is_default(status, *n)));
        assert!([13, 64, 7, 11].iter().all(|n| !is_default(status, *n)));
        assert!(is_default("", 1));
    }
}
