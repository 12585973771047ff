//! What a name of asyncio is in looplab.
//!
//! The tables of docs/from-asyncio.md have whole calls, and come first. A name that is not there may be an alias in the
//! source, as in `#[doc(alias = "asyncio.Semaphore")]`: the item below it is the counterpart.

use std::fs;
use std::path::Path;

use crate::Stop;
use crate::find::{in_a_row, page, rows, words};
use crate::lessons;

/// The page with the tables.
pub(crate) const PAGE: &str = "docs/from-asyncio.md";

/// What is shown at most.
const MOST: usize = 4;

/// What a program for asyncio or tokio has, or what the compiler says, and what it is in looplab.
pub(crate) struct Call {
    pub(crate) theirs: String,
    pub(crate) ours: String,
    /// Whether the tables of [`PAGE`] have it.
    pub(crate) is_in_page: bool,
}

/// The calls that have these words in a row.
pub(crate) fn calls_with(asked: &[String]) -> Result<Vec<Call>, Stop> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut found: Vec<Call> = rows(&page(PAGE)?).filter_map(|row| of_row(row, asked)).collect();
    if found.is_empty() {
        items_below(&lessons::root().join("src"), asked, &mut found);
        found.sort_by(|one, other| one.ours.cmp(&other.ours));
    }
    found.truncate(MOST);
    Ok(found)
}

/// A row's first and last cell.
fn of_row(row: &str, asked: &[String]) -> Option<Call> {
    let plain = |cell: &str| cell.trim().replace('`', "").replace("\\|", "|");
    let (theirs, rest) = row.split_once(" | ")?;
    let ours = rest.rsplit(" | ").next()?;
    let call = || Call { theirs: plain(theirs), ours: plain(ours), is_in_page: true };
    in_a_row(&words(theirs), asked).then(call)
}

/// Collects the items below a folder. A file that cannot be read has none.
fn items_below(folder: &Path, asked: &[String], found: &mut Vec<Call>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            items_below(&path, asked, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = fs::read_to_string(&path).unwrap_or_default();
            let shown = path.strip_prefix(lessons::root()).unwrap_or(&path).display().to_string();
            items_of(&source, &shown, asked, found);
        }
    }
}

fn items_of(source: &str, path: &str, asked: &[String], found: &mut Vec<Call>) {
    let (mut owner, mut alias) = (String::new(), None);
    let mut inside = false;
    for (number, line) in source.lines().enumerate() {
        let text = line.trim_start();
        if inside || text.starts_with("#[doc(alias") {
            let mut names = line.split('"').skip(1).step_by(2);
            alias = alias.or_else(|| names.find(|name| in_a_row(&words(name), asked)).map(str::to_owned));
            inside = !text.ends_with(")]");
            continue;
        }
        if text.len() == line.len() {
            owner = owner_of(text).unwrap_or(owner);
        }
        if text.is_empty() || text.starts_with("#[") || text.starts_with("//") {
            continue;
        }
        if let Some(theirs) = alias.take() {
            let name = name_of(text);
            let name = if text.len() == line.len() { name.to_owned() } else { format!("{owner}::{name}") };
            found.push(Call { theirs, ours: format!("{name} ({path}:{})", number + 1), is_in_page: false });
        }
    }
}

/// The type that a line at the margin begins to describe.
fn owner_of(line: &str) -> Option<String> {
    let kinds = ["impl", "pub enum ", "pub trait ", "pub struct "];
    let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    let rest = rest.split_once(" for ").map_or(rest, |(_, of)| of);
    // `impl<T: 'static> Task<T> {`
    let rest = if rest.starts_with('<') { rest.split_once("> ")?.1 } else { rest.trim_start() };
    Some(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?.to_owned())
}

/// The name that a declaration declares: a function's, a type's or a variant's.
fn name_of(declaration: &str) -> &str {
    let kinds = ["fn", "struct", "enum", "trait", "type", "mod", "static", "const"];
    let mut parts =
        declaration.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|part| !part.is_empty());
    let first = parts.clone().next().unwrap_or(declaration);
    // `const fn` has two: the last one counts.
    let mut name = None;
    while let Some(part) = parts.next() {
        if kinds.contains(&part) {
            name = parts.clone().next();
        } else if name == Some(part) {
            break;
        }
    }
    name.unwrap_or(first)
}
