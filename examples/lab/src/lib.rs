//! The lab: the lessons and chapters in a browser, served by hyper on looplab itself.
//!
//! A lesson has five steps: read its story, predict its run, run it, see it in the X-ray page, and mend it. The learner
//! edits copies of the lesson's two programs in an editor of their own. Each save runs the program again.
//!
//! `gate` decides which requests are answered. `server` speaks HTTP, `routes` says what is where, `lessons`, `exercises`
//! and `markdown` read the book. `programs` compiles and finds programs, and `child` runs one with limits. `strays`
//! finds what has left its group.
//!
//! It guarantees that only this machine, and only a browser with the key, reaches it, and that no program outlives its
//! limits or the lab. It runs the lessons' programs and the copies, never text from a request. It is no sandbox: an
//! edited program may do what its author may.

mod child;
pub mod exercises;
mod gate;
pub mod lessons;
pub mod markdown;
mod programs;
mod routes;
mod server;
mod strays;

use looplab::{Error, Result, get_running_loop};
use rustix::process::Signal;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

const HELP: &str = "\
Usage: cargo run --example lab [-- OPTIONS]

Serves the lessons and chapters on this machine, and prints the address to open. Ctrl-C ends it.

  --folder FOLDER    where the copies are that you edit (target/lab)
  --seconds SECONDS  how long one program may run (15)";

/// What a lab may be told.
#[derive(Clone, Debug)]
struct Settings {
    /// Where the copies are that the learner edits.
    folder: PathBuf,
    /// How long one program may run.
    patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let target = programs::Cargo::of_this_process().target;
        Self { folder: target.join("lab"), patience: Duration::from_secs(15) }
    }
}

/// Serves until Ctrl-C or SIGTERM, which are the normal ends: exit status 0. Otherwise 1, and 2 for a wrong command line.
pub fn main() -> ExitCode {
    let settings = match settings(env::args().skip(1)) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("lab: {why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let served = looplab::run(serve(settings, |address| {
        println!("The lab is at {address}\nOpen it in a browser. Ctrl-C ends it.");
    }));
    match served {
        Ok(()) | Err(Error::KeyboardInterrupt | Error::Exit(_)) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(1)
        }
    }
}

/// Reads the command line; `None` asks for help.
fn settings(mut words: impl Iterator<Item = String>) -> std::result::Result<Option<Settings>, String> {
    let mut settings = Settings::default();
    while let Some(word) = words.next() {
        if ["help", "--help", "-h"].contains(&word.as_str()) {
            return Ok(None);
        }
        let value = words.next();
        match (word.as_str(), value) {
            ("--folder", Some(folder)) => settings.folder = folder.into(),
            ("--seconds", Some(seconds)) => {
                let patience =
                    seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                settings.patience = patience.ok_or_else(|| format!("{seconds}: not a number of seconds"))?;
            }
            _ => return Err(format!("{word}: no such option, or it needs a value")),
        }
    }
    Ok(Some(settings))
}

/// Serves until it is cancelled. `ready` gets the address with its key.
async fn serve(settings: Settings, ready: impl FnOnce(&str)) -> Result<()> {
    get_running_loop()?.add_signal_handler(Signal::TERM.as_raw(), || Err::<(), _>(Error::Exit(0)))?;
    let lab = Rc::new(routes::Lab::new(settings)?);
    server::serve(lab, ready).await
}

/// The folder of looplab's package.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package is looplab/examples/lab")
}
