//! What the operator's commands show of what keeps people out, and what is said to those who are.

use chat_tests::{Rig, Scene, Server, binary, get, operator, types};

/// Goal: an account that a ban keeps out is shown as that, with the entries of the ban list; a ban of a key that
/// nobody has keeps nobody out, and one that stands for no key is refused. Before: `active`, and no word of a ban.
#[test]
fn who_is_banned_is_shown_as_that() {
    let scene = Scene::empty();
    scene.accounts(&["bob"]);
    let shown =
        operator(&scene.rig, &["user", "show", "bob", "--json"]).expect_code(0).events().remove(0);
    assert_eq!(
        (shown["banned"].as_bool(), shown["bans"].as_array().map(Vec::len)),
        (Some(false), Some(0))
    );
    let key = format!("key:{}", shown["devices_known"][0]["key"].as_str().unwrap());
    for what in ["b*", &key, "192.0.2.0/24", "key:AQAAAAAAAAAAAAAAAAAAAA"] {
        operator(&scene.rig, &["ban", what]).assert_code(0);
    }
    operator(&scene.rig, &["ban", "key:AAAAAAAAAAAAAAAAAAAAAA"]).assert_code(2);
    scene.accounts(&["carol"]);
    let shown =
        operator(&scene.rig, &["user", "show", "bob", "--json"]).expect_code(0).events().remove(0);
    assert_eq!(shown["bans"], serde_json::json!([key, "b*"]), "{shown}");
    let shown = operator(&scene.rig, &["user", "show", "bob"]).expect_code(0);
    for part in ["state     banned", &format!("ban       {key}"), "ban       b*"] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    let listed = operator(&scene.rig, &["user", "list"]).expect_code(0);
    let state = |name: &str| {
        let line = listed.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!([state("bob"), state("carol")], ["banned", "active"]);
}

/// Goal: no code is made that nobody can use, and `stats` says who may make an account.
#[test]
fn no_code_is_made_where_accounts_are_closed() {
    let mut scene = Scene::empty();
    scene.accounts(&["bob"]);
    scene.server.restart(&scene.rig, &["--registration", "closed"]);
    let refused = operator(&scene.rig, &["invite"]).expect_code(1);
    assert!(refused.stderr.contains("closed") && refused.stderr.contains("reload"), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let stats = operator(&scene.rig, &["stats"]).expect_code(0);
    assert!(stats.stdout.contains("nobody makes an account"), "{stats:?}");
    // A code for somebody who has an account is another matter.
    operator(&scene.rig, &["user", "reset", "bob"]).assert_code(0);
}

/// Goal: who makes a room under the name of one that was deleted is told that, member or not, in any case of its
/// letters. Before: "there is a room already; /join it".
#[test]
fn the_name_of_a_deleted_room_is_said_to_be_reserved() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    types(&mut alice, "/create plans open", "you are in #plans");
    types(&mut alice, "/create club private", "you are in #club");
    operator(&scene.rig, &["room", "delete", "plans"]).assert_code(0);
    operator(&scene.rig, &["room", "delete", "club"]).assert_code(0);
    alice.stdout.wait_for_part("the room #club was deleted");
    let mut bob = scene.person("bob");
    for who in [&mut alice, &mut bob] {
        for (number, room) in (1..).zip(["plans", "Plans", "club"]) {
            who.type_line(&format!("/create {room}"));
            let is_told = |line: &str| line.contains("stays reserved");
            who.stdout.wait_for_count(number, is_told);
        }
    }
}

/// Goal: what is missing is said with the usage of the help. Before: `--data` stood there as if it had to be.
#[test]
fn options_are_no_part_of_what_is_missing() {
    let rig = Rig::new();
    for (words, usage) in [
        (&["user", "delete"][..], "user delete [OPTIONS] <WHO>"),
        (&["unban"], "unban [OPTIONS] <WHAT>"),
        (&["room", "retention", "plans"], "room retention [OPTIONS] <ROOM> <TIME>"),
        (&["backup"], "backup [OPTIONS] <TARGET>"),
    ] {
        let refused = operator(&rig, words).expect_code(2);
        assert!(refused.stderr.contains(&format!("Usage: chat-server {usage}\n")), "{refused:?}");
    }
}

/// Goal: the variable takes several budgets, as the flag does.
#[test]
fn the_variable_sets_several_budgets() {
    let rig = Rig::new();
    let mut command = std::process::Command::new(binary("chat-server"));
    command
        .arg("config")
        .env("CHAT_SERVER_LIMIT", "places=501,messages=7/s+9")
        .current_dir(rig.path(""));
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let is_set = |name: &str, amount: &str| {
        shown.lines().any(|line| line.split_whitespace().take(2).eq([name, amount]))
    };
    assert!(is_set("places", "501") && is_set("messages", "7/s+9"), "{shown}");
}

/// Goal: what is looked at is told to this machine and on the port for figures; through a proxy only whether all of
/// it is in order.
#[test]
fn only_who_is_near_sees_all_that_health_looks_at() {
    let rig = Rig::new();
    let server: Server = rig.server_with(&["--metrics-bind", "127.0.0.1:0"]);
    let line = server.program().stderr.wait_for_part("metrics on http://");
    let figures = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let page = |address: &str, head: &[&str]| get(address, "/readyz?verbose", head).body;
    assert!(page(server.address(), &[]).contains("[+] disk"));
    assert!(page(&figures, &[]).contains("[+] disk"));
    let outside = page(server.address(), &["X-Forwarded-For: 198.51.100.7"]);
    assert_eq!(outside, "ready\n");
}
