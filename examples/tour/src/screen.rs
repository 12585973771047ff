//! What the eye sees: width, colour, marks, and the line that says what is being done.
//!
//! Colour is used on a terminal only, never alone (there is always a mark or a word), and not at all with
//! `NO_COLOR`. Rows are cut to the terminal, and to 100 columns, so that they stay rows.

use std::env;
use std::io::{self, IsTerminal, Stdout, Write};

/// Rows longer than this are hard to read, however wide the terminal.
const WIDEST: usize = 100;

/// A row narrower than this tells nothing; let the terminal wrap it instead.
const NARROWEST: usize = 40;

/// Colours, by meaning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ink {
    Good,
    Bad,
    Note,
    Dim,
    Strong,
}

/// Marks, by meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Note,
    Skipped,
}

/// Standard output and how to write on it.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
    pub(crate) json: bool,
    pub(crate) width: usize,
    /// The terminal's width, if there is one.
    pub(crate) columns: Option<usize>,
    ascii: bool,
    colour: bool,
    progress: bool,
}

impl Screen {
    pub(crate) fn new(ascii: bool, json: bool) -> Screen {
        let out = io::stdout();
        let clever = env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = terminal_width(&out);
        Screen {
            json,
            columns,
            width: columns.unwrap_or(WIDEST).clamp(NARROWEST, WIDEST),
            ascii: ascii || !locale_is_utf8(),
            colour: out.is_terminal() && clever && !plain,
            progress: io::stderr().is_terminal() && clever,
            out,
        }
    }

    /// Writes one line on standard output.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(format!("{text}\n").as_bytes())
    }

    /// Says on a terminal's standard error what is being done; gone again with [`Screen::idle`].
    pub(crate) fn busy(&self, text: &str) {
        if self.progress {
            let text = self.cut(text, self.width - 1);
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    pub(crate) fn idle(&self) {
        if self.progress {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    pub(crate) fn ink(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => 32,
            Ink::Bad => 31,
            Ink::Note => 33,
            Ink::Dim => 2,
            Ink::Strong => 1,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// A mark of one width per kind of screen: one column, or four in ASCII.
    pub(crate) fn mark(&self, mark: Mark) -> String {
        let (sign, word, ink) = match mark {
            Mark::Good => ("✓", "ok  ", Ink::Good),
            Mark::Bad => ("✗", "FAIL", Ink::Bad),
            Mark::Note => ("~", "~   ", Ink::Note),
            Mark::Skipped => ("-", "-   ", Ink::Dim),
        };
        self.ink(ink, if self.ascii { word } else { sign })
    }

    pub(crate) fn mark_width(&self) -> usize {
        if self.ascii { 4 } else { 1 }
    }

    pub(crate) fn dots(&self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    /// Returns the signs before an entry that ran and one that runs, and the sign between batch and rest.
    pub(crate) fn queue_signs(&self) -> [&'static str; 3] {
        if self.ascii { ["+", ">", "|"] } else { ["✓", "▶", "┃"] }
    }

    /// Returns a text with typographic signs in ASCII, if that was asked for.
    pub(crate) fn plain(&self, text: &str) -> String {
        if !self.ascii {
            return text.to_string();
        }
        text.replace(['“', '”'], "\"")
            .replace('’', "'")
            .replace('…', "...")
            .replace('µ', "u")
            .replace('→', "->")
    }

    /// The margin before a lesson's own words.
    pub(crate) fn gutter(&self) -> &'static str {
        if self.ascii { "  | " } else { "  │ " }
    }

    /// `text` in at most `room` columns. A character counts as one column: the lessons' texts are English.
    pub(crate) fn cut(&self, text: &str, room: usize) -> String {
        if text.chars().count() <= room {
            return text.to_string();
        }
        let dots = self.dots();
        let kept: String = text.chars().take(room.saturating_sub(dots.chars().count())).collect();
        format!("{}{dots}", kept.trim_end())
    }
}

/// Writes a question to standard error. The answer comes after it, on the same line.
pub(crate) fn ask(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes one line to standard error. A standard error that is not read is no reason to stop.
pub(crate) fn notice(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn terminal_width(out: &Stdout) -> Option<usize> {
    if !out.is_terminal() {
        return None;
    }
    // A terminal that does not know its size says 0.
    rustix::termios::tcgetwinsize(out)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns > 0)
}

/// The first of the three that is set decides, as in setlocale(3).
fn locale_is_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| env::var(name).ok())
        .find(|value| !value.is_empty())
        .is_some_and(|value| value.to_lowercase().replace('-', "").contains("utf8"))
}
