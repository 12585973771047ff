//! Lessons 22, 23 and 30: servers and connections, on sockets in memory.

mod lesson_22 {
    use super::super::{check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::net::memory::{self, MemoryListener};
    use looplab::net::{Server, StreamReader, StreamWriter, start_server_on};
    use looplab::{Error, Result, Task, TaskRef, current_task, gather, sleep, wait_for, yield_now};
    use std::{cell::RefCell, rc::Rc, time::Duration};

    type Connections = Rc<RefCell<Vec<TaskRef>>>;

    async fn serve_one(connections: &Connections, reader: StreamReader, writer: StreamWriter) -> Result<()> {
        connections.borrow_mut().extend(current_task());
        let ended = reader.readline().await;
        writer.write(if matches!(ended, Err(Error::Cancelled(_))) { "we close\n" } else { "bye\n" })?;
        writer.close(); // what was written is flushed first
        Ok(())
    }

    async fn shut_down(server: &Server, connections: &Connections) -> Result<()> {
        server.close();
        let open = connections.take();
        open.iter().for_each(|task| _ = task.cancel());
        gather(open).return_exceptions().await?;
        server.close_clients(); // also those that came as the shutdown began
        match wait_for(server.wait_closed(), Duration::from_secs(5)).await {
            Err(Error::TimedOut) => server.abort_clients(), // they do not read
            ended => return ended,
        }
        server.wait_closed().await
    }

    // Explored:

    /// A client that says nothing, one that comes `late` turns after the first, and on demand one that never reads.
    fn explored(late: usize, deaf: bool) -> Explore {
        main_task(async move |_| {
            let connections = Connections::default();
            let entered = connections.clone();
            let handler = async move |reader, writer: StreamWriter| {
                if deaf {
                    writer.write(vec![b'x'; 200_000])?;
                }
                serve_one(&entered, reader, writer).await
            };
            let server = start_server_on(handler, MemoryListener::bind("echo")?).await?;
            let first = memory::open_connection("echo").await?;
            // It may be refused.
            let come = async { Ok(memory::open_connection("echo").await.ok()) };
            let second = Task::builder().name("late").spawn(come);
            for _ in 0..late {
                yield_now().await?;
            }
            shut_down(&server, &connections).await?;
            sleep(Duration::from_secs(1)).await?;
            check(looplab::all_tasks().len() == 1, "a task is left")?;
            drop(first);
            drop(second);
            Ok(())
        })
    }

    #[test]
    fn a_client_that_comes_as_the_shutdown_begins_does_not_keep_it() {
        for late in 0..8 {
            holds(explored(late, false).stops().cancel("late"));
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_cut_off_after_the_limit() {
        holds(explored(6, true).stops().cancel("late"));
    }
}

mod lesson_23 {
    use super::super::{check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::net::memory::{self, MemoryListener};
    use looplab::net::{StreamReader, StreamWriter, start_server_on};
    use looplab::{all_tasks, sleep};
    use std::time::Duration;

    // Explored:

    /// Closes the server first, then ends its connections, in one of the two ways.
    fn explored(at_once: bool) -> Explore {
        main_task(async move |_| {
            let handler =
                async |reader: StreamReader, _writer: StreamWriter| reader.read_to_end().await.map(drop);
            let server = start_server_on(handler, MemoryListener::bind("23")?).await?;
            let _client = memory::open_connection("23").await?;
            sleep(Duration::from_millis(1)).await?;
            server.close();
            if at_once {
                server.abort_clients()
            } else {
                server.close_clients()
            }
            server.wait_closed().await?;
            sleep(Duration::from_millis(1)).await?;
            check(all_tasks().len() == 1, "a handler is left")
        })
    }

    #[test]
    fn connections_are_ended_first_and_the_server_last() {
        for at_once in [false, true] {
            holds(explored(at_once).stops().cancel("Task").pairs());
        }
    }
}

mod lesson_30 {
    use super::super::{check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::net::memory::{self, MemoryListener};
    use looplab::net::{StreamReader, StreamWriter, start_server_on};
    use looplab::{Error, Result, sleep};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    // Explored:

    /// The page's function, on a connection in memory.
    async fn with_connection(between: impl AsyncFnOnce(&StreamWriter) -> Result<()>) -> Result<()> {
        let (_reader, writer) = memory::open_connection("30").await?;
        let ended = between(&writer).await;
        writer.close();
        let closed = writer.wait_closed().await;
        ended.and(closed) // the first error counts
    }

    fn explored(fails: bool) -> Explore {
        main_task(async move |_| {
            let (opened, closed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (open, close) = (opened.clone(), closed.clone());
            let handler = async move |reader: StreamReader, writer: StreamWriter| {
                open.set(open.get() + 1);
                let ended = reader.read_to_end().await;
                close.set(close.get() + 1);
                writer.close();
                ended.map(drop)
            };
            let server = start_server_on(handler, MemoryListener::bind("30")?).await?;
            let ended = with_connection(async |_| {
                sleep(Duration::from_secs(1)).await?;
                if fails { Err(Error::msg("something else")) } else { Ok(()) }
            });
            let ended = ended.await;
            server.close();
            let cancelled = matches!(ended, Err(Error::Cancelled(_)));
            // A second cancellation ends these waits; the connection is closed all the same.
            server.wait_closed().await?;
            sleep(Duration::from_secs(1)).await?;
            check(opened.get() == closed.get(), "the connection is open")?;
            check(cancelled || ended.is_err() == fails, "the first error is lost")
        })
    }

    #[test]
    fn what_was_opened_is_closed_and_the_first_error_counts() {
        for fails in [false, true] {
            holds(explored(fails).stops().cancel("main").pairs());
        }
    }
}
