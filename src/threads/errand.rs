//! The entries with which a loop sees to its jobs, used again and again.
//!
//! It promises that a loop whose jobs come and go allocates none of its entries anew: what has run waits here for the next
//! job. Nobody outside has a handle of such an entry, so one that is in no queue is nobody's.

use super::job::{JobId, Returning};
use crate::error::Result;
use crate::event_loop::{About, Entry, EventLoop, Inner, call};
use crate::trace::{EntryKind, Place};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// So many are kept for the next jobs; what a flood took is given back.
const KEPT: usize = 1024;

pub(crate) struct Errand {
    handle: u64,
    place: Place,
    kind: EntryKind,
    name: &'static str,
    /// Nothing once it has run.
    what: Cell<Option<What>>,
}

/// What is to be done.
pub(crate) enum What {
    /// A job's future is done, and this asks whether the job is still wanted. The future is kept until it has asked.
    CheckCancel { job: JobId, done: Option<Rc<dyn Any>> },
    /// A job has come back.
    SetResult(Box<dyn Returning>),
}

impl What {
    fn name(&self) -> (EntryKind, &'static str) {
        match self {
            Self::CheckCancel { .. } => (EntryKind::DoneCallback, "job.check_cancel"),
            Self::SetResult(_) => (EntryKind::Callback, "job.set_result"),
        }
    }
}

impl Errand {
    /// Of one that checks: its job's future is done.
    pub(crate) fn with_done(self: Rc<Self>, future: Rc<dyn Any>) -> Rc<Self> {
        if let Some(What::CheckCancel { job, .. }) = self.what.take() {
            self.what.set(Some(What::CheckCancel { job, done: Some(future) }));
        }
        self
    }
}

/// It is never cancelled, for want of a handle.
impl Entry for Errand {
    fn id(&self) -> u64 {
        self.handle
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn cancel(&self) -> bool {
        false
    }

    fn run(self: Rc<Self>, lp: &EventLoop) -> Result<()> {
        let result = match self.what.take() {
            None => Ok(()),
            Some(What::CheckCancel { job, done }) => call(|| {
                drop(done);
                lp.0.check_cancel(job);
            }),
            Some(What::SetResult(job)) => call(|| job.arrive(lp)),
        };
        lp.0.jobs.errands.keep(self);
        result
    }

    fn about(&self) -> About {
        About { kind: self.kind, label: self.name.to_owned(), task: None, place: Some(self.place) }
    }
}

/// Those that wait for the next job.
#[derive(Default)]
pub(crate) struct Errands(RefCell<Vec<Rc<Errand>>>);

impl Errands {
    /// In the room of a kept one, unless it is the one that runs right now, which is the turn's too.
    fn make(&self, new: Errand) -> Rc<Errand> {
        let kept = self.0.borrow_mut().pop();
        match kept {
            Some(mut kept) if Rc::strong_count(&kept) == 1 => {
                if let Some(room) = Rc::get_mut(&mut kept) {
                    *room = new;
                }
                kept
            }
            _ => Rc::new(new),
        }
    }

    fn keep(&self, errand: Rc<Errand>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT {
            kept.push(errand);
        }
    }
}

impl Inner {
    pub(crate) fn errand(&self, place: Place, what: What) -> Rc<Errand> {
        let (kind, name) = what.name();
        let handle = self.next_handle();
        self.jobs.errands.make(Errand { handle, place, kind, name, what: Cell::new(Some(what)) })
    }
}
