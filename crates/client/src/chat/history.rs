//! What slash commands answer from the home's history.

use std::collections::HashMap;

use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_protocol::sanitise;
use serde_json::json;

use super::{Said, Talk};
use crate::diagnostics::is_plain;
use chat_device::client::Status;
use chat_device::history::{Entry, History};
use chat_device::store::StoreError;
use chat_text::history;
use chat_text::slash::SlashCommand;

/// Messages of the current room that are shown at the start.
const SHOWN_AT_START: usize = 10;

/// Messages without an answer that are shown with their texts.
const TEXTS_MAX: usize = 100;

/// Where `/history more` goes on.
#[derive(Debug, Clone)]
pub(super) struct Page {
    cid: ConversationId,
    /// The oldest place shown.
    before: i64,
    count: usize,
}

impl Talk {
    /// Where a text without an address goes; what was said in the lobby while there is no room.
    fn current(&self) -> ConversationId {
        ConversationId::room(self.rooms.current.as_ref().unwrap_or(&RoomName::lobby()))
    }

    /// Does what `/history`, `/search` and `/receipts` ask for.
    pub(super) async fn ask_history(&mut self, command: SlashCommand) -> Said {
        match command {
            SlashCommand::History { place, count } => {
                let cid = match place {
                    None => self.current(),
                    Some(place) => match self.read_history(move |h| h.meant(&place)).await {
                        Ok(Some(cid)) => cid,
                        Ok(None) => return self.error("there is no conversation with yourself"),
                        Err(said) => return said,
                    },
                };
                self.page(Page { cid, before: i64::MAX, count }).await
            }
            SlashCommand::HistoryMore => match self.page.clone() {
                Some(page) => self.page(page).await,
                None => self.error("/history more follows a /history"),
            },
            SlashCommand::HistoryBefore { id, count } => self.before(id, count).await,
            SlashCommand::Search { words } => self.search(words).await,
            SlashCommand::Receipts { id } => self.receipts(id).await,
            _ => Said::default(),
        }
    }

    /// What was sent and has no answer yet, with its text where the home has it.
    pub(super) async fn pending(&self) -> Said {
        // Without an answer the client has stopped; the reason is in the last event.
        let Some(Status { pending, .. }) = self.client.status().await else {
            return Said::default();
        };
        if self.is_json {
            let objects = pending.iter().map(|(id, cid, tag)| {
                json!({"event": "pending", "id": id, "in": cid, "tag": tag}).to_string()
            });
            return Said { lines: objects.collect(), ..Said::default() };
        }
        if pending.is_empty() {
            return Said::line("everything sent is answered");
        }
        let ids: Vec<MessageId> = pending.iter().take(TEXTS_MAX).map(|(id, ..)| *id).collect();
        let read = move |history: &History| {
            ids.iter().map(|id| history.by_id(id)).collect::<Result<Vec<_>, _>>()
        };
        let entries = self.read_history(read).await.unwrap_or_default().into_iter().flatten();
        let texts: HashMap<MessageId, String> = entries
            .filter(Entry::is_own)
            .filter_map(|entry| Some((entry.record.id, entry.record.text?)))
            .collect();
        let lines = pending.iter().map(|(id, cid, tag)| match texts.get(id) {
            Some(text) => {
                format!("  {id} {tag} in {}: {}", cid.spoken(), sanitise::line(text))
            }
            None => format!("  {id} {tag} in {}", cid.spoken()),
        });
        Said { lines: lines.collect(), ..Said::default() }
    }

    /// The newest lines of the current room, set apart from what comes now.
    pub(super) async fn earlier(&self) -> Vec<String> {
        let cid = self.current();
        let read = move |history: &History| history.page(&cid, None, SHOWN_AT_START);
        // A history that cannot be read says so when it is asked for.
        let Some(Ok(entries)) = self.client.read_history(read).await else { return Vec::new() };
        let line = |entry: &Entry| dimmed(&history::line(&self.lines, entry));
        entries.iter().map(line).collect()
    }

    /// What stands before a message; ids of others may be several, and the newest is meant.
    async fn before(&mut self, id: MessageId, count: usize) -> Said {
        match self.read_history(move |history| history.by_id(&id)).await {
            Ok(entries) => match entries.into_iter().next_back() {
                Some(entry) => {
                    self.page(Page { cid: entry.record.cid, before: entry.place, count }).await
                }
                None => self.error(&format!("no message {id} is in this home's history")),
            },
            Err(said) => said,
        }
    }

    async fn page(&mut self, page: Page) -> Said {
        let (cid, before, count) = (page.cid.clone(), page.before, page.count);
        let read = move |history: &History| history.page(&cid, Some(before), count);
        let entries = match self.read_history(read).await {
            Ok(entries) => entries,
            Err(said) => return said,
        };
        let Some(oldest) = entries.first().map(|entry| entry.place) else {
            if !self.is_place(&page.cid).await {
                return self.error(&no_place(&self.lines.me, &page.cid));
            }
            let what = if before == i64::MAX { "nothing" } else { "nothing more" };
            return self.nothing(&format!("{what} was said in {} yet", page.cid.spoken()));
        };
        self.page = Some(Page { before: oldest, ..page });
        Said { lines: self.entries(&entries), ..Said::default() }
    }

    /// Whether there is such a person or room, as far as is known here.
    async fn is_place(&self, cid: &ConversationId) -> bool {
        match (cid.kind(), cid.other(&self.lines.me)) {
            (_, Some(user)) => self.is_user(&user).await,
            (ConversationKind::Room(room), _) => {
                self.rooms.is_seen(&room) || self.client.roster(&room).await.is_some()
            }
            _ => true,
        }
    }

    async fn search(&self, words: Vec<String>) -> Said {
        match self.read_history(move |history| history.search(&words)).await {
            Ok(found) => {
                let mut lines = self.entries(&found.entries);
                if !self.is_json {
                    lines.push(format!("· {}", history::found(&found)));
                }
                Said { lines, ..Said::default() }
            }
            Err(said) => said,
        }
    }

    async fn receipts(&self, id: Option<MessageId>) -> Said {
        let read = move |history: &History| match id {
            Some(id) => Ok(history.by_id(&id)?.into_iter().find(Entry::is_own)),
            None => history.last_own(),
        };
        match self.read_history(read).await {
            Ok(Some(entry)) if self.is_json => {
                Said { lines: self.entries(&[entry]), ..Said::default() }
            }
            Ok(Some(entry)) => {
                Said { lines: history::receipts(&self.lines, &entry), ..Said::default() }
            }
            Ok(None) => self.error("no message of yours that fits is in this home's history"),
            Err(said) => said,
        }
    }

    async fn read_history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Said> {
        match self.client.read_history(read).await {
            Some(Ok(read)) => Ok(read),
            Some(Err(error)) => Err(self.error(&error.to_string())),
            None => Err(self.error("this device keeps no history")),
        }
    }

    fn entries(&self, entries: &[Entry]) -> Vec<String> {
        let line = |entry: &Entry| {
            if self.is_json {
                history::object(&self.lines.me, entry).to_string()
            } else {
                format!("  {}", history::line(&self.lines, entry))
            }
        };
        entries.iter().map(line).collect()
    }

    /// An empty answer: a script sees no lines.
    fn nothing(&self, line: &str) -> Said {
        if self.is_json { Said::default() } else { Said::line(format!("· {line}")) }
    }
}

/// What is said of a conversation that cannot be.
fn no_place(me: &UserName, cid: &ConversationId) -> String {
    match cid.other(me) {
        Some(user) => {
            format!("there is no person and no room {user} here; /users and /rooms list them")
        }
        None => format!("there is no room {} here; /rooms lists them", cid.spoken()),
    }
}

/// A line of the past: faint where the terminal may show it so, and set in everywhere.
fn dimmed(line: &str) -> String {
    if is_plain() {
        return format!("  {line}");
    }
    format!("\u{1b}[2m  {line}\u{1b}[0m")
}
