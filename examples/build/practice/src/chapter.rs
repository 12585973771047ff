//! The chapters: where they are, and the parts of them that anchor comments mark.
//!
//! A part stands between `// ANCHOR: NAME` and `// ANCHOR_END: NAME`. Pages quote parts, and exercises are made from
//! them.

use std::fs;
use std::path::{Path, PathBuf};

/// A chapter, by its name: `01_ready_queue`.
#[derive(Debug)]
pub(crate) struct Chapter {
    pub(crate) name: String,
    pub(crate) source: String,
    /// What CPython prints.
    pub(crate) transcript: String,
}

/// Returns the folder of the chapters.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in the chapters' folder")
}

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    folder().ancestors().nth(2).expect("the chapters are in examples/build")
}

/// Returns a folder for generated files.
pub(crate) fn scratch(name: &str) -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Chapter {
    /// Finds a chapter by its number, such as `01`.
    pub(crate) fn of(number: &str) -> Result<Self, String> {
        let files = fs::read_dir(folder()).map_err(|error| error.to_string())?;
        let mut names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
        let file = names
            .find(|name| name.starts_with(number) && name.ends_with(".rs"))
            .ok_or(format!("{number}: no such chapter"))?;
        let name = file.trim_end_matches(".rs").to_owned();
        let source = read(&folder().join(&file))?;
        let transcript = read(&folder().join(format!("{name}.out")))?;
        Ok(Self { name, source, transcript })
    }

    /// Returns where the part is in the source, without its marks.
    pub(crate) fn part(&self, anchor: &str) -> Result<std::ops::Range<usize>, String> {
        let missing = || format!("{}: no part {anchor}", self.name);
        let mark = format!("// ANCHOR: {anchor}\n");
        let begin = self.source.find(&mark).ok_or_else(missing)? + mark.len();
        let end =
            self.source[begin..].find(&format!("// ANCHOR_END: {anchor}\n")).ok_or_else(missing)? + begin;
        let end = self.source[..end].rfind('\n').map_or(begin, |line| line + 1);
        Ok(begin..end)
    }

    /// Returns where the body of a function of this part is, with its braces.
    pub(crate) fn body(&self, anchor: &str, function: &str) -> Result<std::ops::Range<usize>, String> {
        let missing = || format!("{}: no function {function} in the part {anchor}", self.name);
        let part = self.part(anchor)?;
        let head =
            self.source[part.clone()].find(&format!("fn {function}")).ok_or_else(missing)? + part.start;
        let open = self.source[head..].find(" {\n").ok_or_else(missing)? + head + 1;
        let mut depth = 0;
        for (at, byte) in self.source[open..part.end].bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return Ok(open..open + at + 1);
            }
        }
        Err(missing())
    }
}

/// Returns the source without the lines of the marks.
pub(crate) fn without_marks(source: &str) -> String {
    source.lines().filter(|line| !line.trim_start().starts_with("// ANCHOR")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    )
}
