//! A long trace: what opening and stepping cost the page's main thread, by the browser's own counters.
//!
//! The counters are of CPU time, so other processes on the machine do not count. A limit is a number of [`UNIT`]s, which the
//! same page does afterwards, so the machine's speed does not count either. Where a unit takes 0.12 s, the limits are twice
//! what the design allows: 2 s and 32 ms.

use crate::browser::Browser;
use looplab::xray::page;
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use support::{complain, watchdog};

/// Units of CPU time for opening, and for script, style and layout of one step.
const OPENING: f64 = 16.0;
const STEP: f64 = 0.27;

/// Work like the page's own: it reads 40,000 lines, and lays out 3,000 paragraphs.
const UNIT: &str = "(() => {
    const line = (i) => JSON.stringify({ s: i, t: i * 1000, e: 'push', q: i, h: i % 100, cb: `Task-${i % 100}.step` });
    const lines = Array.from({ length: 40_000 }, (_, i) => line(i));
    let sum = 0;
    for (const line of lines) sum += JSON.parse(line).q;
    const box = document.createElement('div');
    document.body.append(box);
    for (let i = 0; i < 10; i++) {
        box.innerHTML = lines.slice(0, 300).map((line) => `<p class=\"pane\"><b>${line}</b></p>`).join('');
        sum += box.offsetHeight;
    }
    box.remove();
    return sum;
})()";

/// A trace of a loop on which 100 tasks go on, turn after turn.
fn long_trace(turns: u64) -> String {
    let mut trace = String::from(
        "{\"s\":0,\"t\":0,\"e\":\"meta\",\"v\":1,\"rt\":\"looplab\",\"unit\":\"ns\",\"clock\":\"virtual\"}\n",
    );
    let mut s = 0;
    let mut line = |body: String| {
        s += 1;
        writeln!(trace, "{{\"s\":{s},\"t\":{},{body}}}", s * 1000).expect("a string takes all");
    };
    line(r#""e":"loop","ev":"new""#.to_owned());
    for task in 1..=100 {
        line(format!(r#""e":"task","task":{task},"name":"Task-{task}","coro":"work""#));
    }
    let push = |q: u64| {
        let task = (q - 1) % 100 + 1;
        format!(
            r#""e":"push","q":{q},"h":{task},"via":"call_soon","kind":"step","cb":"Task-{task}.step","task":{task}"#
        )
    };
    (1..=100).for_each(|q| line(push(q)));
    line(r#""e":"loop","ev":"run""#.to_owned());
    let mut q = 0;
    for n in 1..=turns {
        line(format!(r#""e":"turn","n":{n}"#));
        line(r#""e":"sel","to":0,"why":"ready""#.to_owned());
        line(r#""e":"polled","ev":[]"#.to_owned());
        line(r#""e":"batch","n":100"#.to_owned());
        for task in 1..=100 {
            q += 1;
            line(format!(r#""e":"run","q":{q},"h":{task}"#));
            line(format!(r#""e":"step","task":{task}"#));
            line(push(q + 100));
            line(format!(r#""e":"ret","q":{q}"#));
        }
    }
    trace
}

impl Browser {
    /// Returns seconds of CPU that the page's main thread has spent on all tasks, and on script, style and layout.
    fn spent(&mut self) -> (f64, f64) {
        let metrics = self.call("Performance.getMetrics", json!({}));
        let of = |name: &str| {
            let metric =
                metrics["metrics"].as_array().expect("a list").iter().find(|metric| metric["name"] == name);
            metric.and_then(|metric| metric["value"].as_f64()).expect("a counter")
        };
        (of("TaskDuration"), of("ScriptDuration") + of("RecalcStyleDuration") + of("LayoutDuration"))
    }

    /// Returns the seconds of CPU that a unit costs: the median of a few.
    fn unit(&mut self) -> f64 {
        let mut units: [f64; 5] = std::array::from_fn(|_| {
            let before = self.spent().0;
            self.eval(UNIT);
            self.spent().0 - before
        });
        units.sort_by(f64::total_cmp);
        units[2]
    }
}

#[test]
fn a_trace_of_140_000_events_opens_and_steps_at_once() {
    let Some(mut browser) = Browser::start() else { return };
    let (_watchdog, folder) = (watchdog(), tempfile::tempdir().expect("a folder"));
    browser.call("Performance.enable", json!({ "timeDomain": "threadTicks" }));
    let file = folder.path().join("long.html");
    fs::write(&file, page(&[("Rust", &long_trace(346))])).expect("the page");
    let before = browser.spent().0;
    browser.open(&file, "step=event");
    let opening = browser.spent().0 - before;
    let events = browser.eval("xray.traces[0].events.length").as_u64().expect("a number");
    assert!(events > 139_000, "{events} events");
    browser.eval("xray.go(100000)");
    let before = browser.spent().1;
    for key in ["ArrowRight", "ArrowLeft"] {
        for _ in 0..20 {
            browser.press(key);
        }
    }
    let step = (browser.spent().1 - before) / 40.0;
    let unit = browser.unit();
    let took = format!("{opening:.2} s to open, {:.1} ms a step, {unit:.3} s a unit", step * 1000.0);
    complain(&format!("{events} events: {took}"));
    assert!(opening <= OPENING * unit && step <= STEP * unit, "it took too long: {took}");
    browser.is_content();
}
