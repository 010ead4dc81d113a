//! The shared folder and the hub's list, kept in step.
//!
//! ```text
//! look: keyword.txt + files ─► what is shared ─ sign, seal for rooms and persons ─► offers
//! compare with what the hub lists ─► SHARE: new and changed ones, ended ones
//! ```
//!
//! A look follows a change in the folder, a new connection and a change in a room. What this home once
//! put on the list is remembered, so that a file that went while nothing ran is taken off later, and
//! offers of the person's other devices are left alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::folder::{Cache, Listing, ShareError, Shared as SharedFile, SharedFolder, Watch};
use crate::keywords::Scope;
use chat_endpoint::Event;
use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::code;
use chat_protocol::content::files::FileNote;
use chat_protocol::crypto::random;
use chat_protocol::file::catalogue::{Audience, IndexKey, Offer, Query};
use chat_protocol::id::MessageId;
use chat_protocol::limits::OFFERS_PAGE_MAX;
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, sleep, timeout};

use super::give::{self, FileAt, Givable};
use super::into_folder::into_folder;
use super::misnamed::Sections;
use super::newcomers::Rosters;
use super::offers::{Makings, OnList, Wanted};
use super::slips::{KEPT, KEPT_WITHOUT, LEFT_ON_LIST, STAYS_AS_IT_WAS, not_in, tell_once};
use super::{ANSWER_MAX, For, Shared, TransferError, TransferEvent, aside, index};
use chat_device::clock::now_ms;
use chat_device::home::HomeError;
use chat_device::home::file::make_private_folder;
use chat_device::keep::Keep;
use chat_device::recipient::Recipient;

/// A folder is looked at so often for changes: soon enough for a person who waits, and cheap.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Another program that writes `keyword.txt` all the time is not waited for.
const EDIT_TRIES: u32 = 5;

/// After a question that failed the list is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(3);

/// The row of offers that this home has put on the list, an [`OnList`].
const LISTED_ROW: &str = "listed";

/// The row of hashes, so that a start does not read every file.
const CACHE_ROW: &str = "cache";

/// The row of the secret that makes ids of offers.
const SECRET_ROW: &str = "secret";

/// What is shared from here.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    state: Mutex<State>,
    wake: Notify,
    /// The last look after which the hub's list was in step.
    in_step: watch::Sender<u64>,
    /// One edit of `keyword.txt` at a time.
    editing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Who may find what `keyword.txt` says nothing about; none while nothing is shared.
    serving: Option<Audience>,
    givable: HashMap<MessageId, Givable>,
    /// The hub's list must be asked for.
    unknown: bool,
    /// Looks that have begun.
    looks: u64,
}

impl Shelf {
    /// The connection is new, or a room has changed: compare everything again.
    pub(super) fn look_again(&self) {
        self.state.lock().unknown = true;
        self.wake.notify_one();
    }

    pub(super) fn givable(&self, offer: &MessageId) -> Option<Givable> {
        self.state.lock().givable.get(offer).cloned()
    }

    /// All offers.
    pub(super) fn offers(&self) -> Vec<MessageId> {
        self.state.lock().givable.keys().copied().collect()
    }

    /// Names of the files on offer, in the folder.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let name = |givable: &Givable| match &givable.file {
            FileAt::Shared(_, at) => Some(at.as_str().to_owned()),
            FileAt::Named(_) => None,
        };
        self.state.lock().givable.values().filter_map(name).collect()
    }

    /// The offers of a file by its name in the folder.
    pub(super) fn offers_of(&self, name: &str) -> Vec<(MessageId, Givable)> {
        let state = self.state.lock();
        let is_it = |givable: &Givable| matches!(&givable.file, FileAt::Shared(_, at) if at.as_str() == name);
        let found = state.givable.iter().filter(|(_, givable)| is_it(givable));
        found.map(|(offer, givable)| (*offer, givable.clone())).collect()
    }
}

impl Shared {
    /// Keeps the list in step with a folder from now on.
    pub(super) fn serve_folder(self: &Arc<Self>, audience: Audience) {
        let is_first = {
            let mut state = self.shelf.state.lock();
            state.unknown = true;
            state.serving.replace(audience).is_none()
        };
        self.shelf.wake.notify_one();
        if is_first {
            tokio::spawn(keep_in_step(Arc::clone(self)));
        }
    }

    /// Puts a file into the shared folder, if it is not there, and into its `keyword.txt`.
    pub(super) async fn share(
        self: &Arc<Self>,
        path: &Path,
        words: &[String],
        audience: Option<&Recipient>,
    ) -> Result<TransferEvent, TransferError> {
        let folder = self.options.shared.clone();
        let scope = match audience {
            None => Scope::Unsaid,
            Some(Recipient::All) => Scope::Everybody,
            Some(Recipient::Room(room)) => Scope::Room(room.clone()),
            Some(Recipient::User(user)) => Scope::User(user.clone()),
        };
        let (me, path, words) = (self.me.clone(), path.to_owned(), words.to_vec());
        let keep = self.keep.clone();
        let edit = self.shelf.editing.lock().await;
        let (name, is_new) = aside(move || {
            make_private_folder(&folder)
                .map_err(|source| HomeError::Io { path: folder.clone(), source })?;
            let name = into_folder(&folder, &path)?;
            let shared = open(&folder, me, Audience::Everybody, &keep)?;
            let is_new = again(|| shared.share(&name, &scope, &words))?;
            Ok::<_, TransferError>((name, is_new))
        })
        .await??;
        drop(edit);
        if self.shelf.state.lock().serving.is_none() {
            self.serve_folder(Audience::Everybody);
        }
        self.bring_in_step().await;
        let already = if is_new { "" } else { " already" };
        Ok(TransferEvent::Folder { line: format!("{} is shared{already}", name.as_str()) })
    }

    /// Takes a file off the list. It stays in the folder.
    pub(super) async fn unshare(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<TransferEvent, TransferError> {
        let folder = self.options.shared.clone();
        let (me, keep, file) = (self.me.clone(), self.keep.clone(), name.to_owned());
        let edit = self.shelf.editing.lock().await;
        let taken = aside(move || {
            let shared = open(&folder, me, Audience::Everybody, &keep)?;
            Ok::<_, TransferError>(again(|| shared.unshare(&file, None, &[]))?)
        })
        .await??;
        drop(edit);
        if taken == 0 {
            return Err(TransferError::NotShared { name: name.to_owned() });
        }
        let offers = self.shelf.offers_of(name).into_iter().map(|(offer, _)| offer);
        self.drop_copies(offers.collect()).await?;
        self.bring_in_step().await;
        Ok(TransferEvent::Folder { line: format!("{name} is not shared any more") })
    }

    /// Waits until the hub's list says what the folder says now; without a connection it follows later.
    async fn bring_in_step(&self) {
        // A look that has begun may not have seen the last change.
        let due = self.shelf.state.lock().looks + 1;
        self.shelf.look_again();
        let mut done = self.shelf.in_step.subscribe();
        let is_served = self.shelf.state.lock().serving.is_some();
        if is_served && self.is_online().await {
            // What goes wrong is told where it does.
            timeout(ANSWER_MAX, done.wait_for(|look| *look >= due)).await.ok();
        }
    }
}

/// Edits `keyword.txt`, and edits it again if somebody else wrote to it meanwhile.
fn again<T>(mut edit: impl FnMut() -> Result<T, ShareError>) -> Result<T, ShareError> {
    for _ in 0..EDIT_TRIES {
        match edit() {
            Err(ShareError::Meanwhile) => {}
            other => return other,
        }
    }
    edit()
}

fn open(
    folder: &Path,
    me: UserName,
    unsaid: Audience,
    keep: &Keep,
) -> Result<SharedFolder, TransferError> {
    let secret = if let Some(secret) = keep.get::<B64Array<32>>(SECRET_ROW)? {
        secret
    } else {
        let secret = B64Array(random());
        keep.put(SECRET_ROW, &secret)?;
        secret
    };
    Ok(SharedFolder::open(folder, me, unsaid, secret.0)?)
}

/// The folder as it was seen last, and what the hub has of it as far as is known.
struct Step {
    folder: Arc<SharedFolder>,
    listing: Listing,
    watch: Watch,
    /// Who was in the rooms when the hub was told.
    rosters: Rosters,
    /// Rooms that it shares with and in which this person is not, and people who are not there, as far as was
    /// told.
    foreign: BTreeSet<ConversationId>,
    /// The offers that were made of it.
    made: Makings,
    /// What the hub lists, once it was asked.
    listed: Option<BTreeMap<MessageId, Offer>>,
}

/// Looks, compares and tells the hub, for as long as the program runs.
async fn keep_in_step(shared: Arc<Shared>) {
    let mut step: Option<Step> = None;
    let mut told = Vec::new();
    loop {
        let again = match one_step(&shared, &mut step, &mut told).await {
            Ok(()) => LOOK_EVERY,
            Err(error) => {
                if !matches!(error, TransferError::Offline | TransferError::NoAnswer) {
                    let line = error.to_string();
                    if told.last() != Some(&line) {
                        told.push(line.clone());
                        shared.tell_surely(TransferEvent::Folder { line }).await;
                    }
                }
                AGAIN_AFTER
            }
        };
        tokio::select! {
            () = shared.shelf.wake.notified() => {}
            () = sleep(again) => {}
        }
    }
}

/// One look at the folder, and what comes of it.
async fn one_step(
    shared: &Arc<Shared>,
    step: &mut Option<Step>,
    told: &mut Vec<String>,
) -> Result<(), TransferError> {
    let (unknown, serving, look_no) = {
        let mut state = shared.shelf.state.lock();
        state.looks += 1;
        (std::mem::take(&mut state.unknown), state.serving.clone(), state.looks)
    };
    let Some(audience) = serving else { return Ok(()) };
    let mut now = if let Some(step) = step.take() {
        step
    } else {
        let (me, keep) = (shared.me.clone(), shared.keep.clone());
        let path = shared.options.shared.clone();
        let folder = aside(move || open(&path, me, audience, &keep)).await??;
        Step {
            folder: Arc::new(folder),
            listing: Listing::default(),
            watch: Watch::default(),
            rosters: Rosters::default(),
            foreign: BTreeSet::new(),
            made: Makings::default(),
            listed: None,
        }
    };
    if unknown {
        now.listed = None;
    }
    let (folder, listing, mut watch) = (Arc::clone(&now.folder), now.listing.clone(), now.watch);
    let (changed, watch) = aside(move || (folder.changed(&listing, &mut watch), watch)).await?;
    now.watch = watch;
    if changed {
        look(shared, &mut now, told).await?;
    }
    let rosters = shared.rosters(&now.listing).await;
    let moved = rosters != now.rosters;
    now.rosters = rosters;
    let result = if changed || moved || now.listed.is_none() {
        tell_hub(shared, &mut now, told, changed).await
    } else {
        Ok(())
    };
    match &result {
        Ok(()) => drop(shared.shelf.in_step.send_replace(look_no)),
        Err(_) => shared.shelf.state.lock().unknown = true,
    }
    *step = Some(now);
    result
}

/// Reads the folder, hashes what is new, and says what is wrong in it.
async fn look(
    shared: &Arc<Shared>,
    now: &mut Step,
    told: &mut Vec<String>,
) -> Result<(), TransferError> {
    let (folder, keep) = (Arc::clone(&now.folder), shared.keep.clone());
    let is_first = now.listing.shared.is_empty();
    let listing = aside(move || {
        let cache = keep.get::<B64Vec>(CACHE_ROW)?.map(|row| row.0).unwrap_or_default();
        let mut look = folder.look(Cache::from_bytes(&cache));
        while !folder.step(&mut look, now_ms()).is_done() {}
        let (mut listing, cache) = look.finish();
        keep.put(CACHE_ROW, &B64Vec(cache.to_bytes()))?;
        if listing.is_mistaken && is_first {
            // A line that cannot be read may be what narrows those below it: only what was shared so before, at an
            // earlier start, is shared again.
            let on_list: OnList = keep.get(LISTED_ROW)?.unwrap_or_default();
            listing.shared.retain(|of| on_list.has(&of.id));
        }
        Ok::<_, TransferError>(listing)
    })
    .await??;
    let mut warnings: Vec<String> = listing.warnings.iter().map(ToString::to_string).collect();
    let kept = match (listing.is_mistaken, listing.is_blank) {
        (true, _) => Some(KEPT),
        (false, true) if !is_first => Some(KEPT_WITHOUT),
        (false, _) => None,
    };
    warnings.extend(kept.map(str::to_owned));
    for line in warnings.iter().filter(|line| !told.contains(line)).cloned() {
        shared.tell_surely(TransferEvent::Folder { line }).await;
    }
    *told = warnings;
    if kept.is_some() && !is_first {
        let mut listing = listing;
        listing.shared = std::mem::take(&mut now.listing.shared);
        now.listing = listing;
        return Ok(());
    }
    let givable = listing.shared.iter().map(|of| (of.id, givable(now, of)));
    shared.shelf.state.lock().givable = givable.collect();
    give::hear_early(shared);
    now.listing = listing;
    Ok(())
}

/// Brings the hub's list in line with the folder.
async fn tell_hub(
    shared: &Arc<Shared>,
    now: &mut Step,
    told: &mut Vec<String>,
    changed: bool,
) -> Result<(), TransferError> {
    let (mut wanted, foreign) = wanted(shared, &now.listing.shared).await?;
    let new: BTreeSet<_> = foreign.difference(&now.foreign).cloned().collect();
    for cid in &new {
        let line = not_in(cid, &shared.me);
        shared.tell_surely(TransferEvent::Folder { line }).await;
    }
    now.foreign = foreign;
    let keep = shared.keep.clone();
    let mut on_list: OnList = aside(move || keep.get(LISTED_ROW)).await??.unwrap_or_default();
    wanted.extend(misnamed(shared, now, &mut on_list, &new).await?);
    let listed = if let Some(listed) = now.listed.take() {
        listed
    } else {
        let listed = shared.listed_at_hub().await?;
        now.made = shared.take_over(&wanted, &listed, &on_list).await?;
        listed
    };
    let unmade = now.made.missing(&wanted);
    let mut ended = on_list.ended(&wanted);
    if now.listing.is_mistaken && !ended.is_empty() {
        // What could not be read may share them.
        ended.clear();
        tell_once(shared, told, LEFT_ON_LIST).await;
    }
    let ts = on_list.sign(&unmade, now_ms());
    // Remembered before the hub hears of it: a crash between the two must not leave an offer behind.
    shared.remember(&on_list).await?;
    shared.make(&mut now.made, unmade, ts).await?;
    let offers = now.made.offers(&wanted);
    let is_missing = |offer: &&Offer| listed.get(&offer.id) != Some(offer);
    let missing: Vec<Offer> = offers.values().filter(is_missing).cloned().collect();
    shared.announce(&missing, &ended).await?;
    on_list.forget(&ended);
    shared.remember(&on_list).await?;
    let (offered, gone) = (missing.len(), ended.len());
    now.listed = Some(offers);
    if changed || offered > 0 || gone > 0 {
        let files = now.listing.shared.len();
        shared.tell_surely(TransferEvent::Listed { files, offered, ended: gone }).await;
    }
    Ok(())
}

/// What stays on the list of files that a misnamed section is about; `new` are those for nobody that were not
/// there before.
async fn misnamed(
    shared: &Arc<Shared>,
    now: &Step,
    on_list: &mut OnList,
    new: &BTreeSet<ConversationId>,
) -> Result<Vec<Wanted>, TransferError> {
    let sections = Sections { shared: &now.listing.shared, foreign: &now.foreign };
    let mut stays = std::mem::take(&mut on_list.stays);
    stays.retain(sections);
    let made: Vec<_> = now.made.files().collect();
    if stays.take(sections, new, &made, |id| on_list.has(id)) {
        let line = STAYS_AS_IT_WAS.to_owned();
        shared.tell_surely(TransferEvent::Folder { line }).await;
    }
    let files = stays.files(sections);
    on_list.stays = stays;
    let givable = files.iter().map(|of| (of.id, givable(now, of)));
    shared.shelf.state.lock().givable.extend(givable);
    Ok(wanted(shared, &files).await?.0)
}

fn givable(now: &Step, of: &SharedFile) -> Givable {
    let file = FileAt::Shared(Arc::clone(&now.folder), of.name.clone());
    Givable { whom: For::Audience(of.audience.clone()), file }
}

/// What of the folder is to stand on the list, with the keys of those who may find it; and the rooms and
/// people for whom nothing can.
async fn wanted(
    shared: &Arc<Shared>,
    files: &[SharedFile],
) -> Result<(Vec<Wanted>, BTreeSet<ConversationId>), TransferError> {
    let mut keys: BTreeMap<ConversationId, Option<IndexKey>> = BTreeMap::new();
    let mut wanted = Vec::new();
    for of in files {
        let key = match &of.audience {
            Audience::Everybody => None,
            Audience::Conversation(cid) => {
                if !keys.contains_key(cid) {
                    keys.insert(cid.clone(), shared.index_key(cid).await?);
                }
                // One is no member of that room, or there is none.
                let Some(Some(key)) = keys.get(cid) else { continue };
                Some(key.clone())
            }
        };
        wanted.push(Wanted { of: of.clone(), key });
    }
    let foreign = keys.into_iter().filter(|(_, key)| key.is_none()).map(|(cid, _)| cid);
    Ok((wanted, foreign.collect()))
}

impl Shared {
    /// The key for offers to a conversation. Whoever has not got it was told when this returns, so that
    /// nobody finds an offer before its key. Nothing where this person is no member, or nobody is there.
    async fn index_key(
        self: &Arc<Self>,
        cid: &ConversationId,
    ) -> Result<Option<IndexKey>, TransferError> {
        let members = match cid.kind() {
            ConversationKind::Room(room) => self.members(cid, &room).await,
            _ => cid.other(&self.me).map(|other| BTreeSet::from([other])),
        };
        let Some(members) = members else { return Ok(None) };
        // First the copies: who finds an offer can take the copy of it.
        self.tell_copies(cid, &members).await?;
        let (keep, of) = (self.keep.clone(), cid.clone());
        let current = aside(move || index::current(&keep, &of, &members)).await??;
        if current.announce {
            let note = FileNote::Index { key: B64Array(*current.key.as_bytes()) };
            let told = self.tell_key(cid.clone(), note).await;
            if let Err(TransferError::Refused { code, .. }) = &told {
                let (keep, of) = (self.keep.clone(), cid.clone());
                aside(move || index::was_not_told(&keep, &of)).await??;
                // One section for nobody must not keep everything else off the list.
                if code == code::NO_SUCH_USER {
                    return Ok(None);
                }
            }
            told?;
        }
        Ok(Some(current.key))
    }

    /// What the hub lists of this person.
    async fn listed_at_hub(&self) -> Result<BTreeMap<MessageId, Offer>, TransferError> {
        let mut query = Query { owner: Some(self.me.clone()), ..Query::default() };
        let mut listed = BTreeMap::new();
        loop {
            let (offers, more) = self.page(query.clone()).await?;
            query.after = offers.last().map(|found| (found.owner.clone(), found.offer.id));
            listed.extend(offers.into_iter().map(|found| (found.offer.id, found.offer)));
            if !more || query.after.is_none() {
                return Ok(listed);
            }
        }
    }

    /// Says what is new and what has ended, page by page.
    async fn announce(&self, offers: &[Offer], ended: &[MessageId]) -> Result<(), TransferError> {
        let (mut offers, mut ended) =
            (offers.chunks(OFFERS_PAGE_MAX), ended.chunks(OFFERS_PAGE_MAX));
        loop {
            let (new, old) = (offers.next().unwrap_or_default(), ended.next().unwrap_or_default());
            if new.is_empty() && old.is_empty() {
                return Ok(());
            }
            let asked = self.client.share(new.to_vec(), old.to_vec()).await;
            let id = asked.ok_or(TransferError::Offline)?;
            let answer = timeout(ANSWER_MAX, self.answers.expect(id).next()).await;
            match answer.map_err(|_late| TransferError::NoAnswer)? {
                Some(Event::Shared { .. }) => {}
                Some(Event::ListRefused { code, reason, .. }) => {
                    return Err(TransferError::Refused { code, reason });
                }
                _ => return Err(TransferError::Offline),
            }
        }
    }

    async fn remember(&self, on_list: &OnList) -> Result<(), TransferError> {
        let (keep, on_list) = (self.keep.clone(), on_list.clone());
        Ok(aside(move || keep.put(LISTED_ROW, &on_list)).await??)
    }
}
