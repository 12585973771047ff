//! The lab, served by a process of its own.

use crate::{examples, with_default_signals};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A lab that serves; it is ended when this value is dropped.
pub struct Served {
    pub process: Child,
    pub port: u16,
    pub key: String,
}

impl Served {
    /// Starts a lab whose copies are in `folder`, with further options.
    pub fn start(folder: &Path, options: &[&str]) -> Self {
        let program = Command::new(examples().join("lab"));
        let mut command = with_default_signals(&program).unwrap_or(program);
        command.arg("--folder").arg(folder).args(options);
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the lab starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let (_, address) = line.trim().split_once("http://127.0.0.1:").expect("an address");
        let (port, key) = address.split_once("/?key=").expect("a key");
        Self { process, port: port.parse().expect("a port"), key: key.to_owned() }
    }

    pub fn home(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub fn address(&self) -> String {
        format!("{}?key={}", self.home(), self.key)
    }

    /// Asks with these headers only, beside those that end the connection. Returns the answer.
    pub fn ask(&self, line: &str, headers: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the lab accepts");
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        // The lab may answer before it has read all, and close: then the rest of the request breaks the connection.
        let _ = write!(stream, "{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks as the lab's own page does.
    pub fn ask_well(&self, line: &str) -> String {
        self.ask(line, &[&self.host(), &self.cookie()])
    }

    pub fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}", self.port)
    }

    pub fn cookie(&self) -> String {
        format!("Cookie: other=1; looplab-lab-{}={}", self.port, self.key)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
