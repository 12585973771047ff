//! Cases: what happens to a `StreamReader`, op by op.
//!
//! `start` begins a read in a task unless one is under way, `second` tries another one beside it, `cancel` cancels it,
//! `turn` lets a turn pass. A second read and an error come only when the first is known to wait. A `read_to_end` is not
//! cancelled, not cut off and never the second: what asyncio does then is a defect (see `docs/differences.md`).

use looplab::net::{Separators, StreamReader};
use looplab::{Error, EventLoop, Result, Task, create_task, yield_now};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub(crate) fn cases() -> impl Strategy<Value = Value> {
    let limits = prop_oneof![1..=12_u64, Just(1 << 16)];
    (limits, prop::collection::vec(steps(), 1..30))
        .prop_map(|(limit, steps)| json!({ "limit": limit, "ops": steps.concat() }))
}

fn steps() -> impl Strategy<Value = Vec<Value>> {
    let waits = || vec![json!(["turn"]), json!(["turn"])];
    prop_oneof![
        6 => "[ab;\n]{0,7}".prop_map(|data| vec![json!(["feed", data])]),
        6 => reads().prop_map(|(kind, arg)| vec![json!(["start", kind, arg])]),
        6 => Just(vec![json!(["turn"])]),
        2 => Just(vec![json!(["cancel"])]),
        // It must find too little, for a second reader that takes bytes spoils asyncio's search.
        1 => prop_oneof![Just(json!(["second", "readexactly", 999])), Just(json!(["second", "readuntil", ["~"]]))]
            .prop_map(move |second| [waits(), vec![second]].concat()),
        1 => Just(vec![json!(["eof"])]),
        1 => prop::bool::weighted(0.2).prop_map(move |cut| match cut {
            true => [waits(), vec![json!(["error", "cut"])]].concat(),
            false => vec![],
        }),
    ]
}

fn reads() -> impl Strategy<Value = (&'static str, Value)> {
    let separators = prop_oneof![
        8 => prop::collection::vec("[ab;\n]{1,3}", 1..=3),
        1 => Just(vec![String::new()]),
        1 => Just(vec![]),
        1 => Just(vec!["a".to_owned(), String::new()]),
    ];
    prop_oneof![
        3 => (0..9_u64).prop_map(|n| ("read", json!(n))),
        1 => Just(("read_to_end", Value::Null)),
        3 => (0..9_u64).prop_map(|n| ("readexactly", json!(n))),
        2 => Just(("readline", Value::Null)),
        4 => separators.prop_map(|separators| ("readuntil", json!(separators))),
    ]
}

/// What a case's reads answer on looplab.
pub(crate) fn run(case: &Value) -> Vec<String> {
    let lp = EventLoop::new().expect("a loop");
    let case = case.clone();
    lp.run_until_complete(async move { program(&case).await }).expect("the program ends well")
}

async fn program(case: &Value) -> Result<Vec<String>> {
    let reader = StreamReader::with_limit(number(&case["limit"]))?;
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let turn = Rc::new(Cell::new(0));
    let mut first: Option<(Task<()>, Value)> = None;
    let say = |line: String| log.borrow_mut().push(line);
    for op in case["ops"].as_array().expect("ops") {
        let busy = first.as_ref().filter(|(task, _)| !task.done());
        match (op[0].as_str().expect("an op"), busy) {
            ("start", None) => {
                let (log, turn, op) = (log.clone(), turn.clone(), op.clone());
                let (reader, kind) = (reader.clone(), op[1].clone());
                let body = async move {
                    let got = answer(&reader, &op[1], &op[2]).await;
                    log.borrow_mut().push(format!("{} {} {got}", turn.get(), text(&op[1])));
                };
                first = Some((create_task(body), kind));
            }
            ("second", Some(_)) => {
                let got = answer(&reader, &op[1], &op[2]).await;
                say(format!("{} second {} {got}", turn.get(), text(&op[1])));
            }
            ("cancel", Some((task, kind))) if kind != "read_to_end" => {
                task.cancel();
            }
            ("feed", _) => {
                if let Err(error) = reader.feed_data(text(&op[1]).as_bytes()) {
                    say(format!("{} feed {error}", turn.get()));
                }
            }
            ("eof", _) => reader.feed_eof(),
            ("error", Some((_, kind))) if kind == "read_to_end" => {}
            ("error", _) => reader.set_exception(Error::msg(text(&op[1]))),
            ("turn", _) => {
                yield_now().await?;
                turn.set(turn.get() + 1);
            }
            _ => {}
        }
    }
    say(format!("{} at_eof {}", turn.get(), reader.at_eof()));
    reader.feed_eof();
    while first.as_ref().is_some_and(|(task, _)| !task.done()) {
        yield_now().await?;
    }
    say(format!("left {}", answer(&reader, &json!("read_to_end"), &Value::Null).await));
    Ok(log.take())
}

async fn answer(reader: &StreamReader, kind: &Value, arg: &Value) -> String {
    let got = match text(kind) {
        "read" => reader.read(number(arg)).await,
        "read_to_end" => reader.read_to_end().await,
        "readexactly" => reader.readexactly(number(arg)).await,
        "readline" => reader.readline().await,
        _ => {
            let list = arg.as_array().expect("separators");
            let list: Vec<Vec<u8>> = list.iter().map(|one| text(one).as_bytes().to_vec()).collect();
            reader.readuntil(Separators::from(list)).await
        }
    };
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match got {
        Ok(bytes) => format!("ok {}", show(&bytes)),
        Err(error) => match &error {
            Error::IncompleteRead { partial, .. } => format!("incomplete {}: {error}", show(partial)),
            Error::LimitOverrun { consumed, .. } => format!("limit {consumed}: {error}"),
            Error::Cancelled(_) => "cancelled".to_owned(),
            _ => format!("failed: {error}"),
        },
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn number(value: &Value) -> usize {
    value.as_u64().and_then(|n| n.try_into().ok()).expect("a number")
}
