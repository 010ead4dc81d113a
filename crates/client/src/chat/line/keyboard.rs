//! The line editor on a thread of its own.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chat_protocol::name::SERVER;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper, KeyEvent,
};
use tokio::sync::mpsc;

use super::screen::Screen;
use chat_device::names::Names;
use chat_text::slash::{self, Completion};

/// Lines that a person can recall. They stay in memory: a file of them would hold in clear what
/// the home keeps sealed.
const HISTORY_LINES_MAX: usize = 1_000;

/// With Ctrl: after these the editor waits for another key and draws nothing meanwhile. A chat needs none of
/// them: any character as it is, and commands of two keys.
const WAITING_KEYS: [char; 3] = ['V', 'Q', 'X'];

/// Keys that a terminal sends as a sequence come within this time; what comes later is a key of its own.
const ESCAPE_TIMEOUT_MS: u16 = 100;

/// What the keyboard says.
pub(super) enum Typed {
    Line(String),
    /// A byte that is no text; what was typed before it is in the next line.
    NotUtf8,
    Interrupt,
    End,
}

/// Lines as they are typed. The editor waits after each until it may go on, so that the terminal
/// is left as it was when there is no next one.
pub(super) struct Keyboard {
    typed: mpsc::Receiver<Typed>,
    turns: mpsc::Sender<Draft>,
}

/// What stands in a line before anything is typed into it, before and after the cursor.
type Draft = (String, String);

impl Keyboard {
    /// What is typed next; may be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> Option<Typed> {
        self.typed.recv().await
    }

    /// Lets the editor read another line, in which this stands already.
    pub(super) fn go_on(&self, draft: String) {
        // There is one turn per line, so there is room for it; an editor that has ended needs none.
        self.turns.try_send((draft, String::new())).ok();
    }
}

/// Starts the thread that reads the keyboard.
pub(super) fn open(words: Words) -> io::Result<(Screen, Keyboard)> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES_MAX)
        .map_err(io::Error::other)?
        .auto_add_history(true)
        // After ESC a key is not waited for, because nothing is drawn meanwhile.
        .keyseq_timeout(Some(ESCAPE_TIMEOUT_MS))
        // Nothing is coloured; without this the prompt could not change while a line is typed.
        .color_mode(ColorMode::Forced)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor: Editor<Words, MemHistory> =
        Editor::with_history(config, history).map_err(io::Error::other)?;
    let (draft, prompt) = (Arc::clone(&words.draft), Arc::clone(&words.prompt));
    editor.set_helper(Some(words));
    for key in WAITING_KEYS {
        editor.bind_sequence(KeyEvent::ctrl(key), Cmd::Noop);
    }
    // A terminal that cannot move its cursor gets plain lines.
    let printer = editor.create_external_printer().ok();
    let screen = Screen::new(printer.map(|printer| {
        let printer: Box<dyn ExternalPrinter + Send> = Box::new(printer);
        printer
    }));
    let (sender, typed) = mpsc::channel(1);
    let (turns, mut may_go_on) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut kept = Draft::default();
        loop {
            let prompt = prompt.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (before, after) = std::mem::take(&mut kept);
            let typed = match editor.readline_with_initial(&prompt, (&before, &after)) {
                Ok(line) => Typed::Line(line),
                Err(ReadlineError::Interrupted) => Typed::Interrupt,
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    kept = draft.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    Typed::NotUtf8
                }
                Err(_) => Typed::End,
            };
            if sender.blocking_send(typed).is_err() {
                return;
            }
            let Some(draft) = may_go_on.blocking_recv() else { return };
            if kept == Draft::default() {
                kept = draft;
            }
        }
    });
    Ok((screen, Keyboard { typed, turns }))
}

/// Completes commands and names.
pub(super) struct Words {
    /// Of people.
    pub(super) names: Arc<Mutex<Names>>,
    /// Of rooms.
    pub(super) rooms: Arc<Mutex<BTreeSet<String>>>,
    /// What is typed so far, before and after the cursor.
    pub(super) draft: Arc<Mutex<Draft>>,
    /// The prompt: of the next line, and of the one that is typed when it changes meanwhile.
    pub(super) prompt: Arc<Mutex<String>>,
}

impl Words {
    /// Rooms that begin so, with or without their `#`.
    fn rooms_like(&self, prefix: &str) -> Vec<String> {
        let (hash, folded) = match prefix.strip_prefix('#') {
            Some(rest) => ("#", rest.to_ascii_lowercase()),
            None => ("", prefix.to_ascii_lowercase()),
        };
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |name: &&String| name.to_ascii_lowercase().starts_with(&folded);
        rooms.iter().filter(fits).map(|name| format!("{hash}{name} ")).collect()
    }

    /// Where the word at the cursor begins, and what it can become.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = |prefix: &str, end: &str| -> Vec<String> {
            let folded = prefix.to_ascii_lowercase();
            let fits = |name: &&String| name.to_ascii_lowercase().starts_with(&folded);
            names.iter().filter(fits).map(|name| format!("{name}{end}")).collect()
        };
        let Some(command) = line.strip_prefix('/') else {
            // A name at the start of a line begins a direct message.
            let is_name = !line.is_empty() && !line.contains(char::is_whitespace);
            return (0, if is_name { matching(line, "*") } else { Vec::new() });
        };
        let Some((word, rest)) = command.split_once(' ') else {
            let names = slash::complete(command).into_iter();
            return (1, names.map(|name| format!("{name} ")).collect());
        };
        if rest.contains(' ') {
            return (line.len(), Vec::new());
        }
        let start = line.len() - rest.len();
        let completion = slash::find(word).map_or(Completion::Nothing, |row| row.completion);
        let found = match completion {
            Completion::Nothing => Vec::new(),
            Completion::SlashCommands => {
                slash::complete(rest).into_iter().map(str::to_owned).collect()
            }
            Completion::Users => matching(rest, " "),
            Completion::Rooms => self.rooms_like(rest),
            Completion::Targets => {
                let mut found = matching(rest, " ");
                if SERVER.starts_with(rest) {
                    found.push(format!("{SERVER} "));
                }
                found
            }
        };
        (start, found)
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line.get(..position).unwrap_or_default()))
    }
}

impl Hinter for Words {
    type Hint = String;

    /// Hints nothing; notes what is typed, which the editor does not give back when it fails.
    fn hint(&self, line: &str, position: usize, _context: &Context<'_>) -> Option<String> {
        let (before, after) = line.split_at_checked(position).unwrap_or((line, ""));
        let mut draft = self.draft.lock().unwrap_or_else(PoisonError::into_inner);
        *draft = (before.to_owned(), after.to_owned());
        None
    }
}

impl Highlighter for Words {
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

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn commands_and_names_are_completed_where_they_are_due() {
        let mut names = Names::default();
        for name in ["alice", "Bob", "bobby"] {
            names.learn(name);
        }
        let rooms = ["lobby", "ops"].map(str::to_owned);
        let words = Words {
            names: Arc::new(Mutex::new(names)),
            rooms: Arc::new(Mutex::new(rooms.into())),
            draft: Arc::default(),
            prompt: Arc::default(),
        };
        for (line, start, expected) in [
            ("bo", 0, &["Bob*", "bobby*"][..]),
            ("hello bo", 0, &[]),
            ("/he", 1, &["help "]),
            ("/msg al", 5, &["alice "]),
            ("/msg alice al", 13, &[]),
            ("/run ser", 5, &["server "]),
            ("/help vers", 6, &["version"]),
            ("/join o", 6, &["ops "]),
            ("/join #L", 6, &["#lobby "]),
            ("", 0, &[]),
        ] {
            let (at, found) = words.candidates(line);
            assert_eq!(at, start, "{line}");
            assert_eq!(found, expected, "{line}");
        }
    }
}
