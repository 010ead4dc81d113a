//! Attacks on files that are shared.
#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use chat_evil_hub::Act;
use chat_evil_hub::offers::{change_header, header, list};
use serde_json::Value;

use super::{Report, Stage, Verdict, screen};
use crate::program::Program;

/// Shares one file with everybody until the program is dropped.
pub(super) fn share(stage: &Stage, user: &str, content: &str) -> Program {
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

/// What alice shares.
const ALICES: &str = "what alice has written";

/// Bob looks for this file under alice's name, and fetches it, while alice and mallory share theirs and
/// the hub lies about the list.
fn look(act: Act, name: &str) -> Report {
    let stage = Stage::new(act);
    let _sharing = [
        share(&stage, "alice", ALICES),
        share(&stage, "mallory", "what mallory has written, and more of it"),
    ];
    stage.switch.set(true);
    let bob = stage.client("bob");
    let found = bob.run(&["find", "plan", "--json"]);
    let target = stage.rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    let got = bob.run(&["get", "alice", name, "-o", target.to_str().unwrap()]);
    if stage.switch.told() == 0 {
        return Report::new(Verdict::Failed, "the list was not changed");
    }
    // Asked for by its owner alone, her own file comes.
    let fetched = std::fs::read_to_string(target.join(name));
    if fetched.is_ok_and(|content| content != ALICES) {
        return Report::new(Verdict::Succeeded, "fetched as alice's");
    }
    let mut files = found.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
    if files.any(|file: Value| file["owner"] == "alice" && file["name"] == name) {
        return Report::new(Verdict::Succeeded, "bob's list shows it as alice's");
    }
    let words = screen::words(&(found.stderr + &got.stderr));
    let quoted = screen::quote("bob", words.iter().map(String::as_str));
    quoted.map_or_else(
        || Report::new(Verdict::Succeeded, "it is not shown, and bob is not told why"),
        |quoted| Report::new(Verdict::Refused, quoted),
    )
}

pub(super) fn anothers_file() -> Report {
    let act = list(|offers| {
        for offer in offers.iter_mut().filter(|offer| offer["owner"] == "mallory") {
            offer["owner"] = "alice".into();
        }
    });
    look(act, "mallory.txt")
}

pub(super) fn other_content() -> Report {
    let act = list(|offers| {
        let find = |owner: &str| offers.iter().position(|offer| offer["owner"] == owner);
        let (Some(hers), Some(others)) = (find("alice"), find("mallory")) else { return };
        let (from, to) = (header(&offers[hers]), header(&offers[others]));
        change_header(&mut offers[hers], |header| {
            ["root", "size"].iter().fold(header.to_owned(), |header, field| {
                let part = |value: &Value| format!("\"{field}\":{}", value[field]);
                header.replace(&part(&from), &part(&to))
            })
        });
    });
    look(act, "alice.txt")
}
