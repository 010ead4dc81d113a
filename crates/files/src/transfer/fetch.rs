//! The receiver's side: one file, from one holder or several, until it is here whole.
//!
//! ```text
//! round:  what is missing ── split among holders ──► each: Want ► Give ► TAKE ► chunks ► part
//!         nothing missing ──► finish: synced, renamed, never over another file
//! ```
//!
//! Whose file it is, is asked first while they are here (rule R32): a newer file of theirs, or their no,
//! ends the fetch. Then others give who have signed that they have the same file.
//!
//! A holder that breaks off is asked again for what is missing; one that says no is left out. The part
//! and its state stay on disk, so the next start goes on where this one stopped; unless its owner has
//! another file by now, which nothing of it is part of.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::disk::Dir;
use crate::part::{About, Part, PartError};
use chat_endpoint::Event;
use chat_protocol::code;
use chat_protocol::content::files::FileNote;
use chat_protocol::file::Manifest;
use chat_protocol::file::chunk::{FileHeader, TransferKey};
use chat_protocol::file::relay::RelayToHub;
use chat_protocol::frame::RawFrame;
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::limits::FILE_CHUNK_BYTES;
use chat_protocol::name::{ConversationId, UserName};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::channel::{CREDIT, Lane, News};
use super::copies::Copy;
use super::{Listed, Shared, TransferError, TransferEvent, aside};
use chat_device::clock::now_ms;

/// A request is worth this long to its owner.
const WANT_MS: u64 = 10 * 60 * 1_000;

/// An owner who is here answers within this time, or no program of theirs gives the file: reading a
/// large file through for its tree takes seconds.
const GIVE_MAX: Duration = Duration::from_mins(1);

/// A request to an owner who was here a moment ago waits so long for them to come back, and is made again
/// for [`IDLE_ROUNDS_MAX`] rounds: after a restart of the hub everybody connects again, and one is first.
const BACK_MAX: Duration = Duration::from_secs(3);

/// Rounds without a single new chunk before the transfer is given up.
const IDLE_ROUNDS_MAX: u32 = 5;

/// The pause before another round; doubled with each that brought nothing.
const PAUSE: Duration = Duration::from_millis(250);

/// How often is looked for the key of a copy, with a [`PAUSE`] between.
const COPY_LOOKS: u32 = 6;

/// Progress is told so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Holders that are asked at the same time.
const HOLDERS_MAX: usize = 8;

/// Somebody who has the file.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) owner: UserName,
    pub(super) offer: MessageId,
    /// Whether they are away, as far as is known.
    pub(super) online: bool,
}

/// One file on its way here.
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    pub(super) n: u32,
    /// Whose file is wanted, by this offer.
    pub(super) owner: (UserName, MessageId),
    pub(super) holders: Vec<Holder>,
    /// The owner gives it, or is away.
    pub(super) may_others_give: bool,
    /// Who gave some of it.
    pub(super) givers: BTreeSet<UserName>,
    pub(super) file: Manifest,
    pub(super) folder: PathBuf,
    pub(super) stop: CancellationToken,
}

/// The part that all holders of a fetch fill; taken out to be finished.
type SharedPart = Arc<Mutex<Option<Part>>>;

/// How one holder's share ended.
enum Share {
    /// All that was asked for came, or the transfer broke off.
    Ended,
    /// This holder has gone, and may come back.
    Later(TransferError),
    /// This holder is not asked again.
    No(TransferError),
    /// The owner says that this file is not to be had.
    End(TransferError),
}

/// What became of one holder's share.
struct Ended {
    holder: Holder,
    /// Some of the file came from them.
    gave: bool,
    share: Share,
}

impl Fetch {
    /// Fetches, and tells the host what became of it.
    pub(super) async fn run(self) {
        let (shared, n) = (Arc::clone(&self.shared), self.n);
        let owner = self.owner.0.clone();
        let size = self.file.size;
        let stop = self.stop.clone();
        let fetched = tokio::select! {
            fetched = self.rounds() => Some(fetched),
            () = stop.cancelled() => None,
        };
        shared.fetching.lock().end(n);
        shared
            .tell_surely(match fetched {
                Some(Ok((path, givers))) => TransferEvent::Fetched { n, owner, givers, path, size },
                Some(Err(error)) => TransferEvent::Failed { n, error },
                None => {
                    let reason = "it was stopped".to_owned();
                    TransferEvent::Failed { n, error: TransferError::BrokenOff { reason } }
                }
            })
            .await;
    }

    /// Fetches round by round. Returns where the file is, and who gave it.
    async fn rounds(mut self) -> Result<(PathBuf, BTreeSet<UserName>), TransferError> {
        let (folder, file) = (self.folder.clone(), self.file.clone());
        let part = aside(move || {
            std::fs::create_dir_all(&folder)
                .and_then(|()| Dir::open(&folder))
                .map_err(|source| PartError::Io { doing: "opening the folder for", source })
                .and_then(|folder| Part::begin(folder, file, About::default()))
        });
        let part: SharedPart = Arc::new(Mutex::new(Some(part.await??)));
        let filled = self.fill(&part).await;
        let whole = part.lock().take();
        let whole = whole.ok_or_else(|| TransferError::Internal("no part".to_owned()))?;
        match filled {
            Ok(()) => Ok((aside(move || whole.finish()).await??.path, self.givers)),
            Err(error @ TransferError::Changed { .. }) => {
                // Nobody has this file any more, and it takes room.
                aside(move || whole.discard()).await??;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for what is missing until nothing is.
    async fn fill(&mut self, part: &SharedPart) -> Result<(), TransferError> {
        let mut idle = 0;
        let mut last = TransferError::NoAnswer;
        let first = with(part, Part::have)?;
        while !with(part, Part::is_complete)? {
            let before = with(part, Part::have)?;
            let refused = self.round(part, before > first).await?;
            let is_away = matches!(refused, Some(TransferError::OwnerAway { .. }));
            if let Some(error) = refused {
                last = error;
            }
            if self.holders.is_empty() {
                return Err(last);
            }
            if with(part, Part::have)? > before {
                idle = 0;
                continue;
            }
            if is_away && self.shared.options.waits {
                // That request is worth nothing any more; another one waits for the owner.
                continue;
            }
            idle += 1;
            if idle >= IDLE_ROUNDS_MAX {
                let reason = last.to_string();
                return Err(TransferError::BrokenOff { reason });
            }
            sleep(PAUSE * 2u32.pow(idle)).await;
        }
        Ok(())
    }

    /// Asks every holder for a share of what is missing. `is_going_on` says whether some of it came
    /// before. Returns why the last one said no.
    async fn round(
        &mut self,
        part: &SharedPart,
        is_going_on: bool,
    ) -> Result<Option<TransferError>, TransferError> {
        let asked: Vec<Holder> = self.holders.iter().take(HOLDERS_MAX).cloned().collect();
        let mut shares: VecDeque<_> = with(part, |part| part.split(asked.len()))?.into();
        let (mut tasks, mut later) = (JoinSet::new(), Vec::new());
        let granted = CancellationToken::new();
        for holder in asked {
            let Some(parts) = shares.pop_front() else { break };
            let is_owner = (&holder.owner, holder.offer) == (&self.owner.0, self.owner.1);
            let task = Task {
                shared: Arc::clone(&self.shared),
                n: self.n,
                holder,
                granted: is_owner.then(|| granted.clone()),
                parts,
                file: self.file.clone(),
                part: Arc::clone(part),
                gave: Arc::default(),
                is_going_on,
            };
            if is_owner { drop(tasks.spawn(task.run())) } else { later.push(task) }
        }
        if self.may_others_give || tasks.is_empty() {
            later.drain(..).for_each(|task| drop(tasks.spawn(task.run())));
        }
        let mut refused = None;
        let mut pace = Pace { at: Instant::now(), bytes: with(part, done)?, told: None };
        loop {
            let ended = tokio::select! {
                ended = tasks.join_next() => ended,
                () = granted.cancelled(), if !later.is_empty() => {
                    self.may_others_give = true;
                    later.drain(..).for_each(|task| drop(tasks.spawn(task.run())));
                    continue;
                }
                () = sleep(PROGRESS_EVERY) => {
                    self.tell_progress(part, &mut pace)?;
                    continue;
                }
            };
            let Some(ended) = ended else { break };
            let ended = ended.map_err(|error| TransferError::Internal(error.to_string()))?;
            if let Some(error) = self.ended(ended)? {
                refused = Some(error);
            }
            // The owner was asked, and does not stop it.
            later.drain(..).for_each(|task| drop(tasks.spawn(task.run())));
        }
        Ok(refused)
    }

    /// Notes what became of one holder's share. An error ends the fetch; otherwise gives why the holder
    /// said no.
    fn ended(&mut self, ended: Ended) -> Result<Option<TransferError>, TransferError> {
        let Ended { holder, gave, share } = ended;
        if gave {
            self.givers.insert(holder.owner.clone());
        }
        match share {
            Share::Ended => Ok(None),
            Share::Later(error) => Ok(Some(error)),
            Share::No(error) => {
                let name = |holder: &Holder| (holder.owner.clone(), holder.offer);
                self.holders.retain(|other| name(other) != name(&holder));
                Ok(Some(error))
            }
            Share::End(error) => Err(error),
        }
    }

    fn tell_progress(&self, part: &SharedPart, pace: &mut Pace) -> Result<(), TransferError> {
        let (now, done) = (Instant::now(), with(part, done)?);
        let rate = rate(done.saturating_sub(pace.bytes), now - pace.at);
        (pace.at, pace.bytes) = (now, done);
        let (n, size) = (self.n, self.file.size);
        // Who waits for hours for an owner is not told five times a second.
        if pace.told.replace((done, rate)) != Some((done, rate)) {
            self.shared.tell(TransferEvent::Progress { n, done, size, rate });
        }
        Ok(())
    }
}

/// How fast it comes.
struct Pace {
    at: Instant,
    bytes: u64,
    /// What was told last.
    told: Option<(u64, u64)>,
}

fn rate(bytes: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000) / millis
}

/// Bytes that are here, to a chunk.
fn done(part: &Part) -> u64 {
    let chunk = u64::try_from(FILE_CHUNK_BYTES).unwrap_or(u64::MAX);
    (u64::from(part.have()) * chunk).min(part.manifest().size)
}

/// Looks at the part. It is there until the fetch is finished.
fn with<T>(part: &SharedPart, look: impl FnOnce(&Part) -> T) -> Result<T, TransferError> {
    let part = part.lock();
    part.as_ref().map(look).ok_or_else(|| TransferError::Internal("no part".to_owned()))
}

/// One holder's share of one round.
struct Task {
    shared: Arc<Shared>,
    n: u32,
    holder: Holder,
    /// Of the owner alone: cancelled when others may give too, because the owner gives, or is away.
    granted: Option<CancellationToken>,
    parts: Vec<(u32, u32)>,
    file: Manifest,
    part: SharedPart,
    /// Something came from this holder.
    gave: Arc<AtomicBool>,
    is_going_on: bool,
}

impl Task {
    async fn run(self) -> Ended {
        let (holder, gave) = (self.holder.clone(), Arc::clone(&self.gave));
        let is_owner = self.granted.is_some();
        let is_asked_again = self.is_going_on || self.shared.options.waits;
        let ended = self.ask_and_take().await;
        let share = match ended {
            Ok(()) | Err(TransferError::Offline | TransferError::Connect(_)) => Share::Ended,
            Err(error @ TransferError::OwnerAway { .. }) if is_asked_again => Share::Later(error),
            Err(error @ TransferError::Ended { .. }) => Share::Later(error),
            Err(error @ (TransferError::OwnerRefuses { .. } | TransferError::Changed { .. }))
                if is_owner =>
            {
                Share::End(error)
            }
            Err(error) => Share::No(error),
        };
        Ended { holder, gave: gave.load(Ordering::Relaxed), share }
    }

    /// The owner gives it, or is away: others may give too.
    fn grant(&self) {
        if let Some(granted) = &self.granted {
            granted.cancel();
        }
    }

    async fn ask_and_take(self) -> Result<(), TransferError> {
        let copy = if self.holder.online { None } else { self.copy().await? };
        let (tid, key, parts) = if let Some(copy) = copy {
            self.grant();
            (copy.tid, copy.key.0, self.parts.clone())
        } else {
            let (tid, key) = self.ask().await?;
            (tid, key, Vec::new())
        };
        let channel = self.shared.channels.get().await?;
        let from = self.holder.owner.clone();
        let first = RelayToHub::Take { tid, from, credit: CREDIT, parts };
        let lane = channel.begin(first).await.ok_or(TransferError::Offline)?;
        let (part, gave) = (self.part, self.gave);
        let taking = Taking { lane, key: TransferKey::new(&key, &tid), part, gave };
        aside(move || taking.run()).await?
    }

    /// The copy that an owner who is away has left of this very file. Its key may be among what is still
    /// coming in after a sign-in.
    async fn copy(&self) -> Result<Option<Copy>, TransferError> {
        let file = (self.file.root, self.file.size);
        for _ in 0..COPY_LOOKS {
            let (shared, holder) = (Arc::clone(&self.shared), self.holder.clone());
            let copy = aside(move || shared.copy(&holder.offer, &holder.owner)).await?;
            let copy = copy.filter(|copy| (copy.file.root, copy.file.size) == file);
            if copy.is_some() {
                return Ok(copy);
            }
            sleep(PAUSE).await;
        }
        Ok(None)
    }

    /// Asks the owner, and waits for the key.
    async fn ask(&self) -> Result<(Nonce16, [u8; 32]), TransferError> {
        let owner = self.holder.owner.clone();
        let cid = ConversationId::direct(&self.shared.me, &owner).map_err(|_same| {
            TransferError::Internal("a file of one's own is here already".to_owned())
        })?;
        let offer = self.holder.offer;
        let parts = self.parts.clone();
        let note = FileNote::Want { offer, parts, until: now_ms().saturating_add(WANT_MS) };
        let re = self.shared.client.note_file(cid, note).await.ok_or(TransferError::Offline)?;
        let mut answer = self.shared.answers.expect(re);
        let mut until = Instant::now() + GIVE_MAX;
        let mut is_away = false;
        loop {
            let event = match timeout_at(until, answer.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return Err(TransferError::Offline),
                Err(_late) if is_away => {
                    return Err(TransferError::OwnerAway { owner });
                }
                Err(_late) => return Err(TransferError::OwnerSilent { owner }),
            };
            match event {
                Event::Stored { kept: true, .. }
                    if !self.shared.options.waits && self.is_going_on =>
                {
                    (until, is_away) = (Instant::now() + BACK_MAX, true);
                    self.grant();
                }
                Event::Stored { kept: true, .. } if !self.shared.options.waits => {
                    return Err(TransferError::OwnerAway { owner });
                }
                Event::Stored { kept: true, .. } => {
                    (until, is_away) = (Instant::now() + Duration::from_millis(WANT_MS), true);
                    self.grant();
                    let why = format!("{owner} is away; the request waits for them");
                    self.shared.tell(TransferEvent::Waiting { n: self.n, why });
                }
                Event::Refused { code, reason, .. } => {
                    return Err(TransferError::Refused { code, reason });
                }
                Event::File { from, note, .. } if from == owner => match note {
                    FileNote::Give { tid, key, file, .. } => {
                        if (file.root, file.size) != (self.file.root, self.file.size) {
                            return Err(TransferError::Changed { owner });
                        }
                        self.grant();
                        return Ok((tid, key.0));
                    }
                    FileNote::Refuse { code, reason, .. } => {
                        return Err(TransferError::OwnerRefuses { owner, code, reason });
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

/// One transfer on its way in, on a thread of its own.
pub(super) struct Taking {
    pub(super) lane: Lane,
    pub(super) key: TransferKey,
    pub(super) part: SharedPart,
    /// Set when a chunk is kept.
    pub(super) gave: Arc<AtomicBool>,
}

impl Taking {
    /// Opens, checks and keeps chunk after chunk until the other side ends it.
    pub(super) fn run(mut self) -> Result<(), TransferError> {
        let mut taken = 0;
        loop {
            match self.lane.next() {
                Some(News::Chunk(header, frame)) => {
                    if let Err(error) = self.keep(&header, &frame) {
                        self.lane.end(match &error {
                            // This holder cheats or is broken: it is not asked again.
                            PartError::File(_) => "a chunk was not part of the file promised",
                            _ => "the receiver cannot keep it",
                        });
                        return Err(error.into());
                    }
                    self.gave.store(true, Ordering::Relaxed);
                    taken += 1;
                    if taken == CREDIT / 2 {
                        taken = 0;
                        if !self.lane.credit(CREDIT / 2) {
                            return Err(TransferError::Offline);
                        }
                    }
                }
                Some(News::Credit(_) | News::Kept(_)) => {}
                // What is missing is asked for in the next round.
                Some(News::End { code, .. }) if code.is_empty() => return Ok(()),
                Some(News::End { code, reason }) => return Err(ended(code, reason)),
                None => return Err(TransferError::Offline),
            }
        }
    }
}

/// Why a transfer was ended by the other side, or by the hub. Of a copy that is not to be had now another try brings the
/// same answer; anything else may pass.
fn ended(code: String, reason: String) -> TransferError {
    if [code::NO_SUCH_COPY, code::COPY_AWAY].contains(&code.as_str()) {
        return TransferError::Refused { code, reason };
    }
    TransferError::Ended { reason }
}

impl Taking {
    fn keep(&self, header: &FileHeader, frame: &RawFrame) -> Result<(), PartError> {
        let mut part = self.part.lock();
        match part.as_mut() {
            Some(part) => part.receive(&self.key, header, frame).map(drop),
            // The fetch was given up.
            None => Err(PartError::Busy),
        }
    }
}

impl Shared {
    /// Begins to fetch a file of a list, from everybody there who offers the same. Returns its number.
    pub(super) fn fetch(self: &Arc<Self>, wanted: &Listed, list: &[Listed], folder: &Path) -> u32 {
        let file = &wanted.file;
        let same = |other: &&Listed| {
            let theirs = &other.file;
            (theirs.root, theirs.size) == (file.root, file.size)
                && other.owner != self.me
                && other.offer != wanted.offer
        };
        let all = std::iter::once(wanted).chain(list.iter().filter(same));
        let holder = |listed: &Listed| Holder {
            owner: listed.owner.clone(),
            offer: listed.offer,
            online: listed.online,
        };
        // Those who are away are asked only where nobody is here.
        let (here, away): (Vec<_>, Vec<_>) = all.map(holder).partition(|holder| holder.online);
        let owner = (wanted.owner.clone(), wanted.offer);
        self.begin(owner, if here.is_empty() { away } else { here }, file.clone(), folder)
    }

    /// Begins to fetch a file from these holders. `owner` is whose it is, with the offer that is wanted.
    /// Returns its number.
    pub(super) fn begin(
        self: &Arc<Self>,
        owner: (UserName, MessageId),
        holders: Vec<Holder>,
        file: Manifest,
        folder: &Path,
    ) -> u32 {
        let stop = CancellationToken::new();
        let n = {
            let mut fetching = self.fetching.lock();
            fetching.begin(stop.clone())
        };
        let (shared, folder) = (Arc::clone(self), folder.to_owned());
        let fetch = Fetch {
            shared,
            n,
            owner,
            holders,
            may_others_give: false,
            givers: BTreeSet::new(),
            file,
            folder,
            stop,
        };
        tokio::spawn(fetch.run());
        n
    }
}
