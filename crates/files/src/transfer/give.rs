//! The owner's side: somebody wants a file that is offered here.
//!
//! The request came in a sealed and signed message. It is granted if its sender belongs to the offer's
//! audience by this device's own view, whatever the hub's list says.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::folder::SharedFolder;
use crate::serve::{Opening, Source, SourceError, Trees};
use chat_beneath::RelativePath;
use chat_endpoint::EventKey;
use chat_protocol::b64::B64Array;
use chat_protocol::code;
use chat_protocol::content::files::FileNote;
use chat_protocol::crypto::random;
use chat_protocol::file::Manifest;
use chat_protocol::file::chunk::{FileHeader, TransferKey};
use chat_protocol::file::relay::RelayToHub;
use chat_protocol::header::Recipient;
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::limits::VERSION;
use chat_protocol::tag::Tag;
use tokio::time::{Duration, timeout};

use super::channel::{Lane, News};
use super::error::refused;
use super::{For, Said, Shared, TransferError, TransferEvent, aside};
use chat_device::clock::now_ms;

/// A request that waits longer than this for its turn is refused: whoever asked has asked again.
const TURN_MAX: Duration = Duration::from_mins(1);

/// Requests that wait for the folder to be looked at: who waits for an owner who is away asks once.
const EARLY_MAX: usize = 64;

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) offer: MessageId,
    pub(super) parts: Vec<(u32, u32)>,
    pub(super) until: u64,
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: Option<EventKey>,
    pub(super) said: Said,
    pub(super) wanted: Wanted,
}

/// Requests for what is not offered from here, or not yet.
#[derive(Debug, Default)]
pub(super) struct Early(Mutex<VecDeque<Asked>>);

impl Early {
    /// Keeps a request that may be granted after the next look at the folder.
    fn put(&self, asked: Asked) {
        let mut early = self.0.lock();
        if early.len() >= EARLY_MAX {
            early.pop_front();
        }
        early.push_back(asked);
    }

    fn take(&self) -> VecDeque<Asked> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// Grants a request now, or when its file is on offer. Until then its event stays for another program
/// of this home, which may be the one that offers it.
pub(super) fn hear(shared: &Arc<Shared>, asked: Asked) {
    let (offer, until) = (asked.wanted.offer, asked.wanted.until);
    if until > now_ms() && shared.offered_here(&offer).is_none() {
        shared.early.put(asked);
        if shared.offered_here(&offer).is_some() {
            // The look ended in between.
            hear_early(shared);
        }
        return;
    }
    let Asked { key, said, wanted } = asked;
    tokio::spawn(serve(Arc::clone(shared), said, wanted));
    shared.done_with(key);
}

/// The folder was looked at: requests that came before it may be granted now.
pub(super) fn hear_early(shared: &Arc<Shared>) {
    for asked in shared.early.take() {
        hear(shared, asked);
    }
}

/// Why a request is not granted: a code and a sentence for whoever asked.
struct Refusal(&'static str, String);

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        // What is wrong here is not for strangers: paths and such stay out of it.
        tracing::warn!(%error, "a file could not be given");
        Self(code::NO_SUCH_FILE, "the owner cannot read this file now".to_owned())
    }
}

/// Answers one request, and gives the file if it is granted.
async fn serve(shared: Arc<Shared>, said: Said, wanted: Wanted) {
    if wanted.until < now_ms() {
        return;
    }
    // Another program or device of this person may offer it; they answer.
    let Some(found) = shared.offered_here(&wanted.offer) else { return };
    let turn = timeout(TURN_MAX, shared.giving.acquire()).await;
    let given = match turn {
        Ok(Ok(_permit)) => give(&shared, &said, &wanted, found).await,
        _ => Err(Refusal(code::TOO_MANY, "too many files are being sent; try later".to_owned())),
    };
    if let Err(Refusal(code, reason)) = given {
        let event = TransferEvent::NotGiven { to: said.from.clone(), reason: reason.clone() };
        shared.tell(event);
        let note = FileNote::Refuse { re: said.id, code: code.to_owned(), reason };
        shared.client.note_file(said.cid.clone(), note).await;
    }
}

/// A file that this process can give.
#[derive(Debug, Clone)]
pub(super) struct Givable {
    pub(super) whom: For,
    pub(super) file: FileAt,
}

/// Where a file is.
#[derive(Debug, Clone)]
pub(super) enum FileAt {
    /// In the shared folder.
    Shared(Arc<SharedFolder>, RelativePath),
    /// Anywhere: its owner has named it.
    Named(PathBuf),
}

impl FileAt {
    /// Opens it, and reads all of it unless its tree is known, which can take long.
    pub(super) fn open(&self, trees: &Trees) -> Result<Source, SourceError> {
        let opening = match self {
            Self::Shared(folder, name) => Opening::shared(folder, name)?,
            Self::Named(path) => Opening::named(path)?,
        };
        opening.read_through(trees, now_ms())
    }
}

async fn give(
    shared: &Arc<Shared>,
    said: &Said,
    wanted: &Wanted,
    found: Givable,
) -> Result<(), Refusal> {
    if !said.pinned {
        let reason = "your key has changed; the owner must check it first";
        return Err(Refusal(code::UNTRUSTED, reason.to_owned()));
    }
    if !shared.belongs(&said.from, &found.whom).await {
        let reason = "this file is not offered to you";
        return Err(Refusal(code::NOT_ALLOWED, reason.to_owned()));
    }
    let trees = shared.trees.clone();
    let source = aside(move || found.file.open(&trees)).await?.map_err(TransferError::from)?;
    let (tid, key) = (Nonce16(random()), random::<32>());
    let channel = shared.channels.get().await.map_err(TransferError::from)?;
    let first = RelayToHub::Give { tid, to: said.from.clone() };
    let lane = channel.begin(first).await.ok_or(TransferError::Offline)?;
    let file: Manifest = source.manifest().clone();
    let note = FileNote::Give { re: said.id, tid, key: B64Array(key), file: file.clone() };
    shared.client.note_file(said.cid.clone(), note).await.ok_or(TransferError::Offline)?;
    let header = FileHeader {
        v: VERSION,
        t: Tag::File,
        cid: said.cid.clone(),
        from: shared.me.clone(),
        sk: channel.sk,
        to: Recipient::User(said.from.clone()),
        id: wanted.offer,
        tid,
        i: 0,
        last: false,
        ts: now_ms(),
    };
    let sending = Sending {
        lane,
        source,
        header,
        key: TransferKey::new(&key, &tid),
        parts: parts_of(&file, &wanted.parts),
    };
    let sent = aside(move || sending.run()).await?;
    shared.tell(match sent {
        Ok(bytes) => TransferEvent::Gave { to: said.from.clone(), name: file.name, bytes },
        Err(reason) => TransferEvent::NotGiven { to: said.from.clone(), reason },
    });
    Ok(())
}

/// The chunks asked for, within the file; all of them where none were named.
pub(super) fn parts_of(file: &Manifest, wanted: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let end = file.chunks();
    if wanted.is_empty() {
        return vec![(0, end)];
    }
    let within = |&(from, to): &(u32, u32)| (from < end).then(|| (from, to.min(end)));
    wanted.iter().filter_map(within).collect()
}

/// One transfer on its way out, on a thread of its own.
pub(super) struct Sending {
    pub(super) lane: Lane,
    pub(super) source: Source,
    pub(super) header: FileHeader,
    pub(super) key: TransferKey,
    pub(super) parts: Vec<(u32, u32)>,
}

impl Sending {
    /// Reads, seals and sends chunk after chunk, as credit allows. Returns the bytes sent.
    pub(super) fn run(mut self) -> Result<u64, String> {
        let (mut credit, mut bytes) = (0, 0);
        for index in self.parts.clone().into_iter().flat_map(|(from, to)| from..to) {
            while credit == 0 {
                credit = self.wait()?;
            }
            credit -= 1;
            match self.send_chunk(index) {
                Ok(sent) => bytes += sent,
                Err(reason) => {
                    // The other side learns that it broke off, and asks again: for the new file.
                    self.lane.end("the file has changed, or cannot be read any more");
                    return Err(reason);
                }
            }
        }
        self.lane.end("");
        Ok(bytes)
    }

    /// The same for a copy that the hub keeps: waits until it is kept, and returns until when, Unix time
    /// in milliseconds.
    pub(super) fn run_to_keep(mut self) -> Result<u64, (String, String)> {
        let lost = || (String::new(), "the connection is gone".to_owned());
        let mut credit = 0;
        for index in 0..self.source.manifest().chunks() {
            while credit == 0 {
                match self.lane.next().ok_or_else(lost)? {
                    News::Credit(n) => credit = n,
                    News::End { code, reason } => return Err(refused(code, reason)),
                    News::Chunk(..) | News::Kept(_) => {}
                }
            }
            credit -= 1;
            if let Err(reason) = self.send_chunk(index) {
                self.lane.end("the file has changed, or cannot be read any more");
                return Err(refused(String::new(), reason));
            }
        }
        loop {
            match self.lane.next().ok_or_else(lost)? {
                News::Kept(until) => return Ok(until),
                News::End { code, reason } => return Err(refused(code, reason)),
                News::Credit(_) | News::Chunk(..) => {}
            }
        }
    }

    /// Reads, seals and sends one chunk. Returns its length in bytes.
    fn send_chunk(&mut self, index: u32) -> Result<u64, String> {
        let (data, path) = self.source.read_chunk(index).map_err(|error| error.to_string())?;
        self.header.i = index;
        self.header.last = index + 1 == self.source.manifest().chunks();
        if !self.lane.send(self.key.seal(&self.header, &path, &data)) {
            return Err("the connection is gone".to_owned());
        }
        Ok(u64::try_from(data.len()).unwrap_or(0))
    }

    /// Waits until more may be sent.
    fn wait(&mut self) -> Result<u32, String> {
        match self.lane.next() {
            Some(News::Credit(n)) => Ok(n),
            Some(News::End { reason, .. }) if reason.is_empty() => {
                Err("the other side has what it wanted".to_owned())
            }
            Some(News::End { reason, .. }) => Err(reason),
            Some(News::Chunk(..) | News::Kept(_)) => Ok(0),
            None => Err("the connection is gone".to_owned()),
        }
    }
}
