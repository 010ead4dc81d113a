//! Attacks on commands.

use chat_evil_hub::{Act, lie, read};
use chat_protocol::header::Header;
use chat_protocol::tag::Tag;
use chat_testkit::middle::Passing;

use super::{Report, Stage, Verdict};
use crate::{Client, Program, types};

/// Ends of two commands that say when they ran.
const FIRST: &str = "+%s%N-first";
const SECOND: &str = "+%s%N-second";

/// Bob's machine, which lets alice ask for the time in two ways.
fn machine(stage: &Stage) -> (Client, Program) {
    let alice = stage.client("alice");
    let said = alice.pipe(&["/fingerprint"], &[]).expect_code(0).stdout;
    let key = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: ")).unwrap();
    let rule = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{}\" }}]\nargv = [[\"date\", \"{FIRST}\"], [\"date\", \"{SECOND}\"]]\n",
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

/// When a command ran, by its output.
fn time(said: &str, end: &str) -> Option<u128> {
    let end = end.strip_prefix("+%s%N")?;
    let line = said.lines().find(|line| line.trim_end().ends_with(end) && !line.contains('%'))?;
    let digits = line.trim_end().strip_suffix(end)?;
    digits.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(super) fn swapped() -> Report {
    let stage = Stage::new(swap());
    let (_alice, _agent) = machine(&stage);
    let mut alice = stage.person("alice");
    stage.switch.set(true);
    for command in [FIRST, SECOND] {
        alice.type_line(&format!("/run bob -- date {command}"));
    }
    std::thread::sleep(std::time::Duration::from_secs(15));
    types(&mut alice, "/help run", "/run");
    let said = alice.stdout.text();
    match (time(&said, FIRST), time(&said, SECOND)) {
        (Some(first), Some(second)) if first < second => {
            Report::new(Verdict::Refused, "run in the order of their writer")
        }
        (Some(_), Some(_)) => Report::new(Verdict::Succeeded, "the second ran before the first"),
        _ => Report::detected(&said, &["E_ORDER"], "one of them is missing, and no word"),
    }
}

pub(super) fn refused() -> Report {
    let stage = Stage::new((lie("refused").make)());
    let (alice, _agent) = machine(&stage);
    stage.switch.set(true);
    let run = || alice.run(&["run", "bob", "--", "date", FIRST]);
    let first = run();
    let again = run();
    let said = again.stderr.trim();
    if said.contains("--again") {
        return Report::new(Verdict::Refused, said.lines().next_back().unwrap_or_default());
    }
    let told = first.stderr.trim().lines().next_back().unwrap_or_default().to_owned();
    Report::new(Verdict::Succeeded, format!("typed again, it runs twice; the first said: {told}"))
}
