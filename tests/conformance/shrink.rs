//! Making a failing program small.
//!
//! Programs are built so that taking anything out leaves a program: an unknown name is skipped by both interpreters. So
//! shrinking needs no knowledge of the operations: it takes out one operation after the other, or puts what was inside of
//! one in its place, as long as the program still fails.

use serde_json::Value;

/// The smallest program this finds for which `fails` still holds.
pub(crate) fn shrink(program: &Value, mut fails: impl FnMut(&Value) -> bool) -> Value {
    let mut best = program.clone();
    loop {
        let smaller = candidates(&best).find(|candidate| fails(candidate));
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

/// Every program that is one change smaller.
fn candidates(program: &Value) -> impl Iterator<Item = Value> + '_ {
    let mut count = 0;
    visit(&mut program.clone(), false, &mut |_| {
        count += 1;
        false
    });
    (0..count).flat_map(|n| (0..3).map(move |how| (n, how))).filter_map(|(n, how)| {
        let mut candidate = program.clone();
        let (mut seen, mut changed) = (0, false);
        visit(&mut candidate, false, &mut |spot| {
            seen += 1;
            if seen - 1 == n {
                changed = change(spot, how);
            }
            seen > n
        });
        changed.then_some(candidate)
    })
}

/// One place where something can be taken out: an element of a list.
struct Spot<'a> {
    list: &'a mut Vec<Value>,
    at: usize,
}

/// Takes it out, or puts one of its own lists in its place, or makes it plainer.
fn change(spot: Spot<'_>, how: usize) -> bool {
    let Spot { list, at } = spot;
    if how == 0 && !list[at].is_u64() {
        list.remove(at);
        return true;
    }
    if let Some(number) = list[at].as_u64() {
        let smaller = [0, number / 2, number.saturating_sub(1)][how];
        list[at] = smaller.into();
        return smaller < number;
    }
    let inner =
        list[at].as_array().map(|op| op.iter().filter_map(Value::as_array).filter(|l| is_ops(l)).cloned());
    match inner.and_then(|mut lists| lists.nth(how - 1)) {
        Some(ops) => {
            list.splice(at..=at, ops);
            true
        }
        None => false,
    }
}

fn is_ops(list: &[Value]) -> bool {
    !list.is_empty()
        && list.iter().all(|op| op.as_array().is_some_and(|op| op.first().is_some_and(Value::is_string)))
}

/// Shows `stop` every spot: operations in their lists, names in lists of names (those `inside` of an operation), numbers;
/// until it answers true.
fn visit(value: &mut Value, inside: bool, stop: &mut impl FnMut(Spot<'_>) -> bool) -> bool {
    match value {
        Value::Object(map) => map.values_mut().any(|value| visit(value, false, stop)),
        Value::Array(list) => {
            let is_op = !is_ops(list);
            let ops = !is_op || (inside && list.iter().all(Value::is_string));
            for at in 0..list.len() {
                let number = list[at].is_u64();
                if (ops || number) && stop(Spot { list, at }) {
                    return true;
                }
                if at < list.len() && visit(&mut list[at], is_op, stop) {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}
