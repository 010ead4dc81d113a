//! A running program: its output as it comes, its exit, its end.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{LIMIT, json_page};

#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    is_ended: bool,
}

/// One output stream of a program, line by line, as it comes.
#[derive(Clone, Default)]
pub struct Lines {
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while stream.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
                let line = String::from_utf8_lossy(&bytes);
                let line = line.strip_suffix('\n').unwrap_or(&line).to_owned();
                writer.heard.0.lock().lines.push(line);
                writer.heard.1.notify_all();
                bytes.clear();
            }
            writer.heard.0.lock().is_ended = true;
            writer.heard.1.notify_all();
        });
        lines
    }

    /// Waits until `done` says yes, or the stream has ended, or the time is over.
    fn wait(&self, limit: Duration, mut done: impl FnMut(&Heard) -> bool) -> bool {
        let mut heard = self.heard.0.lock();
        let waits = |heard: &mut Heard| !done(heard) && !heard.is_ended;
        self.heard.1.wait_while_for(&mut heard, waits, limit);
        done(&heard)
    }

    /// Waits for a line that `matches` and returns it.
    ///
    /// # Panics
    /// When it has not come within [`LIMIT`], or the program has ended without it.
    pub fn wait_for(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let find = |heard: &Heard| heard.lines.iter().find(|line| matches(line)).cloned();
        if self.wait(LIMIT, |heard| find(heard).is_some())
            && let Some(line) = find(&self.heard.0.lock())
        {
            return line;
        }
        panic!("no line with {what} came; there was:\n{}", self.text());
    }

    /// Waits for a line that contains `part` and returns it.
    ///
    /// # Panics
    /// When it has not come within [`LIMIT`], or the program has ended without it.
    pub fn wait_for_part(&self, part: &str) -> String {
        self.wait_for(&format!("{part:?}"), |line| line.contains(part))
    }

    /// Waits until `count` lines match.
    ///
    /// # Panics
    /// When they have not come within [`LIMIT`], or the program has ended without them.
    pub fn wait_for_count(&self, count: usize, matches: impl Fn(&str) -> bool) {
        let enough =
            |heard: &Heard| heard.lines.iter().filter(|line| matches(line)).count() >= count;
        assert!(self.wait(LIMIT, enough), "fewer than {count} lines came:\n{}", self.text());
    }

    /// Waits until `done` says yes to the lines that came, the stream has ended, or the time is over;
    /// whether `done` says yes then.
    pub fn within(&self, limit: Duration, done: impl Fn(&[String]) -> bool) -> bool {
        self.wait(limit, |heard| done(&heard.lines))
    }

    /// How many lines came so far.
    pub fn count(&self) -> usize {
        self.heard.0.lock().lines.len()
    }

    fn wait_for_end(&self, limit: Duration) -> bool {
        self.wait(limit, |heard| heard.is_ended)
    }

    /// What came so far.
    pub fn text(&self) -> String {
        self.heard.0.lock().lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The same, when it ended with `code`.
    ///
    /// # Panics
    /// When it ended otherwise, with what it said.
    #[must_use]
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        self.assert_code(code);
        self
    }

    /// Checks that it ended with `code`.
    ///
    /// # Panics
    /// When it ended otherwise, with what it said.
    #[track_caller]
    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self:#?}");
    }

    /// Standard output as one JSON object per line.
    ///
    /// # Panics
    /// When a line is no JSON, or an event not as docs/JSON.md says.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(event).collect()
    }

    /// The objects on standard output whose `event` is `name`.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[track_caller]
    pub fn events_named(&self, name: &str) -> Vec<Value> {
        let is_named = |event: &Value| event.get("event").and_then(Value::as_str) == Some(name);
        self.events().into_iter().filter(is_named).collect()
    }

    /// The texts of the messages on standard output, in their order.
    ///
    /// # Panics
    /// When a line is no JSON or a message has no text.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        let messages = self.events_named("message").into_iter();
        messages
            .map(|message| message.get("text").and_then(Value::as_str).unwrap().to_owned())
            .collect()
    }
}

/// The object of a line. What has an `event` is as docs/JSON.md says.
#[track_caller]
fn event(line: &str) -> Value {
    let object: Value = serde_json::from_str(line).unwrap();
    if object.get("event").is_some() {
        assert_eq!(json_page().judge_event(&object), Ok(()));
    }
    object
}

/// A program that runs; killed when dropped.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Its standard output.
    pub stdout: Lines,
    /// Its standard error.
    pub stderr: Lines,
}

impl Program {
    /// Starts `command` with all three streams in our hands.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// Types one line. A program that has ended does not read it; the caller sees that by its exit.
    pub fn type_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin
            && stdin.write_all(format!("{line}\n").as_bytes()).is_err()
        {
            self.stdin = None;
        }
    }

    /// Types bytes that may be no text.
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin
            && stdin.write_all(bytes).is_err()
        {
            self.stdin = None;
        }
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When the system does not know.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its exit code, if it ends in this time; none when it does not, or a signal ended it.
    pub fn ends_within(&mut self, limit: Duration) -> Option<i32> {
        for lines in [&self.stdout, &self.stderr] {
            if !lines.wait_for_end(limit) {
                return None;
            }
        }
        self.child.wait().ok()?.code()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end, with SIGTERM.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once, with SIGKILL, and waits until it is gone.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn kill_hard(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends standard input and waits until it has ended.
    ///
    /// # Panics
    /// When it has not ended within [`LIMIT`].
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        self.close_stdin();
        self.wait()
    }

    /// Waits until it has ended, with its standard input left open.
    ///
    /// # Panics
    /// When it has not ended within [`LIMIT`].
    #[must_use]
    #[track_caller]
    pub fn wait(&mut self) -> Finished {
        let end = Instant::now() + LIMIT;
        for lines in [&self.stdout, &self.stderr] {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                lines.wait_for_end(left),
                "still running after {} s\nstdout:\n{}\nstderr:\n{}",
                LIMIT.as_secs(),
                self.stdout.text(),
                self.stderr.text()
            );
        }
        let code = self.child.wait().unwrap().code();
        Finished { code, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
