//! Rooms: open and private ones, who is in them, and who may do what.

use chat_tests::{House, PASSWORD, Scene, at_one_and_over_two, person, types};
use serde_json::json;

at_one_and_over_two! {
    an_open_room_is_made_joined_listed_and_left,
    a_message_reaches_members_only_and_a_refused_room_leads_nowhere,
    who_is_kicked_gets_and_reads_nothing_more,
    who_is_banned_joins_again_only_when_an_admin_says_so,
    who_is_let_in_while_away_learns_of_it_and_scripts_join_by_themselves,
}

fn an_open_room_is_made_joined_listed_and_left(server: &House) {
    let rig = &server.rig;
    let mut alice = person(rig, server.url(), "alice");
    let mut bob = person(rig, server.url(), "bob");
    let carol = rig.client("carol", server.url());
    carol.run(&["users"]).assert_code(0);

    types(&mut alice, "/join #ops", "you are in #ops");
    types(&mut bob, "/join OPS", "there is #ops already");
    types(&mut bob, "/join ops", "you are in #ops");
    alice.stdout.wait_for_part("[bob] joined #ops");
    bob.type_line("hello, operators");
    alice.stdout.wait_for_part("#ops bob: hello, operators");
    types(&mut alice, "/topic on call: bob", "[alice] set the topic of #ops: on call: bob");
    bob.stdout.wait_for_part("[alice] set the topic of #ops: on call: bob");
    types(&mut bob, "/topic", "the topic of #ops: on call: bob");
    types(&mut bob, "/members", "alice (admin)");

    let listed = carol.run(&["rooms"]).expect_code(0).stdout;
    let ops = listed.lines().find(|line| line.contains("#ops")).unwrap();
    assert!(ops.starts_with(' ') && ops.contains("2 users") && ops.contains("on call"), "{ops}");
    assert!(listed.lines().any(|line| line.starts_with("* #lobby ")), "{listed}");
    assert!(!listed.contains("ALL"), "{listed}");
    let rooms = carol.run(&["rooms", "--json"]).expect_code(0).events_named("room_info");
    let expected = json!({
        "event": "room_info", "room": "ops", "open": true, "users": 2, "topic": "on call: bob",
        "member": false, "keep_ms": 0,
    });
    assert!(rooms.contains(&expected), "{rooms:?}");

    types(&mut bob, "/leave", "you have left #ops");
    alice.stdout.wait_for_part("[bob] left #ops");
    bob.type_line("back in the lobby");
    alice.stdout.wait_for_part("#lobby bob: back in the lobby");
    types(&mut bob, "/room ops", "you are not in #ops; /join it first");
    let too_long = format!("/topic {}", "x".repeat(401));
    types(&mut alice, &too_long, "at most 400");
}

fn a_message_reaches_members_only_and_a_refused_room_leads_nowhere(server: &House) {
    let rig = &server.rig;
    let mut alice = person(rig, server.url(), "alice");
    let mut bob = person(rig, server.url(), "bob");
    let carol = person(rig, server.url(), "carol");
    types(&mut alice, "/create crew private", "you are in #crew");
    types(&mut bob, "/join crew", "private; ask an admin of it to invite you");
    // What follows in a script was meant for the room that is refused: it goes nowhere.
    bob.type_line("my secret for the crew");
    bob.stdout.wait_for_part("you are in no room, so nothing was sent");
    types(&mut alice, "/invite bob", "[alice] added bob to #crew");
    bob.stdout.wait_for_part("alice added you to #crew");
    types(&mut alice, "/topic ours", "the server would read it");
    alice.type_line("among ourselves");
    bob.stdout.wait_for_part("#crew alice: among ourselves");
    types(&mut bob, "/room crew", "what you type goes to #crew");
    types(&mut bob, "/invite carol", "only an admin of #crew may do that");
    types(&mut alice, "/invite bob", "bob is in #crew already");
    types(&mut alice, "/invite nemo", "nobody is called nemo");
    types(&mut alice, "/room lobby", "what you type goes to #lobby");
    alice.type_line("the end");
    carol.stdout.wait_for_part("#lobby alice: the end");

    let listed = rig.client("dave", server.url()).run(&["rooms"]).expect_code(0).stdout;
    assert!(!listed.contains("crew"), "a private room is nobody else's: {listed}");
    let carol = carol.finish().expect_code(0).stdout;
    for hidden in ["crew", "among ourselves", "secret"] {
        assert!(!carol.contains(hidden), "{carol}");
    }
    let bob = bob.finish().expect_code(6).stdout;
    assert!(!bob.contains("#lobby alice: among"), "{bob}");
    let alice = alice.finish().expect_code(6).stdout;
    assert!(!alice.contains("my secret"), "{alice}");
}

fn who_is_kicked_gets_and_reads_nothing_more(server: &House) {
    let rig = &server.rig;
    let mut alice = person(rig, server.url(), "alice");
    let mut bob = person(rig, server.url(), "bob");
    let mut carol = person(rig, server.url(), "carol");
    types(&mut alice, "/create crew private", "you are in #crew");
    types(&mut alice, "/invite bob", "[alice] added bob to #crew");
    types(&mut alice, "/invite carol", "[alice] added carol to #crew");
    for person in [&mut bob, &mut carol] {
        person.stdout.wait_for_part("alice added you to #crew");
        types(person, "/room crew", "what you type goes to #crew");
    }
    alice.type_line("with bob");
    bob.stdout.wait_for_part("#crew alice: with bob");
    types(&mut alice, "/kick bob", "[alice] removed bob from #crew");
    bob.stdout.wait_for_part("alice removed you from #crew");
    carol.stdout.wait_for_part("[alice] removed bob from #crew");
    types(&mut bob, "may I?", "you are not in #crew any more, so this was not sent: may I?");
    carol.type_line("without bob");
    alice.stdout.wait_for_part("#crew carol: without bob");
    bob.finish().assert_code(1);
    alice.type_line("while bob is away");
    carol.stdout.wait_for_part("#crew alice: while bob is away");
    // The lobby comes after what bob must not get.
    types(&mut alice, "/room lobby", "goes to #lobby");
    alice.type_line("to everybody");
    carol.stdout.wait_for_part("#lobby alice: to everybody");
    let bob = rig.client("bob", server.url());
    let bob = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(bob.texts(), ["to everybody"], "{bob:?}");
    let carol = carol.finish().expect_code(0).stdout;
    assert!(!carol.contains("may I?"), "{carol}");
}

fn who_is_banned_joins_again_only_when_an_admin_says_so(server: &House) {
    let rig = &server.rig;
    let mut alice = person(rig, server.url(), "alice");
    let mut bob = person(rig, server.url(), "bob");
    types(&mut alice, "/join square", "you are in #square");
    types(&mut bob, "/join square", "you are in #square");
    alice.stdout.wait_for_part("[bob] joined #square");
    types(&mut bob, "/ban alice", "only an admin of #square may do that");
    types(&mut alice, "/ban bob", "[alice] banned bob from #square");
    bob.stdout.wait_for_part("alice banned you from #square");
    types(&mut bob, "/join square", "banned from this room");
    types(&mut alice, "/invite bob", "[alice] added bob to #square");
    bob.stdout.wait_for_part("alice added you to #square");
    types(&mut bob, "/room square", "what you type goes to #square");
    bob.type_line("here again");
    alice.stdout.wait_for_part("#square bob: here again");
}

fn who_is_let_in_while_away_learns_of_it_and_scripts_join_by_themselves(server: &House) {
    let rig = &server.rig;
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    let mut alice = person(rig, server.url(), "alice");
    types(&mut alice, "/create crew private", "you are in #crew");
    types(&mut alice, "/invite bob", "[alice] added bob to #crew");
    alice.type_line("welcome");
    alice.stdout.wait_for_part("stored");
    let heard = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    let message = heard.events_named("message").remove(0);
    assert_eq!((&message["room"], &message["text"]), (&json!("crew"), &json!("welcome")));
    let expected = json!({
        "event": "room", "room": "crew", "state": "added", "user": "bob", "by": "alice",
    });
    assert_eq!(heard.events_named("room"), [expected]);

    types(&mut alice, "/join ops", "you are in #ops");
    bob.run(&["send", "#ops", "from a script"]).assert_code(0);
    alice.stdout.wait_for_part("[bob] joined #ops");
    alice.stdout.wait_for_part("#ops bob: from a script");
    bob.run(&["send", "#ops", "and again"]).assert_code(0);
    alice.stdout.wait_for_part("#ops bob: and again");
    let nowhere = bob.run(&["send", "#nowhere", "hello?"]).expect_code(6);
    assert!(nowhere.stderr.contains("there is no room #nowhere"), "{nowhere:?}");
    let carol = rig.client("carol", server.url());
    let private = carol.run(&["send", "#crew", "let me in"]).expect_code(6);
    assert!(private.stderr.contains("private"), "{private:?}");
}

#[test]
fn rooms_topics_and_roles_outlive_the_server() {
    let mut scene = Scene::empty();
    let carol = scene.client("carol");
    carol.run(&["users"]).assert_code(0);
    let mut alice = scene.person("alice");
    let mut bob = scene.person("bob");
    types(&mut alice, "/join ops", "you are in #ops");
    types(&mut alice, "/topic tides", "[alice] set the topic of #ops: tides");
    types(&mut bob, "/join ops", "you are in #ops");
    alice.stdout.wait_for_part("[bob] joined #ops");
    types(&mut alice, "/op bob", "[alice] made bob an admin of #ops");
    bob.stdout.wait_for_part("alice made you an admin of #ops");
    carol.run(&["send", "#ops", "me too"]).assert_code(0);
    bob.stdout.wait_for_part("[carol] joined #ops");
    types(&mut alice, "/create crew private", "you are in #crew");
    alice.finish().assert_code(0);
    scene.server.restart(&scene.rig, &[]);

    let alice = scene.client("alice");
    let rooms = alice.run(&["rooms", "--json"]).expect_code(0).events_named("room_info");
    let room = |name: &str| rooms.iter().find(|room| room["room"] == name).unwrap();
    let ops = room("ops");
    assert_eq!((&ops["topic"], &ops["users"]), (&json!("tides"), &json!(3)));
    let crew = room("crew");
    assert_eq!((&crew["open"], &crew["member"]), (&json!(false), &json!(true)));
    let listed = carol.run(&["rooms"]).expect_code(0).stdout;
    assert!(!listed.contains("crew"), "{listed}");

    bob.stdout.wait_for_count(2, |line| line.contains("connected to"));
    types(&mut bob, "/kick carol", "[bob] removed carol from #ops");
    carol.chat().stdout.wait_for_part("bob removed you from #ops");
}

/// Goal: a member hands on what was said before somebody came, as much as they decide, and it is
/// shown once, marked, with the words of who said it. Method: two of three texts first, then all.
#[test]
fn a_member_grants_a_newcomer_what_was_said_before() {
    let (_scene, [mut alice, mut carol, bob]) = Scene::with(["alice", "carol", "bob"]);
    types(&mut alice, "/create crew private", "you are in #crew");
    types(&mut alice, "/invite carol", "carol");
    carol.stdout.wait_for_part("added you to #crew");
    alice.type_line("the first plan");
    carol.stdout.wait_for_part("#crew alice: the first plan");
    types(&mut carol, "/room crew", "#crew");
    carol.type_line("the second plan");
    alice.stdout.wait_for_part("#crew carol: the second plan");
    alice.type_line("the third plan");
    carol.stdout.wait_for_part("#crew alice: the third plan");

    types(&mut alice, "/grant bob all", "bob is not in #crew");
    types(&mut alice, "/invite bob", "bob");
    bob.stdout.wait_for_part("added you to #crew");
    types(&mut alice, "/grant bob last 2", "bob is granted 2 messages of #crew");
    bob.stdout.wait_for_part("the third plan");
    bob.stdout.wait_for_part("the second plan");
    types(&mut alice, "/grant bob all", "bob is granted 3 messages of #crew");
    bob.stdout.wait_for_part("the first plan");
    let bob = bob.finish().expect_code(0);
    let said: Vec<&str> = bob.stdout.lines().filter(|line| line.contains("plan")).collect();
    assert_eq!(said.len(), 3, "each once: {bob:?}");
    for (from, plan) in [("alice", "first"), ("carol", "second"), ("alice", "third")] {
        let expected = format!("#crew {from} (granted by alice): the {plan} plan");
        assert!(said.iter().any(|line| line.ends_with(&expected)), "{bob:?}");
    }
}

/// Goal: whoever may not leave a room is still in it, and speaks there. Method: the only admin at a
/// terminal; what is typed before the answer is not said in the room.
#[test]
fn who_may_not_leave_still_speaks_in_the_room() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.pipe(&["/create crew private"], &[]).assert_code(0);
    scene.accounts(&["bob"]);
    let mut chat = alice.at_terminal(&[]);
    chat.answer("Password", PASSWORD);
    chat.wait_for("connected to");
    chat.types("/room crew", "what you type goes to #crew");
    chat.types("/invite bob", "added bob to #crew");
    chat.types("/leave", "the last admin of #crew");
    chat.types("/room", "what you type goes to #crew");
    chat.type_line("/quit");
    assert_eq!(chat.wait(), Some(0));
}
