//! Keys that a person has chosen instead of those of the table.

use crossterm::event::KeyCode;

use super::Action;
use super::chord::Chord;
use super::table::{DIGITS, Row, TABLE, When};

/// The actions by the names that they have in the file of configuration.
const NAMES: [(Action, &str); 45] = [
    (Action::Open(1), "open"),
    (Action::Above, "above"),
    (Action::Below, "below"),
    (Action::NextActive, "next_active"),
    (Action::Switch, "switch"),
    (Action::Back, "back"),
    (Action::Forward, "forward"),
    (Action::PageUp, "page_up"),
    (Action::PageDown, "page_down"),
    (Action::Top, "top"),
    (Action::Bottom, "bottom"),
    (Action::FirstUnread, "first_unread"),
    (Action::MentionAbove, "mention_above"),
    (Action::MentionBelow, "mention_below"),
    (Action::Search, "search"),
    (Action::Unfold, "unfold"),
    (Action::Send, "send"),
    (Action::Newline, "newline"),
    (Action::Complete, "complete"),
    (Action::CompleteBack, "complete_back"),
    (Action::Older, "older"),
    (Action::Newer, "newer"),
    (Action::SearchSent, "search_sent"),
    (Action::Editor, "editor"),
    (Action::LineStart, "line_start"),
    (Action::LineEnd, "line_end"),
    (Action::Left, "left"),
    (Action::Right, "right"),
    (Action::WordLeft, "word_left"),
    (Action::WordRight, "word_right"),
    (Action::DeleteBack, "delete_back"),
    (Action::Delete, "delete"),
    (Action::CutWordBack, "cut_word_back"),
    (Action::CutWord, "cut_word"),
    (Action::CutBack, "cut_back"),
    (Action::Cut, "cut"),
    (Action::Paste, "paste"),
    (Action::Undo, "undo"),
    (Action::Redo, "redo"),
    (Action::Help, "help"),
    (Action::Close, "close"),
    (Action::Interrupt, "interrupt"),
    (Action::Quit, "quit"),
    (Action::Suspend, "suspend"),
    (Action::Redraw, "redraw"),
];

/// What has to have a key: without it nobody can send, or leave what is open.
const NEEDED: [Action; 2] = [Action::Send, Action::Close];

/// Takes all keys from an action.
const NONE: &str = "none";

/// Keys of one action.
const KEYS_MAX: usize = 8;

/// One key, or the nine of the digits, with what each of them does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) written: String,
    pub(super) chords: Vec<(Chord, Action)>,
    pub(super) when: When,
}

/// Keys that a person has chosen, by what they do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings(Vec<(Action, Vec<Key>)>);

/// Two choices that do not go together, or one that leaves something needed without a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Clash {
    /// The action whose keys are wrong, by its name.
    pub name: &'static str,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Bindings {
    /// The names of all actions, in the order of the help.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// Chooses the keys of an action; the word `none` alone takes all of them away.
    ///
    /// # Errors
    /// What is wrong with a key, and what is right.
    pub fn choose(&mut self, name: &str, keys: &[String]) -> Result<(), String> {
        let action = named(name).ok_or_else(|| format!("nothing is called {name}"))?;
        let keys: Vec<&str> = match keys {
            [only] if only.eq_ignore_ascii_case(NONE) => Vec::new(),
            keys => keys.iter().map(String::as_str).collect(),
        };
        if keys.len() > KEYS_MAX {
            return Err(format!("it has {KEYS_MAX} keys at most"));
        }
        let keys = keys.into_iter().map(|key| Key::chosen(key, action));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        self.0.retain(|(known, _)| *known != action);
        self.0.push((action, keys));
        Ok(())
    }

    /// Whether all choices go together.
    ///
    /// # Errors
    /// The later one of two that do not, or what has no key any more.
    pub fn check(&self) -> Result<(), Clash> {
        for (at, (action, keys)) in self.0.iter().enumerate() {
            for (other, taken) in self.0.iter().take(at) {
                let both = keys.iter().find(|key| taken.iter().any(|one| one.meets(key)));
                if let Some(key) = both {
                    let (name, other) = (name_of(*action), name_of(*other));
                    let reason = format!(
                        "{} is the key of {other} already; choose another one",
                        key.written
                    );
                    return Err(Clash { name, reason });
                }
            }
        }
        for needed in NEEDED {
            let has_key = match self.of(needed) {
                Some(keys) => keys.iter().any(Key::is_sure),
                None => rows_of(needed).any(|row| self.left_of(row).iter().any(Key::is_sure)),
            };
            if !has_key {
                let name = name_of(needed);
                let reason = format!(
                    "{name} would have no key that every terminal sends, and is needed; give it one such as Enter, \
                     Ctrl-X or F5"
                );
                return Err(Clash { name, reason });
            }
        }
        Ok(())
    }

    /// What a person has chosen: actions and their keys.
    pub fn chosen(&self) -> impl Iterator<Item = (Action, Chord)> {
        self.0
            .iter()
            .flat_map(|(_, keys)| keys)
            .flat_map(|key| &key.chords)
            .map(|(chord, action)| (*action, *chord))
    }

    /// Keys of the table that were taken from an action because it has others, with that action and with what each of them
    /// still does: a key may have one meaning on an empty line and another while something is typed.
    pub fn freed(&self) -> Vec<(Chord, Action, Option<Action>)> {
        let changed = self.0.iter().flat_map(|(action, _)| rows_of(*action));
        let keys = changed.flat_map(|row| row.keys.iter().flat_map(|key| chords(key, row.action)));
        let is_free = |chord: &Chord| self.chosen().all(|(_, one)| one != *chord);
        let rest: Vec<_> = rows()
            .filter(|row| self.of(row.action).is_none())
            .flat_map(|row| self.left_of(row))
            .flat_map(|key| key.chords)
            .collect();
        let left = |chord: &Chord| rest.iter().find(|(one, _)| one == chord).map(|(_, does)| *does);
        let free = keys.filter(|(chord, _)| is_free(chord));
        free.map(|(chord, action)| (chord, action, left(&chord))).collect()
    }

    /// The keys that were chosen for this; nothing where nobody has chosen.
    pub(super) fn of(&self, action: Action) -> Option<&[Key]> {
        let chosen = self.0.iter().find(|(known, _)| *known == action);
        chosen.map(|(_, keys)| keys.as_slice())
    }

    /// The keys of a row of the table that were not chosen for something else.
    pub(super) fn left_of(&self, row: &Row) -> Vec<Key> {
        let chosen = || self.0.iter().flat_map(|(_, keys)| keys);
        let is_left = |chord: &Chord| !chosen().any(|key| key.has(*chord, row.when));
        let left = |key: &&str| {
            let left: Vec<_> =
                chords(key, row.action).into_iter().filter(|(chord, _)| is_left(chord)).collect();
            let written = if *key == DIGITS { digits_left(&left) } else { (*key).to_owned() };
            (!left.is_empty()).then_some(Key { written, chords: left, when: row.when })
        };
        row.keys.iter().filter_map(left).collect()
    }
}

impl Key {
    /// A key that a person has written. It has its meaning always, but for a character, which begins a text otherwise,
    /// and for leaving; where the table has it for the same, it has its meaning as there.
    fn chosen(written: &str, action: Action) -> Result<Self, String> {
        let chords = match action {
            Action::Open(_) => digits(written),
            _ => vec![(Chord::parse(written)?, action)],
        };
        let Some((first, _)) = chords.first().copied() else {
            return Err(format!("{written:?} is not nine keys; write {DIGITS} or F1…9"));
        };
        let has = |key: &&str| self::chords(key, action).iter().any(|(chord, _)| *chord == first);
        let same = rows_of(action).find(|row| row.keys.iter().any(&has));
        let is_character = matches!(first.code, KeyCode::Char(_)) && first.is_plain();
        if is_character && !is_for_empty_line(action) {
            return Err(format!(
                "{written:?} is typed, and does nothing else while something is; choose F5, Ctrl-X, Alt-X or the like"
            ));
        }
        let when = match same {
            Some(row) => row.when,
            None if is_character || action == Action::Quit => When::Empty,
            None => When::Always,
        };
        Ok(Self { written: written.to_owned(), chords, when })
    }

    /// Whether it is there whatever is typed, and in whatever terminal.
    fn is_sure(&self) -> bool {
        self.when == When::Always && self.chords.iter().any(|(chord, _)| chord.is_everywhere())
    }

    /// Whether this key could be meant by a press that has this meaning then.
    fn has(&self, chord: Chord, when: When) -> bool {
        let is_apart =
            matches!((self.when, when), (When::Empty, When::Typed) | (When::Typed, When::Empty));
        !is_apart && self.chords.iter().any(|(one, _)| *one == chord)
    }

    /// Whether one press could mean both.
    fn meets(&self, other: &Self) -> bool {
        other.chords.iter().any(|(chord, _)| self.has(*chord, other.when))
    }
}

/// Whether an action makes sense where nothing is typed and nothing is open: a character has a meaning there alone.
fn is_for_empty_line(action: Action) -> bool {
    match action {
        Action::Open(_)
        | Action::Above
        | Action::Below
        | Action::NextActive
        | Action::Switch
        | Action::Back
        | Action::Forward
        | Action::PageUp
        | Action::PageDown
        | Action::Top
        | Action::Bottom
        | Action::FirstUnread
        | Action::MentionAbove
        | Action::MentionBelow
        | Action::Search
        | Action::Unfold
        | Action::SearchSent
        | Action::Editor
        | Action::Help
        | Action::Quit
        | Action::Suspend
        | Action::Redraw => true,
        Action::Send
        | Action::Newline
        | Action::Complete
        | Action::CompleteBack
        | Action::Older
        | Action::Newer
        | Action::LineStart
        | Action::LineEnd
        | Action::Left
        | Action::Right
        | Action::WordLeft
        | Action::WordRight
        | Action::DeleteBack
        | Action::Delete
        | Action::CutWordBack
        | Action::CutWord
        | Action::CutBack
        | Action::Cut
        | Action::Paste
        | Action::Undo
        | Action::Redo
        | Action::Interrupt
        | Action::Close => false,
    }
}

fn named(name: &str) -> Option<Action> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(action, _)| *action)
}

pub(super) fn name_of(action: Action) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == action).map_or("", |(_, name)| *name)
}

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().flat_map(|(_, rows)| *rows)
}

fn rows_of(action: Action) -> impl Iterator<Item = &'static Row> {
    rows().filter(move |row| row.action == action)
}

/// What is pressed for a key of the table.
fn chords(key: &str, action: Action) -> Vec<(Chord, Action)> {
    if key == DIGITS {
        return digits(key);
    }
    Chord::parse(key).map(|chord| (chord, action)).into_iter().collect()
}

/// The nine keys of `Alt-1…9`, and what each of them opens.
fn digits(written: &str) -> Vec<(Chord, Action)> {
    let held = written.strip_suffix("1…9").or_else(|| written.strip_suffix("1..9"));
    let Some(held) = held.filter(|held| !held.is_empty()) else { return Vec::new() };
    let key = |digit: u8| {
        let chord = Chord::parse(&format!("{held}{digit}")).ok()?;
        Some((chord, Action::Open(usize::from(digit))))
    };
    let keys: Option<Vec<_>> = (1..=9).map(key).collect();
    keys.unwrap_or_default()
}

/// How the keys of the digits are written of which some were chosen for something else: `Alt-1…2, Alt-4…9`.
fn digits_left(left: &[(Chord, Action)]) -> String {
    let held = DIGITS.trim_end_matches(|one: char| one.is_ascii_digit() || one == '…');
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (_, action) in left {
        let Action::Open(number) = *action else { continue };
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let runs = runs.into_iter().map(|(first, last)| match last - first {
        0 => format!("{held}{first}"),
        _ => format!("{held}{first}…{last}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    fn chosen(choices: &[(&str, &[&str])]) -> Result<Bindings, String> {
        let mut bindings = Bindings::default();
        for (name, keys) in choices {
            let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            bindings.choose(name, &keys)?;
        }
        bindings.check().map_err(|clash| format!("{}: {}", clash.name, clash.reason))?;
        Ok(bindings)
    }

    fn keys(keys: &Keys, action: Action) -> Vec<String> {
        let rows = keys.list().iter().flat_map(|(_, rows)| rows);
        rows.filter(|row| row.action == action).flat_map(|row| row.keys.clone()).collect()
    }

    #[test]
    fn every_row_of_the_table_has_a_name_and_every_name_a_row() {
        for row in TABLE.iter().flat_map(|(_, rows)| *rows) {
            assert_ne!(name_of(row.action), "", "{}", row.words);
        }
        for (action, name) in NAMES {
            assert!(rows_of(action).next().is_some(), "{name}");
            assert_eq!(NAMES.iter().filter(|(_, other)| *other == name).count(), 1, "{name}");
        }
    }

    /// Goal: a chosen key takes the place of all keys of its action, and is taken from what had it before.
    #[test]
    fn chosen_keys_take_the_place_of_those_of_the_table() {
        let bindings = chosen(&[
            ("next_active", &["Alt-J", "F5"]),
            ("first_unread", &["Ctrl-K"]),
            ("help", &["F2"]),
            ("editor", &["none"]),
        ]);
        let all = Keys::with(&bindings.unwrap());
        assert_eq!(keys(&all, Action::NextActive), ["Alt-J", "F5"]);
        assert_eq!(keys(&all, Action::FirstUnread), ["Ctrl-K"]);
        assert_eq!(keys(&all, Action::Help), ["F2"], "`?` is a character again");
        for gone in [Action::Editor, Action::Switch, Action::Cut] {
            assert_eq!(keys(&all, gone), Vec::<String>::new(), "{gone:?}");
        }
        assert_eq!(keys(&all, Action::LineEnd), ["Ctrl-E", "End"]);
        assert_eq!(all.key_of(Action::Help), "F2");
    }

    /// Goal: what the table says of an empty line holds for the same key; a character never takes a letter of a text.
    #[test]
    fn a_key_has_its_meaning_when_nothing_else_could_be_meant() {
        let bindings =
            chosen(&[("switch", &["Ctrl-K", "Ctrl-G"]), ("help", &["!"]), ("quit", &["Ctrl-Q"])]);
        let all = Keys::with(&bindings.unwrap());
        assert_eq!(keys(&all, Action::Cut), ["Ctrl-K"], "while something is typed");
        let does = |written: &str, is_empty: bool| {
            let Chord { code, modifiers } = Chord::parse(written).unwrap();
            match all.pressed(crossterm::event::KeyEvent::new(code, modifiers), is_empty) {
                Some(crate::keys::Pressed::Action(action)) => Some(action),
                _ => None,
            }
        };
        assert_eq!(does("Ctrl-G", false), Some(Action::Switch));
        assert_eq!(does("!", true), Some(Action::Help));
        assert_eq!(does("!", false), None);
        assert_eq!(does("Ctrl-Q", false), None, "nothing that is typed is lost");
        assert_eq!(does("Ctrl-Q", true), Some(Action::Quit));
    }

    #[test]
    fn nine_digits_go_together_and_one_of_them_may_be_taken() {
        let all = Keys::with(&chosen(&[("open", &["F1..9"]), ("help", &["F10"])]).unwrap());
        assert_eq!(keys(&all, Action::Open(1)), ["F1..9"]);
        let bindings = chosen(&[("unfold", &["Alt-3"])]).unwrap();
        let left = bindings.left_of(rows_of(Action::Open(1)).next().unwrap());
        assert_eq!(left.first().map(|key| key.chords.len()), Some(8));
        // Goal: the help names no key that does something else. (The build before named all nine.)
        let all = Keys::with(&bindings);
        assert_eq!(keys(&all, Action::Open(1)), ["Alt-1…2, Alt-4…9"]);
        let ends = chosen(&[("unfold", &["Alt-1", "Alt-8"])]).unwrap();
        assert_eq!(keys(&Keys::with(&ends), Action::Open(1)), ["Alt-2…7, Alt-9"]);
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (choices, part) in [
            (
                &[("unfold", &["F5"][..]), ("search", &["f5"])][..],
                "search: f5 is the key of unfold",
            ),
            (&[("send", &["none"])], "send: send would have no key"),
            (&[("help", &["Enter"])], "send: send would have no key"),
            (&[("close", &[])], "close: close would have no key"),
            (&[("open", &["Alt-1"])], "is not nine keys; write Alt-1…9"),
            // A terminal would send the digits alone.
            (&[("open", &["Ctrl-Alt-1…9"])], "is not nine keys; write Alt-1…9 or F1…9"),
            // Nobody could send or close with these in some terminals.
            (&[("send", &["Ctrl-Enter"])], "most terminals send no key of its own for Ctrl-Enter"),
            (&[("send", &["Alt-S"])], "send: send would have no key that every terminal sends"),
            (
                &[("send", &["Ctrl-PgDn", "F11"])],
                "send: send would have no key that every terminal",
            ),
            (&[("close", &["Shift-F5"])], "close: close would have no key that every terminal"),
            (&[("unfold", &["Ctlr-O"])], "there is no key \"Ctlr-O\""),
            (&[("unfolt", &["F5"])], "nothing is called unfolt"),
            // Nobody could send, close or edit with these: a character is typed while there is something to edit.
            (&[("send", &["!"])], "\"!\" is typed, and does nothing else while something is"),
            (&[("close", &["Esc", "q"])], "\"q\" is typed"),
            (&[("newline", &["Space"])], "\"Space\" is typed"),
            (&[("delete_back", &["x"])], "\"x\" is typed"),
            (&[("interrupt", &["x"])], "\"x\" is typed"),
        ] {
            let error = chosen(choices).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }

    /// Goal: a key of the table is known that its action has no more, and what it does while something is typed, or on an
    /// empty line, stays. (The build before took Ctrl-K, Home, End and Ctrl-D for keys that do nothing.)
    #[test]
    fn keys_that_were_taken_from_an_action_are_known_with_what_they_still_do() {
        use Action::{Bottom, Cut, Delete, LineEnd, LineStart, Quit, Search, Switch, Top};
        let chord = |written| Chord::parse(written).unwrap();
        for (choices, freed) in [
            (
                &[("editor", &["Ctrl-X"][..]), ("search", &["Ctrl-O"])][..],
                &[("Ctrl-S", Search, None)][..],
            ),
            (&[("switch", &["F3"])], &[("Ctrl-K", Switch, Some(Cut))]),
            (&[("cut", &["F3"])], &[("Ctrl-K", Cut, Some(Switch))]),
            (
                &[("cut", &["F3"]), ("switch", &["F4"])],
                &[("Ctrl-K", Cut, None), ("Ctrl-K", Switch, None)],
            ),
            (&[("top", &["F6"])], &[("Ctrl-Home", Top, None), ("Home", Top, Some(LineStart))]),
            (&[("bottom", &["F6"])], &[("Ctrl-End", Bottom, None), ("End", Bottom, Some(LineEnd))]),
            (&[("quit", &["Ctrl-Q"])], &[("Ctrl-D", Quit, Some(Delete))]),
        ] {
            let expected: Vec<_> =
                freed.iter().map(|(key, was, does)| (chord(key), *was, *does)).collect();
            assert_eq!(chosen(choices).unwrap().freed(), expected, "{choices:?}");
        }
    }
}
