//! What was missing, what came after all, and by whose hand.

use chat_endpoint::Event;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::sanitise;

use super::Lines;

/// How many counters a line names; a number says how many more there are.
const COUNTERS_SHOWN_MAX: usize = 10;

/// The line for a gap and for its end.
pub(super) fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Gap { cid, from, missing } => format!(
            "! {}{} missing ({}); asking {from}'s client",
            place(cid),
            messages(missing.len(), from),
            counters(missing)
        ),
        Event::Healed { cid, from, n } => format!(
            "\u{2713} {}healed: {} here now ({})",
            place(cid),
            messages(n.len(), from),
            counters(n)
        ),
        Event::Unhealed { cid, from, n, reason } => format!(
            "\u{2717} {}{} missing for good ({}): {}",
            place(cid),
            messages(n.len(), from),
            counters(n),
            sanitise::line(reason)
        ),
        _ => return None,
    })
}

/// Where it is: with direct messages too, because the sender alone does not tell.
fn place(cid: &ConversationId) -> String {
    if cid.is_direct() { format!("{}: ", cid.spoken()) } else { Lines::place(cid) }
}

/// What stands behind a sender's name when the message did not come from the server's log.
pub(super) fn mark(
    healed_by: Option<&UserName>,
    granted_by: Option<&UserName>,
    gone: bool,
) -> String {
    match (healed_by, granted_by) {
        (_, Some(by)) => format!(" (granted by {by})"),
        (Some(_), None) => " (sent again)".to_owned(),
        (None, None) if gone => " (has gone since; said before, says the server)".to_owned(),
        (None, None) => String::new(),
    }
}

/// "1 message of alice is", "2 messages of alice are".
fn messages(count: usize, from: &UserName) -> String {
    if count == 1 {
        format!("1 message of {from} is")
    } else {
        format!("{count} messages of {from} are")
    }
}

fn counters(counters: &[u32]) -> String {
    let shown: Vec<String> =
        counters.iter().take(COUNTERS_SHOWN_MAX).map(ToString::to_string).collect();
    match counters.len().saturating_sub(COUNTERS_SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_their_ends_are_sentences() {
        let from = UserName::new("alice").unwrap();
        let cid = ConversationId::parse("room:lobby").unwrap();
        let gap = Event::Gap { cid: cid.clone(), from: from.clone(), missing: vec![1, 2] };
        let shown = line(&gap).unwrap();
        assert_eq!(shown, "! #lobby 2 messages of alice are missing (1, 2); asking alice's client");
        let healed = Event::Healed { cid: cid.clone(), from: from.clone(), n: vec![1] };
        assert_eq!(line(&healed).unwrap(), "✓ #lobby healed: 1 message of alice is here now (1)");
        let reason = "no\u{1b}[2J answer".to_owned();
        let lost = Event::Unhealed { cid, from: from.clone(), n: vec![2], reason };
        let lost = line(&lost).unwrap();
        assert!(lost.starts_with("✗ #lobby 1 message of alice is missing for good (2): no"));
        assert!(!lost.contains('\u{1b}'), "{lost}");
        let cid = ConversationId::parse("dm:alice:bob").unwrap();
        let direct = line(&Event::Gap { cid, from: from.clone(), missing: vec![0] }).unwrap();
        let place = "the talk between alice and bob";
        assert_eq!(
            direct,
            format!("! {place}: 1 message of alice is missing (0); asking alice's client")
        );
        assert_eq!(mark(None, Some(&from), false), " (granted by alice)");
        assert_eq!(mark(Some(&from), None, false), " (sent again)");
        assert_eq!(
            counters(&(0..12).collect::<Vec<_>>()),
            "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
        );
    }
}
