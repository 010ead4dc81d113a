//! Keys that a person has chosen, at the prompt: those of the line editor that do the same. What only a full screen has
//! is passed over.

use chat_tui::keys::{Action, Bindings, Chord};
use crossterm::event::{KeyCode as Code, KeyModifiers};
use rustyline::{Anchor, At, Cmd, KeyCode, KeyEvent, Modifiers, Movement, Word};

/// What is bound in the editor.
pub(super) fn bound(bindings: &Bindings) -> Vec<(KeyEvent, Cmd)> {
    // What a key does here beside what was taken from it, it goes on to do. One that does something on a full screen alone
    // has another meaning of old at a prompt, which nobody has taken from it.
    let freed = bindings.freed().into_iter().filter_map(|(chord, was, does)| {
        let does = does.and_then(command);
        (does.is_some() || command(was).is_some()).then(|| (chord, does.unwrap_or(Cmd::Noop)))
    });
    let chosen = bindings.chosen().map(|(action, chord)| (chord, command(action)));
    // A character that opens something on a full screen is typed here.
    let bound = freed.chain(chosen.filter_map(|(chord, command)| Some((chord, command?))));
    let bound = bound
        .filter(|(chord, _)| !matches!(chord.code, Code::Char(_)) || !chord.modifiers.is_empty());
    bound
        .flat_map(|(chord, command)| {
            events(chord).into_iter().map(move |key| (key, command.clone()))
        })
        .collect()
}

/// What the editor does for it.
fn command(action: Action) -> Option<Cmd> {
    Some(match action {
        Action::Send => Cmd::AcceptLine,
        Action::Newline => Cmd::Newline,
        Action::Complete => Cmd::Complete,
        Action::CompleteBack => Cmd::CompleteBackward,
        Action::Older => Cmd::LineUpOrPreviousHistory(1),
        Action::Newer => Cmd::LineDownOrNextHistory(1),
        Action::SearchSent => Cmd::ReverseSearchHistory,
        Action::LineStart => Cmd::Move(Movement::BeginningOfLine),
        Action::LineEnd => Cmd::Move(Movement::EndOfLine),
        Action::Left => Cmd::Move(Movement::BackwardChar(1)),
        Action::Right => Cmd::Move(Movement::ForwardChar(1)),
        Action::WordLeft => Cmd::Move(Movement::BackwardWord(1, Word::Emacs)),
        Action::WordRight => Cmd::Move(Movement::ForwardWord(1, At::AfterEnd, Word::Emacs)),
        Action::DeleteBack => Cmd::Kill(Movement::BackwardChar(1)),
        Action::Delete => Cmd::Kill(Movement::ForwardChar(1)),
        Action::CutWordBack => Cmd::Kill(Movement::BackwardWord(1, Word::Emacs)),
        Action::CutWord => Cmd::Kill(Movement::ForwardWord(1, At::AfterEnd, Word::Emacs)),
        Action::CutBack => Cmd::Kill(Movement::BeginningOfLine),
        Action::Cut => Cmd::Kill(Movement::EndOfLine),
        Action::Paste => Cmd::Yank(1, Anchor::Before),
        Action::Undo => Cmd::Undo(1),
        Action::Interrupt => Cmd::Interrupt,
        Action::Quit => Cmd::EndOfFile,
        Action::Suspend => Cmd::Suspend,
        Action::Redraw => Cmd::ClearScreen,
        _ => return None,
    })
}

/// The key as the editor names it; with Alt a letter is another one when it is large.
fn events(chord: Chord) -> Vec<KeyEvent> {
    let mut held = Modifiers::NONE;
    for (one, modifier) in [
        (KeyModifiers::CONTROL, Modifiers::CTRL),
        (KeyModifiers::ALT, Modifiers::ALT),
        (KeyModifiers::SHIFT, Modifiers::SHIFT),
    ] {
        if chord.modifiers.contains(one) {
            held |= modifier;
        }
    }
    let code = match chord.code {
        Code::Char(letter) if held == Modifiers::ALT => {
            let mut both = vec![letter, letter.to_ascii_uppercase()];
            both.dedup();
            return both.into_iter().map(|one| KeyEvent(KeyCode::Char(one), held)).collect();
        }
        // The editor's name of the same byte.
        Code::Char(' ') if held.contains(Modifiers::CTRL) => KeyCode::Char('@'),
        Code::Char(letter) => KeyCode::Char(letter),
        Code::Enter => KeyCode::Enter,
        Code::Tab => KeyCode::Tab,
        Code::Esc => KeyCode::Esc,
        Code::Up => KeyCode::Up,
        Code::Down => KeyCode::Down,
        Code::Left => KeyCode::Left,
        Code::Right => KeyCode::Right,
        Code::Home => KeyCode::Home,
        Code::End => KeyCode::End,
        Code::PageUp => KeyCode::PageUp,
        Code::PageDown => KeyCode::PageDown,
        Code::Backspace => KeyCode::Backspace,
        Code::Delete => KeyCode::Delete,
        Code::Insert => KeyCode::Insert,
        Code::F(number) => KeyCode::F(number),
        _ => return Vec::new(),
    };
    vec![KeyEvent::normalize(KeyEvent(code, held))]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: other keys for what a key does on an empty line alone leave what it does to a text. (The build before bound
    /// them to nothing.)
    #[test]
    fn a_key_with_two_meanings_keeps_the_other_one() {
        for (name, chosen, key, does) in [
            ("switch", "F3", KeyEvent::ctrl('K'), Cmd::Kill(Movement::EndOfLine)),
            (
                "top",
                "F6",
                KeyEvent(KeyCode::Home, Modifiers::NONE),
                Cmd::Move(Movement::BeginningOfLine),
            ),
            (
                "bottom",
                "F6",
                KeyEvent(KeyCode::End, Modifiers::NONE),
                Cmd::Move(Movement::EndOfLine),
            ),
            ("quit", "Ctrl-Q", KeyEvent::ctrl('D'), Cmd::Kill(Movement::ForwardChar(1))),
        ] {
            let mut bindings = Bindings::default();
            bindings.choose(name, &[chosen.to_owned()]).unwrap();
            let bound: Vec<_> =
                bound(&bindings).into_iter().filter(|(one, _)| *one == key).collect();
            assert_eq!(bound, [(key, does)], "{name}");
        }
    }

    /// Goal: other keys for what only a full screen has change nothing at the prompt. (The build before bound Ctrl-P and
    /// Ctrl-N, which go through what was typed there, to nothing.)
    #[test]
    fn keys_of_the_full_screen_alone_are_not_taken_from_the_prompt() {
        let mut bindings = Bindings::default();
        for (name, key) in
            [("above", "F3"), ("below", "F4"), ("search", "F6"), ("switch", "F7"), ("cut", "F8")]
        {
            bindings.choose(name, &[key.to_owned()]).unwrap();
        }
        let keys: Vec<_> =
            bound(&bindings).into_iter().filter(|(_, does)| *does == Cmd::Noop).collect();
        assert_eq!(keys, [(KeyEvent::ctrl('K'), Cmd::Noop)], "it has cut, and no more");
    }

    #[test]
    fn what_the_editor_can_do_is_bound_and_nothing_that_is_typed() {
        let mut bindings = Bindings::default();
        for (name, key) in [
            ("line_start", "Alt-A"),
            ("editor", "Ctrl-X"),
            ("help", "!"),
            ("suspend", "none"),
            ("line_end", "Ctrl-Alt-4"),
            ("cut", "Ctrl-Space"),
        ] {
            bindings.choose(name, &[key.to_owned()]).unwrap();
        }
        bindings.check().unwrap();
        let bound = bound(&bindings);
        let start = Cmd::Move(Movement::BeginningOfLine);
        for letter in ['a', 'A'] {
            let key = KeyEvent(KeyCode::Char(letter), Modifiers::ALT);
            assert!(bound.contains(&(key, start.clone())), "{bound:?}");
        }
        // As the editor names the bytes.
        for (byte, held, does) in [
            ('\u{1c}', Modifiers::ALT, Cmd::Move(Movement::EndOfLine)),
            ('\0', Modifiers::NONE, Cmd::Kill(Movement::EndOfLine)),
        ] {
            assert!(bound.contains(&(KeyEvent::new(byte, held), does)), "{byte:?}: {bound:?}");
        }
        for key in ['A', 'Z'] {
            assert!(bound.contains(&(KeyEvent::ctrl(key), Cmd::Noop)), "{bound:?}");
        }
        let is_typed =
            |KeyEvent(code, held): &KeyEvent| matches!(code, KeyCode::Char(_)) && held.is_empty();
        assert!(!bound.iter().any(|(key, _)| is_typed(key)), "{bound:?}");
    }
}
