//! Who was to get a message, and who was not.
//!
//! Entitled are the people of the message's epoch but its sender, by the sender's own member list,
//! and nobody else. The order of the hub's log decides who may be in it, see [`super::super::whereabouts`]:
//!
//! - the hub takes a message only in an epoch that holds nobody who is outside at its place; those of
//!   it who leave later were inside when it was stored, and get it however they leave (`lost`);
//! - who is outside at its place must neither be in the epoch nor open it (`leaked`);
//! - who was in the room from before the run on, and has not left it before its place, must be in the
//!   epoch (`left out`). Of those who came back nothing is said: the hub lets an epoch lack them for
//!   some seconds, which a place in the log does not tell.

use super::super::clients::Clients;
use super::{CMD, Entry, Ledger, TEXT};

/// The tag of what is said to everybody.
const BROADCAST: &str = "BROADCAST";

/// Deliveries against the rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Clients that opened a message, or could have, and were not entitled.
    pub(super) leaked: u64,
    /// Clients that were entitled and not in the epoch.
    pub(super) left_out: u64,
}

impl Ledger {
    /// What is wrong with all messages so far.
    pub(super) fn wrong(&self) -> Wrong {
        let mut wrong = Wrong::default();
        for entry in self.entries.values() {
            // What was not stored has no place and no epoch that counts.
            if let Some(position) = entry.position.filter(|_| entry.tag != CMD) {
                wrong.leaked += self.leaked(entry, position);
                wrong.left_out += self.left_out(entry, position);
            }
        }
        wrong
    }

    fn leaked(&self, entry: &Entry, position: u64) -> u64 {
        let opened = entry.delivered.count_without(&entry.expected);
        if entry.tag != TEXT {
            return opened;
        }
        let outsiders = self.whereabouts.outsiders(entry.place, position);
        let sealed_for = outsiders.filter(|client| entry.expected.contains(*client)).count();
        opened + u64::try_from(sealed_for).unwrap_or(u64::MAX)
    }

    fn left_out(&self, entry: &Entry, position: u64) -> u64 {
        let members = match entry.tag {
            TEXT => self.whereabouts.members(entry.place),
            BROADCAST => Some(&self.everybody),
            _ => None,
        };
        let Some(members) = members else { return 0 };
        let is_missing = |client| members.contains(client) && !entry.expected.contains(client);
        let all = members.count_without(&entry.expected);
        let sender = u64::from(is_missing(entry.sender));
        let mut excused = 0;
        if entry.tag == TEXT {
            for client in self.whereabouts.movers(entry.place, position) {
                excused += u64::from(client != entry.sender && is_missing(client));
            }
        }
        all.saturating_sub(sender + excused)
    }
}

/// A set of the first `count` clients.
pub(super) fn first(count: usize) -> Clients {
    let mut clients = Clients::default();
    for client in 0..count {
        clients.insert(client);
    }
    clients
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::MessageId;
    use chat_protocol::name::UserName;
    use tokio::time::Instant;

    use super::*;
    use crate::report::{Report, Tally};

    const ROOM: usize = 1;
    const TALKER: usize = 0;
    const STAYS: usize = 1;
    const MOVES: usize = 2;

    /// Three in a room, of whom one says something at 10, 30 and 50; another one is outside between
    /// 20 and 40.
    struct Run {
        ledger: Ledger,
        names: Vec<UserName>,
        now: Instant,
    }

    fn id(position: u64) -> MessageId {
        MessageId([u8::try_from(position).unwrap(); 16])
    }

    impl Run {
        fn new() -> Self {
            let names = ["emu-001", "emu-002", "emu-003"].map(|name| UserName::new(name).unwrap());
            let now = Instant::now();
            let mut ledger = Ledger::new(&names, now);
            for client in [TALKER, STAYS, MOVES] {
                ledger.whereabouts.belongs(client, ROOM);
            }
            ledger.whereabouts.left(MOVES, ROOM, Some(20));
            ledger.whereabouts.joined(MOVES, ROOM, Some(40));
            Self { ledger, names: names.into(), now }
        }

        fn sends(&mut self, position: u64, recipients: &[usize]) {
            let names: Vec<_> = recipients.iter().map(|index| self.names[*index].clone()).collect();
            self.ledger.sent((TALKER, ROOM), id(position), TEXT, self.now, self.now);
            self.ledger.stored(id(position), position, &names, self.now);
        }

        fn shows(&mut self, client: usize, position: u64) {
            self.ledger.received(client, &self.names[TALKER], id(position), true, self.now);
        }

        /// As it should be.
        fn good() -> Self {
            let mut run = Self::new();
            run.sends(10, &[STAYS, MOVES]);
            run.sends(30, &[STAYS]);
            run.sends(50, &[STAYS, MOVES]);
            for (client, position) in
                [(STAYS, 10), (MOVES, 10), (STAYS, 30), (STAYS, 50), (MOVES, 50)]
            {
                run.shows(client, position);
            }
            run
        }

        fn faults(&self) -> Vec<String> {
            let report = Report { tally: self.ledger.tally(), ..Report::default() };
            report.faults().iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn a_run_with_somebody_outside_for_a_while_is_good() {
        let run = Run::good();
        assert_eq!(run.faults(), <[String; 0]>::default());
        let Tally { movement, .. } = run.ledger.tally();
        assert_eq!((movement.leaves, movement.joins), (1, 1));
    }

    /// The checker can fail: each of these runs is wrong in one way, and that is what is said.
    #[test]
    fn a_lost_a_doubled_a_reordered_and_a_leaked_message_are_found() {
        let mut lost = Run::new();
        lost.sends(10, &[STAYS, MOVES]);
        lost.shows(STAYS, 10);
        assert_eq!(lost.faults(), ["1 lost"], "whoever left later was to get it");

        let mut doubled = Run::good();
        doubled.shows(STAYS, 30);
        assert_eq!(doubled.faults(), ["1 duplicated"]);

        let mut reordered = Run::new();
        reordered.sends(10, &[STAYS, MOVES]);
        reordered.sends(30, &[STAYS]);
        for (client, position) in [(STAYS, 30), (STAYS, 10), (MOVES, 10)] {
            reordered.shows(client, position);
        }
        assert_eq!(reordered.faults(), ["1 out of order"]);

        let mut opened = Run::new();
        opened.sends(30, &[STAYS]);
        for client in [STAYS, MOVES] {
            opened.shows(client, 30);
        }
        assert_eq!(opened.faults(), ["1 leaked", "delivered: 2, expected 1"]);

        let mut sealed_for = Run::new();
        sealed_for.sends(30, &[STAYS, MOVES]);
        sealed_for.shows(STAYS, 30);
        sealed_for.shows(MOVES, 30);
        assert_eq!(sealed_for.faults(), ["1 leaked"], "although it was in the epoch");
    }

    #[test]
    fn who_was_inside_all_the_time_is_not_left_out() {
        let mut run = Run::new();
        run.sends(10, &[STAYS]);
        run.sends(30, &[]);
        // It came back a moment ago.
        run.sends(50, &[STAYS]);
        for position in [10, 50] {
            run.shows(STAYS, position);
        }
        assert_eq!(run.faults(), ["2 left out"]);
    }

    #[test]
    fn a_broadcast_is_for_everybody_but_its_sender() {
        let mut run = Run::new();
        run.ledger.sent((TALKER, 0), id(10), BROADCAST, run.now, run.now);
        let names = [run.names[STAYS].clone()];
        run.ledger.stored(id(10), 10, &names, run.now);
        run.shows(STAYS, 10);
        assert_eq!(run.faults(), ["1 left out"]);
    }
}
