//! What becomes of the lines that a person has typed, said in as few lines as can be.
//!
//! Answers and receipts come in bunches: one receipt confirms up to 64 messages, and a room of a
//! thousand sends a thousand. What says the same within a moment is one line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::sanitise;
use tokio::time::Instant;

/// What comes within this time is said together; a person hardly sees it.
pub(super) const TOGETHER: Duration = Duration::from_millis(150);

/// A message to a room that not everybody has confirmed by then is told of as it stands: the
/// others are away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Messages that are followed; of older ones `/receipts` tells.
const FOLLOWED_MAX: usize = 1_024;

/// Characters of a text by which its writer knows it again.
const LABEL_MAX: usize = 24;

/// Texts that one line names.
const NAMED_MAX: usize = 3;

/// Messages of ours that others are still to confirm, and what is to be said about them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Typed while there was no connection.
    queued: BTreeSet<MessageId>,
    /// Without an answer of the server.
    open: BTreeSet<MessageId>,
    /// How texts begin that were typed since the start.
    labels: BTreeMap<MessageId, String>,
    followed: BTreeMap<MessageId, Followed>,
    /// Those that one other person is to confirm.
    to_one: BTreeSet<MessageId>,
    /// What is said, and of which messages.
    said: BTreeMap<String, Vec<MessageId>>,
    said_due: Option<Instant>,
}

#[derive(Debug)]
struct Followed {
    recipients: usize,
    confirmed: usize,
    /// When it is told of as it stands; nothing once it was.
    due: Option<Instant>,
}

/// How a text begins, in quotes.
pub(super) fn label(text: &str) -> String {
    let shown = sanitise::line(text.trim());
    let mut characters = shown.chars();
    let start: String = characters.by_ref().take(LABEL_MAX).collect();
    if characters.next().is_some() {
        return format!("\"{}…\"", start.trim_end());
    }
    format!("\"{start}\"")
}

impl Outbox {
    /// A message was typed, without a connection or with one.
    pub(super) fn typed(&mut self, id: MessageId, label: String, is_online: bool) {
        if !is_online {
            self.queued.insert(id);
        }
        self.open.insert(id);
        self.labels.insert(id, label);
        if self.labels.len() > FOLLOWED_MAX {
            self.labels.pop_first();
        }
        if self.open.len() > FOLLOWED_MAX {
            self.open.pop_first();
        }
    }

    /// Lines for what has no answer.
    pub(super) fn unanswered(&self) -> Vec<String> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let ids: Vec<MessageId> = self.open.iter().copied().collect();
        vec![format!("… no answer yet{}", self.which(&ids))]
    }

    /// An answer or receipt for a message, which is no command.
    pub(super) fn note(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Stored { id, kept, recipients, .. } => {
                self.open.remove(id);
                let was_queued = self.queued.remove(id);
                if was_queued && !kept {
                    self.say(now, "✓ stored".to_owned(), *id);
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
                self.open.remove(id);
                self.queued.remove(id);
            }
            Event::Delivered { id, cid, by, readable: true, .. } => {
                if let Some(followed) = self.followed.get_mut(id) {
                    followed.confirmed += 1;
                    if followed.confirmed >= followed.recipients {
                        let all = followed.recipients;
                        self.followed.remove(id);
                        self.say(now, format!("✓✓ {all}/{all}"), *id);
                    }
                } else if self.to_one.remove(id) || cid.is_direct() {
                    self.say(now, format!("✓✓ {by}"), *id);
                }
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
        let followed = self.followed.values().filter_map(|followed| followed.due);
        followed.chain(self.said_due).min()
    }

    /// The lines that are due.
    pub(super) fn take(&mut self, now: Instant) -> Vec<String> {
        let due = self.followed.iter_mut().filter(|(_, one)| one.due.is_some_and(|at| at <= now));
        for (id, followed) in due {
            followed.due = None;
            let line = match (followed.confirmed, followed.recipients) {
                (0, _) => "✓ stored, and nobody has confirmed it yet".to_owned(),
                (some, all) => format!("✓✓ {some}/{all} (/receipts shows who)"),
            };
            self.said.entry(line).or_default().push(*id);
            self.said_due = Some(now);
        }
        if self.said_due.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.said_due = None;
        let said = std::mem::take(&mut self.said).into_iter();
        said.map(|(line, ids)| format!("{line}{}", self.which(&ids))).collect()
    }

    /// Which messages, by how they begin; those of an earlier start are only counted.
    fn which(&self, ids: &[MessageId]) -> String {
        let labels: Vec<&str> =
            ids.iter().filter_map(|id| self.labels.get(id)).map(String::as_str).collect();
        let named = labels.get(..NAMED_MAX.min(labels.len())).unwrap_or_default();
        let more = match (ids.len() - named.len(), named.is_empty()) {
            (0, _) => String::new(),
            (1, true) => " an earlier message".to_owned(),
            (more, true) => format!(" {more} earlier messages"),
            (more, false) => format!(" and {more} more"),
        };
        format!(": {}{more}", named.join(", ")).replace(":  ", ": ")
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::{ConversationId, UserName};

    use super::*;

    fn stored(number: u64, recipients: &[&str]) -> Event {
        let recipients = recipients.iter().map(|name| UserName::new(name).unwrap()).collect();
        let id = MessageId::new(number, [1; 10]);
        let cid = ConversationId::parse("room:lobby").unwrap();
        Event::Stored { id, cid, position: number, kept: false, recipients, frame: None }
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
            outbox.typed(MessageId::new(number, [1; 10]), format!("\"number {number}\""), true);
            outbox.note(now, &stored(number, &["bob"]));
            outbox.note(now, &delivered(number, "dm:alice:bob", "bob"));
        }
        assert!(outbox.take(now).is_empty(), "others may follow");
        let due = outbox.due().unwrap();
        assert_eq!(
            outbox.take(due),
            ["✓✓ bob: \"number 0\", \"number 1\", \"number 2\" and 61 more"]
        );
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn a_room_is_told_of_when_the_last_one_confirms_or_patience_ends() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        let names = ["bob", "carol", "dave"];
        let texts = ["hello", "two\nlines", "a text that is longer than a label may be"];
        for (number, text) in (0..).zip(texts) {
            outbox.typed(MessageId::new(number, [1; 10]), label(text), true);
            outbox.note(now, &stored(number, &names));
        }
        for by in names {
            outbox.note(now, &delivered(0, "room:lobby", by));
        }
        outbox.note(now, &delivered(1, "room:lobby", "bob"));
        assert_eq!(outbox.take(now + TOGETHER), ["✓✓ 3/3: \"hello\""]);
        assert_eq!(outbox.due(), Some(now + PATIENCE));
        let partly = outbox.take(now + PATIENCE);
        let expected = [
            r#"✓ stored, and nobody has confirmed it yet: "a text that is longer th…""#,
            r#"✓✓ 1/3 (/receipts shows who): "two\nlines""#,
        ];
        assert_eq!(partly, expected);
        assert_eq!(outbox.due(), None, "once");
        for by in ["carol", "dave"] {
            outbox.note(now, &delivered(1, "room:lobby", by));
        }
        assert_eq!(outbox.take(now + TOGETHER), ["✓✓ 3/3: \"two\\nlines\""], "the end is told of");
    }

    #[test]
    fn a_room_of_two_is_told_who_has_confirmed() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.note(now, &stored(1, &["bob"]));
        for by in ["bob", "bob"] {
            outbox.note(now, &delivered(1, "room:ops", by));
        }
        assert_eq!(outbox.take(now + TOGETHER), ["✓✓ bob: an earlier message"], "once");
    }

    #[test]
    fn what_was_typed_without_a_connection_is_told_of_when_it_is_stored() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        outbox.typed(MessageId::new(1, [1; 10]), label("hello"), false);
        assert_eq!(outbox.unanswered(), ["… no answer yet: \"hello\""]);
        outbox.note(now, &stored(1, &["bob"]));
        outbox.note(now, &stored(2, &["bob"]));
        assert_eq!(outbox.take(now + TOGETHER), ["✓ stored: \"hello\""]);
    }
}
