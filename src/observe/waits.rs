//! `WaitTree`: which task waits for which, as a tree, from a snapshot.
//!
//! It guarantees that each pending task is shown once with its waits. The roots are the tasks for
//! which no other task waits. The holder of a lock counts as awaited by the tasks that wait for the
//! lock. A circle is cut and marked.

use super::events::On;
use super::snapshot::{Snapshot, TaskEntry, TaskState, describe_all};
use std::collections::BTreeSet;
use std::fmt;

/// The deepest indentation of a line.
const DEEPEST: usize = 30;

/// Shows the tree, one task a line.
pub(crate) struct WaitTree<'a>(pub(crate) &'a Snapshot);

impl WaitTree<'_> {
    fn task(&self, id: u64) -> Option<&TaskEntry> {
        let tasks = &self.0.tasks;
        tasks.binary_search_by_key(&id, |task| task.id).ok().map(|i| &tasks[i])
    }

    /// Shows a task and what it waits for, task by task. Not recursive: a chain may be of any
    /// length.
    fn write(&self, f: &mut fmt::Formatter<'_>, top: &TaskEntry, shown: &mut BTreeSet<u64>) -> fmt::Result {
        let mut left = vec![(top, 1)];
        while let Some((task, depth)) = left.pop() {
            write!(f, "\n{:indent$}{}", "", task.name, indent = 2 * depth)?;
            if !shown.insert(task.id) {
                f.write_str(" (see above)")?;
                continue;
            }
            match &task.state {
                TaskState::Queued => f.write_str(" is ready")?,
                TaskState::Running => f.write_str(" is in its step")?,
                TaskState::Waiting(waits) => {
                    write!(f, " waits for {}", describe_all(waits, &self.0.tasks))?;
                }
            }
            let awaited = awaited_by(task).into_iter().rev().filter_map(|id| self.task(id));
            left.extend(awaited.map(|awaited| (awaited, DEEPEST.min(depth + 1))));
        }
        Ok(())
    }
}

/// Lists the tasks for which a task waits: those that it awaits, and the holders of what it waits
/// for.
fn awaited_by(task: &TaskEntry) -> Vec<u64> {
    let TaskState::Waiting(waits) = &task.state else { return Vec::new() };
    let tasks = waits.iter().filter_map(|wait| match wait.on {
        On::Task(id) => Some(id),
        On::Future(_) => wait.holder,
    });
    tasks.collect()
}

impl fmt::Display for WaitTree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = &self.0.tasks;
        f.write_str(if tasks.is_empty() { "waits   none" } else { "waits" })?;
        let awaited: BTreeSet<u64> = tasks.iter().flat_map(awaited_by).collect();
        let mut shown = BTreeSet::new();
        for top in tasks.iter().filter(|task| !awaited.contains(&task.id)) {
            self.write(f, top, &mut shown)?;
        }
        // What is left are circles.
        for task in tasks {
            if !shown.contains(&task.id) {
                self.write(f, task, &mut shown)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::WaitTree;
    use crate::sync::Lock;
    use crate::{EventLoop, Result, Task, get_running_loop, yield_now};
    use std::cell::RefCell;
    use std::rc::Rc;

    fn named<T: 'static>(name: &str, body: impl Future<Output = Result<T>> + 'static) -> Task<T> {
        Task::builder().name(name).spawn(body)
    }

    /// The tree after two turns, without the places: they depend on the lines of this file.
    fn tree(body: impl Future<Output = Result<()>> + 'static) -> Result<String> {
        let lp = EventLoop::new()?;
        lp.run_until_complete(async {
            named("program", body);
            for _ in 0..3 {
                yield_now().await?;
            }
            let snapshot = get_running_loop()?.snapshot();
            let tree = WaitTree(&snapshot).to_string();
            let words = tree.lines().map(|line| {
                let mut words = line.split(" at src/");
                let start = words.next().unwrap_or_default().to_owned();
                let rest = words.map(|rest| rest.trim_start_matches(|c: char| c != ',')).collect::<String>();
                start + &rest
            });
            Ok(words.filter(|line| !line.contains("Task-")).collect::<Vec<_>>().join("\n"))
        })
    }

    #[test]
    fn a_chain_is_shown_from_the_task_for_which_nothing_waits() -> Result<()> {
        let shown = tree(async {
            let inner = named("inner", async { get_running_loop()?.create_future::<()>().await });
            named("outer", async move { inner.await }).await
        })?;
        assert_eq!(
            shown,
            "waits\n  program waits for task outer\n    outer waits for task inner\n      inner waits for future"
        );
        Ok(())
    }

    #[test]
    fn the_holder_of_a_lock_is_what_its_waiters_wait_for() -> Result<()> {
        let shown = tree(async {
            let lock = Rc::new(Lock::new());
            for name in ["holder", "first", "second"] {
                let lock = lock.clone();
                named(name, async move {
                    let _guard = lock.lock().await?;
                    get_running_loop()?.create_future::<()>().await
                });
            }
            Ok(())
        })?;
        assert_eq!(
            shown,
            "waits\n  first waits for lock, held by holder\n    holder waits for future\n  \
             second waits for lock, held by holder\n    holder (see above)"
        );
        Ok(())
    }

    #[test]
    fn a_chain_of_any_length_is_shown() -> Result<()> {
        let shown = tree(async {
            let first = named("first", async { get_running_loop()?.create_future::<()>().await });
            (0..20_000).fold(first, |inner, _| named("link", async move { inner.await }));
            Ok(())
        })?;
        assert_eq!(shown.lines().count(), 20_002);
        assert!(shown.ends_with("first waits for future"));
        Ok(())
    }

    #[test]
    fn a_circle_is_shown_once() -> Result<()> {
        let shown = tree(async {
            let second = Rc::new(RefCell::new(None::<Task<()>>));
            let inside = second.clone();
            let first = named("first", async move {
                yield_now().await?;
                let second = inside.borrow().clone();
                second.expect("it was made").await
            });
            *second.borrow_mut() = Some(named("second", async move { first.await }));
            Ok(())
        })?;
        assert_eq!(
            shown,
            "waits\n  first waits for task second\n    second waits for task first\n      first (see above)"
        );
        Ok(())
    }
}
