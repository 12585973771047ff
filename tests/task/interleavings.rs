//! Random programs: a few tasks and futures that set, cancel, await and drop each other, in virtual time.
//!
//! The promise: no wake-up is ever lost, and no cancellation. Every task ends, or the loop says that it is deadlocked
//! and names it; what such a task waits for is really not done; and every body and every value is dropped exactly once.
//!
//! The programs are the same in each run. `PROPTEST_CASES=100000 PROPTEST_RNG_SEED=7` looks at others.

mod world;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use support::watchdog;
use world::{Action, Await, Body, Ended, Program, World};

/// Futures and tasks are named by a number that is taken modulo how many there are.
fn number() -> impl Strategy<Value = usize> {
    0..6_usize
}

fn an_await() -> impl Strategy<Value = Await> {
    prop_oneof![
        3 => number().prop_map(Await::Future),
        4 => number().prop_map(Await::Task),
        2 => Just(Await::Yield),
        2 => (0..4_u64).prop_map(Await::Sleep),
        1 => (number(), number()).prop_map(|(a, b)| Await::Join(a, b)),
        1 => (number(), number()).prop_map(|(a, b)| Await::Gather(a, b)),
        1 => (number(), number()).prop_map(|(a, b)| Await::Wait(a, b)),
        1 => (number(), 0..4_u64).prop_map(|(a, time)| Await::FutureOrTimeout(a, time)),
    ]
}

fn an_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => number().prop_map(Action::Set),
        1 => number().prop_map(Action::Fail),
        1 => number().prop_map(Action::CancelFuture),
        4 => number().prop_map(Action::CancelTask),
        1 => number().prop_map(Action::Uncancel),
        1 => number().prop_map(Action::DropHandle),
        1 => number().prop_map(Action::PollAndDrop),
        1 => Just(Action::Stop),
    ]
}

fn a_body() -> impl Strategy<Value = Body> {
    let step = prop_oneof![3 => an_await().prop_map(Ok), 2 => an_action().prop_map(Err)];
    (prop::collection::vec(step, 0..6), any::<bool>(), any::<bool>())
        .prop_map(|(steps, swallows, fails)| Body { steps, swallows, fails })
}

fn a_program() -> impl Strategy<Value = Program> {
    let bodies = prop::collection::vec(a_body(), 1..6);
    let timers = prop::collection::vec((0..6_u64, an_action()), 0..8);
    let between = prop::collection::vec(an_action(), 0..4);
    (bodies, timers, between).prop_map(|(bodies, timers, between)| Program { bodies, timers, between })
}

#[test]
fn no_wake_up_and_no_cancellation_is_lost_and_everything_is_dropped_once() {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    config.cases = config.cases.max(2000);
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    let tally = std::cell::RefCell::new(std::collections::BTreeMap::<Ended, u32>::new());
    let outcome = TestRunner::new(config).run(&a_program(), |program| {
        let _watchdog = watchdog();
        let ended = World::run(&program).map_err(TestCaseError::fail)?;
        *tally.borrow_mut().entry(ended).or_default() += 1;
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // Both ends were seen, often: the programs are not all alike.
    let tally = tally.into_inner();
    assert!(tally.len() == 2 && tally.values().all(|count| *count > 200), "{tally:?}");
}
