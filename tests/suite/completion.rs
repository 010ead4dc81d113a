//! What a shell completes: people and rooms that the home knows.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chat_tests::{Client, LIMIT, PASSWORD, Program, Scene, binary, types};

/// What bash makes of a line whose last word is to be completed, with the script of the program.
fn completed(client: &Client, line: &str, password: Option<&str>) -> String {
    let script = "eval \"$(chat-client completions bash)\"\n\
                  COMP_WORDS=($LINE) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n\
                  [[ $LINE == *' ' ]] && COMP_WORDS+=('') COMP_CWORD=$((COMP_CWORD + 1))\n\
                  _chat_client_names chat-client \"${COMP_WORDS[COMP_CWORD]}\"\n\
                  printf '%s ' \"${COMPREPLY[@]}\"\n";
    let program = binary("chat-client");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script]).env("LINE", line);
    bash.env("PATH", format!("{}:{path}", program.parent().unwrap().display()));
    let plain = client.plain(&[]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) if name != "PATH" => bash.env(name, value),
            _ => &mut bash,
        };
    }
    let words: Vec<String> =
        plain.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let of = |flag: &str| {
        let at = words.iter().position(|word| word == flag).unwrap();
        words[at + 1].clone()
    };
    bash.env("CHAT_USER", of("--user")).env("CHAT_SERVER", of("--server"));
    bash.env_remove("CHAT_PASSWORD").envs(password.map(|password| ("CHAT_PASSWORD", password)));
    if let Some(folder) = plain.get_current_dir() {
        bash.current_dir(folder);
    }
    let home = of("--home");
    bash.env("LINE", line.replace("HOME", &home));
    bash.stdin(Stdio::null());
    Program::start(bash).finish().expect_code(0).stdout
}

/// Goal: names are completed from the home where it opens without a question, also while somebody chats there; without
/// a password there is nothing, and nothing waits.
#[test]
fn names_of_the_home_are_completed_where_it_opens_without_a_question() {
    let (scene, [_bob, mut alice]) = Scene::with(["bob", "alice"]);
    types(&mut alice, "/create plans", "you are in #plans");
    types(&mut alice, "in a room", "stored for #plans");
    types(&mut alice, "bob*hi", "delivered to bob");
    let client = scene.client("alice");
    let known = |line: &str| completed(&client, line, Some(PASSWORD));
    for (line, expected) in [
        ("chat-client --home HOME send bo", "bob "),
        ("chat-client --home HOME send #pl", "\\#plans "),
        ("chat-client --home HOME send \\#pl", "\\#plans "),
        ("chat-client --home HOME run s", "server "),
        ("chat-client --home HOME join pl", "plans "),
        ("chat-client --home HOME send A", "ALL "),
    ] {
        let begun = Instant::now();
        // A machine that is busy may not open the home in the time that a shell waits.
        while known(line).trim_end_matches('\n') != expected {
            assert!(begun.elapsed() < LIMIT, "{line}: {:?}", known(line));
        }
    }
    let begun = Instant::now();
    loop {
        let all = known("chat-client --home HOME history ");
        if all.contains("bob ") && all.contains("\\#plans ") {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{all}");
    }
    let begun = Instant::now();
    let without = completed(&client, "chat-client --home HOME send bo", None);
    assert!(!without.contains("bob"), "{without}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
