//! Whatever comes from outside, by whatever way: nothing of it reaches the terminal as a control.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// What acts on a terminal, hides, or paints over what is beside it.
const CORPUS: [&str; 16] = [
    "\u{1b}]52;c;cm0gLXJm\u{7}",
    "\u{9b}31m",
    "a\u{7f}b\0",
    "txt.\u{202e}exe",
    "pay\u{200b}pal \u{2066}x\u{2069}",
    "\u{feff}\u{61c}\u{2028}\u{e0041}",
    "\u{1b}[2J\u{1b}[H22:13 bob: pay",
    "a\nb\tc\rd\r\n",
    "\u{115f}\u{3164}\u{ffa0}\u{34f}",
    "Z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "\u{85}\u{84}\u{90}q\u{9c}",
    "\u{e}\u{f}\u{8}\u{8}\u{b}\u{c}",
    "🏴\u{e0067}\u{e0062}",
    "\u{1b}P1$r0m\u{1b}\\",
    "\u{1b}_payload\u{1b}\\",
    "\u{301}\u{200d}\u{fe0f}",
];

/// A screen on which everything that comes from outside has this text.
fn everywhere(evil: &str) -> Desk {
    let mut desk = Desk::new(140, 40);
    let facts = &mut desk.facts;
    for one in &mut facts.conversations {
        one.name = evil.to_owned();
        one.unread = 3;
    }
    facts.topic = evil.to_owned();
    facts.members = vec![Member { name: evil.to_owned(), is_online: true, is_admin: false }];
    facts.transfers = vec![Transfer {
        name: evil.to_owned(),
        progress: Progress { n: 1, size: 2, done: 1, rate: 1 },
    }];
    facts.status.user = evil.to_owned();
    facts.status.server = evil.to_owned();
    facts.status.retention = Some(evil.to_owned());
    let delivery = Some(Delivery::Refused { code: String::new(), reason: evil.to_owned() });
    let own = Line { delivery, hand: evil.to_owned(), ..line(1, "alice", evil) };
    desk.screen.tell(None, Line { who: Some(evil.to_owned()), ..own });
    for kind in [Kind::Said, Kind::Notice, Kind::Alarm, Kind::Output] {
        desk.screen.tell(None, Line { who: Some(evil.to_owned()), kind, ..line(2, "", evil) });
    }
    let progress = Some(Progress { n: 1, size: 2, done: 1, rate: 1 });
    desk.screen.tell(None, Line { progress, ..notice(Kind::Notice, evil) });
    desk.screen.composer.paste(evil);
    for character in evil.chars() {
        desk.screen.composer.insert(character);
    }
    desk
}

/// Draws it with everything open that can be open.
fn screens(evil: &str) -> Vec<Buffer> {
    let mut desk = everywhere(evil);
    let mut drawn = vec![desk.drawn()];
    desk.screen.notice = Some(evil.to_owned());
    drawn.push(desk.drawn());
    desk.screen.take_typed();
    desk.screen.composer.was_sent(&cid("room:lobby"), evil, false);
    for (key, held) in [('k', CTRL), ('s', CTRL), ('r', CTRL)] {
        desk.key(KeyCode::Char(key), held);
        evil.chars().for_each(|letter| drop(desk.key(KeyCode::Char(letter), NONE)));
        drawn.push(desk.drawn());
        desk.key(KeyCode::Esc, NONE);
    }
    drawn.extend(completed(&mut desk, evil));
    desk.screen.ask(Some(evil.to_owned()));
    desk.paste(evil);
    drawn.push(desk.drawn());
    desk.screen.resize(40, 10);
    drawn.push(desk.drawn());
    desk.screen.resize(20, 4);
    drawn.push(desk.drawn());
    drawn
}

/// Draws what is typed where a word, a room and a file have this name and are completed, forth and back.
fn completed(desk: &mut Desk, evil: &str) -> Vec<Buffer> {
    let known = |line: &str| {
        let start = line.rfind(' ').map_or(0, |at| at + 1);
        (start, vec![format!("{evil} "), format!("x{evil}*")])
    };
    let mut drawn = Vec::new();
    for typed in ["/msg x", "#x", "x", "@x", "/send x"] {
        desk.screen.take_typed();
        desk.write(typed);
        for code in [KeyCode::Tab, KeyCode::Tab, KeyCode::BackTab] {
            desk.screen.press(KeyEvent::new(code, NONE), &desk.facts, &known);
            drawn.push(desk.drawn());
        }
    }
    desk.screen.take_typed();
    drawn
}

/// What was found once by the fuzzer of the sanitiser, and its seeds.
fn corpus_of_the_sanitiser() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sanitiser");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    // As a text comes from the wire.
    files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

fn assert_harmless(evil: &str) {
    for buffer in screens(evil) {
        for cell in buffer.content() {
            let symbol = cell.symbol();
            assert!(!symbol.chars().any(char::is_control), "{symbol:?} of {evil:?}");
            // A cell is as clean as the line it came from, but for what needs its neighbours.
            let is_hidden = |one: char| matches!(u32::from(one), 0x202a..=0x202e | 0x2066..=0x2069 | 0x200b | 0x2028 | 0xfeff | 0x61c);
            assert!(!symbol.chars().any(is_hidden), "{symbol:?} of {evil:?}");
        }
    }
}

#[test]
fn nothing_of_the_corpus_reaches_the_terminal() {
    CORPUS.into_iter().for_each(assert_harmless);
    let files = corpus_of_the_sanitiser();
    assert!(files.len() >= 5, "{} files", files.len());
    for evil in &files {
        assert_harmless(evil);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn nothing_else_does_either(evil in "[\\x00-\\x1f\\x7f-\u{9f}a漢\u{300}-\u{30f}\u{200b}-\u{2069}\u{feff}\u{e0000}-\u{e0100}]{0,30}") {
        assert_harmless(&evil);
    }
}
