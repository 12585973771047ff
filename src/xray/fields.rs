//! Reads the fields of a trace's line, for `replay`.
//!
//! A field that is missing or of the wrong type is an error with its name, never a default. Other
//! fields are not looked at: a later version may add some.

use serde_json::Value;
use std::collections::HashMap;

/// What is wrong with a line, as an error.
pub(super) type Check<T = ()> = Result<T, String>;

pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(what()) }
}

/// The fields of a line, and the places that the lines before it defined.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    line: &'a Value,
    places: &'a HashMap<u64, String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(line: &'a Value, places: &'a HashMap<u64, String>) -> Self {
        Self { line, places }
    }

    /// Returns any value; null if there is none.
    pub(super) fn value(self, key: &str) -> &'a Value {
        &self.line[key]
    }

    pub(super) fn maybe_value(self, key: &str) -> Option<&'a Value> {
        self.line.get(key)
    }

    pub(super) fn number(self, key: &str) -> Check<u64> {
        self.maybe_number(key)?.ok_or_else(|| format!("{key} is missing"))
    }

    pub(super) fn maybe_number(self, key: &str) -> Check<Option<u64>> {
        let value = self.line.get(key);
        value
            .map(|value| value.as_u64().ok_or_else(|| format!("{key} is {value}, not a whole number")))
            .transpose()
    }

    pub(super) fn signed(self, key: &str) -> Check<i64> {
        self.line.get(key).and_then(Value::as_i64).ok_or_else(|| format!("{key} is no number"))
    }

    pub(super) fn text(self, key: &str) -> Check<&'a str> {
        self.maybe_text(key)?.ok_or_else(|| format!("{key} is missing"))
    }

    pub(super) fn maybe_text(self, key: &str) -> Check<Option<&'a str>> {
        let value = self.line.get(key);
        value.map(|value| value.as_str().ok_or_else(|| format!("{key} is {value}, not a text"))).transpose()
    }

    pub(super) fn numbers(self, key: &str) -> Check<Vec<u64>> {
        let list =
            self.line.get(key).and_then(Value::as_array).ok_or_else(|| format!("{key} is no array"))?;
        list.iter().map(|value| value.as_u64().ok_or_else(|| format!("{key} holds {value}"))).collect()
    }

    /// Returns the text of `src`.
    pub(super) fn place(self) -> Check<Option<String>> {
        let id = self.maybe_number("src")?;
        id.map(|id| self.places.get(&id).cloned().ok_or_else(|| format!("src {id} was not defined")))
            .transpose()
    }
}
