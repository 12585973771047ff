//! One line of JSON, written into a buffer that is used again and again.
//!
//! It guarantees valid JSON whatever the texts hold, and allocates nothing but the buffer's growth. It does not check keys:
//! they are the schema's, and a test holds every line against the schema.
//!
//! Alternative: `serde_json::Value` for each event. Problem: several allocations each. Alternative: a derived struct for
//! each kind of line. Problem: a second copy of the events.

use serde::{Serialize, Serializer as _};
use serde_json::Serializer;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};
use std::io::{self, Write};

/// A line that is being written. [`end`](Self::end) closes it. Its methods are inlined, so that the keys are constants.
pub(super) struct JsonLine<'a> {
    out: &'a mut Vec<u8>,
    /// The loop's number.
    number: u64,
}

impl<'a> JsonLine<'a> {
    /// Begins a line; [`kind`](Self::kind) comes next.
    #[inline(always)]
    pub(super) fn begin(out: &'a mut Vec<u8>, s: u64, t: u64, number: u64) -> Self {
        out.extend_from_slice(b"{\"s\":");
        let mut line = Self { out, number };
        line.value(s);
        line.field("t", t);
        line
    }

    /// Writes the kind and the loop's number. The first loop's is left out: most traces have one loop.
    #[inline(always)]
    pub(super) fn kind(&mut self, kind: &'static str) -> &mut Self {
        let other = (self.number > 1).then_some(self.number);
        self.word("e", kind).maybe("l", other)
    }

    #[inline(always)]
    pub(super) fn field(&mut self, key: &'static str, value: impl Serialize) -> &mut Self {
        self.key(key);
        self.value(value)
    }

    /// Writes a field if there is a value.
    #[inline(always)]
    pub(super) fn maybe(&mut self, key: &'static str, value: Option<impl Serialize>) -> &mut Self {
        value.map(|value| self.field(key, value));
        self
    }

    /// Writes a text of looplab's own, which needs no escaping.
    #[inline(always)]
    pub(super) fn word(&mut self, key: &'static str, value: &'static str) -> &mut Self {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
        self
    }

    /// Writes an array.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        items: impl IntoIterator<Item = impl Serialize>,
    ) -> &mut Self {
        self.key(key);
        written(self.serializer().collect_seq(items));
        self
    }

    pub(super) fn end(&mut self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// Writes a key of at most twelve letters. It is one piece, so that the compiler can make it a constant.
    #[inline(always)]
    fn key(&mut self, key: &'static str) {
        let mut piece = *b",\"            \":";
        let end = 2 + key.len();
        piece[2..end].copy_from_slice(key.as_bytes());
        piece[end..end + 2].copy_from_slice(b"\":");
        self.out.extend_from_slice(&piece[..end + 2]);
    }

    #[inline(always)]
    fn value(&mut self, value: impl Serialize) -> &mut Self {
        written(value.serialize(&mut self.serializer()));
        self
    }

    #[inline(always)]
    fn serializer(&mut self) -> Serializer<&mut Vec<u8>, EscapeControls> {
        Serializer::with_formatter(self.out, EscapeControls)
    }
}

#[inline(always)]
fn written(result: serde_json::Result<()>) {
    result.expect("a buffer in memory takes all, and the values are plain data");
}

/// Writes every control character as a number. JSON allows those above 0x7e, but a terminal obeys them.
struct EscapeControls;

impl Formatter for EscapeControls {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        // Most texts are ASCII, of which only DEL is left to escape here.
        if text.bytes().all(|byte| byte < 0x7f) {
            return out.write_all(text.as_bytes());
        }
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(out, "\\u{:04x}", u32::from(c)),
            false => write!(out, "{c}"),
        })
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        let escape = match escape {
            CharEscape::Backspace => CharEscape::AsciiControl(0x08),
            CharEscape::FormFeed => CharEscape::AsciiControl(0x0c),
            other => other,
        };
        CompactFormatter.write_char_escape(out, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_as_a_json_string() {
        let every_control: String = (0..=0xff_u8).map(char::from).collect();
        for text in [
            "",
            "plain",
            "\"",
            "\\",
            "a\"b\\c\n",
            "이벤트 루프 \u{2028} 🦀",
            "\0",
            "end\u{1f}",
            "\u{8}\u{c}\u{7f}",
            &every_control,
        ] {
            let mut out = Vec::new();
            JsonLine::begin(&mut out, 0, 0, 1).field("text", text).end();
            let line = String::from_utf8(out).unwrap();
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains(char::is_control), "a line stays one line, and moves no cursor: {line}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["text"], text);
        }
    }

    #[test]
    fn a_control_is_written_as_its_number() {
        let mut out = Vec::new();
        JsonLine::begin(&mut out, 7, 8, 2).kind("x").field("text", "\u{8}\t\u{c}\u{7f}é\u{85}").end();
        let line = "{\"s\":7,\"t\":8,\"e\":\"x\",\"l\":2,\"text\":\"\\u0008\\t\\u000c\\u007fé\\u0085\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), line);
    }
}
