//! Lessons 41 to 47: applications over connections in memory, from their startup to their end.

use app::{App, Options, Site, run_app_on};
use looplab::net::memory;
use looplab::sync::Event;
use looplab::{Error, EventLoop, Result, Task, get_running_loop, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Runs an application on the world's loop until a signal ends it, or until its client has what it came for. The client may
/// be refused or cut off. Returns whether the application was ended at once, by a second signal.
fn serve(
    lp: &EventLoop,
    app: &App,
    timeout: Duration,
    client: impl Future<Output = Result<()>> + 'static,
) -> Result<bool> {
    let options = Options { shutdown_timeout: timeout, ..Options::default() };
    let ending = Rc::new(Cell::new(false));
    let ends = ending.clone();
    app.on_shutdown(async move |_| {
        ends.set(true);
        Ok(())
    });
    Task::builder().name("client").spawn_on(lp, async move {
        match client.await {
            Ok(()) | Err(Error::Io(_)) => {}
            Err(error) => return Err(error),
        }
        // In a shutdown it would be a second signal.
        if !ending.get() {
            get_running_loop()?.call_soon(|| Err::<(), _>(Error::Exit(1)))?;
        }
        Ok(())
    });
    match run_app_on(lp, app, Site::Memory("app".to_owned()), options) {
        Err(Error::Exit(1)) => Ok(true),
        ended => ended.map(|()| false),
    }
}

/// Asks for a page when the application is up, and returns the answer.
async fn get(up: Event, path: &'static str) -> Result<Vec<u8>> {
    up.wait().await?;
    yield_now().await?; // the port is open when the startup is over
    let (reader, writer) = memory::open_connection("app").await?;
    writer.write(format!("GET {path} HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n"))?;
    let answer = reader.read_to_end().await?;
    writer.close();
    Ok(answer)
}

fn told_up(app: &App) -> Event {
    let up = Event::new();
    let tell = up.clone();
    app.on_startup(async move |_| {
        tell.set();
        Ok(())
    });
    up
}

mod lesson_41 {
    use super::super::{SIGTERM, breaks, check, holds, runs};
    use super::{get, serve, told_up};
    use app::{App, text};
    use looplab::explore::{Explore, World};
    use looplab::{EventLoop, Result, sleep};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    // Explored:

    /// A request, whose own cleanup takes three seconds, and a cleanup hook that takes two.
    fn program(lp: &EventLoop, seconds: u64, cleanup_counts: bool) -> Result<()> {
        let app = App::new();
        let (begun, cleaned, hooked) = <(Rc<Cell<bool>>, Rc<Cell<bool>>, Rc<Cell<bool>>)>::default();
        let up = told_up(&app);
        let (begins, cleans) = (begun.clone(), cleaned.clone());
        app.route("/slow", async move |_, _| {
            begins.set(true);
            let slept = sleep(Duration::from_secs(seconds)).await;
            sleep(Duration::from_secs(3)).await?; // its cleanup
            cleans.set(true);
            slept.map(|()| text("slow done\n"))
        });
        let hook = hooked.clone();
        app.on_cleanup(async move |_| {
            sleep(Duration::from_secs(2)).await?;
            hook.set(true);
            Ok(())
        });
        let started = up.clone();
        let answered = Rc::new(Cell::new(false));
        let answer = answered.clone();
        let at_once = serve(lp, &app, Duration::from_secs(5), async move {
            answer.set(get(up, "/slow").await?.ends_with(b"slow done\n"));
            Ok(())
        })?;
        check(at_once || !started.is_set() || hooked.get(), "the cleanup hook was cut off")?;
        // Twice the timeout is ten seconds.
        let in_time = seconds + 3 < 10;
        check(at_once || !begun.get() || !in_time || answered.get(), "a request was not answered")?;
        check(at_once || !begun.get() || !cleanup_counts || cleaned.get(), "a handler's cleanup was cut off")
    }

    fn explored(seconds: u64, cleanup_counts: bool) -> Explore {
        runs(move |_: &World, lp: &EventLoop| program(lp, seconds, cleanup_counts))
    }

    #[test]
    fn requests_are_answered_for_twice_the_timeout_and_the_hooks_are_awaited() {
        holds(explored(6, true).signals([SIGTERM]));
        holds(explored(60, false).signals([SIGTERM]));
    }

    #[test]
    fn a_handler_that_is_cancelled_has_no_time_for_its_cleanup() {
        breaks(explored(60, true).signals([SIGTERM]), "signal:SIGTERM@4", "a handler's cleanup was cut off");
    }
}

mod lesson_42 {
    use super::super::{breaks, check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Error, Result, ReturnWhen, create_task, gather, sleep, wait};
    use std::time::Duration;

    async fn request(seconds: u64) -> Result<&'static str> {
        sleep(Duration::from_secs(seconds)).await?;
        Ok("answered")
    }

    // Explored:
    fn explored() -> Explore {
        main_task(async |_| {
            let in_flight = [create_task(request(2)), create_task(request(3600))];
            let (done, left) =
                wait(in_flight, ReturnWhen::AllCompleted, Some(Duration::from_secs(5))).await?;
            left.iter().for_each(|task| _ = task.cancel());
            let outcomes = gather(left).return_exceptions().await?;
            let cancelled = outcomes.iter().all(|ended| matches!(ended, Err(Error::Cancelled(_))));
            check(
                cancelled && done.len() + outcomes.len() == 2,
                "a request was neither answered nor cancelled",
            )
        })
    }

    #[test]
    fn what_the_deadline_leaves_is_cancelled_and_awaited() {
        holds(explored().stops().cancel("Task").pairs());
    }

    #[test]
    fn a_cancelled_wait_leaves_the_requests_to_the_sweep() {
        breaks(explored().cancel("main"), "cancel:main#1@3.1", "left behind: the task Task");
    }
}

mod lesson_43 {
    use super::super::{SIGTERM, check, holds, runs};
    use super::{get, serve, told_up};
    use app::{App, text};
    use looplab::explore::{Explore, World};
    use looplab::{EventLoop, Result, Signal, get_running_loop, sleep};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    // Explored:

    /// A startup hook adds the handler, on the loop that serves. With `fails` the program fails if it was called.
    fn program(lp: &EventLoop, fails: bool) -> Result<()> {
        let app = App::new();
        let reloads = Rc::new(Cell::new(0));
        let counted = reloads.clone();
        app.on_startup(async move |_| {
            let counted = counted.clone();
            get_running_loop()?.add_signal_handler(Signal::SIGHUP, move || counted.set(counted.get() + 1))
        });
        let up = told_up(&app);
        let (begun, answered) = <(Rc<Cell<bool>>, Rc<Cell<bool>>)>::default();
        let (begins, answer) = (begun.clone(), answered.clone());
        app.route("/", async move |_, _| {
            begins.set(true);
            sleep(Duration::from_secs(1)).await?;
            Ok(text("hello\n"))
        });
        let at_once = serve(lp, &app, Duration::from_secs(5), async move {
            answer.set(get(up, "/").await?.ends_with(b"hello\n"));
            sleep(Duration::from_secs(1)).await
        })?;
        check(!fails || reloads.get() == 0, "it has reloaded")?;
        check(at_once || !begun.get() || answered.get(), "a request was not answered")
    }

    fn explored(fails: bool) -> Explore {
        runs(move |_: &World, lp: &EventLoop| program(lp, fails))
    }

    #[test]
    fn a_handler_of_a_startup_hook_disturbs_no_request() {
        holds(explored(false).signals([Signal::SIGHUP, SIGTERM]));
    }

    #[test]
    fn a_handler_of_a_startup_hook_is_called_whenever_its_signal_comes() -> Result<()> {
        let report = explored(true).signals([Signal::SIGHUP]).run()?;
        let handled: u64 = report.failures().iter().map(|failure| failure.count).sum();
        // In the last poll it comes too late.
        check(handled + 1 == report.schedules() && handled > 3, &format!("{handled} calls: {report}"))
    }
}

mod lesson_44 {
    use super::super::{SIGTERM, check, holds, runs};
    use super::{get, serve, told_up};
    use app::{App, Options, Serving, Site, run_app_on, text};
    use looplab::explore::{Explore, World};
    use looplab::{Clock, Error, EventLoop, Result, sleep};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::time::Duration;

    // Explored:

    #[derive(Clone, Copy, PartialEq)]
    enum Startup {
        Ends,
        Fails,
        NeverEnds,
    }

    /// The page's context, and a startup that may go wrong after it was entered.
    fn program(lp: &EventLoop, startup: Startup) -> Result<()> {
        let app = App::new();
        let open = Rc::new(Cell::new(0));
        let connection = open.clone();
        app.context(async move |_, serving: Serving| {
            sleep(Duration::from_secs(1)).await?;
            connection.set(connection.get() + 1);
            let served = serving.await; // not: serving.await?
            sleep(Duration::from_secs(1)).await?; // closes it
            connection.set(connection.get() - 1);
            served
        });
        app.on_startup(async move |_| match startup {
            Startup::Ends => Ok(()),
            Startup::Fails => sleep(Duration::from_secs(1)).await.and(Err(Error::msg("no answer"))),
            Startup::NeverEnds => loop {
                sleep(Duration::from_secs(3600)).await?;
            },
        });
        app.route("/", async |_, _| Ok(text("hello\n")));
        let up = told_up(&app);
        // What a signal does, for a startup that never ends.
        lp.call_later(Duration::from_secs(60), || Err::<(), _>(Error::Exit(1)))?;
        let at_once =
            match serve(lp, &app, Duration::from_secs(5), async move { get(up, "/").await.map(drop) }) {
                Err(error) if startup == Startup::Fails && error.to_string() == "no answer" => false,
                ended => ended?,
            };
        check(at_once || open.get() == 0, "the connection is open")
    }

    fn explored(startup: Startup) -> Explore {
        runs(move |_: &World, lp: &EventLoop| program(lp, startup))
    }

    #[test]
    fn a_context_that_keeps_the_result_of_its_wait_closes_what_it_has_opened() {
        for startup in [Startup::Ends, Startup::Fails, Startup::NeverEnds] {
            holds(explored(startup).signals([SIGTERM]));
        }
    }

    #[test]
    fn contexts_are_closed_one_by_one_after_a_failed_startup() -> Result<()> {
        let (app, log) = (App::new(), Rc::<RefCell<Vec<String>>>::default());
        for name in ["one", "two"] {
            let log = log.clone();
            app.context(async move |_, serving: Serving| {
                let served = serving.await;
                log.borrow_mut().push(format!("{name} closes"));
                sleep(Duration::from_secs(1)).await?;
                log.borrow_mut().push(format!("{name} is closed"));
                served
            });
        }
        app.on_startup(async |_| Err(Error::msg("no answer")));
        let lp = EventLoop::builder().clock(Clock::virtual_time()).build()?;
        let options = Options { handle_signals: false, ..Options::default() };
        let ended = run_app_on(&lp, &app, Site::Memory("app".to_owned()), options);
        check(ended.is_err(), "the startup did not fail")?;
        let in_order = ["two closes", "two is closed", "one closes", "one is closed"];
        check(*log.borrow() == in_order, "they were closed in another order")
    }
}

mod lesson_45 {
    use super::super::{breaks, check, holds, main_task};
    use looplab::explore::Explore;
    use looplab::{Error, Result, ReturnWhen, Task, sleep, wait};
    use std::time::Duration;

    // Explored:

    /// The lesson's own, which says what came of it.
    async fn end(task: &Task<()>) -> Result<&'static str> {
        task.cancel();
        wait([task.clone()], ReturnWhen::AllCompleted, None).await?;
        match task.result() {
            Err(Error::Cancelled(_)) => Ok("ended"),
            Err(_) => Ok("had failed"),
            Ok(()) => Ok("had returned"),
        }
    }

    fn explored(fails: bool, cleanup: Duration) -> Explore {
        main_task(async move |world| {
            let guard = world.guard();
            let job = Task::builder().name("job").spawn(async move {
                let _guard = guard;
                let ended = sleep(Duration::from_secs(if fails { 1 } else { 60 })).await;
                sleep(cleanup).await?;
                ended.and(Err(Error::msg("no answer")))
            });
            sleep(Duration::from_secs(2)).await?;
            let said = end(&job).await?;
            check(said == if fails && !job.cancelled() { "had failed" } else { "ended" }, "it said otherwise")
        })
    }

    #[test]
    fn a_context_ends_its_job_and_does_not_fail_for_it() {
        for fails in [false, true] {
            holds(explored(fails, Duration::ZERO).stops().cancel("job").pairs());
        }
    }

    #[test]
    fn a_context_that_is_cancelled_leaves_its_job_to_the_sweep() {
        breaks(
            explored(false, Duration::from_secs(5)).cancel("main"),
            "cancel:main#1@5",
            "left behind: the task job",
        );
    }
}

mod lesson_46 {
    use super::super::{SIGTERM, check, holds, runs};
    use super::{get, serve, told_up};
    use app::redis::{Redis, is_connection_error};
    use app::{App, Serving, answer, text};
    use looplab::explore::{Explore, PeerFault, World};
    use looplab::net::memory::MemoryListener;
    use looplab::net::{StreamReader, StreamWriter, start_server_on};
    use looplab::{Error, EventLoop, Result, sleep};
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    // Explored:

    /// What a scripted Redis has seen.
    #[derive(Clone, Default)]
    struct Peer {
        clients: Rc<Cell<usize>>,
        hits: Rc<Cell<i64>>,
    }

    impl Peer {
        /// Answers commands, each after ten milliseconds.
        async fn serve(&self, reader: StreamReader, writer: StreamWriter) -> Result<()> {
            self.clients.set(self.clients.get() + 1);
            let ended = self.answer(&reader, &writer).await;
            self.clients.set(self.clients.get() - 1);
            match ended {
                Err(Error::Io(_)) => Ok(()), // the client has gone
                ended => ended,
            }
        }

        async fn answer(&self, reader: &StreamReader, writer: &StreamWriter) -> Result<()> {
            while let Some(line) = reader.next_line().await? {
                let word = line.trim_ascii_end();
                if word != b"PING" && word != b"INCR" {
                    continue; // the frame around the command, and the key
                }
                if word == b"INCR" {
                    self.hits.set(self.hits.get() + 1);
                }
                let hits = self.hits.get();
                sleep(Duration::from_millis(10)).await?;
                writer.write(if word == b"PING" {
                    "+PONG\r\n".to_owned()
                } else {
                    format!(":{hits}\r\n")
                })?;
                writer.drain().await?;
            }
            Ok(())
        }
    }

    /// The lesson's application, whose requests must get the reply to their own command.
    fn program(lp: &EventLoop) -> Result<()> {
        let (app, peer) = (App::new(), Peer::default());
        let redis = peer.clone();
        app.context(async move |_, serving: Serving| {
            let peer = redis.clone();
            let handler = async move |reader, writer| peer.serve(reader, writer).await;
            let server = start_server_on(handler, MemoryListener::bind("redis")?).await?;
            let served = serving.await;
            server.close();
            server.close_clients();
            server.wait_closed().await?;
            served
        });
        app.context(async move |app: App, serving: Serving| {
            app.store(Redis::from_url("memory://redis")?);
            let redis = app.stored::<Redis>()?;
            check(redis.ping().await?, "no pong")?;
            let served = serving.await;
            redis.close().await?;
            served
        });
        let (wrong, hits) = (Rc::new(Cell::new(false)), peer.hits.clone());
        let wrongs = wrong.clone();
        app.route("/", async move |app, _| match app.stored::<Redis>()?.incr("hits").await {
            Err(error) if is_connection_error(&error) => Ok(answer(503, "no Redis\n")),
            reply => {
                let own = reply?;
                wrongs.set(wrongs.get() || own != hits.get());
                Ok(text(format!("{own}\n")))
            }
        });
        let up = told_up(&app);
        let client = async move {
            for _ in 0..2 {
                match get(up.clone(), "/").await {
                    Ok(_) | Err(Error::Io(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let at_once = match serve(lp, &app, Duration::from_secs(5), client) {
            Err(error) if is_connection_error(&error) => false, // it does not start without a Redis
            ended => ended?,
        };
        check(!wrong.get(), "a request got the reply to another one's command")?;
        check(at_once || peer.clients.get() == 0, "a connection to Redis is left")
    }

    fn explored() -> Explore {
        runs(|_: &World, lp: &EventLoop| program(lp))
    }

    #[test]
    fn each_request_gets_its_own_reply_and_the_connection_is_closed() {
        holds(explored().signals([SIGTERM]).cancel("request"));
        holds(explored().peers([PeerFault::Reset, PeerFault::Cut, PeerFault::HalfClose]));
    }
}

mod lesson_47 {
    use super::super::{SIGTERM, holds, main_task};
    use looplab::{get_running_loop, sleep, sync::Event, yield_now};
    use std::time::Duration;

    // Explored:
    #[test]
    fn an_event_is_set_once_however_many_signals_come() {
        let program = main_task(async |_| {
            let stop = Event::new();
            let (set, minute) = (stop.clone(), stop.clone());
            let lp = get_running_loop()?;
            lp.add_signal_handler(SIGTERM, move || set.set())?;
            let minute = lp.call_later(Duration::from_secs(60), move || minute.set())?;
            stop.wait().await?; // serving
            for _ in 0..5 {
                yield_now().await?; // the shutdown
            }
            sleep(Duration::from_secs(1)).await?;
            minute.cancel();
            lp.remove_signal_handler(SIGTERM).map(drop)
        });
        holds(program.stops().signals([SIGTERM]).pairs());
    }
}
