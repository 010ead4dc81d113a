//! The full screen without its server, with commands and files, and how it gives the terminal back.

use chat_tests::{Rig, Scene, Signal, Terminal, types, until};

use super::commands::server_for_alice;

const WIDE: (u16, u16) = (120, 40);

/// Whether a process is there. One that has ended and was not waited for is none.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// Goal: a known account opens its home without a server: what was said is there, what is typed is kept and goes out
/// when the server is back, by itself. (The build before ended with an error.)
#[test]
fn a_home_opens_without_its_server_and_what_is_typed_goes_out_later() {
    let rig = Rig::new();
    let mut server = rig.server();
    let alice = rig.client("alice", server.url());
    let mut before = alice.chat();
    types(&mut before, "/create plans", "you are in #plans");
    types(&mut before, "of yesterday", "stored for #plans");
    types(&mut before, "/room lobby", "what you type goes to #lobby");
    types(&mut before, "said before", "stored for #lobby");
    before.finish().assert_code(0);
    server.kill_hard();
    let mut chat = alice.at_full_screen(WIDE, "");
    chat.wait_until_seen("alice: said before ✓");
    chat.wait_until_seen("offline");
    chat.wait_until_seen("#plans");
    chat.type_line("typed without a server");
    chat.wait_until_seen("alice: typed without a server …");
    chat.wait_until_seen("1 unanswered");
    chat.wait_until_seen("again in");
    server.restart(&rig, &[]);
    chat.wait_until_seen("alice: typed without a server ✓");
    chat.wait_until_gone("offline, ");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: who starts a second chat of the same home is told so, although the home was opened before the server was
/// asked.
#[test]
fn a_second_chat_of_one_home_is_told_why_it_is_none() {
    let scene = Scene::empty();
    let first = scene.at_full_screen("alice", WIDE);
    let mut second = scene.client("alice").at_full_screen(WIDE, "; echo code $?; true");
    second.wait_for("alice chats already with the keys in");
    second.wait_for("code 5");
    second.wait();
    drop(first);
}

/// Goal: output of a command stands where it was asked for, folded when it is long, with the status at its end.
#[test]
fn long_output_is_folded_and_the_status_is_told() {
    let rig = Rig::new();
    let (server, alice) = server_for_alice(&rig, r#"[["seq", "30"]]"#, "");
    let mut chat = alice.at_full_screen(WIDE, "");
    chat.wait_until_seen("connected to");
    chat.type_line("/run server -- seq 30");
    chat.wait_until_seen("alice: runs seq 30");
    chat.wait_until_seen("│ 20");
    chat.wait_until_seen("… 10 more rows, Alt-O unfolds");
    chat.wait_until_seen("✓ server: done, exit status 0");
    chat.type_keys(b"\x1bo");
    chat.wait_until_seen("│ 25");
    chat.type_line("/run server -- seq 31");
    chat.wait_until_seen("NOACK E_");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    drop(server);
}

/// Goal: an offer is seen wherever one looks, and how much of the file is here stands where it was asked for.
#[test]
fn a_file_is_offered_and_fetched() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let mut chat = scene.at_full_screen("alice", WIDE);
    let plan = scene.rig.write("plan.txt", &"plan\n".repeat(1_000));
    bob.type_line(&format!("/send {} alice", plan.display()));
    chat.wait_until_seen("bob offers you plan.txt (5.0 kB): /accept 1 or /decline 1");
    chat.type_line("/accept 1");
    chat.wait_until_seen("⇣ 1 plan.txt from bob (5.0 kB)");
    chat.wait_until_seen("100%  5.0 kB of 5.0 kB");
    chat.wait_until_seen("✓ 1 plan.txt from bob is here, checked");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: whoever ends the chat finds the terminal as it was. Method: the shell after it says how the terminal is set.
#[test]
fn a_signal_gives_the_terminal_back() {
    let scene = Scene::empty();
    for signal in [Signal::TERM, Signal::QUIT] {
        let after = "; echo code $?; stty -a; true";
        let mut chat = scene.client("alice").at_full_screen(WIDE, after);
        chat.wait_until_seen("connected to");
        chat.signal("chat-client", signal);
        chat.wait_for("\u{1b}[?1049l");
        chat.wait_for("code 130");
        chat.wait_for(" icanon");
        chat.wait_for(" echo ");
        assert_eq!(chat.wait(), Some(0));
        for mode in ["?1000l", "?2004l", "?25h"] {
            assert!(chat.text().contains(&format!("\u{1b}[{mode}")), "{mode}");
        }
    }
    let left = |line: &str| line.contains("[alice] just left the chat");
    scene.server.program().stdout.wait_for_count(2, left);
}

/// Goal: a client whose terminal is gone ends, also one that was started so as to hear no hangup. (A program that reads
/// keys can be left behind, busy for ever.)
#[test]
fn no_client_is_left_behind_when_its_terminal_is_gone() {
    let scene = Scene::empty();
    let chat = scene.at_full_screen("alice", WIDE);
    let pid = chat.pid_of("chat-client").as_raw_nonzero().get();
    drop(chat);
    until("the client is gone", || !runs(pid));
    let deaf = scene.client("alice").through(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let chat = Terminal::start_full(&deaf, WIDE, "");
    chat.wait_until_seen("connected to");
    let pid = chat.pid_of("chat-client").as_raw_nonzero().get();
    drop(chat);
    until("the client is gone", || !runs(pid));
}

/// Goal: Ctrl-Z gives the shell its terminal as it was, and `fg` the screen back with what has come meanwhile; what was
/// being typed is still there. So it is where somebody else puts the chat to sleep.
#[test]
fn ctrl_z_and_fg_give_the_terminal_to_and_fro() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (shell, chat) = scene.client("alice").shell();
    let mut shell = Terminal::start_full(&shell, WIDE, "");
    shell.wait_until_seen("shell> ");
    shell.type_line(&chat);
    shell.wait_until_seen("connected to");
    for round in 1..=2 {
        shell.type_keys(format!("begun {round}").as_bytes());
        shell.wait_until_seen(&format!("> begun {round}"));
        if round == 1 {
            shell.type_keys(b"\x1a");
        } else {
            shell.signal("chat-client", Signal::TSTP);
        }
        // By what comes and not by what is seen: with the shell's screen its words of the first time come back, while the
        // chat is still reading keys.
        shell.wait_for("Stopped");
        shell.wait_for("shell> ");
        let before = shell.text().len();
        shell.type_line("stty -a; echo settings-$((1 + 1))");
        shell.wait_for("settings-2");
        shell.wait_for("shell> ");
        let settings = shell.text().split_off(before);
        for set in ["icanon", "echo", "isig", "iexten", "icrnl"] {
            assert!(settings.split_whitespace().any(|word| word == set), "{set}: {settings}");
        }
        let said = format!("meanwhile, {round}");
        bob.type_line(&said);
        bob.stdout.wait_for_count(round, |line| line.contains("stored for #lobby"));
        shell.type_line("fg");
        shell.wait_until_seen(&format!("bob: {said}"));
        shell.wait_until_seen(&format!("> begun {round}"));
        shell.type_line(", and ended");
        bob.stdout.wait_for_part(&format!("alice: begun {round}, and ended"));
    }
    shell.type_line("/quit");
    shell.wait_for("shell> ");
}

/// Goal: who is new sees what there is to know, and leaving says what has no answer yet.
#[test]
fn a_newcomer_is_welcomed_and_who_leaves_is_told_what_is_open() {
    let rig = Rig::new();
    let mut server = rig.server();
    let mut chat = rig.client("alice", server.url()).at_full_screen(WIDE, "");
    chat.wait_until_seen("Welcome, alice.");
    chat.wait_until_seen("F1 lists the keys");
    chat.wait_until_seen("connected to");
    server.kill_hard();
    chat.wait_until_seen("offline");
    chat.type_line("kept");
    chat.wait_until_seen("alice: kept …");
    chat.type_keys(b"\x03");
    chat.wait_until_seen("Ctrl-C again");
    chat.type_keys(b"\x03");
    chat.wait_for("what has no answer yet is sent at the next start");
    assert_eq!(chat.wait(), Some(0));
}
