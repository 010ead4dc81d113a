//! Attacks on files that are shared.
#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_evil_hub::{Act, read};
use chat_testkit::middle::{Passing, Way};
use serde_json::Value;

use super::{Report, Stage, Verdict};
use crate::program::Program;

/// Changes the list that bob is given.
fn list(change: impl Fn(&mut Vec<Value>) + Send + 'static) -> Act {
    Box::new(move |_, passing: Passing| match read::text(&passing, Way::ToClient, "FOUND") {
        Some(mut found) if passing.user == "bob" => {
            change(found["offers"].as_array_mut().unwrap());
            vec![read::with_text(&passing, &found)]
        }
        _ => vec![passing],
    })
}

/// Shares one file with everybody until the program is dropped.
fn share(stage: &Stage, user: &str, content: &str) -> Program {
    let folder = stage.rig.path(&format!("shared-{user}"));
    std::fs::create_dir_all(&folder).unwrap();
    let name = format!("{user}.txt");
    std::fs::write(folder.join(&name), content).unwrap();
    std::fs::write(folder.join("keyword.txt"), format!("plan, {name}")).unwrap();
    let arguments = ["share", folder.to_str().unwrap(), "--to", "ALL", "--json"];
    let program = stage.client(user).start(&arguments);
    program.stdout.wait_for("the list is at the server", |line| line.contains("\"shared\""));
    program
}

/// What bob is shown of the list, and what he gets for `get alice NAME`.
fn look(act: Act, name: &str) -> (String, Option<String>, String) {
    let stage = Stage::new(act);
    let _sharing = [
        share(&stage, "alice", "what alice has written"),
        share(&stage, "mallory", "what mallory has written, and more of it"),
    ];
    stage.switch.set(true);
    let bob = stage.client("bob");
    let found = bob.run(&["find", "plan", "--json"]);
    let target = stage.rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    let got = bob.run(&["get", "alice", name, "-o", target.to_str().unwrap()]);
    let content = std::fs::read_to_string(target.join(name)).ok();
    (found.stdout + &found.stderr, content, got.stderr)
}

fn judge(listed: bool, (found, content, said): (String, Option<String>, String)) -> Report {
    if content.is_some_and(|content| content.contains("mallory")) {
        return Report::new(Verdict::Succeeded, "fetched as alice's, and it is mallory's");
    }
    if listed {
        return Report::new(Verdict::Succeeded, "bob's list shows mallory's file as alice's");
    }
    let told = found.lines().chain(said.lines()).find(|line| line.contains("signature"));
    let saw = told.or(said.lines().next_back()).unwrap_or("nothing of it is shown").trim();
    Report::new(Verdict::Refused, saw)
}

pub(super) fn anothers_file() -> Report {
    let seen = look(
        list(|offers| {
            for offer in offers.iter_mut().filter(|offer| offer["owner"] == "mallory") {
                offer["owner"] = "alice".into();
            }
        }),
        "mallory.txt",
    );
    let listed =
        lines(&seen.0).any(|file| file["owner"] == "alice" && file["name"] == "mallory.txt");
    judge(listed, seen)
}

pub(super) fn other_content() -> Report {
    let seen = look(
        list(|offers| {
            let hers = offers.iter().find(|offer| offer["owner"] == "mallory");
            let hers = hers.map(|offer| offer["offer"]["open"].clone());
            for offer in offers.iter_mut().filter(|offer| offer["owner"] == "alice") {
                if let Some(hers) = &hers {
                    offer["offer"]["open"] = hers.clone();
                }
            }
        }),
        "mallory.txt",
    );
    let listed =
        lines(&seen.0).any(|file| file["owner"] == "alice" && file["name"] == "mallory.txt");
    judge(listed, seen)
}

fn lines(said: &str) -> impl Iterator<Item = Value> {
    said.lines().filter_map(|line| serde_json::from_str(line).ok())
}
