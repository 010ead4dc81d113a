//! The status line: what there is room for, the most needed first.

use jiff::tz::TimeZone;

use crate::data::{Conversation, Facts, Link};
use crate::log::clock;
use crate::pen::{Row, piece};
use crate::theme::Ink;
use crate::wrap::{clean_line, width};

/// Conversations with something new that are named; a number says how many more there are.
const ACTIVE_MAX: usize = 5;

/// Between two parts.
const GAP: &str = "  ";

/// A part of the line. The lower its rank, the longer it stays.
struct Part {
    rank: u8,
    text: String,
    ink: Ink,
}

/// What the screen adds to what the talk knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looked<'s> {
    /// The open conversation.
    pub(crate) open: Option<&'s Conversation>,
    /// Lines below the window, while older ones are looked at.
    pub(crate) below: Option<usize>,
    /// The zone of the clock.
    pub(crate) zone: &'s TimeZone,
    /// Something to be read once, where it has no other place.
    pub(crate) notice: Option<&'s str>,
}

/// The line, in so many columns.
pub(crate) fn line(facts: &Facts, looked: &Looked<'_>, cells: usize) -> Row {
    let mut parts = parts(facts, looked);
    let total = |parts: &[Part]| -> usize {
        let texts: usize = parts.iter().map(|part| width(&part.text)).sum();
        texts + parts.len().saturating_sub(1) * GAP.len()
    };
    while parts.len() > 1 && total(&parts) > cells {
        let last = parts.iter().enumerate().max_by_key(|(_, part)| part.rank).map(|(at, _)| at);
        parts.remove(last.unwrap_or(0));
    }
    let mut row = Row::new();
    for part in parts {
        if !row.is_empty() {
            row.push(piece(GAP, Ink::Bar));
        }
        row.push(piece(part.text, part.ink));
    }
    row
}

/// All parts in the order in which they stand.
fn parts(facts: &Facts, looked: &Looked<'_>) -> Vec<Part> {
    let status = &facts.status;
    let bar = |rank, text| Some(Part { rank, text, ink: Ink::Bar });
    let user = match status.server.as_str() {
        "" => clean_line(&status.user),
        server => format!("{}@{}", clean_line(&status.user), clean_line(server)),
    };
    let all = [
        looked.notice.and_then(|notice| bar(0, clean_line(notice))),
        bar(9, clock(status.now_ms, looked.zone)),
        bar(10, user),
        status.is_tls.map(encrypted),
        looked.open.and_then(|open| bar(3, clean_line(&open.name))),
        members(facts).and_then(|text| bar(14, text)),
        status.is_verified.then(|| bar(8, "verified".to_owned())).flatten(),
        status.retention.as_ref().and_then(|time| bar(12, format!("keeps {}", clean_line(time)))),
        status.lag_ms.and_then(|lag| bar(13, format!("lag {lag} ms"))),
        unanswered(status.unanswered).and_then(|text| bar(6, text)),
        transfers(facts.transfers.len()).and_then(|text| bar(7, text)),
        active(facts, looked.open).and_then(|text| bar(5, text)),
        looked.below.and_then(|below| bar(1, format!("-MORE({below})-"))),
        link(status.link).map(|text| Part { rank: 2, text, ink: Ink::BarBad }),
    ];
    all.into_iter().flatten().collect()
}

fn members(facts: &Facts) -> Option<String> {
    let (count, online) =
        (facts.members.len(), facts.members.iter().filter(|one| one.is_online).count());
    (count > 0).then(|| format!("{online}/{count} here"))
}

fn encrypted(is_tls: bool) -> Part {
    if is_tls {
        return Part { rank: 11, text: "TLS".to_owned(), ink: Ink::Bar };
    }
    Part { rank: 4, text: "NO TLS".to_owned(), ink: Ink::BarBad }
}

fn unanswered(count: usize) -> Option<String> {
    (count > 0).then(|| format!("{count} unanswered"))
}

fn transfers(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 file".to_owned()),
        count => Some(format!("{count} files")),
    }
}

fn link(link: Link) -> Option<String> {
    match link {
        Link::Online => None,
        Link::Silent(seconds) => Some(format!("no answer for {seconds} s")),
        Link::Away => Some("offline until /connect".to_owned()),
        Link::Offline(None) => Some("offline".to_owned()),
        Link::Offline(Some(0)) => Some("offline, connecting".to_owned()),
        Link::Offline(Some(seconds)) => Some(format!("offline, again in {seconds} s")),
    }
}

/// Where something is new: number in the list, name, mentions if there are any, messages.
fn active(facts: &Facts, open: Option<&Conversation>) -> Option<String> {
    let is_open = |one: &Conversation| open.is_some_and(|open| open.cid == one.cid);
    let numbered = facts.conversations.iter().zip(1_usize..);
    let mut active: Vec<(&Conversation, usize)> =
        numbered.filter(|(one, _)| one.unread > 0 && !one.is_muted && !is_open(one)).collect();
    active.sort_by_key(|(one, _)| one.mentions == 0);
    let more = active.len().saturating_sub(ACTIVE_MAX);
    let named = active.iter().take(ACTIVE_MAX).map(|(one, number)| {
        let counts = match one.mentions {
            0 => one.unread.to_string(),
            mentions => format!("{mentions},{}", one.unread),
        };
        format!("{number}:{}({counts})", clean_line(&one.name))
    });
    let mut named: Vec<String> = named.collect();
    if more > 0 {
        named.push(format!("+{more}"));
    }
    (!named.is_empty()).then(|| format!("[Act: {}]", named.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{conversation, facts};

    fn shown(facts: &Facts, below: Option<usize>, cells: usize) -> String {
        let looked =
            Looked { open: facts.conversations.first(), below, zone: &TimeZone::UTC, notice: None };
        line(facts, &looked, cells).iter().map(|piece| piece.text.as_str()).collect()
    }

    fn busy() -> Facts {
        let mut facts = facts();
        facts.conversations =
            ["room:ALL", "room:lobby", "room:dev", "dm:alice:bob"].map(conversation).into();
        (facts.conversations[2].mentions, facts.conversations[2].unread) = (2, 5);
        facts.conversations[1].unread = 1;
        facts.status.unanswered = 3;
        facts.status.retention = Some("30 days".to_owned());
        facts.status.lag_ms = Some(40);
        facts
    }

    #[test]
    fn everything_has_its_place_where_there_is_room() {
        let expected = "22:13  alice@chat.example  TLS  ALL  keeps 30 days  lag 40 ms  3 unanswered  \
                        [Act: 3:#dev(2,5) 2:#lobby(1)]";
        assert_eq!(shown(&busy(), None, 200), expected);
    }

    #[test]
    fn what_is_needed_most_stays_in_a_narrow_line() {
        let mut facts = busy();
        facts.status.link = Link::Offline(Some(5));
        assert_eq!(
            shown(&facts, Some(50), 80),
            "ALL  [Act: 3:#dev(2,5) 2:#lobby(1)]  -MORE(50)-  offline, again in 5 s"
        );
        assert_eq!(shown(&facts, Some(50), 40), "ALL  -MORE(50)-  offline, again in 5 s");
        assert_eq!(shown(&facts, Some(50), 0), "-MORE(50)-");
    }

    #[test]
    fn a_connection_without_tls_stands_out_and_muted_rooms_do_not() {
        let mut facts = busy();
        facts.status.is_tls = Some(false);
        facts.conversations[2].is_muted = true;
        facts.status.link = Link::Silent(12);
        assert_eq!(shown(&facts, None, 60), "NO TLS  ALL  [Act: 2:#lobby(1)]  no answer for 12 s");
    }
}
