//! The lobby's moderators, through the real programs.

use chat_tests::{Scene, operator, types};

#[test]
fn a_moderator_puts_somebody_out_of_the_lobby_and_the_server_says_so() {
    let scene = Scene::empty();
    let mut alice = scene.client("alice").chat();
    let mut bob = scene.client("bob").chat();
    let mut out = scene.client("mallory").chat();
    out.type_line("look at me");
    for screen in [&alice, &bob] {
        screen.stdout.wait_for_part("mallory: look at me");
    }

    // Nobody is one until the operator says so.
    types(&mut bob, "/kick mallory", "only a moderator of the lobby may do that");
    operator(&scene.rig, &["room", "op", "ops", "alice"]).assert_code(2);
    operator(&scene.rig, &["room", "op", "lobby", "nobody"]).assert_code(1);
    let made = operator(&scene.rig, &["room", "op", "lobby", "alice"]).expect_code(0);
    assert!(made.stdout.contains("alice"), "{made:?}");
    let shown = operator(&scene.rig, &["user", "show", "alice"]).expect_code(0);
    assert!(shown.stdout.contains("moderator"), "{shown:?}");
    types(&mut bob, "/topic anything", "only moderators set the topic");
    alice.type_line("/topic be kind");
    bob.stdout.wait_for_part("set the topic of #lobby: be kind");

    alice.type_line("/kick mallory");
    for screen in [&alice, &bob, &out] {
        let told = "the server says: mallory was removed from the lobby by alice";
        screen.stdout.wait_for_part(told);
    }
    types(&mut out, "you cannot stop me", "so this was not sent: you cannot stop me");
    bob.type_line("quiet at last");
    alice.stdout.wait_for_part("bob: quiet at last");
    // Elsewhere mallory is as before; what was delivered by then would stand above it.
    bob.type_line("mallory*behave");
    out.stdout.wait_for_part("behave");
    assert!(!out.stdout.text().contains("quiet at last"), "{}", out.stdout.text());
    assert!(!bob.stdout.text().contains("you cannot stop me"), "{}", bob.stdout.text());

    operator(&scene.rig, &["room", "deop", "lobby", "alice"]).assert_code(0);
    types(&mut alice, "/unban mallory", "only a moderator of the lobby may do that");
}

#[test]
fn a_ban_from_the_lobby_outlives_a_restart_and_is_taken_back() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let mallory = scene.client("mallory");
    for client in [&alice, &bob, &mallory] {
        client.run(&["send", "#lobby", "good morning"]).assert_code(0);
    }
    operator(&scene.rig, &["room", "op", "lobby", "alice"]).assert_code(0);
    let mut chat = alice.chat();
    chat.type_line("/ban bob");
    types(&mut chat, "/ban mallory", "mallory was banned from the lobby by alice");
    types(&mut chat, "/ban nobody", "nobody is called nobody");
    chat.finish().assert_code(6);

    scene.server.restart(&scene.rig, &[]);
    let refused = mallory.run(&["send", "#lobby", "I am back"]).expect_code(6);
    assert!(refused.stderr.contains("banned you from the lobby"), "{refused:?}");
    let shown = operator(&scene.rig, &["user", "show", "mallory"]).expect_code(0);
    assert!(shown.stdout.contains("banned by alice"), "{shown:?}");
    alice.run(&["send", "#lobby", "without them"]).assert_code(0);
    alice.run(&["send", "mallory", "a word"]).assert_code(0);
    let heard = mallory.run(&["listen", "--for", "3s", "--json"]).expect_code(0).texts();
    assert!(heard.iter().any(|text| text == "a word"), "{heard:?}");
    assert!(!heard.iter().any(|text| text == "without them"), "{heard:?}");

    let roster = alice.pipe(&["/members"], &[]).expect_code(0);
    assert!(
        !roster.stdout.contains("mallory,") && !roster.stdout.contains("mallory\n"),
        "{roster:?}"
    );

    let (mut again, mut waits) = (alice.chat(), mallory.chat());
    types(&mut waits, "/join lobby", "alice has banned you from the lobby");
    again.type_line("/unban mallory");
    waits.stdout.wait_for_part("mallory was let into the lobby again by alice");
    types(&mut again, "before she is back", "✓ stored");
    types(&mut waits, "/join lobby", "you are in #lobby");
    waits.type_line("I behave");
    again.stdout.wait_for_part("mallory: I behave");
    again.type_line("welcome");
    waits.stdout.wait_for_part("alice: welcome");
    let shown = waits.stdout.text();
    for part in ["without them", "before she is back", "missing", "ALARM", "offline"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }

    // Bob hears of it when he comes: he was away all the time, a member by the chain.
    types(&mut again, "/unban bob", "bob was let into the lobby again by alice");
    let mut late = bob.chat();
    late.stdout.wait_for_part("you have left #lobby");
    types(&mut late, "/join lobby", "you are in #lobby");
    late.type_line("me too");
    again.stdout.wait_for_part("bob: me too");
    again.type_line("welcome, bob");
    late.stdout.wait_for_part("alice: welcome, bob");
    // Nor is it handed to him again, and nothing of it is missing.
    again.type_line("bob*is that all?");
    late.stdout.wait_for_part("is that all?");
    let shown = late.stdout.text();
    for part in ["without them", "before she is back", "missing", "ALARM"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }
}
