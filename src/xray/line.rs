//! One line of JSON, written by hand into a buffer that is used again and again.
//!
//! It promises valid JSON whatever the texts hold, and no allocation but the buffer's growth. It does not check keys:
//! they are the schema's, and the tests hold every line against it. `serde_json` was the alternative: a value per event
//! costs several allocations, and a derived struct per kind of line would be a second copy of the events.
//!
//! The buffer is of bytes and not a `String`, into which digits go only after they were checked to be UTF-8: for the numbers
//! of a line that took as long as all its texts. What is inlined here has keys and words of known length, which are copied
//! then without a call.

/// A line that is being written; `end` closes it.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Line<'a> {
    /// Begins a line. The first loop's number is left out: most traces have one loop.
    pub(super) fn begin(out: &'a mut Vec<u8>, s: u64, t: u64, kind: &'static str, number: u64) -> Self {
        out.extend_from_slice(b"{\"s\":");
        push_number(out, s);
        out.extend_from_slice(b",\"t\":");
        push_number(out, t);
        let mut line = Self { out };
        line.word("e", kind);
        if number > 1 {
            line.number("l", number);
        }
        line
    }

    pub(super) fn end(&mut self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// A key, after which the caller writes the value.
    #[inline]
    pub(super) fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    #[inline]
    pub(super) fn number(&mut self, key: &'static str, value: u64) -> &mut Self {
        push_number(self.key(key), value);
        self
    }

    pub(super) fn signed(&mut self, key: &'static str, value: i32) -> &mut Self {
        push_signed(self.key(key), value);
        self
    }

    /// A text of our own, which needs no escaping.
    #[inline]
    pub(super) fn word(&mut self, key: &'static str, value: &'static str) -> &mut Self {
        let out = self.key(key);
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
        self
    }

    /// A text that can hold anything.
    pub(super) fn text(&mut self, key: &'static str, value: &str) -> &mut Self {
        push_text(self.key(key), value);
        self
    }

    #[inline]
    pub(super) fn maybe_number(&mut self, key: &'static str, value: Option<u64>) -> &mut Self {
        value.map(|value| self.number(key, value));
        self
    }

    pub(super) fn maybe_signed(&mut self, key: &'static str, value: Option<i32>) -> &mut Self {
        value.map(|value| self.signed(key, value));
        self
    }

    pub(super) fn maybe_text(&mut self, key: &'static str, value: Option<&str>) -> &mut Self {
        value.map(|value| self.text(key, value));
        self
    }

    /// An array; `item` writes one element.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Vec<u8>, T),
    ) -> &mut Self {
        let out = self.key(key);
        out.push(b'[');
        for (i, value) in items.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            item(out, value);
        }
        out.push(b']');
        self
    }
}

/// The digits of 0 to 99, two each: half the divisions.
const PAIRS: &[u8; 200] = b"\
    0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
    5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

pub(super) fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    while value >= 10 {
        let pair = 2 * (value % 100) as usize;
        first -= 2;
        digits[first..first + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        value /= 100;
    }
    if value > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[first..]);
}

pub(super) fn push_signed(out: &mut Vec<u8>, value: i32) {
    if value < 0 {
        out.push(b'-');
    }
    push_number(out, u64::from(value.unsigned_abs()));
}

/// A JSON string with its quotes.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(i) =
        rest.iter().position(|byte| *byte < b' ' || matches!(*byte, b'"' | b'\\' | 0x7f | 0xc2))
    {
        out.extend_from_slice(&rest[..i]);
        let mut taken = 1;
        match rest[i] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // JSON lets the controls above 0x7e stand, but a terminal on which a trace is shown obeys them.
            0xc2 => match rest[i + 1] {
                control @ 0x80..0xa0 => {
                    push_control(out, control);
                    taken = 2;
                }
                _ => out.push(0xc2),
            },
            control => push_control(out, control),
        }
        rest = &rest[i + taken..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn push_control(out: &mut Vec<u8>, control: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(control >> 4)]);
    out.push(HEX[usize::from(control & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 1, 9, 10, 99, 100, 101, 999, 1000, 12_345_678_901, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
        for value in [0, -1, 7, i32::MIN, i32::MAX] {
            let mut out = Vec::new();
            push_signed(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

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
            &every_control,
        ] {
            let mut out = Vec::new();
            push_text(&mut out, text);
            let out = String::from_utf8(out).unwrap();
            assert!(!out.contains(char::is_control), "a line stays one line, and moves no cursor: {out}");
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
