//! A program at a terminal, typed to by a person who reads before typing.

use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{LIMIT, until};

/// Columns and rows of a terminal where a scenario says nothing.
const SIZE: (u16, u16) = (100, 30);

/// A program says so that it begins a frame, and that it has ended it (mode 2026). A terminal shows it as a whole.
const FRAME_BEGINS: &[u8] = b"\x1b[?2026h";
const FRAME_ENDS: &[u8] = b"\x1b[?2026l";

struct Screen {
    text: String,
    /// Up to here it was read.
    read: usize,
    is_ended: bool,
    /// What a person sees now.
    picture: vt100::Parser,
    /// The beginning of a character whose rest has not come.
    begun: Vec<u8>,
    /// The beginning of a frame whose end has not come.
    frame: Vec<u8>,
}

impl Screen {
    fn of((columns, rows): (u16, u16)) -> Self {
        let picture = vt100::Parser::new(count(rows), count(columns), 0);
        let (text, begun, frame) = (String::new(), Vec::new(), Vec::new());
        Self { text, read: 0, is_ended: false, picture, begun, frame }
    }

    /// Takes what the program has written; nothing at its end.
    fn take(&mut self, bytes: &[u8]) {
        self.is_ended = bytes.is_empty();
        self.begun.extend_from_slice(bytes);
        let rest = if self.is_ended { Vec::new() } else { cut_character(&mut self.begun) };
        self.text.push_str(&String::from_utf8_lossy(&self.begun));
        self.begun = rest;
        self.frame.extend_from_slice(bytes);
        let whole = if self.is_ended { self.frame.len() } else { whole_frames(&self.frame) };
        let rest = self.frame.split_off(whole);
        self.picture.process(&self.frame);
        self.frame = rest;
    }
}

/// Cuts off the beginning of a character at the end, if one stands there.
fn cut_character(bytes: &mut Vec<u8>) -> Vec<u8> {
    let is_cut = |error: std::str::Utf8Error| error.error_len().is_none();
    // A character has four bytes at most.
    for back in 1..=3.min(bytes.len()) {
        let from = bytes.len() - back;
        if bytes.get(from).is_some_and(|byte| *byte >= 0xc0) {
            let begun =
                bytes.get(from..).is_some_and(|end| std::str::from_utf8(end).is_err_and(is_cut));
            return if begun { bytes.split_off(from) } else { Vec::new() };
        }
    }
    Vec::new()
}

/// How many bytes a terminal shows already: all but a frame that has no end yet, or the beginning of its mark.
fn whole_frames(bytes: &[u8]) -> usize {
    let last = |mark: &[u8]| bytes.windows(mark.len()).rposition(|window| window == mark);
    match (last(FRAME_BEGINS), last(FRAME_ENDS)) {
        // Frames do not stand in each other, so the last one is the one that is open.
        (Some(begin), None) => begin,
        (Some(begin), Some(end)) if begin > end => begin,
        _ => {
            let is_begun = |length: &usize| {
                FRAME_BEGINS.get(..*length).is_some_and(|begun| bytes.ends_with(begun))
            };
            bytes.len() - (1..FRAME_BEGINS.len()).rev().find(is_begun).unwrap_or(0)
        }
    }
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
        Self::start_between("", command, after, SIZE)
    }

    /// Starts `command` at a terminal of so many columns and rows, which it fills, and `after` in the shell when it
    /// has ended.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_full(command: &Command, (columns, rows): (u16, u16), after: &str) -> Self {
        let mut full = Command::new(command.get_program());
        full.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => full.env(name, value),
                None => full.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            full.current_dir(folder);
        }
        if !command.get_envs().any(|(name, _)| name == "LC_ALL") {
            full.env("LC_ALL", "C.UTF-8");
        }
        let before = format!("stty rows {rows} cols {columns}; ");
        Self::start_between(&before, &full, after, (columns, rows))
    }

    /// Without words before it, it is a terminal for lines.
    fn start_between(before: &str, command: &Command, after: &str, size: (u16, u16)) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted =
            words.map(|word| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")));
        // A shell that stays would end with 130 for a Ctrl-C that the program has only noted.
        let shell = if after.is_empty() { "exec " } else { "" };
        let line = before.to_owned() + shell + &quoted.collect::<Vec<_>>().join(" ") + after;
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
        // What is tested here without a word about it is line mode; the full screen has a terminal of its own.
        if !command.get_envs().any(|(name, value)| name == "CHAT_UI" && value.is_some()) {
            if before.is_empty() {
                script.env("CHAT_UI", "line");
            } else {
                script.env_remove("CHAT_UI");
            }
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let screen = Arc::new((Mutex::new(Screen::of(size)), Condvar::new()));
        let writer = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut chunk = [0; 16_384];
            loop {
                let count = output.read(&mut chunk).unwrap_or(0);
                let mut screen = writer.0.lock();
                screen.take(chunk.get(..count).unwrap_or_default());
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

    /// What a person sees now, a line for each row.
    pub fn picture(&self) -> String {
        self.screen.0.lock().picture.screen().contents()
    }

    /// Where the cursor stands now: column and row.
    pub fn cursor(&self) -> (u16, u16) {
        let (row, column) = self.screen.0.lock().picture.screen().cursor_position();
        (column, row)
    }

    /// Waits until a person sees this.
    ///
    /// # Panics
    /// When they do not within [`LIMIT`].
    #[track_caller]
    pub fn wait_until_seen(&self, part: &str) {
        self.wait_for_picture(&format!("{part:?} to be seen"), |picture| picture.contains(part));
    }

    /// Waits until a person sees this no more.
    ///
    /// # Panics
    /// When they still do after [`LIMIT`].
    #[track_caller]
    pub fn wait_until_gone(&self, part: &str) {
        self.wait_for_picture(&format!("{part:?} to go"), |picture| !picture.contains(part));
    }

    /// Waits until what a person sees is like this.
    ///
    /// # Panics
    /// When it is not within [`LIMIT`].
    #[track_caller]
    pub fn wait_for_picture(&self, what: &str, is_it: impl Fn(&str) -> bool) {
        assert!(self.is_seen_within(LIMIT, &is_it), "waited for {what}; seen:\n{}", self.picture());
    }

    /// Whether what a person sees is like this within a time.
    pub fn is_seen_within(&self, limit: Duration, is_it: impl Fn(&str) -> bool) -> bool {
        let waits =
            |screen: &mut Screen| !is_it(&screen.picture.screen().contents()) && !screen.is_ended;
        let mut screen = self.screen.0.lock();
        self.screen.1.wait_while_for(&mut screen, waits, limit);
        is_it(&screen.picture.screen().contents())
    }

    /// Whether the program has ended.
    pub fn has_ended(&self) -> bool {
        self.screen.0.lock().is_ended
    }

    /// Whether this stands in a cell within a time.
    pub fn has_cell_within(&self, limit: Duration, (column, row): (u16, u16), text: &str) -> bool {
        let is_it = |screen: &Screen| {
            let cell = screen.picture.screen().cell(row, column);
            cell.is_some_and(|cell| cell.contents() == text)
        };
        let waits = |screen: &mut Screen| !is_it(screen) && !screen.is_ended;
        let mut screen = self.screen.0.lock();
        self.screen.1.wait_while_for(&mut screen, waits, limit);
        is_it(&screen)
    }

    /// Gives the terminal another size, as a window that is dragged does.
    ///
    /// # Panics
    /// When no program of this name runs there.
    pub fn resize(&self, name: &str, (columns, rows): (u16, u16)) {
        let path = format!("/proc/{}/fd/0", self.pid_of(name).as_raw_nonzero());
        let terminal = std::fs::File::options().read(true).write(true).open(path).unwrap();
        self.screen.0.lock().picture.screen_mut().set_size(count(rows), count(columns));
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal, size).unwrap();
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

    /// Lets the program of this name, which was stopped, go on until it shows this. `script` stops with the program that
    /// it runs, may do so late, and is then to be woken too.
    ///
    /// # Panics
    /// When it does not show it within [`LIMIT`].
    #[track_caller]
    pub fn wake(&self, name: &str, part: &str) {
        self.signal(name, Signal::CONT);
        let script = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        until(part, || {
            kill_process(script, Signal::CONT).unwrap();
            self.shows_within(part, Duration::from_millis(100))
        });
    }

    /// From now on the program of this name at the terminal writes to no file, as if the disk were full.
    ///
    /// # Panics
    /// When it does not run there.
    pub fn fill_disk(&self, name: &str) {
        let nothing = Rlimit { current: Some(0), maximum: Some(0) };
        prlimit(Some(self.pid_of(name)), Resource::Fsize, nothing).unwrap();
    }

    /// The program of this name at the terminal.
    ///
    /// # Panics
    /// When it does not run there.
    pub fn pid_of(&self, name: &str) -> Pid {
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

fn count(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).unwrap_or(NonZero::<u16>::MIN)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a frame is seen as a whole or not at all, and a character too, wherever the bytes are parted.
    #[test]
    fn frames_and_characters_are_whole_however_they_come() {
        let written = "one\u{1b}[?2026h\rtw✓\u{1b}[?2026l three\u{1b}[?2026h\rfour\u{1b}[?2026l";
        let seen = ["one", "tw✓", "tw✓ three", "fourthree"];
        for cut in 1..written.len() {
            let mut screen = Screen::of((20, 2));
            for part in written.as_bytes().chunks(cut) {
                screen.take(part);
                let picture = screen.picture.screen().contents();
                let is_whole = seen.iter().any(|whole| {
                    // What stands outside of frames comes byte by byte.
                    whole.starts_with(&picture) || picture.starts_with("tw✓")
                });
                assert!(is_whole, "{cut}: {picture:?}");
            }
            assert_eq!(screen.text, written, "{cut}");
            assert!(screen.picture.screen().contents().starts_with("four"), "{cut}");
        }
    }

    #[test]
    fn a_program_that_ends_within_a_frame_is_seen() {
        let mut screen = Screen::of((20, 2));
        screen.take(b"\x1b[?2026hlast words\xe2\x9c");
        assert_eq!(screen.picture.screen().contents(), "");
        screen.take(b"");
        assert!(screen.picture.screen().contents().starts_with("last words"));
        assert!(screen.text.ends_with("last words\u{fffd}"));
    }
}
