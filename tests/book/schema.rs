//! `docs/trace-v1.json` is the schema of a trace's lines: it takes a line of every kind, and refuses what is wrong.

use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../docs/trace-v1.json");

/// A line of every kind, as looplab writes it, without its count `s`.
const LINES: &str = include_str!("../../docs/trace-v1.jsonl");

pub(crate) fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

/// A line as a trace has it.
fn counted(rest: &Value) -> Value {
    let mut line = json!({"s": 1, "t": 0});
    line.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    line
}

#[test]
fn the_schema_takes_a_line_of_every_kind() {
    let schema = schema();
    for line in LINES.lines() {
        let line = counted(&serde_json::from_str(line).expect("a line is JSON"));
        assert!(schema.is_valid(&line), "{line}: {:?}", schema.validate(&line).err());
    }
    assert!(LINES.lines().count() > 60);
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let schema = schema();
    for right in [
        json!({"e": "run", "q": 1, "h": 1}),
        json!({"e": "reg", "fd": -2, "dir": "w", "h": 1}),
        json!({"e": "def", "k": "file", "id": 1, "v": "examples/05_x.rs", "text": "fn main() {}"}),
        json!({"e": "out", "text": "hello", "by": 3}),
        json!({"e": "park", "task": 1, "kind": "yield"}),
    ] {
        assert!(schema.is_valid(&counted(&right)), "{right}");
    }
    for wrong in [
        json!({"e": "run", "q": 0, "h": 1}),
        json!({"e": "run", "q": 1}),
        json!({"e": "walk"}),
        json!({"e": "def", "k": "file", "id": 1, "v": "examples/05_x.rs"}),
        json!({"e": "out"}),
        json!({"e": "park", "task": 1, "kind": "sleep"}),
        json!({"e": "park", "task": 1, "on": {"fut": 1, "task": 2}}),
        json!({"e": "push", "q": 1, "h": 1, "via": "mail", "kind": "cb", "cb": "a"}),
    ] {
        assert!(!schema.is_valid(&counted(&wrong)), "{wrong}");
    }
}
