//! Lesson 36: a set of background tasks.

mod lesson_36 {
    use super::super::{breaks, check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Result, Task, create_task, gather, sleep};
    use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

    #[derive(Clone, Default)]
    struct Background(Rc<RefCell<BTreeMap<u64, Task<()>>>>);

    impl Background {
        fn keep(&self, task: Task<()>) {
            let all = self.clone();
            task.add_done_callback(move |task| {
                all.0.borrow_mut().remove(&task.id());
            });
            self.0.borrow_mut().insert(task.id(), task);
        }

        async fn end(&self) -> Result<()> {
            loop {
                let left: Vec<Task<()>> = self.0.take().into_values().collect();
                if left.is_empty() {
                    return Ok(());
                }
                left.iter().for_each(|task| _ = task.cancel());
                gather(left).return_exceptions().await?;
            }
        }
    }

    // Explored:

    /// One background task ends soon, one never, and one starts another on its way out.
    fn explored() -> Explore {
        main_task(async |_| {
            let background = Background::default();
            background.keep(create_task(async { sleep(Duration::from_secs(1)).await }));
            let (set, hour) = (background.clone(), Duration::from_secs(3600));
            background.keep(create_task(async move {
                let ended = sleep(hour).await;
                set.keep(create_task(async move { sleep(hour).await }));
                ended
            }));
            let served = sleep(Duration::from_secs(2)).await;
            background.end().await?;
            check(background.0.borrow().is_empty(), "a task is left in the set")?;
            served
        })
    }

    #[test]
    fn the_set_is_empty_at_the_end_whichever_tasks_are_cancelled() {
        holds(explored().stops().cancel("Task").pairs());
    }

    #[test]
    fn a_cancelled_end_leaves_what_was_kept_meanwhile() {
        breaks(explored().cancel("main"), "cancel:main#1@8.1", "left behind: the task Task");
    }
}
