//! Small things that people meet, each as they meet it: a key typed alone, an output that closes, text of
//! every script, and whom a line went to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use chat_tests::{PASSWORD, Scene};

use crate::suite::commands_end::Machines;

#[test]
fn a_question_mark_alone_shows_help_at_a_terminal() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_terminal("alice");
    chat.types("?", "/help");
    // Behind a space it is a text, as everything else. (The build before took that for help, too.)
    chat.type_line(" ?");
    bob.stdout.wait_for_part("alice:  ?");
    chat.type_line("hello");
    bob.stdout.wait_for_part("alice: hello");
    assert!(!bob.stdout.text().contains("alice: ?"), "{}", bob.stdout.text());
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: whoever reads only the first line of a pipe mode's output has everything sent all the same, and the exit code
/// says that not all was shown.
#[test]
fn a_reader_that_goes_away_keeps_no_line_from_being_sent() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let mut command = scene.client("alice").plain(&[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut pipe = command.spawn().expect("started");
    let mut lines = pipe.stdin.take().expect("a pipe");
    let mut first = String::new();
    let mut output = BufReader::new(pipe.stdout.take().expect("a pipe"));
    output.read_line(&mut first).expect("a line");
    drop(output);
    for number in 0..50 {
        writeln!(lines, "number {number}.").expect("taken");
    }
    drop(lines);
    let ended = pipe.wait_with_output().expect("ended");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    bob.stdout.wait_for_part("number 49.");
    bob.stdout.wait_for_count(50, |line| line.contains("number "));
}

/// Goal: times of an output that is read later have their day and zone; a proof has them always.
#[test]
fn an_output_that_is_no_terminal_has_dates_and_a_proof_always_has() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice").with_env([("TZ", "UTC")]);
    let sent = alice.run(&["send", "bob", "hello", "--json"]).expect_code(0);
    bob.stdout.wait_for_part("alice → you: hello");
    bob.terminate();
    bob.wait().assert_code(130);
    let bob = scene.client("bob").with_env([("TZ", "UTC")]);
    let dated = |text: &str| {
        let day = |word: &str| word.len() == 10 && word.starts_with("20") && word.contains('-');
        text.split_whitespace().any(day) && text.contains("+00:00")
    };
    let heard = bob.run_known(&["history", "alice"]).expect_code(0).stdout;
    assert!(dated(&heard), "{heard}");
    let id = sent.events_named("ack").remove(0)["id"].as_str().expect("an id").to_owned();
    let mut proof = bob.at_terminal(&["proof", &id]);
    proof.answer("Password", PASSWORD);
    assert_eq!(proof.wait(), Some(0));
    assert!(dated(&proof.text()), "{}", proof.text());
}

/// Goal: a script knows to whom each of its lines went, by its record and by the name in it: also one that looks like a sum and
/// is for a user of that name.
#[test]
fn a_pipe_says_for_whom_each_line_is() {
    let (scene, [two, bob]) = Scene::with(["2", "bob"]);
    let alice = scene.client("alice");
    let lines = ["2*3", "bob*hi", "to all here", "ALL*to everybody"];
    let said = alice.pipe(&lines, &[]).expect_code(0).stdout;
    for whom in ["2", "bob", "#lobby", "everybody (ALL)"] {
        assert!(said.contains(&format!("✓ stored for {whom} [")), "{whom}: {said}");
    }
    two.stdout.wait_for_part("alice → you: 3");
    let acks = alice.pipe(&lines, &["--json"]).expect_code(0).events_named("ack");
    let stored: Vec<_> = acks.iter().filter(|ack| ack["stage"] == "stored").collect();
    let whom =
        |field: &str| stored.iter().filter_map(|ack| ack[field].as_str()).collect::<Vec<_>>();
    assert_eq!((whom("to"), whom("room")), (vec!["2", "bob"], vec!["lobby"]));
    assert_eq!(whom("conversation"), ["dm", "dm", "room", "all"]);
    drop(bob);
}

/// Goal: a command that computes longer than its rule allows is ended as that, with the exit code of a time limit.
#[test]
fn a_command_that_uses_up_its_cpu_time_is_told_so() {
    let machines = Machines::new(
        "[[\"sh\", \"-c\", \"*\"]]",
        "shell = true\ntime_limit_s = 60\ncpu_limit_s = 1",
    );
    let _agent = machines.agent();
    let busy = ["run", "web1", "--", "sh", "-c", "while :; do :; done"];
    let ended = machines.alice.run(&busy).expect_code(124);
    assert!(ended.stderr.contains("E_TIMEOUT"), "{ended:?}");
    assert!(ended.stderr.contains("CPU time"), "{ended:?}");
}

/// Goal: words of any script come through as they are, what acts on a screen or cannot be seen becomes visible, and a search
/// finds words in whatever form they are typed.
#[test]
fn words_of_any_script_are_shown_and_found() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let england = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
    let persian = "می\u{200c}خواهم";
    let plain = format!("ΟΔΟΣΑΣ cafe\u{301} Straße ＡＢＣ {persian} {england}");
    let alice = scene.client("alice");
    alice.run(&["send", "bob", &plain]).assert_code(0);
    bob.stdout.wait_for_part(&format!("alice → you: {plain}"));
    alice.run(&["send", "bob", "a\u{17b4}b\u{180b}c\u{2800}d\u{e0080}e"]).assert_code(0);
    let shown = bob.stdout.wait_for_part("alice → you: a");
    for hidden in ['\u{17b4}', '\u{180b}', '\u{2800}', '\u{e0080}'] {
        assert!(!shown.contains(hidden), "{hidden:?} in {shown:?}");
    }
    drop(bob);
    for word in ["οδος", "CAF\u{c9}", "STRASSE", "abc"] {
        let found = scene.client("bob").run_known(&["search", word, "--json"]).expect_code(0);
        assert!(found.events().iter().any(|said| said["text"] == plain), "{word}: {found:?}");
    }
}

/// Goal: who wants no colours gets none, at a terminal too.
#[test]
fn no_colours_where_none_are_wanted() {
    let scene = Scene::empty();
    for (variable, has_colours) in [("CHAT_TESTS_NONE", true), ("NO_COLOR", false)] {
        let alice = scene.client("alice").with_env([(variable, "1")]);
        let mut sent = alice.at_terminal_before(&["-v", "send", "#lobby", "hello"], "");
        assert_eq!(sent.wait(), Some(0));
        let text = sent.text();
        assert!(text.contains("session.open"), "{text}");
        assert_eq!(text.contains("\u{1b}["), has_colours, "{variable}: {text:?}");
    }
}
