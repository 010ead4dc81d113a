//! Attacks on commands.

use bytes::Bytes;
use chat_evil_hub::{Act, lie, read};
use chat_protocol::header::Header;
use chat_protocol::id::Digest;
use chat_protocol::tag::Tag;
use chat_testkit::middle::{Message, Passing, Way};
use serde_json::json;

use super::{Report, Stage, Verdict, screen};
use crate::{Client, Program};

/// Ends of two commands that say when they ran.
const FIRST: &str = "+%s%N-first";
const SECOND: &str = "+%s%N-second";

/// Longer than anybody waits here.
const NAP: &str = "300";

/// Bob's machine, which lets alice ask for the time in two ways, or let it sleep.
fn machine(stage: &Stage) -> (Client, Program) {
    let alice = stage.client("alice");
    let said = alice.pipe(&["/fingerprint"], &[]).expect_code(0).stdout;
    let key = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: ")).unwrap();
    let rule = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{}\" }}]\nargv = [[\"date\", \"{FIRST}\"], [\"date\", \"{SECOND}\"], [\"sleep\", \"{NAP}\"]]\n",
        key.trim()
    );
    let path = stage.rig.write("policy.toml", &rule);
    let agent = stage.client("bob").start(&["agent", "--policy", path.to_str().unwrap()]);
    agent.stderr.wait_for_part("accepting commands");
    (alice, agent)
}

/// The first command that comes to bob's machine comes after the second one.
fn swap() -> Act {
    let (mut late, mut is_done) = (None, false);
    Box::new(move |_, passing: Passing| {
        let is_command = passing.user == "bob"
            && matches!(read::delivery(&passing), Some((Header::Message(h), _)) if h.t == Tag::Cmd);
        if is_command && !is_done {
            match late.take() {
                None => {
                    late = Some(passing);
                    return Vec::new();
                }
                Some(first) => {
                    is_done = true;
                    return vec![passing, first];
                }
            }
        }
        vec![passing]
    })
}

/// The ids at the end of lines that begin in this way: `· bob runs it [ID]`.
fn ids(screen: &str, begin: &str) -> Vec<String> {
    let lines = screen.lines().filter(|line| line.starts_with(begin));
    lines.filter_map(|line| Some(line.rsplit_once('[')?.1.to_owned())).collect()
}

pub(super) fn swapped() -> Report {
    let stage = Stage::new(swap());
    let (alice, _agent) = machine(&stage);
    let mut alice = alice.chat();
    stage.switch.set(true);
    for command in [FIRST, SECOND] {
        alice.type_line(&format!("/run bob -- date {command}"));
    }
    let has_ended =
        |line: &str| line.starts_with("✓ bob: done") || line.starts_with("✗ bob: NOACK");
    alice.stdout.wait_for_count(2, has_ended);
    let screen = alice.stdout.text();
    let (asked, started) = (ids(&screen, "✓ stored"), ids(&screen, "· bob runs it"));
    if stage.switch.told() == 0 {
        return Report::new(Verdict::Failed, "the commands were not swapped");
    }
    if started == asked {
        let lines = screen.lines().filter(|line| line.starts_with("· bob runs it"));
        let quoted = screen::quote("alice", lines).unwrap_or_default();
        return Report::new(Verdict::Refused, format!("{quoted}, in the order of what she typed"));
    }
    if started.len() == asked.len() {
        return Report::new(Verdict::Succeeded, "the second was started before the first");
    }
    Report::detected(&[("alice", screen)], &["E_ORDER"], "one of them is missing, and no word")
}

pub(super) fn refused() -> Report {
    let stage = Stage::new((lie("refused").make)());
    let (alice, agent) = machine(&stage);
    stage.switch.set(true);
    let run = || alice.run(&["run", "bob", "--", "date", FIRST]);
    let first = run();
    agent.stderr.wait_for_part("alice asks to run");
    let again = run();
    let said = again.stderr.trim();
    if said.contains("--again") {
        let words = first.stderr.lines().chain(said.lines());
        let words =
            words.filter(|line| line.contains("the server says") || line.contains("--again"));
        return Report::new(Verdict::Refused, screen::quote("alice", words).unwrap_or_default());
    }
    let told = first.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
    Report::new(Verdict::Succeeded, format!("typed again, it runs twice; the first said: {told}"))
}

/// The first command that comes to bob's machine comes in the place of what takes it back.
fn keep_until_taken_back() -> Act {
    let mut kept = None;
    Box::new(move |_, passing: Passing| {
        let tag = match read::delivery(&passing) {
            Some((Header::Message(header), _)) if passing.user == "bob" => Some(header.t),
            _ => None,
        };
        match tag {
            Some(Tag::Cmd) if kept.is_none() => {
                kept = Some(passing);
                Vec::new()
            }
            Some(Tag::Cancel) => kept.clone().into_iter().collect(),
            _ => vec![passing],
        }
    })
}

pub(super) fn given_up() -> Report {
    let stage = Stage::new(keep_until_taken_back());
    let (alice, agent) = machine(&stage);
    stage.switch.set(true);
    let run = || alice.run(&["run", "--timeout", "2s", "bob", "--", "date", FIRST]);
    let first = run();
    agent.stderr.wait_for_part("alice asks to run");
    let again = run();
    if !again.stderr.contains("--again") {
        let told = first.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
        let why = format!("typed again, it runs twice; the first said: {told}");
        return Report::new(Verdict::Succeeded, why);
    }
    let mut listen = alice.start(&["listen"]);
    listen.stdout.wait_for_part("bob: done");
    listen.terminate();
    let heard = listen.wait();
    let words = first.stderr.lines().chain(again.stderr.lines()).chain(heard.stdout.lines());
    let told = ["can still start", "--again", "was given up"];
    let words = words.filter(|line| told.iter().any(|part| line.contains(part)));
    let quoted = screen::quote("alice", words).unwrap_or_default();
    if heard.stdout.contains("answers a command that was given up") {
        Report::new(Verdict::Refused, quoted)
    } else {
        Report::new(Verdict::Succeeded, "it ran, and alice is not told")
    }
}

/// Alice is told to seal her first command again. What comes to bob's machine then is the first frame, and what she has
/// sealed again comes to nobody.
fn first_frame_alone() -> Act {
    let mut first: Option<(Digest, Bytes)> = None;
    Box::new(move |scene, passing: Passing| {
        let (header, frame) = match read::frame(&passing) {
            Some((Header::Message(header), frame)) if header.t == Tag::Cmd => (header, frame),
            _ => return vec![passing],
        };
        let (id, cid): (_, &str) = (header.id.to_string(), header.cid.as_ref());
        let (e, kept) = first.get_or_insert_with(|| (header.e, frame.bytes().clone()));
        let (answer, delivered) = if *e == header.e {
            let head = json!({"cid": cid, "mg": 0, "pm": Digest::ZERO.to_string()});
            (json!({"tag": "REKEY", "id": id, "head": head}), None)
        } else {
            let answer = json!({"tag": "ACK", "stage": "stored", "id": id, "position": 1});
            (answer, scene.deliver("bob", kept))
        };
        let answer = passing.with(Way::ToClient, Message::Text(answer.to_string()));
        delivered.into_iter().chain([answer]).collect()
    })
}

pub(super) fn first_frame() -> Report {
    let stage = Stage::new(first_frame_alone());
    let (alice, agent) = machine(&stage);
    stage.switch.set(true);
    let mut run = alice.start(&["run", "bob", "--", "sleep", NAP]);
    agent.stderr.wait_for_part("alice asks to run");
    run.terminate();
    let ended = run.wait();
    drop(agent);
    if stage.switch.told() < 2 {
        return Report::new(Verdict::Failed, "the command was not sealed twice");
    }
    let last = ended.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
    let saw = screen::quote("alice", [last.as_str()]).unwrap_or_default();
    if ended.stderr.contains("E_CANCELLED") {
        return Report::new(Verdict::Refused, saw);
    }
    Report::new(Verdict::Succeeded, format!("it runs on after alice has taken it back; {saw}"))
}
