//! `Backlog`: the connections that wait at a name to be accepted; and the names of a loop.

#[cfg(feature = "explore")]
use super::wire::Peer;
use super::wire::{End, Latency, Wire, error_number};
use crate::error::{IoError, Result};
use crate::event_loop::{EventLoop, Registration, TimerHandle, Watch};
use crate::net::address::Endpoint;
use crate::trace::Ready;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::{Rc, Weak};

/// A listening socket in memory. Dropping it frees the name, and resets the connections that nothing has accepted.
pub(crate) struct Backlog {
    source: Rc<Registration>,
    name: String,
    waiting: RefCell<VecDeque<End>>,
    latency: Cell<Option<Latency>>,
    /// The connections that are on their way, with the timers of their arrival.
    coming: RefCell<VecDeque<(End, TimerHandle)>>,
    network: Rc<Network>,
}

/// The listening sockets of one loop, by name, and its connections.
#[derive(Default)]
pub(super) struct Network {
    listening: RefCell<BTreeMap<String, Weak<Backlog>>>,
    #[cfg(feature = "explore")]
    wires: RefCell<Vec<Weak<Wire>>>,
}

impl Network {
    pub(super) fn of(lp: &EventLoop) -> Rc<Self> {
        let network = lp.0.network.get_or_init(|| Rc::<Self>::default());
        network.clone().downcast().unwrap_or_default()
    }

    /// Makes a connection. `name` is the second end's; otherwise an end has its number as its name.
    pub(super) fn pair(&self, lp: &EventLoop, name: Option<&str>) -> (End, End) {
        let wire = Wire::new(lp, name);
        #[cfg(feature = "explore")]
        self.list(&wire);
        wire.peers().map(End::new).into()
    }

    /// Lists a connection for the explorer.
    #[cfg(feature = "explore")]
    fn list(&self, wire: &Rc<Wire>) {
        let mut wires = self.wires.borrow_mut();
        if wires.len() == wires.capacity() {
            wires.retain(|wire| wire.strong_count() > 0);
        }
        wires.push(Rc::downgrade(wire));
    }
}

/// Lists the ends of a loop's connections, in the order in which they were made.
#[cfg(feature = "explore")]
pub(crate) fn peers(lp: &EventLoop) -> Vec<Peer> {
    let network = Network::of(lp);
    let wires = network.wires.borrow();
    wires.iter().filter_map(Weak::upgrade).flat_map(|wire| wire.peers()).collect()
}

impl Backlog {
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the name is in use.
    pub(super) fn bind(lp: &EventLoop, name: String) -> Result<Rc<Self>> {
        let network = Network::of(lp);
        if network.listening.borrow().contains_key(&name) {
            let number = error_number(98, 48);
            let text = format!("[Errno {number}] Address '{name}' is already in use");
            return Err(IoError::told(io::Error::from_raw_os_error(number), text).into());
        }
        let source = Registration::in_memory(lp);
        let (waiting, latency, coming) = Default::default();
        let (own_name, own_network) = (name.clone(), network.clone());
        let backlog = Self { source, name: own_name, waiting, latency, coming, network: own_network };
        let backlog = Rc::new(backlog);
        network.listening.borrow_mut().insert(name, Rc::downgrade(&backlog));
        Ok(backlog)
    }

    /// Returns the client's end of a new connection to `name`, and whether anything listens there.
    pub(super) fn dial(lp: &EventLoop, name: &str) -> (End, bool) {
        let network = Network::of(lp);
        let (ours, theirs) = network.pair(lp, Some(name));
        let backlog = network.listening.borrow().get(name).and_then(Weak::upgrade);
        if let Some(backlog) = &backlog {
            match backlog.latency.get() {
                None => backlog.arrive(theirs),
                Some(latency) => {
                    ours.set_latency(latency);
                    ours.begin_connect();
                    backlog.expect(lp, theirs, latency);
                }
            }
        }
        (ours, backlog.is_some())
    }

    /// Lets a connection arrive after the latency.
    fn expect(self: &Rc<Self>, lp: &EventLoop, end: End, latency: Latency) {
        let backlog = Rc::downgrade(self);
        let timer = latency.set_timer(lp, lp.time() + latency.delay, move || {
            let Some(backlog) = backlog.upgrade() else { return };
            let first = backlog.coming.borrow_mut().pop_front();
            if let Some((end, _)) = first {
                end.answer();
                backlog.arrive(end);
            }
        });
        self.coming.borrow_mut().push_back((end, timer));
    }

    fn arrive(&self, end: End) {
        self.waiting.borrow_mut().push_back(end);
        self.tell();
    }

    pub(super) fn set_latency(&self, latency: Latency) {
        self.latency.set(Some(latency));
    }

    pub(crate) fn accept(&self) -> io::Result<(End, Endpoint)> {
        let end = self.waiting.borrow_mut().pop_front().ok_or(ErrorKind::WouldBlock)?;
        self.tell();
        let peer = end.peer_addr();
        Ok((end, peer))
    }

    /// Tells the loop whether a connection waits.
    fn tell(&self) {
        self.source.set_ready(Ready { read: !self.waiting.borrow().is_empty(), write: false });
    }

    pub(crate) fn watch(&self) -> Watch {
        self.source.watch()
    }

    pub(crate) fn local_addr(&self) -> Endpoint {
        Endpoint::Memory(self.name.clone())
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.network.listening.borrow_mut().remove(&self.name);
        for (end, timer) in self.coming.take() {
            timer.cancel();
            end.reset();
        }
        for end in self.waiting.take() {
            end.reset();
        }
    }
}

impl AsRawFd for Backlog {
    fn as_raw_fd(&self) -> RawFd {
        self.source.fd
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Backlog fd={}>", self.as_raw_fd())
    }
}
