//! A Chromium without a window, driven by JSON messages over two pipes.
//!
//! Chromium reads commands from descriptor 3 and writes answers to 4, each ended by a zero byte. A
//! shell puts the pipes of standard input and output there: Rust's library can pass no other
//! descriptors without unsafe code. Alternative: a WebSocket. Problem: a crate and a port.

use serde_json::{Value, json};
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use support::LONG;
use tempfile::TempDir;

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    // A container may have little of it, and all tests of this program share it.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
];

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    last: u64,
    /// How many documents have been loaded.
    loads: u64,
    /// The server that may be asked, if there is one.
    home: String,
    /// What the page did beside answering: complaints on its console, and requests that leave its file.
    pub(crate) complaints: Vec<String>,
    _profile: TempDir,
}

/// Returns Chromium's program; `None` if this machine has none and need not have one.
fn chromium() -> Option<OsString> {
    let asked = env::var_os("LOOPLAB_CHROMIUM");
    let names = ["chromium", "chromium-browser", "google-chrome"].map(OsString::from);
    let found = asked.clone().into_iter().chain(names).find(|name| {
        let version = Command::new(name).arg("--version").stderr(Stdio::null()).output();
        version.is_ok_and(|output| output.status.success())
    });
    assert!(found.is_some() || asked.is_none(), "LOOPLAB_CHROMIUM is set, but no Chromium answers");
    found
}

impl Browser {
    /// Starts a browser. Without one on this machine it says so and returns `None`.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = chromium() else {
            support::complain("no Chromium here: the page is not tested");
            return None;
        };
        // A build may take longer than a test's watchdog allows.
        support::examples();
        let profile = tempfile::tempdir().expect("a folder for the browser");
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let commands = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sends, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("a message is JSON");
                if sends.send(message).is_err() {
                    return;
                }
            }
        });
        let (session, home, complaints) = (String::new(), "file:".to_owned(), Vec::new());
        let mut browser = Self {
            process,
            commands,
            messages,
            session,
            last: 0,
            loads: 0,
            home,
            complaints,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Runtime", "Log", "Page", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        // Chips move to their places at once.
        let still = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
        browser.call("Emulation.setEmulatedMedia", still);
        Some(browser)
    }

    /// Sends a command and returns its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).expect("the browser reads");
        loop {
            let mut message = self.next();
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    fn next(&mut self) -> Value {
        // The test's watchdog ends the test before that. A page may wait for what the lab compiles.
        let message = self.messages.recv_timeout(LONG).expect("the browser answers");
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loads += 1,
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(format!("{}", params["exceptionDetails"]))
            }
            Some("Runtime.consoleAPICalled") => self.complaints.push(format!("console: {}", params["args"])),
            Some("Log.entryAdded") => self.complaints.push(format!("log: {}", params["entry"])),
            Some("Network.requestWillBeSent") => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                if ![self.home.as_str(), "data:", "about:"].iter().any(|local| url.starts_with(local)) {
                    self.complaints.push(format!("asks for {url}"));
                }
            }
            _ => {}
        }
        message
    }

    /// Opens a file, at a moment of its link.
    pub(crate) fn open(&mut self, file: &Path, link: &str) {
        // From another address, so that a file that is open already is read again.
        self.navigate("about:blank");
        self.navigate(&format!("file://{}#{link}", file.display()));
    }

    /// Opens an address of a server on this machine, which is the only one that may be asked from then on.
    pub(crate) fn visit(&mut self, home: &str, address: &str) {
        self.home = home.to_owned();
        self.navigate(address);
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        self.eval(&format!(
            "new Promise((done) => {{ const look = () => (({expression}) ? done() : setTimeout(look, 20)); look(); }})"
        ));
    }

    fn navigate(&mut self, url: &str) {
        let before = self.loads;
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        while self.loads == before {
            self.next();
        }
    }

    /// Evaluates an expression in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Evaluates an expression that is a text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Presses and releases a key. `Shift+` before its name holds the shift key.
    pub(crate) fn press(&mut self, key: &str) {
        let (shift, key) = key.strip_prefix("Shift+").map_or((0, key), |key| (8, key));
        let mut params = json!({ "type": "keyDown", "key": key, "modifiers": shift });
        if key.chars().count() == 1 {
            params["text"] = key.into();
        }
        self.call("Input.dispatchKeyEvent", params);
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "modifiers": shift }));
    }

    /// Presses the mouse in the middle of what a selector finds, or `shift` of its width beside it.
    pub(crate) fn click(&mut self, selector: &str, shift: f64) {
        let place = self.eval(&format!(
            "(() => {{ const found = document.querySelector({});
                found.scrollIntoView({{ block: 'center' }});
                const box = found.getBoundingClientRect();
                return [box.x + box.width * (0.5 + {shift}), box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let buttons = u8::from(kind == "mousePressed");
            self.call(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "buttons": buttons, "clickCount": 1 }),
            );
        }
    }

    /// Sets the size of the window.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let mobile = width < 500;
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    /// Fails if the page complained, or asked for something outside of its file.
    pub(crate) fn is_content(&mut self) {
        self.eval("1");
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
