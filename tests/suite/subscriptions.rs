//! Following people: what one says in open rooms reaches who follows them, wherever they are.

use chat_tests::{House, Program, Scene, at_one_and_over_two, person, types};
use serde_json::json;

at_one_and_over_two! {
    what_somebody_says_elsewhere_comes_to_who_follows_them_and_private_rooms_do_not,
    who_leaves_or_is_removed_gets_nothing_more,
}

/// Makes one follow the other, who is told.
#[track_caller]
fn follows(follower: &mut Program, name: &str, owner: &Program, whom: &str) {
    types(follower, &format!("/subscribe {whom}"), &format!("you follow {whom} now"));
    owner.stdout.wait_for_part(&format!("★ {name} follows you now"));
}

fn what_somebody_says_elsewhere_comes_to_who_follows_them_and_private_rooms_do_not(server: &House) {
    let rig = &server.rig;
    let mut alice = person(rig, server.url(), "alice");
    let mut bob = person(rig, server.url(), "bob");
    types(&mut alice, "/sub ghost", "nobody is called ghost");
    types(&mut alice, "/sub alice", "nobody follows themselves");
    follows(&mut alice, "alice", &bob, "bob");
    types(&mut alice, "/sub bob", "you follow bob already");
    types(&mut alice, "/subs", "you follow 1:");
    types(&mut bob, "/subscribers", "you are followed by 1:");

    types(&mut bob, "/join ops", "you are in #ops");
    bob.type_line("the disk is full");
    alice.stdout.wait_for_part("[bob in #ops] the disk is full");
    types(&mut bob, "/veil on", "veil");
    bob.type_line("the butler did it");
    alice.stdout.wait_for_part("~ [bob in #ops] the butler did it");
    types(&mut bob, "/veil off", "veil");

    // Where both are it is shown once; so it is where it goes to everybody.
    types(&mut bob, "/create crew private", "you are in #crew");
    bob.type_line("our secret");
    types(&mut bob, "/room lobby", "goes to #lobby");
    bob.type_line("ALL*to everybody");
    bob.type_line("alice*to you alone");
    bob.type_line("hello, lobby");
    alice.stdout.wait_for_part("#lobby bob: hello, lobby");
    types(&mut bob, "/room ops", "goes to #ops");
    bob.type_line("the last one");
    alice.stdout.wait_for_part("[bob in #ops] the last one");
    types(&mut bob, "/receipts last", "the last one");

    let bob = bob.finish().expect_code(0).stdout;
    let receipts = bob.lines().skip_while(|line| !line.contains("#ops you: the last one"));
    let receipts: Vec<&str> = receipts.take_while(|line| !line.starts_with("  id ")).collect();
    assert!(!receipts.is_empty(), "{bob}");
    assert!(!receipts.iter().any(|line| line.contains("alice")), "{receipts:?}");
    assert!(!bob.contains("feed"), "the copy is none of the sender's lines: {bob}");
    let alice = alice.finish().expect_code(6).stdout;
    assert!(!alice.contains("our secret"), "{alice}");
    for once in ["to everybody", "to you alone", "hello, lobby", "the last one", "the disk is full"]
    {
        assert_eq!(alice.matches(once).count(), 1, "{once}: {alice}");
    }
}

#[test]
fn who_is_away_gets_everything_in_order_also_after_the_server_was_killed() {
    let mut scene = Scene::empty();
    let mut alice = scene.person("alice");
    let mut bob = scene.person("bob");
    follows(&mut alice, "alice", &bob, "bob");
    types(&mut bob, "/join ops", "you are in #ops");
    alice.finish().assert_code(0);
    bob.type_line("one");
    bob.type_line("two");
    types(&mut bob, "/receipts last", "two");
    bob.finish().assert_code(0);
    scene.server.restart(&scene.rig, &[]);

    let bob = scene.client("bob");
    for text in ["three", "four"] {
        bob.run(&["send", "#ops", text]).assert_code(0);
    }
    let piped = bob.pipe(&["/room ops", "five", "/subscribers"], &[]).expect_code(0);
    assert!(piped.stdout.contains("followed by 1:"), "{}", piped.stdout);
    let carol = scene.person("carol");
    let alice = scene.client("alice");
    let heard = alice.run(&["listen", "--count", "5", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["one", "two", "three", "four", "five"]);
    let first = &heard.events_named("message")[0];
    let fields = ["conversation", "feed", "room", "from"].map(|field| first[field].clone());
    assert_eq!(fields, [json!("feed"), json!("bob"), json!("ops"), json!("bob")], "{first}");
    let again = alice.run(&["listen", "--for", "1s", "--json"]).expect_code(0);
    assert!(again.texts().is_empty(), "{again:?}");
    let found = alice.run(&["search", "three"]).expect_code(0).stdout;
    assert_eq!(found.matches("[bob in #ops] three").count(), 1, "{found}");
    drop(carol);
}

fn who_leaves_or_is_removed_gets_nothing_more(server: &House) {
    let rig = &server.rig;
    let mut alice = person(rig, server.url(), "alice");
    let mut carol = person(rig, server.url(), "carol");
    let mut bob = person(rig, server.url(), "bob");
    follows(&mut alice, "alice", &bob, "bob");
    follows(&mut carol, "carol", &bob, "bob");
    types(&mut bob, "/join ops", "you are in #ops");
    bob.type_line("to both");
    for person in [&alice, &carol] {
        person.stdout.wait_for_part("[bob in #ops] to both");
    }
    types(&mut alice, "/unsub bob", "you do not follow bob any more");
    bob.stdout.wait_for_part("alice does not follow you any more");
    types(&mut alice, "/unsub bob", "E_NOT_ALLOWED: you do not follow bob");
    types(&mut bob, "/subscribers remove alice", "alice does not follow you");
    bob.type_line("to carol alone");
    carol.stdout.wait_for_part("[bob in #ops] to carol alone");
    types(&mut bob, "/subscribers remove carol", "carol is removed");
    carol.stdout.wait_for_part("bob has removed you");
    bob.type_line("to nobody");
    types(&mut bob, "/subscribers", "nobody follows you");
    types(&mut carol, "/subs", "you follow nobody");
    bob.type_line("alice*the end");
    bob.type_line("carol*the end");
    for person in [alice, carol] {
        person.stdout.wait_for_part("bob → you: the end");
        let shown = person.finish().stdout;
        assert!(!shown.contains("to nobody"), "{shown}");
        assert_eq!(shown.contains("to carol alone"), shown.contains("removed you"), "{shown}");
    }
}

#[test]
fn whom_one_follows_comes_and_goes_with_a_line_of_their_own_and_a_second_machine_follows_too() {
    let (scene, [mut alice, bob]) = Scene::with(["alice", "bob"]);
    follows(&mut alice, "alice", &bob, "bob");
    bob.finish().assert_code(0);
    alice.stdout.wait_for_part("★ bob, whom you follow, is offline");
    let mut bob = scene.client("bob").chat();
    alice.stdout.wait_for_part("★ bob, whom you follow, is online");
    let carol = scene.person("carol");
    alice.stdout.wait_for_part("[carol] just joined the server");
    drop(carol);

    let laptop = scene.client("alice").with_home(scene.rig.path("home-laptop"));
    let listed = laptop.pipe(&["/subs"], &[]).expect_code(0).stdout;
    assert!(listed.contains("you follow 1:") && listed.contains("  bob"), "{listed}");
    types(&mut bob, "/join ops", "you are in #ops");
    bob.type_line("for all her machines");
    alice.stdout.wait_for_part("[bob in #ops] for all her machines");
    let heard = laptop.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), ["for all her machines"]);
    let shown = alice.finish().expect_code(0).stdout;
    let after = shown.split("you follow bob now").last().unwrap();
    assert!(!after.contains("[bob] just"), "the line of their own is the only one: {shown}");
}
