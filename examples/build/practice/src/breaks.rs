//! Breaks: patches of the chapters, and what the broken programs print.
//!
//! `breaks/NN_name.patch` is a line of text and a unified diff, and `breaks/NN_name.out` what is printed. With
//! `LOOPLAB_BLESS=1` the outputs are written anew. The pages in `docs/build` show both.

use crate::chapter::{Chapter, folder, read, scratch, write};
use crate::program::{Compiler, PATIENCE, each, first_difference, run};
use std::fs;
use std::path::{Path, PathBuf};

/// Applies all changes, or one; builds, runs and compares.
pub(crate) fn all(only: Option<&str>) -> Result<bool, String> {
    let mut patches: Vec<PathBuf> = fs::read_dir(folder().join("breaks"))
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .filter(|path| only.is_none_or(|only| stem(path).starts_with(only)))
        .collect();
    patches.sort();
    if patches.is_empty() {
        return Err(format!("{}: no such change", only.unwrap_or("breaks")));
    }
    let compiler = Compiler::new()?;
    let place = scratch("breaks")?;
    let results = each(&patches, |patch| check(&compiler, patch, &place));
    let mut well = true;
    for (patch, result) in patches.iter().zip(results) {
        match result? {
            None => println!(" ok   {}", stem(patch)),
            Some(problem) => {
                well = false;
                println!(" FAIL {}\n    {problem}", stem(patch));
            }
        }
    }
    Ok(well)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns what is wrong with one change.
fn check(compiler: &Compiler, patch: &Path, place: &Path) -> Result<Option<String>, String> {
    let name = stem(patch);
    let chapter = Chapter::of(&name[..2])?;
    let broken = match apply(&chapter.source, &read(patch)?) {
        Ok(broken) => broken,
        Err(why) => return Ok(Some(why)),
    };
    let (source, program) = (place.join(format!("{name}.rs")), place.join(&name));
    write(&source, &broken)?;
    if let Err(error) = compile(compiler, &chapter, &source, &program)? {
        return Ok(Some(format!("does not compile:\n{error}")));
    }
    let out = patch.with_extension("out");
    if std::env::var_os("LOOPLAB_BLESS").is_some() {
        write(&out, &run(&program, PATIENCE)?)?;
    }
    let expected = read(&out)?;
    if expected == chapter.transcript {
        return Ok(Some("prints what the unbroken chapter prints".to_owned()));
    }
    // Some changes lose a race that they nearly always lose, and a busy machine may be slow: three attempts.
    let mut problem = None;
    for attempt in 1..=3 {
        problem = first_difference(&expected, &run(&program, PATIENCE * attempt)?);
        if problem.is_none() {
            break;
        }
    }
    Ok(problem)
}

/// Compiles a broken chapter. Chapter 10 is a library, and its program counts turns. The inner error is the compiler's.
fn compile(
    compiler: &Compiler,
    chapter: &Chapter,
    source: &Path,
    program: &Path,
) -> Result<Result<(), String>, String> {
    if !chapter.name.starts_with("10") {
        return Ok(compiler.compile(source, program, &[]));
    }
    let library = program.with_file_name(format!("lib{}.rlib", stem(program)));
    let options = ["--crate-type=lib", "--crate-name=looplab"].map(str::to_owned);
    if let Err(error) = compiler.compile(source, &library, &options) {
        return Ok(Err(error));
    }
    let uses = ["--extern".to_owned(), format!("looplab={}", library.display())];
    Ok(compiler.compile(&folder().join("turns.rs"), program, &uses))
}

/// Applies a unified diff. The lines of a hunk must be in the source once.
fn apply(source: &str, patch: &str) -> Result<String, String> {
    let mut text = source.to_owned();
    for hunk in patch.split("\n@@ ").skip(1) {
        let lines: Vec<&str> = hunk.lines().skip(1).collect();
        let side = |skipped: char| {
            let kept = lines.iter().filter(|line| !line.starts_with(skipped));
            kept.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect::<String>()
        };
        let (before, after) = (side('+'), side('-'));
        if text.matches(&before).count() != 1 {
            return Err(format!("no longer applies: the source has these lines not once:\n{before}"));
        }
        text = text.replacen(&before, &after, 1);
    }
    Ok(text)
}
