//! Predict: questions made from a trace, and their answers, which are what was recorded.
//!
//! `page/ask.js` makes the same questions, with the same words. A test compares the two for every
//! lesson, and finds each answer in the trace once more.

use super::history::{History, TurnEvents, loop_of};
use super::names::{duration, short};
use super::words::{Facts, WORDS};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// How many questions a run has.
const MOST_QUESTIONS: usize = 12;

/// A question about what comes next. See [`History::questions`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// `when`, `sleep`, `order`, `cancel` or `print`.
    pub kind: &'static str,
    /// The line at which it is asked. What comes after it gives the answer.
    pub s: u64,
    /// The question. Names stand between backticks.
    pub text: String,
    /// What one may answer. One is right, or for `order` all of them are.
    pub options: Vec<String>,
    /// The numbers of the right options, from 0: one, or for `order` all of them in their order.
    pub right: Vec<usize>,
    /// The rule behind the answer.
    pub why: String,
    /// The line that shows the answer.
    pub evidence: u64,
}

/// By loop: the events that print, and the first line of each.
type Printed = HashMap<u64, Vec<(usize, String)>>;

/// A question that may be chosen.
#[derive(Clone)]
struct Candidate {
    question: Question,
    at: usize,
    /// How much it teaches.
    worth: usize,
}

impl History {
    /// Returns the questions of a trace, in the order of their moments: at most 12 for each run.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        let mut runs: Vec<((u64, u64), Vec<Candidate>)> = Vec::new();
        let printed = self.printed();
        for at in 0..self.events.len() {
            let Some(turn) = self.turn_of(at) else { continue };
            let Some(candidate) = self.candidate(at, turn, &printed) else { continue };
            let run = (turn.l, turn.run);
            match runs.iter_mut().rev().find(|(known, _)| *known == run) {
                Some((_, candidates)) => candidates.push(candidate),
                None => runs.push((run, vec![candidate])),
            }
        }
        let (mut texts, mut moments) = (HashSet::new(), HashSet::new());
        let mut is_new = |candidate: &Candidate| {
            // No text and no moment is asked about twice.
            let new = !texts.contains(&candidate.question.text) && !moments.contains(&candidate.at);
            new && texts.insert(candidate.question.text.clone()) && moments.insert(candidate.at)
        };
        let mut chosen: Vec<Candidate> =
            runs.into_iter().flat_map(|(_, candidates)| choose(candidates, &mut is_new)).collect();
        chosen.sort_by_key(|candidate| candidate.at);
        chosen.into_iter().map(|candidate| candidate.question).collect()
    }

    fn candidate(&self, at: usize, turn: &TurnEvents, printed: &Printed) -> Option<Candidate> {
        let event = &self.events[at];
        match event["e"].as_str()? {
            "push" => self.when(at, event, turn),
            "sel" => self.sleep(at, event, turn),
            "batch" => self.order(at, turn).or_else(|| self.print(at, turn, printed.get(&turn.l)?)),
            "creq" => self.cancel(at, event, turn),
            _ => None,
        }
    }

    /// When does the entry run that was just queued?
    fn when(&self, at: usize, event: &Value, here: &TurnEvents) -> Option<Candidate> {
        let (l, q, by) = (here.l, event["q"].as_u64()?, event["by"].as_u64()?);
        let (index, entry) = (self.index(l), self.entry(l, q)?);
        let (named, actor) = (index.entry(q)?, index.entry(by)?);
        if self.definitions.is_own(named) && self.definitions.is_own(actor) {
            return None;
        }
        let skipped = entry.taken.is_some_and(|taken| self.events[taken]["e"] == "skip");
        let right = match entry.taken.filter(|_| !skipped).and_then(|taken| self.turn_of(taken)) {
            None => 3,
            Some(there) if there.first == here.first => 0,
            Some(there) if there.run == here.run => 1,
            Some(_) => 2,
        };
        let mut facts = Facts::from([("x", self.name(l, q)), ("by", self.name(l, by))]);
        facts.extend((named.task.is_some() && named.task == actor.task).then(|| ("same", "true".to_owned())));
        facts.extend(skipped.then(|| ("skipped", "true".to_owned())));
        let evidence = entry.taken.unwrap_or_else(|| self.last_of(l));
        let worth = right + if here.stop { 4 } else { 0 };
        Some(self.asked("when", at, facts, vec![right], evidence, worth))
    }

    /// May the loop sleep in the turn that begins?
    fn sleep(&self, at: usize, event: &Value, turn: &TurnEvents) -> Option<Candidate> {
        let right = match event["why"].as_str()? {
            "stopping" => 1,
            "timer" if event["to"] != 0 => 2,
            "idle" => 3,
            _ => return None,
        };
        let mut facts = Facts::from([("turn", turn.n.to_string())]);
        if let Some((h, when)) = turn.timer {
            let index = self.index(turn.l);
            facts.insert("x", self.definitions.name(index, index.handle(h)));
            facts.insert("due", duration(when.saturating_sub(event["t"].as_u64().unwrap_or_default())));
        }
        let nth = self.turns.partition_point(|known| known.first < turn.first);
        let worth = if right == 1 { 3 } else { nth % 2 };
        Some(self.asked("sleep", turn.first, facts, vec![right], at, worth))
    }

    /// In which order do the entries of a small batch run?
    fn order(&self, at: usize, turn: &TurnEvents) -> Option<Candidate> {
        let names: Vec<String> = turn.batch.iter().map(|q| self.name(turn.l, *q)).collect();
        let different: HashSet<&String> = names.iter().collect();
        let n = names.len();
        if !(3..=5).contains(&n) || different.len() != n || turn.taken.len() != n {
            return None;
        }
        let mut options = names.clone();
        options.sort();
        let right = names.iter().filter_map(|name| options.iter().position(|option| option == name));
        let facts = Facts::from([("turn", turn.n.to_string()), ("n", n.to_string())]);
        let mut candidate = self.asked("order", at - 1, facts, right.collect(), at, n);
        candidate.question.options = options;
        Some(candidate)
    }

    /// Returns what the entries of each loop have printed.
    fn printed(&self) -> Printed {
        let mut printed = Printed::new();
        for (at, event) in self.events.iter().enumerate() {
            if event["e"] == "out" && event["by"].is_u64() {
                let line = first_line(event);
                if !line.is_empty() {
                    printed.entry(loop_of(event)).or_default().push((at, line));
                }
            }
        }
        printed
    }

    /// What is printed next, among other lines of this loop, later ones first?
    fn print(&self, at: usize, turn: &TurnEvents, outs: &[(usize, String)]) -> Option<Candidate> {
        let nth = outs.partition_point(|(i, _)| *i <= at);
        let (next, printed) = outs.get(nth)?;
        if self.turn_of(*next).is_none_or(|there| there.first != turn.first) {
            return None;
        }
        let mut options: Vec<&String> = Vec::new();
        for (_, line) in outs[nth + 1..].iter().chain(outs[..nth].iter().rev()) {
            if line != printed && !options.contains(&line) && options.len() < 3 {
                options.push(line);
            }
        }
        if options.is_empty() {
            return None;
        }
        let (right, worth) = (at % (options.len() + 1), options.len());
        options.insert(right, printed);
        let options = options.iter().map(|line| format!("“{line}”")).collect();
        let by = self.name(turn.l, self.events[*next]["by"].as_u64()?);
        let facts = Facts::from([("turn", turn.n.to_string()), ("by", by)]);
        let mut candidate = self.asked("print", at, facts, vec![right], *next, worth);
        candidate.question.options = options;
        Some(candidate)
    }

    /// When does a task feel the cancellation that was just asked for?
    fn cancel(&self, at: usize, event: &Value, here: &TurnEvents) -> Option<Candidate> {
        let ends = |next: &Value| next["e"] == "tdone" || (next["e"] == "step" && next["exc"].is_string());
        let is_of_the_task = |next: &Value| loop_of(next) == here.l && next["task"] == event["task"];
        let end =
            (at + 1..self.events.len()).find(|i| is_of_the_task(&self.events[*i]) && ends(&self.events[*i]));
        let felt = end.filter(|end| self.events[*end]["e"] == "step");
        if felt.and_then(|felt| self.turn_of(felt)).is_some_and(|there| there.first == here.first) {
            return None;
        }
        let right = if felt.is_some() { 1 } else { 2 };
        let facts = Facts::from([("x", self.index(here.l).task(event["task"].as_u64()?))]);
        let evidence = felt.unwrap_or_else(|| self.last_of(here.l));
        Some(self.asked("cancel", at, facts, vec![right], evidence, right))
    }

    /// Puts a question into the words of the table. `facts` choose them.
    fn asked(
        &self,
        kind: &'static str,
        at: usize,
        mut facts: Facts,
        right: Vec<usize>,
        evidence: usize,
        worth: usize,
    ) -> Candidate {
        facts.insert("kind", kind.to_owned());
        facts.insert("right", right[0].to_string());
        let part = |name| WORDS.part(name, &facts).expect("the last row has no condition");
        let question = Question {
            kind,
            s: self.line_of(at),
            text: part("ask"),
            options: WORDS.options(kind, &facts),
            right,
            why: part("answer"),
            evidence: self.line_of(evidence),
        };
        Candidate { question, at, worth }
    }

    /// Returns the last event of a loop.
    fn last_of(&self, l: u64) -> usize {
        self.events.iter().rposition(|event| loop_of(event) == l).unwrap_or_default()
    }
}

/// Takes questions of each kind in its turn, those that teach most first.
fn choose(candidates: Vec<Candidate>, mut is_new: impl FnMut(&Candidate) -> bool) -> Vec<Candidate> {
    let mut kinds: Vec<Vec<Candidate>> = Vec::new();
    for candidate in candidates {
        match kinds.iter_mut().find(|kind| kind[0].question.kind == candidate.question.kind) {
            Some(kind) => kind.push(candidate),
            None => kinds.push(vec![candidate]),
        }
    }
    for kind in &mut kinds {
        kind.sort_by_key(|candidate| Reverse(candidate.worth));
    }
    let rounds = kinds.iter().map(Vec::len).max().unwrap_or_default();
    let in_turn = (0..rounds).flat_map(|round| kinds.iter().filter_map(move |kind| kind.get(round)));
    in_turn.filter(|candidate| is_new(candidate)).take(MOST_QUESTIONS).cloned().collect()
}

/// Returns the first line with a text in it.
fn first_line(out: &Value) -> String {
    let mut lines = out["text"].as_str().unwrap_or_default().split('\n');
    short(lines.find(|line| !line.trim().is_empty()).unwrap_or_default())
}
