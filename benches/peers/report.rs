//! What is shown: what looplab is to reach and whether it does, the figures of all peers, and lines for machines.

use crate::memory;
use crate::work::{Goal, Row};

/// The table of goals, then the table of all figures.
pub(crate) fn table(rows: &[Row]) {
    println!(
        "{:<17} {:<17} {:>15} {:>15} {:>7} {:>20} {:>7}  goal",
        "work", "", "looplab", "tokio", "×tokio", "best peer", "×best"
    );
    for row in rows {
        goals(row);
    }
    peers(rows);
    println!("\nns for an operation, or bytes for each of {}; ± median distance", memory::how_many());
}

fn goals(row: &Row) {
    let figure = |peer: &str| {
        let found = row.figures.iter().find(|(name, _)| name == peer);
        found.map_or("–".to_owned(), |(_, f)| format!("{:.0} ±{:.0} {}", f.median(), f.spread(), row.unit))
    };
    let ratio = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
    let best = row.best();
    let (best, of_best) = match best {
        Some((name, median)) => {
            (format!("{name} {median:.0}"), row.median("looplab").map(|ours| ours / median))
        }
        None => ("–".to_owned(), None),
    };
    let goals: Vec<String> = row.goals.iter().filter_map(|goal| verdict(row, *goal)).collect();
    println!(
        "{:<17} {:<17} {:>15} {:>15} {:>7} {best:>20} {:>7}  {}",
        row.name,
        row.param,
        figure("looplab"),
        figure("tokio"),
        ratio(row.ratio("tokio")),
        ratio(of_best),
        goals.join("; ")
    );
}

/// A goal in words, and whether it is met; nothing if the peer was not there.
fn verdict(row: &Row, goal: Goal) -> Option<String> {
    let (text, reached, wanted) = match goal {
        Goal::Ratio(peer, most) => (format!("≤ {most} × {peer}"), row.ratio(peer)?, most),
        Goal::AtMost(most) => (format!("≤ {most} {}", row.unit), row.median("looplab")?, most),
    };
    Some(if reached <= wanted { format!("{text} met") } else { format!("{text} MISSED ({reached:.2})") })
}

/// All figures: a row for each work, a column for each peer.
fn peers(rows: &[Row]) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flat_map(|row| &row.figures) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    println!();
    print!("{:<17} {:<17}", "", "");
    names.iter().for_each(|name| print!(" {name:>9}"));
    println!();
    for row in rows {
        print!("{:<17} {:<17}", row.name, row.param);
        for name in &names {
            match row.median(name) {
                Some(median) => print!(" {median:>9.0}"),
                None => print!(" {:>9}", "–"),
            }
        }
        println!();
    }
}

/// `bench,work,param,peer,ns_per_op,ratio_to_tokio`; for what is measured in bytes the figure is that.
pub(crate) fn csv(rows: &[Row]) {
    for row in rows {
        for (peer, figures) in &row.figures {
            let median = figures.median();
            let ratio = row.median("tokio").map_or(String::new(), |tokio| format!("{:.3}", median / tokio));
            println!("bench,{},{},{peer},{median:.1},{ratio}", row.name, row.param);
        }
    }
}
