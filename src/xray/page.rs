//! The page: one HTML file that replays a trace, forward and back, in any browser and offline.
//!
//! The page's parts are plain files in `page/`, joined here without a build step. The trace follows
//! them as the text of a last element that is never closed. So a program that is killed leaves a
//! page that opens, and lines are only ever appended. The page's code stands before the data and
//! waits until all of it has been read.
//!
//! It guarantees that the page asks for nothing outside of its file: a policy in its head forbids it,
//! and a test in a browser watches. No text of a trace can end the element that holds it.

/// The page up to its traces.
pub(super) const HEAD: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n\"use strict\";\nconst WORDS = ",
    include_str!("page/words.json"),
    ";\n",
    include_str!("page/lit-html.js"),
    include_str!("page/icons.js"),
    include_str!("page/trace.js"),
    include_str!("page/replay.js"),
    include_str!("page/names.js"),
    include_str!("page/words.js"),
    include_str!("page/panes.js"),
    include_str!("page/why.js"),
    include_str!("page/source.js"),
    include_str!("page/strip.js"),
    include_str!("page/search.js"),
    include_str!("page/align.js"),
    include_str!("page/compare.js"),
    include_str!("page/ask.js"),
    include_str!("page/lanes.js"),
    include_str!("page/main.js"),
    "</script>\n",
);

/// Makes a page of traces, each with the name that its button shows.
///
/// A trace is the text of a `.jsonl` file. With several traces the page has a button for each.
///
/// ```
/// let trace = r#"{"s":0,"t":0,"e":"meta","v":1,"rt":"looplab 0.1.0","unit":"ns","clock":"virtual"}"#;
/// let page = looplab::xray::page(&[("Rust", trace)]);
/// assert!(page.starts_with("<!doctype html>"));
/// ```
#[must_use]
pub fn page(traces: &[(&str, &str)]) -> String {
    let mut bytes = HEAD.as_bytes().to_vec();
    for (name, trace) in traces {
        bytes.extend_from_slice(element(name).as_bytes());
        let from = bytes.len();
        bytes.extend_from_slice(trace.as_bytes());
        escape(&mut bytes, from);
        bytes.extend_from_slice(b"</script>\n");
    }
    String::from_utf8(bytes).expect("the escape of an ASCII byte in UTF-8 is UTF-8")
}

/// Returns `xray.py`: one file that writes this page for any asyncio program on CPython.
///
/// `python3 xray.py prog.py` runs a program as `python3 prog.py` does, and writes `prog.html`. The
/// file needs CPython 3.8 or later and nothing else. `docs/xray.md` says what it records.
///
/// ```
/// let file = looplab::xray::python();
/// assert!(file.starts_with("#!/usr/bin/env python3"));
/// ```
#[must_use]
pub fn python() -> String {
    // A JSON text is a text of Python, too.
    let page = serde_json::to_string(HEAD).expect("a text is JSON");
    PYTHON.replacen(NO_PAGE, &format!("PAGE = {page}\n"), 1)
}

const PYTHON: &str = include_str!("page/xray.py");

/// The line of `xray.py` that has no page in it.
const NO_PAGE: &str = "PAGE = \"\"\n";

/// Returns the beginning of an element that holds a trace.
pub(super) fn element(name: &str) -> String {
    let name = name.replace('&', "&amp;").replace('"', "&quot;");
    format!("<script type=\"application/jsonl\" class=\"trace\" data-name=\"{name}\">\n")
}

/// Writes each `<` after `from` as JSON's escape. In JSON it stands only in texts, where the two mean
/// the same.
pub(super) fn escape(bytes: &mut Vec<u8>, from: usize) {
    if !bytes[from..].contains(&b'<') {
        return;
    }
    let plain = bytes.split_off(from);
    for (i, part) in plain.split(|byte| *byte == b'<').enumerate() {
        if i > 0 {
            bytes.extend_from_slice(br"\u003c");
        }
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_without_a_trace_has_at_most_150_kilobytes() {
        assert!(HEAD.len() <= 150 * 1024, "{} bytes", HEAD.len());
    }

    #[test]
    fn the_page_names_no_address_but_namespaces() {
        let parts: Vec<&str> = HEAD.split("http").skip(1).collect();
        for part in parts {
            let known = ["-equiv=\"Content", "://www.w3.org/"].iter().any(|known| part.starts_with(known));
            assert!(known, "http{}", part.chars().take(60).collect::<String>());
        }
    }

    #[test]
    fn no_text_of_a_trace_ends_its_element() {
        let page = page(&[("a \"b\" & c", "{\"v\":\"</script><!-- é\"}\n")]);
        let data = &page[HEAD.len()..];
        assert!(data.contains(r#"data-name="a &quot;b&quot; &amp; c""#), "{data}");
        assert!(data.contains(r"\u003c/script>\u003c!-- é"), "{data}");
        assert_eq!(data.matches("</script>").count(), 1);
    }

    #[test]
    fn the_python_file_holds_the_page_once() {
        let file = python();
        assert!(!file.contains(NO_PAGE));
        let line = file.lines().find_map(|line| line.strip_prefix("PAGE = ")).expect("a line with the page");
        assert_eq!(serde_json::from_str::<String>(line).expect("a text"), HEAD);
    }

    #[test]
    fn no_part_of_the_code_ends_the_pages_script() {
        assert_eq!(HEAD.matches("</script").count(), 1);
        assert_eq!(HEAD.matches("<!--").count(), 0);
    }
}
