//! Attacks on who is in a room.

use std::time::{Duration, Instant};

use chat_evil_hub::Switch;
use chat_evil_hub::detour::{Place, around, around_and_far};
use chat_evil_hub::key_cut::{Cut, around_and_cut};

use super::{Report, Stage, Verdict, screen};
use crate::program::Program;
use crate::types;

const ROOM: &str = "room:crew";

/// What mallory writes after the ban.
const LATE: &str = "I am still here";

/// What tells a person of it.
const TOLD: [&str; 3] = ["ALARM seals_for_removed", "ALARM not_a_member", "ALARM other_view"];

/// Who was kept in the dark must have been told by the others by then.
const REPAIRED: Duration = Duration::from_secs(40);

/// Alice is told before bob has said more.
const MESSAGES_MAX: usize = 3;

/// How long it is waited for a key that is to be cut off, and how often it is looked for.
const CUT_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// How long it is waited for what each message does.
const AGAIN: Duration = Duration::from_secs(3);

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

fn is_told(lines: &[String]) -> bool {
    lines.iter().any(|line| TOLD.iter().any(|told| line.contains(told)))
}

/// Bob says something again and again, until alice hears it and mallory gets it and cannot read it.
fn repaired(alice: &Program, bob: &mut Program, mallory: &Program) -> bool {
    let begun = Instant::now();
    for number in 1.. {
        let text = format!("only for the two of us, {number}");
        bob.type_line(&text);
        let heard = |lines: &[String]| lines.iter().any(|line| line.contains(&text));
        if alice.stdout.within(AGAIN, heard) && !mallory.stdout.within(AGAIN / 3, heard) {
            return true;
        }
        if begun.elapsed() > REPAIRED {
            break;
        }
    }
    false
}

pub(super) fn withheld_removal() -> Report {
    let stage = Stage::new(around(ROOM, "bob", &["alice", "mallory"], Place::Now));
    let [mut alice, mut bob, mallory] = crew(&stage);
    stage.switch.set(true);
    types(&mut alice, "/kick mallory", "[alice] removed mallory from #crew");
    is_seen_and_mended(&alice, &mut bob, &mallory)
}

pub(super) fn withheld_removal_far_position() -> Report {
    let stage = Stage::new(around_and_far(ROOM, "bob", ("alice", &["alice", "mallory"])));
    let [mut alice, mut bob, mallory] = crew(&stage);
    stage.switch.set(true);
    types(&mut alice, "/kick mallory", "[alice] removed mallory from #crew");
    is_seen_and_mended(&alice, &mut bob, &mallory)
}

/// So often the connection is ended at a key.
const CUTS: usize = 3;

/// In each way in which alice's key can be cut off; the worst that any of them comes to.
pub(super) fn withheld_removal_key_cut() -> Report {
    let mut seen = Vec::new();
    for (cut, what, times) in [
        (Cut::BeforeKey, "before the key", 1),
        (Cut::BeforeAnswer, "before its answer", 1),
        (Cut::Always, "again and again", CUTS),
    ] {
        let cuts = Switch::default();
        let others = ("alice", &["alice", "mallory"][..]);
        let stage = Stage::new(around_and_cut(ROOM, "bob", others, (cut, cuts.clone())));
        let [mut alice, mut bob, mallory] = crew(&stage);
        stage.switch.set(true);
        types(&mut alice, "/kick mallory", "[alice] removed mallory from #crew");
        for time in 1..=times {
            // A device that says its key no more after a connection has ended is cut off once.
            let begun = Instant::now();
            while cuts.told() < time && begun.elapsed() < CUT_WAIT {
                std::thread::sleep(LOOK);
            }
            stage.proxy.cut_off("alice");
            alice.type_line(&format!("/msg bob back for the time {time}"));
            bob.stdout.wait_for_part(&format!("back for the time {time}"));
        }
        let report = is_seen_and_mended(&alice, &mut bob, &mallory);
        if report.verdict != Verdict::Detected {
            return Report::new(report.verdict, format!("cut {what}: {}", report.saw));
        }
        seen.push(format!("cut {what}: {}", report.saw));
    }
    Report::new(Verdict::Detected, seen.join("; "))
}

/// Bob seals for mallory until alice's device, which is told, has told his.
fn is_seen_and_mended(alice: &Program, bob: &mut Program, mallory: &Program) -> Report {
    // What bob says before alice's device has the next key is no reason for an alarm.
    for number in 1..=MESSAGES_MAX {
        let text = format!("our plan, part {number}");
        bob.type_line(&text);
        alice.stdout.wait_for_part(&text);
        mallory.stdout.wait_for_part(&text);
        if alice.stdout.within(AGAIN, is_told) {
            break;
        }
    }
    let screens = [("alice", alice.stdout.text())];
    let report = Report::detected(&screens, &TOLD, "mallory reads on, and alice is not told");
    if report.verdict != Verdict::Detected {
        return report;
    }
    if !repaired(alice, bob, mallory) {
        return Report::new(Verdict::Succeeded, "bob seals for mallory on and on");
    }
    let words = screen::words(&mallory.stdout.text());
    let unread = screen::quote("mallory", words.iter().map(String::as_str));
    let unread = unread.map(|unread| format!("; {unread}")).unwrap_or_default();
    let saw = format!("{}; then bob seals for alice alone{unread}", report.saw);
    Report::new(Verdict::Detected, saw)
}

/// Mallory, who is banned and not told so, writes into the room; what alice and bob see.
fn banned(place: Place) -> [(&'static str, String); 2] {
    let stage = Stage::new(around(ROOM, "mallory", &["alice", "bob"], place));
    let [mut alice, mut bob, mut mallory] = crew(&stage);
    stage.switch.set(true);
    types(&mut alice, "/ban mallory", "[alice] banned mallory from #crew");
    bob.stdout.wait_for_part("[alice] banned mallory from #crew");
    alice.type_line("without mallory");
    bob.stdout.wait_for_part("#crew alice: without mallory");
    mallory.type_line(LATE);
    let is_told = |line: &str| line.contains(LATE) || TOLD.iter().any(|told| line.contains(told));
    alice.stdout.wait_for_count(1, is_told);
    bob.stdout.wait_for_count(1, is_told);
    // And the members go on.
    alice.type_line("go on");
    bob.stdout.wait_for_part("#crew alice: go on");
    bob.type_line("yes, go on");
    alice.stdout.wait_for_part("#crew bob: yes, go on");
    [("alice", alice.stdout.text()), ("bob", bob.stdout.text())]
}

pub(super) fn banned_writer() -> Report {
    let screens = banned(Place::Now);
    if screens.iter().any(|(_, screen)| screen.contains(LATE)) {
        return Report::new(Verdict::Succeeded, "it is shown");
    }
    Report::detected(&screens, &TOLD, "dropped, and nobody is told")
}

pub(super) fn said_before() -> Report {
    let screens = banned(Place::Back);
    let told = [&TOLD[..], &["has gone since"]].concat();
    Report::detected(&screens, &told, "shown as an ordinary line")
}
