//! What the operator's commands understand, refuse and say, through the real programs.

use std::fs;

use chat_tests::{Rig, Scene, operator, types};

/// Goal: names have no case for the operator either, and what cannot be meant is refused with words that help.
#[test]
fn names_have_no_case_and_what_makes_no_sense_is_said() {
    let scene = Scene::empty();
    scene.accounts(&["bob"]);

    let reset = operator(&scene.rig, &["user", "reset", "BOB"]).expect_code(0);
    assert!(reset.stdout.contains("chat-client --user bob --invite"), "{reset:?}");
    assert!(reset.stdout.contains("delivered to nobody"), "{reset:?}");
    let made = operator(&scene.rig, &["room", "op", "lobby", "Bob"]).expect_code(0);
    assert!(made.stdout.contains("moderates the lobby: bob"), "{made:?}");
    operator(&scene.rig, &["ban", "Mallory"]).assert_code(0);
    let again = operator(&scene.rig, &["ban", "mallory"]).expect_code(0);
    assert!(again.stdout.contains("was banned before"), "{again:?}");
    operator(&scene.rig, &["unban", "MALLORY"]).assert_code(0);
    let banned = operator(&scene.rig, &["ban"]).expect_code(0);
    assert!(banned.stdout.contains("nobody is banned"), "{banned:?}");

    let all = operator(&scene.rig, &["user", "disable", "*"]).expect_code(2);
    assert!(all.stderr.contains("--all"), "{all:?}");
    let own = operator(&scene.rig, &["ban", "Server"]).expect_code(1);
    assert!(own.stderr.contains("this server itself"), "{own:?}");
    let network = operator(&scene.rig, &["ban", "10.0.0.0/33"]).expect_code(2);
    assert!(network.stderr.contains("no network"), "{network:?}");
    let time = operator(&scene.rig, &["invite", "--for", "xx"]).expect_code(2);
    assert!(time.stderr.contains("as 7d, 12h") && !time.stderr.contains("or off"), "{time:?}");
    operator(&scene.rig, &["user", "disable", "*", "--all"]).assert_code(0);
    scene.client("bob").run(&["users"]).assert_code(4);
}

/// Goal: a mistake in the configuration is shown with its place, on lines of its own.
#[test]
fn a_reload_shows_a_mistake_as_it_is() {
    let rig = Rig::new();
    let file = rig.path("server.toml");
    fs::write(&file, "retention = \"90d\"\n").unwrap();
    let mut server = rig.server_with(&["--config", file.to_str().unwrap()]);
    fs::write(&file, "retention = \n").unwrap();
    let refused = operator(&rig, &["reload"]).expect_code(1);
    assert!(refused.stderr.lines().count() > 1, "{refused:?}");
    assert!(!refused.stderr.contains("\\n"), "{refused:?}");
    server.kill_hard();
}

/// Goal: a backup that is damaged is named as it was given.
#[test]
fn a_damaged_backup_is_named_as_it_was_given() {
    let mut scene = Scene::empty();
    let kept = scene.rig.path("kept.tar");
    operator(&scene.rig, &["backup", kept.to_str().unwrap()]).assert_code(0);
    scene.server.kill_hard();
    let mut bytes = fs::read(&kept).unwrap();
    let at = bytes.windows(15).position(|part| part == b"SQLite format 3").unwrap();
    bytes[at] ^= 1;
    fs::write(&kept, bytes).unwrap();
    let refused = operator(&scene.rig, &["restore", kept.to_str().unwrap()]).expect_code(1);
    assert!(refused.stderr.contains(kept.to_str().unwrap()), "{refused:?}");
    assert!(!refused.stderr.contains("restoring"), "{refused:?}");
}

/// Goal: whoever was an agent once is none in the list when no agent is there.
#[test]
fn an_agent_that_has_left_is_none_in_the_list() {
    let scene = Scene::empty();
    let web = scene.client("web1");
    let mut agent = web.start(&["agent"]);
    let is_listed = || {
        let listed = operator(&scene.rig, &["user", "list", "web1"]).expect_code(0);
        listed.stdout.contains("accepts commands")
    };
    agent.stderr.wait_for_part("accepting commands");
    assert!(is_listed());
    agent.terminate();
    drop(agent.wait());
    web.run_known(&["users"]).assert_code(0);
    assert!(!is_listed());
}

/// Goal: members of a room that the operator deletes are told, and nobody is said to be in it afterwards.
#[test]
fn members_of_a_deleted_room_are_told() {
    let (scene, [mut alice, bob]) = Scene::with(["alice", "bob"]);
    types(&mut alice, "/create plans open", "you are in #plans");
    operator(&scene.rig, &["room", "delete", "plans"]).assert_code(0);
    alice.stdout.wait_for_part("the server says: the room #plans was deleted");
    types(&mut alice, "/join plans", "has deleted this room");
    types(&mut alice, "/leave plans", "you have left #plans");
    assert!(!bob.stdout.text().contains("plans"), "{}", bob.stdout.text());
}

/// Goal: whose account was deleted is marked among the members of a private room.
#[test]
fn deleted_accounts_are_marked_among_the_members() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    drop(scene.person("bob"));
    types(&mut alice, "/create club private", "you are in #club");
    types(&mut alice, "/invite bob", "added bob to #club");
    operator(&scene.rig, &["user", "delete", "bob"]).assert_code(0);
    types(&mut alice, "/members", "bob (the account was deleted)");
}

/// Goal: `doctor` and `health` look at what the server that runs goes by, whatever the flags are.
/// Method: a server with TLS, a port and logs of its own; then it is stopped.
#[test]
fn the_doctor_and_health_ask_the_server_that_runs() {
    let rig = Rig::new();
    let server = rig.server_with(&["--tls", "auto"]);
    let (address, logs) = (server.address().to_owned(), rig.logs());
    operator(&rig, &["announce", "a line in the audit log"]).assert_code(0);
    let health = operator(&rig, &["health"]).expect_code(0);
    assert!(health.stdout.contains(&format!("the server that runs with {}", rig.data().display())));
    let doctor = operator(&rig, &["doctor"]);
    for part in [
        "[+] configuration: that of the server that runs",
        &format!("listens on {address}, logs in {}", logs.display()),
        &format!("[+] port: {address} is ready"),
        "[+] certificate: is good for",
        "[+] audit log: 2 lines in one chain",
    ] {
        assert!(doctor.stdout.contains(part), "{part}: {doctor:?}");
    }
    server.terminate().assert_code(0);
    let doctor = operator(&rig, &["doctor"]);
    assert!(doctor.stdout.contains("as flags, environment and file say"), "{doctor:?}");
}
