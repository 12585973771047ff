//! Random programs on both sides, and what is shown when they differ.

use crate::generate::{self, Dialect};
use crate::oracle::Oracle;
use crate::watch::{number, watch};
use crate::world::{self, Output};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// After this number of differences it is time to look at them.
const ENOUGH: usize = 10;

/// The Python to ask.
pub(crate) fn python() -> String {
    std::env::var("LOOPLAB_PYTHON").unwrap_or("python3".to_owned())
}

/// Runs random programs on both sides, or those of one `LOOPLAB_THEME`; what differs is printed in its smallest form. With `LOOPLAB_PROGRAM` it runs the
/// programs of that file, one a line, and prints both outputs.
pub(crate) fn compare() {
    let mut oracle = Oracle::start(&python()).unwrap_or_else(|error| panic!("{error}"));
    if let Some(path) = std::env::var_os("LOOPLAB_PROGRAM") {
        let text = std::fs::read_to_string(path).expect("the file named by LOOPLAB_PROGRAM");
        return text.lines().for_each(|line| show(&mut oracle, line));
    }
    let dialect = Dialect::of(oracle.minor);
    let (first, count) = (number("LOOPLAB_SEED", 1), number("LOOPLAB_PROGRAMS", 2000));
    let (mut skipped, mut lines, mut found) = (BTreeMap::<String, u64>::new(), 0, Vec::new());
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut made = 0;
    let theme = std::env::var("LOOPLAB_THEME").ok();
    let asked = |seed: &u64| theme.as_ref().is_none_or(|theme| *theme == generate::theme(*seed).name());
    for seed in (first..).filter(asked).take(count as usize) {
        let program = generate::program(seed, dialect);
        made += 1;
        // Both run it at the same time.
        oracle.tell(&program);
        let _watched = watch(&program);
        let ours = world::run(&program);
        match oracle.hear() {
            Err(why) => *skipped.entry(why).or_insert(0) += 1,
            Ok(theirs) => {
                lines += theirs.log.len();
                if oracle.difference(&theirs, &ours).is_some() {
                    found.push(report(seed, dialect, &mut oracle));
                }
            }
        }
        if found.len() == ENOUGH {
            break;
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!("{made} of {count} programs, {} differ", found.len());
        }
    }
    let rate = made as f64 / began.elapsed().as_secs_f64();
    println!(
        "Python {}: {made} programs from seed {first}, {lines} lines, {rate:.0} programs a second: {} differ",
        oracle.version,
        found.len()
    );
    for (why, count) in &skipped {
        println!("   {count} skipped: {why}");
    }
    let skipped: u64 = skipped.values().sum();
    assert!(found.is_empty(), "CPython on the left, looplab on the right\n\n{}", found.join("\n"));
    assert!(skipped * 10 < count, "{skipped} programs of {count} were skipped");
}

fn show(oracle: &mut Oracle, program: &str) {
    let program = serde_json::from_str(program).expect("JSON");
    let _watched = watch(&program);
    match oracle.ask(&program) {
        Err(why) => println!("skipped: {why}"),
        Ok(theirs) => println!("{}", side_by_side(&theirs, &world::run(&program))),
    }
}

fn report(seed: u64, dialect: Dialect, oracle: &mut Oracle) -> String {
    let small = generate::shrink(generate::tree(seed, dialect), |program| {
        let _watched = watch(program);
        let theirs = oracle.ask(program);
        theirs.is_ok_and(|theirs| oracle.difference(&theirs, &world::run(program)).is_some())
    });
    let theirs = oracle.ask(&small).unwrap_or_default();
    format!("seed {seed}: {small}\n{}", side_by_side(&theirs, &world::run(&small)))
}

/// Both outputs in columns, with a mark where they differ.
pub(crate) fn side_by_side(theirs: &Output, ours: &Output) -> String {
    let mut text = String::new();
    for (theirs, ours) in [(&theirs.log, &ours.log), (&theirs.late, &ours.late)] {
        for n in 0..theirs.len().max(ours.len()) {
            let pick = |lines: &[String]| lines.get(n).cloned().unwrap_or_default();
            let (theirs, ours) = (pick(theirs), pick(ours));
            let mark = if theirs == ours { ' ' } else { '|' };
            text += format!("   {theirs:<55} {mark} {ours}").trim_end();
            text.push('\n');
        }
        text += "   --\n";
    }
    text
}
