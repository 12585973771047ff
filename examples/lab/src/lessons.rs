//! The book: lessons and chapters, as their files tell them.

use crate::root;
use std::fs;
use std::io;
use std::path::PathBuf;

/// One lesson, or one chapter.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// Two digits.
    pub number: String,
    /// `05_create_task_after_stop`
    pub name: String,
    pub(crate) title: String,
    /// The first paragraph after the title.
    pub(crate) about: String,
    /// The title of the page that explains it.
    pub(crate) page: String,
    /// What that page says about it, in Markdown.
    pub(crate) story: String,
}

/// Where the lessons' programs are.
pub(crate) fn folder() -> PathBuf {
    root().join("examples")
}

/// Returns the lessons by number, each with its part of its page.
pub fn lessons() -> io::Result<Vec<Lesson>> {
    let pages: Vec<String> = fs::read_dir(root().join("docs/lessons"))?
        .map(|entry| fs::read_to_string(entry?.path()))
        .collect::<io::Result<_>>()?;
    let mut lessons = programs(folder())?;
    for lesson in &mut lessons {
        let heading = format!("\n## {}: ", lesson.number);
        for page in &pages {
            let Some((_, part)) = page.split_once(&heading) else { continue };
            lesson.page = page.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
            let part = part.split_once("\n## ").map_or(part, |(part, _)| part);
            lesson.story = part.split_once('\n').map_or("", |(_, story)| story).to_owned();
        }
    }
    Ok(lessons)
}

/// Returns the chapters by number, each with its page.
pub(crate) fn chapters() -> io::Result<Vec<Lesson>> {
    let mut chapters = programs(root().join("examples/build"))?;
    for chapter in &mut chapters {
        let page = fs::read_to_string(root().join("docs/build").join(format!("{}.md", chapter.name)))?;
        let (title, story) = page.split_once('\n').unwrap_or_default();
        let title = title.split_once(": ").map_or(title, |(_, title)| title);
        let first = title.chars().next().map_or(0, char::len_utf8);
        chapter.title = title[..first].to_uppercase() + &title[first..];
        chapter.story = story.to_owned();
    }
    Ok(chapters)
}

/// Reads the programs `NN_name.rs` of a folder.
fn programs(folder: PathBuf) -> io::Result<Vec<Lesson>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let file = entry?.file_name().into_string().unwrap_or_default();
        let Some(name) = file.strip_suffix(".rs") else { continue };
        let Some((number, _)) = name.split_once('_').filter(|(number, _)| is_number(number)) else {
            continue;
        };
        let source = fs::read_to_string(folder.join(&file))?;
        let mut head = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
        let title =
            head.next().unwrap_or_default().trim_start_matches("# ").trim_end_matches([':', '.']).to_owned();
        let about: Vec<&str> =
            head.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect();
        programs.push(Lesson {
            number: number.to_owned(),
            name: name.to_owned(),
            title,
            about: about.join(" "),
            page: String::new(),
            story: String::new(),
        });
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// Returns whether this is a lesson's number.
pub(crate) fn is_number(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())
}
