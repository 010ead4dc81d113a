//! The lobby's moderators, through the real programs.

use chat_tests::{Rig, operator};

#[test]
fn a_moderator_puts_somebody_out_of_the_lobby_and_the_server_says_so() {
    let rig = Rig::new();
    let server = rig.server();
    let mut alice = rig.client("alice", server.url()).chat();
    let mut bob = rig.client("bob", server.url()).chat();
    let mut out = rig.client("mallory", server.url()).chat();
    out.type_line("look at me");
    for screen in [&alice, &bob] {
        screen.stdout.wait_for_part("mallory: look at me");
    }

    // Nobody is one until the operator says so.
    bob.type_line("/kick mallory");
    bob.stdout.wait_for_part("only a moderator of the lobby may do that");
    operator(&rig, &["room", "op", "ops", "alice"]).assert_code(2);
    operator(&rig, &["room", "op", "lobby", "nobody"]).assert_code(1);
    let made = operator(&rig, &["room", "op", "lobby", "alice"]).expect_code(0);
    assert!(made.stdout.contains("alice"), "{made:?}");
    let shown = operator(&rig, &["user", "show", "alice"]).expect_code(0);
    assert!(shown.stdout.contains("moderator"), "{shown:?}");
    bob.type_line("/topic anything");
    bob.stdout.wait_for_part("only moderators set the topic");
    alice.type_line("/topic be kind");
    bob.stdout.wait_for_part("set the topic of #lobby: be kind");

    alice.type_line("/kick mallory");
    for screen in [&alice, &bob, &out] {
        let told = "the server says: mallory was removed from the lobby by alice";
        screen.stdout.wait_for_part(told);
    }
    out.type_line("you cannot stop me");
    out.stdout.wait_for_part("so this was not sent: you cannot stop me");
    bob.type_line("quiet at last");
    alice.stdout.wait_for_part("bob: quiet at last");
    // Elsewhere mallory is as before; what was delivered by then would stand above it.
    bob.type_line("mallory*behave");
    out.stdout.wait_for_part("behave");
    assert!(!out.stdout.text().contains("quiet at last"), "{}", out.stdout.text());
    assert!(!bob.stdout.text().contains("you cannot stop me"), "{}", bob.stdout.text());

    operator(&rig, &["room", "deop", "lobby", "alice"]).assert_code(0);
    alice.type_line("/unban mallory");
    alice.stdout.wait_for_part("only a moderator of the lobby may do that");
}

#[test]
fn a_ban_from_the_lobby_outlives_a_restart_and_is_taken_back() {
    let rig = Rig::new();
    let mut server = rig.server();
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    let mallory = rig.client("mallory", server.url());
    for client in [&alice, &bob, &mallory] {
        client.run(&["send", "#lobby", "good morning"]).assert_code(0);
    }
    operator(&rig, &["room", "op", "lobby", "alice"]).assert_code(0);
    let mut chat = alice.chat();
    chat.type_line("/ban bob");
    chat.type_line("/ban mallory");
    chat.stdout.wait_for_part("mallory was banned from the lobby by alice");
    chat.type_line("/ban nobody");
    chat.stdout.wait_for_part("nobody is called nobody");
    chat.finish().assert_code(6);

    server.restart(&rig, &[]);
    let refused = mallory.run(&["send", "#lobby", "I am back"]).expect_code(6);
    assert!(refused.stderr.contains("banned you from the lobby"), "{refused:?}");
    let shown = operator(&rig, &["user", "show", "mallory"]).expect_code(0);
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
    waits.type_line("/join lobby");
    waits.stdout.wait_for_part("alice has banned you from the lobby");
    again.type_line("/unban mallory");
    waits.stdout.wait_for_part("mallory was let into the lobby again by alice");
    again.type_line("before she is back");
    again.stdout.wait_for_part("✓ stored");
    waits.type_line("/join lobby");
    waits.stdout.wait_for_part("you are in #lobby");
    waits.type_line("I behave");
    again.stdout.wait_for_part("mallory: I behave");
    again.type_line("welcome");
    waits.stdout.wait_for_part("alice: welcome");
    let shown = waits.stdout.text();
    for part in ["without them", "before she is back", "missing", "ALARM", "offline"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }

    // Bob hears of it when he comes: he was away all the time, a member by the chain.
    again.type_line("/unban bob");
    again.stdout.wait_for_part("bob was let into the lobby again by alice");
    let mut late = bob.chat();
    late.stdout.wait_for_part("you have left #lobby");
    late.type_line("/join lobby");
    late.stdout.wait_for_part("you are in #lobby");
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
