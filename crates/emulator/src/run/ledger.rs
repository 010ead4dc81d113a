//! What became of every message, in one place. Synchronous; the time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chat_protocol::hub::Person;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use tokio::time::Instant;

use super::clients::Clients;
use super::whereabouts::Whereabouts;
use crate::report::{ClientFigures, Course, Tally};

mod entitled;

/// The tag of a command in the report.
pub(super) const CMD: &str = "CMD";

/// The tag of what is said in a room.
pub(super) const TEXT: &str = "TEXT";

/// One message or command.
#[derive(Debug)]
struct Entry {
    tag: &'static str,
    sender: usize,
    /// Which room, among those with this tag.
    place: usize,
    /// Grows with each message of its sender.
    order: u64,
    /// The intended moment of sending.
    at: Instant,
    /// Place in the hub's log, once it is stored.
    position: Option<u64>,
    is_stored: bool,
    is_answered: bool,
    expected: Clients,
    delivered: Clients,
    unreadable: Clients,
}

/// What was heard of a message before its sender's task knew its id.
#[derive(Debug, Clone, Copy)]
struct Early {
    recipient: usize,
    is_readable: bool,
    now: Instant,
}

/// Counts what became of every message.
#[derive(Debug)]
pub(super) struct Ledger {
    numbers: HashMap<UserName, usize>,
    everybody: Clients,
    entries: HashMap<MessageId, Entry>,
    early: HashMap<MessageId, Vec<Early>>,
    /// The newest message shown, by recipient, sender, tag and room: of a pair of clients that is one
    /// conversation.
    newest: HashMap<(usize, usize, &'static str, usize), u64>,
    tally: Tally,
    open: u64,
    missing: u64,
    stored: u64,
    changed: Instant,
    /// When the first message was sent.
    start: Option<Instant>,
    per_client: Vec<ClientFigures>,
    course: Course,
    others: BTreeSet<UserName>,
    /// Who was where.
    pub(super) whereabouts: Whereabouts,
}

impl Ledger {
    /// Of these clients, from now on.
    pub(super) fn new(names: &[UserName], now: Instant) -> Self {
        let numbers = names.iter().enumerate().map(|(number, name)| (name.clone(), number));
        Self {
            numbers: numbers.collect(),
            everybody: entitled::first(names.len()),
            entries: HashMap::new(),
            early: HashMap::new(),
            newest: HashMap::new(),
            tally: Tally::default(),
            open: 0,
            missing: 0,
            stored: 0,
            changed: now,
            start: None,
            per_client: vec![ClientFigures::default(); names.len()],
            course: Course::default(),
            others: BTreeSet::new(),
            whereabouts: Whereabouts::default(),
        }
    }

    /// A client has sent something, to the room with that number where rooms have numbers. `at` is
    /// when it was to be sent.
    pub(super) fn sent(
        &mut self,
        (sender, place): (usize, usize),
        id: MessageId,
        tag: &'static str,
        at: Instant,
        now: Instant,
    ) {
        let order = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        let entry = Entry {
            tag,
            sender,
            place,
            order,
            at,
            position: None,
            is_stored: false,
            is_answered: false,
            expected: Clients::default(),
            delivered: Clients::default(),
            unreadable: Clients::default(),
        };
        self.entries.insert(id, entry);
        self.tally.by_tag.entry(tag).or_default().sent += 1;
        self.open += 1;
        self.changed = now;
        self.start.get_or_insert(now);
        if let Some(client) = self.per_client.get_mut(sender) {
            client.sent += 1;
        }
        for Early { recipient, is_readable, now } in self.early.remove(&id).unwrap_or_default() {
            self.arrived(recipient, id, is_readable, now);
        }
    }

    /// A client could not even send.
    pub(super) fn not_sent(&mut self, tag: &'static str, code: &str) {
        let counts = self.tally.by_tag.entry(tag).or_default();
        counts.sent += 1;
        counts.noacked += 1;
        *self.tally.by_code.entry(code.to_owned()).or_default() += 1;
    }

    /// The server has stored a message at this place of its log, for these people. True when it needs
    /// no further answer.
    pub(super) fn stored(
        &mut self,
        id: MessageId,
        position: u64,
        recipients: &[UserName],
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        self.changed = now;
        if std::mem::replace(&mut entry.is_stored, true) {
            self.tally.duplicated += 1;
            return false;
        }
        self.stored += 1;
        entry.position = Some(position);
        let took = now.saturating_duration_since(entry.at);
        self.tally.stored.record(took);
        if let Some(client) = self.per_client.get_mut(entry.sender) {
            client.stored += 1;
            client.stored_time = client.stored_time.saturating_add(took);
        }
        if entry.tag == CMD {
            return false;
        }
        for number in recipients.iter().filter_map(|name| self.numbers.get(name)) {
            entry.expected.insert(*number);
        }
        self.missing += entry.expected.count_without(&entry.delivered);
        let counts = self.tally.by_tag.entry(entry.tag).or_default();
        counts.expected += entry.expected.count();
        self.answered(id, None)
    }

    /// The server refused a message or a command. True when this was its answer.
    pub(super) fn refused(&mut self, id: MessageId, code: &str, now: Instant) -> bool {
        if !self.entries.contains_key(&id) {
            return false;
        }
        self.changed = now;
        self.answered(id, Some(code))
    }

    /// A command has ended; `code` is that of its failure. True when this was its answer.
    pub(super) fn ended(&mut self, id: MessageId, code: Option<&str>, now: Instant) -> bool {
        let Some(entry) = self.entries.get(&id) else { return false };
        self.changed = now;
        if !entry.is_answered {
            self.tally.executed.record(now.saturating_duration_since(entry.at));
        }
        self.answered(id, code)
    }

    fn answered(&mut self, id: MessageId, code: Option<&str>) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        if std::mem::replace(&mut entry.is_answered, true) {
            self.tally.duplicated += 1;
            return false;
        }
        let counts = self.tally.by_tag.entry(entry.tag).or_default();
        self.open -= 1;
        match code {
            None => counts.acked += 1,
            Some(code) => {
                counts.noacked += 1;
                *self.tally.by_code.entry(code.to_owned()).or_default() += 1;
            }
        }
        true
    }

    /// A recipient was shown a message of `from`, or could not read it.
    pub(super) fn received(
        &mut self,
        recipient: usize,
        from: &UserName,
        id: MessageId,
        is_readable: bool,
        now: Instant,
    ) {
        if self.entries.contains_key(&id) {
            self.arrived(recipient, id, is_readable, now);
        } else if self.numbers.contains_key(from) {
            // The sender's task may not have run yet; or it is of an earlier run, and stays here.
            self.early.entry(id).or_default().push(Early { recipient, is_readable, now });
        }
    }

    fn arrived(&mut self, recipient: usize, id: MessageId, is_readable: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.changed = now;
        if !is_readable {
            self.tally.unreadable += u64::from(entry.unreadable.insert(recipient));
            return;
        }
        if !entry.delivered.insert(recipient) {
            self.tally.duplicated += 1;
            return;
        }
        self.course.count(now.saturating_duration_since(self.start.unwrap_or(now)));
        self.missing -= u64::from(entry.expected.contains(recipient));
        self.tally.by_tag.entry(entry.tag).or_default().delivered += 1;
        match self.whereabouts.returned_after(recipient, entry.at) {
            // Nobody waits for a message while away.
            Some(returned) => {
                self.tally.drained.record(now.saturating_duration_since(returned));
            }
            None => self.tally.delivered.record(now.saturating_duration_since(entry.at)),
        }
        let newest =
            self.newest.entry((recipient, entry.sender, entry.tag, entry.place)).or_default();
        self.tally.out_of_order += u64::from(entry.order < *newest);
        *newest = entry.order.max(*newest);
    }

    /// A recipient says, by receipt, that a message cannot be read.
    pub(super) fn reported_unreadable(&mut self, id: MessageId, by: &UserName) {
        if let Some(entry) = self.entries.get_mut(&id)
            && let Some(number) = self.numbers.get(by)
        {
            // The recipient's own event says the same; it counts once.
            self.tally.unreadable += u64::from(entry.unreadable.insert(*number));
        }
    }

    /// A connection that broke was made again; so many messages were without an answer.
    pub(super) fn reconnected(&mut self, sender: usize) {
        let mine = self.entries.values().filter(|entry| entry.sender == sender);
        let open = mine.filter(|entry| !entry.is_stored && !entry.is_answered).count();
        self.tally.resent += u64::try_from(open).unwrap_or(u64::MAX);
        self.tally.reconnects += 1;
    }

    /// Whether everything sent so far is answered and delivered.
    pub(super) fn is_settled(&self) -> bool {
        self.open == 0 && self.missing == 0
    }

    /// For how long nothing has changed.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.changed)
    }

    /// When something changed last.
    pub(super) fn changed(&self) -> Instant {
        self.changed
    }

    /// Notes who is online and none of the clients.
    pub(super) fn others(&mut self, people: &[Person]) {
        let is_other = |person: &&Person| {
            person.online && !person.name.is_server() && !self.numbers.contains_key(&person.name)
        };
        let others: Vec<UserName> =
            people.iter().filter(is_other).map(|person| person.name.clone()).collect();
        self.others.extend(others);
    }

    /// Who was online before the start and none of the clients, in the order of their names.
    pub(super) fn strangers(&self) -> &BTreeSet<UserName> {
        &self.others
    }

    /// What each client did, and what was delivered when.
    pub(super) fn course(&self) -> (Vec<ClientFigures>, Course) {
        (self.per_client.clone(), self.course.clone())
    }

    /// Number of answers, for the progress bar.
    pub(super) fn answers(&self) -> u64 {
        let totals = self.tally.totals();
        totals.acked + totals.noacked
    }

    /// Messages and commands that the server stored.
    pub(super) fn stored_count(&self) -> u64 {
        self.stored
    }

    /// The counts as they are now.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        tally.lost = self.missing;
        let entitled::Wrong { leaked, left_out } = self.wrong();
        (tally.leaked, tally.left_out) = (leaked, left_out);
        tally.movement = self.whereabouts.movement();
        for entry in self.entries.values().filter(|entry| !entry.is_answered) {
            tally.by_tag.entry(entry.tag).or_default().unanswered += 1;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: usize = 0;
    const B: usize = 1;

    struct Case {
        names: Vec<UserName>,
        ledger: Ledger,
        now: Instant,
    }

    fn case() -> Case {
        let names: Vec<_> =
            ["emu-001", "emu-002", "emu-003"].map(|name| UserName::new(name).unwrap()).into();
        let now = Instant::now();
        Case { ledger: Ledger::new(&names, now), names, now }
    }

    fn id(number: u8) -> MessageId {
        MessageId([number; 16])
    }

    impl Case {
        fn sends(&mut self, sender: usize, number: u8, tag: &'static str) {
            self.ledger.sent((sender, 0), id(number), tag, self.now, self.now);
        }

        fn shows(&mut self, recipient: usize, number: u8) {
            self.ledger.received(recipient, &self.names[A], id(number), true, self.now);
        }

        fn stores(&mut self, number: u8) -> bool {
            let recipients = self.names[1..].to_vec();
            self.ledger.stored(id(number), u64::from(number) * 10, &recipients, self.now)
        }
    }

    #[test]
    fn a_message_is_settled_when_all_have_it() {
        let mut case = case();
        case.sends(A, 1, "TEXT");
        // A recipient may be faster than the answer.
        case.shows(B, 1);
        assert!(case.stores(1));
        assert!(!case.ledger.is_settled());
        assert_eq!(case.ledger.tally().lost, 1);
        case.shows(2, 1);
        assert!(case.ledger.is_settled());
        let tally = case.ledger.tally();
        let totals = tally.totals();
        assert_eq!((totals.expected, totals.delivered, totals.acked, tally.lost), (2, 2, 1, 0));
        assert_eq!((tally.duplicated, tally.out_of_order, tally.stored.count()), (0, 0, 1));
    }

    #[test]
    fn what_arrives_before_its_id_is_known_counts_in_its_order() {
        let mut case = case();
        case.shows(B, 1);
        case.shows(B, 2);
        assert_eq!(case.ledger.tally().totals().delivered, 0);
        case.sends(A, 1, "TEXT");
        case.sends(A, 2, "TEXT");
        let tally = case.ledger.tally();
        assert_eq!((tally.totals().delivered, tally.out_of_order), (2, 0));
    }

    #[test]
    fn repeated_and_late_deliveries_and_answers_are_found() {
        let mut case = case();
        case.sends(A, 1, "TEXT");
        case.sends(A, 2, "TEXT");
        case.shows(B, 2);
        case.shows(B, 1);
        case.shows(B, 1);
        assert!(case.stores(1));
        assert!(!case.stores(1));
        assert!(!case.ledger.refused(id(1), "E_LATE", case.now));
        let tally = case.ledger.tally();
        assert_eq!((tally.out_of_order, tally.duplicated), (1, 3));
        assert_eq!(tally.totals().unanswered, 1);
    }

    #[test]
    fn an_unreadable_message_counts_once_per_recipient_and_is_lost() {
        let mut case = case();
        case.sends(A, 1, "DM");
        case.stores(1);
        case.ledger.received(B, &case.names[A].clone(), id(1), false, case.now);
        case.ledger.reported_unreadable(id(1), &case.names[B].clone());
        assert_eq!((case.ledger.tally().unreadable, case.ledger.tally().lost), (1, 2));
    }

    #[test]
    fn a_command_is_answered_by_its_outcome_and_delivered_to_nobody() {
        let mut case = case();
        case.sends(A, 1, CMD);
        case.sends(A, 2, CMD);
        assert!(!case.stores(1));
        assert!(!case.ledger.is_settled());
        assert!(case.ledger.ended(id(1), None, case.now));
        assert!(!case.ledger.ended(id(1), None, case.now));
        assert!(case.ledger.refused(id(2), "E_NO_AGENT", case.now));
        assert!(case.ledger.is_settled());
        let tally = case.ledger.tally();
        let totals = tally.totals();
        assert_eq!((totals.acked, totals.noacked, totals.expected), (1, 1, 0));
        assert_eq!((tally.duplicated, tally.executed.count()), (1, 1));
        assert_eq!(tally.by_code["E_NO_AGENT"], 1);
    }

    #[test]
    fn messages_without_an_answer_are_sent_again_on_a_new_connection() {
        let mut case = case();
        case.sends(A, 1, "TEXT");
        case.sends(A, 2, "TEXT");
        case.sends(B, 3, "TEXT");
        case.stores(1);
        case.ledger.reconnected(A);
        let tally = case.ledger.tally();
        assert_eq!((tally.reconnects, tally.resent), (1, 1));
    }
}
