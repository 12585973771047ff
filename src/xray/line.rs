//! One line of JSON, written by hand into a buffer that is used again and again.
//!
//! It promises valid JSON whatever the texts hold, and no allocation but the buffer's growth. It does not check keys:
//! they are the schema's, and the tests hold every line against it. `serde_json` was the alternative: a value per event
//! costs several allocations, and a derived struct per kind of line would be a second copy of the events.

/// A line that is being written; `end` closes it.
pub(super) struct Line<'a> {
    out: &'a mut String,
}

impl<'a> Line<'a> {
    /// Begins a line. The first loop's number is left out: most traces have one loop.
    pub(super) fn begin(out: &'a mut String, s: u64, t: u64, kind: &'static str, number: u64) -> Self {
        out.push_str("{\"s\":");
        push_number(out, s);
        out.push_str(",\"t\":");
        push_number(out, t);
        let mut line = Self { out };
        line.word("e", kind);
        if number > 1 {
            line.number("l", number);
        }
        line
    }

    pub(super) fn end(&mut self) {
        self.out.push_str("}\n");
    }

    /// A key, after which the caller writes the value.
    pub(super) fn key(&mut self, key: &'static str) -> &mut String {
        self.out.push_str(",\"");
        self.out.push_str(key);
        self.out.push_str("\":");
        self.out
    }

    pub(super) fn number(&mut self, key: &'static str, value: u64) -> &mut Self {
        push_number(self.key(key), value);
        self
    }

    pub(super) fn signed(&mut self, key: &'static str, value: i32) -> &mut Self {
        push_signed(self.key(key), value);
        self
    }

    /// A text of our own, which needs no escaping.
    pub(super) fn word(&mut self, key: &'static str, value: &'static str) -> &mut Self {
        let out = self.key(key);
        out.push('"');
        out.push_str(value);
        out.push('"');
        self
    }

    /// A text that can hold anything.
    pub(super) fn text(&mut self, key: &'static str, value: &str) -> &mut Self {
        push_text(self.key(key), value);
        self
    }

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
        mut item: impl FnMut(&mut String, T),
    ) -> &mut Self {
        let out = self.key(key);
        out.push('[');
        for (i, value) in items.into_iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            item(out, value);
        }
        out.push(']');
        self
    }
}

pub(super) fn push_number(out: &mut String, mut value: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[first..]).expect("digits are ASCII"));
}

pub(super) fn push_signed(out: &mut String, value: i32) {
    if value < 0 {
        out.push('-');
    }
    push_number(out, u64::from(value.unsigned_abs()));
}

/// A JSON string with its quotes.
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(i) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..i]);
        match rest.as_bytes()[i] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 15)]));
            }
        }
        rest = &rest[i + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 1, 9, 10, 99, 100, 12_345_678_901, u64::MAX] {
            let mut out = String::new();
            push_number(&mut out, value);
            assert_eq!(out, value.to_string());
        }
        for value in [0, -1, 7, i32::MIN, i32::MAX] {
            let mut out = String::new();
            push_signed(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }

    #[test]
    fn any_text_survives_as_a_json_string() {
        let every_control: String = (0..=0x7f_u8).map(char::from).collect();
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
            let mut out = String::new();
            push_text(&mut out, text);
            assert!(!out.contains('\n'), "a line stays one line: {out}");
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
