//! `tour find`: from an error text, a symptom, a name of asyncio or a snippet to lessons and pages.
//!
//! The table of docs/symptoms.md comes first: it is the one place that says which lesson explains what. After it come
//! lessons whose own text or twin has every word. A rare word counts more than a frequent one, so a whole error text
//! finds its row in spite of the words that all errors have.

use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};
use strsim::normalized_damerau_levenshtein;

use crate::Stop;
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

/// Prints the lessons and pages that answer; false if no text has all of it.
pub(crate) fn find(screen: &mut Screen, all: &[Lesson], query: &str) -> Result<bool, Stop> {
    let symptoms = symptoms()?;
    let texts: Vec<Vec<String>> = all.iter().map(text_of).collect();
    let mut asked = words(query);
    let known = |word: &String| {
        let has = |words: &[String]| words.iter().any(|known| known.starts_with(word.as_str()));
        symptoms.iter().any(|symptom| has(&symptom.words)) || texts.iter().any(|words| has(words))
    };
    let unknown: Vec<String> = asked.iter().filter(|word| !known(word)).cloned().collect();
    if asked.iter().all(|word| unknown.contains(word)) {
        // Nothing fits as it is written: the nearest known words are asked for.
        asked = unknown.iter().filter_map(|word| nearest(word, &symptoms, &texts)).collect();
    }
    let (answers, pages) = answers(all, &symptoms, &texts, &asked);
    if screen.json {
        screen.line(&as_json(query, &answers, &pages).to_string())?;
    } else {
        show(screen, query, &asked, &unknown, &answers, &pages)?;
    }
    Ok(unknown.is_empty() && !answers.is_empty())
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
    answers: &[Answer<'_>],
    pages: &[String],
) -> Result<(), Stop> {
    if !unknown.is_empty() {
        let instead = if asked.is_empty() { String::new() } else { format!("; shown: {}", asked.join(" ")) };
        screen.line(&format!("no lesson has: {}{instead}\n", unknown.join(" ")))?;
    }
    if answers.is_empty() {
        return Ok(screen.line(&format!("nothing fits {query:?}; docs/symptoms.md has all symptoms"))?);
    }
    for answer in answers {
        let title = screen.cut(&answer.lesson.title, screen.width - 4);
        screen.line(&format!(" {:02} {title}", answer.lesson.number))?;
        let why = screen.cut(&answer.why, screen.width - 4);
        screen.line(&screen.ink(Ink::Dim, &format!("    {why}")))?;
    }
    screen.line("")?;
    for page in pages {
        screen.line(&format!("    {page}"))?;
    }
    Ok(())
}

fn as_json(query: &str, answers: &[Answer<'_>], pages: &[String]) -> Value {
    let lessons: Vec<Value> = answers
        .iter()
        .map(|Answer { lesson, why }| {
            json!({ "number": lesson.number, "name": lesson.name, "title": lesson.title, "why": why })
        })
        .collect();
    json!({ "query": query, "lessons": lessons, "pages": pages })
}

/// Reads the table of docs/symptoms.md.
fn symptoms() -> Result<Vec<Symptom>, Stop> {
    let path = lessons::root().join("docs/symptoms.md");
    let page =
        fs::read_to_string(&path).map_err(|error| Stop::Cannot(format!("{}: {error}", path.display())))?;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    // The first row is the head.
    Ok(rows.skip(1).filter_map(symptom).collect())
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

fn words(text: &str) -> Vec<String> {
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

fn in_a_row(words: &[String], asked: &[String]) -> bool {
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
