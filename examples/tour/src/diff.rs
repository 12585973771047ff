//! Two texts side by side, one under the other: what was expected and what came.
//!
//! The reader must be able to see the difference. So a space at the end of a line, a tab and a missing last
//! newline are written out, and control characters never reach the terminal.

use std::io;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::screen::{Ink, Screen};

/// Equal lines shown around a difference.
const CONTEXT: usize = 3;

/// A longer difference says "something is quite wrong", and 60 lines of it say that well enough.
const MOST_LINES: usize = 60;

/// What standard error said may be long too; its end is where the reason is.
const MOST_STDERR: usize = 20;

/// Shows how `new` differs from `old`; the two names say what each of them is.
pub(crate) fn show(screen: &mut Screen, old: (&str, &[u8]), new: (&str, &[u8])) -> io::Result<()> {
    screen.line(&screen.ink(Ink::Bad, &format!("    --- {}", old.0)))?;
    screen.line(&screen.ink(Ink::Good, &format!("    +++ {}", new.0)))?;
    let (old, new) = (String::from_utf8_lossy(old.1), String::from_utf8_lossy(new.1));
    let lines = lines(&old, &new, screen.dots());
    for (tag, text) in lines.iter().take(MOST_LINES) {
        let line = match tag {
            ChangeTag::Equal => screen.ink(Ink::Dim, &format!("      {text}")),
            ChangeTag::Delete => screen.ink(Ink::Bad, &format!("    - {text}")),
            ChangeTag::Insert => screen.ink(Ink::Good, &format!("    + {text}")),
        };
        screen.line(line.trim_end())?;
    }
    match lines.len().saturating_sub(MOST_LINES) {
        0 => Ok(()),
        more => screen.line(&format!("      {} {more} lines more", screen.dots())),
    }
}

fn lines(old: &str, new: &str, dots: &str) -> Vec<(ChangeTag, String)> {
    // Two floods have no useful difference; the deadline turns the search into a guess.
    let diff = TextDiff::configure().timeout(Duration::from_secs(2)).diff_lines(old, new);
    let mut lines = Vec::new();
    for (n, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if n > 0 || group[0].old_range().start > 0 {
            lines.push((ChangeTag::Equal, dots.to_string()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let whole = change.value();
            let mut text = visible(whole.strip_suffix('\n').unwrap_or(whole));
            if !whole.ends_with('\n') {
                text.push_str("  (no newline at the end)");
            }
            lines.push((change.tag(), text));
        }
    }
    lines
}

/// What a program said on standard error, if anything.
pub(crate) fn stderr(screen: &mut Screen, bytes: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return Ok(());
    }
    screen.line("    standard error:")?;
    let left_out = lines.len().saturating_sub(MOST_STDERR);
    if left_out > 0 {
        screen.line(&format!("      {} {left_out} lines before", screen.dots()))?;
    }
    for line in &lines[left_out..] {
        screen.line(&format!("      {}", visible(line)))?;
    }
    Ok(())
}

fn visible(line: &str) -> String {
    let body = line.trim_end();
    let hidden = line[body.len()..].chars().map(|c| match c {
        ' ' => r"\x20".to_string(),
        other => other.escape_debug().to_string(),
    });
    let shown =
        body.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() });
    shown.chain(hidden).collect()
}
