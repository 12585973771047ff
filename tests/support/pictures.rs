//! The pictures that the book shows, as their marks say.
//!
//! A mark is a line of a page: `<!-- picture of examples/NAME.rs at LINK with PANES: WORDS -->`. The moment is the first
//! event, from the X-ray page's link LINK on, with WORDS in its sentence. PANES are what the picture shows beside the queue
//! and the source. LINK and PANES may be left out. The lines that show the picture follow, up to an empty line.

use crate::root;
use std::fs;

const MARK: &str = "<!-- picture of examples/";

/// The folder of the pictures, from the root.
pub const PICTURES: &str = "docs/pictures";

/// A mark, and what follows it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The page with the mark, from the root.
    pub page: String,
    /// The picture's name: the lesson's number, or `readme`.
    pub name: String,
    /// The lesson whose run is shown.
    pub lesson: String,
    /// Where the X-ray page opens.
    pub link: String,
    /// The panes beside the usual ones.
    pub panes: Vec<String>,
    /// Words of the moment's sentence.
    pub words: String,
    /// The lines that show the picture.
    pub block: String,
}

impl Picture {
    /// Returns the lines that show the picture, with the text for readers that cannot see it.
    pub fn block_with(&self, text: &str) -> String {
        let name = &self.name;
        if name != "readme" {
            // A bracket would end the text.
            return format!("![{}](../pictures/{name}.webp)", text.replace('[', "(").replace(']', ")"));
        }
        let text = text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        format!(
            "<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"{PICTURES}/{name}-dark.webp\">\n  \
             <img alt=\"{text}\" src=\"{PICTURES}/{name}.webp\">\n</picture>"
        )
    }

    /// Returns the picture's files, each with its theme.
    pub fn files(&self) -> Vec<(String, &'static str)> {
        let mut files = vec![(format!("{}.webp", self.name), "light")];
        if self.name == "readme" {
            files.push((format!("{}-dark.webp", self.name), "dark"));
        }
        files
    }
}

/// Returns the pages that have pictures, from the root.
pub fn illustrated_pages() -> Vec<String> {
    let folder = fs::read_dir(root().join("docs/lessons")).expect("docs/lessons");
    let files = folder.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let lessons = files.filter(|file| file.ends_with(".md")).map(|file| format!("docs/lessons/{file}"));
    let mut pages: Vec<String> = lessons.chain(["README.md".to_owned()]).collect();
    pages.sort();
    pages
}

/// Returns the pictures of all pages, by name.
pub fn pictures() -> Vec<Picture> {
    let mut pictures = Vec::new();
    for page in illustrated_pages() {
        with_pictures(&page, |picture| {
            pictures.push(picture.clone());
            String::new()
        });
    }
    pictures.sort_by(|a, b| a.name.cmp(&b.name));
    pictures
}

/// Returns the text of a page with the lines after each mark as `block` says.
pub fn with_pictures(page: &str, mut block: impl FnMut(&Picture) -> String) -> String {
    let text = fs::read_to_string(root().join(page)).expect("a page");
    let (mut out, mut name) = (String::new(), "readme");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        if let Some((number, _)) = line.strip_prefix("## ").and_then(|title| title.split_once(": ")) {
            name = number;
        }
        let Some(mark) = line.strip_prefix(MARK) else { continue };
        let old: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let picture = picture(page, name, mark, old.join("\n"));
        out += &format!("{}\n\n", block(&picture));
    }
    out
}

fn picture(page: &str, name: &str, mark: &str, block: String) -> Picture {
    let mark = mark.strip_suffix(" -->").unwrap_or_else(|| panic!("{page}: {name}: the mark has one line"));
    let (what, words) = mark.split_once(": ").unwrap_or_else(|| panic!("{page}: {name}: no words"));
    let (what, panes) = what.split_once(" with ").unwrap_or((what, ""));
    let (lesson, link) = what.split_once(" at ").unwrap_or((what, ""));
    Picture {
        page: page.to_owned(),
        name: name.to_owned(),
        lesson: lesson.strip_suffix(".rs").expect("a program").to_owned(),
        link: link.to_owned(),
        panes: panes.split(", ").filter(|pane| !pane.is_empty()).map(str::to_owned).collect(),
        words: words.to_owned(),
        block,
    }
}
