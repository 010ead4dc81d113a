//! The one table of keys: what each does, and the words for it in the help. A person may give an action other keys.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};

mod bindings;
mod chord;
mod table;

pub use bindings::{Bindings, Clash};
pub use chord::Chord;

use table::{TABLE, When};

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

/// A key and what it does.
#[derive(Debug)]
struct Binding {
    chord: Chord,
    when: When,
    action: Action,
}

/// One row of the help.
#[derive(Debug)]
pub struct Listed {
    /// What is done.
    pub action: Action,
    /// The keys for it, as they are written.
    pub keys: Vec<String>,
    /// What they do, in words.
    pub words: String,
}

/// The keys of a running program.
#[derive(Debug)]
pub struct Keys {
    bindings: Vec<Binding>,
    list: Vec<(&'static str, Vec<Listed>)>,
}

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    /// A key of the table.
    Action(Action),
    /// A character that is typed.
    Character(char),
}

/// What a search does, and what the key for completion does in it.
const SEARCH_WORDS: (&str, &str) = ("search here", "there searches all");

/// Stands behind the words of a key that has its meaning on an empty line alone.
const EMPTY: &str = " (empty line)";

impl Keys {
    /// Those of the table.
    pub fn standard() -> Self {
        Self::with(&Bindings::default())
    }

    /// Those of the table, and where a person has chosen others, those. A key that was chosen for something does nothing
    /// else.
    pub fn with(chosen: &Bindings) -> Self {
        let (mut bindings, mut list) = (Vec::new(), Vec::new());
        let mut shown: Vec<Action> = Vec::new();
        for (heading, rows) in TABLE {
            let mut listed: Vec<Listed> = Vec::new();
            for row in *rows {
                let keys = match chosen.of(row.action) {
                    // All of them stand in the first of its rows.
                    Some(_) if shown.contains(&row.action) => continue,
                    Some(keys) => keys.to_vec(),
                    None => chosen.left_of(row),
                };
                shown.push(row.action);
                for key in &keys {
                    let each = key.chords.iter().map(|(chord, action)| Binding {
                        chord: *chord,
                        when: key.when,
                        action: *action,
                    });
                    bindings.extend(each);
                }
                if keys.is_empty() {
                    continue;
                }
                let is_empty = keys.iter().any(|key| key.when == When::Empty);
                let plain = row.words.trim_end_matches(EMPTY);
                let words = if is_empty { row.words } else { plain }.to_owned();
                let keys = keys.into_iter().map(|key| key.written).collect();
                listed.push(Listed { action: row.action, keys, words });
            }
            list.push((*heading, listed));
        }
        let mut keys = Self { bindings, list };
        keys.name_others();
        keys
    }

    /// The words of a row may name the key of another one.
    fn name_others(&mut self) {
        let complete = self.key_of(Action::Complete).to_owned();
        let rows = self.list.iter_mut().flat_map(|(_, rows)| rows);
        for row in rows.filter(|row| row.action == Action::Search) {
            let (plain, searches_all) = SEARCH_WORDS;
            row.words = match complete.as_str() {
                "" => plain.to_owned(),
                key => format!("{plain}; {key} {searches_all}"),
            };
        }
    }

    /// What a key does. `is_empty` says whether nothing is typed.
    pub fn pressed(&self, event: KeyEvent, is_empty: bool) -> Option<Pressed> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let chord = Chord::of(event);
        let found = self.bindings.iter().find(|binding| {
            let is_due = match binding.when {
                When::Always => true,
                When::Empty => is_empty,
                When::Typed => !is_empty,
            };
            is_due && binding.chord == chord
        });
        match (found, event.code) {
            (Some(binding), _) => Some(Pressed::Action(binding.action)),
            (None, KeyCode::Char(character)) if chord.is_plain() => {
                Some(Pressed::Character(character))
            }
            _ => None,
        }
    }

    /// What a person presses for this; nothing where no key does it.
    pub fn key_of(&self, action: Action) -> &str {
        let mut rows = self.list.iter().flat_map(|(_, rows)| rows);
        let row = rows.find(|row| row.action == action);
        row.and_then(|row| row.keys.first()).map_or("", String::as_str)
    }

    /// The keys of the action of this name, as they are written.
    pub fn named(&self, name: &str) -> Vec<&str> {
        let rows = self.list.iter().flat_map(|(_, rows)| rows);
        let named = rows.filter(|row| bindings::name_of(row.action) == name);
        named.flat_map(|row| row.keys.iter().map(String::as_str)).collect()
    }

    /// The list of keys for the help: headings, and under each the keys and what they do.
    pub fn list(&self) -> &[(&'static str, Vec<Listed>)] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

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
        assert_eq!(keys.bindings.len(), written.count() + 8);
        for (at, one) in keys.bindings.iter().enumerate() {
            let is_same = |other: &&Binding| {
                other.chord == one.chord && (other.when == one.when || one.when == When::Always)
            };
            let again = keys.bindings.iter().skip(at + 1).find(is_same);
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
        let keys = Keys::standard();
        let all: Vec<_> = keys.list().iter().flat_map(|(_, rows)| rows).collect();
        let digits = all.iter().find(|row| row.keys == ["Alt-1…9"]).unwrap();
        assert_eq!(digits.words, "open the conversation of this number");
        let switch = all.iter().find(|row| row.action == Action::Switch).unwrap();
        assert_eq!(switch.words, "find one (empty line)");
        assert!(all.iter().all(|row| row.words.len() <= 45));
        let mut bindings = Bindings::default();
        bindings.choose("complete", &["F4".to_owned()]).unwrap();
        let keys = Keys::with(&bindings);
        let mut all = keys.list().iter().flat_map(|(_, rows)| rows);
        let search = all.find(|row| row.action == Action::Search).unwrap();
        assert_eq!(search.words, "search here; F4 there searches all");
    }
}
