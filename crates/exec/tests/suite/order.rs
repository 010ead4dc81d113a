//! Commands start in the order of their sender, whatever order they come in (rule R34).

use std::sync::Arc;

use chat_exec::{CommandRequest, Order};
use tokio::sync::mpsc;

use crate::harness::{Machine, NOW_MS, alice, anything, ask, order, request};
use crate::held::Held;

/// A command that writes its number down. It names the one before it.
fn numbered(no: u8) -> CommandRequest {
    let script = format!("echo {no} >> runs");
    let order = order(u64::from(no), u64::from(no).checked_sub(1));
    CommandRequest { order, ..request(no, &["sh", "-c", &script]) }
}

/// The same, if it may wait only so long.
fn impatient(no: u8, wait_ms: u64) -> CommandRequest {
    CommandRequest { expires_at_ms: NOW_MS + wait_ms, ..numbered(no) }
}

fn runs(machine: &Machine) -> Vec<String> {
    let runs = std::fs::read_to_string(machine.work_dir().join("runs")).unwrap_or_default();
    runs.lines().map(str::to_owned).collect()
}

/// Goal: a command that overtakes the one before it waits for it, and both run.
#[tokio::test]
async fn a_command_that_came_too_early_waits_its_turn() {
    let machine = Machine::new();
    let agent = Arc::new(machine.agent(anything("")));
    let (early, held) = (Arc::clone(&agent), Held::new());
    let early = tokio::spawn(async move { ask(&early, numbered(1)).await });
    held.wait().await;
    assert!(runs(&machine).is_empty(), "it waits");
    assert_eq!(ask(&agent, numbered(0)).await.code(), Some(0));
    assert_eq!(early.await.expect("an answer").code(), Some(0));
    // Both run at the same time, so that what they write has no order.
    let mut runs = runs(&machine);
    runs.sort();
    assert_eq!(runs, ["0", "1"]);
}

/// Goal: what never comes is not waited for beyond the time to start, and never starts later. Its
/// sender goes on.
#[tokio::test]
async fn a_command_that_is_missing_closes_the_door_behind_it() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let refused = ask(&agent, impatient(1, 200)).await;
    assert_eq!(refused.refusal(), Some("E_ORDER"));
    assert!(refused.refused.is_some_and(|(_, reason)| reason.contains("missing")));
    assert_eq!(ask(&agent, numbered(0)).await.refusal(), Some("E_ORDER"));
    assert_eq!(ask(&agent, impatient(1, 200)).await.refusal(), Some("E_ORDER"), "as before");
    assert_eq!(ask(&agent, numbered(2)).await.code(), Some(0));
    assert_eq!(runs(&machine), ["2"]);
    // The number is kept with the journal, and is that of one signing key.
    drop(agent);
    let agent = machine.agent(anything(""));
    assert_eq!(
        ask(&agent, CommandRequest { id: [9; 16], ..numbered(2) }).await.refusal(),
        Some("E_ORDER")
    );
    let other = Order { signing_key: "T".repeat(22), ..order(0, None) };
    let other = CommandRequest { id: [10; 16], order: other, ..numbered(0) };
    assert_eq!(ask(&agent, other).await.code(), Some(0));
}

/// Goal: what waited when the agent stopped is refused by the next one, and so is what it waited for.
#[tokio::test]
async fn a_restart_ends_the_waiting() {
    let machine = Machine::new();
    let agent = Arc::new(machine.agent(anything("")));
    let (early, held) = (Arc::clone(&agent), Held::new());
    let early = tokio::spawn(async move { ask(&early, numbered(1)).await });
    held.wait().await;
    early.abort();
    assert!(early.await.is_err(), "it still waited");
    drop(agent);
    let agent = machine.agent(anything(""));
    for no in [1, 0] {
        assert_eq!(ask(&agent, numbered(no)).await.refusal(), Some("E_ORDER"), "{no}");
    }
    assert!(runs(&machine).is_empty());
}

/// Goal: more commands than may run at once are reported as started in their order.
#[tokio::test]
async fn many_at_once_start_one_after_the_other() {
    let machine = Machine::new();
    let agent = Arc::new(machine.agent(anything("")));
    let (sender, mut started) = mpsc::channel(64);
    for no in (0..12_u8).rev() {
        let (agent, sender) = (Arc::clone(&agent), sender.clone());
        tokio::spawn(async move {
            let (reports, mut heard) = mpsc::channel(4);
            let listen = async {
                while let Some(report) = heard.recv().await {
                    if report == chat_exec::Report::Started {
                        sender.send(no).await.expect("heard");
                    }
                }
            };
            let request = CommandRequest { argv: vec!["true".to_owned()], ..numbered(no) };
            tokio::join!(agent.run(NOW_MS, request, reports), listen);
        });
    }
    drop(sender);
    let mut order = Vec::new();
    while let Some(no) = started.recv().await {
        order.push(no);
    }
    assert_eq!(order, (0..12).collect::<Vec<_>>());
}

/// Goal: strangers wait for nothing, and what the device has refused by itself is not waited for.
#[tokio::test]
async fn only_whom_the_policy_names_is_waited_for() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let mut stranger = numbered(1);
    stranger.requester.name = "mallory".to_owned();
    assert_eq!(ask(&agent, stranger).await.refusal(), Some("E_POLICY"));
    agent.pass_over(NOW_MS, &alice(), order(4, Some(3))).await;
    assert_eq!(ask(&agent, numbered(5)).await.code(), Some(0));
    assert_eq!(ask(&agent, numbered(4)).await.refusal(), Some("E_ORDER"));
}
