//! One connection to Redis for the whole application: opened, used and closed with it.
//!
//! A context opens it and asks for a `ping` before the application serves. Requests use it. After the
//! `yield` it is closed, and the server has one client fewer. Making the client does not connect. Without
//! the ping an application starts although Redis is down, and its users are the first to notice. The last
//! part is wired as in many texts: a hook makes a client, and no code stores it. The cleanup finds nothing
//! and fails, at every end.
//!
//! The lesson talks to the server that REDIS_URL names, or else starts a `redis-server` of its own. Where
//! there is none, a small server within the lesson answers.

use app::browser::{gate, get, listen, send};
use app::redis::{Redis, is_connection_error};
use app::redis_server::RedisServer;
use app::{App, Options, Response, Serving, answer, run_app, text};
use looplab::{EventLoop, Result, Signal, sleep};
use std::thread;
use std::time::Duration;

const KEY: &str = "looplab:hits";

async fn connection(app: App, serving: Serving, url: &str, ping: bool) -> Result<()> {
    app.store(Redis::from_url(url)?);
    let redis = app.stored::<Redis>()?;
    if ping {
        println!("  startup: the ping is answered: {}", if redis.ping().await? { "yes" } else { "no" });
    }
    serving.await?;
    redis.close().await?;
    println!("  cleanup: closed");
    Ok(())
}

fn in_a_context(app: &App, url: &str, ping: bool) {
    let url = url.to_owned();
    app.context(async move |app, serving| connection(app, serving, &url, ping).await);
}

fn in_two_hooks(app: &App, url: &str) {
    let url = url.to_owned();
    app.on_startup(async move |_| Redis::from_url(&url).map(drop)); // what a hook makes is stored nowhere
    app.on_cleanup(async |app| app.stored::<Redis>()?.close().await);
    app.on_cleanup(async |_| {
        println!("  the hook after it runs"); // it does not
        Ok(())
    });
}

async fn hit(app: App) -> Result<Response> {
    let Ok(redis) = app.stored::<Redis>() else { return Ok(answer(500, "nothing is stored\n")) };
    match redis.incr(KEY).await {
        Err(error) if is_connection_error(&error) => Ok(answer(503, "no Redis\n")),
        hits => hits.map(|hits| text(format!("{hits}\n"))),
    }
}

fn scenario(wire: impl FnOnce(&App)) -> Result<()> {
    let (up, is_up) = gate();
    let app = App::new();
    app.route("/", async |app, _| hit(app).await);
    wire(&app);
    app.on_startup(async move |_| {
        let _ = up.send(());
        Ok(())
    });

    let socket = listen()?;
    let address = socket.local_addr()?;
    let user = thread::spawn(move || {
        if is_up.recv().is_err() {
            return; // it does not come to serve
        }
        for _ in 0..2 {
            let said = get(address, "/").map_or_else(str::to_owned, |answer| answer.to_string());
            println!("  GET: {}", said.trim());
        }
        send(Signal::SIGTERM);
    });
    match run_app(&app, socket, Options::default()) {
        Err(error) if is_connection_error(&error) => println!("  run_app failed: there is no Redis"),
        Err(error) if error.to_string().starts_with("nothing is stored") => {
            println!("  run_app failed: nothing is stored");
        }
        ended => ended.map(|()| println!("  run_app has returned"))?,
    }
    drop(app);
    user.join().expect("no panic");
    Ok(())
}

fn lesson(url: &str) -> Result<()> {
    let lp = EventLoop::new()?;
    let server = Redis::from_url(url)?;
    let (server, before) = lp.run_until_complete(async move {
        server.delete(KEY).await?;
        let before = server.clients().await?;
        Ok((server, before))
    })?;

    println!("Redis is there");
    scenario(|app| in_a_context(app, url, true))?;
    lp.run_until_complete(async move {
        for _ in 0..1000 {
            if server.clients().await? <= before {
                break;
            }
            sleep(Duration::from_millis(10)).await?; // the server notices the end in its own time
        }
        println!("  clients left behind: {}", server.clients().await? - before);
        server.delete(KEY).await?;
        server.close().await
    })?;
    println!("Redis is down, with a ping");
    scenario(|app| in_a_context(app, "redis://127.0.0.1:1", true))?;
    println!("Redis is down, without");
    scenario(|app| in_a_context(app, "redis://127.0.0.1:1", false))?;
    println!("Redis is there, and its client is stored nowhere");
    scenario(|app| in_two_hooks(app, url))
}

fn main() -> Result<()> {
    match RedisServer::find() {
        Ok(server) => {
            if server.is_embedded() {
                eprintln!("There is no redis-server here: a small server within this lesson answers.");
            }
            lesson(&server.url)
        }
        Err(why) => {
            println!("not shown: {why}");
            Ok(())
        }
    }
}

// Explained in docs/lessons/applications.md.
// Next: 47_aiohttp_second_signal.rs
