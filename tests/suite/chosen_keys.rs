//! Keys and colours that a person has chosen in the file of configuration, and what is recalled of what was typed.

use chat_tests::{Scene, types};

const WIDE: (u16, u16) = (120, 40);

const CHOSEN: &str = r##"
[bindings]
help = "F2"
next_active = ["Alt-J", "F5"]
line_start = "Ctrl-G"
editor = "none"

[colours]
mention = "208 underline"
names = ["#010203"]
"##;

/// Goal: the mouse is the terminal's where a person wants that, by a flag, by the file, and while the chat runs.
#[test]
fn the_mouse_is_left_to_the_terminal_on_request() {
    const TAKEN: &str = "\u{1b}[?1000h";
    const LEFT: &str = "\u{1b}[?1000l";
    let scene = Scene::empty();
    let file = scene.rig.write("config.toml", "mouse = false\n").display().to_string();
    let alice = scene.client("alice");
    let rows: [(&[&str], bool); 3] =
        [(&[], true), (&["--no-mouse"], false), (&["--config", &file], false)];
    for (arguments, is_taken) in rows {
        let mut chat = alice.at_full_screen_with(arguments, WIDE, "");
        chat.wait_until_seen("connected to");
        assert_eq!(chat.text().contains(TAKEN), is_taken, "{arguments:?}");
        if is_taken {
            chat.wait_for(TAKEN);
            chat.type_line("/set mouse off");
            chat.wait_for(LEFT);
        }
        chat.type_line("/set mouse on");
        chat.wait_until_seen("mouse = on");
        chat.wait_for(TAKEN);
        if arguments.contains(&"--config") {
            chat.type_line("/save");
            chat.wait_until_seen("the settings are kept in");
        }
        chat.type_line("/set mouse off");
        chat.wait_for(LEFT);
        chat.wait_until_seen("mouse = off");
        chat.type_line("/quit");
        assert_eq!(chat.wait(), Some(0));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mouse = true\n");
}

/// Goal: a chosen key does what it was chosen for, the one of before does nothing, and the list of keys says so.
#[test]
fn chosen_keys_and_colours_are_those_of_the_full_screen() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let file = scene.rig.write("config.toml", CHOSEN).display().to_string();
    let alice = scene.client("alice").with_env([("COLORTERM", "truecolor")]);
    let mut chat = alice.at_full_screen_with(&["--config", &file], WIDE, "");
    chat.wait_until_seen("connected to");
    chat.wait_until_seen("F2 lists keys");
    types(&mut bob, "alice*psst", "delivered to alice");
    chat.wait_until_seen("bob(1,1)");
    chat.type_keys(b"\x1ba");
    chat.type_keys(b"\x1bj");
    chat.wait_until_seen("bob: psst");
    chat.type_keys(b"bc\x07a");
    chat.wait_for_picture("> abc", |picture| picture.lines().any(|row| row.trim_end() == "> abc"));
    chat.type_keys(b"\x03\x1bOP");
    chat.wait_until_seen("> a message, or /command; F2");
    assert!(!chat.picture().contains("Keys: Esc closes"), "F1 does nothing any more");
    chat.type_keys(b"\x1bOQ");
    chat.wait_until_seen("Keys: Esc closes");
    chat.wait_until_seen("Alt-J, F5");
    for _ in 0..4 {
        chat.type_keys(b"\x1b[6~");
    }
    chat.wait_for_picture("the row of the help", |picture| {
        picture.lines().any(|row| row.contains("F2") && row.contains("these keys"))
    });
    assert!(!chat.picture().contains("$EDITOR"), "{}", chat.picture());
    chat.type_keys(b"\x1b");
    chat.wait_until_gone("Keys: Esc closes");
    types(&mut bob, "alice: look", "stored for #lobby");
    chat.wait_until_seen("#lobby(1,1)");
    chat.type_keys(b"\x1b[15~");
    chat.wait_until_seen("bob: alice: look");
    let text = chat.text();
    // The colour of the terminal's palette, and the one of the names.
    assert!(text.contains("38;5;208") && text.contains("38;2;1;2;3"), "{}", text.escape_debug());
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: keys that edit are chosen for the prompt, too.
#[test]
fn chosen_keys_edit_at_a_prompt() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let file = scene.rig.write("config.toml", CHOSEN).display().to_string();
    let mut chat = scene.client("alice").at_terminal_before(&["--config", &file], "");
    chat.wait_for("connected to");
    chat.wait_for("alice #lobby>");
    chat.type_keys(b"bc\x07a");
    chat.type_line("");
    bob.stdout.wait_for_part("#lobby alice: abc");
    // Where the table has it, it does nothing any more.
    chat.type_keys(b"bc\x01a");
    chat.type_line("");
    bob.stdout.wait_for_part("#lobby alice: bca");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: a slip is an error with its line and what to do; what holds is shown with its origin.
#[test]
fn chosen_keys_and_colours_are_checked_and_shown() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let run = |text: &str, words: &[&str]| {
        let file = scene.rig.write("config.toml", text).display().to_string();
        alice.run(&[&["--config", file.as_str()][..], words].concat())
    };
    for (text, part) in [
        (
            "[bindings]\nhelp = \"Ctlr-H\"",
            "config.toml:2: bindings.help: there is no key \"Ctlr-H\"; write Ctrl-",
        ),
        (
            "[bindings]\nhlep = \"F2\"",
            "config.toml:2: there is no key bindings.hlep, did you mean bindings.help?",
        ),
        (
            "[bindings]\nunfold = \"F5\"\n\nsearch = \"F5\"",
            "config.toml:4: bindings.search: F5 is the key of unfold",
        ),
        (
            "[bindings]\nunfold = \"Enter\"",
            "config.toml:2: bindings.unfold: send would have no key",
        ),
        (
            "[bindings]\nsend = \"Ctrl-Enter\"",
            "config.toml:2: bindings.send: most terminals send no key of its own for Ctrl-Enter",
        ),
        (
            "[bindings]\nclose = \"Alt-Q\"",
            "config.toml:2: bindings.close: close would have no key that every terminal sends",
        ),
        (
            "[colours]\nbad = \"pink\"",
            "config.toml:2: colours.bad: \"pink\" is no colour; write one of default, black",
        ),
        (
            "[profile.x.colours]\nbda = \"red\"",
            "config.toml:2: there is no key colours.bda, did you mean colours.bad?",
        ),
    ] {
        let refused = run(text, &["config", "show"]).expect_code(2);
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let shown = run(CHOSEN, &["config", "show", "--origin"]).expect_code(0).stdout;
    for (line, origin) in [
        ("bindings.help = F2", "config.toml:3)"),
        ("bindings.next_active = Alt-J, F5", "config.toml:4)"),
        ("bindings.editor = none", "config.toml:6)"),
        ("bindings.search = Ctrl-S", "(default)"),
        ("bindings.first_unread = Alt-U", "(default)"),
        ("colours.mention = 208 underline", "config.toml:9)"),
        ("colours.bad = ", "(default)"),
    ] {
        let has = |row: &str| row.starts_with(line) && row.ends_with(origin);
        assert!(shown.lines().any(has), "{line}: {shown}");
    }
}

/// Goal: what was typed is recalled in the conversation in which it was typed, at the next start too and whatever one
/// sits at; what may hold a password is not.
#[test]
fn what_was_typed_is_recalled_in_its_own_conversation() {
    let (scene, [_bob]) = Scene::with(["bob"]);
    let mut first = scene.at_full_screen("alice", WIDE);
    first.type_line("/ping");
    first.wait_until_seen("answers");
    first.type_line("/password hunter2");
    first.wait_until_seen("nothing is typed behind it");
    first.type_line("/query bob");
    first.wait_until_seen("▸3 bob");
    first.type_line("/lag");
    first.wait_until_seen("the last answer took");
    first.type_line("/quit");
    assert_eq!(first.wait(), Some(0));
    let mut second = scene.at_full_screen("alice", WIDE);
    second.type_keys(b"\x1b[A");
    second.wait_until_seen("> /query bob");
    second.type_keys(b"\x1b[A");
    second.wait_for_picture("> /ping", |picture| {
        picture.lines().any(|row| row.trim_end() == "> /ping")
    });
    second.type_keys(b"\x15");
    second.type_line("/query bob");
    second.wait_until_seen("▸3 bob");
    second.type_keys(b"\x1b[A\x1b[A");
    second.wait_until_seen("> /lag");
    second.type_keys(b"\x15");
    second.type_line("/quit");
    assert_eq!(second.wait(), Some(0));
    let mut third = scene.client("alice").at_terminal_before(&["--line"], "");
    third.wait_for("connected to");
    third.wait_for("alice #lobby>");
    third.type_keys(b"\x1b[A");
    third.wait_for("/query bob");
    third.type_keys(b"\x15");
    third.types("/query bob", "alice bob>");
    third.type_keys(b"\x1b[A");
    third.wait_for("/quit");
    third.type_keys(b"\x1b[A");
    third.wait_for("/lag");
    third.type_keys(b"\x15");
    third.type_line("/quit");
    assert_eq!(third.wait(), Some(0));
    for text in [second.text(), third.text()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}
