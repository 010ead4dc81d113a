//! When somebody was heard of last is shown of whom allows it.

use std::time::Instant;

use chat_tests::{LIMIT, Program, Scene, types};

const SEEN: &str = "heard of last";

/// What `/whois` says of somebody now. The answer to the line behind it says that all of it is there.
fn whois(person: &mut Program, name: &str) -> String {
    let before = person.stdout.count();
    person.type_line(&format!("/whois {name}"));
    person.type_line("/version");
    let is_all =
        |lines: &[String]| lines.iter().skip(before).any(|line| line.contains("chat-client"));
    assert!(person.stdout.within(LIMIT, is_all), "{}", person.stdout.text());
    let text = person.stdout.text();
    text.lines().skip(before).collect::<Vec<_>>().join("\n")
}

/// Waits until somebody may see when alice was heard of last, or may not any more: what is told comes behind a text.
#[track_caller]
fn comes_to(person: &mut Program, is_seen: bool) {
    let begun = Instant::now();
    loop {
        let told = whois(person, "alice");
        if told.contains(SEEN) == is_seen {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{told}");
    }
}

/// Goal: `/set seen on` lets those whom one writes to alone see when one was heard of last, and nobody else; `off` ends it
/// with the next text.
#[test]
fn when_somebody_was_heard_of_last_is_shown_of_whom_allows_it() {
    let (_scene, [mut alice, mut bob, mut carol]) = Scene::with(["alice", "bob", "carol"]);
    types(&mut alice, "bob*before", "delivered to bob");
    assert!(!whois(&mut bob, "alice").contains(SEEN));
    types(&mut alice, "/set seen on", "seen = on");
    types(&mut alice, "in the lobby", "stored for #lobby");
    assert!(!whois(&mut bob, "alice").contains(SEEN), "it goes with a text for one alone");
    alice.type_line("bob*from now on");
    comes_to(&mut bob, true);
    assert!(!whois(&mut carol, "alice").contains(SEEN), "nobody else was told");
    types(&mut alice, "/set seen off", "seen = off");
    alice.type_line("bob*and no more");
    comes_to(&mut bob, false);
    let nobody_hears_of_it = bob.finish().stdout;
    assert!(!nobody_hears_of_it.contains("seen = "), "{nobody_hears_of_it}");
}
