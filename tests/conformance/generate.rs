//! Random programs, from a seed, by proptest: it also makes a failing one small.
//!
//! They lean towards what is hard: stopping and restarting, cancelling, and several things in the same turn. A program has
//! a theme, so that what belongs together meets; its names are few, so that its parts meet. Taking anything out of a
//! program leaves a program, because an unknown name is skipped by both interpreters.

mod tables;

use proptest::prelude::*;
use proptest::strategy::{Union, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashMap;

/// What a Python can be asked, by its minor version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Dialect {
    /// `gather` looks at finished children at once, `wait_for` waits in the caller's task, and tasks can be eager: since
    /// 3.12.
    pub(crate) in_place: bool,
    /// Since 3.13: `uncancel` withdraws a request, and a group keeps its parent's count. A condition loses no wake-up, a
    /// semaphore wakes as many as may pass, and a queue can be shut down.
    pub(crate) thirteen: bool,
    /// `gather` refuses another loop's future at the call, `as_completed` gives a slot back, and a runner runs whatever can
    /// be awaited: since 3.14.
    pub(crate) fourteen: bool,
    /// Groups that can be cancelled: since 3.15.
    pub(crate) fifteen: bool,
}

impl Dialect {
    pub(crate) const LATEST: Self = Self { in_place: true, thirteen: true, fourteen: true, fifteen: true };

    pub(crate) fn of(minor: u64) -> Self {
        Self { in_place: minor >= 12, thirteen: minor >= 13, fourteen: minor >= 14, fifteen: minor >= 15 }
    }
}

/// What a program is about, beside callbacks, futures, tasks and runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Theme {
    Core,
    Combinators,
    Locks,
    Outside,
    Descriptors,
}

impl Theme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Combinators => "combinators",
            Self::Locks => "locks",
            Self::Outside => "outside",
            Self::Descriptors => "descriptors",
        }
    }
}

/// Which side may do an operation.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Script,
    Callback,
    Body,
}

type Part = BoxedStrategy<Value>;
/// Operations, and how often each comes.
type Table = Vec<(u32, Part)>;

/// What the program with this seed is about.
pub(crate) fn theme(seed: u64) -> Theme {
    match seed % 12 {
        0..=3 => Theme::Core,
        4..=6 => Theme::Combinators,
        7 | 8 => Theme::Locks,
        9 => Theme::Outside,
        _ => Theme::Descriptors,
    }
}

/// The program with this seed, as a tree that can be shrunk.
pub(crate) fn tree(seed: u64, dialect: Dialect) -> Box<dyn ValueTree<Value = Value>> {
    thread_local! {
        static MADE: RefCell<HashMap<Parts, Part>> = RefCell::default();
    }
    let theme = theme(seed);
    let names = 1 + (seed / 12 % 4) as u8;
    let shift = if theme == Theme::Locks { (seed / 48 % 6) as u8 } else { 0 };
    let runner = seed % 5 == 3;
    let strategy = MADE.with_borrow_mut(|made| {
        let parts = Parts { theme, names, shift, runner, dialect };
        made.entry(parts).or_insert_with_key(Parts::program).clone()
    });
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy.new_tree(&mut runner).expect("no strategy here refuses")
}

/// The program with this seed.
pub(crate) fn program(seed: u64, dialect: Dialect) -> Value {
    tree(seed, dialect).current()
}

/// The smallest program below this one for which `fails` still holds.
pub(crate) fn shrink(
    mut tree: Box<dyn ValueTree<Value = Value>>,
    mut fails: impl FnMut(&Value) -> bool,
) -> Value {
    let mut smallest = tree.current();
    let mut failing = true;
    while if failing { tree.simplify() } else { tree.complicate() } {
        let candidate = tree.current();
        failing = fails(&candidate);
        if failing {
            smallest = candidate;
        }
    }
    smallest
}

fn op(kind: &'static str, parts: Vec<Part>) -> Part {
    let make = move |mut parts: Vec<Value>| {
        parts.insert(0, json!(kind));
        Value::Array(parts)
    };
    parts.prop_map(make).boxed()
}

fn one_of(words: &'static [&'static str]) -> Part {
    prop::sample::select(words).prop_map(|word| json!(word)).boxed()
}

/// One of them, by their weights; what has none is left out.
fn either(table: Table) -> Part {
    Union::new_weighted(table.into_iter().filter(|(weight, _)| *weight > 0).collect()).boxed()
}

fn just(value: Value) -> Part {
    Just(value).boxed()
}

fn number(from: u64, to: u64) -> Part {
    (from..=to).prop_map(|n| json!(n)).boxed()
}

fn error() -> Part {
    let own = (1..=9).prop_map(|n| json!(format!("E:e{n}"))).boxed();
    either(vec![(16, own), (4, one_of(&["KI", "EXIT:3", "CANCEL", "CANCEL:own"]))])
}

fn message() -> Part {
    either(vec![(1, just(Value::Null)), (2, one_of(&["m1", "m2"]))])
}

fn list(part: Part, most: usize) -> Part {
    prop::collection::vec(part, 0..=most).prop_map(Value::Array).boxed()
}

/// Two bodies that hardly meet by chance: a group shuts down, and a child makes another one.
fn shutting_down() -> BoxedStrategy<[Value; 2]> {
    (0..=1u64, 1..=2u64, any::<bool>())
        .prop_map(|(group, child, fails)| {
            let end = if fails { json!(["raise", "E:e1"]) } else { json!(["cancel", "self", null]) };
            let children = json!([["group_task", "u0", "t1", "b1"], ["sleep", group], end, ["sleep", group]]);
            let late = json!([["group_task", "u0", "t0", "b1"]]);
            [
                json!([["group", "u0", children]]),
                json!([["try", [["sleep", child]], "cancel", late, "swallow"]]),
            ]
        })
        .boxed()
}

/// Two more: a runner's shutdown cancels a task, whose successor waits for a job of the default executor and wants others.
fn jobs_in_the_shutdown() -> BoxedStrategy<[Value; 2]> {
    (0..=1u64)
        .prop_map(|pause| {
            let late = json!([["task", "t1", "b1"], ["sleep", pause]]);
            [
                json!([["default_job", "j0", "w1"], ["try", [["sleep", 9]], "cancel", late, "swallow"]]),
                json!([["await", "j0"], ["default_job", "j1", "w2"], ["job", "j1", "w3"], ["await", "j1"]]),
            ]
        })
        .boxed()
}

/// The parts of programs of one theme.
#[derive(PartialEq, Eq, Hash)]
struct Parts {
    theme: Theme,
    names: u8,
    /// The number of the first queue, semaphore and barrier: their numbers say which kind they are.
    shift: u8,
    /// Whether the loop belongs to a runner.
    runner: bool,
    dialect: Dialect,
}

impl Parts {
    fn name(&self, kind: char) -> Part {
        prop::sample::select(self.names_of(kind)).prop_map(Value::String).boxed()
    }

    fn names_of(&self, kind: char) -> Vec<String> {
        let kinds = match kind {
            'q' => 6,
            'm' => 4,
            'r' => 2,
            _ => u8::MAX,
        };
        let first = if kinds < u8::MAX { self.shift } else { 0 };
        (0..=self.names).map(|n| format!("{kind}{}", (n + first) % kinds)).collect()
    }

    /// Those of a crowd.
    fn one_of_many(&self) -> Part {
        (0..=9).prop_map(|n| json!(format!("y{n}"))).boxed()
    }

    /// With descriptors time is real, and no poll waits for a day.
    fn seconds(&self) -> Part {
        let long = if self.theme == Theme::Descriptors { 0 } else { 3 };
        either(vec![(20, just(json!(0))), (77, number(0, 4)), (long, just(json!(100_000)))])
    }

    fn maybe_seconds(&self) -> Part {
        either(vec![(1, just(Value::Null)), (2, self.seconds())])
    }

    /// Something with one name in all of its places.
    fn same(&self, kind: char, make: impl Fn(&dyn Fn() -> Part) -> Part) -> Part {
        let names = self.names_of(kind).into_iter().map(Value::String);
        either(names.map(|name| (1, make(&|| just(name.clone())))).collect())
    }

    /// A task or a future, or the current task, or a future of another loop.
    fn awaited(&self) -> Part {
        let j = u32::from(self.theme == Theme::Outside);
        either(vec![
            (12, self.name('t')),
            (5, self.name('f')),
            (2, just(json!("self"))),
            (1, just(json!("o0"))),
            (1, just(json!("p0"))),
            (1, self.one_of_many()),
            (6 * j, self.name('j')),
        ])
    }

    /// What is worth waiting for. Not often itself, and what is of another loop: that only fails.
    fn awaitable(&self) -> Part {
        let j = u32::from(self.theme == Theme::Outside);
        let fails = either(vec![(2, just(json!("self"))), (1, just(json!("o0"))), (1, just(json!("p0")))]);
        let many = self.one_of_many();
        either(vec![
            (14, self.name('t')),
            (6, self.name('f')),
            (1, many),
            (1, fails),
            (8 * j, self.name('j')),
        ])
    }

    /// What may be given to a combinator: tasks, or futures.
    fn several(&self) -> Part {
        either(vec![
            (6, list(self.name('t'), 3)),
            (4, list(self.name('f'), 3)),
            (3, list(self.one_of_many(), 10)),
        ])
    }

    /// The same, now and then with one of another loop among them.
    fn several_of_any_loop(&self) -> Part {
        let with = |kind, other| list(either(vec![(2, self.name(kind)), (1, just(json!(other)))]), 3);
        let other = u32::from(self.dialect.fourteen);
        either(vec![(12, self.several()), (other, with('t', "p0")), (other, with('f', "o0"))])
    }

    fn one(&self) -> Part {
        either(vec![(3, self.name('t')), (1, self.name('f'))])
    }

    fn one_of_any_loop(&self) -> Part {
        either(vec![(20, self.one()), (1, one_of(&["o0", "p0"]))])
    }

    fn program(&self) -> Part {
        let names = usize::from(self.names) + 1;
        let callbacks = prop::collection::vec(self.ops(Who::Callback, 0), names);
        let bodies = prop::collection::vec(self.ops(Who::Body, 0), names);
        let handler = prop::option::weighted(0.08, one_of(&["KI", "EXIT:4", "E:handler", "CANCEL:handler"]));
        let named = |kind: char, lists: Vec<Value>| {
            let named = lists.into_iter().enumerate().map(|(n, ops)| (format!("{kind}{n}"), ops));
            Value::Object(named.collect::<Map<_, _>>())
        };
        let scene = match self.theme {
            Theme::Combinators => prop::option::weighted(0.05, shutting_down()).boxed(),
            Theme::Outside if self.runner => prop::option::weighted(0.8, jobs_in_the_shutdown()).boxed(),
            _ => Just(None).boxed(),
        };
        let runner = self.runner;
        (callbacks, bodies, self.script(), handler, scene)
            .prop_map(move |(callbacks, mut bodies, script, handler, scene)| {
                for (body, ops) in bodies.iter_mut().zip(scene.iter().flatten()) {
                    body.clone_from(ops);
                }
                let (callbacks, bodies) = (named('c', callbacks), named('b', bodies));
                let mut program = json!({ "callbacks": callbacks, "bodies": bodies, "script": script });
                if let Some(handler) = handler {
                    program["handler"] = handler;
                }
                if runner {
                    program["runner"] = json!(true);
                }
                program
            })
            .boxed()
    }

    /// Futures and tasks, then runs with operations between them, and sometimes an end after which all is refused.
    fn script(&self) -> Part {
        let names = usize::from(self.names) + 1;
        let futures: Vec<_> = (0..names).map(|n| json!(["future", format!("f{n}")])).collect();
        let tasks: Vec<_> = (0..names)
            .map(|n| {
                let task = op("task", vec![just(json!(format!("t{n}"))), self.name('b')]);
                prop::option::weighted(0.8, task)
            })
            .collect();
        let other = prop::option::weighted(0.2, just(json!(["future", "o0"])));
        let segment = (prop::collection::vec(self.op(Who::Script, 0), 0..=4), self.run());
        let close = json!([if self.runner { "runner_close" } else { "close" }]);
        let close = (Just(close), prop::collection::vec(self.op(Who::Script, 0), 0..=3), self.run());
        let end = prop::option::weighted(0.1, close);
        let other =
            (other, prop::option::weighted(0.1, op("other_task", vec![just(json!("p0")), self.name('b')])));
        (tasks, other, prop::collection::vec(segment, 1..=5), end)
            .prop_map(move |(tasks, other, segments, end)| {
                let mut script = futures.clone();
                let (future, task) = other;
                script.extend(tasks.into_iter().flatten().chain(future).chain(task));
                for (ops, run) in segments {
                    script.extend(ops);
                    script.push(run);
                }
                if let Some((close, ops, run)) = end {
                    script.push(close);
                    script.extend(ops);
                    script.push(run);
                }
                Value::Array(script)
            })
            .boxed()
    }

    fn run(&self) -> Part {
        let g = u32::from(self.dialect.in_place);
        let runner = u32::from(self.runner);
        let any = runner * u32::from(self.dialect.fourteen);
        either(vec![
            (6, op("step", vec![])),
            (6, op("forever", vec![])),
            (4, op("until", vec![self.name('t')])),
            (2, op("until", vec![self.name('f')])),
            (2, op("until", vec![self.name('b')])),
            (g, op("until", vec![self.name('g')])),
            (12 * runner, op("runner_run", vec![self.name('b')])),
            (2 * any, op("runner_run", vec![self.one()])),
            (
                1,
                either(vec![
                    (4, op("other", vec![])),
                    (2, op("other_until", vec![just(json!("p0"))])),
                    (1, op("other_until", vec![just(json!("o0"))])),
                    (1, op("until", vec![one_of(&["o0", "p0"])])),
                ]),
            ),
        ])
    }

    fn ops(&self, who: Who, depth: u32) -> Part {
        let most = 4 + usize::from(who == Who::Body) - depth as usize;
        let op = self.op(who, depth);
        either(vec![(85, list(op.clone(), most)), (15, list(op, if depth == 0 { 9 } else { most }))])
    }

    fn op(&self, who: Who, depth: u32) -> Part {
        let mut plain = self.plain(who);
        plain.extend(match self.theme {
            Theme::Core => vec![],
            Theme::Combinators => self.plain_combinators(),
            Theme::Locks => self.plain_locks(),
            Theme::Outside => self.outside(),
            Theme::Descriptors => self.descriptors(),
        });
        if who != Who::Body {
            return either(plain);
        }
        let mut waiting = self.waiting(depth);
        match self.theme {
            Theme::Combinators => waiting.extend(self.waiting_combinators(depth)),
            Theme::Locks => waiting.extend(self.waiting_locks(depth)),
            Theme::Core | Theme::Outside | Theme::Descriptors => {}
        }
        either(vec![(45, either(plain)), (55, either(waiting))])
    }

    /// What does not wait.
    fn plain(&self, who: Who) -> Table {
        let inside = u32::from(who != Who::Script);
        let (c, h, f, x) = (|| self.name('c'), || self.name('h'), || self.name('f'), || self.awaited());
        let key = || (0..=9).prop_map(|n| json!(format!("k{n}"))).boxed();
        let value = || (0..=9).prop_map(|n| json!(format!("v{n}"))).boxed();
        vec![
            (2, op("log", vec![just(json!("x"))])),
            (8, op("soon", vec![h(), c()])),
            (6, op("later", vec![h(), c(), self.seconds()])),
            (2, op("at", vec![h(), c(), self.seconds()])),
            (2, op("threadsafe", vec![c()])),
            (3, op("drop", vec![h()])),
            (2, op("future", vec![f()])),
            (7, op("set", vec![f(), value()])),
            (3, op("fail", vec![f(), error()])),
            (17, op("cancel", vec![x(), message()])),
            (7, op("add", vec![x(), c(), key()])),
            (2, op("remove", vec![x(), key()])),
            (8, op("task", vec![self.name('t'), self.name('b')])),
            (2 * self.eager(), op("eager", vec![self.name('t'), self.name('b')])),
            (self.eager(), op("factory", vec![one_of(&["eager", "eager", "queued"])])),
            (3 * u32::from(self.dialect.thirteen), op("uncancel", vec![x()])),
            (1, op("cancelling", vec![x()])),
            (1, self.second_loop()),
            (1, self.many()),
            (
                1,
                either(vec![(1, op("name", vec![x()])), (1, op("rename", vec![x(), one_of(&["n1", "n2"])]))]),
            ),
            (4, op("done", vec![x()])),
            (2, op("result", vec![x()])),
            (2, op("error", vec![x()])),
            (2, op("tasks", vec![])),
            (1, op("current", vec![])),
            (1, op("running", vec![])),
            (9, op("stop", vec![])),
            (2 * inside, self.run()),
            (inside, op("close", vec![])),
            (u32::from(self.runner), op("runner_close", vec![])),
            (4 * inside, op("raise", vec![error()])),
        ]
    }

    /// The weight of eager tasks. In 3.13.0 a group handles the end of a child inside of `create_task`, if that was the
    /// child's eager step. All others handle it in a turn of its own.
    fn eager(&self) -> u32 {
        let groups = self.theme == Theme::Combinators && self.dialect.thirteen && !self.dialect.fourteen;
        u32::from(self.dialect.in_place && !groups)
    }

    fn second_loop(&self) -> Part {
        let (c, h) = (|| self.name('c'), || self.name('h'));
        either(vec![
            (1, op("other_soon", vec![h(), c()])),
            (1, op("other_later", vec![h(), c(), self.seconds()])),
            (1, op("other_task", vec![just(json!("p0")), self.name('b')])),
        ])
    }

    /// Bursts are long, so they are rare.
    fn many(&self) -> Part {
        let objects = matches!(self.theme, Theme::Combinators | Theme::Locks);
        let group = u32::from(self.theme == Theme::Combinators && self.dialect.thirteen);
        either(vec![
            (1, op("burst", vec![just(json!("soon")), number(60, 80)])),
            (1, op("burst", vec![just(json!("later")), number(100, 130)])),
            (2, op("burst", vec![self.awaited(), number(3, 12)])),
            (2, op("unburst", vec![number(0, 4)])),
            (if objects { 16 } else { 4 }, op("crowd", vec![number(2, 10), self.name('b')])),
            (16 * group, op("crowd", vec![number(2, 10), self.name('b'), self.name('u')])),
        ])
    }
}
