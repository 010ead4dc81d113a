//! How far what this user has said has come.

use std::collections::BTreeMap;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;
use chat_protocol::sanitise;
use chat_text::item::Delivery;

/// Messages that are followed; of older ones `/receipts` tells.
const FOLLOWED_MAX: usize = 1_024;

/// Characters of a text by which its writer knows it again.
const LABEL_MAX: usize = 24;

/// One message or command of this user.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Where it was said.
    pub cid: ConversationId,
    /// How it begins, in quotes; nothing for one of an earlier start.
    pub label: Option<String>,
    /// It is a command for a machine.
    pub is_command: bool,
    /// There was no connection when it was typed.
    pub was_queued: bool,
    /// How far it has come.
    pub state: Delivery,
}

/// The newest of them.
#[derive(Debug, Default)]
pub struct SentLog(BTreeMap<MessageId, Sent>);

/// How a text begins, in quotes.
pub fn label(text: &str) -> String {
    let shown = sanitise::line(text.trim());
    let mut characters = shown.chars();
    let start: String = characters.by_ref().take(LABEL_MAX).collect();
    if characters.next().is_some() {
        return format!("\"{}…\"", start.trim_end());
    }
    format!("\"{start}\"")
}

impl SentLog {
    /// Something was typed and is kept.
    pub fn typed(&mut self, id: MessageId, sent: Sent) {
        self.0.insert(id, sent);
        if self.0.len() > FOLLOWED_MAX {
            self.0.pop_first();
        }
    }

    /// One of them.
    pub fn get(&self, id: &MessageId) -> Option<&Sent> {
        self.0.get(id)
    }

    /// Messages without an answer of the server, oldest first; commands have their own.
    pub fn unanswered(&self) -> impl Iterator<Item = &MessageId> {
        let is_open = |sent: &Sent| !sent.is_command && sent.state == Delivery::Queued;
        self.0.iter().filter(move |(_, sent)| is_open(sent)).map(|(id, _)| id)
    }

    /// Takes an answer or a receipt.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Stored { id, cid, recipients, .. } => {
                let sent = self.at(id, cid);
                let (confirmed, unreadable) = match sent.state {
                    Delivery::Stored { confirmed, unreadable, .. } => (confirmed, unreadable),
                    _ => (0, 0),
                };
                let recipients = recipients.len();
                sent.state = Delivery::Stored { recipients, confirmed, unreadable };
            }
            Event::Delivered { id, cid, readable, .. }
                if self.0.contains_key(id) || cid.is_direct() =>
            {
                let sent = self.at(id, cid);
                // The server has stored what it denied, or its answer is still on its way.
                if !matches!(sent.state, Delivery::Stored { .. }) {
                    sent.state = Delivery::Stored { recipients: 1, confirmed: 0, unreadable: 0 };
                }
                if let Delivery::Stored { confirmed, unreadable, .. } = &mut sent.state {
                    *confirmed += usize::from(*readable);
                    *unreadable += usize::from(!*readable);
                }
            }
            Event::Refused { id, code, reason, .. } => {
                if let Some(sent) = self.0.get_mut(id) {
                    let (code, reason) = (code.clone(), reason.clone());
                    sent.state = Delivery::Refused { code, reason };
                }
            }
            _ => {}
        }
    }

    /// The message, also one of an earlier start.
    fn at(&mut self, id: &MessageId, cid: &ConversationId) -> &mut Sent {
        if self.0.len() >= FOLLOWED_MAX && !self.0.contains_key(id) {
            self.0.pop_first();
        }
        self.0.entry(*id).or_insert_with(|| Sent {
            cid: cid.clone(),
            label: None,
            is_command: false,
            was_queued: false,
            state: Delivery::Queued,
        })
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::UserName;

    use super::*;

    fn id(number: u64) -> MessageId {
        MessageId::new(number, [1; 10])
    }

    fn cid() -> ConversationId {
        ConversationId::parse("room:ops").unwrap()
    }

    fn typed(log: &mut SentLog, number: u64) {
        let label = Some(label("hello"));
        let (is_command, was_queued, state) = (false, false, Delivery::Queued);
        log.typed(id(number), Sent { cid: cid(), label, is_command, was_queued, state });
    }

    fn delivered(number: u64, by: &str, readable: bool) -> Event {
        let (id, by) = (id(number), UserName::new(by).unwrap());
        Event::Delivered { id, cid: cid(), by, readable, refused: false, receipt: None }
    }

    fn stored(number: u64, names: &[&str]) -> Event {
        let recipients = names.iter().map(|name| UserName::new(name).unwrap()).collect();
        let id = id(number);
        Event::Stored { id, cid: cid(), position: 1, kept: false, recipients, frame: None }
    }

    #[test]
    fn a_message_is_queued_stored_and_confirmed_by_one_after_another() {
        let mut log = SentLog::default();
        typed(&mut log, 1);
        let mark = |log: &SentLog| log.get(&id(1)).unwrap().state.mark();
        assert_eq!((mark(&log).as_str(), log.unanswered().count()), ("…", 1));
        log.note(&stored(1, &["bob", "carol", "dave"]));
        assert_eq!((mark(&log).as_str(), log.unanswered().count()), ("✓", 0));
        for (by, shown) in [("bob", "✓✓ 1/3"), ("carol", "✓✓ 2/3"), ("dave", "✓✓ 3/3")]
        {
            log.note(&delivered(1, by, true));
            assert_eq!(mark(&log), shown);
        }
    }

    #[test]
    fn a_refusal_has_its_reason_and_a_receipt_proves_it_wrong() {
        let mut log = SentLog::default();
        typed(&mut log, 1);
        let (code, reason) = ("E_BANNED".to_owned(), "you are banned".to_owned());
        let refused =
            Event::Refused { id: id(1), code, reason, by_hub: true, may_start_until_ms: None };
        log.note(&refused);
        assert_eq!(log.get(&id(1)).unwrap().state.mark(), "✗ you are banned");
        log.note(&delivered(1, "bob", true));
        assert_eq!(log.get(&id(1)).unwrap().state.mark(), "✓✓");
        log.note(&delivered(2, "bob", false));
        assert!(log.get(&id(2)).is_none(), "of a room nobody knows how many there are");
    }

    #[test]
    fn what_nobody_could_read_says_so_and_old_ones_make_room() {
        let mut log = SentLog::default();
        for number in 0..2_000 {
            typed(&mut log, number);
        }
        assert_eq!(log.unanswered().count(), FOLLOWED_MAX);
        log.note(&stored(1_999, &["bob"]));
        log.note(&delivered(1_999, "bob", false));
        assert_eq!(log.get(&id(1_999)).unwrap().state.mark(), "✗ could not be read");
    }
}
