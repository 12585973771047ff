//! The page of a failing schedule: the run with its disturbance, and the undisturbed run beside it.

use super::execution::{Execution, Plan};
use super::schedule::Schedule;
use crate::xray;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes the page into `target/looplab`, and returns its path. A page that cannot be written is no failure of the program.
pub(super) fn write(plan: &Plan, test: &str, schedule: &Schedule) -> Option<String> {
    let path = folder()?.join(format!("{}.html", test.replace("::", "-")));
    let traces = [trace(plan, schedule), trace(plan, &Schedule::default())];
    let page = xray::page(&[("disturbed", &traces[0]), ("undisturbed", &traces[1])]);
    std::fs::create_dir_all(path.parent()?).ok()?;
    std::fs::write(&path, page).ok()?;
    let here = std::env::current_dir().ok();
    let shown = here.and_then(|here| path.strip_prefix(here).ok().map(PathBuf::from)).unwrap_or(path);
    Some(shown.display().to_string())
}

fn trace(plan: &Plan, schedule: &Schedule) -> String {
    let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
    Execution::recorded(plan, schedule, xray::recording_in_memory(lines.clone()));
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8_lossy(&lines).into_owned()
}

/// Returns the folder beside the test program's, which cargo puts into `target/debug/deps`.
fn folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let deps = program.parent().filter(|folder| folder.ends_with("deps"))?;
    Some(deps.parent()?.parent()?.join("looplab"))
}
