//! No task goes on before the last has come, and none is left behind.

use super::crew::{Crew, Part, parts};
use looplab::sync::Barrier;
use looplab::{Result, create_task, get_running_loop, sleep};
use proptest::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// What all tasks that come to a barrier find out.
#[derive(Clone, Default)]
struct Seen {
    /// How many are inside of `wait`, cancelled or not.
    waiting: Rc<Cell<usize>>,
    /// The turn in which the barrier was filled last, and how many have gone on since.
    filled: Rc<Cell<(u64, usize)>>,
}

impl Seen {
    /// Waits at the barrier (`wait` may add something to that), and checks that this one does not go on too early.
    async fn visit(self, parties: usize, wait: impl Future<Output = Result<Option<usize>>>) -> Result<()> {
        self.waiting.set(self.waiting.get() + 1);
        let index = wait.await;
        self.waiting.set(self.waiting.get() - 1);
        let Some(index) = index? else { return Ok(()) };
        let turn = get_running_loop()?.turns();
        if index + 1 == parties {
            assert!(self.waiting.get() + 1 >= parties, "{} were there", self.waiting.get() + 1);
            self.filled.set((turn, 1));
        } else {
            let (when, gone) = self.filled.get();
            assert!(index < parties && gone < parties, "number {index}, after {gone}");
            // One that a cancelled waiter woke for nothing may have been about to look in that very turn.
            assert!(turn == when || turn == when + 1, "turn {turn}, and the last had come in {when}");
            self.filled.set((when, gone + 1));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn under_random_cancellations_no_waiter_goes_on_early_and_none_is_left_behind(
        parts in parts(),
        parties in 1..5_usize,
    ) {
        let (barrier, seen) = (Barrier::new(parties).unwrap(), Seen::default());
        let (the_barrier, the_seen) = (barrier.clone(), seen.clone());
        let member = move |crew: Crew, me: usize, part: Part| {
            let (barrier, seen) = (barrier.clone(), seen.clone());
            async move {
                for _ in 0..part.rounds {
                    crew.go(&part.before).await?;
                    seen.clone().visit(parties, crew.waits(me, &part, barrier.wait())).await?;
                    crew.go(&part.inside).await?;
                    crew.go(&part.after).await?;
                }
                Ok(())
            }
        };
        Crew::works(parts, member, move |crew| async move {
            let mut left = usize::MAX;
            while left > 0 {
                // A task that waits after that waits for more to come; all others have gone on.
                sleep(Duration::from_millis(100)).await?;
                left = the_barrier.n_waiting();
                assert!(left < parties && !the_barrier.broken());
                assert_eq!(left, the_seen.waiting.get());
                for _ in left..parties {
                    let (barrier, seen) = (the_barrier.clone(), the_seen.clone());
                    create_task(async move { seen.visit(parties, async { barrier.wait().await.map(Some) }).await });
                }
            }
            crew.done().await
        });
    }
}
