//! What the themes are made of: their operations, and how often each comes.

use super::{Part, Parts, Table, Who, either, just, list, message, number, one_of, op};
use proptest::prelude::*;
use serde_json::{Value, json};

impl Parts {
    pub(super) fn plain_combinators(&self) -> Table {
        let new = u32::from(self.dialect.in_place);
        let groups = u32::from(self.dialect.thirteen);
        let fourteen = u32::from(self.dialect.fourteen);
        let fifteen = u32::from(self.dialect.fifteen);
        let (g, s, u, x) = (|| self.name('g'), || self.name('s'), || self.name('u'), || self.name('x'));
        vec![
            (4 * new, op("gather_new", vec![g(), one_of(&["first", "all"]), self.several()])),
            (2 * new, op("gather_cancel", vec![g()])),
            (new, op("gather_done", vec![g()])),
            (3 * fourteen, op("completing_new", vec![self.name('w'), self.maybe_seconds(), self.several()])),
            (4, op("shield_new", vec![s(), self.one_of_any_loop()])),
            (2, op("shield_cancel", vec![s()])),
            (2, op("shield_done", vec![s()])),
            (8 * groups, op("group_task", vec![u(), self.name('t'), self.name('b')])),
            (4 * fifteen, op("group_cancel", vec![u()])),
            (fifteen, op("group_new", vec![u()])),
            (4, op("reschedule", vec![x(), self.maybe_seconds()])),
            (2, op("expired", vec![x()])),
        ]
    }

    /// Names of things of these kinds. Before 3.13 conditions (and barriers, which have one) and semaphores are others.
    fn things(&self, kinds: &'static str) -> Part {
        let kinds = kinds.chars().filter(|kind| self.dialect.thirteen || !"dm".contains(*kind));
        either(kinds.map(|kind| (1, self.name(kind))).collect())
    }

    pub(super) fn plain_locks(&self) -> Table {
        let new = u32::from(self.dialect.thirteen);
        let (e, d, q) = (|| self.name('e'), || self.name('d'), || self.name('q'));
        vec![
            (8, op("release", vec![self.things("ldm")])),
            (2, op("locked", vec![self.things("ldm")])),
            (5, op("event_set", vec![e()])),
            (3, op("event_clear", vec![e()])),
            (1, op("is_set", vec![e()])),
            (new, op("notify", vec![d(), number(0, 3)])),
            (new, op("notify_all", vec![d()])),
            (5, op("put_nowait", vec![q(), one_of(&["i1", "i2", "i3"])])),
            (5, op("get_nowait", vec![q()])),
            (4, op("task_done", vec![q()])),
            (2, op("qsize", vec![q()])),
            (2 * new, op("shutdown", vec![q(), any::<bool>().prop_map(|b| json!(b)).boxed()])),
            (2 * new, op("barrier_state", vec![self.name('r')])),
        ]
    }

    /// What comes from outside of the loop.
    pub(super) fn outside(&self) -> Table {
        let signal = || one_of(&["SIGUSR1", "SIGUSR2"]);
        let outcome = one_of(&["w1", "w2", "w3", "E:e1", "E:e2"]);
        vec![
            (8, op("thread", vec![self.name('c')])),
            (8, op("signal", vec![signal(), self.name('c')])),
            (3, op("unsignal", vec![signal()])),
            (14, op("kill", vec![signal()])),
            (14, op("job", vec![self.name('j'), outcome.clone()])),
            (6, op("default_job", vec![self.name('j'), outcome])),
            (8, op("cancel", vec![self.name('j'), message()])),
        ]
    }

    /// Socket pairs and pipes, and signals among them.
    pub(super) fn descriptors(&self) -> Table {
        let end = || either(vec![(1, self.name('a')), (1, self.name('z'))]);
        let signal = || one_of(&["SIGUSR1", "SIGUSR2"]);
        vec![
            (14, op("reader", vec![end(), self.name('c')])),
            (12, op("writer", vec![end(), self.name('c')])),
            (4, op("unreader", vec![end()])),
            (4, op("unwriter", vec![end()])),
            (10, op("write", vec![end(), number(1, 3)])),
            (6, op("read", vec![end(), number(1, 3)])),
            (3, op("fill", vec![end()])),
            (8, op("drain", vec![end()])),
            (2, op("half", vec![end()])),
            (2, op("shut", vec![end()])),
            (6, op("signal", vec![signal(), self.name('c')])),
            (2, op("unsignal", vec![signal()])),
            (10, op("kill", vec![signal()])),
            (3, op("thread", vec![self.name('c')])),
        ]
    }

    /// What a body does beside.
    pub(super) fn waiting(&self, depth: u32) -> Table {
        let deeper = u32::from(depth < 2);
        let result = (0..=9).prop_map(|n| json!(format!("r{n}"))).boxed();
        let mut table = vec![
            (4, op("sleep", vec![just(json!(0))])),
            (8, op("await", vec![self.awaitable()])),
            (6, op("sleep", vec![self.seconds()])),
            (2, op("return", vec![result])),
        ];
        if deeper > 0 {
            let inner = || self.ops(Who::Body, depth + 1);
            let kind = one_of(&["cancel", "cancel", "error", "any", "finally"]);
            table.push((10, op("try", vec![inner(), kind, inner(), one_of(&["swallow", "raise"])])));
            table.push((2, op("repeat", vec![just(json!(2)), inner()])));
        }
        table
    }

    pub(super) fn waiting_combinators(&self, depth: u32) -> Table {
        let new = u32::from(self.dialect.in_place);
        let fourteen = u32::from(self.dialect.fourteen);
        let when = one_of(&["all", "first", "error"]);
        let mode = || one_of(&["first", "all"]);
        let mut table = vec![
            (6, op("wait", vec![when, self.maybe_seconds(), self.several_of_any_loop()])),
            (4 * new, op("gather", vec![mode(), self.several_of_any_loop()])),
            (2 * new, op("gather_bodies", vec![mode(), list(self.name('b'), 3)])),
            (new, op("gather_pair", vec![mode(), self.name('t'), self.name('b')])),
            (
                new,
                op(
                    "gather_nested",
                    vec![mode(), mode(), self.several_of_any_loop(), self.several_of_any_loop()],
                ),
            ),
            (2 * new, op("gather_await", vec![self.name('g')])),
            (
                6 * new,
                op(
                    "wait_for",
                    vec![self.maybe_seconds(), either(vec![(3, self.one()), (2, self.name('b'))])],
                ),
            ),
            (new, op("wait_for", vec![number(1, 3), self.one_of_any_loop()])),
            (4 * fourteen, op("completing_next", vec![self.name('w')])),
            (5, op("as_completed", vec![self.maybe_seconds(), self.several_of_any_loop()])),
            (4, op("shield", vec![self.one_of_any_loop()])),
            (3, op("shield_await", vec![self.name('s')])),
        ];
        if depth < 2 {
            let inner = || self.ops(Who::Body, depth + 1);
            table.push((6, op("timeout", vec![self.name('x'), self.maybe_seconds(), inner()])));
            table.push((
                2,
                self.same('x', |x| {
                    let swallowed = op("sleep", vec![number(1, 3)]);
                    let swallowed = op(
                        "try",
                        vec![list(swallowed, 1), one_of(&["cancel"]), inner(), one_of(&["swallow"])],
                    );
                    let moved = op("reschedule", vec![x(), self.maybe_seconds()]);
                    op(
                        "timeout",
                        vec![x(), self.seconds(), list(either(vec![(1, swallowed), (1, moved)]), 3)],
                    )
                }),
            ));
            // A timeout that has expired is moved.
            table.push((
                1,
                self.same('x', |x| {
                    let over = op("timeout", vec![x(), number(0, 1), just(json!([["sleep", 2]]))]);
                    let moved = op("reschedule", vec![x(), self.maybe_seconds()]);
                    let over = over.prop_map(|over| json!([over])).boxed();
                    let moved = moved.prop_map(|moved| json!([moved])).boxed();
                    op("try", vec![over, one_of(&["error"]), moved, one_of(&["swallow"])])
                }),
            ));
            if self.dialect.thirteen {
                table.push((4, op("group", vec![self.name('u'), inner()])));
                table.push((
                    6,
                    self.same('u', |u| {
                        let child = || op("group_task", vec![u(), self.name('t'), self.name('b')]);
                        let late = vec![inner(), one_of(&["cancel"]), list(child(), 1), one_of(&["swallow"])];
                        let any = self.op(Who::Body, depth + 1);
                        op(
                            "group",
                            vec![u(), list(either(vec![(4, child()), (2, op("try", late)), (6, any)]), 4)],
                        )
                    }),
                ));
            }
        }
        table
    }

    pub(super) fn waiting_locks(&self, depth: u32) -> Table {
        let new = u32::from(self.dialect.thirteen);
        let (q, r) = (|| self.name('q'), || self.name('r'));
        let mut table = vec![
            (10, op("acquire", vec![self.things("ldm")])),
            (5, op("event_wait", vec![self.name('e')])),
            (new, op("cond_wait", vec![self.name('d')])),
            (new, op("cond_wait_for", vec![self.name('d'), self.name('e')])),
            (6, op("put", vec![q(), one_of(&["i1", "i2", "i3"])])),
            (6, op("get", vec![q()])),
            (3, op("join", vec![q()])),
            (7 * new, op("barrier", vec![r()])),
            (new, op("barrier_reset", vec![r()])),
            (2 * new, op("barrier_abort", vec![r()])),
        ];
        if depth < 2 {
            let broken =
                |r: &dyn Fn() -> Part| vec![op("barrier_abort", vec![r()]), op("barrier", vec![r()])];
            let broken = self.same('r', |r| broken(r).prop_map(Value::Array).boxed());
            table.push((new, op("repeat", vec![just(json!(1)), broken])));
            let inner = self.ops(Who::Body, depth + 1);
            table.push((8, op("with", vec![self.things("ldm"), inner])));
            table.push((
                8 * new,
                self.same('d', |d| {
                    let told = either(vec![
                        (4, op("cond_wait", vec![d()])),
                        (3, op("cond_wait_for", vec![d(), self.name('e')])),
                        (2, op("notify", vec![d(), number(0, 3)])),
                        (1, op("notify_all", vec![d()])),
                        (3, self.op(Who::Body, depth + 1)),
                    ]);
                    op("with", vec![d(), list(told, 3)])
                }),
            ));
            // A change of what is waited for is followed by a notification.
            table.push((
                2 * new,
                self.same('d', |d| {
                    let told = either(vec![
                        (1, op("notify", vec![d(), number(1, 3)])),
                        (1, op("notify_all", vec![d()])),
                    ]);
                    let told = (op("event_set", vec![self.name('e')]), told)
                        .prop_map(|(set, told)| json!([set, told]));
                    op("with", vec![d(), told.boxed()])
                }),
            ));
        }
        table
    }
}
