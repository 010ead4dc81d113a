//! An honest operator puts back an older disk.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Report, Verdict};
use crate::{Rig, person, types};

/// All talk again by then.
const AGAIN: Duration = Duration::from_secs(10);

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.path().is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn older_disk() -> Report {
    let rig = Rig::new();
    let mut server = rig.server();
    let url = server.url().to_owned();
    let (mut alice, mut bob) = (person(&rig, &url, "alice"), person(&rig, &url, "bob"));
    types(&mut alice, "bob*before the backup", "delivered to bob");
    bob.type_line("the lobby, before");
    alice.stdout.wait_for_part("#lobby bob: the lobby, before");
    server.kill_hard();
    copy(&rig.data(), &rig.path("backup"));
    server.restart(&rig, &[]);
    // New devices, so new epochs.
    for home in ["bob-laptop", "bob-phone"] {
        let laptop = rig.client("bob", &url).with_home(rig.path(home));
        laptop.run_known(&["send", "alice", "from another machine"]).assert_code(0);
        alice.type_line(&format!("bob*to {home} too"));
        bob.stdout.wait_for_part(&format!("to {home} too"));
        alice.type_line(&format!("the lobby, with {home}"));
        bob.stdout.wait_for_part(&format!("the lobby, with {home}"));
    }
    server.kill_hard();
    std::fs::remove_dir_all(rig.data()).unwrap();
    copy(&rig.path("backup"), &rig.data());
    server.restart(&rig, &[]);
    let begun = Instant::now();
    alice.type_line("bob*after the backup");
    alice.type_line("the lobby, after");
    bob.type_line("alice*after it, too");
    let expected = [
        (&bob, "alice → you: after the backup"),
        (&bob, "#lobby alice: the lobby, after"),
        (&alice, "bob → you: after it, too"),
    ];
    let is_missing = |(who, line): &(&crate::Program, &str)| {
        let left = AGAIN.saturating_sub(begun.elapsed());
        !who.stdout.within(left, |lines| lines.iter().any(|shown| shown.contains(line)))
    };
    let missing: Vec<_> = expected.into_iter().filter(is_missing).map(|(_, line)| line).collect();
    let seconds = begun.elapsed().as_secs();
    let laptop = rig.client("bob", &url).with_home(rig.path("bob-laptop"));
    let laptop = laptop.run_known(&["send", "alice", "from the newer machine"]);
    if !missing.is_empty() || laptop.code != Some(0) {
        let told = laptop.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
        let saw = format!("not heard: {missing:?}; the newer machine: {:?} {told}", laptop.code);
        return Report::new(Verdict::Succeeded, saw);
    }
    let screens = [("alice", alice.stdout.text()), ("bob", bob.stdout.text())];
    let mut report = Report::detected(&screens, &["rolled_back"], "all talk, and nobody is told");
    report.saw = format!("{}; all talk again after {seconds} s", report.saw);
    report
}
