//! What goes with an account that its owner deletes: what waits here to be sent, and what runs elsewhere.

use chat_tests::{Finished, PASSWORD, Program, Rig, Scene, types};

use crate::suite::files::{folder, share};

/// Has bob say two things while there is no server, and end.
fn say_in_vain(rig: &Rig, url: &str, end_server: impl FnOnce()) {
    let mut bob = rig.client("bob", url).chat();
    end_server();
    bob.stdout.wait_for_part("offline");
    bob.type_line("my last words");
    bob.type_line("and one more");
    types(&mut bob, "/pending", ": and one more");
    bob.kill_hard();
}

/// Goal: nobody loses what they have said with the account without being told: a person reads how much it is before the
/// name is typed, and a script is refused until it says that it knows. (The build before deleted it without a word.)
#[test]
fn what_waits_to_be_sent_is_told_before_the_account_goes() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let here = alice.chat();
    let url = scene.url().to_owned();
    say_in_vain(&scene.rig, &url, || scene.server.kill_hard());
    drop(here);
    scene.server.restart(&scene.rig, &[]);
    let refused = bob.run_known(&["account", "delete", "bob"]).expect_code(1);
    assert!(refused.stderr.contains("2 messages wait here"), "{refused:?}");
    assert!(refused.stderr.contains("--drop-unsent"), "{refused:?}");
    let mut asked = bob.at_terminal(&["account", "delete"]);
    asked.answer("Password of bob now: ", PASSWORD);
    asked.wait_for("2 messages wait here that the server has not taken");
    asked.answer("Type the name once more to delete bob: ", "no");
    assert_eq!(asked.wait(), Some(2));
    let here = alice.chat();
    let words = ["account", "delete", "bob", "--drop-unsent", "--json"];
    let deleted = bob.run_known(&words).expect_code(0).events_named("deleted");
    assert_eq!(deleted[0]["unsent"], 2, "{deleted:?}");
    assert!(!here.stdout.text().contains("last words"), "{}", here.stdout.text());
}

fn ended(mut program: Program) -> Finished {
    let ended = program.wait();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("this account was deleted; its name is not given again"), "{said}");
    ended
}

/// Goal: whatever else of the account runs ends by itself, says why, and makes no account again. Method: a chat on a second
/// machine, an agent, a listener, a share and a fetch that waits, each of which may make accounts; then the list of accounts.
#[test]
fn all_that_runs_of_a_deleted_account_ends_and_says_why() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let shared = folder(&scene.rig, "alices", "k, big.bin", &[("big.bin", &vec![7; 300_000])]);
    let mut sharing = share(&alice, &shared, "ALL");
    sharing.terminate();
    sharing.wait().assert_code(130);
    bob.run(&["users"]).assert_code(0);
    let chat = scene.client("bob").with_home(scene.rig.path("second")).chat();
    let agent = bob.start(&["agent"]);
    agent.stderr.wait_for_part("accepting commands");
    let listener = bob.start(&["listen"]);
    let shared = folder(&scene.rig, "bobs", "k, a.txt", &[("a.txt", b"a")]);
    let sharing = share(&bob, &shared, "ALL");
    let fetch = bob.start(&["get", "--wait", "alice", "big.bin"]);
    fetch.stderr.wait_for_part("the request waits");
    bob.run_known(&["account", "delete", "bob"]).assert_code(0);
    for program in [chat, agent, listener, sharing, fetch] {
        ended(program);
    }
    let users = alice.run(&["users", "--json"]).expect_code(0);
    assert!(!users.stdout.contains("\"bob\""), "{users:?}");
}

/// Goal: a deleted account is called deleted by whatever is asked about it, in the chat and in scripts, and counts in no room.
/// (The build before counted bob in every room, said "nobody is called bob" of some commands and nothing at all of others,
/// and whoever followed him could not leave off.)
#[test]
fn whatever_asks_about_a_deleted_account_says_that_it_was_deleted() {
    let (scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    types(&mut bob, "/create ops", "you are in #ops");
    types(&mut alice, "/join ops", "you are in #ops");
    types(&mut alice, "/subscribe bob", "you follow bob now");
    types(&mut alice, "/rooms", "2 users");
    let words = ["account", "delete", "bob"];
    scene.client("bob").run_known(&words).assert_code(0);
    let deleted = "the account of bob was deleted";
    for asked in
        ["/verify bob", "/fingerprint bob", "/devices bob", "/subscribe bob", "/invite bob"]
    {
        types(
            &mut alice,
            asked,
            if asked == "/subscribe bob" { "you follow bob already" } else { deleted },
        );
    }
    types(&mut alice, "/members", "#ops is open; members: 1");
    types(&mut alice, "/unsubscribe bob", "you do not follow bob any more");
    types(&mut alice, "/subscribe bob", deleted);
    types(&mut alice, "/subs", "you follow nobody");

    let carol = scene.client("carol");
    for asked in [&["verify", "bob"][..], &["devices", "bob"], &["get", "bob", "a.txt"]] {
        let said = carol.run(asked);
        assert!(format!("{}{}", said.stdout, said.stderr).contains(deleted), "{asked:?}: {said:?}");
    }
    let shown = carol.run(&["verify", "bob", "--json"]).expect_code(0).events_named("verify");
    assert_eq!(shown[0]["deleted"], true, "{shown:?}");
    let rooms = carol.run(&["rooms", "--json"]).expect_code(0).events_named("room_info");
    let users: Vec<_> = rooms.iter().map(|room| (&room["room"], &room["users"])).collect();
    assert_eq!(users, [(&"lobby".into(), &2.into()), (&"ops".into(), &1.into())]);
}
