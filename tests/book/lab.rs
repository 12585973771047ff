//! The lab's promises, asked of its program over plain sockets: the gate, the limits, edits, exercises.

use looplab_lab::exercises::{Exercise, exercises};
use looplab_lab::lessons::lessons;
use looplab_lab::markdown::html;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use support::{LONG, Served, root, watchdog, watchdog_of};
use tempfile::TempDir;

/// It starts a program in its group, and one in a session of its own.
const SLEEPS: &str = "import subprocess
print(*(subprocess.Popen(['sleep', '600'], start_new_session=own).pid for own in [False, True]), flush=True)
";

fn lab(options: &[&str]) -> (TempDir, Served) {
    let folder = tempfile::tempdir().expect("a folder");
    support::examples();
    let lab = Served::start(folder.path(), options);
    (folder, lab)
}

/// Returns the last line of a run, which says how it ended.
fn ended(answer: &str) -> Value {
    let last =
        answer.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no line: {answer}"));
    serde_json::from_str(last).expect("JSON")
}

fn write(folder: &Path, file: &str, text: &str) {
    fs::write(folder.join(file), text).expect("the copy is written");
}

/// Saves a copy. Its time of change is another one then, as after a save by a person: two writes within a tick of the
/// kernel's clock have the same.
fn save(path: &Path, text: &str) {
    let changed = || fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a copy");
    let before = changed();
    while changed() == before {
        fs::write(path, text).expect("the copy is written");
    }
}

/// Runs a text as the copy of lesson 05 in Python.
fn run(folder: &TempDir, lab: &Served, text: &str) -> Value {
    write(folder.path(), "05_create_task_after_stop.py", text);
    ended(&lab.ask_well("POST /run/05/py/copy"))
}

fn has_python(lab: &Served) -> bool {
    let book = lab.ask_well("GET /book");
    let has = !ended(&book)["python"].is_null();
    if !has {
        support::complain("no CPython of 3.11 or later here: the lab's runs of Python are not tested");
    }
    has
}

/// Waits until what a program has started is gone, or is a zombie that its parent has not reaped.
fn are_gone(pids: [&str; 2]) {
    // Only Linux shows what has left the group.
    let found = if cfg!(target_os = "linux") { &pids[..] } else { &pids[..1] };
    let alive = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat"));
        status.is_ok_and(|status| !status.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    };
    for pid in found {
        while alive(pid) {
            thread::yield_now();
        }
    }
}

#[test]
fn only_requests_with_the_key_from_this_page_are_answered() {
    let ((_folder, lab), _watchdog) = (lab(&[]), watchdog());
    let (host, cookie) = (lab.host(), lab.cookie());
    let own = format!("Origin: http://127.0.0.1:{}", lab.port);
    let local = format!("Host: localhost:{}", lab.port);
    let wrong_key = cookie.replace(&lab.key, &"0".repeat(32));
    let longer_key = format!("{cookie}0");
    let (other_port, suffix) = (format!("Host: 127.0.0.1:{}", lab.port ^ 1), format!("{host}.evil.test"));
    for (status, headers) in [
        ("200", vec![host.as_str(), &cookie]),
        ("200", vec![&local, &cookie]),
        ("200", vec![&host, &cookie, &own, "Sec-Fetch-Site: same-origin"]),
        ("200", vec![&host, &cookie, "Sec-Fetch-Site: none"]),
        ("403", vec![&host]),
        ("403", vec![&host, &wrong_key]),
        ("403", vec![&host, &longer_key]),
        ("403", vec![&cookie, "Host: evil.test"]),
        ("403", vec![&cookie, &other_port]),
        ("403", vec![&cookie, &suffix]),
        ("403", vec![&cookie, &host, &local]),
        ("403", vec![&host, &cookie, "Origin: http://evil.test"]),
        ("403", vec![&host, &cookie, "Origin: null"]),
        ("403", vec![&host, &cookie, &own, "Origin: http://evil.test"]),
        ("403", vec![&host, &cookie, "Sec-Fetch-Site: cross-site"]),
        ("403", vec![&host, &cookie, "Sec-Fetch-Site: same-site"]),
    ] {
        for line in ["GET /book", "GET /", "GET /lab.js", "POST /reset/05/rs", "GET /nothing"] {
            let answer = lab.ask(line, &headers);
            let status = if status == "200" && line.ends_with("nothing") { "404" } else { status };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line} {headers:?}: {answer}");
            assert!(!answer.contains(&lab.key), "{answer}");
        }
    }
    // HTTP/1.0 has no host, and the library answers a request of 1.1 without one.
    assert!(lab.ask("GET /book", &[&cookie]).starts_with("HTTP/1.1 403"));
}

#[test]
fn the_first_visit_changes_the_key_into_a_cookie_and_every_answer_has_the_headers() {
    let ((_folder, lab), _watchdog) = (lab(&[]), watchdog());
    let first = lab.ask(&format!("GET /?key={}", lab.key), &[&lab.host()]);
    assert!(first.starts_with("HTTP/1.1 303"), "{first}");
    assert!(first.contains("\r\nlocation: /\r\n"), "{first}");
    let cookie =
        format!("set-cookie: looplab-lab-{}={}; HttpOnly; SameSite=Strict; Path=/\r\n", lab.port, lab.key);
    assert!(first.contains(&cookie), "{first}");
    let refused = |line: &str| assert!(lab.ask(line, &[&lab.host()]).starts_with("HTTP/1.1 403"), "{line}");
    refused(&format!("GET /?key={}0", lab.key));
    refused("GET /?key=");
    refused(&format!("GET /book?key={}", lab.key));
    refused(&format!("POST /?key={}", lab.key));
    for answer in [first, lab.ask_well("GET /"), lab.ask_well("GET /book"), lab.ask("GET /", &[])] {
        for header in [
            "content-security-policy: default-src 'none'; ",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.contains(header), "{header}: {answer}");
        }
    }
    // Another address of this machine is not listened on.
    #[cfg(target_os = "linux")]
    assert!(TcpStream::connect(("127.0.0.2", lab.port)).is_err());
}

#[test]
fn an_address_names_what_there_is_and_never_a_file() {
    let ((folder, lab), _watchdog) = (lab(&[]), watchdog());
    write(folder.path(), "secret.rs", "secret");
    for (status, line) in [
        ("404", "GET /lesson/../../../etc/passwd"),
        ("404", "GET /lesson/..%2f..%2fetc%2fpasswd"),
        ("404", "GET /../Cargo.toml"),
        ("404", "GET //etc/passwd"),
        ("404", "GET /lesson/99"),
        ("404", "GET /lesson/05/../06"),
        ("404", "GET /chapter/..%2f05"),
        ("404", "GET /xray/05/secret"),
        ("404", "GET /xray/05/copy"),
        ("404", "GET /wait/secret/0"),
        ("404", "GET /run/05/py/copy"),
        ("404", "GET /reset/05/py"),
        ("404", "POST /run/secret/rs/copy"),
        ("404", "POST /run/05/sh/copy"),
        ("404", "POST /run/05/py/other"),
        ("404", "POST /run/..%2f05/py/copy"),
        ("404", "POST /chapter/secret"),
        ("405", "PUT /lesson/05"),
        ("405", "DELETE /lesson/05"),
    ] {
        let answer = lab.ask_well(line);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(!answer.contains("root:") && !answer.contains("secret"), "{line}: {answer}");
    }
    let body = lab.ask("POST /run/05/py/copy", &[&lab.host(), &lab.cookie(), "Content-Length: 5"]);
    assert!(body.starts_with("HTTP/1.1 413"), "{body}");
    let long = format!("GET /{}", "a".repeat(40 << 10));
    let answer = lab.ask_well(&long);
    assert!(!answer.starts_with("HTTP/1.1 200"), "a long head");
}

#[test]
fn a_program_is_killed_with_its_group_at_its_limits() {
    let ((folder, lab), _watchdog) = (lab(&["--seconds", "60"]), watchdog());
    if !has_python(&lab) {
        return;
    }
    write(folder.path(), "05_create_task_after_stop.py", &format!("{SLEEPS}while True: pass\n"));
    // A busy machine may need longer than the first limit to start a program.
    let begun = ["0.5", "2", "8", "32"].into_iter().any(|seconds| {
        let lab = Served::start(folder.path(), &["--seconds", seconds]);
        let answer = lab.ask_well("POST /run/05/py/copy");
        let problem = format!("was still running after {seconds} s and was killed");
        assert_eq!(ended(&answer)["problem"], problem);
        pids_in(&answer).map(are_gone).is_some()
    });
    assert!(begun, "the program prints");

    let problem = |text: &str| run(&folder, &lab, text)["problem"].clone();
    assert_eq!(problem("while True: print('x' * 1000)"), "printed more than 1024 KiB and was killed");
    assert_eq!(
        problem("import sys\nwhile True: sys.stderr.write('x' * 1000)"),
        "printed more than 1024 KiB and was killed"
    );
    assert_eq!(problem("raise SystemExit(3)"), "ended with exit status 3");
    assert_eq!(problem("import os; os.kill(os.getpid(), 9)"), "was killed by signal 9");
    let long = problem(&"#".repeat(300 << 10));
    assert!(long.as_str().is_some_and(|long| long.ends_with("is longer than 256 KiB")), "{long}");
}

/// Returns the numbers that [`SLEEPS`] has printed.
fn pids_in(answer: &str) -> Option<[&str; 2]> {
    let (_, out) = answer.split_once(r#"{"out":""#)?;
    let mut numbers = out.split(|c: char| !c.is_ascii_digit());
    Some([numbers.next()?, numbers.next()?])
}

/// Starts a program that prints and never ends, and returns the connection and what it printed.
fn start(folder: &TempDir, lab: &Served) -> (TcpStream, String) {
    write(folder.path(), "05_create_task_after_stop.py", &format!("{SLEEPS}while True: pass\n"));
    let mut stream = TcpStream::connect(("127.0.0.1", lab.port)).expect("the lab accepts");
    write!(stream, "POST /run/05/py/copy HTTP/1.1\r\n{}\r\n{}\r\n\r\n", lab.host(), lab.cookie())
        .expect("a request");
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let out = lines.find(|line| line.starts_with(r#"{"out""#)).expect("it prints at once");
    (stream, out)
}

#[test]
fn a_program_ends_with_its_client_and_with_the_lab() {
    let ((folder, mut lab), _watchdog) = (lab(&["--seconds", "600"]), watchdog());
    if !has_python(&lab) {
        return;
    }
    let (stream, out) = start(&folder, &lab);
    drop(stream);
    are_gone(pids_in(&out).expect("two numbers"));
    let (_stream, out) = start(&folder, &lab);
    let sent = Command::new("kill").args(["-INT", &lab.process.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
    assert_eq!(lab.process.wait().expect("the lab ends").code(), Some(0));
    are_gone(pids_in(&out).expect("two numbers"));
}

#[test]
fn copies_are_edited_run_and_reset_and_the_lesson_stays_as_it_is() {
    let ((folder, lab), _watchdog) = (lab(&["--seconds", "60"]), watchdog_of(LONG));
    let lesson = ended(&lab.ask_well("GET /lesson/05"));
    let path = Path::new(lesson["programs"]["rs"]["path"].as_str().expect("a path"));
    assert_eq!(path, folder.path().canonicalize().expect("a folder").join("05_create_task_after_stop.rs"));
    let own = root().join("examples/05_create_task_after_stop.rs");
    let text = fs::read_to_string(&own).expect("the lesson");
    assert_eq!(fs::read_to_string(path).expect("the copy"), text);

    save(path, &text.replace("run again: ", "once more: "));
    let stamp = lesson["stamp"].as_str().expect("a stamp");
    let waited = ended(&lab.ask_well(&format!("GET /wait/05/{stamp}")));
    assert_ne!(waited["stamp"], stamp, "a save answers the wait");
    let answer = lab.ask_well("POST /run/05/rs/copy");
    assert!(answer.contains("once more: cleanup is done"), "{answer}");
    let end = ended(&answer);
    assert_eq!((&end["problem"], &end["same"], &end["traced"]), (&Value::Null, &false.into(), &true.into()));
    let page = lab.ask_well("GET /xray/05/copy");
    assert!(
        page.contains("once more: ") && page.contains(r#"data-name="Rust""#),
        "the page has the edited run"
    );
    assert!(page.contains("frame-ancestors 'self'"));

    save(path, &text.replace("looplab::stop()?;", "looplab::stop(1)?;"));
    let end = ended(&lab.ask_well("POST /run/05/rs/copy"));
    assert_eq!(end["problem"], "does not compile");
    assert!(
        end["stderr"].as_str().is_some_and(|said| said.contains("05_create_task_after_stop.rs:")),
        "{end}"
    );

    assert!(lab.ask_well("POST /reset/05/rs").starts_with("HTTP/1.1 200"));
    assert_eq!(fs::read_to_string(path).expect("the copy"), text);
    if has_python(&lab) {
        let end = ended(&lab.ask_well("POST /run/05/py/copy"));
        assert_eq!((&end["problem"], &end["same"]), (&Value::Null, &true.into()), "{end}");
        let answer = run(&folder, &lab, "print('edited')");
        assert_eq!((&answer["problem"], &answer["traced"]), (&Value::Null, &false.into()));
        assert!(!answer["fix"].as_str().expect("a verdict").is_empty());
    }
    assert_eq!(fs::read_to_string(own).expect("the lesson"), text);
}

/// Lessons without an exercise. There are none.
const WITHOUT: [&str; 0] = [];

#[test]
fn each_lesson_has_an_exercise_that_its_own_output_fails() {
    let exercises = exercises();
    let lessons = lessons().expect("the lessons");
    let has = |number: &str| exercises.iter().any(|exercise| exercise.number == number);
    let without: Vec<&str> =
        lessons.iter().map(|lesson| lesson.number.as_str()).filter(|number| !has(number)).collect();
    assert_eq!(without, WITHOUT);
    for exercise in &exercises {
        let number = exercise.number;
        let lesson = lessons.iter().find(|lesson| lesson.number == number).expect("the exercise's lesson");
        assert!(
            !exercise.task.is_empty() && !exercise.hint.is_empty() && !exercise.want.is_empty(),
            "{number}"
        );
        let file = root().join("examples").join(format!("{}.out", lesson.name));
        let printed = fs::read_to_string(file).expect("the transcript");
        assert!(exercise.problem(&printed).is_some(), "{number} is solved as it is given");
        let all: Vec<&str> = exercise.want.iter().chain(&exercise.never).copied().collect();
        let solved = exercise.want.join("\n");
        assert_eq!(exercise.problem(&solved), None, "{number}: {all:?}");
        let never =
            exercise.never.iter().find(|never| exercise.problem(&format!("{solved}\n{never}")).is_none());
        assert_eq!(never, None, "{number}");
        let program = fs::read_to_string(root().join("examples").join(format!("{}.rs", lesson.name)));
        exercise
            .solve("rs", &program.expect("the lesson"))
            .expect("each line of the lesson that a solution replaces");
    }
    // What no trace can ask about is asked by hand.
    assert!(exercises.iter().find(|one| one.number == "17").is_some_and(|one| one.questions.len() == 2));
}

/// Runs each exercise's solution in one language, two at a time, and returns what is wrong.
fn problems_of_solutions(language: &str) -> Vec<String> {
    let (folder, lab) = lab(&["--seconds", "60"]);
    let lessons = lessons().expect("the lessons");
    let exercises = exercises();
    let solved = |exercise: &Exercise| -> Result<(), String> {
        let _watchdog = watchdog_of(LONG);
        let lesson = lessons.iter().find(|lesson| lesson.number == exercise.number).expect("its lesson");
        let file = format!("{}.{language}", lesson.name);
        let text = fs::read_to_string(root().join("examples").join(&file)).expect("the program");
        if language == "py" && (text.contains("aiohttp") || text.contains("import redis")) {
            return Ok(());
        }
        write(folder.path(), &file, &exercise.solve(language, &text)?);
        let run = || {
            let answer = lab.ask_well(&format!("POST /run/{}/{language}/copy", exercise.number));
            let end = ended(&answer);
            let good = end["problem"].is_null() && end["fix"] == "" || answer.contains("not shown: ");
            if good { Ok(()) } else { Err(format!("{file}: {end}\n{answer}")) }
        };
        // With a socket time passes as on the wall, and a machine that stands still is late: once more.
        run().or_else(|_| run())
    };
    let half = |n: usize| {
        let of_half = exercises.iter().skip(n).step_by(2);
        of_half.filter_map(|exercise| solved(exercise).err()).collect::<Vec<String>>()
    };
    thread::scope(|scope| {
        let second = scope.spawn(|| half(1));
        let mut problems = half(0);
        problems.extend(second.join().expect("no panic"));
        problems
    })
}

#[test]
fn each_exercise_is_solved_by_its_solution_in_python() {
    let (_folder, lab) = lab(&[]);
    if has_python(&lab) {
        let problems = problems_of_solutions("py");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

#[test]
#[ignore = "it compiles each lesson"]
fn each_exercise_is_solved_by_its_solution_in_rust() {
    let problems = problems_of_solutions("rs");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_page_becomes_html_and_its_text_stays_text() {
    for (text, expected) in [
        ("## 05: `stop()` & more\n", "<h2>05: <code>stop()</code> &amp; more</h2>\n"),
        (
            "one\ntwo\n\n*three* **four** 2 * 3\n",
            "<p>one\ntwo</p>\n<p><em>three</em> <strong>four</strong> 2 * 3</p>\n",
        ),
        ("- a\n  b\n- `c`\n", "<ul>\n<li>a b</li>\n<li><code>c</code></li>\n</ul>\n"),
        ("1. a\n2. b\n", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n"),
        ("<!-- quote\nx -->\n<script>\n", "<p>&lt;script&gt;</p>\n"),
        ("<!-- mark -->\n![a](b.webp)\n\nc\n", "<p>c</p>\n"),
        (
            "```rust,ignore\nlet a = \"<b>\";\n```\n",
            "<pre tabindex=\"0\" class=\"lang-rust\"><code>let a = &quot;&lt;b&gt;&quot;;</code></pre>\n",
        ),
        ("[a](../lessons/stopping.md#05-x)", "<p><a href=\"#/lesson/05/story\">a</a></p>\n"),
        ("[a](02_timers.md)", "<p><a href=\"#/chapter/02\">a</a></p>\n"),
        ("[`a`](../../src/x.rs) [b", "<p><span title=\"../../src/x.rs\"><code>a</code></span> [b</p>\n"),
        (
            "| a | b |\n|---|---|\n| 1 | `2` |\n",
            "<div class=\"wide\"><table><thead><tr><th>a</th><th>b</th></tr>\n</thead><tbody><tr><td>1</td><td><code>2</code></td></tr>\n</tbody></table></div>\n",
        ),
    ] {
        assert_eq!(html(text), expected, "{text}");
    }
}
