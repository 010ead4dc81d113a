//! The first start on a machine that knows nothing, configuration, and what the verbs for scripts add.

use std::process::Command;
use std::time::{Duration, Instant};

use chat_tests::{PASSWORD, Program, Rig, Scene, Terminal, binary};

/// A client on a machine that has never seen it: no home, no options, no variables.
fn nothing(rig: &Rig, words: &[&str]) -> Command {
    let mut command = Command::new(binary("chat-client"));
    command.args(words).current_dir(rig.path("")).env("HOME", rig.path("nobody"));
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAT_") {
            command.env_remove(name);
        }
    }
    command
}

/// Goal: from the first key to the first delivered message at most six answers and one minute; the next start asks for
/// the password alone.
#[test]
fn somebody_new_is_asked_five_things_and_then_talks() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let begun = Instant::now();
    let mut chat = Terminal::start(&nothing(&scene.rig, &[]));
    let mut answers = 0;
    let mut answer = |question: &str, words: &str| {
        chat.answer(question, words);
        answers += 1;
    };
    answer("Address of the server [ws://127.0.0.1:9000]: ", scene.url());
    answer("Your name: ", "newcomer");
    answer("[y/N]", "y");
    answer("assword", PASSWORD);
    answer("again", PASSWORD);
    chat.wait_for("The words of your key");
    chat.wait_for("/help");
    chat.wait_for("newcomer #lobby>");
    chat.type_line("hello, pier");
    answers += 1;
    bob.stdout.wait_for_part("#lobby newcomer: hello, pier");
    chat.wait_for("✓✓");
    assert!(answers <= 6, "{answers}");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
    let mut again = Terminal::start(&nothing(&scene.rig, &[]));
    again.answer("assword", PASSWORD);
    again.wait_for("newcomer #lobby>");
    again.type_line("/quit");
    assert_eq!(again.wait(), Some(0));
}

/// Goal: so it is on the full screen, which is what somebody new gets: at most six answers and one minute to the first
/// delivered message, and the words and what one types are there.
#[test]
fn somebody_new_at_the_full_screen_is_asked_five_things_and_then_talks() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let begun = Instant::now();
    let mut chat = Terminal::start_full(&nothing(&scene.rig, &[]), (120, 30), "");
    let answers = [
        ("Address of the server [ws://127.0.0.1:9000]: ", scene.url()),
        ("Your name: ", "newcomer"),
        ("[y/N]", "y"),
        ("assword", PASSWORD),
        ("again", PASSWORD),
    ];
    for (question, words) in answers {
        chat.answer(question, words);
    }
    chat.wait_until_seen("Welcome, newcomer.");
    chat.wait_until_seen("The words of your key");
    chat.wait_until_seen("/help the commands; /quit leaves");
    chat.type_line("hello, pier");
    bob.stdout.wait_for_part("#lobby newcomer: hello, pier");
    chat.wait_until_seen("newcomer: hello, pier ✓✓");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    // The sixth answer was the message.
    assert!(answers.len() < 6);
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}

/// Goal: after a first start that did not come to its end nobody's name and password go to another address than they
/// think. (The build before took the usual address without a word, because there was a home.) Method: the server ends
/// while the password is typed.
#[test]
fn a_first_start_that_did_not_come_to_its_end_is_one_again() {
    let mut scene = Scene::empty();
    let mut chat = Terminal::start(&nothing(&scene.rig, &[]));
    chat.answer("Address of the server [ws://127.0.0.1:9000]: ", scene.url());
    chat.answer("Your name: ", "newcomer");
    chat.answer("[y/N]", "y");
    chat.answer("assword", PASSWORD);
    chat.wait_for("again");
    scene.server.kill_hard();
    chat.type_line(PASSWORD);
    assert_ne!(chat.wait(), Some(0));
    scene.server.restart(&scene.rig, &[]);
    let mut again = Terminal::start(&nothing(&scene.rig, &[]));
    again.answer("Address of the server [", scene.url());
    again.answer("Your name: ", "newcomer");
    // The keys are there already.
    again.answer("assword", PASSWORD);
    again.answer("[y/N]", "y");
    again.wait_for("newcomer #lobby>");
    again.type_line("/quit");
    assert_eq!(again.wait(), Some(0));
}

fn run(rig: &Rig, words: &[&str]) -> chat_tests::Finished {
    Program::start(nothing(rig, words)).finish()
}

/// Goal: option, environment, profile, file, default: the first that says something holds, and it is said which.
#[test]
fn what_holds_is_shown_with_its_origin() {
    let rig = Rig::new();
    let file = rig.write(
        "config.toml",
        "user = \"alice\"\nserver = \"ws://127.0.0.1:1\"\ntheme = \"plain\"\n\n\
         [notify]\nquiet = \"22:00-07:00\"\n\n[profile.work]\nserver = \"ws://127.0.0.1:2\"\n",
    );
    let file = file.display().to_string();
    let shown = |words: &[&str], env: Option<(&str, &str)>| {
        let mut command = nothing(&rig, &["--config", &file]);
        command.args(words).args(["config", "show", "--origin"]).envs(env);
        Program::start(command).finish().expect_code(0).stdout
    };
    let plain = shown(&[], None);
    for line in [
        format!("user = alice  ({file}:1)"),
        format!("server = ws://127.0.0.1:1  ({file}:2)"),
        format!("theme = plain  ({file}:3)"),
        format!("notify.quiet = 22:00-07:00  ({file}:6)"),
        "presence = all  (default)".to_owned(),
    ] {
        assert!(plain.contains(&line), "{line}:\n{plain}");
    }
    let work = shown(&["-P", "work"], None);
    assert!(
        work.contains(&format!("server = ws://127.0.0.1:2  (profile work, {file}:9)")),
        "{work}"
    );
    let variable = shown(&["-P", "work"], Some(("CHAT_SERVER", "ws://127.0.0.1:3")));
    assert!(
        variable.contains("server = ws://127.0.0.1:3  (environment CHAT_SERVER)"),
        "{variable}"
    );
    let option =
        shown(&["--server", "ws://127.0.0.1:4"], Some(("CHAT_SERVER", "ws://127.0.0.1:3")));
    assert!(option.contains("server = ws://127.0.0.1:4  (option)"), "{option}");
}

/// Goal: a slip in the file is an error with file, line, key and the nearest right one, before anything is done.
#[test]
fn a_slip_in_the_file_is_an_error_with_its_line() {
    let rig = Rig::new();
    for (text, part) in [
        ("\nserwer = \"x\"", "config.toml:2: there is no key serwer, did you mean server?"),
        ("user = \"a b\"", "config.toml:1: user: "),
        ("theme = \"pink\"", "config.toml:1: theme: it is default, contrast, plain or ascii"),
        ("server = \"http://x\"", "config.toml:1: server: "),
        ("server = \"ws://chat.example.org\"", "config.toml:1: ws://chat.example.org"),
        ("password_file = \"nowhere\"", "config.toml:1: cannot use the password of nowhere"),
    ] {
        let file = rig.write("config.toml", text).display().to_string();
        let refused = run(&rig, &["--config", &file, "servers"]).expect_code(2);
        assert!(refused.stderr.contains(part), "{text}: {refused:?}");
    }
    let missing = run(&rig, &["--config", "nowhere.toml", "servers"]).expect_code(2);
    assert!(missing.stderr.contains("cannot read nowhere.toml"), "{missing:?}");
    let file = rig.write("config.toml", "").display().to_string();
    let profile = run(&rig, &["--config", &file, "-P", "work", "servers"]).expect_code(2);
    assert!(profile.stderr.contains("has no [profile.work]"), "{profile:?}");
}

/// Goal: what is set in a chat and saved holds at the next start.
#[test]
fn what_is_saved_holds_at_the_next_start() {
    let (scene, []) = Scene::with([]);
    let file = scene.rig.write("config.toml", "").display().to_string();
    let alice = scene.client("alice");
    let first = alice.pipe(&["/timestamp off", "/set presence off", "/save"], &["--config", &file]);
    assert!(first.expect_code(0).stdout.contains("the settings are kept in"));
    let kept = std::fs::read_to_string(&file).unwrap();
    assert_eq!(kept, "presence = \"off\"\ntimestamps = false\n");
    let again = alice.pipe(&["/set"], &["--config", &file]).expect_code(0);
    for line in ["presence = off", "timestamps = off"] {
        assert!(again.stdout.contains(line), "{again:?}");
    }
}

/// Goal: a flag is for one start, unless the same is set while the chat runs. (The build before wrote it into the file.)
#[test]
fn a_flag_is_not_kept_with_the_settings() {
    let scene = Scene::empty();
    let file = scene.rig.write("config.toml", "").display().to_string();
    let flags = ["--config", file.as_str(), "--no-mouse", "--presence", "followed"];
    let alice = scene.client("alice");
    let kept = |lines: &[&str]| {
        let saved = alice.pipe(lines, &flags).expect_code(0);
        assert!(saved.stdout.contains("the settings are kept in"), "{saved:?}");
        std::fs::read_to_string(&file).unwrap()
    };
    let shown = alice.pipe(&["/set"], &flags).expect_code(0);
    for line in ["presence = followed", "mouse = off"] {
        assert!(shown.stdout.contains(line), "{shown:?}");
    }
    assert_eq!(kept(&["/timestamp off", "/save"]), "timestamps = false\n");
    let both = kept(&["/set mouse off", "/set presence off", "/save"]);
    for line in ["mouse = false", "presence = \"off\""] {
        assert!(both.contains(line), "{both}");
    }
}

#[test]
fn whoami_join_and_leave_are_verbs() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let alice = scene.client("alice");
    let who = alice.run(&["whoami", "--json"]).expect_code(0);
    assert_eq!(who.events_named("whoami")[0]["user"], "alice");
    let refused = alice.run(&["join", "ops"]).expect_code(6);
    assert!(refused.stdout.contains("E_NO_SUCH_ROOM"), "{refused:?}");
    alice.run(&["join", "#ops", "--create"]).assert_code(0);
    let rooms = alice.run(&["rooms"]).expect_code(0);
    assert!(rooms.stdout.contains("* #ops"), "she is in it: {rooms:?}");
    chat_tests::types(&mut bob, "/join ops", "you are in #ops");
    chat_tests::types(&mut bob, "/members", "alice");
    alice.run(&["leave", "ops"]).assert_code(0);
    alice.run(&["leave", "nowhere"]).assert_code(6);
}

#[test]
fn doctor_says_what_is_well_and_what_is_not() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url());
    alice.run(&["users"]).assert_code(0);
    let well = alice.run(&["doctor"]).expect_code(0);
    for part in ["[+] configuration", "[+] home", "it answers; no TLS", "[+] clock: it differs"] {
        assert!(well.stdout.contains(part), "{part}: {well:?}");
    }
    let nobody = rig.client("alice", "ws://127.0.0.1:9").run(&["doctor"]).expect_code(1);
    assert!(nobody.stdout.contains("[-] server ws://127.0.0.1:9"), "{nobody:?}");
    let set = |path: &std::path::Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    };
    // Whoever may write there changes which servers are known.
    set(alice.home(), 0o777);
    let open = alice.run(&["doctor"]).expect_code(1);
    assert!(open.stdout.contains("[-] home: others can change"), "{open:?}");
    set(alice.home(), 0o755);
    let key = std::fs::read_dir(alice.home()).unwrap().flatten().find(|one| one.path().is_dir());
    let key = key.unwrap().path().join("alice").join("key");
    set(&key, 0o644);
    let open = alice.run(&["doctor"]).expect_code(1);
    assert!(open.stdout.contains("[-] home: others can use"), "{open:?}");
}

/// Goal: over TLS it says whether the certificate is accepted, and that it has changed where it has.
#[test]
fn doctor_says_whether_the_certificate_is_the_one_that_is_known() {
    let rig = Rig::new();
    let mut server = rig.server_with(&["--tls", "auto"]);
    let alice = rig.client("alice", server.url());
    alice.run(&["users"]).assert_code(0);
    let well = alice.run(&["doctor"]).expect_code(0);
    let found =
        format!("[+] server {}: it answers; TLS, its certificate is accepted", server.url());
    assert!(well.stdout.contains(&found), "{well:?}");
    assert!(well.stdout.contains("the one that is known"), "{well:?}");
    server.kill_hard();
    std::fs::remove_dir_all(rig.data().join("tls")).unwrap();
    server.restart(&rig, &["--tls", "auto"]);
    let changed = alice.run(&["doctor"]).expect_code(1);
    let line = changed.stdout.lines().find(|line| line.starts_with("[-] server wss://"));
    assert!(line.is_some_and(|line| line.contains("HAS CHANGED")), "{changed:?}");
}
