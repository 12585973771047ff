//! How a connection begins: in three callbacks of the next turn, as asyncio's transports begin. They call `connection_made`,
//! begin to read, and wake the task that waits here.

use super::transport::Transport;
use crate::drop_guard::DropGuard;
use crate::error::Result;
use crate::event_loop::{EventLoop, get_running_loop};
use crate::outcome::Outcome;
use crate::task::Future as Waiter;
use crate::trace::Place;

/// Begins a connection. Closes it if this future is dropped before it has begun.
pub(super) async fn establish<F, R>(transport: &Transport, connection_made: F, place: Place) -> Result<()>
where
    F: FnOnce() -> R + 'static,
    R: Outcome,
{
    if transport.is_closing() {
        return Ok(());
    }
    let abandoned = DropGuard::new(|| transport.close());
    let reads = transport.clone();
    // No handle of the loop lives across the await: a task must not keep the loop alive that keeps the task.
    let waiter =
        queue_callbacks(&get_running_loop()?, connection_made, move || reads.begin_reading(), place)?;
    waiter.await?;
    abandoned.disarm();
    Ok(())
}

/// Queues the three callbacks. Returns the future that the last one completes.
pub(super) fn queue_callbacks<R: Outcome>(
    lp: &EventLoop,
    connection_made: impl FnOnce() -> R + 'static,
    begin_reading: impl FnOnce() -> Result<()> + 'static,
    place: Place,
) -> Result<Waiter<()>> {
    let waiter = Waiter::of_kind(lp, "connection_made", place);
    let woken = waiter.clone();
    let set_result = move || if woken.done() { Ok(()) } else { woken.set_result(()) };
    lp.queue_named(place, "connection_made", connection_made)?;
    lp.queue_named(place, "add_reader", begin_reading)?;
    lp.queue_named(place, "set_result_unless_cancelled", set_result)?;
    Ok(waiter)
}
