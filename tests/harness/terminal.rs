//! A program at a terminal, typed to by a person who reads before typing.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::LIMIT;

#[derive(Default)]
struct Screen {
    text: String,
    /// Up to here it was read.
    read: usize,
    is_ended: bool,
}

/// A program with a pseudo terminal of its own, made by `script` of util-linux; killed when dropped.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<(Mutex<Screen>, Condvar)>,
}

impl Terminal {
    /// Starts `command` at a terminal.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &Command) -> Self {
        Self::start_before(command, "")
    }

    /// The same, and `after` in the shell when it has ended.
    ///
    /// # Panics
    /// When it cannot be started.
    pub(crate) fn start_before(command: &Command, after: &str) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")));
        // A shell that stays would end with 130 for a Ctrl-C that the program has only noted.
        let shell = if after.is_empty() { "exec " } else { "" };
        let line = shell.to_owned() + &quoted.collect::<Vec<_>>().join(" ") + after;
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        script.env("TERM", "xterm").env("SHELL", "/bin/sh");
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let screen: Arc<(Mutex<Screen>, Condvar)> = Arc::default();
        let writer = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 1024];
            loop {
                let count = output.read(&mut chunk).unwrap_or(0);
                let mut screen = writer.0.lock();
                let bytes = chunk.get(..count).unwrap_or_default();
                screen.text.push_str(&String::from_utf8_lossy(bytes));
                screen.is_ended = count == 0;
                writer.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { keys: child.stdin.take().unwrap(), child, screen }
    }

    /// Waits until `part` stands on the screen, behind what was waited for before.
    ///
    /// # Panics
    /// When it has not come within [`LIMIT`], or the program has ended without it.
    #[track_caller]
    pub fn wait_for(&self, part: &str) {
        self.wait_for_one(&[part]);
    }

    /// Waits until one of these parts stands on the screen, behind what was waited for before: which one.
    ///
    /// # Panics
    /// When none has come within [`LIMIT`], or the program has ended without it.
    #[track_caller]
    pub fn wait_for_one(&self, parts: &[&str]) -> usize {
        self.shown_within(parts, LIMIT).unwrap_or_else(|| {
            panic!("none of {parts:?} came; the screen:\n{}", self.screen.0.lock().text)
        })
    }

    /// Whether a part stands there within this time.
    pub fn shows_within(&self, part: &str, limit: Duration) -> bool {
        self.shown_within(&[part], limit).is_some()
    }

    /// Which of these parts comes first within this time.
    fn shown_within(&self, parts: &[&str], limit: Duration) -> Option<usize> {
        let found = |screen: &Screen| {
            let new = screen.text.get(screen.read..)?;
            let places = parts
                .iter()
                .enumerate()
                .filter_map(|(which, part)| Some((new.find(part)? + part.len(), which)));
            places.min().map(|(end, which)| (screen.read + end, which))
        };
        let waits = |screen: &mut Screen| found(screen).is_none() && !screen.is_ended;
        let mut screen = self.screen.0.lock();
        self.screen.1.wait_while_for(&mut screen, waits, limit);
        let (end, which) = found(&screen)?;
        screen.read = end;
        Some(which)
    }

    /// The rest of the line behind what was waited for, without what moves the cursor.
    ///
    /// # Panics
    /// When the line does not end in time.
    #[track_caller]
    pub fn wait_for_rest_of_line(&self) -> String {
        let begin = self.screen.0.lock().read;
        self.wait_for("\n");
        let screen = self.screen.0.lock();
        let line = screen.text.get(begin..screen.read).unwrap_or_default();
        line.split(['\r', '\n', '\u{1b}']).next().unwrap_or_default().trim().to_owned()
    }

    /// Types a line.
    ///
    /// # Panics
    /// When the program is gone.
    pub fn type_line(&mut self, line: &str) {
        // A terminal's Enter is a carriage return.
        self.keys.write_all(format!("{line}\r").as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a line and waits for what it comes to.
    ///
    /// # Panics
    /// When that does not come in time.
    #[track_caller]
    pub fn types(&mut self, line: &str, expected: &str) {
        self.type_line(line);
        self.wait_for(expected);
    }

    /// Types keys, all in one packet.
    ///
    /// # Panics
    /// When the program is gone.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
    }

    /// Types Ctrl-C.
    ///
    /// # Panics
    /// When the program is gone.
    pub fn interrupt(&mut self) {
        self.type_keys(b"\x03");
    }

    /// Types Ctrl-C for a shell here, whatever it runs, and waits for `prompt`; kills everything at the terminal
    /// when it does not come in this time. For the end of a scenario that may have failed: this never panics.
    pub fn break_off(&mut self, prompt: &str, limit: Duration) {
        let typed = self.keys.write_all(b"\x03").and_then(|()| self.keys.flush());
        if typed.is_ok() && self.shows_within(prompt, limit) {
            return;
        }
        for pid in descendants(self.child.id()).into_iter().filter_map(to_pid) {
            // Already ended is as good.
            kill_process(pid, Signal::KILL).ok();
        }
    }

    /// Sends a signal to the program of this name at the terminal.
    ///
    /// # Panics
    /// When it does not run there.
    pub fn signal(&self, name: &str, signal: Signal) {
        kill_process(self.pid_of(name), signal).unwrap();
    }

    /// From now on the program of this name at the terminal writes to no file, as if the disk were full.
    ///
    /// # Panics
    /// When it does not run there.
    pub fn fill_disk(&self, name: &str) {
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(self.pid_of(name)), Resource::Fsize, nothing).unwrap();
    }

    fn pid_of(&self, name: &str) -> Pid {
        let pid = descendants(self.child.id()).into_iter().find(|pid| {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm.trim_end() == name)
        });
        pid.and_then(to_pid).unwrap()
    }

    /// Waits for a question and types the answer.
    ///
    /// # Panics
    /// When the question does not come.
    #[track_caller]
    pub fn answer(&mut self, question: &str, answer: &str) {
        self.wait_for(question);
        self.type_line(answer);
    }

    /// Everything that stood on the screen.
    pub fn text(&self) -> String {
        self.screen.0.lock().text.clone()
    }

    /// Waits for the end; the exit code.
    ///
    /// # Panics
    /// When it does not end within [`LIMIT`].
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        let mut screen = self.screen.0.lock();
        self.screen.1.wait_while_for(&mut screen, |screen| !screen.is_ended, LIMIT);
        assert!(begun.elapsed() < LIMIT, "it does not end; the screen:\n{}", screen.text);
        drop(screen);
        self.child.wait().unwrap().code()
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// The processes below this one.
fn descendants(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already ended is as good. Without its terminal the program gets a hangup.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
