//! The full screen at a real terminal: what a person presses, and what they see then.

use chat_tests::{Scene, Terminal, types};

/// Columns and rows of most scenarios: list, log and members have room.
const WIDE: (u16, u16) = (120, 30);

/// Writes so many lines and waits until all are stored.
fn writes(person: &mut chat_tests::Program, word: &str, count: usize) {
    for number in 0..count {
        person.type_line(&format!("{word} {number}"));
    }
    person.stdout.wait_for_count(count, |line| line.contains("stored for #lobby"));
}

fn ends(mut chat: Terminal) {
    // Whatever is typed goes first.
    chat.type_keys(b"x\x03");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0), "{}", chat.text());
}

/// Goal: whoever starts the chat at a terminal that can show it has the full screen; flags and the environment choose
/// something else, and what cannot be shown is not tried.
#[test]
fn a_capable_terminal_gets_the_full_screen_and_others_what_they_can_show() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let file = scene.rig.write("config.toml", "ui = \"line\"\n").display().to_string();
    let rows: [&[&str]; 2] = [&[], &["--tui", "--config", &file]];
    for arguments in rows {
        let full = alice.at_full_screen_with(arguments, WIDE, "");
        full.wait_until_seen("connected to");
        full.wait_until_seen("F1 lists keys");
        ends(full);
    }
    for (client, arguments) in [
        (scene.client("alice"), &["--line"][..]),
        (scene.client("alice").with_env([("CHAT_UI", "line")]), &[]),
        (scene.client("alice").with_env([("TERM", "dumb")]), &[]),
        (scene.client("alice"), &["--config", &file]),
    ] {
        let mut lines = client.at_full_screen_with(arguments, WIDE, "");
        lines.wait_for("alice #lobby>");
        assert!(!lines.text().contains("\u{1b}[?1049h"), "{}", lines.text());
        lines.type_line("/quit");
        assert_eq!(lines.wait(), Some(0));
    }
    for flag in ["--tui", "--line"] {
        let refused = alice.run(&[flag]).expect_code(2);
        assert!(refused.stderr.contains(&format!("{flag} needs a terminal")), "{refused:?}");
    }
    let piped = alice.pipe(&["hello\tyou", "/version"], &["--plain"]).expect_code(0);
    let records: Vec<Vec<&str>> =
        piped.stdout.lines().map(|line| line.split('\t').collect()).collect();
    assert!(records.iter().all(|fields| fields.len() == 6), "{piped:?}");
    let stored = |fields: &Vec<&str>| fields[0] == "ack" && fields[5].contains("stage=stored");
    assert!(records.iter().any(stored), "{piped:?}");
}

/// Goal: a message is on its way, stored, and has arrived, by a mark at its line; what others say elsewhere is counted
/// in the list and named in the status line, and a key goes there.
#[test]
fn what_is_said_has_its_mark_and_what_is_new_elsewhere_is_counted() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    chat.type_line("hello, bob");
    bob.stdout.wait_for_part("alice: hello, bob");
    chat.wait_until_seen("alice: hello, bob ✓✓");
    types(&mut bob, "/create dev", "you are in #dev");
    chat.type_line("/join dev");
    chat.wait_until_seen("you are in #dev");
    chat.wait_until_seen("2 of 2 online");
    chat.type_keys(b"\x1b3");
    chat.wait_until_seen("▸3 #lobby");
    bob.type_line("one of dev");
    bob.type_line("alice: two of dev");
    chat.wait_until_seen("[Act: 2:#dev(1,2)]");
    chat.wait_until_seen("!1 2");
    bob.type_line("alice*psst");
    chat.wait_until_seen("bob(1,1)");
    // What was said to one alone comes with the mentions, in the order of the list.
    chat.type_keys(b"\x1ba");
    chat.wait_until_seen("bob: psst");
    chat.type_keys(b"\x1ba");
    chat.wait_until_seen("▸2 #dev");
    chat.wait_until_seen("── new");
    chat.wait_until_seen("bob: alice: two of dev");
    chat.wait_until_gone("[Act:");
    chat.type_line("shh");
    bob.stdout.wait_for_part("shh");
    ends(chat);
}

/// Goal: the keys that people know edit a line. Method: each is typed as the bytes that a terminal sends, and the line
/// is looked at.
#[test]
fn a_line_is_edited_with_the_keys_that_people_know() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    let edits: [(&[u8], &str); 12] = [
        (b"one two three", "> one two three"),
        (b"\x17", "> one two"),
        (b"\x01x\x05y", "> xone two y"),
        (b"\x1b[1;5D\x1b[1;5Dz", "> xone ztwo y"),
        (b"\x1f", "> xone two y"),
        (b"\x05\x1b\x7f", "> xone two"),
        (b"\x01\x0b", "> a message, or…"),
        (b"\x19\x19", "> xone two xone two"),
        (b"\x15", "> a message, or…"),
        (b"first\x1b\rsecond", "  second"),
        (b"\x03", "> a message, or…"),
        (b"\x1b[A", "  second"),
    ];
    for (keys, expected) in edits {
        chat.type_keys(keys);
        // The whole row: the one before may begin like it.
        chat.wait_for_picture(expected, |picture| {
            let is_it = |row: &str| match expected.strip_suffix('…') {
                Some(start) => row.starts_with(start),
                None => row == expected,
            };
            picture.lines().any(|row| is_it(row.trim_end()))
        });
    }
    chat.type_line("");
    bob.stdout.wait_for_part("first");
    bob.stdout.wait_for_part("second");
    chat.type_keys(b"\x1b[200~three\rlines of\rpaste\x1b[201~");
    chat.wait_until_seen("Paste 3 lines?");
    chat.type_keys(b"n");
    chat.wait_until_gone("Paste 3 lines?");
    chat.type_keys(b"\x1b[200~two\rlines\x1b[201~");
    chat.wait_until_seen("Paste 2 lines?");
    chat.type_keys(b"y");
    chat.wait_until_seen("> two");
    ends(chat);
}

#[test]
fn a_message_is_written_in_the_editor() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let editor = scene.rig.write("edit.sh", "printf 'by the editor' >> \"$1\"\n");
    let editor = format!("sh {}", editor.display());
    let alice = scene.client("alice").with_env([("VISUAL", editor.as_str())]);
    let mut chat = alice.at_full_screen(WIDE, "");
    chat.wait_until_seen("connected to");
    chat.type_keys(b"begun ");
    chat.wait_until_seen("> begun");
    chat.type_keys(b"\x0f");
    chat.wait_until_seen("> begun by the editor");
    chat.type_line("");
    bob.stdout.wait_for_part("alice: begun by the editor");
    ends(chat);
}

/// Goal: older lines are scrolled to and found, also those that only the home has, and what comes meanwhile moves
/// nothing.
#[test]
fn the_past_is_scrolled_to_and_found_in_the_home() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    writes(&mut bob, "alice: line", 450);
    chat.wait_until_seen("bob: alice: line 449");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    let mut chat = scene.at_full_screen("alice", WIDE);
    chat.wait_until_seen("bob: alice: line 449");
    let below = |picture: &str| {
        let rest = picture.split("-MORE(").nth(1)?;
        rest.split(')').next().map(str::to_owned)
    };
    chat.type_keys(b"\x1b[5~");
    chat.wait_until_seen("-MORE(");
    let first = below(&chat.picture());
    chat.type_keys(b"\x1b[5~");
    chat.wait_for_picture("another screen up", |picture| {
        below(picture).is_some_and(|count| Some(count) != first)
    });
    let seen = |chat: &Terminal| chat.picture().lines().nth(5).map(str::to_owned);
    let (before, count) = (seen(&chat), below(&chat.picture()));
    bob.type_line("something new");
    chat.wait_for_picture("more below", |picture| below(picture) != count);
    assert_eq!(seen(&chat), before, "nothing moves");
    chat.type_keys(b"\x1b[F");
    chat.wait_until_seen("something new");
    chat.wait_until_gone("-MORE(");
    chat.type_keys(b"\x13line 7 ");
    chat.type_keys(b"\x7f");
    chat.wait_until_seen("search: line 7");
    for expected in ["line 79", "line 78"] {
        chat.wait_for_picture(expected, |picture| picture.contains(expected));
        chat.type_keys(b"\x1b[A");
    }
    chat.type_keys(b"\x1b");
    // Not that the search says something else meanwhile: two keys that begin so, read at once, are another one.
    chat.wait_until_seen("> a message, or /command");
    chat.type_keys(b"\x1b[F\x13no such words");
    chat.wait_until_seen("search (not found): no such words");
    chat.type_keys(b"\x1b");
    chat.wait_until_seen("> a message, or /command");
    // The search itself shows what is typed, and the open conversation does not have it: this is the answer.
    bob.type_line("alice*a needle apart");
    chat.wait_until_seen("bob(1,1)");
    chat.type_keys(b"\x13needle\t");
    chat.wait_until_seen("bob → you: a needle apart");
    chat.wait_until_seen("messages fits");
    chat.wait_until_seen("▸2 #lobby");
    ends(chat);
}

/// Goal: conversations are found by some letters, by number and by the mouse; help lists the keys; words are completed.
#[test]
fn conversations_are_found_and_words_completed() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    for room in ["plans", "people"] {
        chat.type_line(&format!("/create {room}"));
        chat.wait_until_seen(&format!("you are in #{room}"));
    }
    chat.type_keys(b"\x0bpln");
    chat.wait_until_seen("▸ #plans");
    chat.type_keys(b"\r");
    chat.wait_until_seen("▸4 #plans");
    // A click into the fourth row of the list, and the wheel above the log.
    chat.type_keys(b"\x1b[<0;5;4M\x1b[<0;5;4m");
    chat.wait_until_seen("▸3 #people");
    chat.type_keys(b"\x1b<");
    chat.wait_until_seen("▸4 #plans");
    chat.type_keys(b"\x10");
    chat.wait_until_seen("▸3 #people");
    chat.type_keys(b"?");
    chat.wait_until_seen("Keys: Esc closes");
    chat.wait_until_seen("Alt-1…9");
    chat.type_keys(b"\x1b");
    chat.wait_until_gone("Keys: Esc closes");
    chat.type_keys(b"\x1b2");
    chat.wait_until_seen("▸2 #lobby");
    types(&mut bob, "hi there", "stored for #lobby");
    chat.wait_until_seen("bob: hi there");
    for (keys, expected) in [
        (&b"bo\t"[..], "> bob: "),
        (b"\x15look at #pla\t", "> look at #plans"),
        (b"\x15/whoa\t", "> /whoami"),
        (b"\x15/join peo\t", "> /join people"),
    ] {
        chat.type_keys(keys);
        chat.wait_until_seen(expected);
    }
    chat.type_keys(b"\x15");
    ends(chat);
}

/// Goal: at every size something is shown that can be used, and wide characters stand where they belong.
#[test]
fn a_terminal_of_any_size_is_used() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    types(&mut bob, "漢字 and 👩\u{200d}💻 in a line", "stored for #lobby");
    chat.wait_until_seen("漢字 and");
    for size in [(300, 100), (79, 24), (40, 10), (80, 24)] {
        chat.resize("chat-client", size);
        chat.wait_for_picture("the status line at its place", |picture| {
            let rows: Vec<&str> = picture.lines().collect();
            rows.len() == usize::from(size.1) && rows[usize::from(size.1) - 2].contains("#lobby")
        });
        chat.wait_until_seen("漢字 and");
    }
    chat.resize("chat-client", (39, 9));
    chat.wait_until_seen("too small: 39x9, needs 40x10");
    chat.resize("chat-client", WIDE);
    chat.wait_until_seen("漢字 and");
    // It is drawn anew by a terminal that answers no question. (The build before ended with an error.)
    let before = chat.text().len();
    chat.type_keys(b"\x0c");
    chat.type_keys(b"after");
    chat.wait_until_seen("> after");
    assert!(chat.text().split_off(before).contains('漢'), "everything is drawn");
    ends(chat);
}

/// Goal: nothing that others write acts on the terminal: what a person sees is the same that was sent, made visible.
#[test]
fn what_others_write_does_not_act_on_the_terminal() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let chat = scene.at_full_screen("alice", WIDE);
    types(&mut bob, "a\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31mb\u{202e}c", "stored for #lobby");
    chat.wait_until_seen(r"bob: a\x1b[2J\x1b]0;title\x07");
    let text = chat.text();
    for evil in ["\u{1b}]0;title", "\u{9b}31m", "\u{202e}", "a\u{1b}[2J"] {
        assert!(!text.contains(evil), "{evil:?}");
    }
    ends(chat);
}

/// Goal: `NO_COLOR` and a terminal without UTF-8 are heeded.
#[test]
fn colours_and_signs_are_those_that_the_terminal_has() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let plain = [("NO_COLOR", "1"), ("LC_ALL", "C")];
    let mut chat = scene.client("alice").with_env(plain).at_full_screen(WIDE, "");
    chat.wait_until_seen("connected to");
    types(&mut bob, "hi", "stored for #lobby");
    chat.wait_until_seen("bob: hi");
    chat.type_line("hello");
    chat.wait_until_seen("alice: hello vv");
    let text = chat.text();
    // Colours of the foreground are 30 to 37, 38 and 90 to 97; attributes are below 10.
    for colour in ["\u{1b}[31m", "\u{1b}[36m", "\u{1b}[38;5;", "\u{1b}[38;2;", "\u{1b}[32m"] {
        assert!(!text.contains(colour), "{colour:?}");
    }
    assert!(chat.picture().is_ascii(), "{}", chat.picture());
    ends(chat);
}
