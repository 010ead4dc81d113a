//! Attacks of a hub that has an account of its own, and so keys of its own.

use chat_evil_hub::accomplice::{self, FalseReceipt};
use chat_testkit::device::Device;
use chat_testkit::wire::{Entry, Fresh};

use super::{Report, Stage, Verdict, screen};
use crate::types;

/// So many messages stand between a message and its repetition.
const BETWEEN: usize = 2_000;

/// Which of the prepared keys the account has.
const KEYS: usize = 2;

/// An account at the real server whose keys are here.
fn account(stage: &Stage, device: &Device) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fresh = Fresh::connect(stage.server.address()).await.unwrap();
        drop(fresh.enter(device, &Entry::reg(device)).await.unwrap());
    });
}

/// Alice writes twice to bob, who is away. The hub confirms the first message by a false receipt, and the
/// second one by a true one.
fn confirmed(lie: FalseReceipt) -> Report {
    let bob = Device::new("bob", KEYS);
    let stage = Stage::new(accomplice::false_receipt(bob.clone(), lie));
    account(&stage, &bob);
    stage.switch.set(true);
    let mut alice = stage.person("alice");
    let kept = |line: &str| line.contains("kept for bob");
    for (count, text) in (1..).zip(["bob*not received", "bob*received"]) {
        alice.type_line(text);
        alice.stdout.wait_for_count(count, kept);
    }
    // What comes before it on the same connection was looked at before it.
    alice.stdout.wait_for_part("delivered to bob");
    let screen = alice.stdout.text();
    let delivered: Vec<_> =
        screen.lines().filter(|line| line.contains("delivered to bob")).collect();
    let said = screen::quote("alice", delivered.iter().copied()).unwrap_or_default();
    if delivered.len() > 1 {
        return Report::new(Verdict::Succeeded, format!("it counts: {said}"));
    }
    let words = screen::words(&screen);
    match screen::quote("alice", words.iter().map(String::as_str)) {
        Some(told) => Report::new(Verdict::Detected, told),
        None => Report::new(Verdict::Refused, format!("{said}, for the second message alone")),
    }
}

pub(super) fn receipt_of_another_place() -> Report {
    confirmed(FalseReceipt::OtherPlace("room:lobby"))
}

pub(super) fn receipt_of_another_key() -> Report {
    confirmed(FalseReceipt::OtherKey(Box::new(Device::new("bob", KEYS + 1))))
}

pub(super) fn ids_pushed_out() -> Report {
    let stage = Stage::new(accomplice::ids_pushed_out(BETWEEN));
    let bob = stage.person("bob");
    let mut alice = stage.person("alice");
    stage.switch.set(true);
    types(&mut alice, "bob*pay him once", "delivered to bob");
    let lines: Vec<String> = (0..BETWEEN).map(|number| format!("bob*{number}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    stage.client("mallory").pipe(&lines, &[]).assert_code(0);
    let is_mallorys = |line: &str| line.contains("mallory → you");
    bob.stdout.wait_for_count(BETWEEN, is_mallorys);
    alice.type_line("bob*the end");
    bob.stdout.wait_for_part("the end");
    if stage.switch.told() == 0 {
        return Report::new(Verdict::Failed, "nothing was repeated");
    }
    let screen = bob.stdout.text();
    let shown: Vec<&str> = screen.lines().filter(|line| line.contains("pay him once")).collect();
    let words = screen::words(&screen);
    let said = shown.iter().copied().chain(words.iter().map(String::as_str));
    let saw = screen::quote("bob", said).unwrap_or_default();
    let verdict = match (shown.len(), words.is_empty()) {
        (1, true) => Verdict::Refused,
        (1, false) => Verdict::Detected,
        _ => Verdict::Succeeded,
    };
    Report::new(verdict, format!("{saw}, among {BETWEEN} messages of mallory"))
}
