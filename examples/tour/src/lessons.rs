//! The lessons: found in their folder, read, and looked up by what people type.
//!
//! A lesson is `NN_name.rs`. Beside it lie `NN_name.py`, the same program for CPython, and `NN_name.out`,
//! what CPython printed: the transcript. Where a CPython version prints something else, `NN_name.py3.12.out`
//! (or `.py3.12.1.out`) says what. There is no list of lessons anywhere: a new file is a new lesson.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use strsim::normalized_damerau_levenshtein;

use crate::Stop;
use crate::cli::TOUR;

/// The pages of docs/lessons, in reading order.
const PAGES: [&str; 12] = [
    "stopping",
    "callbacks-and-errors",
    "signals",
    "cancellation",
    "shutdown",
    "lifecycle",
    "combinators",
    "threads",
    "background",
    "servers",
    "applications",
    "exploring",
];

/// One lesson, as its files tell it.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub(crate) number: u32,
    /// `05_create_task_after_stop`
    pub(crate) name: String,
    /// The first line of the source's `//!` text.
    pub(crate) title: String,
    /// The paragraph after the title, on one line.
    pub(crate) about: String,
    /// The whole `//!` text after the title.
    pub(crate) text: Vec<String>,
    folder: PathBuf,
}

impl Lesson {
    pub(crate) fn source(&self) -> PathBuf {
        self.folder.join(format!("{}.rs", self.name))
    }

    pub(crate) fn twin(&self) -> PathBuf {
        self.folder.join(format!("{}.py", self.name))
    }

    pub(crate) fn transcript(&self) -> PathBuf {
        self.folder.join(format!("{}.out", self.name))
    }

    /// The transcript of this CPython version alone, if there is one; `3.12.1` is preferred to `3.12`.
    pub(crate) fn transcript_of(&self, version: [u32; 3]) -> Option<PathBuf> {
        let [major, minor, micro] = version;
        [format!("{major}.{minor}.{micro}"), format!("{major}.{minor}")]
            .iter()
            .map(|version| self.folder.join(format!("{}.py{version}.out", self.name)))
            .find(|path| path.is_file())
    }

    /// Why versions differ: the text of the twin's lines `# differs: …`.
    pub(crate) fn why_versions_differ(&self) -> Option<String> {
        let twin = fs::read_to_string(self.twin()).ok()?;
        let reasons: Vec<&str> =
            twin.lines().filter_map(|line| line.strip_prefix("# differs:")).map(str::trim).collect();
        if reasons.is_empty() { None } else { Some(reasons.join(" ")) }
    }

    fn read(folder: &Path, file: &str) -> Option<io::Result<Lesson>> {
        let name = file.strip_suffix(".rs")?;
        let (digits, slug) = name.split_once('_')?;
        if digits.len() != 2 || slug.is_empty() {
            return None;
        }
        let number = digits.parse().ok()?;
        Some(fs::read_to_string(folder.join(file)).map(|source| {
            let (title, text) = head(&source);
            Lesson {
                number,
                name: name.to_string(),
                title: if title.is_empty() { slug.replace('_', " ") } else { title },
                about: text
                    .iter()
                    .take_while(|line| !line.is_empty())
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(" "),
                text,
                folder: folder.to_path_buf(),
            }
        }))
    }
}

/// The title and the text of a source's first block of `//!` lines. The text neither begins nor ends with an
/// empty line.
fn head(source: &str) -> (String, Vec<String>) {
    let mut lines = source
        .lines()
        .skip_while(|line| !line.starts_with("//!"))
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_string());
    let title = lines.next().unwrap_or_default().trim_start_matches("# ").to_string();
    let mut text: Vec<String> = lines.skip_while(String::is_empty).collect();
    while text.last().is_some_and(String::is_empty) {
        text.pop();
    }
    (title, text)
}

/// The folder of looplab's package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package is looplab/examples/tour")
}

/// The folder that was asked for, or looplab's own.
pub(crate) fn folder(asked: Option<&Path>) -> PathBuf {
    asked.map_or_else(|| root().join("examples"), Path::to_path_buf)
}

/// The folder of the chapters.
pub(crate) fn chapters() -> PathBuf {
    root().join("examples/build")
}

/// All lessons of a folder, by number.
pub(crate) fn find(folder: &Path) -> Result<Vec<Lesson>, Stop> {
    let cannot = |what: &Path, error: io::Error| Stop::Cannot(format!("{}: {error}", what.display()));
    let mut lessons = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| cannot(folder, error))? {
        let file = entry.map_err(|error| cannot(folder, error))?.file_name();
        if let Some(lesson) = file.to_str().and_then(|file| Lesson::read(folder, file)) {
            lessons.push(lesson.map_err(|error| cannot(&folder.join(&file), error))?);
        }
    }
    if lessons.is_empty() {
        return Err(Stop::Cannot(format!("no lessons (NN_name.rs) in {}", folder.display())));
    }
    lessons.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lessons)
}

/// Returns the page that explains a lesson, as a path from the root.
pub(crate) fn page(lesson: &Lesson) -> Option<String> {
    page_and_next(lesson).map(|(page, _)| page)
}

/// Returns the page that explains a lesson, and the number of the next lesson: the one after it on that page, or the
/// first of the next page.
pub(crate) fn page_and_next(lesson: &Lesson) -> Option<(String, Option<String>)> {
    let heading = format!("\n## {:02}: ", lesson.number);
    let mut pages = PAGES.iter().map(|name| format!("docs/lessons/{name}.md"));
    while let Some(page) = pages.next() {
        let text = fs::read_to_string(root().join(&page)).unwrap_or_default();
        let Some((_, after)) = text.split_once(&heading) else { continue };
        let next_page = pages.next().and_then(|page| fs::read_to_string(root().join(page)).ok());
        let next = first_number(after).or_else(|| first_number(&next_page?));
        return Some((page, next));
    }
    None
}

/// Returns the number of the first lesson in this text of a page.
fn first_number(text: &str) -> Option<String> {
    text.split_once("\n## ").map(|(_, heading)| heading.chars().take(2).collect())
}

/// Each lesson once, in the order of the names.
pub(crate) fn resolve_each<'a>(all: &'a [Lesson], names: &[String]) -> Result<Vec<&'a Lesson>, Stop> {
    let mut lessons: Vec<&Lesson> = Vec::new();
    for name in names {
        let lesson = resolve(all, name)?;
        if lessons.iter().all(|already| already.name != lesson.name) {
            lessons.push(lesson);
        }
    }
    Ok(lessons)
}

/// Returns the lesson that a number, a name, a file or a part of a name means.
pub(crate) fn resolve<'a>(all: &'a [Lesson], wanted: &str) -> Result<&'a Lesson, Stop> {
    let name = as_a_name(wanted);
    let matches: Vec<&Lesson> = match name.parse::<u32>() {
        Ok(number) => all.iter().filter(|lesson| lesson.number == number).collect(),
        Err(_) => match all.iter().find(|lesson| lesson.name == name) {
            Some(exact) => vec![exact],
            None if name.is_empty() => Vec::new(),
            None => all.iter().filter(|lesson| lesson.name.contains(&name)).collect(),
        },
    };
    match matches[..] {
        [only] => Ok(only),
        [] => {
            let near = titles(&nearest(all, &name));
            let text = if all.first().is_some_and(|program| program.folder == chapters()) {
                format!(
                    "there is no chapter {wanted:?}; the nearest:{near}\n      docs/build/index.md lists them all"
                )
            } else {
                format!(
                    "there is no lesson {wanted:?}; the nearest:{near}\n      `{TOUR} list` lists them all, `{TOUR} find \
                     {wanted}` looks into them"
                )
            };
            Err(Stop::Cannot(text))
        }
        _ => Err(Stop::Cannot(format!("{wanted:?} is part of several names:{}", titles(&matches)))),
    }
}

/// `examples/05-Create_Task.rs` as people and shells write it is `05_create_task` as a lesson's name.
fn as_a_name(wanted: &str) -> String {
    let file = wanted.rsplit('/').next().unwrap_or(wanted);
    let stem = [".rs", ".py", ".out"].iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    stem.trim().to_lowercase().replace(['-', ' '], "_")
}

/// Lessons, each on a line with its title.
fn titles(lessons: &[&Lesson]) -> String {
    lessons.iter().map(|lesson| format!("\n      {}: {}", lesson.name, lesson.title)).collect()
}

/// Returns one to three lessons, the likeliest first. A mistyped number means a number near it. A mistyped word
/// means a lesson with such a word.
fn nearest<'a>(all: &'a [Lesson], wanted: &str) -> Vec<&'a Lesson> {
    let mut lessons: Vec<&Lesson> = all.iter().collect();
    if let Ok(number) = wanted.parse::<u32>() {
        lessons.sort_by_key(|lesson| lesson.number.abs_diff(number));
        lessons.truncate(2);
        return lessons;
    }
    let likeness = |lesson: &Lesson| likeness(&lesson.name, wanted);
    lessons.sort_by(|a, b| likeness(b).partial_cmp(&likeness(a)).unwrap_or(Ordering::Equal));
    let best = likeness(lessons[0]);
    lessons.into_iter().take(3).take_while(|lesson| likeness(lesson) > best - 0.1).collect()
}

/// How like `wanted` is to the whole name or to as many of its words in a row: 0 to 1.
fn likeness(name: &str, wanted: &str) -> f64 {
    let words: Vec<&str> = name.split('_').collect();
    let count = wanted.split('_').count().min(words.len());
    words
        .windows(count)
        .map(|part| normalized_damerau_levenshtein(&part.join("_"), wanted))
        .fold(normalized_damerau_levenshtein(name, wanted), f64::max)
}
