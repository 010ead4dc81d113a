//! The line editor on a thread of its own.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper, KeyEvent,
};
use tokio::sync::mpsc;

use super::screen::Screen;
use super::terminal::TerminalState;
use chat_talk::complete::Words;
use chat_text::input;

/// Lines that a person can recall. The editor has them in memory; the home keeps the newest, sealed.
const HISTORY_LINES_MAX: usize = 1_000;

/// With Ctrl: after these the editor waits for another key and draws nothing meanwhile. A chat needs none of
/// them: any character as it is, and commands of two keys.
const WAITING_KEYS: [char; 3] = ['V', 'Q', 'X'];

/// Keys that a terminal sends as a sequence come within this time; what comes later is a key of its own.
const ESCAPE_TIMEOUT_MS: u16 = 100;

/// What the keyboard says.
pub(super) enum Typed {
    Line(String),
    /// A byte that is no text, and what was typed before it: the editor has given that up.
    NotUtf8(Draft),
    /// Ctrl-C. A line that was begun the editor has given up.
    Interrupt {
        /// Whether that line is among those to be recalled; nothing where none was begun.
        begun: Option<bool>,
    },
    End,
}

/// Lines as they are typed. The editor waits after each until it may go on, so that the terminal
/// is left as it was when there is no next one.
pub(super) struct Keyboard {
    typed: mpsc::Receiver<Typed>,
    turns: mpsc::Sender<Turn>,
}

/// The editor may read another line.
pub(super) struct Turn {
    /// What stands in it already.
    pub(super) draft: Draft,
    /// Lines to be recalled, where they are others than before.
    pub(super) past: Option<Vec<String>>,
    /// Lines that were not sent, oldest first, which are recalled with them while they are among these.
    pub(super) unsent: Vec<String>,
    /// What is typed goes out under the veil.
    pub(super) is_veiled: bool,
}

/// What stands in a line before anything is typed into it, before and after the cursor.
pub(super) type Draft = (String, String);

impl Keyboard {
    /// What is typed next; may be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> Option<Typed> {
        self.typed.recv().await
    }

    /// Lets the editor read another line.
    pub(super) fn go_on(&self, turn: Turn) {
        // There is one turn per line, so there is room for it; an editor that has ended needs none.
        self.turns.try_send(turn).ok();
    }
}

/// Takes the terminal, and starts the thread that reads the keyboard.
pub(super) fn open(
    typing: Typing,
    past: Vec<String>,
    bound: Vec<(KeyEvent, Cmd)>,
) -> io::Result<(TerminalState, Screen, Keyboard)> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES_MAX)
        .map_err(io::Error::other)?
        // After ESC a key is not waited for, because nothing is drawn meanwhile.
        .keyseq_timeout(Some(ESCAPE_TIMEOUT_MS))
        // Nothing is coloured; without this the prompt could not change while a line is typed.
        .color_mode(ColorMode::Forced)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor: Editor<Typing, MemHistory> =
        Editor::with_history(config, history).map_err(io::Error::other)?;
    recall(&mut editor, past);
    let (draft, prompt) = (Arc::clone(&typing.draft), Arc::clone(&typing.prompt));
    editor.set_helper(Some(typing));
    for key in WAITING_KEYS {
        editor.bind_sequence(KeyEvent::ctrl(key), Cmd::Noop);
    }
    for (key, command) in bound {
        editor.bind_sequence(key, command);
    }
    // A terminal that cannot move its cursor gets plain lines.
    let printer = editor.create_external_printer().ok();
    // Before the editor, which puts back between two lines what it finds.
    let terminal = TerminalState::taken(printer.is_some());
    let screen = Screen::new(printer.map(|printer| {
        let printer: Box<dyn ExternalPrinter + Send> = Box::new(printer);
        printer
    }));
    let (sender, typed) = mpsc::channel(1);
    let (turns, may_go_on) = mpsc::channel::<Turn>(1);
    std::thread::spawn(move || read_lines(editor, (&draft, &prompt), &sender, may_go_on));
    Ok((terminal, screen, Keyboard { typed, turns }))
}

/// Reads lines, each when it may.
fn read_lines(
    mut editor: Editor<Typing, MemHistory>,
    (draft, prompt): (&Mutex<Draft>, &Mutex<String>),
    sender: &mpsc::Sender<Typed>,
    mut may_go_on: mpsc::Receiver<Turn>,
) {
    let (mut before, mut after) = Draft::default();
    // Whoever begins has none on.
    let mut is_veiled = false;
    let mut unsent: Vec<String> = Vec::new();
    loop {
        let prompt = prompt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *draft.lock().unwrap_or_else(PoisonError::into_inner) = (before.clone(), after.clone());
        let typed = match editor.readline_with_initial(&prompt, (&before, &after)) {
            Ok(line) => {
                // If it is not sent again, it is the newest of those once more.
                let sent: Vec<String> = unsent.extract_if(.., |one| *one == line).collect();
                forget(&mut editor, &sent);
                remember(&mut editor, &line, is_veiled);
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => {
                let (before, after) = given_up(draft);
                let line = format!("{before}{after}");
                let was_begun = !line.trim().is_empty();
                let begun = was_begun.then(|| remember(&mut editor, &line, is_veiled));
                Typed::Interrupt { begun }
            }
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Typed::NotUtf8(given_up(draft))
            }
            Err(_) => Typed::End,
        };
        if sender.blocking_send(typed).is_err() {
            return;
        }
        let Some(turn) = may_go_on.blocking_recv() else { return };
        (before, after) = turn.draft;
        is_veiled = turn.is_veiled;
        if let Some(past) = turn.past {
            recall(&mut editor, past);
            unsent.clear();
        }
        let gone: Vec<String> = unsent.extract_if(.., |one| !turn.unsent.contains(one)).collect();
        forget(&mut editor, &gone);
        for line in turn.unsent {
            if !unsent.contains(&line) {
                // In memory there is nothing that fails.
                drop(editor.add_history_entry(line.as_str()));
                unsent.push(line);
            }
        }
    }
}

/// What stood in the line that the editor has given up.
fn given_up(draft: &Mutex<Draft>) -> Draft {
    std::mem::take(&mut *draft.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Lets one more line be recalled, if it may be; says whether it may.
fn remember(editor: &mut Editor<Typing, MemHistory>, line: &str, is_veiled: bool) -> bool {
    let comes_back = input::may_come_back(line, is_veiled);
    if comes_back {
        // In memory there is nothing that fails.
        drop(editor.add_history_entry(line));
    }
    comes_back
}

/// Lets these lines be recalled, and no others.
fn recall(editor: &mut Editor<Typing, MemHistory>, past: Vec<String>) {
    // In memory there is nothing that fails; without a history there is nothing to recall.
    drop(editor.clear_history());
    for line in past {
        drop(editor.add_history_entry(line));
    }
}

/// Lets these lines be recalled no more.
fn forget(editor: &mut Editor<Typing, MemHistory>, gone: &[String]) {
    if gone.is_empty() {
        return;
    }
    let history = editor.history();
    let all = 0..history.len();
    let found = all.filter_map(|at| history.get(at, SearchDirection::Forward).ok().flatten());
    let past = found.map(|found| found.entry.into_owned()).collect();
    recall(editor, without(past, gone));
}

/// Lines without these, each taken out once: what was typed in clear before comes back as ever.
fn without(mut lines: Vec<String>, gone: &[String]) -> Vec<String> {
    for one in gone {
        if let Some(at) = lines.iter().rposition(|line| line == one) {
            lines.remove(at);
        }
    }
    lines
}

/// Completes commands and names, and draws the prompt.
pub(super) struct Typing {
    /// What can be completed.
    pub(super) words: Words,
    /// What is typed so far, before and after the cursor.
    pub(super) draft: Arc<Mutex<Draft>>,
    /// The prompt: of the next line, and of the one that is typed when it changes meanwhile.
    pub(super) prompt: Arc<Mutex<String>>,
}

impl Completer for Typing {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.words.candidates(line.get(..position).unwrap_or_default()))
    }
}

impl Hinter for Typing {
    type Hint = String;

    /// Hints nothing; notes what is typed, which the editor does not give back when it fails.
    fn hint(&self, line: &str, position: usize, _context: &Context<'_>) -> Option<String> {
        let (before, after) = line.split_at_checked(position).unwrap_or((line, ""));
        let mut draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner);
        *draft = (before.to_owned(), after.to_owned());
        None
    }
}

impl Highlighter for Typing {
    /// The prompt as it is now. The editor places the cursor by the one that the line began with, so this one
    /// gets that width.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        is_own: bool,
    ) -> Cow<'b, str> {
        let now = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        if is_own && *now != prompt {
            Cow::Owned(in_width(&now, prompt.chars().count()))
        } else {
            Cow::Borrowed(prompt)
        }
    }
}

/// A prompt in so many columns: its end, which says where text goes.
fn in_width(prompt: &str, columns: usize) -> String {
    let letters: Vec<char> = prompt.chars().collect();
    match letters.len().checked_sub(columns) {
        None | Some(0) => format!("{prompt:<columns$}"),
        Some(over) => {
            let rest = letters.into_iter().skip(over.saturating_add(1));
            std::iter::once('…').chain(rest).take(columns).collect()
        }
    }
}

impl Validator for Typing {}

impl Helper for Typing {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what was not sent comes back only as long as it may, and takes no other line with it. (The build before took the
    /// newest, and with the next line whatever that was.)
    #[test]
    fn lines_that_come_back_no_more_take_no_others_with_them() {
        let lines =
            |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let past = || lines(&["bob*It was", "hello", "bob*It was", "/users"]);
        let cases: [(&[&str], &[&str]); 3] = [
            (&[], &["bob*It was", "hello", "bob*It was", "/users"]),
            (&["bob*It was"], &["bob*It was", "hello", "/users"]),
            (&["bob*It was", "bob*It was", "never"], &["hello", "/users"]),
        ];
        for (gone, kept) in cases {
            assert_eq!(without(past(), &lines(gone)), kept);
        }
    }

    #[test]
    fn a_prompt_that_changes_has_the_width_of_the_one_before() {
        for (prompt, columns, shown) in [
            ("alice #lobby> ", 14, "alice #lobby> "),
            ("alice #lobby> ", 12, "…ce #lobby> "),
            ("alice (no room)> ", 13, "… (no room)> "),
            ("al #ops> ", 12, "al #ops>    "),
            ("alice #lobby> ", 1, "…"),
            ("alice #lobby> ", 0, ""),
        ] {
            assert_eq!(in_width(prompt, columns), shown, "{prompt:?} in {columns}");
        }
    }
}
