//! Runs, and what ends a loop: by hand, or by a `Runner`.

use crate::body::body;
use crate::combine::{oks, values};
use crate::world::{Awaited, Gathered, World};
use looplab::{EventLoop, Result, Runner, Task};
use std::rc::Rc;

impl World {
    pub(crate) fn run_op(self: &Rc<Self>, kind: &str, target: &str) -> Result<Option<String>> {
        match kind {
            "stop" => {
                self.lp.stop();
                return Ok(None);
            }
            "step" => {
                self.lp.stop();
                self.lp.run_forever()?;
            }
            "other" => {
                self.other.stop();
                self.other.run_forever()?;
            }
            "forever" => self.lp.run_forever()?,
            "close" => self.close(&self.lp)?,
            "running" => return Ok(Some(format!("{} {}", self.lp.is_running(), self.lp.is_closed()))),
            "other_until" => return self.until(&self.other, target),
            "runner_run" | "runner_close" => return self.runner_op(kind, target),
            _ => return self.until(&self.lp, target),
        }
        Ok(Some("ok".to_owned()))
    }

    fn until(self: &Rc<Self>, lp: &EventLoop, target: &str) -> Result<Option<String>> {
        if target.starts_with('g') {
            let gathered = self.gathers.borrow_mut().remove(target);
            let results = match gathered {
                None => return Ok(None),
                Some(Gathered::First(gathering)) => oks(lp.run_until_complete(gathering)?),
                Some(Gathered::All(gathering)) => lp.run_until_complete(gathering)?,
            };
            return Ok(Some(values(results)));
        }
        if target.starts_with('b') {
            let name: Rc<str> = format!("main/{target}").into();
            let body = body(self.clone(), name.clone(), target.to_owned());
            return lp.run_until_complete(Task::builder().name(name).prepare(body)).map(Some);
        }
        match self.find(target) {
            None => Ok(None),
            Some(Awaited::Task(task)) => lp.run_until_complete(&task).map(Some),
            Some(Awaited::Future(future)) => lp.run_until_complete(&future).map(Some),
        }
    }

    /// What a program with a runner does with it; nothing while it is in use, for it is borrowed then.
    fn runner_op(self: &Rc<Self>, kind: &str, target: &str) -> Result<Option<String>> {
        let Some(mut runner) = self.runner.take() else { return Ok(None) };
        let done = match kind {
            "runner_run" => self.runner_run(&mut runner, target),
            // What is pending on a loop that was closed before has ended, and can be cancelled no more.
            _ if self.lp.is_closed() => Ok(None),
            _ => runner.close().map(|()| Some("ok".to_owned())),
        };
        if self.lp.is_closed() {
            self.listen_again(&self.lp);
        }
        self.runner.replace(Some(runner));
        done
    }

    fn runner_run(self: &Rc<Self>, runner: &mut Runner, target: &str) -> Result<Option<String>> {
        if target.starts_with('b') {
            let name: Rc<str> = format!("runner/{target}").into();
            return runner.run(body(self.clone(), name, target.to_owned())).map(Some);
        }
        match self.find(target) {
            None => Ok(None),
            Some(Awaited::Task(task)) => runner.run(&task).map(Some),
            Some(Awaited::Future(future)) => runner.run(&future).map(Some),
        }
    }
}
