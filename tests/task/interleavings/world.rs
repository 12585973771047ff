//! One random program, run on a loop, and what must be true of it in the end.

use futures::future::{Either, select};
use futures::join;
use looplab::{Clock, Error, EventLoop, ExceptionContext, Future, Result, ReturnWhen, Task};
use looplab::{current_task, gather, sleep, wait, yield_now};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

const FUTURES: usize = 3;

#[derive(Clone, Debug)]
pub(crate) enum Await {
    Future(usize),
    Task(usize),
    Yield,
    Sleep(u64),
    /// A future and a task, with `join!`.
    Join(usize, usize),
    /// A future and a task, gathered.
    Gather(usize, usize),
    /// Two tasks, with `wait`.
    Wait(usize, usize),
    /// A future or a sleep, with `select`: the loser is dropped.
    FutureOrTimeout(usize, u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Set(usize),
    Fail(usize),
    CancelFuture(usize),
    CancelTask(usize),
    Uncancel(usize),
    /// The program's own handle of a task goes.
    DropHandle(usize),
    /// A future is polled in this task and let go (nothing outside of a task).
    PollAndDrop(usize),
    Stop,
}

#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) steps: Vec<std::result::Result<Await, Action>>,
    /// Goes on after a failed await; else it fails with it.
    pub(crate) swallows: bool,
    pub(crate) fails: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) bodies: Vec<Body>,
    /// What timers do, and after how many milliseconds.
    pub(crate) timers: Vec<(u64, Action)>,
    /// What is done between two runs, one after each.
    pub(crate) between: Vec<Action>,
}

/// A value that is counted: how many there are.
pub(crate) struct Value(Rc<Cell<i64>>);

impl Value {
    fn new(alive: &Rc<Cell<i64>>) -> Self {
        alive.set(alive.get() + 1);
        Self(alive.clone())
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What is known of one task.
#[derive(Default)]
struct Known {
    /// What its body awaits now.
    awaits: RefCell<Option<Await>>,
    /// When its body last went on, on the count of [`World::now`].
    resumed: Cell<u64>,
    /// When a cancellation was last accepted.
    asked: Cell<u64>,
    drops: Cell<u32>,
    /// Set by a done callback: whether it returned.
    ended: Cell<Option<bool>>,
}

pub(crate) struct World {
    lp: EventLoop,
    futures: Vec<Future<Value>>,
    tasks: RefCell<Vec<Option<Task<Value>>>>,
    known: Vec<Known>,
    alive: Rc<Cell<i64>>,
    events: Cell<u64>,
}

/// Counts the drop of a body.
struct Dropped(Rc<World>, usize);

impl Drop for Dropped {
    fn drop(&mut self) {
        let drops = &self.0.known[self.1].drops;
        drops.set(drops.get() + 1);
    }
}

/// How a program ended, for a tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ended {
    AllDone,
    SomeWait,
}

impl World {
    /// Runs a program to its end; the text says which promise was broken.
    pub(crate) fn run(program: &Program) -> std::result::Result<Ended, String> {
        let lp =
            EventLoop::builder().clock(Clock::virtual_time()).build().map_err(|error| error.to_string())?;
        lp.set_exception_handler(Some(|_: &EventLoop, _: &ExceptionContext| ()));
        let world = Rc::new(Self {
            futures: (0..FUTURES).map(|_| lp.create_future()).collect(),
            lp,
            tasks: RefCell::default(),
            known: program.bodies.iter().map(|_| Known::default()).collect(),
            alive: Rc::default(),
            events: Cell::new(0),
        });
        world.start(program);
        let deadlock = world.run_to_the_end(program)?;
        let ended = world.check_the_end(&deadlock)?;
        world.lp.close().map_err(|error| error.to_string())?;
        for (n, known) in world.known.iter().enumerate() {
            let drops = known.drops.get();
            ensure(drops == 1, || format!("the body of task {n} was dropped {drops} times"))?;
        }
        let alive = world.alive.clone();
        // Read, so that what was not awaited is not reported.
        world.futures.iter().for_each(|future| drop(future.error()));
        drop(world);
        ensure(alive.get() == 0, || format!("{} values are left", alive.get()))?;
        Ok(ended)
    }

    fn start(self: &Rc<Self>, program: &Program) {
        for (n, body) in program.bodies.iter().enumerate() {
            let guard = Dropped(self.clone(), n);
            let body = self.clone().body(n, body.clone());
            let body = async move {
                let _guard = guard;
                body.await
            };
            let task = Task::builder().name(format!("<{n}>")).spawn_on(&self.lp, body);
            let world = self.clone();
            task.add_done_callback(move |task| {
                let returned = !task.cancelled() && matches!(task.error(), Ok(None));
                world.known[n].ended.set(Some(returned));
            });
            self.tasks.borrow_mut().push(Some(task));
        }
        for (time, action) in &program.timers {
            let (world, action) = (self.clone(), action.clone());
            self.lp.call_later(Duration::from_millis(*time), move || world.act(&action)).unwrap();
        }
    }

    /// Nothing stops the loop for good, so every program ends in a deadlock: with or without tasks.
    fn run_to_the_end(&self, program: &Program) -> std::result::Result<String, String> {
        let mut between = program.between.iter();
        loop {
            match self.lp.run_forever() {
                Ok(()) => between.next().into_iter().for_each(|action| self.act(action)),
                Err(Error::Deadlock(text)) => return Ok(text.to_string()),
                Err(error) => return Err(format!("the run ended with {error:?}")),
            }
        }
    }

    /// The next moment.
    fn now(&self) -> u64 {
        self.events.set(self.events.get() + 1);
        self.events.get()
    }

    fn future(&self, n: usize) -> &Future<Value> {
        &self.futures[n % FUTURES]
    }

    fn task(&self, n: usize) -> Option<Task<Value>> {
        let tasks = self.tasks.borrow();
        tasks[n % tasks.len()].clone()
    }

    fn known(&self, n: usize) -> &Known {
        &self.known[n % self.known.len()]
    }

    fn act(&self, action: &Action) {
        match *action {
            // One that is done refuses, and drops the value.
            Action::Set(n) => drop(self.future(n).set_result(Value::new(&self.alive))),
            Action::Fail(n) => drop(self.future(n).set_error(Error::msg("failed"))),
            Action::CancelFuture(n) => {
                self.future(n).cancel();
            }
            Action::CancelTask(n) => {
                let moment = self.now();
                if self.task(n).is_some_and(|task| task.cancel()) {
                    self.known(n).asked.set(moment);
                }
            }
            Action::Uncancel(n) => {
                // The request may have been another's, forwarded to this one: all are off.
                if self.task(n).is_some_and(|task| task.uncancel() == 0) {
                    self.known.iter().for_each(|known| known.asked.set(0));
                }
            }
            Action::DropHandle(n) => {
                let index = n % self.known.len();
                let handle = self.tasks.borrow_mut()[index].take();
                drop(handle);
            }
            Action::PollAndDrop(_) => {}
            Action::Stop => self.lp.stop(),
        }
    }

    async fn body(self: Rc<Self>, me: usize, body: Body) -> Result<Value> {
        for step in &body.steps {
            let awaits = match step {
                Ok(awaits) => self.with_live_handles(awaits),
                Err(Action::PollAndDrop(n)) => {
                    let mut polled = pin!(self.future(*n).into_future());
                    poll_fn(|cx| Poll::Ready(polled.as_mut().poll(cx).is_ready())).await;
                    continue;
                }
                Err(action) => {
                    self.act(action);
                    continue;
                }
            };
            let Some(awaits) = awaits else { continue };
            *self.known[me].awaits.borrow_mut() = Some(awaits.clone());
            let outcome = self.wait(me, &awaits).await;
            self.known[me].awaits.take();
            self.known[me].resumed.set(self.now());
            if !body.swallows {
                outcome?;
            }
        }
        if body.fails { Err(Error::msg("the body failed")) } else { Ok(Value::new(&self.alive)) }
    }

    /// What can be awaited now: a task whose handle the program has dropped cannot.
    fn with_live_handles(&self, awaits: &Await) -> Option<Await> {
        let gone = |n| self.task(n).is_none();
        match *awaits {
            Await::Task(task) if gone(task) => None,
            Await::Join(future, task) | Await::Gather(future, task) if gone(task) => {
                Some(Await::Future(future))
            }
            Await::Wait(one, other) if gone(one) && gone(other) => None,
            Await::Wait(one, other) if gone(one) => Some(Await::Wait(other, other)),
            Await::Wait(one, other) if gone(other) => Some(Await::Wait(one, one)),
            ref live => Some(live.clone()),
        }
    }

    async fn wait(&self, me: usize, awaits: &Await) -> Result<()> {
        let live = |n| self.task(n).expect("its handle is there");
        match *awaits {
            Await::Future(n) => self.future(n).await.map(drop),
            Await::Task(n) => live(n).await.map(drop),
            Await::Yield => yield_now().await,
            Await::Sleep(time) => sleep(Duration::from_millis(time)).await,
            Await::Join(future, task) => {
                // Each half goes on by itself: a cancellation that one of them got is delivered.
                let half = async |on: looplab::Join<Value>| {
                    let outcome = on.await;
                    self.known[me].resumed.set(self.now());
                    outcome
                };
                let (one, other) =
                    join!(half(self.future(future).into_future()), half(live(task).into_future()));
                one.and(other).map(drop)
            }
            Await::Gather(future, task) => gather!(self.future(future), live(task)).await.map(drop),
            Await::Wait(one, other) => {
                wait([live(one), live(other)], ReturnWhen::AllCompleted, None).await.map(drop)
            }
            Await::FutureOrTimeout(n, time) => {
                let future = pin!(self.future(n).into_future());
                match select(future, pin!(sleep(Duration::from_millis(time)))).await {
                    Either::Left((value, _)) => value.map(drop),
                    Either::Right((slept, _)) => slept,
                }
            }
        }
    }
}

fn ensure(holds: bool, text: impl FnOnce() -> String) -> std::result::Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

/// What must hold when nothing can happen any more.
impl World {
    fn check_the_end(&self, deadlock: &str) -> std::result::Result<Ended, String> {
        let pending: Vec<String> = self.lp.all_tasks().iter().map(|task| task.name().to_string()).collect();
        for (n, known) in self.known.iter().enumerate() {
            let name = format!("<{n}>");
            let waits = pending.contains(&name);
            ensure(deadlock.contains(&format!("; {name} waits")) == waits, || {
                format!("task {n} pending: {waits}, but the deadlock says: {deadlock}")
            })?;
            ensure(known.ended.get().is_some() != waits, || format!("task {n}: its done callback is wrong"))?;
            ensure(known.drops.get() == u32::from(!waits), || {
                format!("task {n}: dropped at the wrong time")
            })?;
            if waits {
                self.check_waiting(n)?;
                self.check_cancelled(n)?;
            }
        }
        ensure(current_task().is_none(), || "a task is current outside of a run".to_owned())?;
        Ok(if pending.is_empty() { Ended::AllDone } else { Ended::SomeWait })
    }

    fn pending(&self, n: usize) -> bool {
        self.known(n).ended.get().is_none()
    }

    fn failed(&self, n: usize) -> bool {
        self.known(n).ended.get() == Some(false)
    }

    /// What a pending task waits for is not done.
    fn check_waiting(&self, n: usize) -> std::result::Result<(), String> {
        let awaits = self.known[n].awaits.borrow().clone();
        let done = |n: usize| self.future(n).done();
        let future_failed = |n: usize| done(n) && !matches!(self.future(n).error(), Ok(None));
        let rightly = match awaits {
            None | Some(Await::Yield | Await::Sleep(_) | Await::FutureOrTimeout(..)) => false,
            Some(Await::Future(future)) => !done(future),
            Some(Await::Task(task)) => self.pending(task),
            Some(Await::Join(future, task)) => !done(future) || self.pending(task),
            Some(Await::Gather(future, task)) => {
                !future_failed(future) && !self.failed(task) && (!done(future) || self.pending(task))
            }
            Some(Await::Wait(one, other)) => self.pending(one) || self.pending(other),
        };
        ensure(rightly, || format!("task {n} lost its wake-up: {:?} is over", self.known[n].awaits.borrow()))
    }

    /// A pending task that was asked to end has gone on since, or a task to which it forwarded the request has.
    fn check_cancelled(&self, n: usize) -> std::result::Result<(), String> {
        let asked = self.known[n].asked.get();
        let (mut open, mut seen) = (vec![n % self.known.len()], Vec::new());
        while let Some(task) = open.pop() {
            if self.known[task].resumed.get() > asked {
                return Ok(());
            }
            seen.push(task);
            let next: Vec<usize> = match *self.known[task].awaits.borrow() {
                Some(Await::Task(next) | Await::Join(_, next) | Await::Gather(_, next)) => vec![next],
                _ => Vec::new(),
            };
            open.extend(next.into_iter().map(|n| n % self.known.len()).filter(|n| !seen.contains(n)));
        }
        ensure(asked == 0, || format!("task {n} lost its cancellation"))
    }
}
