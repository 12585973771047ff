//! `gather` and `gather!`: asyncio's rules as of CPython 3.13, with its turns.

use looplab::{Error, EventLoop, Gather, Result, Task, create_task, gather, get_running_loop, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use support::{Lab, failure, forever, pass_on, say, show, swallow};

/// A child that yields `yields` times, says so, and returns `value`.
async fn value(log: support::Log, value: u32, yields: u32) -> Result<u32> {
    for _ in 0..yields {
        yield_now().await?;
    }
    say!(log, "child {value}");
    Ok(value)
}

/// A child that yields `yields` times, says so, and fails.
async fn fail(log: support::Log, text: &'static str, yields: u32) -> Result<u32> {
    for _ in 0..yields {
        yield_now().await?;
    }
    say!(log, "child fails {text}");
    Err(Error::msg(text))
}

#[test]
fn results_come_in_the_order_of_the_arguments() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines =
        lab.run(async move { gather([(1, 3), (2, 0), (3, 1)].map(|(n, k)| value(log.clone(), n, k))).await });
    assert_eq!(lines, ["2 child 2", "3 child 3", "5 child 1", "8 returned [1, 2, 3]"]);
}

#[test]
fn gathering_two_bodies_that_return_at_once_takes_three_turns_more() {
    let (lab, trace) = Lab::traced();
    let log = lab.log.clone();
    let main = Task::builder().name("main").prepare(async move {
        let child = |name, n| Task::builder().name(name).prepare(value(log.clone(), n, 0));
        gather([child("a", 1), child("b", 2)]).await
    });
    assert_eq!(lab.lp.run_until_complete(main).unwrap(), [1, 2]);
    let begin = ["new main", "queue main.step", "turn 1", "step main"];
    let start = ["new a", "queue a.step", "new b", "queue b.step", "main waits for gather#4"];
    let steps = ["turn 2", "step a", "a ok", "queue done callback", "step b", "b ok", "queue done callback"];
    let end = ["turn 3", "gather#4 ok", "queue main.wakeup"];
    let last = ["turn 4", "step main", "main ok", "queue done callback", "turn 5"];
    assert_eq!(trace.take(), [&begin[..], &start, &steps, &end, &last].concat());
}

#[test]
fn bodies_become_tasks_at_the_call_and_not_at_the_await() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let gathering = gather([value(log.clone(), 1, 0)]);
        yield_now().await?;
        log.say("awaits");
        gathering.await
    });
    assert_eq!(lines, ["2 child 1", "2 awaits", "5 returned [1]"]);
}

#[test]
fn gathering_nothing_is_done_at_once() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let gathering = gather(Vec::<Task<u32>>::new());
        assert!(gathering.done() && !gathering.cancelled());
        gathering.await
    });
    assert_eq!(lines, ["2 returned []"]);
}

#[test]
fn gathering_what_is_done_already_does_not_suspend() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let (task, future) = (create_task(async { Ok(1) }), get_running_loop()?.create_future());
        future.set_result(2)?;
        (&task).await?;
        let gathering = gather!(&task, &future, task.clone());
        assert!(gathering.done());
        gathering.await
    });
    assert_eq!(lines, ["4 returned (1, 2, 1)"]);
}

#[test]
fn a_failure_that_is_there_already_ends_it_at_once() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let failed = create_task(fail(log.clone(), "x", 0));
        yield_now().await?;
        let pending = create_task(value(log.clone(), 1, 2));
        let gathering = gather([pending.clone(), failed]);
        assert!(gathering.done());
        say!(log, "{}", failure(gathering.await));
        pending.await
    });
    assert_eq!(lines, ["2 child fails x", "2 x", "5 child 1", "7 returned 1"]);
}

#[test]
fn the_first_error_goes_to_the_awaiter_and_the_siblings_run_on() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let sibling = create_task(value(log.clone(), 1, 4));
        let boom = create_task(fail(log.clone(), "boom", 1));
        say!(log, "{} {}", failure(gather([sibling.clone(), boom]).await), sibling.done());
        sibling.await
    });
    assert_eq!(lines, ["3 child fails boom", "5 boom false", "6 child 1", "8 returned 1"]);
}

#[test]
fn the_later_errors_of_siblings_are_dropped_and_not_reported() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let children = [fail(log.clone(), "a", 0), fail(log.clone(), "b", 2)];
        say!(log, "{}", failure(gather(children).await));
        for _ in 0..3 {
            yield_now().await?;
        }
        Ok(())
    });
    assert_eq!(lines, ["2 child fails a", "4 a", "4 child fails b", "8 returned ()"]);
}

#[test]
fn the_later_error_of_an_inner_gathering_is_dropped_although_the_outer_one_is_gone() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let late = get_running_loop()?.create_future::<u32>();
        let inner = [gather([late.clone()]), gather([failed()?])];
        say!(log, "{}", failure(gather(inner).await));
        late.set_error(Error::msg("late"))?;
        for _ in 0..3 {
            yield_now().await?;
        }
        Ok(())
    });
    assert_eq!(lines, ["1 at once", "5 returned ()"]);
}

#[test]
fn a_gathering_that_is_refused_leaves_no_callback_on_the_children_before() {
    let (lab, elsewhere) = (Lab::reporting(), EventLoop::new().unwrap());
    let (own, other) = (lab.lp.create_future::<()>(), elsewhere.create_future::<()>());
    let before = own.clone();
    let lines = lab.run(async move { gather([before, other]).await });
    assert_eq!(
        lines,
        ["2 raised The future belongs to a different loop than the one specified as the loop argument"]
    );
    own.cancel();
    assert!(lab.lp.snapshot().ready.is_empty());
}

/// A future that has failed with "at once".
fn failed() -> Result<looplab::Future<u32>> {
    let future = get_running_loop()?.create_future();
    future.set_error(Error::msg("at once"))?;
    Ok(future)
}

#[test]
fn exceptions_that_were_wanted_as_values_are_read_although_the_handle_is_dropped() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let early = async { Err::<(), _>(Error::msg("early")) };
        let late = async {
            yield_now().await?;
            yield_now().await
        };
        drop(gather!(early, late).return_exceptions());
        for _ in 0..6 {
            yield_now().await?;
        }
        Ok(())
    });
    assert_eq!(lines, ["8 returned ()"]);
}

#[test]
fn an_error_that_is_never_awaited_is_reported() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        drop(gather([fail(log.clone(), "a", 0)]));
        for _ in 0..4 {
            yield_now().await?;
        }
        Ok(())
    });
    let report = "3 REPORT _GatheringFuture exception was never retrieved: a";
    assert_eq!(lines, ["2 child fails a", report, "6 returned ()"]);
}

#[test]
fn a_child_that_is_cancelled_is_an_error_and_the_gathering_is_not_cancelled() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (gone, sibling) = (create_task(forever()), create_task(value(log.clone(), 1, 4)));
        let gathering = Rc::new(gather!(&gone, &sibling));
        let (seen, said) = (gathering.clone(), log.clone());
        sibling.add_done_callback(move |_| say!(said, "done {} {}", seen.done(), seen.cancelled()));
        yield_now().await?;
        gone.cancel_msg("child");
        yield_now().await?;
        yield_now().await?;
        assert!(gathering.done() && !gathering.cancelled());
        sibling.await?;
        Rc::into_inner(gathering).unwrap().await
    });
    assert_eq!(lines[..2], ["6 child 1", "7 done true false"]);
    assert_eq!(lines[2..], ["8 raised Cancelled(child)"]);
}

#[test]
fn with_return_exceptions_everything_is_collected() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let gone = create_task(forever());
        let gathering =
            gather!(value(log.clone(), 1, 0), fail(log.clone(), "x", 0), &gone).return_exceptions();
        yield_now().await?;
        gone.cancel_msg("m");
        let (one, x, cancelled) = gathering.await?;
        say!(log, "{} {} {}", one?, failure(x), failure(cancelled));
        Ok(())
    });
    assert_eq!(lines, ["2 child 1", "2 child fails x", "5 1 x Cancelled(m)", "6 returned ()"]);
}

#[test]
fn cancelling_it_cancels_the_children_and_it_is_over_when_they_are() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let gathering = gather([pass_on(log.clone(), "one"), pass_on(log.clone(), "two")]);
        yield_now().await?;
        say!(log, "{} {}", gathering.cancel(), gathering.done());
        gathering.await
    });
    assert_eq!(lines, ["2 true false", "3 one Cancelled", "3 two Cancelled", "6 raised Cancelled"]);
}

#[test]
fn cancelling_it_before_its_children_have_started_never_runs_them() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let gathering = gather([value(log.clone(), 1, 0), value(log, 2, 0)]);
        assert!(gathering.cancel());
        gathering.await
    });
    assert_eq!(lines, ["5 raised Cancelled"]);
}

#[test]
fn a_cancelled_gathering_is_cancelled_even_if_every_child_swallows_it() {
    let lab = Lab::reporting();
    for return_exceptions in [false, true] {
        let (log, turns) = (lab.log.clone(), lab.lp.turns());
        let outcome = lab.lp.run_until_complete(async move {
            let gathering = gather([swallow(log.clone(), "one", 1), swallow(log, "two", 2)]);
            if return_exceptions {
                let gathering = gathering.return_exceptions();
                yield_now().await?;
                assert!(gathering.cancel() && !gathering.done());
                gathering.await.map(drop)
            } else {
                yield_now().await?;
                assert!(gathering.cancel() && !gathering.done());
                gathering.await.map(drop)
            }
        });
        assert_eq!(failure(outcome), "Cancelled");
        assert_eq!(lab.lp.turns() - turns, 6);
        assert_eq!(lab.log.take().len(), 2);
    }
}

#[test]
fn one_child_that_accepts_is_enough() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let slow = create_task(pass_on(log.clone(), "slow"));
        let gathering = gather!(value(log, 1, 0), &slow);
        yield_now().await?;
        yield_now().await?;
        assert!(gathering.cancel());
        gathering.await
    });
    assert_eq!(lines, ["2 child 1", "4 slow Cancelled", "7 raised Cancelled"]);
}

#[test]
fn a_gathering_whose_children_are_all_done_refuses() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = create_task(value(log.clone(), 1, 0));
        let gathering = gather([child.clone()]);
        yield_now().await?;
        // The child is done; the callback that tells the gathering is still queued.
        say!(log, "{} {} {}", child.done(), gathering.done(), gathering.cancel());
        gathering.await
    });
    assert_eq!(lines, ["2 child 1", "2 true false false", "5 returned [1]"]);
}

#[test]
fn a_gathering_that_is_over_leaves_its_running_children_alone() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    lab.run(async move {
        let (running, boom) = (create_task(pass_on(log.clone(), "running")), get_running_loop()?);
        let boom = boom.create_future::<()>();
        let gathering = gather!(&running, &boom);
        boom.set_error(Error::msg("x"))?;
        yield_now().await?;
        assert!(gathering.done() && !gathering.cancel());
        assert_eq!((running.cancelling(), failure(gathering.await)), (0, "x".to_owned()));
        Ok(())
    });
}

#[test]
fn cancelling_the_awaiter_cancels_the_children_first() {
    let (lab, trace) = Lab::traced();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let awaiter = Task::builder().name("awaiter").spawn(async move {
            let child = |name| Task::builder().name(name).prepare(pass_on(said.clone(), name));
            let thrown = gather([child("one"), child("two")]).await.map(drop);
            say!(said, "awaiter {}", show(thrown.as_ref().unwrap_err()));
            thrown
        });
        yield_now().await?;
        yield_now().await?;
        say!(log, "{}", awaiter.cancel_msg("down"));
        awaiter.await
    });
    let told = ["3 true", "4 one Cancelled(down)", "4 two Cancelled(down)", "6 awaiter Cancelled(down)"];
    assert_eq!(lines, [&told[..], &["8 raised Cancelled(down)"]].concat());
    let trace = trace.take();
    let asked = trace.iter().position(|line| line == "cancel awaiter").unwrap();
    let walk = ["cancel awaiter", "cancel one", "future#6 cancelled", "queue one.wakeup", "cancel two"];
    assert_eq!(trace[asked..asked + 5], walk);
}

#[test]
fn a_cancelled_awaiter_is_cancelled_even_if_every_child_swallows_it() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let said = log.clone();
        let awaiter = create_task(async move {
            let children = [swallow(said.clone(), "one", 1), swallow(said, "two", 2)];
            gather(children).return_exceptions().await.map(drop)
        });
        yield_now().await?;
        yield_now().await?;
        assert!(awaiter.cancel_msg("down"));
        let error = failure((&awaiter).await);
        say!(log, "{error} {}", awaiter.cancelled());
        Ok(())
    });
    let told = ["4 one Cancelled(down)", "4 two Cancelled(down)", "7 Cancelled true", "8 returned ()"];
    assert_eq!(lines, told);
}

#[test]
fn a_child_given_twice_is_awaited_once_and_stands_twice_in_the_results() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let (one, two) = (create_task(value(log.clone(), 1, 0)), create_task(value(log, 2, 1)));
        gather([one.clone(), two.clone(), one, two]).await
    });
    assert_eq!(lines, ["2 child 1", "3 child 2", "6 returned [1, 2, 1, 2]"]);
}

#[test]
fn a_child_given_twice_is_asked_twice_and_cancelled_once() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let child = create_task(pass_on(log.clone(), "child"));
        yield_now().await?;
        let gathering = gather([child.clone(), child.clone()]);
        assert!(gathering.cancel());
        say!(log, "{}", child.cancelling());
        gathering.await
    });
    assert_eq!(lines, ["2 2", "3 child Cancelled", "6 raised Cancelled"]);
}

#[test]
fn different_types_are_gathered_to_a_tuple() {
    let lab = Lab::reporting();
    let lines = lab.run(async {
        let lp = get_running_loop()?;
        let (task, future, untyped) =
            (create_task(async { Ok("task") }), lp.create_future(), create_task(async {}));
        let setter = future.clone();
        lp.call_soon(move || setter.set_result(2.5))?;
        let named = Task::builder().name("named").prepare(async { Ok('x') });
        gather!(async { Ok(1) }, named, task, &future, untyped.to_ref(), &untyped).await
    });
    assert_eq!(lines, ["5 returned (1, 'x', \"task\", 2.5, (), ())"]);
}

#[test]
fn gathering_untyped_tasks_gives_their_errors() {
    let lab = Lab::reporting();
    let log = lab.log.clone();
    let lines = lab.run(async move {
        let tasks = [create_task(async { Ok(1) }).to_ref(), create_task(fail(log.clone(), "x", 0)).to_ref()];
        let outcomes = gather(tasks).return_exceptions().await?;
        say!(log, "{} {}", outcomes[0].is_ok(), failure(outcomes[1].clone()));
        Ok(())
    });
    assert_eq!(lines, ["2 child fails x", "4 true x", "5 returned ()"]);
}

#[test]
fn its_children_have_names_and_are_among_all_tasks() {
    let lab = Lab::reporting();
    lab.run(async {
        let child = |name| Task::builder().name(name).prepare(forever());
        let gathering = gather([child("one"), child("two")]);
        let names: Vec<_> = looplab::all_tasks()[1..].iter().map(|task| task.name()).collect();
        assert_eq!(names, ["one".into(), "two".into()]);
        gathering.cancel();
        assert_eq!(failure(gathering.await), "Cancelled");
        Ok(())
    });
}

#[test]
fn gathering_needs_a_running_loop_and_futures_of_its_own() {
    let gathering: Gather<Vec<()>> = gather([async { Ok(()) }]);
    assert!(gathering.done() && !gathering.cancel());
    let lab = Lab::reporting();
    assert_eq!(failure(lab.lp.run_until_complete(gathering.into_future())), "no running event loop");

    let elsewhere = EventLoop::new().unwrap();
    let stranger = elsewhere.create_future::<()>();
    let started = Rc::new(RefCell::new(Vec::new()));
    let list = started.clone();
    let outcome = lab.lp.run_until_complete(async move {
        let own = create_task(async move {
            list.borrow_mut().push("own");
            Ok(())
        });
        gather!(&own, &stranger).await
    });
    let text = "The future belongs to a different loop than the one specified as the loop argument";
    assert_eq!(failure(outcome), text);
}

#[test]
fn the_waits_of_its_awaiter_name_it() {
    let lab = Lab::reporting();
    let main = lab.lp.create_task(async { gather([forever(), forever()]).await.map(drop) });
    lab.turn();
    main.set_name("main");
    assert!(lab.lp.snapshot().to_string().contains("main   waiting for gather at "));
    main.cancel();
    assert_eq!(failure(lab.lp.run_until_complete(&main)), "Cancelled");
}
