//! One key with what is held down, as a terminal sends it and as a person writes it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// One key with what is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chord {
    /// The key; letters that are held with others are small.
    pub code: KeyCode,
    /// What is held down: Ctrl, Alt, Shift.
    pub modifiers: KeyModifiers,
}

/// What is held down, as it is written.
const HELD: [(&str, KeyModifiers); 3] = [
    ("Ctrl-", KeyModifiers::CONTROL),
    ("Alt-", KeyModifiers::ALT),
    ("Shift-", KeyModifiers::SHIFT),
];

/// Keys with a name.
const NAMED: [(&str, KeyCode); 16] = [
    ("Enter", KeyCode::Enter),
    ("Tab", KeyCode::Tab),
    ("Esc", KeyCode::Esc),
    ("Space", KeyCode::Char(' ')),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PgUp", KeyCode::PageUp),
    ("PgDn", KeyCode::PageDown),
    ("Backspace", KeyCode::Backspace),
    ("Delete", KeyCode::Delete),
    ("Insert", KeyCode::Insert),
    ("BackTab", KeyCode::BackTab),
];

/// What terminals send with Ctrl beside letters, one byte each; some of them are two signs of one key.
const CONTROLS: [char; 12] = [' ', '@', '2', '4', '5', '6', '7', '\\', ']', '^', '_', '/'];

/// Function keys that no terminal keeps for its menu, its help or its window.
const FREE_FUNCTIONS: std::ops::RangeInclusive<u8> = 2..=9;

/// Function keys that terminals have.
const FUNCTION_MAX: u8 = 12;

impl Chord {
    /// The key of an event, in the one spelling that the table has for it.
    pub(super) fn of(event: KeyEvent) -> Self {
        Self::spelled(event.code, event.modifiers)
    }

    /// The key of a row of the table, or one that a person has written, such as `Ctrl-Left`.
    ///
    /// # Errors
    /// What is wrong with it, and what is right.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let (mut modifiers, mut rest) = (KeyModifiers::NONE, written);
        while let Some((prefix, modifier)) =
            HELD.into_iter().find(|(prefix, _)| begins(rest, prefix))
        {
            modifiers |= modifier;
            rest = rest.get(prefix.len()..).unwrap_or_default();
        }
        let code = code(rest).ok_or_else(|| {
            let shown: String = written.chars().take(40).collect();
            format!(
                "there is no key {shown:?}; write Ctrl-, Alt- or Shift- before a letter, F1 to F{FUNCTION_MAX} or \
                 Enter, Tab, Esc, Space, Up, Down, Left, Right, Home, End, PgUp, PgDn, Backspace, Delete, Insert"
            )
        })?;
        let is_character = matches!(code, KeyCode::Char(_));
        if is_character && modifiers.contains(KeyModifiers::SHIFT) {
            return Err(format!(
                "{written}: a terminal does not tell Shift with a character; write it without Shift-"
            ));
        }
        let same = match code {
            _ if modifiers != KeyModifiers::CONTROL => None,
            KeyCode::Char('i' | 'I') => Some("Tab"),
            KeyCode::Char('m' | 'M') => Some("Enter"),
            KeyCode::Char('[' | '3') => Some("Esc"),
            _ => None,
        };
        match same {
            Some(same) => {
                Err(format!("a terminal sends the same for {written} and {same}; write {same}"))
            }
            None if !is_sent(code, modifiers) => Err(format!(
                "most terminals send no key of its own for {written}; choose F5, Ctrl-X, Alt-X or the like"
            )),
            None => Ok(Self::spelled(code, modifiers)),
        }
    }

    /// Whether it reaches a program in every terminal: what cannot be done without must not hang on another one.
    pub(super) fn is_everywhere(self) -> bool {
        match self.code {
            KeyCode::F(number) => self.is_plain() && FREE_FUNCTIONS.contains(&number),
            KeyCode::Char(letter) => {
                self.modifiers == KeyModifiers::CONTROL && letter.is_ascii_alphabetic()
            }
            _ => self.is_plain(),
        }
    }

    /// Nothing is held down.
    pub(super) fn is_plain(self) -> bool {
        self.modifiers.is_empty()
    }

    /// The one spelling of keys for which terminals send the same.
    fn spelled(code: KeyCode, modifiers: KeyModifiers) -> Self {
        let held = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
        let mut modifiers = modifiers & held;
        let code = match code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            KeyCode::Char(character) => {
                modifiers -= KeyModifiers::SHIFT;
                let is_control = modifiers.contains(KeyModifiers::CONTROL);
                let character = if is_control { control(character) } else { character };
                // Caps Lock must not change what Ctrl and Alt do.
                let is_held = !modifiers.is_empty();
                KeyCode::Char(if is_held { character.to_ascii_lowercase() } else { character })
            }
            code => code,
        };
        Self { code, modifiers }
    }
}

/// The one sign for those that terminals send as the same byte with Ctrl: 0x1c to 0x1f, and 0x00.
fn control(sign: char) -> char {
    match sign {
        '7' | '/' => '_',
        '4' => '\\',
        '5' => ']',
        '6' => '^',
        '2' | '@' => ' ',
        other => other,
    }
}

/// Whether terminals send something of its own for this. Some can tell more, and only a program that asks for it (the
/// protocol of kitty): what holds in one terminal alone is no key to write into a file.
fn is_sent(code: KeyCode, held: KeyModifiers) -> bool {
    let (ctrl, alt) = (held.contains(KeyModifiers::CONTROL), held.contains(KeyModifiers::ALT));
    let shift = held.contains(KeyModifiers::SHIFT);
    match code {
        KeyCode::Enter | KeyCode::Backspace => !ctrl && !shift,
        KeyCode::Tab => !(ctrl || alt && shift),
        KeyCode::BackTab => !ctrl && !alt,
        KeyCode::Esc => held.is_empty(),
        KeyCode::Char('i' | 'I' | 'm' | 'M') => !ctrl,
        KeyCode::Char(sign) if ctrl => sign.is_ascii_alphabetic() || CONTROLS.contains(&sign),
        // With Alt before it, it begins the name of another key.
        KeyCode::Char('[') => !alt,
        _ => true,
    }
}

fn begins(text: &str, prefix: &str) -> bool {
    // Behind the prefix stands a key, which may be the sign `-` itself.
    text.len() > prefix.len()
        && text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn code(name: &str) -> Option<KeyCode> {
    let mut characters = name.chars();
    if let (Some(one), "") = (characters.next(), characters.as_str()) {
        return (!one.is_control()).then_some(KeyCode::Char(one));
    }
    if let Some(number) = name.strip_prefix(['F', 'f']).and_then(|number| number.parse().ok()) {
        return (1..=FUNCTION_MAX).contains(&number).then_some(KeyCode::F(number));
    }
    NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_terminals_send_them() {
        let chord = |code, modifiers| Ok(Chord { code, modifiers });
        let (ctrl, alt) = (KeyModifiers::CONTROL, KeyModifiers::ALT);
        for (written, expected) in [
            ("Ctrl-Left", chord(KeyCode::Left, ctrl)),
            ("ctrl-left", chord(KeyCode::Left, ctrl)),
            ("Alt-A", chord(KeyCode::Char('a'), alt)),
            ("Ctrl-Alt-x", chord(KeyCode::Char('x'), ctrl | alt)),
            ("Ctrl-4", chord(KeyCode::Char('\\'), ctrl)),
            ("Ctrl-@", chord(KeyCode::Char(' '), ctrl)),
            ("Alt-1", chord(KeyCode::Char('1'), alt)),
            ("Alt-Enter", chord(KeyCode::Enter, alt)),
            ("Alt-Backspace", chord(KeyCode::Backspace, alt)),
            ("Ctrl-Shift-PgUp", chord(KeyCode::PageUp, ctrl | KeyModifiers::SHIFT)),
            ("Shift-F5", chord(KeyCode::F(5), KeyModifiers::SHIFT)),
            ("Alt--", chord(KeyCode::Char('-'), alt)),
            ("Ctrl-/", chord(KeyCode::Char('_'), ctrl)),
            ("Ctrl-Space", chord(KeyCode::Char(' '), ctrl)),
            ("Shift-Tab", chord(KeyCode::Tab, KeyModifiers::SHIFT)),
            ("BackTab", chord(KeyCode::Tab, KeyModifiers::SHIFT)),
            ("F12", chord(KeyCode::F(12), KeyModifiers::NONE)),
            ("?", chord(KeyCode::Char('?'), KeyModifiers::NONE)),
        ] {
            assert_eq!(Chord::parse(written), expected, "{written}");
        }
    }

    /// Goal: what is accepted is the key that comes, also with Alt before it. (The build before took `Ctrl-Alt-\`, and no key
    /// was that.)
    #[test]
    fn a_sign_with_ctrl_is_the_key_that_terminals_send() {
        let ctrl = KeyModifiers::CONTROL;
        for held in [ctrl, ctrl | KeyModifiers::ALT] {
            let prefix = if held == ctrl { "Ctrl-" } else { "Ctrl-Alt-" };
            // As the events of a terminal name the bytes.
            for (signs, sent) in [("\\4", '4'), ("]5", '5'), ("^6", '6'), ("_/7", '7'), ("@2", ' ')]
            {
                for sign in signs.chars() {
                    let written = Chord::parse(&format!("{prefix}{sign}"));
                    let pressed = Chord::of(KeyEvent::new(KeyCode::Char(sent), held));
                    assert_eq!(written, Ok(pressed), "{prefix}{sign}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_is_one() {
        for (written, part) in [
            ("Ctlr-K", "there is no key \"Ctlr-K\"; write Ctrl-, Alt- or Shift-"),
            ("F13", "F1 to F12"),
            ("", "there is no key \"\""),
            ("Ctrl-", "there is no key"),
            ("\u{1b}", "there is no key"),
            ("Shift-A", "write it without Shift-"),
            ("Ctrl-I", "the same for Ctrl-I and Tab; write Tab"),
            ("Ctrl-m", "write Enter"),
            ("Ctrl-[", "write Esc"),
        ] {
            let error = Chord::parse(written).expect_err(written);
            assert!(error.contains(part), "{written}: {error}");
        }
    }

    /// Goal: what is accepted can be pressed. (The build before took `send = "Ctrl-Enter"`, which terminals send as Enter, and
    /// nobody could send.)
    #[test]
    fn what_terminals_do_not_send_is_refused() {
        for written in [
            "Ctrl-Enter",
            "Shift-Enter",
            "Ctrl-Alt-Enter",
            "Ctrl-Tab",
            "Ctrl-Shift-Tab",
            "Alt-Shift-Tab",
            "Ctrl-Backspace",
            "Shift-Backspace",
            "Ctrl-Esc",
            "Alt-Esc",
            "Shift-Esc",
            "Ctrl-1",
            "Ctrl-8",
            "Ctrl-9",
            "Ctrl-0",
            "Ctrl-;",
            "Ctrl-.",
            "Ctrl--",
            "Ctrl-=",
            "Ctrl-ä",
            "Ctrl-Alt-1",
            "Ctrl-Alt-I",
            "Ctrl-Alt-[",
            "Alt-[",
        ] {
            let error = Chord::parse(written).expect_err(written);
            let told = format!("most terminals send no key of its own for {written}; choose F5");
            assert!(error.starts_with(&told), "{written}: {error}");
        }
    }
}
