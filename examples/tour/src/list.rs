//! `tour list`: what there is to see.

use serde_json::{Value, json};

use crate::Stop;
use crate::lessons::{self, Lesson};
use crate::screen::{Ink, Screen};

/// Number, title, one line about each lesson, where its program and its page are, and which lesson comes next.
pub(crate) fn print(screen: &mut Screen, lessons: &[Lesson]) -> Result<(), Stop> {
    if screen.json {
        let lessons: Vec<Value> = lessons.iter().map(as_json).collect();
        return Ok(screen.line(&json!({ "lessons": lessons }).to_string())?);
    }
    screen.line(&format!("looplab tour: {} lessons\n", lessons.len()))?;
    for lesson in lessons {
        let title = screen.cut(&lesson.title, screen.width - 4);
        screen.line(&format!(" {:02} {title}", lesson.number))?;
        about(screen, lesson, 4)?;
        if let Some((page, next)) = lessons::page_and_next(lesson) {
            let next = next.map_or(String::new(), |next| format!("; next: {next}"));
            screen.line(&screen.ink(Ink::Dim, &format!("    {page}, examples/{}.rs{next}", lesson.name)))?;
        }
    }
    Ok(())
}

/// The lesson's one line, under its title.
pub(crate) fn about(screen: &mut Screen, lesson: &Lesson, margin: usize) -> Result<(), Stop> {
    if !lesson.about.is_empty() {
        let about = screen.cut(&lesson.about, screen.width - margin);
        screen.line(&screen.ink(Ink::Dim, &format!("{:margin$}{about}", "")))?;
    }
    Ok(())
}

fn as_json(lesson: &Lesson) -> Value {
    let (page, next) = lessons::page_and_next(lesson).unzip();
    let if_there = |path: std::path::PathBuf| path.is_file().then(|| path.display().to_string());
    json!({
        "number": lesson.number,
        "name": lesson.name,
        "title": lesson.title,
        "about": lesson.about,
        "source": lesson.source().display().to_string(),
        "transcript": if_there(lesson.transcript()),
        "twin": if_there(lesson.twin()),
        "page": page,
        "next": next.flatten().and_then(|number| number.parse::<u32>().ok()),
    })
}
