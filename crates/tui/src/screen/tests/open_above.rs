//! What is open above the log, or where one types: it takes the keys, and nothing else is lost or hidden by it.

use super::*;
use crate::keys::Bindings;

fn log_of_hundred(desk: &mut Desk) {
    for number in 0..100 {
        desk.screen.tell(None, line(number, "bob", &format!("line {number}")));
    }
    let lobby = cid("room:lobby");
    desk.screen.older(&desk.facts, &lobby, Vec::new(), true);
}

/// Goal: on a small screen a question leaves in sight what it is about, which can be scrolled. (The build before laid it
/// above six of eight rows, and its keys did nothing to the log.)
#[test]
fn a_question_leaves_in_sight_what_it_is_about() {
    for (width, height) in [(40, 10), (80, 19), (80, 24)] {
        let mut desk = Desk::new(width, height);
        let words =
            "abandon ability able about above absent absorb abstract absurd abuse access accident";
        desk.screen.tell(None, notice(Kind::Notice, &format!("compare: {words}")));
        desk.screen.ask(Some("verify bob? Type yes, or the six words; Esc leaves it".to_owned()));
        let text = desk.text();
        for word in words.split(' ') {
            assert!(text.contains(word), "{word} at {width}x{height}: {text}");
        }
        assert!(text.contains("verify bob?") && text.contains("> "), "{text}");
        log_of_hundred(&mut desk);
        desk.write("yes");
        assert!(desk.text().contains("> yes"), "{}", desk.text());
        if height >= 20 {
            // It lies over the oldest rows, and what was told last is below it.
            continue;
        }
        desk.key(KeyCode::Home, CTRL);
        assert!(desk.text().contains("compare:"), "{}", desk.text());
        desk.key(KeyCode::PageDown, NONE);
        assert!(!desk.text().contains("compare:"), "{}", desk.text());
        desk.key(KeyCode::End, CTRL);
        assert!(desk.text().contains("line 99"), "{}", desk.text());
        assert_eq!(desk.key(KeyCode::Enter, NONE), Some(Need::Line("yes".to_owned())));
    }
}

/// Goal: the end of a long answer is in sight while it is typed, and so are letters that are looked for.
#[test]
fn the_end_of_what_is_typed_is_in_sight() {
    let mut desk = Desk::new(40, 10);
    let long = "abandon ability able about above absent the-last-word";
    desk.screen.ask(Some("verify bob?".to_owned()));
    desk.write(long);
    assert!(desk.text().contains("the-last-word |"), "{}", desk.text());
    desk.screen.ask(None);
    for key in ['k', 's', 'r'] {
        desk.key(KeyCode::Char(key), CTRL);
        desk.write(long);
        assert!(desk.text().contains("the-last-word "), "{key}: {}", desk.text());
        desk.key(KeyCode::Esc, NONE);
    }
}

/// Goal: a paste goes into what is open, its first line. (The build before took none of it.)
#[test]
fn a_paste_goes_into_what_is_open() {
    let mut desk = Desk::new(80, 24);
    log_of_hundred(&mut desk);
    desk.key(KeyCode::Char('s'), CTRL);
    desk.paste("line 42\nand more");
    assert!(desk.text().contains("|search: line 42 "), "{}", desk.text());
    assert!(desk.text().contains("bob: line 42"), "{}", desk.text());
    desk.key(KeyCode::Esc, NONE);
    desk.key(KeyCode::Char('k'), CTRL);
    desk.paste("bob\r\nx");
    let need = desk.key(KeyCode::Enter, NONE);
    assert_eq!(need, Some(Need::Open(cid("dm:alice:bob"))));
    for text in ["the plan", "other"] {
        desk.write(text);
        desk.key(KeyCode::Enter, NONE);
    }
    desk.key(KeyCode::Char('r'), CTRL);
    desk.paste("plan");
    assert!(desk.text().contains("sent before: plan  → the plan"), "{}", desk.text());
    desk.key(KeyCode::Esc, NONE);
    desk.key(KeyCode::F(1), NONE);
    desk.paste("hello");
    assert_eq!(desk.screen.take_typed(), ["hello"], "the help is closed");
    desk.paste("one\ntwo\n");
    desk.paste(" and three");
    assert!(desk.text().contains("Paste 2 lines?"), "{}", desk.text());
    desk.write("y");
    assert_eq!(desk.screen.take_typed(), ["one\ntwo and three"]);
}

/// Goal: what was asked about a paste is answered where it was pasted. (The build before opened another conversation by a
/// click, and `y` pasted there.)
#[test]
fn a_click_leads_nowhere_while_something_is_asked() {
    let mut desk = Desk::new(80, 24);
    let click = MouseEventKind::Down(MouseButton::Left);
    let event = MouseEvent { kind: click, column: 3, row: 3, modifiers: NONE };
    desk.paste("for the lobby\nalone");
    assert_eq!(desk.screen.mouse(event, &desk.facts), None);
    assert!(desk.text().contains("Paste 2 lines?"), "{}", desk.text());
    // The talk may look elsewhere by itself: the paste goes with what was typed.
    assert_eq!(desk.screen.take_typed(), ["for the lobby\nalone"]);
    desk.screen.opened(cid("dm:alice:bob"));
    assert!(desk.screen.is_idle());
    desk.screen.opened(cid("room:lobby"));
    for key in [KeyCode::F(1), KeyCode::Null] {
        desk.key(key, NONE);
        desk.screen.ask((key == KeyCode::Null).then(|| "sure?".to_owned()));
        assert_eq!(desk.screen.mouse(event, &desk.facts), None, "{key:?}");
        assert!(desk.screen.popup.is_some(), "{key:?}");
        desk.key(KeyCode::Esc, NONE);
    }
    // A search ends.
    desk.key(KeyCode::Char('s'), CTRL);
    let need = desk.screen.mouse(event, &desk.facts);
    assert_eq!(need, Some(Need::Open(cid("dm:alice:bob"))));
    assert!(desk.screen.popup.is_none());
}

/// Goal: a question of the talk comes after that about a paste, and takes nothing of it.
#[test]
fn a_question_waits_for_the_one_about_a_paste() {
    let mut desk = Desk::new(80, 24);
    desk.paste("a\nb");
    desk.screen.ask(Some("make #dve?".to_owned()));
    assert!(desk.text().contains("Paste 2 lines?"), "{}", desk.text());
    desk.write("y");
    desk.screen.ask(Some("make #dve?".to_owned()));
    assert!(desk.text().contains("make #dve?"), "{}", desk.text());
    desk.key(KeyCode::Esc, NONE);
    desk.screen.ask(None);
    assert_eq!(desk.screen.take_typed(), ["a\nb"]);
}

/// Goal: the program can be put to sleep whatever is open, which stays. (The build before closed the help and did nothing
/// elsewhere.)
#[test]
fn the_program_sleeps_whatever_is_open() {
    let mut desk = Desk::new(80, 24);
    let sleeps = |desk: &mut Desk| {
        assert_eq!(desk.key(KeyCode::Char('z'), CTRL), Some(Need::Suspend));
        assert!(desk.screen.popup.is_some());
        desk.screen.popup = None;
    };
    for (key, held) in
        [(KeyCode::F(1), NONE), (KeyCode::Char('k'), CTRL), (KeyCode::Char('s'), CTRL)]
    {
        desk.key(key, held);
        sleeps(&mut desk);
    }
    desk.key(KeyCode::Char('r'), CTRL);
    sleeps(&mut desk);
    desk.paste("a\nb");
    sleeps(&mut desk);
    desk.screen.ask(Some("make #dve?".to_owned()));
    sleeps(&mut desk);
}

/// Goal: a key that changes no letter leaves a search where it is, and the log can be read around it.
#[test]
fn the_log_is_read_around_what_was_found() {
    let mut desk = Desk::new(80, 24);
    log_of_hundred(&mut desk);
    desk.key(KeyCode::Char('s'), CTRL);
    desk.write("line 42");
    desk.key(KeyCode::Right, NONE);
    assert!(desk.text().contains("bob: line 42"), "{}", desk.text());
    desk.key(KeyCode::PageUp, NONE);
    assert!(desk.text().contains("bob: line 20"), "{}", desk.text());
    assert!(desk.text().contains("|search: line 42"), "{}", desk.text());
}

/// Goal: other letters are looked for in all lines, wherever those before were found. (The build before looked upwards from
/// there, and said that others are nowhere.)
#[test]
fn other_letters_are_found_below_what_was_found_before() {
    let mut desk = Desk::new(80, 24);
    log_of_hundred(&mut desk);
    desk.key(KeyCode::Char('s'), CTRL);
    desk.write("line 10");
    assert!(desk.text().contains("bob: line 10 "), "{}", desk.text());
    desk.key(KeyCode::Char('u'), CTRL);
    desk.write("line 90");
    assert!(desk.text().contains("|search: line 90"), "{}", desk.text());
    assert!(desk.text().contains("bob: line 90 "), "{}", desk.text());
    desk.key(KeyCode::Enter, NONE);
    assert!(desk.text().contains("(not found)"), "{}", desk.text());
}

/// Goal: no word names a key that a person has taken away. (The build before named Ctrl-C, Ctrl-D, Esc, `PgUp` and `PgDn`.)
#[test]
fn words_about_keys_name_those_that_were_chosen() {
    let mut desk = Desk::new(80, 24);
    let mut bindings = Bindings::default();
    for (name, key) in [
        ("interrupt", "F5"),
        ("quit", "F6"),
        ("close", "F7"),
        ("page_up", "F8"),
        ("page_down", "none"),
        ("unfold", "Alt-3"),
    ] {
        bindings.choose(name, &[key.to_owned()]).unwrap();
    }
    bindings.check().unwrap();
    desk.screen.set_keys(Keys::with(&bindings));
    desk.key(KeyCode::F(5), NONE);
    assert!(desk.text().contains("F5 again, F6 or /quit leaves"), "{}", desk.text());
    desk.key(KeyCode::F(1), NONE);
    assert!(desk.text().contains("Keys: F7 closes, F8 scrolls"), "{}", desk.text());
    assert!(desk.text().contains("Alt-1…2, Alt-4…9"), "{}", desk.text());
}

/// Goal: a popup has its border, whatever stands behind it. (The build before left the first half of a wide character
/// there, which hid it.)
#[test]
fn wide_characters_do_not_hide_a_border() {
    for shift in ["", "a"] {
        let mut desk = Desk::new(170, 24);
        for number in 0..30 {
            desk.screen.tell(None, line(number, "bob", &format!("{shift}{}", "漢字".repeat(100))));
        }
        desk.key(KeyCode::F(1), NONE);
        let (drawn, text) = (desk.drawn(), desk.text());
        for y in 1..23 {
            for x in [52, 117] {
                assert_eq!(drawn[(x, y)].symbol(), "│", "{x} {y}: {text}");
            }
        }
    }
}
