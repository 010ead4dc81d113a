//! Notices outside of the chat: what the terminal and the desktop are told of what others do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chat_tests::{Client, LIMIT, Program, Scene, Terminal, types};

const WIDE: (u16, u16) = (120, 30);

/// Notices follow each other no faster than one a second: what was not told then is said again.
const AGAIN_AFTER: Duration = Duration::from_millis(1_200);

/// What is waited for is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// Somebody whose desktop is a script that notes what it is told, a line for each notice, its words parted by `|`.
fn desktop(scene: &Scene, name: &str) -> (Client, PathBuf) {
    let told = scene.rig.path("told");
    let script = format!("#!/bin/sh\n(IFS='|'; printf '%s\\n' \"$*\") >> '{}'\n", told.display());
    fs::create_dir_all(scene.rig.path("bin")).unwrap();
    let program = scene.rig.write("bin/notify-send", &script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = scene.rig.path("bin").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    (scene.client(name).with_env([("PATH", path)]), told)
}

fn read(told: &Path) -> String {
    fs::read_to_string(told).unwrap_or_default()
}

/// Has somebody type a line until the desktop was told this.
#[track_caller]
fn types_until_told(bob: &mut Program, line: &str, told: &Path, notice: &str) {
    let begun = Instant::now();
    while !read(told).contains(notice) {
        assert!(begun.elapsed() < LIMIT, "{notice:?}: {}", read(told));
        bob.type_line(line);
        let again = Instant::now() + AGAIN_AFTER;
        while Instant::now() < again && !read(told).contains(notice) {
            std::thread::sleep(LOOK);
        }
    }
}

/// Waits until a text has this part.
#[track_caller]
fn comes_to(part: &str, text: impl Fn() -> String) {
    let begun = Instant::now();
    while !text().contains(part) {
        assert!(begun.elapsed() < LIMIT, "{part:?}: {}", text());
        std::thread::sleep(LOOK);
    }
}

/// Goal: what is for this user is told on each way by which a notice can go out, with who and what, and nothing in it
/// acts on the terminal. Method: a desktop that notes what it hears, and the bytes that the terminal gets.
fn assert_is_told(scene: &Scene, bob: &mut Program, (mut chat, told): (Terminal, &Path)) {
    types_until_told(
        bob,
        "alice*are;you \u{1b}]0;there",
        told,
        r"--app-name=chat|--|bob|are;you \x1b]0;there",
    );
    for bytes in [
        "\u{7}",
        "\u{1b}]9;bob: are,you \\x1b]0,there\u{1b}\\",
        "\u{1b}]777;notify;bob;are,you \\x1b]0,there\u{1b}\\",
        "\u{1b}]99;;bob: are,you \\x1b]0,there\u{1b}\\",
        "\u{1b}]2;(1) chat: alice\u{1b}\\",
    ] {
        comes_to(bytes, || chat.text());
    }
    types_until_told(bob, "look at it, alice", told, "|bob in #lobby|look at it, alice");
    let plan = scene.rig.write("plan.txt", "a plan");
    types_until_told(
        bob,
        &format!("/send {} alice", plan.display()),
        told,
        "|bob offers a file|plan.txt",
    );
    chat.type_line("/subscribe bob");
    bob.stdout.wait_for_part("alice follows you");
    // What is said where both are is no copy for who follows.
    types(bob, "/create dev", "you are in #dev");
    types_until_told(bob, "to nobody in particular", told, "|to nobody in particular");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    assert!(chat.text().contains("\u{1b}]2;\u{1b}\\"), "the title is the terminal's again");
}

const ALL: &str = "[notify]\nhow = \"all\"\nfollowed = true\n";

#[test]
fn terminal_and_desktop_are_told_what_is_for_one_at_the_full_screen() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (alice, told) = desktop(&scene, "alice");
    let file = scene.rig.write("config.toml", ALL).display().to_string();
    let chat = alice.at_full_screen_with(&["--config", &file], WIDE, "");
    chat.wait_until_seen("connected to");
    assert_is_told(&scene, &mut bob, (chat, &told));
}

#[test]
fn terminal_and_desktop_are_told_what_is_for_one_at_a_prompt() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (alice, told) = desktop(&scene, "alice");
    let file = scene.rig.write("config.toml", ALL).display().to_string();
    let chat = alice.at_terminal_before(&["--config", &file], "");
    chat.wait_for("connected to");
    chat.wait_for("alice #lobby>");
    assert_is_told(&scene, &mut bob, (chat, &told));
}

/// Goal: where a notice is private it has no words of anybody, and in quiet hours there is none.
#[test]
fn a_private_notice_has_no_words_and_quiet_hours_have_no_notice() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (alice, told) = desktop(&scene, "alice");
    let hour = Command::new("date").arg("+%H").output().unwrap().stdout;
    let hour: u32 = String::from_utf8(hour).unwrap().trim().parse().unwrap();
    let (from, to) = ((hour + 23) % 24, (hour + 2) % 24);
    let text = format!(
        "[notify]\nhow = \"desktop\"\nprivate = true\nquiet = \"{from:02}:00-{to:02}:00\"\n"
    );
    let file = scene.rig.write("config.toml", &text).display().to_string();
    let mut chat = alice.at_full_screen_with(&["--config", &file], WIDE, "");
    chat.wait_until_seen("connected to");
    types(&mut bob, "alice*in the night", "delivered to alice");
    types(&mut bob, "alice: and in the lobby", "stored for #lobby");
    chat.wait_until_seen("bob: alice: and in the lobby");
    chat.type_line("/set notify.quiet off");
    chat.wait_until_seen("notify.quiet = off");
    assert_eq!(read(&told), "", "it was quiet");
    types_until_told(&mut bob, "alice*in the day", &told, "--app-name=chat|--|bob|\n");
    assert!(!read(&told).contains("in the day"));
    assert!(!chat.text().contains("\u{1b}]777;"), "the desktop alone is told");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: whoever sits at a machine is told what it was asked to run.
#[test]
fn a_desktop_is_told_of_a_command_for_its_machine() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    types(&mut alice, "/fingerprint", "in a policy: ");
    let line = alice.stdout.wait_for_part("in a policy: ");
    let key = line.rsplit(' ').next().unwrap();
    let rule = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{key}\" }}]\nargv = [[\"echo\", \"*\"]]\n"
    );
    let policy = scene.rig.write("policy.toml", &rule).display().to_string();
    let file = scene.rig.write("config.toml", "notify.how = \"all\"\n").display().to_string();
    let (web1, told) = desktop(&scene, "web1");
    let agent = web1.start(&["agent", "--policy", &policy, "--config", &file]);
    agent.stderr.wait_for_part("accepting commands");
    types(&mut alice, "/run web1 -- echo hi", "web1 runs it");
    comes_to("--app-name=chat|--|alice asks to run a command|echo hi", || read(&told));
    assert!(!agent.stdout.text().contains('\u{7}'), "what is no terminal is not rung");
}
