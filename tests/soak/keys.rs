//! What somebody types who types without sense: every mode of the line editor, entered and left at random.

use chat_tests::Dice;

/// Letters of which no line that leaves the chat can be made.
const LETTERS: &[char] = &['a', 'b', 'c', 'm', 'n', 'o', 'z', ' ', 'é', '会', '*', '"'];

/// Letters at once, at most.
const LETTERS_MAX: usize = 8;

/// Keys that do something in a line by themselves: moves, cuts, pastes, swaps, undo, history, redrawing.
const EDITING: &[&[u8]] = &[
    b"\x01",
    b"\x02",
    b"\x05",
    b"\x06",
    b"\x07",
    b"\x08",
    b"\x0b",
    b"\x0c",
    b"\x0e",
    b"\x10",
    b"\x14",
    b"\x15",
    b"\x17",
    b"\x19",
    b"\x1f",
    b"\x7f",
    b"\x1bb",
    b"\x1bf",
    b"\x1bd",
    b"\x1bu",
    b"\x1bl",
    b"\x1bc",
    b"\x1bt",
    b"\x1by",
    b"\x1b\x7f",
    b"\x1b<",
    b"\x1b>",
];

/// Keys that a terminal sends as a sequence, whole and not.
const SEQUENCES: &[&[u8]] = &[
    b"\x1b[A",
    b"\x1b[B",
    b"\x1b[C",
    b"\x1b[D",
    b"\x1b[H",
    b"\x1b[F",
    b"\x1b[3~",
    b"\x1b[5~",
    b"\x1b[6~",
    b"\x1bOP",
    b"\x1b[15~",
    b"\x1b[1;5C",
    b"\x1b[Z",
    b"\x1b[",
    b"\x1b[1;",
    b"\x1bO",
];

/// What makes the editor wait for more: a search in the history, a key as it is, a command of two keys, a
/// number of times, ESC alone, a list of completions, a paste without an end.
const MODES: &[&[u8]] = &[
    b"\x12",
    b"\x12a",
    b"\x12zz",
    b"\x13",
    b"\x13b",
    b"\x16",
    b"\x16a",
    b"\x11c",
    b"\x18",
    b"\x18\x18",
    b"\x1b",
    b"\x1b5",
    b"\x1b-3",
    b"\x1bz",
    b"\t",
    b"car\t\t",
    b"/\t\t",
    b"/\t\ty",
    b"\x1b[200~pasted ",
];

/// Pastes with their end, of one line and several.
const PASTES: &[&[u8]] =
    &[b"\x1b[200~one line\x1b[201~", b"\x1b[200~two\rlines\r\x1b[201~", b"\x1b[200~\x1b[201~"];

/// Lines that the chat answers. None of them shows again what somebody has said in the room.
const LINES: &[&str] =
    &["/users\r", "/status\r", "/help\r", "/rooms\r", "/history carol 5\r", "/none\r"];

/// What is no text.
const NO_TEXT: &[&[u8]] = &[b"\xff", b"\xc3", b"\x00", b"\xe4\xbc"];

/// Ends whatever mode it is, without leaving the chat, and throws away the line: the end of a paste, no to
/// a long list, no more search, Ctrl-C. The first end may be taken for part of a sequence that was begun.
pub(crate) const LEAVE_MODES: &[u8] = b"\x1b[201~\x1b[201~n\x07\x03";

/// The next keys, all in one packet.
pub(crate) fn next(dice: &mut Dice) -> Vec<u8> {
    match dice.below(20) {
        0..5 => letters(dice),
        5..7 => b"\r".to_vec(),
        7..10 => of(dice, EDITING),
        10..12 => of(dice, SEQUENCES),
        12..17 => of(dice, MODES),
        17 => of(dice, PASTES),
        18 => {
            let line = LINES.get(dice.below(LINES.len())).copied().unwrap_or_default();
            line.as_bytes().to_vec()
        }
        _ => of(dice, NO_TEXT),
    }
}

pub(crate) fn letters(dice: &mut Dice) -> Vec<u8> {
    let count = dice.below(LETTERS_MAX) + 1;
    let letter = |_| LETTERS.get(dice.below(LETTERS.len())).copied();
    (0..count).filter_map(letter).collect::<String>().into_bytes()
}

pub(crate) fn of(dice: &mut Dice, keys: &[&[u8]]) -> Vec<u8> {
    keys.get(dice.below(keys.len())).copied().unwrap_or_default().to_vec()
}
