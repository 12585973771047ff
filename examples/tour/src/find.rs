//! `tour find`: from an error text, a symptom, a name of asyncio or a snippet to lessons and pages.
//!
//! The table of docs/symptoms.md comes first: it is the one place that says which lesson explains what. After it come
//! lessons whose own text or twin has every word. A rare word counts more than a frequent one, so a whole error text
//! finds its row in spite of the words that all errors have. After them come calls of asyncio, and what each is in looplab. If
//! none of these has a word, the pages are named that have all of them in a row.

use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};
use strsim::normalized_damerau_levenshtein;

use crate::Stop;
use crate::calls::{self, Call, calls_with};
use crate::lessons::{self, Lesson};
use crate::screen::{Ink, Screen};

/// A row that has less of the query, by weight, is no answer.
const LEAST: f64 = 0.6;

/// What is shown at most.
const MOST: usize = 8;

/// A row of the table: its text, its lessons and its other pages.
struct Symptom {
    text: String,
    words: Vec<String>,
    lessons: Vec<u32>,
    pages: Vec<String>,
}

/// A lesson that answers, and the text by which it was found.
struct Answer<'a> {
    lesson: &'a Lesson,
    why: String,
}

/// All that answers.
struct Found<'a> {
    lessons: Vec<Answer<'a>>,
    pages: Vec<String>,
    calls: Vec<Call>,
}

/// Prints the lessons, pages and calls that answer; false if no text has all of it.
pub(crate) fn find(screen: &mut Screen, all: &[Lesson], query: &str) -> Result<bool, Stop> {
    let symptoms = symptoms()?;
    let texts: Vec<Vec<String>> = all.iter().map(text_of).collect();
    let mut asked = words(query);
    let calls = calls_with(&asked)?;
    let known = |word: &String| {
        let has = |words: &[String]| words.iter().any(|known| known.starts_with(word.as_str()));
        !calls.is_empty()
            || symptoms.iter().any(|symptom| has(&symptom.words))
            || texts.iter().any(|words| has(words))
    };
    let mut unknown: Vec<String> = asked.iter().filter(|word| !known(word)).cloned().collect();
    let others = if unknown.is_empty() { Vec::new() } else { pages_with(&asked)? };
    if !others.is_empty() {
        unknown.clear();
    } else if asked.iter().all(|word| unknown.contains(word)) {
        // Nothing fits as it is written: the nearest known words are asked for.
        asked = unknown.iter().filter_map(|word| nearest(word, &symptoms, &texts)).collect();
    }
    let (lessons, mut pages) = answers(all, &symptoms, &texts, &asked);
    pages.extend(others);
    if calls.iter().any(|call| call.is_in_page) && !pages.iter().any(|page| page == calls::PAGE) {
        pages.push(calls::PAGE.to_owned());
    }
    pages.truncate(MOST);
    let found = Found { lessons, pages, calls };
    if screen.json {
        screen.line(&as_json(query, &found).to_string())?;
    } else {
        show(screen, query, &asked, &unknown, &found)?;
    }
    Ok(unknown.is_empty() && !found.is_empty())
}

fn answers<'a>(
    all: &'a [Lesson],
    symptoms: &[Symptom],
    texts: &[Vec<String>],
    asked: &[String],
) -> (Vec<Answer<'a>>, Vec<String>) {
    let weights = weights(symptoms, texts, asked);
    let mut rows: Vec<(f64, &Symptom)> =
        symptoms.iter().map(|symptom| (score(&symptom.words, asked, &weights), symptom)).collect();
    rows.retain(|(score, _)| *score >= LEAST);
    rows.sort_by(|(a, _), (b, _)| b.total_cmp(a)); // stable: the table's order decides between equals
    let mut answers: Vec<Answer<'a>> = Vec::new();
    let mut pages: Vec<String> = Vec::new();
    for (_, symptom) in rows {
        for number in &symptom.lessons {
            let lesson = all.iter().find(|lesson| lesson.number == *number);
            answers.extend(lesson.map(|lesson| Answer { lesson, why: symptom.text.clone() }));
        }
        pages.extend(symptom.pages.iter().cloned());
    }
    for (lesson, words) in all.iter().zip(texts) {
        // A lesson has many words: here the query has to stand there as it is.
        if !asked.is_empty() && in_a_row(words, asked) {
            answers.push(Answer { lesson, why: lesson.about.clone() });
        }
    }
    let mut seen = Vec::new();
    answers.retain(|answer| {
        let new = !seen.contains(&answer.lesson.number);
        seen.push(answer.lesson.number);
        new
    });
    answers.truncate(MOST);
    let of_lessons: Vec<String> = answers.iter().filter_map(|answer| lessons::page(answer.lesson)).collect();
    let mut pages: Vec<String> = of_lessons.into_iter().chain(pages).collect();
    let mut seen = Vec::new();
    pages.retain(|page| {
        let new = !seen.contains(page);
        seen.push(page.clone());
        new
    });
    (answers, pages)
}

fn show(
    screen: &mut Screen,
    query: &str,
    asked: &[String],
    unknown: &[String],
    found: &Found<'_>,
) -> Result<(), Stop> {
    if !unknown.is_empty() {
        let instead = if asked.is_empty() { String::new() } else { format!("; shown: {}", asked.join(" ")) };
        screen.line(&format!("no lesson has: {}{instead}\n", unknown.join(" ")))?;
    }
    if found.is_empty() {
        return Ok(screen.line(&format!("nothing fits {query:?}; docs/symptoms.md has all symptoms"))?);
    }
    for answer in &found.lessons {
        let title = screen.cut(&answer.lesson.title, screen.width - 4);
        screen.line(&format!(" {:02} {title}", answer.lesson.number))?;
        let why = screen.cut(&answer.why, screen.width - 4);
        screen.line(&screen.ink(Ink::Dim, &format!("    {why}")))?;
    }
    if !found.lessons.is_empty() && !found.pages.is_empty() {
        screen.line("")?;
    }
    for page in &found.pages {
        screen.line(&format!("    {page}"))?;
    }
    for (number, call) in found.calls.iter().enumerate() {
        if number == 0 && !(found.lessons.is_empty() && found.pages.is_empty()) {
            screen.line("")?;
        }
        let theirs = screen.cut(&call.theirs, screen.width - 4);
        screen.line(&format!("    {theirs}"))?;
        let ours = screen.cut(&format!("in looplab: {}", call.ours), screen.width - 6);
        screen.line(&screen.ink(Ink::Dim, &format!("      {ours}")))?;
    }
    Ok(())
}

impl Found<'_> {
    fn is_empty(&self) -> bool {
        self.lessons.is_empty() && self.pages.is_empty() && self.calls.is_empty()
    }
}

fn as_json(query: &str, found: &Found<'_>) -> Value {
    let lessons: Vec<Value> = found
        .lessons
        .iter()
        .map(|Answer { lesson, why }| {
            json!({ "number": lesson.number, "name": lesson.name, "title": lesson.title, "why": why })
        })
        .collect();
    let calls: Vec<Value> =
        found.calls.iter().map(|call| json!({ "asyncio": call.theirs, "looplab": call.ours })).collect();
    json!({ "query": query, "lessons": lessons, "pages": found.pages, "calls": calls })
}

/// Reads a page of the repository.
pub(crate) fn page(name: &str) -> Result<String, Stop> {
    let path = lessons::root().join(name);
    fs::read_to_string(&path).map_err(|error| Stop::Cannot(format!("{}: {error}", path.display())))
}

/// The rows of all tables of a page, without their heads.
pub(crate) fn rows(page: &str) -> impl Iterator<Item = &str> {
    let lines = page.lines().zip(page.lines().skip(1).chain([""]));
    let rows = lines.filter(|(line, next)| !line.starts_with("|---") && !next.starts_with("|---"));
    rows.filter_map(|(line, _)| line.strip_prefix("| ")?.strip_suffix('|'))
}

/// Reads the table of docs/symptoms.md.
fn symptoms() -> Result<Vec<Symptom>, Stop> {
    Ok(rows(&page("docs/symptoms.md")?).filter_map(symptom).collect())
}

/// The pages of `docs` that have these words in a row.
fn pages_with(asked: &[String]) -> Result<Vec<String>, Stop> {
    let mut found = Vec::new();
    for folder in ["docs", "docs/lessons", "docs/build"] {
        let path = lessons::root().join(folder);
        let entries =
            fs::read_dir(&path).map_err(|error| Stop::Cannot(format!("{}: {error}", path.display())))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A page that cannot be read answers nothing.
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            if name.ends_with(".md") && in_a_row(&words(&text), asked) {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn symptom(row: &str) -> Option<Symptom> {
    let [text, lessons, pages] = row.split(" | ").map(str::trim).collect::<Vec<_>>()[..] else { return None };
    let label = |link: &str| Some(link.split_once("](")?.0.to_owned());
    let target = |link: &str| Some(link.split_once("](")?.1.split(')').next()?.to_owned());
    Some(Symptom {
        text: text.replace('`', ""),
        words: words(text),
        lessons: lessons.split('[').filter_map(|link| label(link)?.parse().ok()).collect(),
        pages: pages.split('[').filter_map(|link| Some(format!("docs/{}", target(link)?))).collect(),
    })
}

/// The words of a lesson: its title, its text and its twin.
fn text_of(lesson: &Lesson) -> Vec<String> {
    let twin = fs::read_to_string(lesson.twin()).unwrap_or_default();
    words(&format!("{} {} {} {twin}", lesson.name.replace('_', " "), lesson.title, lesson.text.join(" ")))
}

pub(crate) fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// How much each word says: the fewer texts have it, the more.
fn weights(symptoms: &[Symptom], texts: &[Vec<String>], asked: &[String]) -> HashMap<String, f64> {
    let all: Vec<&[String]> = symptoms
        .iter()
        .map(|symptom| &symptom.words[..])
        .chain(texts.iter().map(|words| &words[..]))
        .collect();
    let weight = |word: &String| {
        let having = all.iter().filter(|words| has(words, word)).count();
        (1.0 + all.len() as f64 / (1.0 + having as f64)).ln()
    };
    asked.iter().map(|word| (word.clone(), weight(word))).collect()
}

/// Which part of the query these words have, by weight: 1 for all of it, and a little more if it is in a row.
fn score(words: &[String], asked: &[String], weights: &HashMap<String, f64>) -> f64 {
    let total: f64 = asked.iter().map(|word| weights[word]).sum();
    let found: f64 = asked.iter().filter(|word| has(words, word)).map(|word| weights[word]).sum();
    if total == 0.0 { 0.0 } else { found / total + if in_a_row(words, asked) { 0.1 } else { 0.0 } }
}

pub(crate) fn in_a_row(words: &[String], asked: &[String]) -> bool {
    words.windows(asked.len().max(1)).any(|part| part == asked)
}

/// `signal` is found in `signals`, and short words only as they are.
fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|known| known == word || word.len() >= 4 && known.starts_with(word))
}

fn nearest(word: &str, symptoms: &[Symptom], texts: &[Vec<String>]) -> Option<String> {
    let known = symptoms.iter().flat_map(|symptom| &symptom.words).chain(texts.iter().flatten());
    let likeness = |known: &&String| normalized_damerau_levenshtein(known, word);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.5).then(|| best.clone())
}
