//! What slash commands answer from the home's history.

use std::collections::HashMap;

use chat_device::client::Status;
use chat_device::history::{Entry, History};
use chat_device::store::StoreError;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName};
use chat_text::item::{Answer, Pending};
use chat_text::slash::SlashCommand;

use crate::talk::Talk;
use crate::told::Told;

/// Messages without an answer that are shown with their texts.
const TEXTS_MAX: usize = 100;

/// Where `/history more` goes on.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    cid: ConversationId,
    /// The oldest place shown.
    before: i64,
    count: usize,
}

impl Talk {
    /// Where a text without an address goes; what was said in the lobby while there is no room.
    fn current(&self) -> ConversationId {
        let cid = self.rooms.current.as_ref().and_then(|place| place.conversation(&self.me));
        cid.unwrap_or_else(|| ConversationId::room(&RoomName::lobby()))
    }

    /// Does what `/history`, `/search` and `/receipts` ask for.
    pub(crate) async fn ask_history(&mut self, command: SlashCommand) -> Told {
        match command {
            SlashCommand::History { place, count } => {
                let cid = match place {
                    None => self.current(),
                    Some(place) => match self.read_history(move |h| h.meant(&place)).await {
                        Ok(Some(cid)) => cid,
                        Ok(None) => return Told::error("there is no conversation with yourself"),
                        Err(told) => return told,
                    },
                };
                self.page(Page { cid, before: i64::MAX, count }).await
            }
            SlashCommand::HistoryMore => match self.page.clone() {
                Some(page) => self.page(page).await,
                None => Told::error("/history more follows a /history"),
            },
            SlashCommand::HistoryBefore { id, count } => self.before(id, count).await,
            SlashCommand::Search { words } => self.search(words).await,
            SlashCommand::Receipts { id } => self.receipts(id).await,
            _ => Told::default(),
        }
    }

    /// What was sent and has no answer yet, with its text where the home has it.
    pub(crate) async fn pending(&self) -> Told {
        // Without an answer the client has stopped; the reason is in the last event.
        let Some(Status { pending, .. }) = self.client.status().await else {
            return Told::default();
        };
        let ids: Vec<MessageId> = pending.iter().take(TEXTS_MAX).map(|(id, ..)| *id).collect();
        let read = move |history: &History| {
            ids.iter().map(|id| history.by_id(id)).collect::<Result<Vec<_>, _>>()
        };
        let entries = self.read_history(read).await.unwrap_or_default().into_iter().flatten();
        let texts: HashMap<MessageId, String> = entries
            .filter(Entry::is_own)
            .filter_map(|entry| Some((entry.record.id, entry.record.text?)))
            .collect();
        let pending = pending.into_iter().map(|(id, cid, tag)| {
            let text = texts.get(&id).cloned();
            Pending { id, cid, tag, text }
        });
        Answer::Pending(pending.collect()).into()
    }

    /// The newest messages of a conversation before a place of the history, oldest first; none where the history
    /// cannot be read, which says so when it is asked for.
    pub async fn earlier(
        &self,
        cid: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Vec<Entry> {
        let cid = cid.clone();
        let read = move |history: &History| history.page(&cid, before, count);
        let entries = self.client.read_history(read).await.and_then(Result::ok);
        self.noise.ignored.without_words(entries.unwrap_or_default())
    }

    /// Notes the conversations of the history.
    pub(crate) async fn know_conversations(&mut self) {
        let known = self.client.read_history(History::conversations).await;
        let known = known.and_then(Result::ok).unwrap_or_default();
        self.has_history = !known.is_empty();
        for (cid, at_ms) in &known {
            self.conversations.said(cid, *at_ms);
        }
        // Until the server says it, the view of each room does.
        let room = |(cid, _): &(ConversationId, u64)| match cid.kind() {
            ConversationKind::Room(room) if !room.is_all() => Some(room),
            _ => None,
        };
        for room in self.client.own_rooms(known.iter().filter_map(room).collect()).await {
            self.conversations.is_in(&ConversationId::room(&room));
        }
    }

    /// What stands before a message; ids of others may be several, and the newest is meant.
    async fn before(&mut self, id: MessageId, count: usize) -> Told {
        match self.read_history(move |history| history.by_id(&id)).await {
            Ok(entries) => match entries.into_iter().next_back() {
                Some(entry) => {
                    self.page(Page { cid: entry.record.cid, before: entry.place, count }).await
                }
                None => Told::error(format!("no message {id} is in this home's history")),
            },
            Err(told) => told,
        }
    }

    async fn page(&mut self, page: Page) -> Told {
        let (cid, before, count) = (page.cid.clone(), page.before, page.count);
        let read = move |history: &History| history.page(&cid, Some(before), count);
        let entries = match self.read_history(read).await {
            Ok(entries) => entries,
            Err(told) => return told,
        };
        let Some(oldest) = entries.first().map(|entry| entry.place) else {
            if !self.is_place(&page.cid).await {
                return Told::error(self.no_place(&page.cid));
            }
            return Answer::NoHistory { cid: page.cid, is_more: before != i64::MAX }.into();
        };
        self.page = Some(Page { before: oldest, ..page });
        Answer::History(self.noise.ignored.without_words(entries)).into()
    }

    /// Whether there is such a person or room, as far as is known here.
    async fn is_place(&self, cid: &ConversationId) -> bool {
        match (cid.kind(), cid.other(&self.me)) {
            (_, Some(user)) => self.is_user(&user).await,
            (ConversationKind::Room(room), _) => {
                self.rooms.is_seen(&room) || self.client.roster(&room).await.is_some()
            }
            _ => true,
        }
    }

    async fn search(&self, words: Vec<String>) -> Told {
        let ignored = self.ignored().clone();
        match self.read_history(move |history| history.search(&words, &ignored)).await {
            Ok(found) => Answer::Found(found).into(),
            Err(told) => told,
        }
    }

    async fn receipts(&self, id: Option<MessageId>) -> Told {
        let read = move |history: &History| match id {
            Some(id) => Ok(history.by_id(&id)?.into_iter().find(Entry::is_own)),
            None => history.last_own(),
        };
        match self.read_history(read).await {
            Ok(Some(entry)) => Answer::Receipts(Box::new(entry)).into(),
            Ok(None) => Told::error("no message of yours that fits is in this home's history"),
            Err(told) => told,
        }
    }

    pub(crate) async fn read_history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Told> {
        match self.client.read_history(read).await {
            Some(Ok(read)) => Ok(read),
            Some(Err(error)) => Err(Told::error(error.to_string())),
            None => Err(Told::error("this device keeps no history")),
        }
    }

    /// What is said of a conversation that cannot be.
    fn no_place(&self, cid: &ConversationId) -> String {
        match cid.other(&self.me) {
            Some(user) => {
                format!("there is no person and no room {user} here; /users and /rooms list them")
            }
            None => format!("there is no room {} here; /rooms lists them", cid.spoken()),
        }
    }
}
