//! The protocol of sleeping and waking in every order of its steps. The inbox, its lock and the waker are the real ones; the
//! threads are only counters here.

use super::*;
use crate::interleavings::{Choices, explore};
use std::panic::Location;

const WAKER: mio::Token = mio::Token(0);

/// Where the loop is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// It takes the messages, and then looks whether it may sleep.
    Take,
    GoToSleep,
    /// In the poll. It ends by the waker only.
    Sleep,
    WakeUp,
}

#[derive(Clone, Copy)]
enum Step {
    Loop,
    /// A sender posts its next message, or calls the waker that its last post has returned.
    Sender(usize),
}

#[derive(Default)]
struct Sender {
    posted: usize,
    waker: Option<Arc<mio::Waker>>,
}

struct Model<'a> {
    poll: &'a mut mio::Poll,
    inbox: Arc<Inbox>,
    at: At,
    /// Whether the waker was called since the last poll ended.
    woken: bool,
    senders: [Sender; 2],
    /// The senders of the messages that the loop has taken.
    taken: Vec<usize>,
    sleeps: usize,
    wakes: usize,
}

/// How many messages each sender posts.
const MESSAGES: usize = 2;

impl Model<'_> {
    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.at != At::Sleep || self.woken {
            steps.push(Step::Loop);
        }
        for (number, sender) in self.senders.iter().enumerate() {
            if sender.waker.is_some() || sender.posted < MESSAGES {
                steps.push(Step::Sender(number));
            }
        }
        steps
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Loop => self.at = self.step_of_the_loop(),
            Step::Sender(number) => {
                let sender = &mut self.senders[number];
                if let Some(waker) = sender.waker.take() {
                    waker.wake().expect("the poll is open");
                    self.woken = true;
                    self.wakes += 1;
                    return;
                }
                sender.posted += 1;
                let function: RemoteFunction = Box::new(|| Ok(()));
                let (function, place) = (Guarded::new(function), Location::caller());
                let name = if number == 0 { "0" } else { "1" };
                let call = Message::Call { function, name, place, thread: None };
                sender.waker = self.inbox.post(call).expect("it is open");
            }
        }
    }

    fn step_of_the_loop(&mut self) -> At {
        match self.at {
            At::Take => {
                for message in self.inbox.take(Vec::new(), None).messages {
                    let Message::Call { name, .. } = message else { unreachable!("only calls are sent") };
                    self.taken.push(usize::from(name == "1"));
                }
                At::GoToSleep
            }
            At::GoToSleep if self.inbox.going_to_sleep() => {
                self.sleeps += 1;
                At::Sleep
            }
            At::GoToSleep => At::WakeUp,
            At::Sleep => {
                let mut events = mio::Events::with_capacity(1);
                self.poll.poll(&mut events, Some(Duration::ZERO)).expect("it polls");
                assert!(!events.is_empty(), "the waker was called");
                self.woken = false;
                At::WakeUp
            }
            At::WakeUp => {
                self.inbox.awake();
                At::Take
            }
        }
    }

    /// Writes down all that the next steps depend on. How often the loop slept is no part of it.
    fn state(&self) -> String {
        let senders = self.senders.each_ref().map(|sender| (sender.posted, sender.waker.is_some()));
        let sent = self.inbox.sent();
        let news = !self.inbox.is_empty();
        let surplus = self.sleeps - self.wakes;
        format!(
            "{:?} {} {senders:?} {} {news} {} {surplus}",
            self.at,
            self.woken,
            sent.messages.len(),
            sent.asleep
        )
    }
}

fn run(poll: &mut mio::Poll, id: LoopId, choices: &mut Choices) {
    let waker = mio::Waker::new(poll.registry(), WAKER).expect("a waker");
    let inbox = Inbox::new(id, waker, false);
    let (senders, taken) = (<[Sender; 2]>::default(), Vec::new());
    let mut model = Model { poll, inbox, at: At::Take, woken: false, senders, taken, sleeps: 0, wakes: 0 };
    loop {
        let steps = model.steps();
        if steps.is_empty() {
            // The loop sleeps, and nothing will wake it.
            assert_eq!(model.taken.len(), 2 * MESSAGES, "a wake-up is lost");
            return;
        }
        let Some(step) = choices.choose(model.state(), steps) else { return };
        model.step(step);
        let called = model.senders.iter().filter(|sender| sender.waker.is_some()).count();
        assert!(model.wakes + called <= model.sleeps, "a loop that is awake costs no system call");
    }
}

#[test]
fn in_every_interleaving_no_wake_up_is_lost_and_none_is_made_twice() {
    let id = LoopId::next();
    let states = explore(|choices| {
        // A new poll for each run: a run may end before its wake-up was polled.
        let mut poll = mio::Poll::new().expect("a poll");
        run(&mut poll, id, choices);
    });
    assert!(states > 50, "{states}");
}
