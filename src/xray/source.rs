//! The program's source text, read when a trace first names one of its files.
//!
//! A path that the compiler wrote is relative to the workspace that was built. It is looked for in
//! the working directory, and in the folder of the package and the folders above it, which cargo
//! names when it runs a program. So a program that runs elsewhere has no source text, and no event
//! waits for anything but a short read.
//!
//! It does not read files of other packages or of the standard library: their paths are absolute. It
//! cannot know whether a file was changed since the program was built.

use crate::trace::Place;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::iter::once;
use std::path::{Path, PathBuf};

/// A file that is longer is no source text that a person reads.
const LONGEST: u64 = 1 << 20;

/// The longest code of a closure that is shown.
const CODE: usize = 34;

/// The files that were asked for.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<&'static str, Option<String>>);

impl Sources {
    /// Returns the text of a file, which is read once.
    pub(super) fn text(&mut self, file: &'static str) -> Option<&str> {
        self.0.entry(file).or_insert_with(|| read(Path::new(file))).as_deref()
    }

    /// Returns the code of the closure that is an argument of the call at a place, such as `println!("late callback")`.
    pub(super) fn closure(&mut self, place: Place) -> Option<String> {
        let line = place.line() as usize - 1;
        let rest = self.text(place.file())?.split_inclusive('\n').skip(line);
        let rest: String = rest.take(40).collect();
        let column = rest.char_indices().nth(place.column() as usize - 1)?.0;
        body_of_closure(&rest[column..])
    }
}

fn read(file: &Path) -> Option<String> {
    if file.is_absolute() {
        return None;
    }
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let above = package.ancestors().filter(|folder| folder.is_absolute());
    let found =
        once(Path::new("")).chain(above).map(|folder| folder.join(file)).find(|path| path.is_file())?;
    let short = fs::metadata(&found).is_ok_and(|metadata| metadata.len() <= LONGEST);
    if short { fs::read_to_string(found).ok() } else { None }
}

/// Returns the body of the first closure in a call, on one line and cut. `call` begins with the name of the function.
fn body_of_closure(call: &str) -> Option<String> {
    let arguments = &call[call.find('(')? + 1..];
    let arguments = &arguments[..end(arguments, &[')'])?];
    let parameters = &arguments[arguments.find('|')? + 1..];
    let body = parameters[parameters.find('|')? + 1..].trim_start();
    let code = body[..end(body, &[',']).unwrap_or(body.len())].trim_end();
    let code = code.strip_prefix('{').and_then(|code| code.strip_suffix('}')).unwrap_or(code);
    let words: Vec<&str> = code.split_whitespace().collect();
    let code = words.join(" ");
    let code = code.strip_suffix(';').unwrap_or(&code);
    if code.is_empty() || code.contains("//") {
        return None;
    }
    if code.chars().count() <= CODE {
        return Some(code.to_owned());
    }
    Some(code.chars().take(CODE - 1).chain(['…']).collect())
}

/// Returns where one of `marks` stands outside of brackets and texts.
fn end(text: &str, marks: &[char]) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            _ if depth == 0 && marks.contains(&c) => return Some(i),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::Location;

    #[test]
    fn a_closure_is_shown_as_its_own_code() {
        for (call, code) in [
            ("call_soon(|| println!(\"late callback\"))?;", "println!(\"late callback\")"),
            ("call_later(ms(5), move || stop(1))?;", "stop(1)"),
            ("call_soon(|| {\n        a(b, \")\");\n        c();\n    })?;", "a(b, \")\"); c()"),
            ("call_soon(move || { lp.stop(); })", "lp.stop()"),
            ("add_done_callback(|task| print(task, [1, 2]), x)", "print(task, [1, 2])"),
            (
                "call_soon(|| a_function_with_a_name(that, is, too, long))",
                "a_function_with_a_name(that, is, …",
            ),
        ] {
            assert_eq!(body_of_closure(call).as_deref(), Some(code), "{call}");
        }
        for call in ["call_soon(stop)?;", "call_soon(|| {})", "sleep", "call_soon(|| cut off"] {
            assert_eq!(body_of_closure(call), None, "{call}");
        }
    }

    #[test]
    fn the_text_of_a_place_is_found_from_the_package_and_not_outside_of_it() {
        fn code(_: impl Fn() -> u32, place: Place) -> Option<String> {
            Sources::default().closure(place)
        }
        let here = Location::caller();
        assert!(Sources::default().text(here.file()).is_some_and(|text| text.contains("fn body_of_closure")));
        assert_eq!(code(|| 1 + 1, here), None, "this place is no call with a closure");
        assert_eq!(Sources::default().text("/etc/hostname"), None);
        assert_eq!(Sources::default().text("no/such/file.rs"), None);
    }
}
