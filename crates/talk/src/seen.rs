//! When people were heard of last: by what they have signed, and shown of those alone who allow it. The server's word
//! counts for nothing here.

use std::collections::HashMap;

use chat_endpoint::Event;
use chat_endpoint::settings::allows;
use chat_protocol::name::{ConversationId, UserName};

use crate::talk::Talk;

/// People of whom it is noted when they were heard of; of others the home's messages tell.
const HEARD_MAX: usize = 4_096;

/// Messages of the home in which somebody's newest is looked for.
const LOOKED_AT: usize = 50;

/// When people were heard of since the start, Unix time in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Heard(HashMap<UserName, u64>);

impl Heard {
    /// Notes who has signed it. What comes late was said earlier.
    pub(crate) fn note(&mut self, event: &Event) {
        let (who, at_ms) = match event {
            Event::Message { from, sent_ms, healed_by: None, granted_by: None, .. }
            | Event::Away { from, sent_ms, .. } => (from, *sent_ms),
            _ => return,
        };
        if self.0.len() < HEARD_MAX || self.0.contains_key(who) {
            let known = self.0.entry(who.clone()).or_default();
            *known = at_ms.max(*known);
        }
    }
}

impl Talk {
    /// When somebody was heard of last, where they allow that.
    pub(crate) async fn seen(&self, user: &UserName) -> Option<u64> {
        if !allows(&self.client.settings().await, user) {
            return None;
        }
        let kept = match ConversationId::direct(&self.me, user) {
            Ok(cid) => self.earlier(&cid, None, LOOKED_AT).await,
            Err(_) => Vec::new(),
        };
        let kept = kept.iter().rfind(|entry| entry.record.from == *user);
        let kept = kept.map(|entry| entry.record.sent_ms);
        kept.max(self.heard.0.get(user).copied())
    }

    /// Tells whoever was just written to alone what this user allows, where that is new to them.
    pub(crate) async fn allow_seen(&self, to: &UserName) {
        if let Some(on) = self.settings.seen {
            self.client.allow_seen(to, on).await;
        }
    }
}
