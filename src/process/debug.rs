//! What a loop in debug mode logs about its children, with asyncio's texts.
//!
//! The lines go to the logger. Without one they go nowhere, as Python's last resort shows warnings alone.
//!
//! It does not describe the pipes of a child, as asyncio's lines do, because the trace shows them. A stream that is not a
//! pipe is not named: the standard library does not say what it is.

use crate::event_loop::get_running_loop;
use crate::panics;
use log::LevelFilter;
use std::ffi::OsStr;
use std::fmt;

/// Logs a line of the level `DEBUG` if the running loop is in debug mode.
pub(super) fn debug(text: fmt::Arguments<'_>) {
    if logs(LevelFilter::Debug) {
        panics::log(text, |text| log::debug!(target: "looplab", "{text}"));
    }
}

/// Logs a line of the level `INFO` if the running loop is in debug mode.
pub(super) fn info(text: fmt::Arguments<'_>) {
    if logs(LevelFilter::Info) {
        panics::log(text, |text| log::info!(target: "looplab", "{text}"));
    }
}

fn logs(level: LevelFilter) -> bool {
    log::max_level() >= level && is_on()
}

/// Returns whether the running loop is in debug mode.
pub(super) fn is_on() -> bool {
    get_running_loop().is_ok_and(|lp| lp.debug())
}

/// Writes a text as Python's `repr` does: in single quotes, unless it holds some and no double ones.
pub(super) fn repr(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\'' | '"' if c != quote => quoted.push(c),
            other => quoted.extend(other.escape_debug()),
        }
    }
    quoted.push(quote);
    quoted
}
