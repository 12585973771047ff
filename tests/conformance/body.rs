//! The bodies of tasks: the operations that wait, catch and return.

use crate::errors::show;
use crate::world::{Awaited, Gathered, World, list, text};
use looplab::{Error, Result, ReturnWhen, Task, gather, sleep, wait};
use serde_json::Value;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// What a list of operations comes to: a value if it returned one.
type Running = Pin<Box<dyn Future<Output = Result<Option<String>>>>>;

/// The body of a task called `who`.
pub(crate) async fn body(world: Rc<World>, who: Rc<str>, body: String) -> Result<String> {
    world.say(&who, format_args!("begins {body}"));
    let mut value = Ok(None);
    if world.spend(&body) {
        value = all(world.clone(), who.clone(), world.body_ops(&body)).await;
    }
    match value {
        Ok(value) => {
            let value = value.unwrap_or("None".to_owned());
            world.say(&who, format_args!("returns {value}"));
            Ok(value)
        }
        Err(error) => {
            world.say(&who, format_args!("fails {}", show(&error)));
            Err(error)
        }
    }
}

fn all(world: Rc<World>, who: Rc<str>, ops: Vec<Value>) -> Running {
    Box::pin(async move {
        for op in ops {
            let value = one(&world, &who, &op).await?;
            if value.is_some() {
                return Ok(value);
            }
        }
        Ok(None)
    })
}

async fn one(world: &Rc<World>, who: &Rc<str>, whole: &Value) -> Result<Option<String>> {
    let op = list(whole);
    let arg = |n: usize| op.get(n).unwrap_or(&Value::Null);
    match op.first().map_or("", text) {
        "return" => return Ok(Some(text(arg(1)).to_owned())),
        "await" => awaits(world, who, text(arg(1))).await?,
        "sleep" => {
            let seconds = arg(1).as_u64().unwrap_or(0);
            sleep(Duration::from_secs(seconds)).await?;
            world.say(who, format_args!("slept {seconds}"));
        }
        "repeat" => {
            for _ in 0..arg(1).as_u64().unwrap_or(0) {
                let value = all(world.clone(), who.clone(), list(arg(2)).to_vec()).await?;
                if value.is_some() {
                    return Ok(value);
                }
            }
        }
        "try" => return guarded(world, who, op).await,
        "gather" | "gather_bodies" => gathers(world, who, op).await?,
        "gather_pair" => {
            if let Some(Awaited::Task(task)) = world.find(text(arg(2))) {
                tell(world, who, pair(world, who, text(arg(1)) == "all", task, text(arg(3))).await?);
            }
        }
        "gather_await" => {
            let gathered = world.gathers.borrow_mut().remove(text(arg(1)));
            match gathered {
                Some(Gathered::First(gathering)) => tell(world, who, oks(gathering.await?)),
                Some(Gathered::All(gathering)) => tell(world, who, gathering.await?),
                None => {}
            }
        }
        "wait" => waits(world, who, op).await?,
        _ => world.plain(who, whole)?,
    }
    Ok(None)
}

async fn awaits(world: &Rc<World>, who: &str, x: &str) -> Result<()> {
    let Some(found) = world.find(x) else {
        world.say(who, format_args!("no {x}"));
        return Ok(());
    };
    world.say(who, format_args!("awaits {x}"));
    let value = match found {
        Awaited::Task(task) => task.await?,
        Awaited::Future(future) => future.await?,
    };
    world.say(who, format_args!("{x} gave {value}"));
    Ok(())
}

async fn guarded(world: &Rc<World>, who: &Rc<str>, op: &[Value]) -> Result<Option<String>> {
    let error = match all(world.clone(), who.clone(), list(&op[1]).to_vec()).await {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let catches = match text(&op[2]) {
        "cancel" => error.is_cancelled(),
        "error" => !error.is_cancelled() && !error.leaves_the_loop(),
        "any" => !error.leaves_the_loop(),
        _ => true,
    };
    if !catches {
        return Err(error);
    }
    world.say(who, format_args!("caught {}", show(&error)));
    let value = all(world.clone(), who.clone(), list(&op[3]).to_vec()).await?;
    if value.is_some() || text(&op[4]) == "swallow" { Ok(value) } else { Err(error) }
}

/// The names that are known, of the same kind as the first.
pub(crate) fn of_one_kind(world: &World, names: &Value) -> Vec<(String, Awaited)> {
    let known = list(names).iter().filter_map(|name| Some((text(name).to_owned(), world.find(text(name))?)));
    let known: Vec<_> = known.collect();
    let kind = known.first().and_then(|(name, _)| name.chars().next());
    known.into_iter().filter(|(name, _)| name.chars().next() == kind).collect()
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

async fn gathers(world: &Rc<World>, who: &Rc<str>, op: &[Value]) -> Result<()> {
    let every = text(&op[1]) == "all";
    let results: Vec<Result<String>> = if text(&op[0]) == "gather_bodies" {
        let bodies = list(&op[2]).iter().map(|name| {
            let named: Rc<str> = format!("{who}/{}", text(name)).into();
            let body = body(world.clone(), named.clone(), text(name).to_owned());
            Task::builder().name(named).prepare(body)
        });
        let gathering = gather(bodies);
        if every { gathering.return_exceptions().await? } else { oks(gathering.await?) }
    } else {
        let (tasks, futures) = split(&of_one_kind(world, &op[2]));
        match (futures.is_empty(), every) {
            (true, true) => gather(tasks).return_exceptions().await?,
            (true, false) => oks(gather(tasks).await?),
            (false, true) => gather(futures).return_exceptions().await?,
            (false, false) => oks(gather(futures).await?),
        }
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

async fn waits(world: &Rc<World>, who: &str, op: &[Value]) -> Result<()> {
    let when = match text(&op[1]) {
        "all" => ReturnWhen::AllCompleted,
        "first" => ReturnWhen::FirstCompleted,
        _ => ReturnWhen::FirstException,
    };
    let timeout = op[2].as_u64().map(Duration::from_secs);
    let awaited = of_one_kind(world, &op[3]);
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
