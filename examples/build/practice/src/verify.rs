//! What must hold of each exercise: it compiles and fails as given, and passes with its solution.

use crate::chapter::scratch;
use crate::exercises::{EXERCISES, Exercise};
use crate::program::{Compiler, PATIENCE, each, first_difference, run};
use std::path::Path;

/// Checks all exercises.
pub(crate) fn all() -> Result<bool, String> {
    let compiler = Compiler::new()?;
    let place = scratch("practice/verify")?;
    let results = each(EXERCISES, |exercise| check(&compiler, exercise, &place));
    let mut well = true;
    for (exercise, result) in EXERCISES.iter().zip(results) {
        match result? {
            None => println!(" ok   {}", exercise.name()),
            Some(problem) => {
                well = false;
                println!(" FAIL {}\n    {problem}", exercise.name());
            }
        }
    }
    Ok(well)
}

fn check(compiler: &Compiler, exercise: &Exercise, place: &Path) -> Result<Option<String>, String> {
    let chapter = exercise.chapter()?;
    for (kind, source) in [("given", exercise.source()?), ("solved", exercise.solved()?)] {
        let file = place.join(format!("{}_{kind}.rs", exercise.name()));
        let program = file.with_extension("");
        crate::chapter::write(&file, &source)?;
        if let Err(error) = compiler.compile(&file, &program, &[]) {
            return Ok(Some(format!("{kind}: does not compile\n{error}")));
        }
        let difference = (1..=3)
            .map(|attempt| Ok(first_difference(&chapter.transcript, &run(&program, PATIENCE * attempt)?)))
            .find(|difference: &Result<_, String>| !matches!(difference, Ok(Some(_))) || kind == "given");
        match (kind, difference.transpose()?.flatten()) {
            ("given", None) => return Ok(Some("passes unsolved".to_owned())),
            ("solved", Some(difference)) => return Ok(Some(format!("solved: {difference}"))),
            _ => {}
        }
    }
    Ok(None)
}
