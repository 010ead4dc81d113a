//! `/grant`: hands what was said in the current room on to a member who came later.

use chat_device::client::GrantFailed;
use chat_device::history::read::PAGE_MAX;
use chat_device::history::{Entry, History, State};
use chat_device::store::StoreError;
use chat_endpoint::HistoryEntry;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use chat_text::item::Answer;

use crate::rooms;
use crate::talk::Talk;
use crate::told::Told;

/// Messages that one `/grant` hands on. They travel as sealed messages of a few dozen each, and
/// whoever gets them must check every signature.
const GRANTED_MAX: usize = 10_000;

/// A grant that waits for the view of its room.
#[derive(Debug)]
pub(crate) struct Asked {
    cid: ConversationId,
    to: UserName,
    last: Option<usize>,
}

impl Talk {
    /// Brings the view of the room up to date first: whoever gets something must be a member now.
    pub(crate) async fn ask_grant(&mut self, to: UserName, last: Option<usize>) -> Told {
        if !self.is_online() {
            return Told::error("there is no connection; history is granted when there is one");
        }
        let Some(room) = self.rooms.room() else { return Told::error(rooms::NO_ROOM) };
        let cid = ConversationId::room(room);
        self.client.refresh(&cid).await;
        self.grants.push(Asked { cid, to, last });
        Told::default()
    }

    /// Grants what was asked for in this room, now that its view is up to date.
    pub(crate) async fn grant_asked(&mut self, cid: &ConversationId) -> Told {
        let (now, later) =
            std::mem::take(&mut self.grants).into_iter().partition(|asked| asked.cid == *cid);
        self.grants = later;
        let mut told = Told::default();
        for Asked { cid, to, last } in now {
            told = told.and(self.grant(cid, to, last.unwrap_or(GRANTED_MAX)).await);
        }
        told
    }

    async fn grant(&self, cid: ConversationId, to: UserName, last: usize) -> Told {
        let room = cid.clone();
        let read = move |history: &History| newest(history, &room, last.min(GRANTED_MAX));
        let entries = match self.read_history(read).await {
            Ok(entries) => entries,
            Err(told) => return told,
        };
        let count = entries.len();
        match self.client.grant(to.clone(), entries).await {
            Ok(()) => Answer::Granted { to, cid, count }.into(),
            Err(GrantFailed::Refused(error)) => Told::error(error.to_string()),
            // The reason is in the last event.
            Err(GrantFailed::Stopped) => Told::default(),
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
