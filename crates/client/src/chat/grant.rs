//! `/grant`: hands what was said in the current room on to a member who came later.

use chat_endpoint::HistoryEntry;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::spoken::counted;
use chat_protocol::tag::Tag;
use serde_json::json;

use super::{Said, Talk};
use chat_device::client::GrantFailed;
use chat_device::history::read::PAGE_MAX;
use chat_device::history::{Entry, History, State};
use chat_device::store::StoreError;

/// Messages that one `/grant` hands on. They travel as sealed messages of a few dozen each, and
/// whoever gets them must check every signature.
const GRANTED_MAX: usize = 10_000;

/// A grant that waits for the view of its room.
#[derive(Debug)]
pub(super) struct Asked {
    cid: ConversationId,
    to: UserName,
    last: Option<usize>,
}

impl Talk {
    /// Brings the view of the room up to date first: whoever gets something must be a member now.
    pub(super) async fn ask_grant(&mut self, to: UserName, last: Option<usize>) -> Said {
        if !self.is_online {
            return self.error("there is no connection; history is granted when there is one");
        }
        let Some(room) = &self.rooms.current else { return self.error(super::rooms::NO_ROOM) };
        let cid = ConversationId::room(room);
        self.client.refresh(&cid).await;
        self.grants.push(Asked { cid, to, last });
        Said::default()
    }

    /// Grants what was asked for in this room, now that its view is up to date.
    pub(super) async fn grant_asked(&mut self, cid: &ConversationId) -> Said {
        let (now, later) =
            std::mem::take(&mut self.grants).into_iter().partition(|asked| asked.cid == *cid);
        self.grants = later;
        let mut said = Said::default();
        for Asked { cid, to, last } in now {
            said = said.and(self.grant(cid, to, last.unwrap_or(GRANTED_MAX)).await);
        }
        said
    }

    async fn grant(&self, cid: ConversationId, to: UserName, last: usize) -> Said {
        let room = cid.clone();
        let read = move |history: &History| newest(history, &room, last.min(GRANTED_MAX));
        let entries = match self.client.read_history(read).await {
            Some(Ok(entries)) => entries,
            Some(Err(error)) => return self.error(&error.to_string()),
            None => return self.error("this device keeps no history"),
        };
        let count = entries.len();
        match self.client.grant(to.clone(), entries).await {
            Ok(()) => self.say(
                &format!("· {to} is granted {} of {}", counted(count, "message"), cid.spoken()),
                &json!({"event": "grant", "conversation": cid, "user": to, "messages": count}),
            ),
            Err(GrantFailed::Refused(error)) => self.error(&error.to_string()),
            // The reason is in the last event.
            Err(GrantFailed::Stopped) => Said::default(),
        }
    }
}

/// The newest messages of a room that somebody has signed and this home can open, in their order.
fn newest(
    history: &History,
    cid: &ConversationId,
    count: usize,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let (mut found, mut before) = (Vec::new(), None);
    while found.len() < count {
        let page = history.page(cid, before, PAGE_MAX)?;
        let Some(oldest) = page.first() else { break };
        before = Some(oldest.place);
        for entry in page.iter().rev() {
            if found.len() < count
                && can_be_granted(entry)
                && let Some(kept) = history.frame(entry)?
            {
                let (id, from) = (entry.record.id, entry.record.from.clone());
                found.push(HistoryEntry { cid: cid.clone(), id, from, kept });
            }
        }
    }
    found.reverse();
    Ok(found)
}

fn can_be_granted(entry: &Entry) -> bool {
    let is_kept = matches!(entry.state, State::Stored { .. } | State::Received { .. });
    is_kept && matches!(entry.record.tag, Some(Tag::Text | Tag::Broadcast))
}
