//! What a step adds to the history, and when what was shown becomes durable.

use std::time::Duration;

use crate::store::SqliteStore;
use chat_endpoint::{Event, EventKey, Notification, SendError};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use tokio::time::Instant;

use crate::history::{Record, record};
use crate::home::HomeError;

/// Events that were shown wait this long for others, so that one commit ends many. A crash within
/// this time shows them again; it loses nothing.
const SHOWN_DELAY: Duration = Duration::from_millis(5);

/// Shown events that make a step worth its commit at once.
const SHOWN_MAX: usize = 256;

/// Collects during a step; written with it.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    typed: Vec<Record>,
    shown: Vec<Event>,
    /// Events that the host has dealt with, for the next step, and whether they were shown.
    consumed: Vec<(EventKey, bool)>,
    due: Option<Instant>,
}

impl Recorder {
    /// The host has dealt with an event, which it has shown or not. Returns whether a step is due now.
    pub(super) fn consumed(&mut self, key: EventKey, is_shown: bool) -> bool {
        self.consumed.push((key, is_shown));
        self.due.get_or_insert_with(|| Instant::now() + SHOWN_DELAY);
        self.consumed.len() >= SHOWN_MAX
    }

    /// When a step is due for what the host has dealt with.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What the host has dealt with since the last step.
    pub(super) fn take_consumed(&mut self) -> Vec<(EventKey, bool)> {
        self.due = None;
        std::mem::take(&mut self.consumed)
    }

    /// A message of ours, if it was taken.
    pub(super) fn typed(
        &mut self,
        now_ms: u64,
        from: &UserName,
        cid: ConversationId,
        text: String,
        sent: &Result<MessageId, SendError>,
    ) {
        if let Ok(id) = sent {
            let (id, from, tag) = (*id, from.clone(), Tag::of_words(&cid));
            self.typed.push(Record {
                id,
                cid,
                tag: Some(tag),
                from,
                text: Some(text),
                sent_ms: now_ms,
                said_in: None,
            });
        }
    }

    /// A durable event that ends with this step.
    pub(super) fn shown(&mut self, event: Event) {
        self.shown.push(event);
    }

    /// Writes it all, into the transaction of the step. Without a home nothing is kept.
    pub(super) fn write(
        &mut self,
        store: Option<&SqliteStore>,
        events: &[Notification],
    ) -> Result<(), HomeError> {
        let (typed, shown) = (std::mem::take(&mut self.typed), std::mem::take(&mut self.shown));
        let Some(store) = store else { return Ok(()) };
        for record in &typed {
            record::typed(store, record)?;
        }
        for event in &shown {
            record::shown(store, event)?;
        }
        for notification in events {
            record::learnt(store, &notification.event)?;
        }
        Ok(())
    }
}
