//! A shared folder: what its `keyword.txt` names, what of it is there, and what that makes on the
//! hub's list.
//!
//! ```text
//! look ─ step ─ step ─ … ─► Listing ─ difference to the last one ─► offers to add, offers to end
//!   ▲                          │
//!   └── changed? ◄── polled ───┘
//! ```
//!
//! An id of an offer is made from a secret, the audience and the name, so that a restart lists the
//! same offers again and the hub's list does not churn.

mod cache;
mod look;

use std::fs::Permissions;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use chat_beneath::{Folder, FolderError, OpenError, OpenFile, RelativePath};
use chat_protocol::crypto::hmac_sha256;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::disk::{Dir, Disk as _};
use crate::hash::Stamp;
use crate::keywords::{self, EditError, KEYWORD_FILE, Place, Scope};
use crate::limits::{KEYWORD_FILE_BYTES_MAX, STEP_FILES_MAX};

pub use cache::Cache;
pub use look::{Look, Progress};

/// Domain of the ids of offers, under the secret of the home.
const OFFER_ID: &[u8] = b"chat-files/1 offer";

/// Where a new `keyword.txt` is written before it takes the old one's place.
const KEYWORD_NEW: &str = ".chat-keyword-new";

/// What a person shares.
#[derive(Debug)]
pub struct SharedFolder {
    files: Folder,
    dir: Dir,
    me: UserName,
    unsaid: Audience,
    secret: Zeroizing<[u8; 32]>,
}

/// A file on offer to one audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The id of the offer.
    pub id: MessageId,
    /// Who may find it.
    pub audience: Audience,
    /// Where it is, below the folder.
    pub name: RelativePath,
    /// What it is.
    pub file: Manifest,
    /// Its keywords, folded.
    pub words: Vec<String>,
}

/// Something that is not offered, and why. The rest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where in `keyword.txt`; `None` for the file as a whole.
    pub place: Option<Place>,
    /// What is wrong, and what to do: safe for a terminal.
    pub text: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => write!(f, "{KEYWORD_FILE}: {}", self.text),
        }
    }
}

/// What a look through the folder found.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The offers, by id.
    pub shared: Vec<Shared>,
    /// What is not offered.
    pub warnings: Vec<Warning>,
    /// `keyword.txt` is there and some of it cannot be read: what its author means is not known.
    pub is_mistaken: bool,
    /// `keyword.txt` is not there, or names no file without a comment on it: nobody has written that nothing is shared.
    pub is_blank: bool,
    /// `keyword.txt`, and every file that it names: what was there.
    keywords: Option<Stamp>,
    seen: Vec<(RelativePath, Option<Stamp>)>,
}

/// What two listings differ in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Offers that were not there.
    pub added: Vec<Shared>,
    /// Offers whose file or keywords are others: the same id takes the old one's place.
    pub changed: Vec<Shared>,
    /// Offers that are no more.
    pub gone: Vec<MessageId>,
}

/// What to tell the hub when it has `old` and should have `new`; both by id.
pub fn difference(old: &[Shared], new: &[Shared]) -> Difference {
    let find = |list: &[Shared], id| list.binary_search_by_key(&id, |shared| shared.id).ok();
    let mut difference = Difference::default();
    for shared in new {
        match find(old, shared.id).and_then(|at| old.get(at)) {
            None => difference.added.push(shared.clone()),
            Some(before) if before == shared => {}
            Some(_) => difference.changed.push(shared.clone()),
        }
    }
    let gone = old.iter().map(|shared| shared.id).filter(|id| find(new, *id).is_none());
    difference.gone.extend(gone);
    difference
}

/// Where a poll for changes goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    next: usize,
}

/// Why a file was not put into `keyword.txt` or taken out of it.
#[derive(Debug, Error)]
pub enum ShareError {
    /// The file itself cannot be opened.
    #[error("this file of the shared folder cannot be shared: {0}")]
    File(OpenError),
    /// `keyword.txt` cannot be opened.
    #[error("{KEYWORD_FILE} cannot be read: {0}; make it a plain file in the shared folder")]
    Keywords(OpenError),
    /// The entry cannot be written.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Somebody else wrote to it.
    #[error("{KEYWORD_FILE} was changed by somebody else just now; do this again")]
    Meanwhile,
    /// The disk.
    #[error("{KEYWORD_FILE} cannot be written: {0}; it is as it was")]
    Io(#[from] io::Error),
}

impl SharedFolder {
    /// Opens the folder. `unsaid` is the audience of entries above the first section, `secret` 32
    /// random bytes of the home that stay the same.
    pub fn open(
        path: &Path,
        me: UserName,
        unsaid: Audience,
        secret: [u8; 32],
    ) -> Result<Self, FolderError> {
        let failed = |source| FolderError { path: path.to_owned(), source };
        let dir = Dir::open(path).map_err(failed)?;
        let files = Folder::open(path)?;
        Ok(Self { files, dir, me, unsaid, secret: Zeroizing::new(secret) })
    }

    /// Opens a file of the folder for reading.
    pub fn open_file(&self, name: &RelativePath) -> Result<OpenFile, OpenError> {
        self.files.open_file(name)
    }

    /// The id of the offer of one file to one audience.
    pub fn offer_id(&self, audience: &Audience, name: &RelativePath) -> MessageId {
        let audience = audience.to_string();
        let parts = [OFFER_ID, &[0], audience.as_bytes(), &[0], name.as_str().as_bytes()];
        let mac = hmac_sha256(self.secret.as_slice(), &parts);
        MessageId(*mac.first_chunk().expect("an HMAC has 32 bytes"))
    }

    /// Whether it is worth to look again: `keyword.txt`, or one of the next few files, is not what it
    /// was. A call opens at most [`STEP_FILES_MAX`] files and reads none; calls in a row see them all.
    pub fn changed(&self, listing: &Listing, watch: &mut Watch) -> bool {
        if self.keyword_stamp() != listing.keywords {
            return true;
        }
        if watch.next >= listing.seen.len() {
            watch.next = 0;
        }
        let mut few = listing.seen.iter().skip(watch.next).take(STEP_FILES_MAX);
        watch.next += STEP_FILES_MAX;
        few.any(|(name, stamp)| self.stamp(name) != *stamp)
    }

    fn stamp(&self, name: &RelativePath) -> Option<Stamp> {
        self.files.open_file(name).ok().map(|open| Stamp::new(&open.metadata))
    }

    fn keyword_stamp(&self) -> Option<Stamp> {
        RelativePath::new(KEYWORD_FILE).ok().and_then(|name| self.stamp(&name))
    }

    /// Puts a file into `keyword.txt` under these keywords, below the section of `scope`. Whether that is new.
    pub fn share(
        &self,
        name: &RelativePath,
        scope: &Scope,
        words: &[String],
    ) -> Result<bool, ShareError> {
        self.open_file(name).map_err(ShareError::File)?;
        let (before, stamp) = self.read_keywords().map_err(ShareError::Keywords)?;
        let after = keywords::add(&before, scope, name, words)?;
        if after == before {
            return Ok(false);
        }
        self.write_keywords(&after, stamp)?;
        Ok(true)
    }

    /// Takes a file out of `keyword.txt`: in all sections or one, under all keywords or some. Gives
    /// the number of entries that were taken out.
    pub fn unshare(
        &self,
        name: &str,
        scope: Option<&Scope>,
        words: &[String],
    ) -> Result<usize, ShareError> {
        let (before, stamp) = self.read_keywords().map_err(ShareError::Keywords)?;
        let (after, count) = keywords::remove(&before, scope, name, words)?;
        if count > 0 {
            self.write_keywords(&after, stamp)?;
        }
        Ok(count)
    }

    /// The bytes of `keyword.txt`, one more than allowed at most; nothing if it is not there.
    fn read_keywords(&self) -> Result<(Vec<u8>, Option<Stamp>), OpenError> {
        let name = RelativePath::new(KEYWORD_FILE).map_err(|_| OpenError::Absent)?;
        let open = match self.files.open_file(&name) {
            Ok(open) => open,
            Err(OpenError::Absent) => return Ok((Vec::new(), None)),
            Err(error) => return Err(error),
        };
        let most = u64::try_from(KEYWORD_FILE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
        let mut bytes = Vec::new();
        open.file.take(most).read_to_end(&mut bytes).map_err(OpenError::System)?;
        Ok((bytes, Some(Stamp::new(&open.metadata))))
    }

    /// Replaces `keyword.txt` at once: whoever reads it sees the old or the new one.
    fn write_keywords(&self, bytes: &[u8], stamp: Option<Stamp>) -> Result<(), ShareError> {
        let old = RelativePath::new(KEYWORD_FILE).ok().map(|name| self.files.open_file(&name));
        let mode = old.and_then(Result::ok).map(|open| open.metadata.permissions().mode());
        self.dir.remove(KEYWORD_NEW)?;
        let file = self.dir.create(KEYWORD_NEW)?;
        if let Some(mode) = mode {
            file.set_permissions(Permissions::from_mode(mode & 0o666))?;
        }
        self.dir.write_at(&file, bytes, 0)?;
        self.dir.sync(&file)?;
        if self.keyword_stamp() != stamp {
            self.dir.remove(KEYWORD_NEW)?;
            return Err(ShareError::Meanwhile);
        }
        self.dir.replace(KEYWORD_NEW, KEYWORD_FILE)?;
        Ok(self.dir.sync_names()?)
    }
}

#[cfg(test)]
mod tests;
