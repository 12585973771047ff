//! The combinators that a body awaits.

use crate::body::{all, body};
use crate::errors::show;
use crate::world::{Awaited, Gathered, World, list, text};
use looplab::{Error, Result, ReturnWhen, Task, Timeout, as_completed, gather, shield, wait, wait_for};
use serde_json::Value;
use std::rc::Rc;

/// Whether `combine` knows this operation.
pub(crate) fn combines(kind: &str) -> bool {
    const KINDS: [&str; 11] = [
        "gather",
        "gather_nested",
        "gather_bodies",
        "gather_pair",
        "gather_await",
        "wait",
        "wait_for",
        "as_completed",
        "completing_next",
        "shield",
        "shield_await",
    ];
    KINDS.contains(&kind)
}

pub(crate) async fn combine<'a>(
    world: &Rc<World>,
    who: &Rc<str>,
    kind: &str,
    arg: impl Fn(usize) -> &'a Value,
) -> Result<()> {
    let every = text(arg(1)) == "all";
    match kind {
        "gather" => gather_named(world, who, every, arg(2)).await,
        "gather_bodies" => {
            let bodies = list(arg(2)).iter().map(|name| {
                let named: Rc<str> = format!("{who}/{}", text(name)).into();
                let body = body(world.clone(), named.clone(), text(name).to_owned());
                Task::builder().name(named).prepare(body)
            });
            let gathering = gather(bodies);
            tell(
                world,
                who,
                if every { gathering.return_exceptions().await? } else { oks(gathering.await?) },
            );
            Ok(())
        }
        "gather_nested" => {
            let shown = nested(world, every, text(arg(2)) == "all", [arg(3), arg(4)]).await?;
            world.say(who, format_args!("gathered {shown}"));
            Ok(())
        }
        "gather_pair" => {
            if let Some(Awaited::Task(task)) = world.find(text(arg(2))) {
                tell(world, who, pair(world, who, every, task, text(arg(3))).await?);
            }
            Ok(())
        }
        "gather_await" => {
            let gathered = world.gathers.borrow_mut().remove(text(arg(1)));
            match gathered {
                Some(Gathered::First(gathering)) => tell(world, who, oks(gathering.await?)),
                Some(Gathered::All(gathering)) => tell(world, who, gathering.await?),
                None => {}
            }
            Ok(())
        }
        "wait" => waits(world, who, text(arg(1)), arg(2), arg(3)).await,
        "wait_for" => waits_for(world, who, arg(1), text(arg(2))).await,
        "as_completed" => completes(world, who, arg(1), arg(2)).await,
        "completing_next" => completes_next(world, who, text(arg(1))).await,
        _ => shields(world, who, kind, text(arg(1))).await,
    }
}

/// The names that are known, all tasks or all futures, as the first is.
pub(crate) fn of_one_kind(world: &World, names: &Value) -> Vec<(String, Awaited)> {
    let known = list(names).iter().filter_map(|name| Some((text(name).to_owned(), world.find(text(name))?)));
    let known: Vec<_> = known.collect();
    let tasks = known.first().is_some_and(|(_, one)| one.is_task());
    known.into_iter().filter(|(_, one)| one.is_task() == tasks).collect()
}

pub(crate) fn split(awaited: &[(String, Awaited)]) -> (Vec<Task<String>>, Vec<looplab::Future<String>>) {
    let (mut tasks, mut futures) = (Vec::new(), Vec::new());
    for (_, one) in awaited {
        match one {
            Awaited::Task(task) => tasks.push(task.clone()),
            Awaited::Future(future) => futures.push(future.clone()),
        }
    }
    (tasks, futures)
}

async fn gather_named(world: &Rc<World>, who: &str, every: bool, names: &Value) -> Result<()> {
    let (tasks, futures) = split(&of_one_kind(world, names));
    let results = match (futures.is_empty(), every) {
        (true, true) => gather(tasks).return_exceptions().await?,
        (true, false) => oks(gather(tasks).await?),
        (false, true) => gather(futures).return_exceptions().await?,
        (false, false) => oks(gather(futures).await?),
    };
    tell(world, who, results);
    Ok(())
}

fn tell(world: &World, who: &str, results: Vec<Result<String>>) {
    world.say(who, format_args!("gathered {}", values(results)));
}

/// What a gathering gave, as both sides write it.
pub(crate) fn values(results: Vec<Result<String>>) -> String {
    let shown: Vec<String> = results
        .into_iter()
        .map(|result| match result {
            Ok(value) => value,
            Err(Error::Cancelled(_)) => "Cancelled".to_owned(),
            Err(error) => show(&error),
        })
        .collect();
    format!("[{}]", shown.join(", "))
}

/// Two gatherings of tasks in a third one.
async fn nested(world: &World, outer: bool, inner: bool, names: [&Value; 2]) -> Result<String> {
    fn show<T>(outcome: Result<T>, show: impl Fn(T) -> String) -> String {
        match outcome {
            Ok(value) => show(value),
            Err(error) => values(vec![Err(error)]).trim_matches(['[', ']']).to_owned(),
        }
    }
    let children = names.map(|names| gather(split(&of_one_kind(world, names)).0));
    let shown: Vec<String> = if inner {
        let gathering = gather(children.map(|child| child.return_exceptions()));
        let outcomes = if outer {
            gathering.return_exceptions().await?
        } else {
            gathering.await?.into_iter().map(Ok).collect()
        };
        outcomes.into_iter().map(|outcome| show(outcome, values)).collect()
    } else {
        let gathering = gather(children);
        let outcomes = if outer {
            gathering.return_exceptions().await?
        } else {
            gathering.await?.into_iter().map(Ok).collect()
        };
        outcomes.into_iter().map(|outcome| show(outcome, |inner| values(oks(inner)))).collect()
    };
    Ok(format!("[{}]", shown.join(", ")))
}

/// A task and a body: different types, so it is the macro that gathers them.
async fn pair(
    world: &Rc<World>,
    who: &str,
    every: bool,
    task: Task<String>,
    name: &str,
) -> Result<Vec<Result<String>>> {
    let named: Rc<str> = format!("{who}/{name}").into();
    let body = Task::builder().name(named.clone()).prepare(body(world.clone(), named, name.to_owned()));
    let gathering = looplab::gather!(task, body);
    if every {
        let (one, two) = gathering.return_exceptions().await?;
        return Ok(vec![one, two]);
    }
    let (one, two) = gathering.await?;
    Ok(vec![Ok(one), Ok(two)])
}

pub(crate) fn oks(values: Vec<String>) -> Vec<Result<String>> {
    values.into_iter().map(Ok).collect()
}

async fn waits(world: &Rc<World>, who: &str, when: &str, timeout: &Value, names: &Value) -> Result<()> {
    let when = match when {
        "all" => ReturnWhen::AllCompleted,
        "first" => ReturnWhen::FirstCompleted,
        _ => ReturnWhen::FirstException,
    };
    let timeout = world.seconds(timeout);
    let awaited = of_one_kind(world, names);
    let (tasks, futures) = split(&awaited);
    let done: Vec<Awaited> = if futures.is_empty() {
        wait(tasks, when, timeout).await?.0.into_iter().map(Awaited::Task).collect()
    } else {
        wait(futures, when, timeout).await?.0.into_iter().map(Awaited::Future).collect()
    };
    let sign = |one: &Awaited| if done.iter().any(|other| other.is(one)) { '+' } else { '-' };
    let shown: Vec<String> = awaited.iter().map(|(name, one)| format!("{name}{}", sign(one))).collect();
    world.say(who, format_args!("waited {}", shown.join(" ")));
    Ok(())
}

async fn waits_for(world: &Rc<World>, who: &str, timeout: &Value, x: &str) -> Result<()> {
    let timeout = world.seconds(timeout);
    let value = if x.starts_with('b') {
        let named: Rc<str> = format!("{who}/{x}").into();
        let body = body(world.clone(), named.clone(), x.to_owned());
        wait_for(Task::builder().name(named).prepare(body), timeout).await?
    } else {
        match world.find(x) {
            Some(Awaited::Task(task)) => wait_for(task, timeout).await?,
            Some(Awaited::Future(future)) => wait_for(future, timeout).await?,
            None => return Ok(()),
        }
    };
    world.say(who, format_args!("{x} gave {value} in time"));
    Ok(())
}

async fn completes(world: &Rc<World>, who: &str, timeout: &Value, names: &Value) -> Result<()> {
    let (tasks, futures) = split(&of_one_kind(world, names));
    let several = if futures.is_empty() { as_completed(tasks) } else { as_completed(futures) };
    for one in several.timeout(world.seconds(timeout)) {
        match one.await {
            Ok(value) => world.say(who, format_args!("completed {value}")),
            Err(error) if error.is_cancelled() || error.leaves_the_loop() => return Err(error),
            Err(error) => world.say(who, format_args!("completed {}", show(&error))),
        }
    }
    Ok(())
}

/// Awaits the next of an `as_completed` that several may await.
async fn completes_next(world: &Rc<World>, who: &str, w: &str) -> Result<()> {
    if !world.lp.is_running() || !world.completing.borrow().contains_key(w) {
        return Ok(());
    }
    let next = world.completing.borrow_mut().get_mut(w).and_then(Iterator::next);
    let Some(next) = next else {
        world.say(who, format_args!("no more of {w}"));
        return Ok(());
    };
    match next.await {
        Ok(value) => world.say(who, format_args!("{w} completed {value}")),
        Err(error) if error.is_cancelled() || error.leaves_the_loop() => return Err(error),
        Err(error) => world.say(who, format_args!("{w} completed {}", show(&error))),
    }
    Ok(())
}

async fn shields(world: &Rc<World>, who: &str, kind: &str, x: &str) -> Result<()> {
    if kind == "shield_await" {
        let shielded = world.shields.borrow().get(x).cloned();
        if let Some(shielded) = shielded {
            let value = shielded.await?;
            world.say(who, format_args!("{x} gave {value}"));
        }
        return Ok(());
    }
    let value = match world.find(x) {
        Some(Awaited::Task(task)) => shield(task).await?,
        Some(Awaited::Future(future)) => shield(future).await?,
        None => return Ok(()),
    };
    world.say(who, format_args!("{x} gave {value} through a shield"));
    Ok(())
}

impl World {
    /// `async with TaskGroup()`.
    pub(crate) async fn group(
        self: &Rc<Self>,
        who: &Rc<str>,
        g: &str,
        ops: &Value,
    ) -> Result<Option<String>> {
        let fresh = self.fresh.borrow_mut().remove(g);
        let group = self.groups.borrow().get(g).filter(|_| fresh).cloned().unwrap_or_default();
        let value = group.run(|group| {
            let before = self.groups.borrow_mut().insert(g.to_owned(), group);
            drop(before);
            self.say(who, format_args!("enters {g}"));
            all(self.clone(), who.clone(), list(ops).to_vec())
        });
        let value = value.await?;
        self.say(who, format_args!("leaves {g}"));
        // A body that the group has cut off ends without a value, and without an error.
        Ok(value.flatten())
    }

    /// `async with timeout()`.
    pub(crate) async fn timeout(
        self: &Rc<Self>,
        who: &Rc<str>,
        x: &str,
        delay: &Value,
        ops: &Value,
    ) -> Result<Option<String>> {
        let limit = Timeout::after(self.seconds(delay))?;
        let before = self.limits.borrow_mut().insert(x.to_owned(), limit.clone());
        drop(before);
        let value = limit.run(all(self.clone(), who.clone(), list(ops).to_vec())).await?;
        self.say(who, format_args!("leaves {x}"));
        Ok(value)
    }
}
