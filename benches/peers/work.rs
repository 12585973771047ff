//! A work, how it is measured, and what comes of it.

use crate::{Options, python_peer};
use std::process::Command;
use std::time::Duration;

/// A peer, and how long this number of operations takes it.
pub(crate) type Peer = (&'static str, fn(u32) -> Duration);

/// One work: what is measured, how many operations a round makes, what looplab is to reach, and how each peer does it.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) param: &'static str,
    pub(crate) operations: u32,
    /// How many in a quick run.
    pub(crate) quick: u32,
    pub(crate) goals: &'static [Goal],
    pub(crate) peers: &'static [Peer],
    /// Each round in a process of its own: the peers get into each other's way.
    pub(crate) alone: bool,
    /// The system and other threads have no part in it: then looplab is to be 20 times as fast as asyncio.
    pub(crate) in_process: bool,
    /// What `peers.py` calls it, if Python does it.
    pub(crate) python: Option<&'static str>,
}

/// What looplab is to reach.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// At most this multiple of what the peer takes.
    Ratio(&'static str, f64),
    /// At most so much.
    AtMost(f64),
}

/// What came of a work: the figures of each peer, looplab's first.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) param: String,
    pub(crate) unit: &'static str,
    pub(crate) goals: Vec<Goal>,
    pub(crate) figures: Vec<(String, Figures)>,
}

impl Row {
    pub(crate) fn median(&self, peer: &str) -> Option<f64> {
        self.figures.iter().find(|(name, _)| name == peer).map(|(_, figures)| figures.median())
    }

    pub(crate) fn ratio(&self, peer: &str) -> Option<f64> {
        Some(self.median("looplab")? / self.median(peer)?)
    }

    /// The best of the others; the raw limit is no peer.
    pub(crate) fn best(&self) -> Option<(&str, f64)> {
        let others = self.figures.iter().filter(|(name, _)| name != "looplab" && name != "raw");
        others.map(|(name, figures)| (name.as_str(), figures.median())).min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The rounds of one peer, sorted.
#[derive(Clone)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn new(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The median distance from the median.
    pub(crate) fn spread(&self) -> f64 {
        let median = self.median();
        Self::new(self.0.iter().map(|figure| (figure - median).abs()).collect()).median()
    }
}

/// Measures one work: the peers take turns, and the one that begins changes every round.
pub(crate) fn measure(work: &Work, options: &Options) -> Row {
    let n = if options.quick { work.quick } else { work.operations };
    let mut rounds = vec![Vec::new(); work.peers.len()];
    // The first round warms caches and the allocator up.
    for round in 0..=options.rounds() {
        for i in 0..work.peers.len() {
            let turn = (round + i) % work.peers.len();
            let (name, peer) = work.peers[turn];
            let took = if work.alone { in_a_process(work, name, n) } else { Some(peer(n)) };
            if let Some(took) = took.filter(|_| round > 0) {
                rounds[turn].push(took.as_nanos() as f64 / f64::from(n));
            }
        }
    }
    let names = work.peers.iter().map(|(name, _)| (*name).to_owned());
    let mut figures: Vec<_> = names.zip(rounds.into_iter().map(Figures::new)).collect();
    let mut goals = work.goals.to_vec();
    if let Some(python) = work.python {
        figures.extend(python_peer::measure(python, n, options.rounds()));
        if work.in_process {
            goals.push(Goal::Ratio("asyncio", 0.05));
        }
    }
    Row { name: work.name, param: work.param.replace("{n}", &count(n)), unit: "ns", goals, figures }
}

/// The first argument of a process that measures one round.
pub(crate) const CHILD: &str = "--round-of";

fn in_a_process(work: &Work, peer: &str, n: u32) -> Option<Duration> {
    let program = std::env::current_exe().ok()?;
    let arguments = [CHILD, work.name, work.param, peer, &n.to_string()];
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok().map(Duration::from_nanos)
}

/// Measures one round and prints it.
pub(crate) fn be_the_child(works: &[Work], arguments: &[String]) {
    let [name, param, peer, n] = arguments else { return };
    let work = works.iter().find(|work| work.name == name && work.param == param);
    let peer = work.and_then(|work| work.peers.iter().find(|(name, _)| name == peer));
    if let (Some((_, measured)), Ok(n)) = (peer, n.parse()) {
        println!("{}", measured(n).as_nanos());
    }
}

/// 1000000 as "1 000 000".
pub(crate) fn count(n: u32) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(" ")
}
