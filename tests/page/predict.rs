//! Predict: the questions of each lesson, with the answers that Rust finds in the trace, and their card in the page.

use crate::browser::Browser;
use crate::lessons::{lessons, page_of, record};
use looplab::xray::{History, Sentence, page, sentences};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use support::watchdog;

const QUESTIONS: &str = "(() => {
    const [trace] = xray.traces;
    return trace.questions.map(({ kind, at, text, options, right, why, q, task, l, evidence }) =>
        ({ kind, s: trace.events[at].s, text, options, right, why, q, task, l, evidence: trace.events[evidence].s }));
})()";

/// A lesson's events of one loop, each with its run.
struct Recorded {
    events: Vec<(Value, u64)>,
    told: Vec<Sentence>,
}

impl Recorded {
    fn read(trace: &str, told: &[Sentence], l: u64) -> Self {
        let mut run = 0;
        let mut events = Vec::new();
        for line in trace.lines() {
            let event: Value = serde_json::from_str(line).expect("JSON");
            if ["meta", "def", "snap"].contains(&text(&event, "e")) || event["l"].as_u64().unwrap_or(1) != l {
                continue;
            }
            run += u64::from(event["e"] == "loop" && event["ev"] == "run");
            events.push((event, run));
        }
        Self { events, told: told.to_vec() }
    }

    /// The events behind the line `s`.
    fn after(&self, s: u64) -> impl Iterator<Item = &(Value, u64)> {
        self.events.iter().skip_while(move |(event, _)| event["s"].as_u64() <= Some(s))
    }

    /// When an entry that was queued at `s` runs: later in this turn, in the next one, in a later run, or never.
    fn when(&self, s: u64, q: u64) -> u64 {
        let run = self.events.iter().find(|(event, _)| event["s"] == s).expect("the push").1;
        let mut same_turn = true;
        for (event, of) in self.after(s) {
            same_turn &= event["e"] != "turn";
            if event["e"] == "skip" && event["q"] == q {
                return 3;
            }
            if event["e"] == "run" && event["q"] == q {
                return if same_turn { 0 } else { 1 + u64::from(*of != run) };
            }
        }
        3
    }

    fn sleeps(&self, s: u64) -> u64 {
        let asked = &self.after(s).find(|(event, _)| event["e"] == "sel").expect("a poll").0;
        match text(asked, "why") {
            "stopping" => 1,
            "timer" => 2,
            "idle" => 3,
            why => panic!("{why} is no question"),
        }
    }

    /// When a task feels the cancellation that was asked for at `s`: in a later turn, or never.
    fn felt(&self, s: u64, task: u64) -> u64 {
        let mut of_task = self.after(s).filter(|(event, _)| event["task"] == task).map(|(event, _)| event);
        let until = of_task.find(|event| event["e"] == "tdone" || event["exc"].is_string());
        if until.is_some_and(|event| event["e"] == "step") { 1 } else { 2 }
    }

    /// The names in the batch that is frozen next.
    fn order(&self, s: u64) -> Vec<String> {
        let batch = &self.after(s).find(|(event, _)| event["e"] == "batch").expect("a batch").0;
        let told = self.told.iter().find(|told| batch["s"] == told.s).expect("a sentence");
        told.queue.left.clone()
    }

    fn printed(&self, s: u64) -> String {
        let out = self.after(s).find(|(event, _)| event["e"] == "out" && event["by"].is_u64());
        let lines = text(&out.expect("an output").0, "text").lines();
        lines.map(str::trim).find(|line| !line.is_empty()).expect("a line").to_owned()
    }

    fn is_right(&self, question: &Value) -> bool {
        let number = |key: &str| question[key].as_u64().unwrap_or_else(|| panic!("{key} of {question}"));
        let s = number("s");
        let options: Vec<&str> =
            question["options"].as_array().expect("options").iter().filter_map(Value::as_str).collect();
        match text(question, "kind") {
            "when" => self.when(s, number("q")) == number("right"),
            "sleep" => self.sleeps(s) == number("right"),
            "cancel" => self.felt(s, number("task")) == number("right"),
            "order" => {
                let right = question["right"].as_array().expect("an order").iter();
                let right: Vec<&str> =
                    right.map(|i| options[i.as_u64().expect("a number") as usize]).collect();
                right == self.order(s)
            }
            "print" => {
                let printed = self.printed(s);
                let words: Vec<&str> = printed.split_whitespace().collect();
                let shown = options[number("right") as usize].trim_matches(['“', '”', '…']);
                words.join(" ").starts_with(shown)
            }
            kind => panic!("{kind} is no question"),
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Compares the page's questions with those that the terminal asks.
fn rust_asks_the_same(lesson: &str, questions: &[Value], trace: &str) {
    let asked = History::read(trace).expect("a trace").questions();
    assert_eq!(asked.len(), questions.len(), "{lesson}");
    for (asked, question) in asked.iter().zip(questions) {
        let right = if asked.kind == "order" { json!(asked.right) } else { json!(asked.right[0]) };
        let all = json!([asked.kind, asked.s, asked.text, asked.options, right, asked.why, asked.evidence]);
        let keys = ["kind", "s", "text", "options", "right", "why", "evidence"];
        assert_eq!(all, json!(keys.map(|key| &question[key])), "{lesson}: Rust asks the left one");
    }
}

#[test]
fn each_lesson_has_two_questions_and_the_trace_gives_their_answers() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut few = Vec::new();
    for lesson in lessons() {
        let _watchdog = watchdog();
        let Some(trace) = record(&lesson, folder.path()) else { continue };
        let file = folder.path().join(format!("{lesson}.html"));
        fs::write(&file, page(&[("Rust", trace)])).expect("the page");
        browser.open(&file, "");
        let questions = browser.eval(QUESTIONS);
        let questions = questions.as_array().expect("a list");
        if questions.len() < 2 {
            few.push(format!("{lesson}: {}", questions.len()));
        }
        rust_asks_the_same(&lesson, questions, trace);
        let told = sentences(trace).expect("a trace");
        let mut loops: BTreeMap<u64, Recorded> = BTreeMap::new();
        for question in questions {
            let l = question["l"].as_u64().expect("a loop");
            let of = loops.entry(l).or_insert_with(|| Recorded::read(trace, &told, l));
            assert!(of.is_right(question), "{lesson}: {question}");
            assert!(question["evidence"].as_u64() >= question["s"].as_u64(), "{lesson}: {question}");
            places
                .entry(text(question, "kind").to_owned())
                .or_default()
                .insert(question["right"].to_string());
        }
    }
    assert_eq!(few, [""; 0], "lessons with fewer than two questions");
    assert_eq!(places.keys().collect::<Vec<_>>(), ["cancel", "order", "print", "sleep", "when"]);
    for (kind, rights) in places {
        assert!(rights.len() > 1, "{kind}: the right option is always in one place: {rights:?}");
    }
    browser.is_content();
}

#[test]
fn what_is_to_come_is_hidden_until_the_answer() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.open(&page_of("01_stop_finishes_the_turn", folder.path()), "s=0");
    browser.press("p");
    let question = "document.querySelector('.question').innerText";
    let asks = |browser: &mut Browser| browser.text(question);
    while !asks(&mut browser).contains("has just queued println!(\" late callback\").") {
        browser.press("1");
        browser.press("Enter");
    }
    assert!(asks(&mut browser).ends_with("When does it run?"));
    assert_eq!(browser.eval("document.querySelector('.sentence')"), json!(null));
    let moment = browser.eval("xray.page.at");
    for key in ["ArrowRight", "Shift+ArrowRight", ".", "]", "End", "o"] {
        browser.press(key);
        assert_eq!(browser.eval("xray.page.at"), moment, "{key} does not go on");
    }
    assert_eq!(browser.eval("document.querySelectorAll('.lanes .to-come').length"), 0);
    assert_eq!(browser.text("document.querySelector('.divided h3').innerText"), "After the divider 1");
    let panes = browser.text(
        "[...document.querySelectorAll('.pane')].filter((pane) => !pane.matches('.source')).map((pane) => pane.innerText).join('\\n')",
    );
    for later in ["late task", "late timer", "queued between", "turn 2", "run 2"] {
        assert!(!panes.contains(later), "{later}: {panes}");
    }
    browser.press("/");
    browser.call("Input.insertText", json!({ "text": "late task" }));
    assert_eq!(browser.text("document.querySelector('.dialog .empty').innerText"), "nothing found");
    browser.press("Escape");

    browser.press("2");
    assert!(browser.text("document.querySelector('.answer').innerText").starts_with("Not so."));
    assert_eq!(browser.text("document.querySelector('.option.miss span').innerText"), "In the next turn");
    assert_eq!(browser.text("document.querySelector('.option.hit span').innerText"), "In the next run");
    assert_ne!(browser.eval("xray.page.at"), moment, "the page stands at the evidence");
    browser.press("p");
    assert!(!browser.sentence().is_empty());
    browser.is_content();
}

/// Answers the open question: rightly, or with another option.
const ANSWER: &str = "((rightly) => {
    const { page, traces: [trace] } = xray;
    const { kind, right, options } = trace.questions[page.question];
    const other = () => (kind === 'order' ? [...right].reverse() : [(right + 1) % options.length]);
    for (const i of rightly ? [right].flat() : other()) document.querySelectorAll('.option')[i].click();
    return [kind, document.querySelector('.card').className, document.querySelector('.answer').innerText];
})";

#[test]
fn each_kind_of_question_is_graded() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    let mut graded = BTreeSet::new();
    for lesson in ["01_stop_finishes_the_turn", "18_cancel_needs_a_suspension", "33_shield", "35_taskgroup"] {
        let file = page_of(lesson, folder.path());
        for rightly in [true, false] {
            browser.open(&file, "view=predict");
            let count = browser.eval("xray.traces[0].questions.length").as_u64().expect("a number");
            for n in 0..count {
                let answer = browser.eval(&format!("{ANSWER}({rightly})"));
                let (class, words) = if rightly { ("good", "Right.") } else { ("bad", "Not so.") };
                assert!(answer[1].as_str().expect("a class").ends_with(class), "{lesson} {n}: {answer}");
                assert!(answer[2].as_str().expect("words").starts_with(words), "{lesson} {n}: {answer}");
                graded.insert((answer[0].to_string(), rightly));
                browser.press("Enter");
            }
            let score = if rightly { count } else { 0 };
            let end = browser.text("document.querySelector('.question').innerText");
            assert_eq!(end, format!("That was the last one: {score} of {count} right."));
        }
    }
    assert_eq!(graded.len(), 10, "each of five kinds, right and wrong: {graded:?}");
    browser.is_content();
}
