//! The table of words: one sentence for each event, for the page and for the terminal alike.
//!
//! `page/words.json` holds the sentences as templates. This file reads it as `page/words.js` does. A
//! test compares the two at every event of every lesson.
//!
//! For each kind of event, the first row counts whose `if` holds. `who` speaks, `say` is the
//! sentence. `if` is a list of facts joined by ` & `: `a` is there, `!a` is not, `a=b` is equal,
//! `a!=b` is not. `{a}` is a fact, `{a|one|many}` a count with its noun, `{a?one|many}` only the
//! noun, `{@row}` a row of `parts`.

use serde::Deserialize;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a sentence may say about an event, by name. An absent fact does not hold.
pub(super) type Facts = HashMap<&'static str, String>;

/// The table, read once.
pub(super) static WORDS: LazyLock<Words> = LazyLock::new(|| {
    serde_json::from_str(include_str!("page/words.json")).expect("the table of words is valid JSON")
});

#[derive(Deserialize)]
pub(super) struct Words {
    events: HashMap<String, Vec<WordRow>>,
    parts: HashMap<String, Vec<WordRow>>,
    signals: HashMap<String, String>,
    options: HashMap<String, Vec<String>>,
}

/// A sentence, and when it is said.
#[derive(Deserialize)]
struct WordRow {
    #[serde(default, rename = "if")]
    when: String,
    #[serde(default)]
    who: String,
    say: String,
}

impl Words {
    /// Returns the side that speaks, and the sentence of an event of this kind.
    pub(super) fn sentence(&self, kind: &str, facts: &Facts) -> (String, String) {
        let rows = self.events.get(kind).unwrap_or_else(|| &self.events["*"]);
        let row = choose(rows, facts).expect("the last row of each kind has no condition");
        (self.fill(&row.who, facts), self.fill(&row.say, facts).trim().to_owned())
    }

    /// Returns whether the table has sentences for a kind of event.
    pub(super) fn knows(&self, kind: &str) -> bool {
        self.events.contains_key(kind)
    }

    /// Returns a piece of a sentence; `None` if no row fits.
    pub(super) fn part(&self, name: &str, facts: &Facts) -> Option<String> {
        Some(self.fill(&choose(&self.parts[name], facts)?.say, facts))
    }

    /// Returns the options of a kind of question. Those of some kinds are not in the table.
    pub(super) fn options(&self, kind: &str, facts: &Facts) -> Vec<String> {
        let options = self.options.get(kind).into_iter().flatten();
        options.map(|option| self.fill(option, facts)).collect()
    }

    pub(super) fn signal(&self, number: i64) -> String {
        let number = number.to_string();
        self.signals.get(&number).cloned().unwrap_or_else(|| format!("signal {number}"))
    }

    /// Puts facts into a template. What a fact holds is not read as a template again.
    fn fill(&self, template: &str, facts: &Facts) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, after) = after.split_once('}').expect("a slot of the table is closed");
            text.push_str(before);
            text.push_str(&self.slot(slot, facts));
            rest = after;
        }
        text + rest
    }

    fn slot(&self, slot: &str, facts: &Facts) -> String {
        if let Some(part) = slot.strip_prefix('@') {
            return self.part(part, facts).unwrap_or_default();
        }
        let fact = |name: &str| facts.get(name).map_or("", String::as_str);
        let Some(sign) = slot.find(['|', '?']) else { return fact(slot).to_owned() };
        let (name, nouns) = (&slot[..sign], &slot[sign + 1..]);
        let (one, many) = nouns.split_once('|').unwrap_or((nouns, ""));
        let noun = if fact(name) == "1" { one } else { many };
        if slot[sign..].starts_with('|') { format!("{} {noun}", fact(name)) } else { noun.to_owned() }
    }
}

fn choose<'a>(rows: &'a [WordRow], facts: &Facts) -> Option<&'a WordRow> {
    rows.iter()
        .find(|row| row.when.split(" & ").filter(|test| !test.is_empty()).all(|test| holds(test, facts)))
}

fn holds(test: &str, facts: &Facts) -> bool {
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    if let Some(name) = test.strip_prefix('!') {
        fact(name).is_empty()
    } else if let Some((name, value)) = test.split_once("!=") {
        fact(name) != value
    } else if let Some((name, value)) = test.split_once('=') {
        fact(name) == value
    } else {
        !fact(test).is_empty()
    }
}
