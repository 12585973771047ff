//! One connection to Redis for the whole application: opened, used and closed with it.
//!
//! A context opens it and asks for a `ping` before the application serves. Requests use it. After the
//! `yield` it is closed, and the server has one client fewer. Making the client does not connect. Without
//! the ping an application starts although Redis is down, and its users are the first to notice.
//!
//! The lesson talks to the server that REDIS_URL names, or else starts a `redis-server` of its own. Where
//! there is none, a small server within the lesson answers.

use app::browser::{gate, get, listen, send};
use app::redis::{Redis, is_connection_error};
use app::redis_server::RedisServer;
use app::{App, Options, Serving, answer, run_app, text};
use looplab::{EventLoop, Result, sleep};
use nix::sys::signal::Signal::SIGTERM;
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

fn scenario(url: &str, ping: bool) -> Result<()> {
    let (up, is_up) = gate();
    let app = App::new();
    app.route("/", async |app, _| match app.stored::<Redis>()?.incr(KEY).await {
        Err(error) if is_connection_error(&error) => Ok(answer(503, "no Redis\n")),
        hits => hits.map(|hits| text(format!("{hits}\n"))),
    });
    let url = url.to_owned();
    app.context(async move |app, serving| connection(app, serving, &url, ping).await);
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
        send(SIGTERM);
    });
    match run_app(&app, socket, Options::default()) {
        Err(error) if is_connection_error(&error) => println!("  run_app failed: there is no Redis"),
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
    scenario(url, true)?;
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
    scenario("redis://127.0.0.1:1", true)?;
    println!("Redis is down, without");
    scenario("redis://127.0.0.1:1", false)
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
