//! Answers that reach another process of the same home than the one that waits for them.
//!
//! A process that connects sends everything without an answer again, also what another process of
//! its home is waiting for. Whoever gets such an answer leaves it in the home; the one that waits
//! finds it there when it next looks.

use std::collections::HashSet;

use chat_endpoint::store::Change;
use chat_endpoint::{Event, Notification, Records};
use chat_protocol::id::MessageId;

/// Rows of answers in the home's database.
const PREFIX: &str = "host/answer/";

/// Nobody waits longer for an answer; a row that is older was left by a process that is gone.
const KEPT_MS: u64 = 3_600_000;

/// Messages of this process that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Answers(HashSet<MessageId>);

impl Answers {
    /// A message of this process is on its way.
    pub(crate) fn expect(&mut self, id: MessageId) {
        self.0.insert(id);
    }

    /// Notes the answers among these events; rows for those that others wait for.
    pub(crate) fn note(&mut self, events: &[Notification]) -> Vec<Change> {
        // What was done in a room is only known to the process that asked for it.
        for id in events.iter().filter_map(|notification| done_in_room(&notification.event)) {
            self.0.remove(&id);
        }
        let answers = events.iter().filter_map(|notification| match &notification.event {
            event @ (Event::Stored { id, .. } | Event::Refused { id, .. }) => Some((*id, event)),
            _ => None,
        });
        let mut rows = Vec::new();
        for (id, event) in answers {
            if !self.0.remove(&id)
                && let Ok(value) = serde_json::to_vec(event)
            {
                rows.push(Change { key: format!("{PREFIX}{id}"), value: Some(value) });
            }
        }
        rows
    }

    /// Answers that others have left for this process among all rows, and the rows that are dealt with.
    /// `is_open` tells which messages still have no answer.
    pub(crate) fn collect(
        &mut self,
        rows: &Records,
        is_open: impl Fn(&MessageId) -> bool,
    ) -> (Vec<Event>, Vec<Change>) {
        let (mut events, mut done) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            let id = key.strip_prefix(PREFIX).and_then(|id| MessageId::parse(id).ok());
            if id.is_some_and(|id| !is_open(&id) && self.0.remove(&id)) {
                events.extend(serde_json::from_slice(value).ok());
                done.push(Change { key: key.clone(), value: None });
            }
        }
        (events, done)
    }
}

/// What was asked for in a room, if this says that it is done.
fn done_in_room(event: &Event) -> Option<MessageId> {
    let is_message = matches!(event, Event::Stored { .. } | Event::Refused { .. });
    event.answers().filter(|_| !is_message)
}

/// Rows that nobody waits for any more.
pub(crate) fn outdated(rows: &Records, now_ms: u64) -> Vec<Change> {
    let answers = rows.iter().filter(|(key, _)| {
        let id = key.strip_prefix(PREFIX).map(MessageId::parse);
        id.is_some_and(|id| id.map_or(true, |id| now_ms.saturating_sub(id.made_ms()) > KEPT_MS))
    });
    answers.map(|(key, _)| Change { key: key.clone(), value: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Home as _, MemoryStore};

    fn refused(id: MessageId) -> Notification {
        let event = Event::Refused {
            id,
            code: "E_X".to_owned(),
            reason: "why".to_owned(),
            by_hub: true,
            may_start_until_ms: None,
        };
        Notification { key: None, event }
    }

    #[test]
    fn an_answer_finds_the_process_that_waits_for_it() {
        let mut home = MemoryStore::default();
        let id = MessageId::new(5, [1; 10]);
        let (mut waiting, mut other) = (Answers::default(), Answers::default());
        waiting.expect(id);
        home.write(other.note(&[refused(id)])).unwrap();
        let (events, _) = waiting.collect(&home.rows().unwrap(), |_| true);
        assert!(events.is_empty(), "it is still open");
        let (events, rows) = waiting.collect(&home.rows().unwrap(), |_| false);
        assert!(matches!(events[..], [Event::Refused { id: got, .. }] if got == id));
        let before = home.rows().unwrap();
        home.write(rows).unwrap();
        assert!(home.rows().unwrap().is_empty());
        assert!(waiting.collect(&before, |_| false).0.is_empty(), "once");
    }

    #[test]
    fn own_answers_leave_no_row_and_old_rows_go() {
        let id = MessageId::new(5, [1; 10]);
        let mut answers = Answers::default();
        answers.expect(id);
        assert!(answers.note(&[refused(id)]).is_empty());
        let row = (format!("{PREFIX}{id}"), Vec::new());
        let others = ("host/device".to_owned(), Vec::new());
        assert!(outdated(&vec![row.clone()], 5 + KEPT_MS).is_empty());
        assert_eq!(outdated(&vec![row, others], 6 + KEPT_MS).len(), 1);
    }
}
