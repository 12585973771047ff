//! The bodies of tasks: the operations that wait, catch and return.

use crate::errors::show;
use crate::world::{Awaited, World, list, text};
use looplab::{Result, sleep};
use serde_json::Value;
use std::pin::Pin;
use std::rc::Rc;

/// What a list of operations comes to: a value if it returned one.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Option<String>>>>>;

/// The body of a task called `who`.
pub(crate) async fn body(world: Rc<World>, who: Rc<str>, body: String) -> Result<String> {
    world.say(&who, format_args!("begins {body}"));
    let mut value = Ok(None);
    // Those of a crowd have one body, and each of them is to do something.
    let crowd = who.starts_with('y') && !who.contains('/');
    if crowd || world.spend(&body) {
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

pub(crate) fn all(world: Rc<World>, who: Rc<str>, ops: Vec<Value>) -> Running {
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
    let kind = op.first().map_or("", text);
    match kind {
        "return" => return Ok(Some(text(arg(1)).to_owned())),
        "await" => awaits(world, who, text(arg(1))).await?,
        "sleep" => {
            sleep(world.seconds(arg(1)).unwrap_or_default()).await?;
            world.say(who, format_args!("slept {}", arg(1)));
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
        "group" => return world.group(who, text(arg(1)), arg(2)).await,
        "timeout" => return world.timeout(who, text(arg(1)), arg(2), arg(3)).await,
        "with" => return world.with(who, text(arg(1)), arg(2)).await,
        "acquire" | "event_wait" | "cond_wait" | "cond_wait_for" | "put" | "get" | "join" | "barrier"
        | "barrier_reset" | "barrier_abort" => drop(world.sync_wait(who, kind, arg).await?),
        _ if crate::combine::combines(kind) => crate::combine::combine(world, who, kind, arg).await?,
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
