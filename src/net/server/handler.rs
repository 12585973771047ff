//! Calling the user's handler with each connection, in a task or directly.

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, ExceptionContext, call, get_running_loop, report};
use crate::net::stream_reader::StreamReader;
use crate::net::stream_writer::StreamWriter;
use crate::net::transport::Transport;
use crate::outcome::Outcome;
use crate::panics::Guarded;
use crate::task::Task;
use crate::trace::Place;
use std::cell::RefCell;
use std::rc::Rc;

/// The function that is called with each connection.
pub(in crate::net) type ClientConnected =
    Rc<dyn Fn(&EventLoop, StreamReader, StreamWriter, Place) -> Result<()>>;

/// Runs `handler` in a task for each connection.
pub(in crate::net) fn in_tasks<F, R>(handler: F) -> ClientConnected
where
    F: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    let handler = Rc::new(Guarded::new(handler));
    Rc::new(move |lp, reader, writer, place| {
        let transport = writer.transport();
        // A second handle of the writer, which a handler that succeeds drops. Otherwise the callback closes the connection,
        // and not the end of the body, a turn earlier.
        let kept = Rc::new(RefCell::new(Some(writer.clone())));
        let (handler, keeps) = (handler.clone(), kept.clone());
        // Alternative: a named `async fn`. Problem: it would need `R: 'static`, which the public functions do not have.
        let run_handler = async move {
            (**handler)(reader, writer).await.into_result()?;
            drop(keeps.take());
            Ok(())
        };
        let task = lp.create_task_at(place, run_handler)?;
        task.add_done_callback_at(place, "client_connected", move |task: &Task<()>| {
            match (task.error(), get_running_loop()) {
                (Ok(None), _) => {}
                (Ok(Some(error)), Ok(lp)) => fail(&lp, error, &transport),
                // The task was cancelled.
                _ => transport.close(),
            }
            drop(kept.take());
            Ok::<(), Error>(())
        });
        Ok(())
    })
}

/// Calls `callback` for each connection.
pub(in crate::net) fn in_calls<F, R>(callback: F) -> ClientConnected
where
    F: Fn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome,
{
    let callback = Guarded::new(callback);
    Rc::new(move |lp, reader, writer, _| {
        let transport = writer.transport();
        match call(|| callback(reader, writer)) {
            // As in Python, a cancellation is no `Exception`: the callback's handle reports it.
            Err(error) if !error.is_cancelled() && !error.leaves_the_loop() => {
                fail(lp, error, &transport);
                Ok(())
            }
            other => other,
        }
    })
}

/// Reports the error of a handler, and closes its connection.
fn fail(lp: &EventLoop, error: Error, transport: &Transport) {
    let context = ExceptionContext::new("Unhandled exception in client_connected_cb");
    report(Some(lp.clone()), context.with_error(error));
    transport.close();
}
