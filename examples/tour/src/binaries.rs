//! The lessons' programs: built by cargo, then found.
//!
//! `cargo run --example tour` builds the tour and no other example, so the tour asks cargo for the rest. It
//! asks every time, since cargo alone knows whether a program is up to date, and it runs exactly the files
//! that cargo names in its answer. Looking into the folder beside the tour was rejected as the first way: it
//! runs yesterday's program when today's does not compile. It is the way without cargo (or with
//! `--no-build`), and then the tour says so.

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;
use serde_json::Value;

use crate::Stop;
use crate::interrupt::{self, CURRENT, Target};
use crate::lessons::{self, Lesson};
use crate::screen::notice;

/// Where the programs are.
#[derive(Debug)]
pub(crate) enum Binaries {
    /// What cargo has just built, by the lesson's name.
    Built(HashMap<String, PathBuf>),
    /// This folder, as it is.
    Found(PathBuf),
}

impl Binaries {
    /// The lesson's program, or why there is none.
    pub(crate) fn of(&self, lesson: &Lesson) -> Result<PathBuf, String> {
        match self {
            Binaries::Built(programs) => programs
                .get(&lesson.name)
                .cloned()
                .ok_or("has no program: cargo has not built one".to_string()),
            Binaries::Found(folder) => {
                let program = folder.join(&lesson.name);
                if program.is_file() { Ok(program) } else { Err("has not been built yet".to_string()) }
            }
        }
    }
}

/// Whose programs they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Package {
    /// Examples of looplab.
    Lessons,
    /// Programs of `examples/build`.
    Chapters,
}

impl Package {
    /// Returns where a program of this name has its source.
    fn source(self, name: &str) -> PathBuf {
        let folder = match self {
            Package::Lessons => lessons::folder(None),
            Package::Chapters => lessons::chapters(),
        };
        folder.join(format!("{name}.rs"))
    }

    /// Returns the options that make cargo build them.
    fn options(self, names: &[&str]) -> Vec<OsString> {
        let (mut options, kind): (Vec<OsString>, _) = match self {
            Package::Lessons => (Vec::new(), "--example"),
            // cargo chooses features for all packages of a build. So this one has the packages of the tour's own build, and
            // an example that is built already. Alone, the chapters would build seven packages a second time.
            Package::Chapters => {
                let packages =
                    ["looplab", "looplab-tests", "looplab-build"].map(|name| format!("--package={name}"));
                let options = packages.into_iter().chain(["--example=tour".to_string()]);
                (options.map(OsString::from).collect(), "--bin")
            }
        };
        options.extend(names.iter().flat_map(|name| [kind.into(), name.into()]));
        options
    }
}

/// Builds the programs of `lessons`; what does not compile is missing from the answer.
pub(crate) fn build(lessons: &[&Lesson], package: Package, no_build: bool) -> Result<Binaries, Stop> {
    let tour =
        env::current_exe().map_err(|error| Stop::Cannot(format!("where is the tour itself? {error}")))?;
    let folder = tour.parent().unwrap_or(Path::new(".")).to_path_buf();
    if no_build {
        notice("not building: the lessons run as they were last built");
        // Examples have a folder of their own in the programs' folder.
        let found = if package == Package::Chapters { folder.parent().unwrap_or(&folder) } else { &folder };
        return Ok(Binaries::Found(found.to_path_buf()));
    }
    // A lesson of another folder may have no program here; asking cargo for it would make cargo refuse the
    // rest.
    let names: Vec<&str> = lessons
        .iter()
        .map(|lesson| lesson.name.as_str())
        .filter(|name| package.source(name).is_file())
        .collect();
    if names.is_empty() {
        return Ok(Binaries::Built(HashMap::new()));
    }
    notice(match package {
        Package::Lessons => "building the lessons ...",
        Package::Chapters => "building the chapters ...",
    });
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command.args(["build", "--keep-going", "--message-format=json-render-diagnostics", "--manifest-path"]);
    command.arg(lessons::root().join("Cargo.toml")).args(place(&folder));
    command.args(package.options(&names)).stdin(Stdio::null()).stdout(Stdio::piped());
    match start(&mut command)? {
        Ok(child) => listen(child, &names),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            notice(&format!("no cargo ({}): the lessons run as they were last built", cargo.display()));
            Ok(Binaries::Found(folder))
        }
        Err(error) => Err(Stop::Cannot(format!("cargo ({}): {error}", cargo.display()))),
    }
}

/// The options that make cargo build where, and how, the tour itself was built: `folder` is
/// `TARGET/[TRIPLE/]PROFILE/examples`.
fn place(folder: &Path) -> Vec<OsString> {
    let profile = folder.parent();
    let (Some(profile), Some(above)) = (profile, profile.and_then(Path::parent)) else { return Vec::new() };
    let Some(name) = profile.file_name().filter(|_| folder.ends_with("examples")) else { return Vec::new() };
    let mut options: Vec<OsString> = match (above.parent(), above.file_name()) {
        (Some(target), Some(triple)) if is_triple(triple) && target.join("CACHEDIR.TAG").is_file() => {
            vec!["--target-dir".into(), target.into(), "--target".into(), triple.into()]
        }
        _ => vec!["--target-dir".into(), above.into()],
    };
    // The one profile whose folder has another name.
    let name = if name == "debug" { "dev".into() } else { name.to_os_string() };
    options.extend(["--profile".into(), name]);
    options
}

/// The tour runs on the machine it was built for, so its triple begins with this machine's architecture.
fn is_triple(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(&format!("{}-", env::consts::ARCH)))
}

/// cargo stays in the tour's own process group: it talks to the terminal, and the terminal's Ctrl-C is meant
/// for it too.
fn start(command: &mut Command) -> Result<io::Result<Child>, Stop> {
    let mut current = CURRENT.lock().expect("no panic while a child is started or reaped");
    if let Some(signal) = interrupt::caught() {
        return Err(Stop::Interrupted(signal));
    }
    Ok(command.spawn().inspect(|child| current.push(Target::Process(Pid::from_child(child)))))
}

/// Reads cargo's messages (one JSON object per line); compilers' complaints go to standard error by
/// themselves.
fn listen(mut child: Child, names: &[&str]) -> Result<Binaries, Stop> {
    let messages = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let programs: HashMap<String, PathBuf> =
        messages.lines().map_while(Result::ok).filter_map(|line| program(&line, names)).collect();
    // cargo runs alone.
    CURRENT.lock().expect("no panic while a child is started or reaped").clear();
    let status = child.wait().map_err(|error| Stop::Cannot(format!("cargo: {error}")))?;
    if let Some(signal) = interrupt::caught() {
        return Err(Stop::Interrupted(signal));
    }
    if !status.success() && programs.is_empty() {
        return Err(Stop::Cannot("the lessons could not be built: see what cargo said".to_string()));
    }
    Ok(Binaries::Built(programs))
}

fn program(line: &str, names: &[&str]) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let name = message["target"]["name"].as_str().filter(|name| names.contains(name))?;
    let path = message["executable"].as_str()?;
    Some((name.to_string(), PathBuf::from(path)))
}
