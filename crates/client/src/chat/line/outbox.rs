//! What becomes of the lines that a person has typed, said in as few lines as can be.
//!
//! Answers and receipts come in bunches: one receipt confirms up to 64 messages, and a room of a
//! thousand sends a thousand. What says the same within a moment is one line.

use std::collections::BTreeMap;
use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_talk::sent::SentLog;
use chat_text::item::{Delivery, Item, What};
use tokio::time::Instant;

/// What comes within this time is said together; a person hardly sees it.
pub(super) const TOGETHER: Duration = Duration::from_millis(150);

/// A message to a room that not everybody has confirmed by then is told of as it stands: the
/// others are away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Texts that one line names.
const NAMED_MAX: usize = 3;

/// What is to be said about messages of ours.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// When those that several people are to confirm are told of as they stand.
    patience: BTreeMap<MessageId, Instant>,
    /// What is said, and of which messages.
    said: BTreeMap<String, Vec<MessageId>>,
    said_due: Option<Instant>,
}

impl Outbox {
    /// The line for what has no answer.
    pub(super) fn unanswered(sent: &SentLog) -> Option<String> {
        let ids: Vec<MessageId> = sent.unanswered().copied().collect();
        (!ids.is_empty()).then(|| format!("… no answer yet{}", which(sent, &ids)))
    }

    /// An answer or receipt, which the log of what was sent has taken already. What becomes of commands is told by
    /// what they answer.
    pub(super) fn note(&mut self, now: Instant, item: &Item, sent: &SentLog) {
        let What::Event(event) = &item.what else { return };
        let Some(of) = item.id.and_then(|id| sent.get(&id)).filter(|of| !of.is_command) else {
            return;
        };
        let Delivery::Stored { recipients, confirmed, .. } = of.state else { return };
        match &**event {
            Event::Stored { id, kept, .. } => {
                if of.was_queued && !kept {
                    self.say(now, "✓ stored".to_owned(), *id);
                }
                if recipients > 1 {
                    self.patience.insert(*id, now + PATIENCE);
                }
            }
            Event::Delivered { id, by, readable: true, .. }
                if recipients <= 1 && confirmed == 1 =>
            {
                self.say(now, format!("✓✓ {by}"), *id);
            }
            Event::Delivered { id, readable: true, .. } if confirmed == recipients => {
                self.patience.remove(id);
                self.say(now, format!("✓✓ {recipients}/{recipients}"), *id);
            }
            _ => {}
        }
    }

    fn say(&mut self, now: Instant, line: String, id: MessageId) {
        self.said.entry(line).or_default().push(id);
        self.said_due.get_or_insert(now + TOGETHER);
    }

    /// When there is something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.patience.values().copied().chain(self.said_due).min()
    }

    /// The lines that are due.
    pub(super) fn take(&mut self, now: Instant, sent: &SentLog) -> Vec<String> {
        for (id, _) in self.patience.extract_if(.., |_, due| *due <= now) {
            let line = match sent.get(&id).map(|of| &of.state) {
                Some(Delivery::Stored { confirmed, recipients, .. }) if *confirmed > 0 => {
                    format!("✓✓ {confirmed}/{recipients} (/receipts shows who)")
                }
                _ => "✓ stored, and nobody has confirmed it yet".to_owned(),
            };
            self.said.entry(line).or_default().push(id);
            self.said_due = Some(now);
        }
        if self.said_due.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.said_due = None;
        let said = std::mem::take(&mut self.said).into_iter();
        said.map(|(line, ids)| format!("{line}{}", which(sent, &ids))).collect()
    }
}

/// Which messages, by how they begin; those of an earlier start are only counted.
fn which(sent: &SentLog, ids: &[MessageId]) -> String {
    let labels: Vec<&str> = ids.iter().filter_map(|id| sent.get(id)?.label.as_deref()).collect();
    let named = labels.get(..NAMED_MAX.min(labels.len())).unwrap_or_default();
    let more = match (ids.len() - named.len(), named.is_empty()) {
        (0, _) => String::new(),
        (1, true) => " an earlier message".to_owned(),
        (more, true) => format!(" {more} earlier messages"),
        (more, false) => format!(" and {more} more"),
    };
    format!(": {}{more}", named.join(", ")).replace(":  ", ": ")
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::{ConversationId, UserName};
    use chat_talk::sent::{Sent, label};

    use super::*;

    fn cid(cid: &str) -> ConversationId {
        ConversationId::parse(cid).unwrap()
    }

    fn typed(sent: &mut SentLog, number: u64, text: &str, was_queued: bool) {
        let (cid, label) = (cid("room:lobby"), Some(label(text)));
        let (is_command, state) = (false, Delivery::Queued);
        let id = MessageId::new(number, [1; 10]);
        sent.typed(id, Sent { cid, label, is_command, was_queued, state });
    }

    /// As a talk does: its log takes the event first.
    fn note(outbox: &mut Outbox, now: Instant, event: Event, sent: &mut SentLog) {
        sent.note(&event);
        let id = match &event {
            Event::Stored { id, .. } | Event::Delivered { id, .. } => Some(*id),
            _ => None,
        };
        let item = Item { cid: None, id, what: What::Event(Box::new(event)) };
        outbox.note(now, &item, sent);
    }

    fn stored(number: u64, recipients: &[&str]) -> Event {
        let recipients = recipients.iter().map(|name| UserName::new(name).unwrap()).collect();
        let (id, cid) = (MessageId::new(number, [1; 10]), cid("room:lobby"));
        Event::Stored { id, cid, position: number, kept: false, recipients, frame: None }
    }

    fn delivered(number: u64, place: &str, by: &str) -> Event {
        let (id, by) = (MessageId::new(number, [1; 10]), UserName::new(by).unwrap());
        Event::Delivered { id, cid: cid(place), by, readable: true, refused: false, receipt: None }
    }

    #[test]
    fn many_receipts_make_one_line() {
        let (mut outbox, mut sent, now) = (Outbox::default(), SentLog::default(), Instant::now());
        for number in 0..64 {
            typed(&mut sent, number, &format!("number {number}"), false);
            note(&mut outbox, now, stored(number, &["bob"]), &mut sent);
            note(&mut outbox, now, delivered(number, "dm:alice:bob", "bob"), &mut sent);
        }
        assert!(outbox.take(now, &sent).is_empty(), "others may follow");
        let due = outbox.due().unwrap();
        assert_eq!(
            outbox.take(due, &sent),
            ["✓✓ bob: \"number 0\", \"number 1\", \"number 2\" and 61 more"]
        );
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn a_room_is_told_of_when_the_last_one_confirms_or_patience_ends() {
        let (mut outbox, mut sent, now) = (Outbox::default(), SentLog::default(), Instant::now());
        let names = ["bob", "carol", "dave"];
        let texts = ["hello", "two\nlines", "a text that is longer than a label may be"];
        for (number, text) in (0..).zip(texts) {
            typed(&mut sent, number, text, false);
            note(&mut outbox, now, stored(number, &names), &mut sent);
        }
        for by in names {
            note(&mut outbox, now, delivered(0, "room:lobby", by), &mut sent);
        }
        note(&mut outbox, now, delivered(1, "room:lobby", "bob"), &mut sent);
        assert_eq!(outbox.take(now + TOGETHER, &sent), ["✓✓ 3/3: \"hello\""]);
        assert_eq!(outbox.due(), Some(now + PATIENCE));
        let partly = outbox.take(now + PATIENCE, &sent);
        let expected = [
            r#"✓ stored, and nobody has confirmed it yet: "a text that is longer th…""#,
            r#"✓✓ 1/3 (/receipts shows who): "two\nlines""#,
        ];
        assert_eq!(partly, expected);
        assert_eq!(outbox.due(), None, "once");
        for by in ["carol", "dave"] {
            note(&mut outbox, now, delivered(1, "room:lobby", by), &mut sent);
        }
        let told = outbox.take(now + TOGETHER, &sent);
        assert_eq!(told, ["✓✓ 3/3: \"two\\nlines\""], "the end is told of");
    }

    #[test]
    fn a_room_of_two_is_told_who_has_confirmed() {
        let (mut outbox, mut sent, now) = (Outbox::default(), SentLog::default(), Instant::now());
        note(&mut outbox, now, stored(1, &["bob"]), &mut sent);
        for by in ["bob", "bob"] {
            note(&mut outbox, now, delivered(1, "room:ops", by), &mut sent);
        }
        assert_eq!(outbox.take(now + TOGETHER, &sent), ["✓✓ bob: an earlier message"], "once");
    }

    #[test]
    fn what_was_typed_without_a_connection_is_told_of_when_it_is_stored() {
        let (mut outbox, mut sent, now) = (Outbox::default(), SentLog::default(), Instant::now());
        typed(&mut sent, 1, "hello", true);
        assert_eq!(Outbox::unanswered(&sent).unwrap(), "… no answer yet: \"hello\"");
        note(&mut outbox, now, stored(1, &["bob"]), &mut sent);
        note(&mut outbox, now, stored(2, &["bob"]), &mut sent);
        assert_eq!(outbox.take(now + TOGETHER, &sent), ["✓ stored: \"hello\""]);
    }
}
