//! The table itself: which keys there are where nobody has said anything else.

use super::Action;

/// When a key has its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// While nothing is typed.
    Empty,
    /// While something is typed.
    Typed,
}

/// One row of the table.
pub(super) struct Row {
    pub(super) action: Action,
    pub(super) keys: &'static [&'static str],
    pub(super) when: When,
    pub(super) words: &'static str,
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
pub(super) const DIGITS: &str = "Alt-1…9";

/// All keys, under the headings of the help.
pub(super) const TABLE: &[(&str, &[Row])] = &[
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
