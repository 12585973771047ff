//! How streams are opened and servers started: asyncio's four functions.
//!
//! They promise asyncio's turns from the connected socket on, and its way with names: a numeric address needs no thread, a
//! name is looked up in the loop's executor. What can be set is said between the call and its await:
//! `start_server(…).limit(1024).await`.

mod client;
mod hosts;
mod servers;

pub use client::{OpenConnection, Opening, open_connection, open_unix_connection};
pub use hosts::Hosts;
pub use servers::{StartServer, Starting, start_server, start_server_with, start_unix_server};

use super::transport::Link;
use crate::error::Result;
use crate::event_loop::get_running_loop;
use crate::outcome::Outcome;
use crate::task::Future as Waiter;
use crate::trace::Place;
use std::rc::Rc;

/// Begins a connection as asyncio's transport does, in three callbacks of the next turn: calls `made`, begins to read, and
/// wakes the task that waits here. Closes the connection if this future is dropped before.
pub(super) async fn establish<F, R>(link: &Rc<Link>, made: F, place: Place) -> Result<()>
where
    F: FnOnce() -> R + 'static,
    R: Outcome,
{
    if link.is_closing() {
        return Ok(());
    }
    let mut begun = Begun(Some(link.clone()));
    let waiter = {
        // No handle of the loop lives across an await: a task must not keep the loop alive that keeps the task.
        let lp = get_running_loop()?;
        let waiter = Waiter::of_kind(&lp, "connection_made", place);
        let (reading, woken) = (link.clone(), waiter.clone());
        lp.queue(place, made)?;
        lp.queue(place, move || reading.begin_reading())?;
        lp.queue(place, move || if woken.done() { Ok(()) } else { woken.set_result(()) })?;
        waiter
    };
    waiter.await?;
    begun.0 = None;
    Ok(())
}

/// Closes a connection that is given up before it is established.
struct Begun(Option<Rc<Link>>);

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.close();
        }
    }
}
