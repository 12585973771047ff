//! What the tests of child processes share.

use looplab::process::{Command, Process, Stdio};
use looplab::{Result, yield_now};
use std::path::PathBuf;

/// Returns `cat` with pipes.
pub(crate) fn cat() -> Command {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// Returns a child that runs until a signal ends it.
pub(crate) fn sleeper() -> Command {
    Command::new("sleep").arg("3600")
}

pub(crate) fn folder(process: &Process) -> PathBuf {
    format!("/proc/{}", process.pid()).into()
}

/// Waits until the system knows the process no more: a zombie is still there.
pub(crate) async fn gone(folder: PathBuf) -> Result<()> {
    while folder.exists() {
        yield_now().await?;
    }
    Ok(())
}
