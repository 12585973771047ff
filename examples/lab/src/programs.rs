//! The programs of a lesson: the copies that are edited, what compiles them, and the Pythons of this machine.
//!
//! A copy is compiled by rustc against the libraries that cargo has built for the lab. Alternative: a package of cargo in
//! the lab's folder. Problem: it would build looplab once more. Nothing here changes a lesson: the copies are in a folder
//! of their own.

use crate::child::{Ended, Limits, run};
use crate::lessons::{self, Lesson};
use crate::root;
use looplab::sync::Lock;
use looplab::{Error, Result};
use serde_json::Value;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A longer file is no lesson.
const LONGEST: u64 = 256 << 10;
/// How long cargo or rustc may take.
const COMPILING: Limits = Limits { time: Duration::from_secs(180), output: 4 << 20, trace: 0 };
/// The packages that a lesson may use.
const PACKAGES: [&str; 4] = ["looplab", "app", "nix", "tempfile"];

/// A language of the lessons.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Language {
    Rust,
    Python,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::Rust, Self::Python];

    /// Returns the ending of its files, which is its name in addresses, too.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Rust => "rs",
            Self::Python => "py",
        }
    }

    pub(crate) fn named(ending: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.ending() == ending)
    }
}

/// Whose text is run.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Version {
    /// The lesson's own.
    Lesson,
    /// The copy.
    Copy,
}

impl Version {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "lesson" => Some(Self::Lesson),
            "copy" => Some(Self::Copy),
            _ => None,
        }
    }
}

/// The folder of the copies.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    /// Two compilers may not write one program.
    compiling: Lock,
}

impl Programs {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join("built"))?;
        Ok(Self { folder: folder.canonicalize()?, compiling: Lock::new() })
    }

    /// Returns the folder and the name of a program's text. A copy is made if there is none.
    pub(crate) fn source(&self, lesson: &Lesson, language: Language, version: Version) -> Result<PathBuf> {
        let file = format!("{}.{}", lesson.name, language.ending());
        let own = lessons::folder().join(&file);
        if version == Version::Lesson {
            return Ok(own);
        }
        let copy = self.folder.join(file);
        if !copy.is_file() {
            fs::copy(own, &copy)?;
        }
        if fs::metadata(&copy)?.len() > LONGEST {
            return Err(Error::msg(format!("{} is longer than {} KiB", copy.display(), LONGEST >> 10)));
        }
        Ok(copy)
    }

    /// Makes the copy anew.
    pub(crate) fn reset(&self, lesson: &Lesson, language: Language) -> Result<()> {
        let own = self.source(lesson, language, Version::Lesson)?;
        fs::write(self.source(lesson, language, Version::Copy)?, fs::read(own)?)?;
        Ok(())
    }

    /// Returns when the copies were last changed, as a text to compare.
    pub(crate) fn stamp(&self, lesson: &Lesson) -> Result<String> {
        let mut stamp = String::new();
        for language in Language::ALL {
            let changed = fs::metadata(self.source(lesson, language, Version::Copy)?)?.modified()?;
            let since = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            stamp += &format!("{}.", since.as_nanos());
        }
        Ok(stamp)
    }

    /// Compiles a program unless that has been done. The inner error is what the compiler says.
    pub(crate) async fn compile(
        &self,
        cargo: &Cargo,
        lesson: &Lesson,
        version: Version,
    ) -> Result<std::result::Result<PathBuf, String>> {
        let _guard = self.compiling.lock().await?;
        let source = self.source(lesson, Language::Rust, version)?;
        let folder = self.folder.join(if version == Version::Copy { "built/copy" } else { "built/lesson" });
        fs::create_dir_all(&folder)?;
        let program = folder.join(&lesson.name);
        let changed = |file: &Path| fs::metadata(file).and_then(|metadata| metadata.modified());
        // Of a file that is written while rustc reads it, the program must not look up to date.
        let as_of = changed(&source)?;
        if changed(&program).is_ok_and(|built| built == as_of) {
            return Ok(Ok(program));
        }
        let libraries = match cargo.libraries().await? {
            Ok(libraries) => libraries,
            Err(complaint) => return Ok(Err(complaint)),
        };
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "-C", "debuginfo=line-tables-only"]);
        for (name, file) in libraries {
            rustc.arg("--extern").arg(format!("{name}={}", file.display()));
            rustc.arg("-L").arg(format!("dependency={}", file.parent().unwrap_or(&file).display()));
        }
        // The path is in the program. A relative one is shown by the page, whose source text is found from the folder.
        rustc.arg("-o").arg(&program).arg(source.file_name().unwrap_or_default());
        rustc.current_dir(source.parent().unwrap_or(Path::new(".")));
        let Ended { stderr, problem } = run(&mut rustc, COMPILING, None, |_| ()).await?;
        if let Some(problem) = problem {
            return Ok(Err(format!("{stderr}rustc {problem}\n")));
        }
        fs::File::options().write(true).open(&program)?.set_modified(as_of)?;
        Ok(Ok(program))
    }
}

/// How this process was built.
#[derive(Debug)]
pub(crate) struct Cargo {
    pub(crate) target: PathBuf,
    profile: String,
}

impl Cargo {
    /// Reads it from the program's place, `TARGET/PROFILE/examples/lab`.
    pub(crate) fn of_this_process() -> Self {
        let program = env::current_exe().unwrap_or_default();
        let profile = program.ancestors().skip(1).find(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str());
            !matches!(name, Some("examples" | "deps"))
        });
        let profile = profile.unwrap_or(Path::new("target/debug"));
        let name = profile.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
        Self {
            target: profile.parent().unwrap_or(Path::new("target")).to_path_buf(),
            // The one profile whose folder has another name.
            profile: if name == "debug" { "dev".to_owned() } else { name.to_owned() },
        }
    }

    /// Returns the name and the file of each library that a lesson may use. They are built if they are not there.
    async fn libraries(&self) -> Result<std::result::Result<Vec<(String, PathBuf)>, String>> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--offline", "--example", "lab", "--profile", &self.profile]);
        cargo.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(&self.target);
        cargo.current_dir(root());
        let mut messages = String::new();
        let ended = run(&mut cargo, COMPILING, None, |text| messages.push_str(text)).await?;
        if let Some(problem) = ended.problem {
            return Ok(Err(format!("{}cargo {problem}\n", ended.stderr)));
        }
        Ok(Ok(messages.lines().filter_map(library).collect()))
    }
}

/// Reads one of cargo's messages.
fn library(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message["target"]["name"].as_str().filter(|name| PACKAGES.contains(name))?;
    let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    Some((name.to_owned(), files.rfind(|file| file.ends_with(".rlib"))?.into()))
}

/// Returns the CPythons that can run the lessons, the preferred one first. A Python counts if it answers.
pub(crate) fn pythons() -> Vec<(String, String)> {
    let own = env::var("LOOPLAB_PYTHON").unwrap_or_default();
    let own = own.split(':').filter(|command| !command.is_empty());
    let usual = ["python3.15", "python3.14", "python3.13", "python3.12", "python3.11", "python3"];
    let mut pythons: Vec<(String, String)> = Vec::new();
    for command in own.chain(usual) {
        let ask = "import sys; print(sys.implementation.name, *sys.version_info[:2])";
        let answer = Command::new(command).args(["-c", ask]).stdin(Stdio::null()).output();
        let answer =
            answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned()).unwrap_or_default();
        let words: Vec<&str> = answer.split_whitespace().collect();
        let ["cpython", "3", minor] = words[..] else { continue };
        let version = format!("3.{minor}");
        if minor.parse().is_ok_and(|minor: u32| minor >= 11)
            && pythons.iter().all(|(_, known)| *known != version)
        {
            pythons.push((command.to_owned(), version));
        }
    }
    pythons
}

/// Takes out of a command's environment what would change a lesson.
pub(crate) fn clean(command: &mut Command) {
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("LOOPLAB_")) {
        command.env_remove(name);
    }
    for name in ["PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS"] {
        command.env_remove(name);
    }
    command.env("PYTHONUTF8", "1").env("PYTHONUNBUFFERED", "1");
}
