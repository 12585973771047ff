//! The queue of a pool: jobs in order of submission, from which one may be taken before its turn.
//!
//! It promises that a job leaves once, to a thread or to whoever takes it back, and that it can say of each whether a thread
//! has it. It has no lock: that is the pool's.

use super::pool::Work;
use crate::trace::Place;
use std::collections::VecDeque;

pub(crate) struct Queued {
    pub(crate) work: Box<dyn Work>,
    pub(crate) label: fn() -> String,
    pub(crate) place: Place,
}

/// The jobs that wait for a thread, in order of submission.
#[derive(Default)]
pub(crate) struct Queue {
    /// A job that was taken out before its turn leaves an empty slot.
    slots: VecDeque<Option<Queued>>,
    /// How many have left the front: the first slot's number is one more.
    left: u64,
    len: usize,
    /// The numbers of those that a shutdown has taken out: they never run, but their end takes a while to arrive.
    cancelled: Vec<u64>,
}

impl Queue {
    /// The number that the next job will get. They begin with 1.
    pub(crate) fn next_number(&self) -> u64 {
        self.left + self.slots.len() as u64 + 1
    }

    pub(crate) fn push(&mut self, job: Queued) {
        self.slots.push_back(Some(job));
        self.len += 1;
    }

    pub(crate) fn pop_first(&mut self) -> Option<Queued> {
        while let Some(slot) = self.slots.pop_front() {
            self.left += 1;
            if slot.is_some() {
                self.len -= 1;
                return slot;
            }
        }
        None
    }

    /// Takes out the job with this number, if it still waits.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Queued> {
        let slot = self.slot(number)?;
        let job = self.slots.get_mut(slot)?.take()?;
        self.len -= 1;
        Some(job)
    }

    /// Whether a thread has begun the job with this number, which was not [removed](Self::remove) by its owner.
    pub(crate) fn has_begun(&self, number: u64) -> bool {
        let waits = self.slot(number).and_then(|slot| self.slots.get(slot)).is_some_and(Option::is_some);
        !waits && self.cancelled.binary_search(&number).is_err()
    }

    /// Where the job with this number stands, if it has not left.
    fn slot(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.left + 1)?).ok()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All that wait, leaving none: they never run. Nothing comes behind them, for the pool is closed.
    pub(crate) fn cancel_all(&mut self) -> Vec<Queued> {
        let (first, slots) = (self.left + 1, std::mem::take(&mut self.slots));
        self.left += slots.len() as u64;
        self.len = 0;
        let waiting = (first..).zip(slots).filter_map(|(number, slot)| Some((number, slot?)));
        let (numbers, jobs): (Vec<u64>, Vec<Queued>) = waiting.unzip();
        self.cancelled.extend(numbers);
        jobs
    }
}
