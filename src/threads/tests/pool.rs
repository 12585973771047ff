//! The pool's protocol in every order of its steps. Each step takes the lock once, or changes one job and its counters; all
//! are the pool's own, and so is the channel. Only the threads are not real. A receive may time out at any moment.

use super::*;
use crate::interleavings::{Choices, explore};

/// Counts how often it ran and how often its end was sent.
struct Counted {
    header: JobHeader,
    ran: AtomicUsize,
    ended: AtomicUsize,
}

impl Counted {
    fn is_cancelled(&self) -> bool {
        self.header.state.load(Relaxed) == CANCELLED
    }
}

impl Job for Counted {
    fn header(&self) -> &JobHeader {
        &self.header
    }

    fn run(&self, _: &Arc<str>) {
        self.ran.fetch_add(1, Relaxed);
    }

    fn end(self: Arc<Self>, _: Option<&Arc<str>>) {
        self.ended.fetch_add(1, Relaxed);
    }

    fn set_result(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Where a thread of the pool is in [`Worker::live`]; the numbers are those of jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Start(usize),
    Receive,
    TimedOut,
    Received(usize),
    Runs(usize),
    Ended,
}

#[derive(Clone, Copy)]
enum Step {
    Submit,
    Withdraw,
    Shutdown,
    ShutdownAndCancel,
    Receive(usize),
    TimeOut(usize),
    /// The only step that a thread can make where it is.
    GoOn(usize),
}

struct Model {
    executor: Executor,
    jobs: Vec<Arc<Counted>>,
    /// How many of the jobs were submitted.
    submitted: usize,
    refused: Vec<usize>,
    /// Whether job 1 was to be withdrawn, and whether it was.
    withdrawn: Option<bool>,
    shut_down: bool,
    /// The threads by their numbers, and where they are.
    workers: Vec<Arc<Worker>>,
    threads: Vec<At>,
}

/// What the program does besides submitting its jobs.
#[derive(Clone, Copy)]
struct Program {
    jobs: usize,
    threads: usize,
    withdraws: bool,
    shuts_down: bool,
}

impl Model {
    fn new(program: Program) -> Self {
        let executor = Executor::new(program.threads);
        let place = std::panic::Location::caller();
        let job = |_| {
            let header = executor.header(String::new, place);
            Arc::new(Counted { header, ran: AtomicUsize::new(0), ended: AtomicUsize::new(0) })
        };
        let jobs = (0..program.jobs).map(job).collect();
        let (refused, workers, threads) = (Vec::new(), Vec::new(), Vec::new());
        Self { executor, jobs, submitted: 0, refused, withdrawn: None, shut_down: false, workers, threads }
    }

    fn pool(&self) -> &Pool {
        self.executor.pool()
    }

    fn number_of(&self, job: &Arc<dyn Job>) -> usize {
        let is_it = |known: &Arc<Counted>| std::ptr::eq(known.header(), job.header());
        self.jobs.iter().position(is_it).expect("it is one of the model's")
    }

    fn steps(&self, program: Program) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.submitted < self.jobs.len() {
            steps.push(Step::Submit);
        }
        if program.withdraws && self.withdrawn.is_none() && self.submitted > 1 && !self.refused.contains(&1) {
            steps.push(Step::Withdraw);
        }
        if program.shuts_down && !self.shut_down {
            steps.extend([Step::Shutdown, Step::ShutdownAndCancel]);
        }
        for (number, at) in self.threads.iter().enumerate() {
            match at {
                At::Receive if self.pool().queue.is_empty() => steps.push(Step::TimeOut(number)),
                At::Receive => steps.extend([Step::Receive(number), Step::TimeOut(number)]),
                At::Ended => {}
                _ => steps.push(Step::GoOn(number)),
            }
        }
        steps
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit => self.submit(),
            Step::Withdraw => self.withdrawn = Some(self.jobs[1].header.cancel()),
            Step::Shutdown => {
                self.shut_down = true;
                self.executor.close();
            }
            Step::ShutdownAndCancel => {
                self.shut_down = true;
                self.executor.close();
                self.executor.cancel_queued();
            }
            Step::Receive(thread) => {
                let job = self.pool().queue.try_recv().expect("it is not empty");
                self.threads[thread] = At::Received(self.number_of(&job));
            }
            Step::TimeOut(thread) => self.threads[thread] = At::TimedOut,
            Step::GoOn(thread) => self.threads[thread] = self.go_on(thread),
        }
    }

    fn submit(&mut self) {
        let job = self.submitted;
        self.submitted += 1;
        let pool = self.executor.pool().clone();
        let (unfinished, threads) = (self.unfinished(job), self.executor.threads());
        let mut started = None;
        let submitted = pool.submit(self.jobs[job].clone(), |worker| {
            started = Some(worker);
            Ok(thread::spawn(|| ()))
        });
        if submitted.is_err() {
            assert!(self.shut_down);
            return self.refused.push(job);
        }
        let idle = unfinished < threads;
        assert_eq!(started.is_some(), !idle && threads < pool.options.threads, "only if no thread is idle");
        if let Some(worker) = started {
            self.workers.push(worker);
            self.threads.push(At::Start(job));
        }
    }

    /// Counts the jobs before `end` that may still need a thread.
    fn unfinished(&self, end: usize) -> usize {
        let runs = |job: usize| self.threads.contains(&At::Runs(job));
        let needs = |job: &usize| {
            let counted = &self.jobs[*job];
            let waits = !counted.is_cancelled() && counted.ran.load(Relaxed) == 0;
            waits || runs(*job)
        };
        (0..end).filter(needs).count()
    }

    fn go_on(&self, thread: usize) -> At {
        let worker = &self.workers[thread];
        match self.threads[thread] {
            At::Start(started_for) => match worker.first() {
                Some(job) => {
                    assert_eq!(self.number_of(&job), started_for);
                    At::Received(started_for)
                }
                None => At::Receive,
            },
            At::TimedOut => match worker.retire() {
                Some(job) => At::Received(self.number_of(&job)),
                None => At::Ended,
            },
            At::Received(number) => {
                let job: Arc<dyn Job> = self.jobs[number].clone();
                if !worker.begin(&job) {
                    return At::Receive;
                }
                job.run(&worker.name);
                At::Runs(number)
            }
            At::Runs(job) => {
                worker.release();
                self.jobs[job].clone().end(Some(&worker.name));
                At::Receive
            }
            At::Receive | At::Ended => unreachable!("these have other steps"),
        }
    }

    /// Writes down all that the next steps depend on.
    fn state(&self) -> String {
        let jobs: String = self.jobs[..self.submitted]
            .iter()
            .map(|job| {
                let state = job.header.state.load(Relaxed);
                format!("{state} {} {};", job.ran.load(Relaxed), Arc::strong_count(job))
            })
            .collect();
        let (queued, unfinished) = (self.pool().queue.len(), self.pool().unfinished.load(Relaxed));
        let flags = (self.withdrawn, self.shut_down, &self.refused);
        format!("{flags:?} {:?} {queued} {unfinished} {jobs}", self.threads)
    }

    /// When no step is left, each job ran once or was cancelled, and no thread is left.
    fn assert_over(&self, program: Program) {
        for (number, job) in self.jobs.iter().enumerate() {
            let (ran, ended) = (job.ran.load(Relaxed), job.ended.load(Relaxed));
            let cancelled = job.is_cancelled();
            let refused = self.refused.contains(&number);
            let withdrawn = number == 1 && self.withdrawn == Some(true);
            assert_eq!(job.header.has_begun(), ran == 1);
            assert!(!cancelled || program.shuts_down || withdrawn);
            assert_eq!(
                ran + usize::from(cancelled) + usize::from(refused),
                1,
                "job {number} is lost or runs twice"
            );
            assert_eq!(
                ended + usize::from(withdrawn) + usize::from(refused),
                1,
                "the end of job {number} is lost"
            );
        }
        let pool = self.pool();
        let left = (pool.unfinished.load(Relaxed), pool.queued.load(Relaxed), pool.queue.len());
        assert_eq!((left, self.executor.threads()), ((0, 0, 0), 0));
    }
}

fn run(program: Program, choices: &mut Choices) {
    let mut model = Model::new(program);
    loop {
        let steps = model.steps(program);
        if steps.is_empty() {
            return model.assert_over(program);
        }
        let Some(step) = choices.choose(model.state(), steps) else { return };
        model.step(step);
        assert!(model.pool().state().threads.len() <= program.threads);
    }
}

#[test]
fn in_every_interleaving_each_job_runs_once_and_threads_start_only_if_none_is_idle() {
    for (jobs, threads) in [(2, 1), (3, 1), (3, 2), (4, 2), (3, 3)] {
        let program = Program { jobs, threads, withdraws: false, shuts_down: false };
        let states = explore(|choices| run(program, choices));
        assert!(states > 10, "{states}");
    }
}

#[test]
fn in_every_interleaving_a_withdrawn_job_never_runs_and_no_other_is_lost() {
    for threads in 1..=2 {
        explore(|choices| run(Program { jobs: 3, threads, withdraws: true, shuts_down: false }, choices));
    }
}

#[test]
fn in_every_interleaving_a_shutdown_ends_all_threads() {
    for (threads, withdraws) in [(1, true), (2, false)] {
        explore(|choices| run(Program { jobs: 3, threads, withdraws, shuts_down: true }, choices));
    }
}
