//! Files between people: sharing, finding, fetching, sending.
//!
//! ```text
//!  host (chat, share, get …) ── calls ──► Transfers ── notes, questions ──► Client (sealed messages)
//!        ▲                                  │   ▲ events about files ◄────────┘
//!        └──── TransferEvent ◄──────────────┘   │
//!                                          Channel (FILE frames) ◄──► hub
//! ```
//!
//! The host hands every event of its device to [`Transfers::heard`] first; what is about files stays there.
//! Reading order: `channel` carries, `index`, `offers` and `find` deal with the list, `shelf` keeps it in
//! step with the shared folder, `give` serves, `fetch` fetches, `copies` leaves copies at the hub, `newcomers`
//! tells those who come later, `direct` sends to one person.

mod answers;
mod channel;
mod copies;
mod direct;
mod error;
mod event;
mod fetch;
mod find;
mod give;
mod index;
mod into_folder;
pub(crate) mod misnamed;
mod newcomers;
mod offers;
mod running;
mod shelf;
mod slips;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::serve::Trees;
use chat_endpoint::{Event, EventKey, Notification};
use chat_protocol::content::files::FileNote;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::id::MessageId;
use chat_protocol::limits::OFFERS_PAGE_MAX;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::timeout;

use chat_device::client::{Client, ClientEvent};
use chat_device::home::HomeError;
use chat_device::recipient::Recipient;

use answers::Answers;
use channel::Channels;
use chat_device::keep::Keep;
pub use error::TransferError;
pub use event::{Offered, TransferEvent};
pub use find::{Findings, Forged, Listed};
use give::Givable;
use running::Running;

/// Who may have a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum For {
    /// Everybody who may find it.
    Audience(Audience),
    /// One person, to whom it was offered.
    Person(UserName),
}

/// How long the hub may take to answer a question about its list.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// Files that are given at the same time; further requests wait for their turn.
const GIVING_MAX: usize = 8;

/// Events that wait for the host; progress beyond that is left out.
const EVENTS_MAX: usize = 256;

/// How long a look at the hub's list waits for the keys of sealed offers, which come with what waited
/// for this device. A hub that never says that it has sent everything is not waited for longer.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// Views of rooms that were brought up to date and not looked at yet.
const REFRESHED_MAX: usize = 64;

/// What a host decides.
#[derive(Debug, Clone)]
pub struct TransferOptions {
    /// Where files that are fetched go.
    pub downloads: PathBuf,
    /// The folder of what is shared from here; made when the first file is shared.
    pub shared: PathBuf,
    /// Whether a fetch waits for an owner who is away.
    pub waits: bool,
    /// People whose files are taken without asking.
    pub accept_from: Vec<UserName>,
}

/// Files of one device. Clones are the same.
#[derive(Debug, Clone)]
pub struct Transfers(Arc<Shared>);

/// What all parts share.
#[derive(Debug)]
struct Shared {
    me: UserName,
    client: Client,
    keep: Keep,
    options: TransferOptions,
    channels: Channels,
    answers: Answers,
    refreshed: broadcast::Sender<ConversationId>,
    /// What waited at the hub was heard on this connection.
    caught_up: watch::Sender<bool>,
    /// Keys that were heard of and are being written down.
    learning: watch::Sender<usize>,
    giving: Semaphore,
    /// Of what was given a short while ago.
    trees: Trees,
    shelf: shelf::Shelf,
    early: give::Early,
    offered: Mutex<direct::Offers>,
    fetching: Mutex<Running>,
    events: mpsc::Sender<TransferEvent>,
}

impl Transfers {
    /// For a device that has signed in. Nothing is connected or read before it is needed.
    pub fn new(
        me: UserName,
        client: Client,
        options: TransferOptions,
    ) -> (Self, mpsc::Receiver<TransferEvent>) {
        let (events, happened) = mpsc::channel(EVENTS_MAX);
        let keep = client.keep();
        let shared = Shared {
            me,
            channels: Channels::new(client.clone()),
            answers: Answers::default(),
            refreshed: broadcast::channel(REFRESHED_MAX).0,
            caught_up: watch::channel(false).0,
            learning: watch::channel(0).0,
            giving: Semaphore::new(GIVING_MAX),
            trees: Trees::default(),
            shelf: shelf::Shelf::default(),
            early: give::Early::default(),
            offered: Mutex::default(),
            fetching: Mutex::default(),
            client,
            keep,
            options,
            events,
        };
        (Self(Arc::new(shared)), happened)
    }

    /// Deals with what happens to the device, as far as it is about files: `true` if the host has nothing to do with
    /// it. Nothing is taken without asking of those whose offers are not shown.
    pub fn heard(&self, event: &ClientEvent, is_shown: impl Fn(&UserName) -> bool) -> bool {
        match event {
            ClientEvent::Notification(notification) => return self.take(notification, is_shown),
            ClientEvent::Online { .. } => {
                self.0.caught_up.send_replace(false);
                self.0.shelf.look_again();
            }
            ClientEvent::CaughtUp => drop(self.0.caught_up.send_replace(true)),
            _ => {}
        }
        false
    }

    fn take(&self, notification: &Notification, is_shown: impl Fn(&UserName) -> bool) -> bool {
        let Notification { key, event } = notification;
        match event {
            Event::File { id, cid, from, pinned, note, .. } => {
                let (id, pinned, is_shown) = (*id, *pinned, is_shown(from));
                let said = Said { id, cid: cid.clone(), from: from.clone(), pinned, is_shown };
                self.0.hear(*key, said, event, note);
                true
            }
            Event::Shared { id, .. }
            | Event::Found { id, .. }
            | Event::OffersChecked { id, .. }
            | Event::ListRefused { id, .. } => {
                self.0.answers.answer(*id, event.clone());
                true
            }
            Event::Stored { id, .. } | Event::Refused { id, .. } | Event::Delivered { id, .. }
                if self.0.client.is_about_files(id) =>
            {
                self.0.answers.answer(*id, event.clone());
                self.0.done_with(*key);
                true
            }
            Event::Refreshed { cid } => {
                // Nobody may be waiting for it.
                self.0.refreshed.send(cid.clone()).ok();
                false
            }
            _ => false,
        }
    }

    /// Looks for files that have all these words; without words for all that I may fetch.
    pub async fn find(
        &self,
        words: &[String],
        owner: Option<UserName>,
    ) -> Result<Findings, TransferError> {
        self.0.find(words, owner).await
    }

    /// Looks through all that one person shares for the files that `is_wanted` takes.
    pub async fn find_of(
        &self,
        owner: &UserName,
        is_wanted: impl Fn(&Listed) -> bool,
    ) -> Result<Findings, TransferError> {
        self.0.find_of(owner, is_wanted).await
    }

    /// Fetches a file of a list, from everybody on the list who offers the same. Returns its number;
    /// the end is an event.
    pub fn fetch(&self, wanted: &Listed, list: &[Listed], folder: Option<&Path>) -> u32 {
        let folder = folder.unwrap_or(&self.0.options.downloads);
        self.0.fetch(wanted, list, folder)
    }

    /// The folder for files that are fetched.
    pub fn downloads(&self) -> &Path {
        &self.0.options.downloads
    }

    /// Stops a file on its way here; what has come stays. `false` if there is none of that number.
    pub fn cancel(&self, n: u32) -> bool {
        let fetching = self.0.fetching.lock();
        fetching.stop(n)
    }

    /// Keeps the hub's list in step with the shared folder from now on. `audience` may find what its
    /// `keyword.txt` says nothing about.
    pub fn serve_folder(&self, audience: Audience) {
        self.0.serve_folder(audience);
    }

    /// For a host that people talk to: tells what is still offered to them, and does so if there is a
    /// shared folder.
    pub fn serve_folder_if_there(&self) {
        self.0.remember_offers();
        if self.0.options.shared.is_dir() {
            self.0.serve_folder(Audience::Everybody);
        }
    }

    /// Puts a file into the shared folder and on the list; what becomes of it is an event.
    pub fn share(&self, path: PathBuf, words: Vec<String>, audience: Option<Recipient>) {
        let shared = Arc::clone(&self.0);
        self.0.report(async move { shared.share(&path, &words, audience.as_ref()).await });
    }

    /// Takes everything that is given from here off the list, without waiting for the answer.
    pub async fn withdraw(&self) {
        let offers: Vec<MessageId> = self.0.shelf.offers();
        for page in offers.chunks(OFFERS_PAGE_MAX) {
            self.0.client.share(Vec::new(), page.to_vec()).await;
        }
    }

    /// Takes a file off the list.
    pub fn unshare(&self, name: String) {
        let shared = Arc::clone(&self.0);
        self.0.report(async move { shared.unshare(&name).await });
    }

    /// Names of the files that are shared from here, in the shared folder.
    pub fn shared_names(&self) -> BTreeSet<String> {
        self.0.shelf.names()
    }

    /// Leaves encrypted copies of a shared file at the server; what becomes of it is an event.
    pub fn leave_copies(&self, name: String, days: u64) {
        let shared = Arc::clone(&self.0);
        self.0.report(async move { shared.leave_copies(&name, days).await });
    }

    /// Offers a file to one person; what becomes of it is an event.
    pub fn send(&self, path: PathBuf, to: UserName) {
        let shared = Arc::clone(&self.0);
        self.0.report(async move {
            let file = shared.offer(&path, &to).await?;
            Ok(TransferEvent::Sent { to, name: file.name, size: file.size })
        });
    }

    /// What others offer and I have not answered, of those whose offers are shown.
    pub fn waiting(&self, is_shown: impl Fn(&UserName) -> bool) -> Vec<Offered> {
        self.0.waiting(is_shown)
    }

    /// Takes what was offered under this number, or last, by those whose offers are shown: nobody takes what they
    /// have not seen. Returns it with the number of the transfer.
    pub fn accept(
        &self,
        n: Option<u32>,
        is_shown: impl Fn(&UserName) -> bool,
    ) -> Option<(Offered, u32)> {
        self.0.accept(n, is_shown)
    }

    /// Says no to what was offered under this number, or last, by those whose offers are shown.
    pub async fn decline(
        &self,
        n: Option<u32>,
        is_shown: impl Fn(&UserName) -> bool,
    ) -> Option<Offered> {
        self.0.decline(n, is_shown).await
    }
}

/// Where a note about a file comes from.
#[derive(Debug, Clone)]
struct Said {
    id: MessageId,
    cid: ConversationId,
    from: UserName,
    pinned: bool,
    /// What they offer is shown here.
    is_shown: bool,
}

impl Shared {
    /// Deals with what somebody's program says about a file.
    fn hear(self: &Arc<Self>, key: Option<EventKey>, said: Said, event: &Event, note: &FileNote) {
        let is_mine = said.from == self.me;
        match note {
            FileNote::Give { re, .. } | FileNote::Refuse { re, .. } => {
                self.answers.answer(*re, event.clone());
                if let FileNote::Refuse { re, reason, .. } = note {
                    self.declined(&said, re, reason);
                }
            }
            FileNote::Want { offer, parts, until } if !is_mine => {
                let wanted = give::Wanted { offer: *offer, parts: parts.clone(), until: *until };
                return give::hear(self, give::Asked { key, said, wanted });
            }
            FileNote::Offer { offer, file } if !is_mine => {
                let (shared, offer, file) = (Arc::clone(self), *offer, file.clone());
                tokio::task::spawn_blocking(move || {
                    match shared.keep_offer(&said.from, offer, &file) {
                        Ok(()) => shared.done_with(key),
                        // The event comes again at the next start.
                        Err(error) => tracing::warn!(%error, "an offer was not kept"),
                    }
                    shared.was_offered(&said, offer, file);
                });
                return;
            }
            FileNote::Index { key: index } if !is_mine => {
                let index = *index;
                return self.learn(key, move |shared| {
                    index::learn(&shared.keep, &said.cid, &said.from, &index)
                });
            }
            FileNote::Copy { .. } if !is_mine => {
                let note = note.clone();
                return self.learn(key, move |shared| shared.keep_copy(&said, &note));
            }
            _ => {}
        }
        self.done_with(key);
    }

    /// Tells a key, and waits until the hub has kept the message. Without an answer in time it goes out
    /// at the next connection.
    async fn tell_key(&self, cid: ConversationId, note: FileNote) -> Result<(), TransferError> {
        let id = self.client.note_file(cid, note).await.ok_or(TransferError::Offline)?;
        let answer = timeout(ANSWER_MAX, self.answers.expect(id).next()).await;
        match answer.map_err(|_late| TransferError::NoAnswer)? {
            Some(Event::Stored { .. }) => Ok(()),
            Some(Event::Refused { code, reason, .. }) => {
                Err(TransferError::Refused { code, reason })
            }
            _ => Err(TransferError::Offline),
        }
    }

    /// Writes down a key that somebody has told.
    fn learn<F>(self: &Arc<Self>, key: Option<EventKey>, write: F)
    where
        F: FnOnce(&Self) -> Result<(), HomeError> + Send + 'static,
    {
        let shared = Arc::clone(self);
        shared.learning.send_modify(|count| *count += 1);
        tokio::task::spawn_blocking(move || {
            match write(&shared) {
                Ok(()) => shared.done_with(key),
                // The event comes again at the next start.
                Err(error) => tracing::warn!(%error, "a key was not kept"),
            }
            shared.learning.send_modify(|count| *count -= 1);
        });
    }

    /// Waits until every key that waited at the hub is known here, for a while.
    async fn has_keys(&self) {
        let known = async {
            self.caught_up.subscribe().wait_for(|is_so| *is_so).await.ok()?;
            self.learning.subscribe().wait_for(|count| *count == 0).await.ok().map(|_none| ())
        };
        if timeout(CATCH_UP_MAX, known).await.is_err() {
            tracing::debug!("the server has not sent all that waits; some names may stay sealed");
        }
    }

    /// A durable event that need not come again.
    fn done_with(&self, key: Option<EventKey>) {
        let Some(key) = key else { return };
        let client = self.client.clone();
        tokio::spawn(async move { client.consumed(key).await });
    }

    /// Tells the host; left out where the host is behind, because more of the same follows.
    fn tell(&self, event: TransferEvent) {
        self.events.try_send(event).ok();
    }

    /// Tells the host what it must not miss. A host that has ended misses nothing.
    async fn tell_surely(&self, event: TransferEvent) {
        self.events.send(event).await.ok();
    }

    /// Does something beside the host and tells it what became of it.
    fn report<F>(self: &Arc<Self>, work: F)
    where
        F: Future<Output = Result<TransferEvent, TransferError>> + Send + 'static,
    {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let event = work
                .await
                .unwrap_or_else(|error| TransferEvent::Problem { reason: error.to_string() });
            shared.tell_surely(event).await;
            shared.tell_surely(TransferEvent::Done).await;
        });
    }

    /// Whether there is a connection, and answers can be waited for.
    async fn is_online(&self) -> bool {
        self.client.status().await.is_some_and(|status| status.url.is_some())
    }

    /// A file that is given from here under this offer.
    fn offered_here(&self, offer: &MessageId) -> Option<Givable> {
        self.shelf.givable(offer).or_else(|| self.offered_to_one(offer))
    }

    /// Whether somebody may have what is meant for these, by this device's own view.
    async fn belongs(&self, who: &UserName, whom: &For) -> bool {
        match whom {
            For::Person(person) => person == who,
            For::Audience(Audience::Everybody) => true,
            For::Audience(Audience::Conversation(cid)) => match cid.kind() {
                ConversationKind::Room(room) => {
                    self.members(cid, &room).await.is_some_and(|members| members.contains(who))
                }
                _ => cid.other(&self.me).as_ref() == Some(who),
            },
        }
    }

    /// Who is in a room now, besides oneself, and is reached by what is said there: the view is brought up to
    /// date first. Nothing if that does not succeed in time.
    async fn members(&self, cid: &ConversationId, room: &RoomName) -> Option<BTreeSet<UserName>> {
        let mut refreshed = self.refreshed.subscribe();
        self.client.refresh(cid).await;
        let seen = async {
            loop {
                match refreshed.recv().await {
                    Ok(view) if view == *cid => return Some(()),
                    Ok(_) => {}
                    // More views were refreshed than wait for a slow listener, this one perhaps: it is
                    // asked for again.
                    Err(RecvError::Lagged(_)) => self.client.refresh(cid).await,
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        timeout(ANSWER_MAX, seen).await.ok()??;
        let roster = self.client.roster(room).await?;
        let names = roster.members.into_iter().map(|(name, _)| name);
        let is_reached = |name: &UserName| {
            *name != self.me && !roster.left_out.contains(name) && !roster.put_out.contains(name)
        };
        Some(names.filter(is_reached).collect())
    }
}

/// Runs what waits for a disk or costs time beside the tasks that must not wait.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TransferError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| TransferError::Internal(error.to_string()))
}
