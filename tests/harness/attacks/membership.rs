//! Attacks on who is in a room.

use chat_evil_hub::detour;

use super::{Report, Stage, Verdict};
use crate::program::Program;
use crate::types;

const ROOM: &str = "room:crew";

/// What tells a person of it.
const TOLD: [&str; 3] = ["ALARM", "still seals", "not_a_member"];

/// Alice, bob and mallory in a private room; each has heard alice there.
fn crew(stage: &Stage) -> [Program; 3] {
    let [mut alice, mut bob, mut mallory] =
        ["alice", "bob", "mallory"].map(|who| stage.person(who));
    types(&mut alice, "/create crew private", "you are in #crew");
    for who in ["bob", "mallory"] {
        types(&mut alice, &format!("/invite {who}"), &format!("[alice] added {who} to #crew"));
    }
    for person in [&mut bob, &mut mallory] {
        person.stdout.wait_for_part("alice added you to #crew");
        types(person, "/room crew", "what you type goes to #crew");
    }
    alice.type_line("all three of us");
    for person in [&mut bob, &mut mallory] {
        person.stdout.wait_for_part("#crew alice: all three of us");
        person.type_line("I am here");
    }
    alice.stdout.wait_for_part("#crew bob: I am here");
    alice.stdout.wait_for_part("#crew mallory: I am here");
    [alice, bob, mallory]
}

pub(super) fn withheld_removal() -> Report {
    let stage = Stage::new(detour::around(ROOM, "bob", &["alice", "mallory"]));
    let [mut alice, mut bob, mallory] = crew(&stage);
    stage.switch.set(true);
    types(&mut alice, "/kick mallory", "[alice] removed mallory from #crew");
    bob.type_line("our plan, part one");
    bob.type_line("our plan, part two");
    alice.stdout.wait_for_part("our plan, part two");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let reads = mallory.stdout.text().contains("our plan");
    if !reads {
        return Report::new(Verdict::Failed, "mallory got nothing: the lie was not told");
    }
    Report::detected(&alice.stdout.text(), &TOLD, "mallory reads on, and alice is not told")
}

pub(super) fn banned_writer() -> Report {
    let stage = Stage::new(detour::around(ROOM, "mallory", &["alice", "bob"]));
    let [mut alice, mut bob, mut mallory] = crew(&stage);
    stage.switch.set(true);
    types(&mut alice, "/ban mallory", "[alice] banned mallory from #crew");
    bob.stdout.wait_for_part("[alice] banned mallory from #crew");
    alice.type_line("without mallory");
    bob.stdout.wait_for_part("#crew alice: without mallory");
    mallory.type_line("I am still here");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let shown = "#crew mallory: I am still here";
    if bob.stdout.text().contains(shown) || alice.stdout.text().contains(shown) {
        return Report::new(Verdict::Succeeded, "shown as an ordinary line");
    }
    // And the members go on.
    alice.type_line("go on");
    bob.stdout.wait_for_part("#crew alice: go on");
    bob.type_line("yes, go on");
    alice.stdout.wait_for_part("#crew bob: yes, go on");
    let said = bob.stdout.text() + &alice.stdout.text();
    Report::detected(&said, &TOLD, "dropped, and nobody is told")
}
