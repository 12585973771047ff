//! What can be asked of the tour: the command line and its help.
//!
//! The texts here are the tour's reference manual; there is no other.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, value_parser};

use crate::{lessons, screen};

/// How people start the tour; its own messages use it too.
pub(crate) const TOUR: &str = "cargo run --example tour";

const EXAMPLES: &str = "\
Examples:
  cargo run --example tour                        every lesson, each checked
  cargo run --example tour run 05                 one lesson, with its text and its output
  cargo run --example tour compare 05             its twin on the CPythons found here
  cargo run --example tour compare --all --python python3.12 --python ~/py313/bin/python
  cargo run --example tour find 'already running' the lessons that explain an error
  cargo run --example tour trace 05               one row per turn of its loop
  cargo run --example tour diff 05                where its runs on looplab and on CPython part, and why
  cargo run --example tour step 05                its run in words, forward and back
  cargo run --example tour xray 05                a page that replays its run, for a browser
  cargo run --example tour xray -- --python       xray.py, which makes such a page of any asyncio program
  cargo run --example tour build 01               a chapter of docs/build, which grows the loop from nothing
  cargo run --example tour practice               the next exercise of the chapters
  cargo run --example tour lab                    all of it in a browser: read, predict, run, see, mend
  cargo run --example tour -- --json              the same for machines

Exit status: 0 all is well, 1 something differs, 2 it could not be done.";

const JSON: &str = "\
With --json standard output is one object; progress and errors stay on standard error.

  list     {lessons: [{number, name, title, about, source, transcript, twin, page, next}]}
           transcript and twin are null where the file is missing; next: the number of the next
           lesson in reading order, null at the last one
  find     {query, lessons: [{number, name, title, why}], pages, calls: [{asyncio, looplab}]}
  run      {ok, ran, failed, lessons: [RUN]}
  compare  {ok, differing, skipped, pythons: [{command, version}],
            lessons: [{number, name, title, rust: RESULT,
                       pythons: [{version, verdict, reason, missing_module} + RESULT]}]}
           verdict: same, by_version, rust_differs, python_differs, transcript_differs,
                    all_differ or skipped; reason: why a version differs, or why it was skipped
  trace    not one object: the JSON Lines of the trace, as they were written

  RUN      {number, name, title} + RESULT
  RESULT   {ok, problem, not_shown, expected, printed, stderr, status, signal, timed_out, milliseconds}
           problem: null or what is wrong; not_shown: null or what this machine lacks for it,
           which is not counted as failed; expected: the transcript that counts;
           status: the exit status, or null; signal: the number that ended it, or null";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "tour",
    bin_name = "cargo run --example tour --",
    about = "Runs the lessons of looplab and checks each against what CPython prints",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{JSON}"),
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to do; nothing named means `run` with every lesson.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the lessons: number, title, one line, page and source
    List,
    /// Find the lessons that explain an error text, a symptom, a name of asyncio or a snippet
    ///
    /// Reads docs/symptoms.md, then the lessons and their twins. The first lesson is the one to begin with. The
    /// exit status is 1 if a word stands nowhere; what fits the nearest known word is shown then.
    Find {
        /// What to look for; several words are one text
        #[arg(value_name = "TEXT", required = true)]
        text: Vec<String>,
    },
    /// Run lessons and check what they print against their transcripts
    ///
    /// Without a name: every lesson, one after another. With names: the text of each, its output as it comes,
    /// and the difference if there is one.
    Run {
        /// A number (05 or 5), a name, or a part of a name that only one lesson has
        #[arg(value_name = "LESSON")]
        lessons: Vec<String>,
    },
    /// Run the same programs on CPython now, and show where the outputs part
    ///
    /// Three texts are compared: the transcript, what CPython prints now, and what the Rust lesson prints
    /// now. The verdict names the odd one out. A file NN_name.py3.12.out beside a lesson says what CPython
    /// 3.12 prints instead; the line `# differs: REASON` in NN_name.py says why. A twin that needs a module
    /// which a Python lacks is skipped.
    Compare {
        /// A number (05 or 5), a name, or a part of a name that only one lesson has
        #[arg(value_name = "LESSON", required_unless_present = "all")]
        lessons: Vec<String>,
        /// Every lesson
        #[arg(long, conflicts_with = "lessons")]
        all: bool,
        /// Chapters of docs/build instead of lessons
        #[arg(long)]
        chapters: bool,
        /// A Python to compare with, as a command or a path; may be given several times
        ///
        /// Without it the Pythons in LOOPLAB_PYTHON (separated by colons), python3.15 to python3.11 and python3 are
        /// tried. Each version of 3.11 or later that answers is taken once. On Debian tests/pythons.sh fetches
        /// 3.15, 3.14 and 3.13.
        #[arg(long, value_name = "CMD")]
        python: Vec<String>,
    },
    /// Run one lesson and show the turns of its loop as a table
    Trace {
        /// A number (05 or 5), a name, or a part of a name that only one lesson has
        #[arg(value_name = "LESSON")]
        lesson: String,
        /// Print the trace as JSON Lines instead; the lesson's own output goes to standard error
        #[arg(long)]
        jsonl: bool,
    },
    /// Run chapters of "Build the loop yourself" and check what they print
    ///
    /// Without a name: every chapter, one after another. docs/build has a page for each.
    Build {
        /// A number (05 or 5), a name, or a part of a name that only one chapter has
        #[arg(value_name = "CHAPTER")]
        chapters: Vec<String>,
    },
    /// Solve the exercises of the chapters; `practice help` names the commands
    #[command(disable_help_flag = true)]
    Practice {
        /// What to do: nothing for the next exercise, watch, list, hint, solution, verify, breaks
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Serve the lessons in a browser: read, predict, run, see, mend; `lab help` names the options
    ///
    /// Prints an address of this machine, and serves until Ctrl-C. The same as `cargo run --example lab`.
    #[command(disable_help_flag = true)]
    Lab {
        /// Options of the lab
        #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Trace a lesson on looplab and on CPython, and show where the two runs part, and why
    ///
    /// Callbacks are aligned by what they are, which task, and what they print, never by time or turn. A difference
    /// is good if its reason is listed. Both runs are in virtual time. Needs a CPython (see `compare`).
    Diff {
        /// A number (05 or 5), a name, or a part of a name that only one lesson has
        #[arg(value_name = "LESSON", required_unless_present = "all")]
        lessons: Vec<String>,
        /// Every lesson
        #[arg(long, conflicts_with = "lessons")]
        all: bool,
    },
    /// Run one lesson and tell its run step by step, forward and back, in plain lines
    ///
    /// Each event is one sentence, and the ready queue is shown when it changes: ✓ has run, ▶ runs, ┃ is the
    /// divider between this turn's batch and what waits. In a terminal a key and Enter go on: `w` says why an entry
    /// runs, `p` asks what happens next and grades the answer. Without a terminal the whole run is printed.
    Step {
        /// A number (05 or 5), a name, or a part of a name that only one lesson has
        #[arg(value_name = "LESSON")]
        lesson: String,
    },
    /// Run one lesson and write a page that replays its run; prints the page's path
    ///
    /// The page is target/xray/NN_name.html. Open it in any browser: it needs no network. It steps through the
    /// run forward and back, and says at each step what the loop does. The run is in virtual time. If a CPython
    /// is found (see `compare`), the page has the run of the lesson's twin, too.
    Xray {
        /// A number (05 or 5), a name, or a part of a name that only one lesson has
        #[arg(value_name = "LESSON", required_unless_present = "python")]
        lesson: Option<String>,
        /// Write target/xray/xray.py instead: one file that makes such a page of any asyncio program
        ///
        /// `python3 xray.py PROGRAM.py` needs CPython 3.8 or later and nothing else.
        #[arg(long, conflicts_with = "lesson")]
        python: bool,
    },
}

/// What every command takes.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Print JSON for machines (--help says which fields)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write "ok" and "FAIL" for the marks (also without it where the locale is not UTF-8)
    #[arg(long, global = true)]
    pub(crate) ascii: bool,
    /// How long one program may run before it is killed
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// How often a program that differs is run before it counts as different
    ///
    /// Programs with timers run in real time. A machine that stands still for a tenth of a second brings two timers
    /// together, and that changes what some programs print. Counts for `compare` and for the run of all lessons.
    #[arg(long, global = true, value_name = "TIMES", default_value = "1", value_parser = value_parser!(u32).range(1..))]
    pub(crate) attempts: u32,
    /// Do not build: run the lessons as they were last built
    #[arg(long, global = true)]
    pub(crate) no_build: bool,
    /// The folder with NN_name.rs, .py and .out, if it is not this package's examples folder
    #[arg(long = "lessons", global = true, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wanted: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    match Duration::try_from_secs_f64(wanted) {
        Ok(duration) if !duration.is_zero() && wanted <= 86_400.0 => Ok(duration),
        _ => Err("must be more than 0 and at most 86400 seconds".to_string()),
    }
}

/// Reads the command line, or answers it (help, mistakes) and ends the process.
pub(crate) fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        if let Some(tip) = forgotten_run(&error) {
            screen::notice(&tip);
        }
        std::process::exit(error.exit_code());
    })
}

/// `tour 05` is close enough to `tour run 05` to say so. Running it at once was rejected: a mistyped
/// subcommand would then be taken for a part of a lesson's name.
fn forgotten_run(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let all = lessons::find(&lessons::folder(None)).ok()?;
    let lesson = lessons::resolve(&all, word).ok()?;
    Some(format!("\n  tip: `{TOUR} run {word}` runs the lesson {}", lesson.name))
}
