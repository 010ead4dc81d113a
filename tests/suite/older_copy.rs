//! Two copies of a home, of which one has gone on.

use std::fs;
use std::process::Command;

use chat_tests::{Client, PASSWORD, Scene};

/// Another client with a copy of this one's home, as it is now.
fn copied(scene: &Scene, client: &Client) -> Client {
    let copy = scene.rig.path("copy");
    let copied = Command::new("cp").arg("-r").arg(client.home()).arg(&copy).status().unwrap();
    assert!(copied.success());
    scene.client("alice").with_home(copy)
}

/// Alice, bob, and a further machine of alice's in each of these homes.
fn alice_with<const N: usize>(homes: [&str; N]) -> (Scene, Client, [Client; N]) {
    let scene = Scene::empty();
    scene.accounts(&["alice", "bob"]);
    let others = homes.map(|home| {
        let other = scene.client("alice").with_home(scene.rig.path(home));
        other.run_known(&["users"]).assert_code(0);
        other
    });
    let alice = scene.client("alice");
    (scene, alice, others)
}

/// Goal: whoever starts the copy that is behind is told what it is and what to do, at a terminal and without one, and
/// what is told helps, is the server's word, and says what the way out costs. Before: "the server does not take the
/// password of this machine"; and that there are two copies was told as a fact, with the advice to put home.db away. Method: the copy finds that its
/// counters were used, and makes new keys.
#[test]
fn the_copy_of_a_home_that_is_behind_is_called_that_and_the_way_out_works() {
    let (scene, alice, []) = alice_with([]);
    let copied = copied(&scene, &alice);
    alice.run(&["send", "bob", "one"]).assert_code(0);
    copied.run(&["send", "bob", "two"]).assert_code(0);
    let refused = alice.run(&["send", "bob", "not sent"]).expect_code(4);
    for part in [
        "the server says that there are two copies of this home",
        "go on with that one",
        "If there never was one, the server is wrong or lies",
        "home.db",
        "Each key has to be compared anew",
        "E_OLD_KEYS",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    chat.wait_for("two copies of this home");
    assert_eq!(chat.wait(), Some(4));
    copied.run(&["send", "bob", "three"]).assert_code(0);

    let (_, behind) = refused.stderr.split_once("only that one, not ").unwrap();
    let (folder, _) = behind.split_once(" (E_OLD_KEYS)").unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("home.db") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    alice.run(&["send", "bob", "four"]).assert_code(0);
    copied.run(&["send", "bob", "five"]).assert_code(0);
    let heard = scene.client("bob").run(&["listen", "--for", "1s"]).expect_code(0);
    let texts = ["one", "two", "three", "four", "five"].map(|text| heard.stdout.contains(text));
    assert_eq!(texts, [true; 5], "{heard:?}");
}

/// Goal: a home that is put back from a copy goes on also where it had published two bundles since, and what those revoke stays
/// revoked. Before: its next bundle, with another key, had one of their numbers; the server refused it, and knew none of the
/// keys in the home from then on. Method: the home revokes two devices and says something; then the copy does.
#[test]
fn a_home_that_is_put_back_by_two_bundles_goes_on() {
    let (scene, alice, others) = alice_with(["laptop", "tablet"]);
    let copied = copied(&scene, &alice);
    for number in ["2", "3"] {
        alice.run_known(&["devices", "revoke", number]).assert_code(0);
    }
    alice.run_known(&["send", "bob", "one"]).assert_code(0);
    copied.run_known(&["send", "bob", "two"]).assert_code(0);
    copied.run_known(&["send", "bob", "three"]).assert_code(0);
    for other in others {
        other.run_known(&["send", "bob", "not sent"]).assert_code(4);
    }
    let heard = scene.client("bob").run_known(&["listen", "--for", "1s"]).expect_code(0);
    let texts = ["one", "two", "three"].map(|text| heard.stdout.contains(text));
    assert_eq!(texts, [true; 3], "{heard:?}");
}

/// Goal: what a start publishes comes through where a copy of the home has published something else under its number. Before:
/// the server let the home in and refused its bundle, which was not made anew before its keys were about to expire: nobody
/// found the agent. Method: the copy revokes a device; then the home, which has not heard of that, accepts commands.
#[test]
fn an_agent_is_found_where_a_copy_of_its_home_has_gone_on() {
    let (scene, alice, _laptop) = alice_with(["laptop"]);
    let copied = copied(&scene, &alice);
    copied.run_known(&["devices", "revoke", "2"]).assert_code(0);
    let agent = alice.start(&["agent"]);
    agent.stderr.wait_for_part("accepting commands");
    let asked = scene.client("bob").run_known(&["run", "alice", "--", "true"]);
    assert!(asked.stderr.contains("E_POLICY"), "the agent decides, and has no policy: {asked:?}");
}
