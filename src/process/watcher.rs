//! The thread that waits for a child (asyncio's `_ThreadedChildWatcher`).
//!
//! It guarantees that the child is reaped once it has ended. The loop does it, in the callback that sets the return code. If
//! the loop is closed, the thread does. The thread keeps no program from ending.

use super::child::Child;
use super::handle::{Id, exited};
use crate::drop_guard::DropGuard;
use crate::event_loop::Remote;
use crate::trace::Place;
use std::io;
use std::sync::Arc;
use std::thread;

/// Watches a child that was started as `id` on the loop of `remote`, by the call of the user's at `place`.
pub(super) fn watch(child: Arc<Child>, id: Id, remote: Remote, place: Place) -> io::Result<()> {
    let thread = thread::Builder::new().name(format!("looplab-waitpid-{}", child.pid()));
    let wait = move || {
        child.wait_for_end();
        // The call may reach a closed loop, or one that closes before it runs: then its drop reaps.
        let (closed, lp) = (child.clone(), remote.inbox.id);
        let unwatched = DropGuard::new(move || {
            closed.reap();
            log_warn!("Loop <EventLoop {}> that handles pid {} is closed", lp, closed.pid());
        });
        let _ = remote.call_named(place, "reap_and_notify", move || {
            unwatched.disarm();
            exited(id, child.reap())
        });
    };
    thread.spawn(wait).map(drop)
}
