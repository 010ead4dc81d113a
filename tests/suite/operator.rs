//! The operator's hand, through the real programs: accounts, rooms, bans, codes, words to everybody.

use std::{fs, time::Duration};

use chat_tests::{Finished, PASSWORD, Program, Rig, Scene, Server, operator, types};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn json(answer: &Finished) -> Vec<Value> {
    answer.events()
}

/// The lines of the audit log.
fn audit(rig: &Rig) -> Vec<Value> {
    let text = fs::read_to_string(rig.logs().join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_disabled_account_is_cut_at_once_kept_out_and_let_in_again() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let bob = scene.client("bob");
    let mut here = bob.chat();
    alice.run(&["users"]).assert_code(0);

    let done = operator(&scene.rig, &["user", "disable", "bob", "--json"]).expect_code(0);
    assert_eq!(json(&done)[0]["done"][0], "bob");
    let ended = here.wait();
    assert!(format!("{ended:?}").contains("disabled by the operator"), "{ended:?}");
    let refused = bob.run(&["users"]).expect_code(4);
    assert!(refused.stderr.contains("disabled by the operator"), "{refused:?}");
    // What is sent to him is kept.
    alice.run(&["send", "bob", "are you there?"]).assert_code(0);

    operator(&scene.rig, &["user", "enable", "b*"]).assert_code(0);
    let heard = bob.run(&["listen", "--count", "1", "--for", "20s", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["are you there?"]);

    let stages: Vec<_> = audit(&scene.rig).iter().map(|line| line["stage"].clone()).collect();
    assert_eq!(stages, ["asked", "done", "asked", "done"]);
    let listed = operator(&scene.rig, &["user", "list", "--json"]).expect_code(0);
    assert!(json(&listed).iter().any(|user| user["name"] == "bob" && user["standing"] == "active"));
}

#[test]
fn a_deleted_account_is_gone_its_name_is_not_given_again_and_the_others_go_on() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let carol = scene.client("carol");
    let mut here = alice.chat();
    let mut gone = bob.chat();
    gone.type_line("I was here");
    here.stdout.wait_for_part("bob: I was here");
    let pattern = operator(&scene.rig, &["user", "delete", "b*"]).expect_code(2);
    assert!(pattern.stderr.contains("--all"), "{pattern:?}");
    operator(&scene.rig, &["user", "delete", "bob"]).assert_code(0);
    assert_ne!(gone.wait().code, None);

    // The others talk in a new epoch, and a newcomer can check what bob has signed.
    let newcomer = carol.chat();
    newcomer.stdout.wait_for_part("you are in #lobby");
    here.type_line("does it go on?");
    newcomer.stdout.wait_for_part("alice: does it go on?");
    let alarms = newcomer.stdout.text();
    assert!(!alarms.contains("ALARM") && !alarms.contains("unknown key"), "{alarms}");
    types(&mut here, "bob*hello", "bob");

    let users = alice.run(&["users", "--json"]).expect_code(0);
    assert!(!users.stdout.contains("\"bob\""), "{users:?}");
    let shown = operator(&scene.rig, &["user", "show", "bob", "--json"]).expect_code(0);
    assert_eq!(json(&shown)[0]["rooms"], Value::Array(Vec::new()), "{shown:?}");
    bob.run(&["users"]).assert_code(4);
    let again = scene.client("bob").with_home(scene.rig.path("other"));
    let refused = again.run(&["users"]);
    assert!(refused.code == Some(4) || refused.code == Some(5), "{refused:?}");
    let undone = operator(&scene.rig, &["user", "enable", "bob"]).expect_code(1);
    assert!(undone.stderr.contains("cannot be undone"), "{undone:?}");

    scene.server.restart(&scene.rig, &[]);
    bob.run(&["users"]).assert_code(4);
    let users = alice.run(&["users", "--json"]).expect_code(0);
    assert!(!users.stdout.contains("\"bob\""), "after a restart: {users:?}");
}

#[test]
fn who_deletes_the_own_account_is_gone_and_keeps_what_stands_on_the_machine() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let mut here = alice.chat();
    let mut gone = bob.chat();
    gone.type_line("I was here");
    here.stdout.wait_for_part("bob: I was here");

    let unsaid = bob.run_known(&["account", "delete"]).expect_code(2);
    assert!(unsaid.stderr.contains("account delete bob"), "{unsaid:?}");
    bob.run_known(&["account", "delete", "alice"]).assert_code(2);
    let wrong = scene.client("bob").with_password("another one altogether");
    wrong.run_known(&["account", "delete", "bob"]).assert_code(4);
    let mut asked = bob.at_terminal(&["account", "delete"]);
    asked.answer("Password of bob now: ", PASSWORD);
    asked.answer("Type the name once more to delete bob: ", "rob");
    asked.wait_for("nothing was deleted");
    assert_eq!(asked.wait(), Some(2));
    gone.type_line("and still am");
    here.stdout.wait_for_part("bob: and still am");

    let mut asked = bob.at_terminal(&["account", "delete"]);
    asked.answer("Password of bob now: ", PASSWORD);
    asked.answer("Type the name once more to delete bob: ", "bob");
    asked.wait_for("stay on this machine");
    assert_eq!(asked.wait(), Some(0));
    assert_eq!(gone.wait().code, Some(4));
    let newcomer = scene.client("carol").chat();
    here.type_line("does it go on?");
    newcomer.stdout.wait_for_part("alice: does it go on?");

    scene.server.restart(&scene.rig, &[]);
    let refused = bob.run_known(&["users"]).expect_code(4);
    assert!(refused.stderr.contains("was deleted"), "{refused:?}");
    let users = alice.run(&["users", "--json"]).expect_code(0);
    assert!(!users.stdout.contains("\"bob\""), "{users:?}");
    for place in ["#lobby", "lobby"] {
        let said = bob.run_known(&["history", place]).expect_code(0);
        assert!(said.stdout.contains("and still am"), "{said:?}");
    }
    assert_eq!(audit(&scene.rig), Vec::<Value>::new(), "nothing that the operator has done");
}

#[test]
fn a_deleted_room_is_closed_and_not_listed() {
    let mut scene = Scene::empty();
    let alice = scene.client("alice");
    let mut here = alice.chat();
    types(&mut here, "/create ops", "you are in #ops");
    types(&mut here, "one", "✓ stored");
    let listed = operator(&scene.rig, &["room", "list", "--json"]).expect_code(0);
    assert!(listed.stdout.contains("\"room\":\"ops\""), "{listed:?}");
    operator(&scene.rig, &["room", "retention", "#ops", "12h"]).assert_code(0);
    here.stdout.wait_for_part("[server] set");
    operator(&scene.rig, &["room", "delete", "lobby"]).assert_code(1);
    operator(&scene.rig, &["room", "delete", "ops"]).assert_code(0);
    types(&mut here, "two", "deleted this room");
    here.type_line("/rooms");
    scene.server.restart(&scene.rig, &[]);
    let rooms = alice.run(&["rooms"]).expect_code(0);
    assert!(!rooms.stdout.contains("ops"), "{rooms:?}");
    let again = scene.client("bob").pipe(&["/create ops"], &[]);
    assert!(format!("{again:?}").contains("E_NAME_TAKEN"), "{again:?}");
}

#[test]
fn bans_keep_out_names_keys_and_addresses_and_everybody_is_told_what_is_announced() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let everybody = operator(&scene.rig, &["ban", "*"]).expect_code(2);
    assert!(everybody.stderr.contains("--all"), "{everybody:?}");
    let bob = scene.client("bob");
    let here = alice.chat();
    bob.run(&["users"]).assert_code(0);
    operator(&scene.rig, &["announce", "back at ten\u{1b}[31m"]).assert_code(0);
    here.stdout.wait_for_part("the server says: back at ten\\x1b[31m");

    operator(&scene.rig, &["ban", "b*"]).assert_code(0);
    bob.run(&["users"]).assert_code(4);
    scene.client("bert").run(&["users"]).assert_code(4);
    operator(&scene.rig, &["unban", "b*"]).assert_code(0);
    bob.run(&["users"]).assert_code(0);

    let shown = operator(&scene.rig, &["user", "show", "bob", "--json"]).expect_code(0);
    let identity = json(&shown)[0]["identity"].as_str().unwrap().to_owned();
    operator(&scene.rig, &["ban", &format!("key:{identity}")]).assert_code(0);
    bob.run(&["users"]).assert_code(4);

    operator(&scene.rig, &["ban", "127.0.0.0/8"]).assert_code(0);
    let refused = bob.run(&["users"]).expect_code(4);
    assert!(refused.stderr.contains("banned this address"), "{refused:?}");
    here.stdout.wait_for_part("banned this address");
    let listed = operator(&scene.rig, &["ban"]).expect_code(0);
    assert!(listed.stdout.contains("127.0.0.0/8") && listed.stdout.contains("key:"), "{listed:?}");
    operator(&scene.rig, &["unban", "127.0.0.0/8"]).assert_code(0);
    alice.run(&["users"]).assert_code(0);
}

#[test]
fn where_codes_are_asked_for_nobody_comes_in_without_one() {
    let rig = Rig::new();
    let mut server = rig.server_with(&["--registration", "invite"]);
    server.program().stderr.wait_for_part("chat-server invite");
    let alice = rig.client("alice", server.url());
    let refused = alice.run(&["users"]).expect_code(4);
    assert!(refused.stderr.contains("--invite"), "{refused:?}");
    let made = operator(&rig, &["invite", "--uses", "1", "--json"]).expect_code(0);
    let code = json(&made)[0]["code"].as_str().unwrap().to_owned();
    // A restart forgets no code, and neither the audit log nor the data hold it.
    server.restart(&rig, &["--registration", "invite"]);
    let alice = rig.client("alice", server.url());
    alice.run(&["--invite", &code, "users"]).assert_code(0);
    alice.run(&["users"]).assert_code(0);
    let bob = rig.client("bob", server.url());
    let used_up = bob.run(&["--invite", &code, "users"]).expect_code(4);
    assert!(used_up.stderr.contains("used up"), "{used_up:?}");
    let log = fs::read_to_string(rig.logs().join("audit.jsonl")).unwrap();
    assert!(!log.contains(&code), "{log}");

    server.restart(&rig, &["--registration", "closed"]);
    let closed = rig.client("carol", server.url()).run(&["users"]).expect_code(4);
    assert!(closed.stderr.contains("no new accounts"), "{closed:?}");
}

#[test]
fn a_drain_ends_the_server_and_says_so() {
    let mut scene = Scene::empty();
    let alice = scene.client("alice").chat();
    let stats = operator(&scene.rig, &["stats", "--json"]).expect_code(0);
    assert_eq!(json(&stats)[0]["online"], 1, "{stats:?}");
    operator(&scene.rig, &["drain"]).assert_code(0);
    alice.stdout.wait_for_part("the server has stopped");
    assert_eq!(scene.server.ends_within(Duration::from_secs(20)), Some(0));
    let nobody = operator(&scene.rig, &["stats"]).expect_code(1);
    assert!(nobody.stderr.contains("no server runs"), "{nobody:?}");
}

/// A folder so deep that its socket has no path that the kernel takes.
#[test]
fn a_long_path_of_the_data_folder_works_too() {
    let rig = Rig::new();
    let deep = rig.path(&"deep/".repeat(40));
    let mut command = Server::command(&rig, "0", &[]);
    command.arg("--data").arg(&deep);
    let mut words: Vec<std::ffi::OsString> = command.get_args().map(Into::into).collect();
    let at = words.iter().position(|word| word == "--data").unwrap();
    words.drain(at..at + 2);
    let mut shorter = std::process::Command::new(command.get_program());
    shorter.current_dir(rig.path("")).args(words);
    let program = Program::start(shorter);
    program.stderr.wait_for_part("listening on ws");
    let mut ask = std::process::Command::new(command.get_program());
    ask.args(["stats", "--data"]).arg(&deep);
    Program::start(ask).finish().assert_code(0);
}

#[test]
fn sighup_reads_everything_again_or_nothing_and_cuts_nobody() {
    let rig = Rig::new();
    let config = rig.write("chat.toml", "retention = \"off\"\n");
    let server = rig.server_with(&["--config", config.to_str().unwrap()]);
    let alice = rig.client("alice", server.url()).chat();
    let pid = Pid::from_raw(i32::try_from(server.program().pid()).unwrap()).unwrap();

    let changed = "retention = \"12h\"\nregistration = \"closed\"\nverify = \"transport\"\n\
                   limit = [\"links=2/s+9\"]\ntrusted_proxy = [\"192.0.2.1\"]\n";
    fs::write(&config, changed).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    server.program().stderr.wait_for_part("retention off -> 12h");
    for key in ["verify", "trusted_proxy", "limit links 1/s+100 -> 2/s+9:"] {
        let is_said = |line: &str| line.contains(key) && line.contains("needs a restart");
        server.program().stderr.wait_for("a key that needs a restart", is_said);
    }
    rig.client("bob", server.url()).run(&["users"]).assert_code(4);

    fs::write(&config, "registration = \"open\"\nretention = 7\n").unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    server.program().stderr.wait_for_part("nothing was changed");
    rig.client("bob", server.url()).run(&["users"]).assert_code(4);

    fs::write(&config, "registration = \"open\"\nbans = [\"mallory\"]\n").unwrap();
    operator(&rig, &["reload"]).assert_code(0);
    rig.client("bob", server.url()).run(&["users"]).assert_code(0);
    rig.client("mallory", server.url()).run(&["users"]).assert_code(4);
    alice.finish().assert_code(0);
}
