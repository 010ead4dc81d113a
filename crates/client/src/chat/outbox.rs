//! What becomes of the lines that a person has typed, said in as few lines as can be.
//!
//! Answers and receipts come in bunches: one receipt confirms up to 64 messages, and a room of a
//! thousand sends a thousand. What says the same within a moment is one line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use tokio::time::Instant;

/// What comes within this time is said together; a person hardly sees it.
pub(super) const TOGETHER: Duration = Duration::from_millis(150);

/// A message to a room that not everybody has confirmed by then is told of as it stands: the
/// others are away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Messages that are followed; of older ones `/receipts` tells.
const FOLLOWED_MAX: usize = 1_024;

/// Messages of ours that others are still to confirm, and what is to be said about them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Typed while there was no connection.
    queued: BTreeSet<MessageId>,
    followed: BTreeMap<MessageId, Followed>,
    /// Those that one other person is to confirm.
    to_one: BTreeSet<MessageId>,
    /// Lines and how many messages each is about.
    said: BTreeMap<String, usize>,
    said_due: Option<Instant>,
}

#[derive(Debug)]
struct Followed {
    recipients: usize,
    confirmed: usize,
    /// When it is told of as it stands; nothing once it was.
    due: Option<Instant>,
}

impl Outbox {
    /// A message was typed without a connection.
    pub(super) fn queued(&mut self, id: MessageId) {
        self.queued.insert(id);
    }

    /// An answer or receipt for a message, which is no command.
    pub(super) fn note(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Stored { id, kept, recipients, .. } => {
                let was_queued = self.queued.remove(id);
                if was_queued && !kept {
                    self.say(now, "✓ stored".to_owned());
                }
                if recipients.len() == 1 {
                    self.to_one.insert(*id);
                    if self.to_one.len() > FOLLOWED_MAX {
                        self.to_one.pop_first();
                    }
                }
                if recipients.len() > 1 {
                    let due = Some(now + PATIENCE);
                    let followed = Followed { recipients: recipients.len(), confirmed: 0, due };
                    self.followed.insert(*id, followed);
                    if self.followed.len() > FOLLOWED_MAX {
                        self.followed.pop_first();
                    }
                }
            }
            Event::Refused { id, .. } => {
                self.queued.remove(id);
            }
            Event::Delivered { id, cid, by, readable: true, .. } => {
                if let Some(followed) = self.followed.get_mut(id) {
                    followed.confirmed += 1;
                    if followed.confirmed >= followed.recipients {
                        let all = followed.recipients;
                        self.followed.remove(id);
                        self.say(now, format!("✓✓ delivered {all} of {all}"));
                    }
                } else if self.to_one.remove(id) || cid.is_direct() {
                    self.say(now, format!("✓✓ delivered to {by}"));
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, now: Instant, line: String) {
        *self.said.entry(line).or_default() += 1;
        self.said_due.get_or_insert(now + TOGETHER);
    }

    /// When there is something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        let followed = self.followed.values().filter_map(|followed| followed.due);
        followed.chain(self.said_due).min()
    }

    /// The lines that are due.
    pub(super) fn take(&mut self, now: Instant) -> Vec<String> {
        for followed in self.followed.values_mut().filter(|one| one.due.is_some_and(|at| at <= now))
        {
            followed.due = None;
            let line = match (followed.confirmed, followed.recipients) {
                (0, _) => "✓ stored; nobody has confirmed it yet".to_owned(),
                (some, all) => format!("✓✓ delivered {some} of {all}; /receipts shows to whom"),
            };
            *self.said.entry(line).or_default() += 1;
            self.said_due = Some(now);
        }
        if self.said_due.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.said_due = None;
        let said = std::mem::take(&mut self.said).into_iter();
        said.map(|(line, count)| match count {
            1 => line,
            many => format!("{line} ({many} messages)"),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::{ConversationId, UserName};

    use super::*;

    fn stored(number: u64, recipients: &[&str]) -> Event {
        let recipients = recipients.iter().map(|name| UserName::new(name).unwrap()).collect();
        let id = MessageId::new(number, [1; 10]);
        Event::Stored { id, position: number, kept: false, recipients, frame: None }
    }

    fn delivered(number: u64, cid: &str, by: &str) -> Event {
        let (id, by) = (MessageId::new(number, [1; 10]), UserName::new(by).unwrap());
        let cid = ConversationId::parse(cid).unwrap();
        Event::Delivered { id, cid, by, readable: true, refused: false, receipt: None }
    }

    #[test]
    fn many_receipts_make_one_line() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for number in 0..64 {
            outbox.note(now, &stored(number, &["bob"]));
            outbox.note(now, &delivered(number, "dm:alice:bob", "bob"));
        }
        assert!(outbox.take(now).is_empty(), "others may follow");
        let due = outbox.due().unwrap();
        assert_eq!(outbox.take(due), ["✓✓ delivered to bob (64 messages)"]);
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn a_room_is_told_of_when_the_last_one_confirms_or_patience_ends() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        let names = ["bob", "carol", "dave"];
        for number in 0..3 {
            outbox.note(now, &stored(number, &names));
        }
        for by in names {
            outbox.note(now, &delivered(0, "room:lobby", by));
        }
        outbox.note(now, &delivered(1, "room:lobby", "bob"));
        assert_eq!(outbox.take(now + TOGETHER), ["✓✓ delivered 3 of 3"]);
        assert_eq!(outbox.due(), Some(now + PATIENCE));
        let partly = outbox.take(now + PATIENCE);
        let expected = [
            "✓ stored; nobody has confirmed it yet",
            "✓✓ delivered 1 of 3; /receipts shows to whom",
        ];
        assert_eq!(partly, expected);
        assert_eq!(outbox.due(), None, "once");
        for by in ["carol", "dave"] {
            outbox.note(now, &delivered(1, "room:lobby", by));
        }
        assert_eq!(outbox.take(now + TOGETHER), ["✓✓ delivered 3 of 3"], "the end is told of");
    }

    #[test]
    fn a_room_of_two_is_told_who_has_confirmed() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.note(now, &stored(1, &["bob"]));
        for by in ["bob", "bob"] {
            outbox.note(now, &delivered(1, "room:ops", by));
        }
        assert_eq!(outbox.take(now + TOGETHER), ["✓✓ delivered to bob"], "once");
    }

    #[test]
    fn what_was_typed_without_a_connection_is_told_of_when_it_is_stored() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.queued(MessageId::new(1, [1; 10]));
        outbox.note(now, &stored(1, &["bob"]));
        outbox.note(now, &stored(2, &["bob"]));
        assert_eq!(outbox.take(now + TOGETHER), ["✓ stored"]);
    }
}
