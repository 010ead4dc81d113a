//! Attacks on who is new in a room.

use std::time::Duration;

use chat_evil_hub::words::withheld_bundle as withheld;

use super::{Report, Stage, Verdict, screen};
use crate::program::Program;
use crate::types;

/// Alice is told when she says something, before it is sent.
const TOLD: Duration = Duration::from_secs(3);

/// What is said with an honest hub, how often, and how long it is waited for each time. The first may have been sealed
/// before the connection ended.
const AFTER: &str = "honest again";
const TIMES: usize = 10;
const AGAIN: Duration = Duration::from_secs(3);

/// In the lobby carol's join cannot be verified; in the room she is a member by bob's signature.
pub(super) fn withheld_bundle() -> Report {
    let stage = Stage::new(withheld("carol"));
    let [mut alice, mut bob] = ["alice", "bob"].map(|who| stage.person(who));
    types(&mut bob, "/create crew private", "you are in #crew");
    types(&mut bob, "/invite alice", "[bob] added alice to #crew");
    alice.stdout.wait_for_part("bob added you to #crew");
    for room in ["lobby", "crew"] {
        types(&mut alice, &format!("/room {room}"), &format!("what you type goes to #{room}"));
        alice.type_line("the two of us");
        bob.stdout.wait_for_part(&format!("#{room} alice: the two of us"));
    }
    stage.switch.set(true);
    let carol = stage.person("carol");
    types(&mut bob, "/invite carol", "[bob] added carol to #crew");
    alice.stdout.wait_for_part("[bob] added carol to #crew");
    let mut seen = Vec::new();
    for room in ["crew", "lobby"] {
        types(&mut alice, &format!("/room {room}"), &format!("what you type goes to #{room}"));
        alice.type_line("for all three");
        bob.stdout.wait_for_part(&format!("#{room} alice: for all three"));
        let told = format!("what you say in #{room} does not reach carol:");
        let is_told = |lines: &[String]| lines.iter().any(|line| line.contains(&told));
        if !alice.stdout.within(TOLD, is_told) {
            let saw = format!("carol gets nothing of #{room}, and alice is not told");
            return Report::new(Verdict::Succeeded, saw);
        }
        let words = screen::words(&alice.stdout.text());
        let line = words.iter().filter(|word| word.contains(&told)).map(String::as_str);
        seen.extend(screen::quote("alice", line));
    }
    if stage.switch.told() == 0 {
        return Report::new(Verdict::Failed, "the lie was never told");
    }
    stage.switch.set(false);
    stage.proxy.cut();
    if !is_reached(&mut alice, &carol) {
        return Report::new(Verdict::Succeeded, "carol is not reached with an honest hub either");
    }
    Report::new(Verdict::Detected, format!("{}; then carol is reached", seen.join("; ")))
}

fn is_reached(alice: &mut Program, carol: &Program) -> bool {
    let hears = |lines: &[String]| lines.iter().any(|line| line.contains(AFTER));
    (0..TIMES).any(|_| {
        alice.type_line(AFTER);
        carol.stdout.within(AGAIN, hears)
    })
}
