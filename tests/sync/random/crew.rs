//! Random programs: a crew of tasks that wait for something, and that cancel each other and give up in between.
//!
//! Each member comes, waits, stays inside and leaves. At each of these points it may let turns or time go by, cancel
//! another member, or call another's wait off. Calling off drops the future that waits, without a cancellation.
//! As a cancellation may come in the very step that wakes its victim, this is where a careless primitive loses something.

use crate::stage::{all_done, new_loop, reports};
use looplab::{Error, EventLoop, Future, Result, Task, get_running_loop, sleep, yield_now};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use support::watchdog;

/// How many members a crew has at most.
const MOST: usize = 8;

/// Something that a member does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Yield,
    Nap(u64),
    Cancel(usize),
    CallOff(usize),
}

/// One member's program.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) before: Vec<Step>,
    pub(crate) inside: Vec<Step>,
    pub(crate) after: Vec<Step>,
    pub(crate) rounds: usize,
    /// Goes on with the next round when its wait is cancelled.
    pub(crate) stubborn: bool,
    /// Its wait can be called off.
    pub(crate) fickle: bool,
    /// For what a test wants to know beyond this.
    pub(crate) role: usize,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Yield),
        1 => (0..3_u64).prop_map(Step::Nap),
        3 => (0..MOST).prop_map(Step::Cancel),
        1 => (0..MOST).prop_map(Step::CallOff),
    ];
    vec(step, 0..4)
}

pub(crate) fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = (steps(), steps(), steps(), 1..4_usize, any::<bool>(), any::<bool>(), 0..4_usize).prop_map(
        |(before, inside, after, rounds, stubborn, fickle, role)| Part {
            before,
            inside,
            after,
            rounds,
            stubborn,
            fickle,
            role,
        },
    );
    vec(part, 2..=MOST)
}

/// The members of a crew, once they are hired.
#[derive(Clone, Default)]
pub(crate) struct Crew {
    members: Rc<RefCell<Vec<Member>>>,
    tickets: Rc<Cell<u64>>,
}

#[derive(Clone)]
struct Member {
    task: Task<()>,
    gate: Future<()>,
}

impl Crew {
    /// Makes a task of each part, in a new loop's main task, and then does `finally`.
    #[track_caller]
    pub(crate) fn works<B, F>(
        parts: Vec<Part>,
        body: impl Fn(Crew, usize, Part) -> B + 'static,
        finally: impl FnOnce(Crew) -> F + 'static,
    ) where
        B: std::future::Future<Output = Result<()>> + 'static,
        F: std::future::Future<Output = Result<()>> + 'static,
    {
        let _dog = watchdog();
        let lp: EventLoop = new_loop();
        let work = async move {
            let crew = Self::default();
            let lp = get_running_loop()?;
            for (me, part) in parts.into_iter().enumerate() {
                let task = lp.create_task(body(crew.clone(), me, part));
                crew.members.borrow_mut().push(Member { task, gate: lp.create_future() });
            }
            finally(crew).await
        };
        lp.run_until_complete(work).expect("nobody waits for ever");
        assert_eq!(reports(), [""; 0]);
    }

    /// Waits until all are done; what they failed with. A cancellation is no failure.
    pub(crate) async fn failures(&self) -> Result<Vec<Error>> {
        let tasks: Vec<Task<()>> = self.members.borrow().iter().map(|member| member.task.clone()).collect();
        all_done(tasks.clone()).await?;
        Ok(tasks.iter().filter(|task| !task.cancelled()).filter_map(|task| task.result().err()).collect())
    }

    /// Waits until all are done; none may have failed.
    pub(crate) async fn done(&self) -> Result<()> {
        self.failures().await?.into_iter().try_for_each(Err)
    }

    pub(crate) async fn go(&self, steps: &[Step]) -> Result<()> {
        for step in steps {
            match *step {
                Step::Yield => yield_now().await?,
                Step::Nap(ms) => sleep(Duration::from_millis(ms)).await?,
                Step::Cancel(whom) => drop(self.member(whom).map(|member| member.task.cancel())),
                Step::CallOff(whom) => drop(self.member(whom).map(|member| member.gate.set_result(()))),
            }
        }
        Ok(())
    }

    fn member(&self, whom: usize) -> Option<Member> {
        self.members.borrow().get(whom).cloned()
    }

    /// A number greater than all before: it tells which member came first.
    pub(crate) fn ticket(&self) -> u64 {
        self.tickets.set(self.tickets.get() + 1);
        self.tickets.get()
    }

    /// Waits, as the part wants it: `None` if the wait was called off, or cancelled and that is to be swallowed.
    pub(crate) async fn waits<T>(
        &self,
        me: usize,
        part: &Part,
        wait: impl std::future::Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        let outcome = if part.fickle {
            let gate = self.member(me).expect("hired").gate;
            // The gate comes first, so that a wait which is over in the same step is still called off.
            match futures::future::select(pin!((&gate).into_future()), pin!(wait)).await {
                futures::future::Either::Left((Ok(()), _)) => return Ok(None),
                futures::future::Either::Left((Err(error), _)) => Err(error),
                futures::future::Either::Right((outcome, _)) => outcome,
            }
        } else {
            wait.await
        };
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_cancelled() && part.stubborn => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether each is greater than the one before.
pub(crate) fn grows(tickets: &[u64]) -> bool {
    tickets.windows(2).all(|pair| pair[0] < pair[1])
}
