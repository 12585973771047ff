//! The applications' life cycle (`examples/app`, lessons 41 to 47) holds whatever happens to it, with its clients in memory.

use app::{App, Options, Serving, Site, run_app_on, text};
use looplab::explore::{Explore, World};
use looplab::net::memory;
use looplab::sync::Event;
use looplab::{Error, Result, Signal, Task, get_running_loop, sleep, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Story(Rc<RefCell<Vec<&'static str>>>);

impl Story {
    fn tell(&self, what: &'static str) {
        self.0.borrow_mut().push(what);
    }

    fn has(&self, what: &str) -> bool {
        self.0.borrow().contains(&what)
    }

    /// Checks what holds whatever is cancelled.
    fn check(&self) -> Result<()> {
        let count = |what: &str| self.0.borrow().iter().filter(|told| **told == what).count();
        // A second signal may come while the first one's sweep runs. Then nothing more is left.
        let left = count("closed") == count("opened") || self.has("at once");
        self.promise(left && count("closed") <= count("opened"), "a context is entered and not left")?;
        self.promise(["opened", "shutdown", "cleanup"].iter().all(|what| count(what) <= 1), "twice")?;
        self.promise(!self.has("shutdown") || self.has("startup"), "a shutdown without a startup")?;
        let graceful = self.is_graceful();
        self.promise(!graceful || (self.has("shutdown") && self.has("cleanup")), "no graceful end")?;
        let order = ["shutdown", "closed", "cleanup"];
        let order = order.iter().filter_map(|what| self.0.borrow().iter().position(|told| told == what));
        self.promise(!graceful || order.is_sorted(), "in the wrong order")?;
        self.promise(
            !graceful || !self.has("request") || self.has("answer") || self.has("cut off"),
            "a client hangs",
        )
    }

    /// Checks what also holds if nothing but signals came.
    fn check_answers(&self) -> Result<()> {
        self.check()?;
        let lost = self.has("request") && !self.has("answer");
        self.promise(!self.is_graceful() || !lost, "a request without an answer")
    }

    /// A second signal ends it at once, and so does one during the startup.
    fn is_graceful(&self) -> bool {
        self.has("startup") && !self.has("at once")
    }

    fn promise(&self, holds: bool, broken: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(Error::msg(format!("{broken}: {:?}", self.0.borrow()))) }
    }
}

/// An application with a context, all hooks and a slow page.
fn application(story: &Story, up: Event) -> App {
    let app = App::new();
    let at = story.clone();
    app.context(async move |_, serving: Serving| {
        sleep(ms(1)).await?;
        at.tell("opened");
        let ended = serving.await;
        at.tell("closed");
        ended
    });
    let at = story.clone();
    app.on_startup(async move |_| {
        sleep(ms(1)).await?;
        at.tell("startup");
        up.set();
        Ok(())
    });
    let at = story.clone();
    app.route("/slow", async move |_, _| {
        at.tell("request");
        sleep(ms(400)).await?;
        Ok(text("slow done\n"))
    });
    let at = story.clone();
    app.on_shutdown(async move |_| {
        at.tell("shutdown");
        sleep(ms(1)).await
    });
    let at = story.clone();
    app.on_cleanup(async move |_| {
        at.tell("cleanup");
        sleep(ms(1)).await
    });
    app
}

/// Asks for the slow page when the application is up, and then ends it, as a signal does.
async fn customer(story: Story, up: Event) -> Result<()> {
    up.wait().await?;
    // The port is open when the startup is over.
    yield_now().await?;
    let asked = async {
        let (reader, writer) = memory::open_connection("app").await?;
        writer.write("GET /slow HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n")?;
        let answer = reader.read_to_end().await?;
        writer.close();
        Ok(answer)
    };
    match asked.await {
        Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => story.tell("answer"),
        Ok(_) | Err(Error::Io(_)) => story.tell("cut off"),
        Err(error) => return Err(error),
    }
    // In a shutdown it would be a second signal.
    if !story.has("shutdown") {
        get_running_loop()?.call_soon(|| Err::<(), _>(Error::Exit(1)))?;
    }
    Ok(())
}

fn explored(check: fn(&Story) -> Result<()>) -> Explore {
    Explore::new(move |world: &World| {
        let (story, up) = (Story::default(), Event::new());
        let at_end = story.clone();
        world.finally(move || check(&at_end));
        let app = application(&story, up.clone());
        world.runs(move |lp| {
            let options = Options { shutdown_timeout: Duration::from_secs(5), ..Options::default() };
            Task::builder().name("customer").spawn_on(lp, customer(story.clone(), up));
            match run_app_on(lp, &app, Site::Memory("app".to_owned()), options) {
                Err(Error::Exit(1)) => story.tell("at once"),
                ended => ended?,
            }
            Ok(())
        });
        Ok(())
    })
}

fn signalled() -> Explore {
    explored(Story::check_answers).signals([Signal::SIGTERM, Signal::SIGINT])
}

fn cancelled() -> Explore {
    explored(Story::check).cancel("accept").cancel("connection").cancel("request")
}

#[test]
fn an_application_keeps_its_life_cycle_whenever_a_signal_comes() {
    signalled().check();
}

#[test]
fn an_application_keeps_its_life_cycle_whatever_is_cancelled() {
    cancelled().check();
}

#[test]
#[ignore = "CI runs it"]
fn an_application_keeps_its_life_cycle_under_any_two_disturbances() {
    signalled().pairs().check();
    cancelled().signals([Signal::SIGTERM]).pairs().check();
}
