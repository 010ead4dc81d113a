//! What is said of an opening of the log that does not go on.

use std::collections::BTreeSet;

use chat_protocol::sanitise;

use super::word::Word;
use crate::{order::opening::Decision, store::Facts};

/// What a person has to know of an opening that does not go on. `other` is a word that was said of another opening.
pub(super) fn words(
    decision: &Decision,
    (has, turn): (u64, u64),
    (facts, other): (&Facts, Option<&Word>),
) -> String {
    let name = |node: &u32| {
        let field = format!("n:{node}");
        let found = facts.iter().find(|(name, _)| *name == field);
        found.map_or_else(
            || format!("server {node}"),
            |(_, name)| sanitise::line(&String::from_utf8_lossy(name)).into_owned(),
        )
    };
    let names = |nodes: &BTreeSet<u32>| nodes.iter().map(name).collect::<Vec<_>>().join(", ");
    let lost = || match has.saturating_add(1) {
        first if first <= turn => format!("Redis has lost turns {first} to {turn} of the log"),
        _ => "Redis has lost turns of the log that only another server has".to_owned(),
    };
    let said = match decision {
        Decision::WaitFor { hubs, is_lacking: true } if hubs.is_empty() => {
            format!("{}; waiting for other servers that run", lost())
        }
        Decision::WaitFor { hubs, is_lacking: true } => format!(
            "{}, and {} may have more: start it, or say: chat-server cluster open --without {}",
            lost(),
            names(hubs),
            names(hubs).replace(", ", ",")
        ),
        Decision::WaitFor { hubs, .. } => {
            format!("another Redis has the log; waiting up to ten seconds for {}", names(hubs))
        }
        Decision::Alone => format!(
            "{}, and this server alone has it: whether it is all, a person says: chat-server cluster open",
            lost()
        ),
        Decision::NobodyHas { turn } => format!(
            "Redis has lost turns of the log up to {turn}, and no server that is here has all of them: start the one that has \
             them, or say that this is all there is: chat-server cluster open"
        ),
        Decision::Leave { to } => format!("the log is opened by {}", name(to)),
        Decision::LeftOut => "a person has said that the servers go on without this one: stop it, and keep its folder"
            .to_owned(),
        Decision::Forked { with } => format!(
            "this server and {} have come to different things: stop the one that is wrong, say: chat-server cluster \
             open --without and its name, and give it a snapshot of the other",
            names(with)
        ),
        Decision::Read => format!(
            "Redis has the log up to turn {has}, and nothing there goes on from turn {turn}, which this server has read: who has \
             begun to put it back was cut off, or has come to something else. Start the servers that do not run. If it stays so, \
             stop this one, keep its folder, and say on another one: chat-server cluster open --without and its name"
        ),
        Decision::Apart { turn, is_known } => apart(*turn, *is_known),
        Decision::Open { .. } => "the log is being opened".to_owned(),
    };
    match other {
        Some(_) => format!(
            "{said}. What was said with cluster open was said before this server waited here, or by a server that knows \
             more: say it again with the folder of a server that runs"
        ),
        None => said,
    }
}

/// What a person has to know where the last turn that Redis has is not what this server has read there, or it does not know that any
/// more.
fn apart(turn: u64, is_known: bool) -> String {
    let why = if is_known {
        "is not what this server has read there: this is an old Redis, or another one, with turns that the log was opened without, \
         or who has begun to put the log back has come to something else"
    } else {
        "may be of another log: this server does not have that turn any more, and cannot compare it"
    };
    format!(
        "what Redis has at turn {turn} {why}. Nothing is put behind it. Look at --redis, and start the servers that do not run. If \
         this is the right Redis, keep a copy of what it has, and remove the key there that ends in :log: the servers put back \
         what they have"
    )
}
