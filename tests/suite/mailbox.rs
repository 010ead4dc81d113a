//! How much may wait for somebody who is away.

use chat_tests::{Finished, Rig};

/// The code of a refused one-shot, or `stored`.
fn outcome(sent: &Finished) -> String {
    match sent.events_named("noack").first() {
        Some(refused) => refused["code"].as_str().unwrap_or_default().to_owned(),
        None => "stored".to_owned(),
    }
}

/// Goal: at the quota a message is refused, everything older is kept, also over a restart, and there
/// is room again when the person has fetched. Method: a quota of five, two senders, a killed server.
#[test]
fn a_full_mailbox_refuses_the_next_message_and_keeps_all_before_it() {
    let rig = Rig::new();
    let quota = ["--mailbox-messages", "5", "--limit", "mailbox_part=off"];
    let mut server = rig.server_with(&quota);
    let (alice, carol) = (rig.client("alice", server.url()), rig.client("carol", server.url()));
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    for number in 1..=3 {
        let text = format!("alice {number}");
        assert_eq!(outcome(&alice.run(&["send", "bob", &text, "--json"])), "stored");
    }
    server.restart(&rig, &quota);
    for number in 1..=2 {
        let text = format!("carol {number}");
        assert_eq!(outcome(&carol.run(&["send", "bob", &text, "--json"])), "stored");
    }
    for sender in [&alice, &carol] {
        let refused = sender.run(&["send", "bob", "one too many", "--json"]).expect_code(6);
        assert_eq!(outcome(&refused), "E_MAILBOX_FULL", "{refused:?}");
    }
    let other = alice.run(&["send", "carol", "to somebody else", "--json"]);
    assert_eq!(outcome(&other), "stored");
    let received = bob.run(&["listen", "--count", "5", "--for", "30s", "--json"]).expect_code(0);
    let mut texts = received.texts();
    // Each sender's are in order; between two conversations there is none.
    texts.sort_by_key(|text| text.starts_with("carol"));
    assert_eq!(texts, ["alice 1", "alice 2", "alice 3", "carol 1", "carol 2"]);
    assert_eq!(outcome(&alice.run(&["send", "bob", "room again", "--json"])), "stored");
    let received = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(received.texts(), ["room again"]);
}
