//! What the lab answers: its page, the book as JSON, runs, and the X-ray of a run.
//!
//! | address | answer |
//! |---|---|
//! | `GET /`, `/lab.js`, `/lab.css` | the lab's page |
//! | `GET /book` | all lessons and chapters |
//! | `GET /lesson/NN`, `/chapter/NN` | one of them, with its story |
//! | `POST /run/NN/rs/copy` | a run's lines as they come; `py`, and `lesson` for the unchanged program |
//! | `POST /chapter/NN` | a chapter's run |
//! | `GET /xray/NN/copy` | the X-ray page of the last runs |
//! | `GET /wait/NN/STAMP` | when a copy has been changed, or after a while |
//! | `POST /reset/NN/rs` | makes the copy anew |
//!
//! A part of an address is compared with what there is and is never a path of a file.

use crate::Settings;
use crate::child::{self, Ended, Limits};
use crate::exercises::{Exercise, Question, exercises};
use crate::lessons::{self, Lesson, chapters, is_number, lessons};
use crate::markdown;
use crate::programs::{Cargo, Language, Programs, Version, clean, pythons};
use crate::root;
use crate::server::{Lines, Request, Response, XRAY_POLICY, lines, plain, typed};
use hyper::body::Body;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Method, StatusCode};
use looplab::sync::Semaphore;
use looplab::{Error, Result, sleep};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

/// The number of programs that run at the same time.
const AT_ONCE: usize = 2;
const OUTPUT: u64 = 1 << 20;
const TRACE: u64 = 32 << 20;
/// How often the copies are looked at, and how often before a wait is answered.
const LOOK: Duration = Duration::from_millis(150);
const LOOKS: usize = 150;

const PAGE: &str = include_str!("../page/index.html");
const STYLE: &str =
    concat!(include_str!("../../../src/xray/page/style.css"), include_str!("../page/lab.css"));
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("../../../src/xray/page/lit-html.js"),
    include_str!("../../../src/xray/page/icons.js"),
    include_str!("../page/lab.js"),
);

/// A run's trace, with the name that its button in the X-ray page shows.
type Trace = (String, String);

/// All that the lab knows.
pub(crate) struct Lab {
    lessons: Vec<Lesson>,
    chapters: Vec<Lesson>,
    exercises: Vec<Exercise>,
    programs: Programs,
    pythons: Vec<(String, String)>,
    cargo: Cargo,
    limits: Limits,
    running: Semaphore,
    traces: RefCell<HashMap<(String, Version, Language), Trace>>,
}

impl Lab {
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        Ok(Self {
            lessons: lessons()?,
            chapters: chapters()?,
            exercises: exercises(),
            programs: Programs::new(&settings.folder)?,
            pythons: pythons(),
            cargo: Cargo::of_this_process(),
            limits: Limits { time: settings.patience, output: OUTPUT, trace: TRACE },
            running: Semaphore::new(AT_ONCE),
            traces: RefCell::default(),
        })
    }

    fn lesson(&self, number: &str) -> Option<&Lesson> {
        self.lessons.iter().find(|lesson| lesson.number == number)
    }

    fn exercise(&self, number: &str) -> Option<&Exercise> {
        self.exercises.iter().find(|exercise| exercise.number == number)
    }
}

/// Answers a request that has passed the gate. An error of this machine, such as a file that is gone, is a 500.
pub(crate) async fn answer(lab: Rc<Lab>, request: Request) -> Result<Response> {
    if request.body().size_hint().upper() != Some(0) {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "413: no request of the lab has a body"));
    }
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let answered = match *request.method() {
        Method::GET => get(&lab, &parts).await,
        Method::POST => post(&lab, &parts),
        _ => return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "405: GET and POST only")),
    };
    match answered {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Ok(plain(StatusCode::NOT_FOUND, "404: there is nothing here")),
        Err(error) if error.is_cancelled() => Err(error),
        Err(error) => Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("500: {error}"))),
    }
}

async fn get(lab: &Lab, parts: &[&str]) -> Result<Option<Response>> {
    Ok(match parts {
        [""] => Some(typed(StatusCode::OK, "text/html; charset=utf-8", PAGE)),
        ["lab.js"] => Some(typed(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)),
        ["lab.css"] => Some(typed(StatusCode::OK, "text/css; charset=utf-8", STYLE)),
        ["book"] => Some(json_of(&book(lab))),
        ["lesson", number] => lab.lesson(number).map(|lesson| of_lesson(lab, lesson)).transpose()?,
        ["chapter", number] => {
            lab.chapters.iter().find(|chapter| chapter.number == *number).map(of_chapter).transpose()?
        }
        ["xray", number, version] => match Version::named(version) {
            Some(version) => xray(lab, number, version),
            None => None,
        },
        ["wait", number, stamp] => match lab.lesson(number) {
            Some(lesson) => Some(wait(lab, lesson, stamp).await?),
            None => None,
        },
        _ => None,
    })
}

fn post(lab: &Rc<Lab>, parts: &[&str]) -> Result<Option<Response>> {
    match parts {
        ["run", number, language, version] => {
            let (Some(lesson), Some(language), Some(version)) =
                (lab.lesson(number), Language::named(language), Version::named(version))
            else {
                return Ok(None);
            };
            let (lab, lesson) = (lab.clone(), lesson.clone());
            let work = |to: Lines| async move {
                let ended = run(&lab, &lesson, language, version, &to).await;
                to.send(&ended.unwrap_or_else(|error| json!({ "problem": error.to_string() })));
                Ok(())
            };
            lines(work).map(Some)
        }
        ["chapter", number] if is_number(number) => {
            let Some(chapter) = lab.chapters.iter().find(|chapter| chapter.number == *number) else {
                return Ok(None);
            };
            let (lab, chapter) = (lab.clone(), chapter.clone());
            let work = |to: Lines| async move {
                let ended = run_chapter(&lab, &chapter, &to).await;
                to.send(&ended.unwrap_or_else(|error| json!({ "problem": error.to_string() })));
                Ok(())
            };
            lines(work).map(Some)
        }
        ["reset", number, language] => {
            let (Some(lesson), Some(language)) = (lab.lesson(number), Language::named(language)) else {
                return Ok(None);
            };
            lab.programs.reset(lesson, language)?;
            Ok(Some(json_of(&json!({ "stamp": lab.programs.stamp(lesson)? }))))
        }
        _ => Ok(None),
    }
}

fn json_of(value: &Value) -> Response {
    typed(StatusCode::OK, "application/json", value.to_string())
}

fn book(lab: &Lab) -> Value {
    let row = |lesson: &Lesson| {
        json!({ "number": lesson.number, "title": lesson.title, "about": lesson.about, "page": lesson.page,
            "exercise": lab.exercise(&lesson.number).is_some() })
    };
    json!({
        "lessons": lab.lessons.iter().map(row).collect::<Vec<_>>(),
        "chapters": lab.chapters.iter().map(row).collect::<Vec<_>>(),
        "python": lab.pythons.first().map(|(_, version)| version),
    })
}

fn of_lesson(lab: &Lab, lesson: &Lesson) -> Result<Response> {
    let mut programs = serde_json::Map::new();
    for language in Language::ALL {
        let own = lab.programs.source(lesson, language, Version::Lesson)?;
        let copy = lab.programs.source(lesson, language, Version::Copy)?;
        let file =
            json!({ "text": fs::read_to_string(own)?, "copy": fs::read_to_string(&copy)?, "path": copy });
        programs.insert(language.ending().to_owned(), file);
    }
    let exercise = lab.exercise(&lesson.number).map(|exercise| {
        json!({ "task": markdown::html(exercise.task), "hint": markdown::html(exercise.hint),
            "want": exercise.want, "never": exercise.never,
            "questions": exercise.questions.iter().map(of_question).collect::<Vec<_>>(),
            "solutions": exercise.solutions.iter().cloned().collect::<HashMap<_, _>>() })
    });
    Ok(json_of(&json!({
        "number": lesson.number,
        "title": lesson.title,
        "page": lesson.page,
        "story": markdown::html(&lesson.story),
        "programs": programs,
        "transcript": transcript(lesson)?,
        "exercise": exercise,
        "stamp": lab.programs.stamp(lesson)?,
    })))
}

fn of_question(question: &Question) -> Value {
    let options: Vec<&str> = question.options.iter().map(|(option, _)| *option).collect();
    let right = question.options.iter().position(|(_, right)| *right);
    json!({ "text": question.text, "options": options, "right": right, "why": question.why })
}

fn transcript(lesson: &Lesson) -> Result<String> {
    Ok(fs::read_to_string(lessons::folder().join(format!("{}.out", lesson.name)))?)
}

fn of_chapter(chapter: &Lesson) -> Result<Response> {
    let folder = root().join("examples/build");
    Ok(json_of(&json!({
        "number": chapter.number,
        "title": chapter.title,
        "story": markdown::html(&chapter.story),
        "transcript": fs::read_to_string(folder.join(format!("{}.out", chapter.name)))?,
    })))
}

/// Answers with the stamp of the copies when it is no longer `stamp`, or after a while.
async fn wait(lab: &Lab, lesson: &Lesson, stamp: &str) -> Result<Response> {
    let mut looks = LOOKS;
    loop {
        let now = lab.programs.stamp(lesson)?;
        looks -= 1;
        if now != stamp || looks == 0 {
            return Ok(json_of(&json!({ "stamp": now })));
        }
        sleep(LOOK).await?;
    }
}

/// Returns the page of the last runs, Rust first.
fn xray(lab: &Lab, number: &str, version: Version) -> Option<Response> {
    let traces = lab.traces.borrow();
    let of = |language| traces.get(&(number.to_owned(), version, language));
    let traces: Vec<(&str, &str)> = Language::ALL
        .into_iter()
        .filter_map(of)
        .map(|(name, trace)| (name.as_str(), trace.as_str()))
        .collect();
    if traces.is_empty() {
        return None;
    }
    let mut page = typed(StatusCode::OK, "text/html; charset=utf-8", looplab::xray::page(&traces));
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(XRAY_POLICY));
    Some(page)
}

/// Runs a program of a lesson, sends what it prints, and keeps its trace. Returns how it ended.
async fn run(lab: &Lab, lesson: &Lesson, language: Language, version: Version, to: &Lines) -> Result<Value> {
    let _permit = lab.running.permit().await?;
    let key = (lesson.number.clone(), version, language);
    lab.traces.borrow_mut().remove(&key);
    let folder = tempfile::tempdir()?;
    let trace = folder.path().join("trace.jsonl");
    let source = lab.programs.source(lesson, language, version)?;
    let commands = match language {
        Language::Rust => {
            to.send(&json!({ "doing": "compiling" }));
            match lab.programs.compile(&lab.cargo, lesson, version).await? {
                Ok(program) => vec![("Rust".to_owned(), in_rust(&program, &trace))],
                Err(complaint) => return Ok(json!({ "problem": "does not compile", "stderr": complaint })),
            }
        }
        Language::Python => {
            fs::write(folder.path().join("xray.py"), looplab::xray::python())?;
            let command = |(command, version): &(String, String)| {
                (format!("Python {version}"), in_python(command, folder.path(), &source))
            };
            lab.pythons.iter().map(command).collect()
        }
    };
    to.send(&json!({ "doing": "running" }));
    let mut ended = None;
    for (name, mut command) in commands {
        clean(&mut command);
        command.env("LOOPLAB_CLOCK", "virtual").current_dir(source.parent().unwrap_or(Path::new(".")));
        if language == Language::Rust {
            command.env("LOOPLAB_TRACE", &trace);
        }
        let mut printed = String::new();
        let heard = |text: &str| {
            if !text.is_empty() {
                printed += text;
                to.send(&json!({ "out": text }));
            }
        };
        let this = child::run(&mut command, lab.limits, Some(&trace), heard).await?;
        if let Ok(lines) = fs::read_to_string(&trace)
            && lines.contains(r#""e":"loop""#)
        {
            let lines = with_source(lines, &source)?;
            lab.traces.borrow_mut().insert(key.clone(), (name.clone(), lines));
        }
        let lacks_a_module = this.stderr.contains("ModuleNotFoundError");
        let traced = lab.traces.borrow().contains_key(&key);
        let mut verdict = verdict(lab, lesson, &name, &printed, this)?;
        verdict["traced"] = traced.into();
        ended = Some(verdict);
        if !lacks_a_module {
            break; // else another Python may have it
        }
    }
    Ok(ended
        .unwrap_or_else(|| json!({ "problem": "needs a CPython of 3.11 or later, and none answers here" })))
}

fn in_rust(program: &Path, trace: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LOOPLAB_TRACE", trace);
    command
}

fn in_python(python: &str, folder: &Path, source: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(folder.join("xray.py")).args(["--virtual", "-o"]).arg(folder.join("trace.jsonl")).arg(source);
    command
}

/// Adds the program's text to its trace, unless the trace holds it.
fn with_source(mut lines: String, source: &Path) -> Result<String> {
    if lines.contains(r#""k":"file""#) {
        return Ok(lines);
    }
    let last: Value =
        lines.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let (s, text) = (last["s"].as_u64().unwrap_or_default() + 1, fs::read_to_string(source)?);
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let line = json!({ "s": s, "t": last["t"], "e": "def", "k": "file", "id": 1, "v": name, "text": text });
    lines += &format!("{line}\n");
    Ok(lines)
}

/// Compares a run with the transcript, and with what the exercise asks for.
fn verdict(lab: &Lab, lesson: &Lesson, name: &str, printed: &str, ended: Ended) -> Result<Value> {
    let exercise = lab.exercise(&lesson.number);
    let fix = exercise.map(|exercise| exercise.problem(printed).unwrap_or_default());
    Ok(json!({
        "name": name,
        "problem": ended.problem,
        "stderr": ended.stderr,
        "same": printed == transcript(lesson)?,
        "fix": fix,
    }))
}

/// Runs a chapter's own program as cargo builds it: chapters have no copies.
async fn run_chapter(lab: &Lab, chapter: &Lesson, to: &Lines) -> Result<Value> {
    let _permit = lab.running.permit().await?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--offline", "--package", "looplab-build", "--bin", &chapter.name]);
    command.current_dir(root());
    clean(&mut command);
    to.send(&json!({ "doing": "compiling and running" }));
    let mut printed = String::new();
    let limits = Limits { time: lab.limits.time.max(Duration::from_secs(120)), ..lab.limits };
    let ended = child::run(&mut command, limits, None, |text| {
        if !text.is_empty() {
            printed += text;
            to.send(&json!({ "out": text }));
        }
    })
    .await?;
    let wanted = fs::read_to_string(root().join("examples/build").join(format!("{}.out", chapter.name)));
    let wanted = wanted.map_err(Error::from)?;
    Ok(json!({ "name": "Rust", "problem": ended.problem, "stderr": ended.stderr, "same": printed == wanted }))
}
