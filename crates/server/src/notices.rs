//! Joined and left notices, gathered for all connections at once.
//!
//! They are ephemeral: nobody waits for one, and `who` gives the whole list. The first of a quiet
//! time goes out at once; in a storm there is one frame per [`NOTICE_PERIOD`], serialised once and
//! shared by every connection, instead of a frame per join and connection.
//!
//! Pure: the worker gives the time and asks [`Notices::next_due`] when to come back.

use std::{collections::BTreeMap, time::Instant};

use crate::limits::{NOTICE_NAMES_MAX, NOTICE_PERIOD};

/// Who joined and who left since the last frame, each name once, by its latest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice<N> {
    /// Names that are present now.
    pub joined: Vec<N>,
    /// Names that are gone now.
    pub left: Vec<N>,
}

/// Names that have come and gone since the last notice.
#[derive(Debug)]
pub struct Notices<N> {
    /// Name -> whether it joined (or left).
    pending: BTreeMap<N, bool>,
    sent_at: Option<Instant>,
}

impl<N> Default for Notices<N> {
    fn default() -> Self {
        Self { pending: BTreeMap::new(), sent_at: None }
    }
}

impl<N: Ord + Clone> Notices<N> {
    /// Remembers that somebody joined or left. Who does the opposite before the notice leaves is
    /// told by the latest state only.
    pub fn note(&mut self, name: &N, joined: bool) {
        self.pending.insert(name.clone(), joined);
    }

    /// When [`Self::take_due`] will have something, `None` while there is nothing to tell. A time
    /// that has passed means now.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.pending.is_empty() {
            return None;
        }
        Some(self.sent_at.map_or(now, |sent_at| sent_at + NOTICE_PERIOD))
    }

    /// The notice to send now, if one is due. It holds at most [`NOTICE_NAMES_MAX`] names; the
    /// others follow in the next period.
    pub fn take_due(&mut self, now: Instant) -> Option<Notice<N>> {
        if self.next_due(now)? > now {
            return None;
        }
        self.sent_at = Some(now);
        let mut notice = Notice { joined: Vec::new(), left: Vec::new() };
        for _ in 0..NOTICE_NAMES_MAX {
            let Some((name, joined)) = self.pending.pop_first() else { break };
            if joined { &mut notice.joined } else { &mut notice.left }.push(name);
        }
        Some(notice)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_goes_at_once_and_a_storm_is_one_notice_in_a_period() {
        let (mut notices, start) = (Notices::default(), Instant::now());
        let mut sent = Vec::new();
        for tick in 0..1_000_u64 {
            let now = start + Duration::from_millis(tick);
            // One name in five milliseconds fits a notice.
            if tick.is_multiple_of(5) {
                notices.note(&tick, true);
            }
            sent.extend(notices.take_due(now).map(|notice| (tick, notice.joined.len())));
        }
        assert_eq!(sent, [(0, 1), (250, 50), (500, 50), (750, 50)]);
        let due = notices.next_due(start + Duration::from_millis(999));
        assert_eq!(due, Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn the_latest_state_of_a_name_wins() {
        let (mut notices, start) = (Notices::default(), Instant::now());
        notices.note(&"alice", true);
        notices.note(&"bob", false);
        notices.note(&"alice", false);
        notices.note(&"bob", true);
        let notice = notices.take_due(start).unwrap();
        assert_eq!(notice, Notice { joined: vec!["bob"], left: vec!["alice"] });
        assert_eq!(notices.next_due(start), None);
        assert_eq!(notices.take_due(start), None);
    }

    #[test]
    fn more_names_than_fit_follow_in_the_next_period() {
        let (mut notices, start) = (Notices::default(), Instant::now());
        (0..NOTICE_NAMES_MAX + 5).for_each(|name| notices.note(&name, true));
        assert_eq!(notices.take_due(start).unwrap().joined.len(), NOTICE_NAMES_MAX);
        assert_eq!(notices.take_due(start), None);
        assert_eq!(notices.take_due(start + NOTICE_PERIOD).unwrap().joined.len(), 5);
    }
}
