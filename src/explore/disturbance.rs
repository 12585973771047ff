//! Disturbances: each kind once, with its points, its name in a schedule, its words, and what it does.
//!
//! A new kind is a variant of [`Disturbance`], a field of [`Kinds`] and a method of [`Explore`](super::Explore). A visit says
//! what is there to be disturbed at a point.

use crate::error::Error;
use crate::event_loop::EventLoop;
use crate::net::memory::{Peer, peers};
use crate::observe::names::stable;
use crate::task::TaskRef;
use signal_hook::low_level::signal_name;
use std::fmt;
use std::net::Shutdown;
use std::sync::Arc;

/// The names of the kinds, for a reader.
pub(super) const NAMES: &str =
    "stop, cancel, signal, error, job, late, tie, reset, stall, halfclose, cut and drop";

/// A moment of a program: before a poll, or before an entry of a turn's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) turn: u64,
    /// The entry's place in its batch, from 1; 0 for the poll of the turn.
    pub(super) entry: usize,
}

/// What happens to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// The stop flag is set.
    Stop,
    /// Cancellation of a task is requested.
    Cancel(Subject),
    /// A signal is delivered.
    Signal(i32),
    /// The await at which a task is suspended fails.
    Error(Subject),
    /// A job ends now, whatever was submitted before it.
    Job(Subject),
    /// A job ends only when nothing else can happen.
    Late(Subject),
    /// Of the descriptors that the poll finds ready, the one at this place comes first.
    Tie(usize),
    /// A socket in memory misbehaves as a peer may. A cut comes after this number of further bytes.
    Peer(PeerFault, Subject, usize),
    /// The run is left after its entry. Then the loop is closed and everything is dropped.
    Drop,
}

/// What a peer may do to a connection of [`net::memory`](crate::net::memory), for
/// [`Explore::peers`](super::Explore::peers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerFault {
    /// The connection is reset, for both of its ends.
    Reset,
    /// Nothing but a reset arrives any more at either end. Only a timeout helps against it.
    Stall,
    /// One end sends no more: the other one reads the end of the stream. The program's own writes at the half-closed end fail
    /// with `Broken pipe`.
    HalfClose,
    /// The process of one end dies after each byte that it writes: the other one reads up to there, and then the end of the
    /// stream. Bytes that are written in the entry that makes the connection are not cut: there is no point between.
    Cut,
}

impl PeerFault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Reset, Self::Stall, Self::HalfClose, Self::Cut];

    fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Stall => "stall",
            Self::HalfClose => "halfclose",
            Self::Cut => "cut",
        }
    }
}

/// A task, a job or a socket in memory. Its number identifies it, its name is for the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) id: u64,
    pub(super) name: String,
}

/// A point that the run came to after its last disturbance, and what is there to be disturbed.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) point: Point,
    /// The entry that is about to run, and its place.
    pub(super) entry: String,
    /// Whether a stopped run can be continued by the explorer.
    pub(super) continues: bool,
    /// The tasks that are not done.
    pub(super) tasks: Vec<Subject>,
    /// The tasks that are suspended at an await.
    pub(super) waiting: Vec<Subject>,
    /// The signals that have a handler.
    pub(super) signals: Vec<i32>,
    /// The jobs that are not over, and those of them that no visit before had.
    pub(super) jobs: Vec<Subject>,
    pub(super) new_jobs: Vec<Subject>,
    /// How many descriptors this poll found ready.
    pub(super) found: usize,
    /// The open ends of connections in memory.
    pub(super) peers: Vec<VisitedPeer>,
}

/// An open end of a connection in memory.
#[derive(Clone, Debug)]
pub(super) struct VisitedPeer {
    pub(super) end: Subject,
    /// Whether the connection's other end is not listed before it.
    pub(super) is_first: bool,
    pub(super) sent: usize,
    /// How many bytes it sends until the next visit.
    pub(super) sends: usize,
}

/// Makes the error that a task's await fails with.
pub(super) type MakeError = Arc<dyn Fn() -> Error + Send + Sync>;

/// The kinds of disturbances that are explored.
#[derive(Clone, Default)]
pub(super) struct Kinds {
    pub(super) stops: bool,
    /// Which tasks are cancelled: `None` stands for each.
    pub(super) cancels: Vec<Option<String>>,
    pub(super) signals: Vec<i32>,
    /// For tasks with this name.
    pub(super) errors: Vec<(String, MakeError)>,
    pub(super) jobs: bool,
    pub(super) ties: bool,
    pub(super) peers: Vec<PeerFault>,
    pub(super) drops: bool,
}

impl Kinds {
    /// Tells whether no kind is chosen.
    pub(super) fn is_empty(&self) -> bool {
        let Self { stops, cancels, signals, errors, jobs, ties, peers, drops } = self;
        let any = *stops || *jobs || *ties || *drops;
        !any && cancels.is_empty() && signals.is_empty() && errors.is_empty() && peers.is_empty()
    }

    /// Lists what can be done at a visit, in the order in which it is tried.
    pub(super) fn at(&self, visit: &Visit) -> Vec<Disturbance> {
        let Visit { point, .. } = visit;
        let mut all = Vec::new();
        // All moments of a batch are the same for a stop.
        if self.stops && visit.continues && point.entry <= 1 {
            all.push(Disturbance::Stop);
        }
        for task in &visit.tasks {
            if self.cancels.iter().any(|chosen| chosen.as_ref().is_none_or(|chosen| *chosen == task.name)) {
                all.push(Disturbance::Cancel(task.clone()));
            }
        }
        for signal in self.signals.iter().filter(|signal| point.entry == 0 && visit.signals.contains(signal))
        {
            all.push(Disturbance::Signal(*signal));
        }
        for task in visit.waiting.iter().filter(|task| self.error_for(&task.name).is_some()) {
            all.push(Disturbance::Error(task.clone()));
        }
        if self.jobs {
            all.extend(visit.jobs.iter().cloned().map(Disturbance::Job));
            all.extend(visit.new_jobs.iter().cloned().map(Disturbance::Late));
        }
        if self.ties {
            all.extend((1..visit.found).map(Disturbance::Tie));
        }
        for peer in &visit.peers {
            all.extend(self.peers.iter().flat_map(|fault| peer.faults(*fault)));
        }
        if self.drops && point.entry > 0 {
            all.push(Disturbance::Drop);
        }
        all
    }

    fn error_for(&self, task: &str) -> Option<&MakeError> {
        self.errors.iter().find(|(name, _)| name == task).map(|(_, make)| make)
    }

    /// Disturbs the program, from within the observer of its loop. Returns false if what is to be disturbed is not there. (A
    /// tie shows that only at the poll.)
    pub(super) fn act(&self, disturbance: &Disturbance, lp: &EventLoop, point: Point) -> bool {
        let find = |task: &Subject| lp.all_tasks().into_iter().find(|other: &TaskRef| other.id() == task.id);
        match disturbance {
            Disturbance::Stop => lp.stop(),
            Disturbance::Cancel(task) => {
                let Some(task) = find(task) else { return false };
                task.cancel_msg(format!("explore: at {point}"));
            }
            Disturbance::Signal(signal) => return lp.0.deliver_signal(*signal),
            Disturbance::Error(task) => {
                let Some(waiting) = find(task) else { return false };
                let Some(make) = self.error_for(&stable(&waiting.name())) else { return false };
                return waiting.throw(lp, make());
            }
            Disturbance::Job(job) => return lp.end_job(job.id),
            Disturbance::Late(job) => return lp.0.explored.keep_job(job.id),
            Disturbance::Tie(place) => lp.0.explored.put_first(*place),
            Disturbance::Peer(fault, end, bytes) => {
                let is_end = |peer: &Peer| u64::from(peer.number().unsigned_abs()) == end.id;
                let open = peers(lp).into_iter().find(|peer| is_end(peer) && peer.is_open());
                let Some(peer) = open else { return false };
                match fault {
                    PeerFault::Reset => peer.reset(),
                    PeerFault::Stall => peer.set_stalled(true),
                    PeerFault::HalfClose => drop(peer.shutdown(Shutdown::Write)),
                    PeerFault::Cut => peer.cut_after(*bytes),
                }
            }
            Disturbance::Drop => lp.0.request_exit(Error::Exit(1)),
        }
        true
    }
}

impl VisitedPeer {
    /// Lists the ends that are open, and tells `before`, the last visit's, what they have sent since.
    pub(super) fn all(lp: &EventLoop, before: &mut [Self]) -> Vec<Self> {
        let mut open = Vec::new();
        for peer in peers(lp) {
            let (id, sent) = (peer.number().unsigned_abs().into(), peer.sent());
            if let Some(before) = before.iter_mut().find(|before| before.end.id == id) {
                before.sends = sent - before.sent;
            }
            if peer.is_open() {
                let end = Subject { id, name: peer.listener() };
                open.push(Self { end, is_first: peer.is_first(), sent, sends: 0 });
            }
        }
        open
    }

    /// Lists what one kind of fault can do to it here.
    fn faults(&self, fault: PeerFault) -> impl Iterator<Item = Disturbance> + use<'_> {
        let bytes = match fault {
            PeerFault::Cut => 1..self.sends + 1,
            // Both ends see it.
            PeerFault::Reset | PeerFault::Stall if !self.is_first => 0..0,
            _ => 0..1,
        };
        bytes.map(move |bytes| Disturbance::Peer(fault, self.end.clone(), bytes))
    }
}

impl Disturbance {
    /// Reads `KIND` or `KIND:WHAT`, as `Display` writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, what) = text.split_once(':').map_or((text, None), |(kind, what)| (kind, Some(what)));
        Some(match (kind, what) {
            ("stop", None) => Self::Stop,
            ("cancel", Some(task)) => Self::Cancel(Subject::parse(task)?),
            ("signal", Some(signal)) => Self::Signal(signal_number(signal)?),
            ("error", Some(task)) => Self::Error(Subject::parse(task)?),
            ("job", Some(job)) => Self::Job(Subject::parse(job)?),
            ("late", Some(job)) => Self::Late(Subject::parse(job)?),
            ("tie", Some(place)) => Self::Tie(place.parse().ok()?),
            ("cut", Some(cut)) => {
                let (end, bytes) = cut.rsplit_once('+')?;
                Self::Peer(PeerFault::Cut, Subject::parse(end)?, bytes.parse().ok()?)
            }
            ("reset", Some(end)) => Self::Peer(PeerFault::Reset, Subject::parse(end)?, 0),
            ("stall", Some(end)) => Self::Peer(PeerFault::Stall, Subject::parse(end)?, 0),
            ("halfclose", Some(end)) => Self::Peer(PeerFault::HalfClose, Subject::parse(end)?, 0),
            ("drop", None) => Self::Drop,
            _ => return None,
        })
    }

    /// Describes it in words, for a report.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Stop => "stop".to_owned(),
            Self::Cancel(Subject { name, .. }) => format!("cancel {name}"),
            Self::Signal(signal) => format!("deliver {}", name_of(*signal)),
            Self::Error(Subject { name, .. }) => format!("fail what {name} waits for"),
            Self::Job(Subject { name, .. }) => format!("end the job {name}"),
            Self::Late(Subject { name, .. }) => format!("let the job {name} end last"),
            Self::Tie(place) => format!("take ready descriptor {} first", place.saturating_add(1)),
            Self::Peer(PeerFault::Cut, Subject { id, name }, bytes) => {
                let s = if *bytes == 1 { "" } else { "s" };
                format!("cut socket -{id} of {name} after {bytes} byte{s}")
            }
            Self::Peer(fault, Subject { id, name }, _) => {
                format!("{} socket -{id} of {name}", fault.as_str())
            }
            Self::Drop => "close the loop and drop everything".to_owned(),
        }
    }

    /// Describes it with its point.
    pub(super) fn describe_at(&self, point: Point) -> String {
        let what = self.describe();
        match (self, point) {
            (_, Point { turn, entry: 0 }) => format!("{what} at the poll of turn {turn}"),
            (Self::Drop, Point { turn, entry }) => format!("{what} in turn {turn}, after entry {entry}"),
            (_, Point { turn, entry }) => format!("{what} in turn {turn}, before entry {entry}"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { turn, entry: 0 } => write!(f, "{turn}"),
            Self { turn, entry } => write!(f, "{turn}.{entry}"),
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => f.write_str("stop"),
            Self::Cancel(task) => write!(f, "cancel:{task}"),
            Self::Signal(signal) => write!(f, "signal:{}", name_of(*signal)),
            Self::Error(task) => write!(f, "error:{task}"),
            Self::Job(job) => write!(f, "job:{job}"),
            Self::Late(job) => write!(f, "late:{job}"),
            Self::Tie(place) => write!(f, "tie:{place}"),
            Self::Peer(PeerFault::Cut, end, bytes) => write!(f, "cut:{end}+{bytes}"),
            Self::Peer(fault, end, _) => write!(f, "{}:{end}", fault.as_str()),
            Self::Drop => f.write_str("drop"),
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Option<Self> {
        let (name, id) = text.rsplit_once('#')?;
        Some(Self { id: id.parse().ok()?, name: name.to_owned() })
    }
}

/// Writes `NAME#NUMBER`, with a name that separates no parts of a schedule's text.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separates = |c: char| matches!(c, ',' | '@' | '#' | '\'') || c.is_whitespace() || c.is_control();
        write!(f, "{}#{}", self.name.replace(separates, "_"), self.id)
    }
}

pub(super) fn name_of(signal: i32) -> String {
    signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned)
}

fn signal_number(name: &str) -> Option<i32> {
    name.parse().ok().or_else(|| (1..=64).find(|n| signal_name(*n) == Some(name)))
}
