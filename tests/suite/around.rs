//! What is around a chat: where logs go, what `-v` tells, empty variables, addresses as people write them,
//! and the words of small refusals.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chat_tests::{Client, Finished, Program, Rig, Scene, binary, operator, types};

/// The client's command without `--logs`, started in `folder` by somebody with this state folder.
fn without_logs(client: &Client, words: &[&str], folder: &Path, state: &Path) -> Command {
    let with_logs = client.plain(words);
    let mut command = Command::new(with_logs.get_program());
    let words: Vec<_> = with_logs.get_args().collect();
    let logs = words.iter().position(|word| *word == "--logs").unwrap();
    let (before, after) = words.split_at(logs);
    command.args(before).args(&after[2..]);
    for (name, value) in with_logs.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(folder).env("XDG_STATE_HOME", state);
    command
}

fn ends(command: Command) -> Finished {
    Program::start(command).finish()
}

/// `chat-server` with these words, and these variables of the environment.
fn server_says(rig: &Rig, words: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(binary("chat-server"));
    command.current_dir(rig.path("")).env_clear().envs(variables.iter().copied());
    command.args(words);
    ends(command)
}

#[test]
fn the_client_makes_no_logs_in_a_folder_where_somebody_happens_to_stand() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let (bare, state) = (scene.rig.path("bare"), scene.rig.path("state"));
    let of_user = state.join("chat/logs");
    fs::create_dir(&bare).unwrap();
    let start = |words: &[&str], folder: &Path| ends(without_logs(&alice, words, folder, &state));
    let sent = start(&["send", "#lobby", "hello", "--json"], &bare).expect_code(0);
    assert!(!bare.join("logs").exists() && of_user.join("client-alice.jsonl").exists());

    // Beside a server all is in one place.
    let beside = scene.rig.path("beside");
    fs::create_dir_all(beside.join("logs")).unwrap();
    start(&["users"], &beside).assert_code(0);
    assert!(beside.join("logs/client-alice.jsonl").exists());

    // One that takes nothing ends nothing. (Whoever may write everywhere is not kept from it.)
    let closed = scene.rig.path("closed");
    fs::create_dir_all(closed.join("logs")).unwrap();
    fs::set_permissions(closed.join("logs"), Permissions::from_mode(0o500)).unwrap();
    start(&["users"], &closed).assert_code(0);

    // The story of one message is found in both.
    let id = sent.events_named("ack").remove(0)["id"].as_str().unwrap().to_owned();
    for folder in [&bare, &beside] {
        let told = start(&["story", &id], folder).expect_code(0);
        assert!(told.stdout.contains("message.send"), "{told:?}");
    }
    let other = scene.rig.path("other");
    fs::create_dir(&other).unwrap();
    let none = start(&["story", &id, "--logs", other.to_str().unwrap()], &bare).expect_code(1);
    assert!(none.stderr.contains("no line of 0 logs"), "{none:?}");
}

#[test]
fn the_emulator_makes_its_logs_where_it_is_started() {
    let scene = Scene::empty();
    let here = scene.rig.path("here");
    fs::create_dir(&here).unwrap();
    let lines = scene.rig.write("lines.txt", "a line of the script\n").display().to_string();
    let words = ["--emulate", "2", "--per-client", "1", "--messages", &lines];
    let emulator = scene.rig.emulator(scene.url());
    ends(without_logs(&emulator, &words, &here, &scene.rig.path("state"))).assert_code(0);
    assert!(here.join("logs/client-emu-001.jsonl").exists());
}

#[test]
fn verbose_is_ours_and_has_no_colours_in_a_pipe() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let said = |words: &[&str]| alice.run(words).expect_code(0).stderr;
    let quiet = said(&["send", "#lobby", "one"]);
    let verbose = said(&["-v", "send", "#lobby", "two"]);
    let debug = said(&["-vv", "send", "#lobby", "three"]);
    assert!(!quiet.contains("session.open"), "{quiet}");
    assert!(verbose.contains("session.open") && !verbose.contains("message.send"), "{verbose}");
    assert!(debug.contains("message.send") && debug.contains("in=lobby"), "{debug}");
    for library in ["rustls", "tungstenite", "tokio_tungstenite", "hyper"] {
        assert!(!debug.contains(library), "{library} in {debug}");
    }
    assert!(!debug.contains("three"), "never what was said: {debug}");
    assert!(!debug.contains('\u{1b}'), "{debug:?}");
}

#[test]
fn no_internal_name_reaches_a_screen() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let mut chat = alice.chat();
    types(&mut chat, "/join ops", "#ops");
    types(&mut chat, "said in ops", "✓ stored");
    types(&mut chat, "/history ops", "#ops you: said in ops");
    types(&mut chat, "/search said", "1 of 1 message fits");
    chat.type_line("/status");
    let status = chat.stdout.wait_for_part("the last answer took");
    assert!(status.contains(" ms") && !status.contains('µ'), "{status}");
    types(&mut chat, "/history before AAAAAAAAAAAAAAAAAAAAAA", "no message");
    let said = chat.finish();
    for internal in ["room:", "dm:", "feed:"] {
        assert!(!said.stdout.contains(internal), "{internal} in {said:?}");
    }
    let before = ["history", "#ops", "--before", "AAAAAAAAAAAAAAAAAAAAAA"];
    let unknown = alice.run(&before).expect_code(1);
    assert!(unknown.stderr.contains("in #ops in this home"), "{unknown:?}");
}

#[test]
fn who_is_called_like_nobody_is_refused_in_one_sentence() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let sentence = "nobody is called ghost; see the list of users";
    let sent = alice.run(&["send", "ghost", "boo"]).expect_code(6);
    let ran = alice.run(&["run", "ghost", "--", "true"]);
    let mut chat = alice.chat();
    types(&mut chat, "/subscribe ghost", sentence);
    types(&mut chat, "/join crew", "#crew");
    chat.type_line("/invite ghost");
    chat.stdout.wait_for_count(2, |line| line.contains(sentence));
    for (line, count) in [("/fingerprint ghost", 3), ("/verify ghost", 4), ("/devices ghost", 5)] {
        chat.type_line(line);
        chat.stdout.wait_for_count(count, |line| line.contains(sentence));
    }
    let asked = operator(&scene.rig, &["user", "show", "ghost"]).expect_code(1);
    let disabled = operator(&scene.rig, &["user", "disable", "ghost"]).expect_code(1);
    for said in [&sent, &ran, &asked, &disabled] {
        assert!(said.stderr.contains(sentence), "{said:?}");
    }
}

#[test]
fn a_second_chat_of_one_home_names_the_home() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let first = alice.chat();
    let second = alice.start(&[]).wait().expect_code(5);
    assert!(second.stderr.contains("--home"), "{second:?}");
    assert!(second.stderr.contains(&alice.home().display().to_string()), "{second:?}");
    drop(first);
}

#[test]
fn an_empty_variable_is_not_set() {
    let rig = Rig::new();
    let empty = [
        ("CHAT_SERVER_WWW", ""),
        ("CHAT_SERVER_CONFIG", ""),
        ("CHAT_SERVER_BIND", ""),
        ("CHAT_SERVER_PORT", ""),
        ("CHAT_SERVER_LIMIT", ""),
    ];
    let shown = server_says(&rig, &["config"], &empty).expect_code(0).stdout;
    let www = shown.lines().find(|line| line.starts_with("www ")).unwrap();
    assert!(www.split_whitespace().eq(["www", "-", "default"]), "{shown}");

    let server = rig.server();
    let mut command = rig.client("alice", server.url()).plain(&["users"]);
    command.envs([("CHAT_INVITE", ""), ("CHAT_WEAK_PASSWORD", "")]);
    ends(command).assert_code(0);
    let mut command = rig.client("alice", server.url()).plain(&["users"]);
    command.env("CHAT_PASSWORD", "");
    let unset = ends(command).expect_code(2);
    assert!(unset.stderr.contains("a password is needed"), "{unset:?}");
}

#[test]
fn addresses_are_taken_as_people_write_them() {
    let rig = Rig::new();
    for (bind, shown) in [("localhost", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1")] {
        let said = server_says(&rig, &["config", "--bind", bind], &[]).expect_code(0).stdout;
        let line = said.lines().find(|line| line.starts_with("bind ")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(shown), "{said}");
    }
    let file = rig.write("chat.toml", "bind = \"LOCALHOST\"\nmetrics_bind = \"localhost:1\"\n");
    let file = file.display().to_string();
    let said = server_says(&rig, &["--config", &file, "config"], &[]).expect_code(0).stdout;
    for (key, value) in [("bind ", "127.0.0.1"), ("metrics_bind ", "127.0.0.1:1")] {
        let line = said.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line.split_whitespace().skip(1).eq([value, "file"]), "{said}");
    }

    // One server has one spelling: what is pinned for it is found by all of them.
    let server = rig.server_with(&["--bind", "localhost"]);
    let port = server.port();
    let urls = [format!("ws://localhost:{port}"), format!("WS://LOCALHOST:{port}/")];
    for url in &urls {
        rig.client("alice", url).run(&["users"]).assert_code(0);
    }
    let known = rig.client("alice", server.url()).run(&["servers"]).expect_code(0).stdout;
    assert!(known.contains("localhost") && !known.contains("LOCALHOST"), "{known}");
}

#[test]
fn what_applies_is_shown_as_it_is_written() {
    let rig = Rig::new();
    for (given, shown) in [("5s", "5s"), ("700ms", "700ms"), ("90", "90s")] {
        let words = ["--drain-timeout", given, "--copies-quota", "2GiB", "config"];
        let said = server_says(&rig, &words, &[]).expect_code(0).stdout;
        for (key, value) in [("drain_timeout ", shown), ("copies_quota ", "2GiB")] {
            let line = said.lines().find(|line| line.starts_with(key)).unwrap();
            assert!(line.split_whitespace().skip(1).eq([value, "flag"]), "{said}");
        }
    }
    let refused = server_says(&rig, &["--port", "9", "user", "list"], &[]).expect_code(2);
    assert!(refused.stderr.contains("--port"), "{refused:?}");
}

#[test]
fn a_text_that_cannot_be_sent_is_refused_before_anybody_signs_in() {
    let rig = Rig::new();
    // Nobody listens there: whoever tried to connect would end with 3.
    let alice = rig.client("alice", "ws://127.0.0.1:1");
    let long = "x".repeat(100_000);
    for (to, text, reason) in [
        ("bob", "  \u{a0} ", "an empty message is not sent"),
        ("bob", long.as_str(), "limit"),
        ("ALICE", "hello me", "a message to yourself"),
    ] {
        let refused = alice.run(&["send", to, text]).expect_code(1);
        assert!(refused.stderr.contains(reason), "{refused:?}");
    }
    let blank = alice.pipe(&["", " "], &["send", "bob", "-"]).expect_code(1);
    assert!(blank.stderr.contains("an empty message"), "{blank:?}");
}

#[test]
fn a_key_file_that_others_can_read_is_told() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let homes = fs::read_dir(alice.home()).unwrap().flatten();
    let key = homes.map(|home| home.path().join("alice/key")).find(|key| key.exists()).unwrap();
    let first = alice.run(&["users"]).expect_code(0);
    assert!(!first.stderr.contains("others on this machine"), "{first:?}");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    for words in [&["users"][..], &["history", "bob"]] {
        let said = alice.run(words).expect_code(0);
        let warned = format!("chmod 600 {}", key.display());
        assert!(said.stderr.contains(&warned), "{words:?}: {said:?}");
    }
    let quiet = alice.run(&["-q", "users"]).expect_code(0);
    assert!(!quiet.stderr.contains("chmod"), "{quiet:?}");
}

#[test]
fn an_agent_started_again_tells_only_of_new_commands() {
    let scene = Scene::empty();
    let (alice, web) = (scene.client("alice"), scene.client("web1"));
    let key = alice.pipe(&["/fingerprint"], &["--json"]).expect_code(0);
    let key = key.events_named("fingerprint").remove(0)["key"].as_str().unwrap().to_owned();
    let who = format!("[{{ name = \"alice\", key = \"{key}\" }}]");
    let rule = format!("[[rule]]\nwho = {who}\nargv = [[\"echo\", \"*\"]]\n");
    let policy = scene.rig.write("policy.toml", &rule).display().to_string();
    let agent = |expected: &str| {
        let agent = web.start(&["agent", "--policy", &policy]);
        agent.stderr.wait_for_part("accepting commands");
        let ran = alice.run(&["run", "web1", "--", "echo", expected]);
        assert!(ran.stdout.contains(expected), "{ran:?}");
        agent.stderr.wait_for_part(&format!("asks to run: echo {expected}"));
        agent.terminate();
        let mut agent = agent;
        agent.ends_within(Duration::from_secs(20));
        agent.stderr.text()
    };
    agent("first");
    let again = agent("second");
    assert!(!again.contains("first"), "{again}");
}
