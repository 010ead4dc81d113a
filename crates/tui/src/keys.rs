//! The one table of keys: what each does, and the words for it in the help.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Sends what is typed, or takes what is chosen.
    Send,
    /// Begins another line of the same message.
    Newline,
    /// Completes the word, or takes the next of what it can become.
    Complete,
    /// Takes the one before.
    CompleteBack,
    /// Goes to what was sent before.
    Older,
    /// Goes to what was sent after it.
    Newer,
    /// Searches what was sent.
    SearchSent,
    /// Writes in the editor.
    Editor,
    /// Moves to the start of the line.
    LineStart,
    /// Moves to the end of the line.
    LineEnd,
    /// Moves one character back.
    Left,
    /// Moves one character on.
    Right,
    /// Moves one word back.
    WordLeft,
    /// Moves one word on.
    WordRight,
    /// Deletes the character before the cursor.
    DeleteBack,
    /// Deletes the character at the cursor.
    Delete,
    /// Cuts the word before the cursor.
    CutWordBack,
    /// Cuts the word behind the cursor.
    CutWord,
    /// Cuts to the start of the line.
    CutBack,
    /// Cuts to the end of the line.
    Cut,
    /// Inserts what was cut.
    Paste,
    /// Takes the last change back.
    Undo,
    /// Makes it again.
    Redo,
    /// Opens the conversation of this number in the list, which begins at 1.
    Open(usize),
    /// Opens the conversation above in the list.
    Above,
    /// Opens the conversation below in the list.
    Below,
    /// Opens the next conversation with something new.
    NextActive,
    /// Opens the list to choose from.
    Switch,
    /// Opens the conversation that was open before.
    Back,
    /// Opens the one that was left by that.
    Forward,
    /// Scrolls up by a screen.
    PageUp,
    /// Scrolls down by a screen.
    PageDown,
    /// Scrolls to the oldest line that is here.
    Top,
    /// Scrolls to the newest line.
    Bottom,
    /// Scrolls to the first line that nobody has looked at.
    FirstUnread,
    /// Scrolls to the line above that names this user.
    MentionAbove,
    /// Scrolls to the line below that names this user.
    MentionBelow,
    /// Searches the conversation.
    Search,
    /// Shows the output in full, or folds it.
    Unfold,
    /// Shows the keys.
    Help,
    /// Clears the line; twice leaves.
    Interrupt,
    /// Leaves.
    Quit,
    /// Puts the program to sleep.
    Suspend,
    /// Draws everything anew.
    Redraw,
    /// Closes what is open above the log.
    Close,
}

/// When a key has its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// While nothing is typed.
    Empty,
    /// While something is typed.
    Typed,
}

/// One row of the table.
struct Row {
    action: Action,
    keys: &'static [&'static str],
    when: When,
    words: &'static str,
}

const fn row(action: Action, keys: &'static [&'static str], words: &'static str) -> Row {
    Row { action, keys, when: When::Always, words }
}

const fn empty(action: Action, keys: &'static [&'static str], words: &'static str) -> Row {
    Row { action, keys, when: When::Empty, words }
}

const fn typed(action: Action, keys: &'static [&'static str], words: &'static str) -> Row {
    Row { action, keys, when: When::Typed, words }
}

/// Stands for the keys with the digits 1 to 9.
const DIGITS: &str = "Alt-1…9";

/// All keys, under the headings of the help.
const TABLE: &[(&str, &[Row])] = &[
    (
        "Conversations",
        &[
            row(Action::Open(1), &[DIGITS], "open the conversation of this number"),
            row(Action::Above, &["Alt-Left", "Ctrl-P"], "open the one above"),
            row(Action::Below, &["Alt-Right", "Ctrl-N"], "open the one below"),
            row(Action::NextActive, &["Alt-A"], "open the next with something new"),
            empty(Action::Switch, &["Ctrl-K"], "find one (empty line)"),
            row(Action::Back, &["Alt-<"], "back to the one before"),
            row(Action::Forward, &["Alt->"], "forward again"),
        ],
    ),
    (
        "Log",
        &[
            row(Action::PageUp, &["PgUp"], "scroll up"),
            row(Action::PageDown, &["PgDn"], "scroll down"),
            row(Action::Top, &["Ctrl-Home"], "to the oldest line that is here"),
            row(Action::Bottom, &["Ctrl-End"], "to the newest line"),
            empty(Action::Top, &["Home"], "the same (empty line)"),
            empty(Action::Bottom, &["End"], "the same (empty line)"),
            row(Action::FirstUnread, &["Alt-U"], "to the first unread line"),
            row(Action::MentionAbove, &["Alt-P"], "to the mention above"),
            row(Action::MentionBelow, &["Alt-N"], "to the mention below"),
            row(Action::Search, &["Ctrl-S"], "search here; Tab there searches all"),
            row(Action::Unfold, &["Alt-O"], "unfold or fold long output"),
        ],
    ),
    (
        "Writing",
        &[
            row(Action::Send, &["Enter"], "send"),
            row(Action::Newline, &["Alt-Enter", "Ctrl-J"], "begin another line"),
            row(Action::Complete, &["Tab"], "complete a word"),
            row(Action::CompleteBack, &["Shift-Tab"], "complete, the other way round"),
            row(Action::Older, &["Up"], "what was sent before"),
            row(Action::Newer, &["Down"], "what was sent after it"),
            row(Action::SearchSent, &["Ctrl-R"], "search what was sent"),
            row(Action::Editor, &["Ctrl-O"], "write in $EDITOR"),
        ],
    ),
    (
        "Editing",
        &[
            row(Action::LineStart, &["Ctrl-A"], "to the start of the line"),
            row(Action::LineEnd, &["Ctrl-E"], "to the end of the line"),
            typed(Action::LineStart, &["Home"], "the same"),
            typed(Action::LineEnd, &["End"], "the same"),
            row(Action::Left, &["Left", "Ctrl-B"], "one character back"),
            row(Action::Right, &["Right", "Ctrl-F"], "one character on"),
            row(Action::WordLeft, &["Ctrl-Left", "Alt-B"], "one word back"),
            row(Action::WordRight, &["Ctrl-Right", "Alt-F"], "one word on"),
            row(Action::DeleteBack, &["Backspace", "Ctrl-H"], "delete the character before"),
            row(Action::Delete, &["Delete"], "delete the character here"),
            typed(Action::Delete, &["Ctrl-D"], "the same"),
            row(Action::CutWordBack, &["Ctrl-W", "Alt-Backspace"], "cut the word before"),
            row(Action::CutWord, &["Alt-D"], "cut the word behind"),
            row(Action::CutBack, &["Ctrl-U"], "cut to the start"),
            typed(Action::Cut, &["Ctrl-K"], "cut to the end"),
            row(Action::Paste, &["Ctrl-Y"], "insert what was cut"),
            row(Action::Undo, &["Ctrl-_"], "undo"),
            row(Action::Redo, &["Alt-_"], "redo"),
        ],
    ),
    (
        "Program",
        &[
            row(Action::Help, &["F1"], "these keys"),
            empty(Action::Help, &["?"], "the same (empty line)"),
            row(Action::Close, &["Esc"], "close what is open"),
            row(Action::Interrupt, &["Ctrl-C"], "clear the line; twice: leave"),
            empty(Action::Quit, &["Ctrl-D"], "leave (empty line)"),
            row(Action::Suspend, &["Ctrl-Z"], "put the program to sleep; fg wakes it"),
            row(Action::Redraw, &["Ctrl-L"], "draw everything anew"),
        ],
    ),
];

/// One key with what is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chord {
    code: KeyCode,
    modifiers: KeyModifiers,
}

impl Chord {
    /// The key of an event, in the one spelling that the table has for it.
    fn of(event: KeyEvent) -> Self {
        let held = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        let mut modifiers = event.modifiers & held;
        let code = match event.code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            // The byte 0x1f is what terminals send for Ctrl with `_`, `/` and `7`.
            KeyCode::Char('7' | '/') if modifiers == KeyModifiers::CONTROL => KeyCode::Char('_'),
            KeyCode::Char(character) => {
                modifiers -= KeyModifiers::SHIFT;
                // Caps Lock must not change what Ctrl and Alt do.
                let is_held = !modifiers.is_empty();
                KeyCode::Char(if is_held { character.to_ascii_lowercase() } else { character })
            }
            code => code,
        };
        Self { code, modifiers }
    }

    /// The key of a row of the table, such as `Ctrl-Left`.
    fn parse(written: &str) -> Option<Self> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = written;
        for (prefix, modifier) in [
            ("Ctrl-", KeyModifiers::CONTROL),
            ("Alt-", KeyModifiers::ALT),
            ("Shift-", KeyModifiers::SHIFT),
        ] {
            if let Some(behind) = rest.strip_prefix(prefix) {
                (rest, modifiers) = (behind, modifiers | modifier);
            }
        }
        let mut characters = rest.chars();
        let code = match (characters.next(), characters.as_str()) {
            (Some(one), "") => {
                let is_held = !modifiers.is_empty();
                KeyCode::Char(if is_held { one.to_ascii_lowercase() } else { one })
            }
            (Some('F'), number) => KeyCode::F(number.parse().ok()?),
            _ => named(rest)?,
        };
        Some(Self { code, modifiers })
    }
}

fn named(name: &str) -> Option<KeyCode> {
    Some(match name {
        "Enter" => KeyCode::Enter,
        "Tab" => KeyCode::Tab,
        "Esc" => KeyCode::Esc,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Backspace" => KeyCode::Backspace,
        "Delete" => KeyCode::Delete,
        _ => return None,
    })
}

/// A key and what it does.
struct Binding {
    chord: Chord,
    when: When,
    action: Action,
}

/// The keys of a running program.
pub struct Keys(Vec<Binding>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    /// A key of the table.
    Action(Action),
    /// A character that is typed.
    Character(char),
}

impl Keys {
    /// Those of the table.
    pub fn standard() -> Self {
        let mut bindings = Vec::new();
        for row in TABLE.iter().flat_map(|(_, rows)| *rows) {
            for key in row.keys {
                for (chord, action) in chords(key, row.action) {
                    bindings.push(Binding { chord, when: row.when, action });
                }
            }
        }
        Self(bindings)
    }

    /// What a key does. `is_empty` says whether nothing is typed.
    pub fn pressed(&self, event: KeyEvent, is_empty: bool) -> Option<Pressed> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let chord = Chord::of(event);
        let found = self.0.iter().find(|binding| {
            let is_due = match binding.when {
                When::Always => true,
                When::Empty => is_empty,
                When::Typed => !is_empty,
            };
            is_due && binding.chord == chord
        });
        match (found, event.code) {
            (Some(binding), _) => Some(Pressed::Action(binding.action)),
            (None, KeyCode::Char(character)) if chord.modifiers.is_empty() => {
                Some(Pressed::Character(character))
            }
            _ => None,
        }
    }
}

fn chords(key: &str, action: Action) -> Vec<(Chord, Action)> {
    if key == DIGITS {
        let digits = (1..=9_u8).map(|digit| {
            let code = KeyCode::Char(char::from(b'0' + digit));
            (Chord { code, modifiers: KeyModifiers::ALT }, Action::Open(usize::from(digit)))
        });
        return digits.collect();
    }
    Chord::parse(key).map(|chord| (chord, action)).into_iter().collect()
}

/// What a person presses for this; nothing where no key does it.
pub fn key_of(action: Action) -> &'static str {
    let mut rows = TABLE.iter().flat_map(|(_, rows)| *rows);
    let row = rows.find(|row| row.action == action);
    row.and_then(|row| row.keys.first()).copied().unwrap_or_default()
}

/// The list of keys for the help: headings, and under each the keys and what they do.
pub fn list() -> Vec<(&'static str, Vec<(String, &'static str)>)> {
    let rows = |rows: &'static [Row]| rows.iter().map(|row| (row.keys.join(", "), row.words));
    TABLE.iter().map(|(heading, table)| (*heading, rows(table).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers, is_empty: bool) -> Option<Action> {
        match Keys::standard().pressed(KeyEvent::new(code, modifiers), is_empty) {
            Some(Pressed::Action(action)) => Some(action),
            _ => None,
        }
    }

    #[test]
    fn every_key_of_the_table_is_a_key_and_stands_there_once() {
        let keys = Keys::standard();
        let written = TABLE.iter().flat_map(|(_, rows)| *rows).flat_map(|row| row.keys);
        // One of them is nine.
        assert_eq!(keys.0.len(), written.count() + 8);
        for (at, one) in keys.0.iter().enumerate() {
            let is_same = |other: &&Binding| {
                other.chord == one.chord && (other.when == one.when || one.when == When::Always)
            };
            let again = keys.0.iter().skip(at + 1).find(is_same);
            assert!(again.is_none(), "{:?} twice", one.chord);
        }
    }

    /// Goal: each row of keys that people know from other programs is there.
    #[test]
    fn known_keys_do_what_is_known() {
        const CTRL: KeyModifiers = KeyModifiers::CONTROL;
        const ALT: KeyModifiers = KeyModifiers::ALT;
        const NONE: KeyModifiers = KeyModifiers::NONE;
        let character = KeyCode::Char;
        for (code, held, is_empty, action) in [
            (character('a'), CTRL, false, Action::LineStart),
            (character('e'), CTRL, false, Action::LineEnd),
            (character('k'), CTRL, false, Action::Cut),
            (character('k'), CTRL, true, Action::Switch),
            (character('u'), CTRL, false, Action::CutBack),
            (character('w'), CTRL, false, Action::CutWordBack),
            (character('y'), CTRL, false, Action::Paste),
            (KeyCode::Left, CTRL, false, Action::WordLeft),
            (KeyCode::Right, CTRL, false, Action::WordRight),
            (character('7'), CTRL, false, Action::Undo),
            (character('_'), CTRL | KeyModifiers::SHIFT, false, Action::Undo),
            (KeyCode::Backspace, ALT, false, Action::CutWordBack),
            (KeyCode::Enter, ALT, false, Action::Newline),
            (character('o'), CTRL, false, Action::Editor),
            (character('3'), ALT, true, Action::Open(3)),
            (KeyCode::Left, ALT, true, Action::Above),
            (KeyCode::Right, ALT, true, Action::Below),
            (character('p'), CTRL, false, Action::Above),
            (character('n'), CTRL, false, Action::Below),
            (character('A'), ALT | KeyModifiers::SHIFT, true, Action::NextActive),
            (character('<'), ALT, true, Action::Back),
            (character('>'), ALT | KeyModifiers::SHIFT, true, Action::Forward),
            (KeyCode::PageUp, NONE, true, Action::PageUp),
            (KeyCode::PageDown, NONE, true, Action::PageDown),
            (KeyCode::Home, NONE, true, Action::Top),
            (KeyCode::End, NONE, true, Action::Bottom),
            (KeyCode::Home, NONE, false, Action::LineStart),
            (character('u'), ALT, true, Action::FirstUnread),
            (character('p'), ALT, true, Action::MentionAbove),
            (character('n'), ALT, true, Action::MentionBelow),
            (KeyCode::Up, NONE, false, Action::Older),
            (character('r'), CTRL, false, Action::SearchSent),
            (character('s'), CTRL, false, Action::Search),
            (KeyCode::Tab, NONE, false, Action::Complete),
            (KeyCode::BackTab, KeyModifiers::SHIFT, false, Action::CompleteBack),
            (KeyCode::F(1), NONE, false, Action::Help),
            (character('?'), KeyModifiers::SHIFT, true, Action::Help),
            (character('c'), CTRL, false, Action::Interrupt),
            (character('d'), CTRL, true, Action::Quit),
            (character('d'), CTRL, false, Action::Delete),
            (character('z'), CTRL, false, Action::Suspend),
            (character('l'), CTRL, false, Action::Redraw),
        ] {
            assert_eq!(pressed(code, held, is_empty), Some(action), "{code:?} {held:?}");
        }
    }

    #[test]
    fn characters_are_typed_and_keys_that_are_let_go_do_nothing() {
        let keys = Keys::standard();
        let typed = KeyEvent::new(KeyCode::Char('?'), KeyModifiers::NONE);
        assert_eq!(keys.pressed(typed, false), Some(Pressed::Character('?')));
        let upper = KeyEvent::new(KeyCode::Char('Ä'), KeyModifiers::SHIFT);
        assert_eq!(keys.pressed(upper, false), Some(Pressed::Character('Ä')));
        let released = KeyEvent { kind: KeyEventKind::Release, ..typed };
        assert_eq!(keys.pressed(released, false), None);
        let unknown = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::ALT);
        assert_eq!(keys.pressed(unknown, false), None);
    }

    #[test]
    fn the_help_lists_the_table() {
        let list = list();
        let all: Vec<_> = list.iter().flat_map(|(_, rows)| rows).collect();
        assert!(all.contains(&&("Alt-1…9".to_owned(), "open the conversation of this number")));
        assert!(all.iter().all(|(_, words)| words.len() <= 45));
    }
}
