//! Short names of functions, as the author of the code reads them.

use std::any::type_name;

/// What follows the function that a closure is in.
const CLOSURE: &str = "::{closure}";

/// Names a function or closure by the last part of its path, or the last two.
pub(crate) fn short_name<F>() -> String {
    shorten(type_name::<F>())
}

/// Shortens the path of a function; a name without a path stays as it is.
pub(crate) fn shorten(full: &str) -> String {
    if full.starts_with("fn(") || full.starts_with("for<") {
        return "fn pointer".to_owned();
    }
    // Usually there are no brackets, and nothing is copied: a traced loop asks for a name with each
    // entry.
    if full.contains('<') { last_parts(&outside_of_brackets(full)) } else { last_parts(full) }
}

/// Tells whether a name belongs to an entry that looplab makes for itself. `full` is a function's
/// path or a word of looplab's.
///
/// A function of looplab's that is no closure, such as `looplab::stop`, was given to the loop by
/// the program.
pub(crate) fn is_own(full: &str) -> bool {
    let is_word = !full.contains(':') && !full.starts_with("fn(") && !full.starts_with("for<");
    is_word || full.ends_with("{{closure}}") && full.trim_start_matches(['<', '&']).starts_with("looplab::")
}

/// Leaves the number out of an automatic task name: it counts all tasks of the thread, so it
/// differs from run to run.
pub(crate) fn stable(name: &str) -> String {
    let Some(number) = name.strip_prefix("Task-") else { return name.to_owned() };
    format!("Task{}", number.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Does the same for each automatic task name within a text.
#[cfg(feature = "explore")]
pub(crate) fn stable_text(text: &str) -> String {
    let mut parts = text.split("Task-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let after = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let dash = if after.len() == part.len() { "-" } else { "" };
        format!("{text}Task{dash}{after}")
    })
}

/// Removes what is in <>: arguments of a generic, and the type of an `impl`.
fn outside_of_brackets(full: &str) -> String {
    let mut path = String::with_capacity(full.len());
    let (mut depth, mut before) = (0, ' ');
    for c in full.chars() {
        match c {
            '<' => depth += 1,
            '>' if before == '-' => {}
            '>' => depth -= 1,
            _ if depth == 0 => path.push(c),
            _ => {}
        }
        before = c;
    }
    path
}

fn last_parts(path: &str) -> String {
    let (mut rest, last) = split_last(without_colons(path));
    if !last.starts_with('{') {
        return last.to_owned();
    }
    while !rest.is_empty() {
        let (before, part) = split_last(rest);
        if !part.starts_with('{') {
            let mut name = String::with_capacity(part.len() + CLOSURE.len());
            name.push_str(part);
            name.push_str(CLOSURE);
            return name;
        }
        rest = before;
    }
    last.to_owned()
}

/// Splits a path before its last part. It looks at bytes, because a traced loop asks with each entry.
fn split_last(path: &str) -> (&str, &str) {
    match path.as_bytes().iter().rposition(|byte| *byte == b':') {
        Some(colon) => (without_colons(&path[..colon]), &path[colon + 1..]),
        None => ("", path),
    }
}

fn without_colons(mut path: &str) -> &str {
    while let Some(shorter) = path.strip_suffix(':') {
        path = shorter;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_named_as_its_reader_wrote_it() {
        for (full, name) in [
            ("crate::first", "first"),
            ("crate::main::{{closure}}", "main::{closure}"),
            ("crate::main::{{closure}}::{{closure}}", "main::{closure}"),
            ("crate::room::<impl crate::EventLoop>::run<A>::{{closure}}", "run::{closure}"),
            ("<crate::Job as crate::Steps>::step::{{closure}}", "step::{closure}"),
            ("crate::generic<fn() -> i32>", "generic"),
            ("alloc::boxed::Box<dyn core::ops::FnOnce() -> ()>", "Box"),
            ("fn() -> i32", "fn pointer"),
            ("for<'a> fn(&'a i32)", "fn pointer"),
        ] {
            assert_eq!(shorten(full), name, "{full}");
        }
    }

    #[cfg(feature = "explore")]
    #[test]
    fn automatic_names_lose_their_numbers_and_others_stay() {
        for (text, stable) in [
            (
                "main waits for task Task-177 at a.rs:5; Task-2 waits",
                "main waits for task Task at a.rs:5; Task waits",
            ),
            ("Task-x and Task-", "Task-x and Task-"),
            ("none", "none"),
        ] {
            assert_eq!(stable_text(text), stable);
        }
    }

    #[test]
    fn an_entry_is_looplabs_own_by_its_word_or_by_its_closure() {
        for own in [
            "sleep",
            "looplab::net::server::listen::{{closure}}",
            "<looplab::net::Udp as looplab::net::Open>::open::{{closure}}",
        ] {
            assert!(is_own(own), "{own}");
        }
        for given in [
            "program::first",
            "program::main::{{closure}}",
            "<program::Job as looplab::Steps>::step::{{closure}}",
            "looplab::event_loop::running::stop",
            "fn()",
            "for<'a> fn(&'a i32)",
            "alloc::boxed::Box<dyn core::ops::FnOnce()>",
        ] {
            assert!(!is_own(given), "{given}");
        }
    }

    #[test]
    fn the_compilers_names_have_the_form_that_is_expected() {
        fn named() {}
        fn name_of<F>(_: &F) -> String {
            short_name::<F>()
        }
        let here = "the_compilers_names_have_the_form_that_is_expected::{closure}";
        assert_eq!((name_of(&named).as_str(), name_of(&|| ()).as_str()), ("named", here));
        assert_eq!(name_of(&(named as fn())), "fn pointer");
    }
}
