//! The exercises: what a lesson's program must print instead, and a change that makes it do so.
//!
//! `exercises.txt` holds them all, so that a page and a test read the same. A check compares lines: each wanted one must
//! be printed, in this order, and none of the others at all. A solution is a list of lines out and lines in.

const TEXT: &str = include_str!("../exercises.txt");

/// A question about a lesson that no trace can ask: the lesson makes no loop.
#[derive(Debug, Default)]
pub struct Question {
    pub(crate) text: &'static str,
    /// Each option, and whether it is the right one.
    pub(crate) options: Vec<(&'static str, bool)>,
    pub(crate) why: &'static str,
}

/// One exercise.
#[derive(Debug, Default)]
pub struct Exercise {
    /// The lesson's number.
    pub number: &'static str,
    /// Questions beside those of the trace.
    pub questions: Vec<Question>,
    /// What is to be done.
    pub task: &'static str,
    /// Where to look.
    pub hint: &'static str,
    /// Lines that must be printed, in this order.
    pub want: Vec<&'static str>,
    /// Lines that must not be printed.
    pub never: Vec<&'static str>,
    /// The solution for each language: lines out (`-`) and in (`+`).
    pub solutions: Vec<(&'static str, String)>,
}

/// Returns the exercises, in the order of their file.
pub fn exercises() -> Vec<Exercise> {
    let mut all: Vec<Exercise> = Vec::new();
    for line in TEXT.lines() {
        if let Some(number) = line.strip_prefix("== ") {
            all.push(Exercise { number, ..Exercise::default() });
            continue;
        }
        let Some(exercise) = all.last_mut() else { continue };
        let (key, rest) = line.split_once(": ").unwrap_or((line, ""));
        match (key, exercise.solutions.last_mut()) {
            ("ask", None) => exercise.questions.push(Question { text: rest, ..Question::default() }),
            ("yes" | "no" | "why", None) => {
                let Some(question) = exercise.questions.last_mut() else { continue };
                match key {
                    "why" => question.why = rest,
                    _ => question.options.push((rest, key == "yes")),
                }
            }
            ("task", None) => exercise.task = rest,
            ("hint", None) => exercise.hint = rest,
            ("want", None) => exercise.want.push(rest),
            ("never", None) => exercise.never.push(rest),
            ("rs:" | "py:", _) => exercise.solutions.push((&key[..2], String::new())),
            (_, Some((_, change))) if !line.is_empty() => {
                change.push_str(line);
                change.push('\n');
            }
            _ => {}
        }
    }
    all
}

impl Exercise {
    /// Returns what is wrong with a program's output; `None` if the exercise is solved.
    pub fn problem(&self, printed: &str) -> Option<String> {
        let lines: Vec<&str> = printed.lines().map(str::trim).collect();
        if let Some(never) = self.never.iter().find(|never| lines.contains(never)) {
            return Some(format!("It still prints “{never}”."));
        }
        let mut rest = lines.iter();
        let missing = self.want.iter().find(|want| !rest.any(|line| line == *want))?;
        let place = if lines.contains(missing) { "does not print it there" } else { "does not print it" };
        Some(format!("It should print “{missing}”, and {place}."))
    }

    /// Returns a program with the solution in it. Fails if the program does not have the lines that go out once.
    pub fn solve(&self, language: &str, program: &str) -> Result<String, String> {
        let change = self.solutions.iter().find(|(of, _)| *of == language);
        let (_, change) = change.ok_or_else(|| format!("{}: no solution in {language}", self.number))?;
        let mut solved = program.to_owned();
        let (mut out, mut into) = (String::new(), String::new());
        for line in change.lines().chain([" "]) {
            let ends = !line.starts_with('+') && !into.is_empty() || line == " ";
            if ends && !out.is_empty() {
                if solved.matches(&out).count() != 1 {
                    return Err(format!("{}: not once in {language}:\n{out}", self.number));
                }
                solved = solved.replacen(&out, &into, 1);
                out.clear();
                into.clear();
            }
            match line.split_at(1) {
                ("-", line) => out += &format!("{line}\n"),
                ("+", line) => into += &format!("{line}\n"),
                _ => {}
            }
        }
        Ok(solved)
    }
}
