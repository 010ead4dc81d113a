//! A file that is being received: whole under its final name, or not there.
//!
//! ```text
//! begin ─► .chat-part-<root>  and  .chat-part-<root>.state   (lock, room on the disk, resume)
//! receive, receive, …         each chunk is checked, and written at its place once
//! every few chunks            sync the data, then replace the state that claims it
//! finish ─► sync ─► name.ext, or name (1).ext, …: renamed, never over anything
//! ```
//!
//! **Order.** A state claims a chunk only after a sync of the data that came back without an error. It
//! is written beside the old one, synced, and takes its place by a rename, which is synced too. So at any end of the program
//! or of the power the state on the disk is whole, and what it claims is there.
//!
//! **What an end costs.** A state is saved for every [`SAVE_CHUNKS_MAX`] chunks (32 MiB) and for every
//! thirty-second part of a file, whichever is less. At most so much travels again: of a file that was
//! interrupted at 60 % no more than 44 %.
//!
//! **After a failed sync** nothing more is taken: the system may have thrown the data away, and would
//! report the next sync as good. Begun again, the part goes on from the last state.

mod finish;
mod ranges;
mod state;

use std::io;
use std::path::Path;

use chat_protocol::file::chunk::{Chunk, FileHeader, TransferKey};
use chat_protocol::file::{FileError, Manifest};
use chat_protocol::frame::RawFrame;
use chat_protocol::id::Digest;
use chat_protocol::limits::FILE_CHUNK_BYTES;
use thiserror::Error;

use crate::disk::{Dir, Disk, OWN_PREFIX};
use crate::limits::{PARTS_MAX, SAVE_CHUNKS_MAX, SAVES_MIN};

pub use finish::Finished;
pub use ranges::Ranges;
pub use state::About;
use state::State;

/// Why a part was not begun, not continued or not finished. Unless it says otherwise, what has arrived
/// is kept and goes on with the next [`Part::begin`].
#[derive(Debug, Error)]
pub enum PartError {
    /// Another process, or another transfer of this one, receives it.
    #[error(
        "this file is being received by another transfer already; wait for it or stop it there"
    )]
    Busy,
    /// The disk.
    #[error("the disk is full: {needed} bytes are needed; make room and fetch the file again")]
    Full {
        /// Size of the file in bytes.
        needed: u64,
    },
    /// The disk, in any other way.
    #[error("{doing} the file failed: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A failure of the disk earlier on this part.
    #[error("the disk failed while this file was saved; fetch it again to go on from what is safe")]
    Broken,
    /// Another manifest for the same part.
    #[error(
        "this is not the file that is partly here: its size or root differ; discard the part first"
    )]
    Other,
    /// What the caller wants kept with it.
    #[error("the keywords or the note kept with the file are too long")]
    About,
    /// The manifest or a chunk.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not all is there.
    #[error("{missing} chunks are missing still")]
    Missing {
        /// How many.
        missing: u32,
    },
    /// What is on the disk is not what was written there.
    #[error("what was saved of the file was damaged on the disk; all of it must be fetched again")]
    Damaged,
    /// All names are taken.
    #[error("{name} and a thousand names like it are taken in this folder; move some of them away")]
    Taken {
        /// The reduced name.
        name: String,
    },
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> PartError {
    move |source| PartError::Io { doing, source }
}

/// What a chunk did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was written.
    New,
    /// It was there already.
    Again,
}

/// A file that is being received.
#[derive(Debug)]
pub struct Part<D: Disk = Dir> {
    disk: D,
    file: D::File,
    names: Names,
    /// What is written; the state on the disk claims a part of it.
    state: State,
    unsaved: u32,
    /// Every chunk that is there was checked since this part was begun, against this manifest.
    is_all_checked: bool,
    is_broken: bool,
}

/// The names of one part.
#[derive(Debug, Clone)]
struct Names {
    data: String,
    state: String,
    new_state: String,
}

const STATE_ENDING: &str = ".state";

impl Names {
    fn new(root: &Digest) -> Self {
        let mut data = format!("{OWN_PREFIX}part-");
        let half = root.as_bytes().iter().take(8);
        data.extend(half.map(|byte| format!("{byte:02x}")));
        Self { state: format!("{data}{STATE_ENDING}"), new_state: format!("{data}.new"), data }
    }
}

/// How often the file of a part is opened again because it was renamed between open and lock.
const LOCK_TRIES: usize = 8;

impl<D: Disk> Part<D> {
    /// Begins to receive a file, or goes on where an earlier attempt ended. `about` is kept for a new
    /// part; one that goes on keeps its own, and its name.
    pub fn begin(disk: D, manifest: Manifest, about: About) -> Result<Self, PartError> {
        manifest.check()?;
        about.check()?;
        let names = Names::new(&manifest.root);
        let (file, is_new) = claim(&disk, &names)?;
        let old = if is_new { None } else { read_state(&disk, &names)? };
        let is_other =
            |old: &State| (old.manifest.root, old.manifest.size) != (manifest.root, manifest.size);
        // Not even a wrong size may make an end of what has arrived.
        if old.as_ref().is_some_and(is_other) {
            return Err(PartError::Other);
        }
        let fits = disk.length(&file).map_err(failed("opening"))? == manifest.size;
        if let Some(old) = old.filter(|_| fits) {
            let is_all_checked = old.have.count() == 0;
            let (unsaved, is_broken) = (0, false);
            return Ok(Self { disk, file, names, state: old, unsaved, is_all_checked, is_broken });
        }
        let state = State::new(manifest, about);
        let (unsaved, is_all_checked, is_broken) = (0, true, false);
        let mut part = Self { disk, file, names, state, unsaved, is_all_checked, is_broken };
        part.make_room()?;
        part.save()?;
        Ok(part)
    }

    fn make_room(&self) -> Result<(), PartError> {
        let needed = self.state.manifest.size;
        let Err(error) = self.disk.reserve(&self.file, needed) else { return Ok(()) };
        // Nothing has arrived yet, and what was reserved is missing elsewhere.
        self.disk.remove(&self.names.state).ok();
        self.disk.remove(&self.names.data).ok();
        Err(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PartError::Full { needed },
            _ => failed("making room for")(error),
        })
    }

    /// What is being received: as the first manifest said.
    pub fn manifest(&self) -> &Manifest {
        &self.state.manifest
    }

    /// What the caller kept with it.
    pub fn about(&self) -> &About {
        &self.state.about
    }

    /// Number of chunks that are there.
    pub fn have(&self) -> u32 {
        self.state.have.count()
    }

    /// Whether all chunks are there: [`Self::finish`] can be called.
    pub fn is_complete(&self) -> bool {
        self.have() == self.manifest().chunks()
    }

    /// The chunks that are missing, as half-open ranges for a request: the first
    /// [`chat_protocol::limits::FILE_PARTS_MAX`]. None are left only if the part is complete.
    pub fn missing(&self) -> Ranges {
        self.state.have.missing()
    }

    /// The missing chunks in equal shares for so many holders, in their order. There are fewer shares
    /// than holders if there are fewer chunks, and none is empty: an empty request asks for all.
    pub fn split(&self, holders: usize) -> Vec<Ranges> {
        self.state.have.split(holders)
    }

    /// Opens a frame, checks its chunk against the manifest and keeps it.
    ///
    /// With [`PartError::Full`] or [`PartError::Io`] the part is as good as before: the same chunk can
    /// be given again, and counts as [`Put::Again`] if only the state could not be saved.
    pub fn receive(
        &mut self,
        key: &TransferKey,
        header: &FileHeader,
        frame: &RawFrame,
    ) -> Result<Put, PartError> {
        let chunk = key.open(header, frame, &self.state.manifest)?;
        self.keep(chunk.index, chunk.data())
    }

    /// Keeps a chunk that was opened elsewhere. Whether that was against this manifest cannot be seen
    /// from it, so the whole file is read and checked again at the end.
    pub fn put(&mut self, chunk: &Chunk) -> Result<Put, PartError> {
        if self.state.manifest.chunk_length(chunk.index) != Some(chunk.data().len()) {
            return Err(FileError::NotOfTheFile { index: chunk.index }.into());
        }
        self.is_all_checked = false;
        self.keep(chunk.index, chunk.data())
    }

    fn keep(&mut self, index: u32, data: &[u8]) -> Result<Put, PartError> {
        if self.is_broken {
            return Err(PartError::Broken);
        }
        let put = if self.state.have.has(index) { Put::Again } else { Put::New };
        if put == Put::New {
            let written = self.disk.write_at(&self.file, data, offset(index));
            written.map_err(|error| self.not_written(error))?;
            self.state.have.set(index);
            self.unsaved += 1;
        }
        // Also for a chunk that comes again because the state could not be saved with it.
        if self.unsaved >= save_every(self.manifest().chunks()) {
            self.save()?;
        }
        Ok(put)
    }

    /// A failed write leaves the chunk missing, and the part goes on when the disk does.
    fn not_written(&self, error: io::Error) -> PartError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                PartError::Full { needed: self.manifest().size }
            }
            _ => failed("writing")(error),
        }
    }

    /// Makes sure that what has arrived survives the end of the program and of the power. Called by
    /// itself often enough; a caller calls it before a planned end.
    pub fn save(&mut self) -> Result<(), PartError> {
        if self.is_broken {
            return Err(PartError::Broken);
        }
        // A failed sync cannot be repeated: the system may have dropped what it could not write.
        self.is_broken = true;
        self.disk.sync(&self.file).map_err(|error| self.not_written(error))?;
        self.is_broken = false;
        let bytes = self.state.to_bytes();
        self.write_state(&bytes).map_err(|error| self.not_written(error))?;
        self.unsaved = 0;
        Ok(())
    }

    fn write_state(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.remove(&self.names.new_state)?;
        let file = self.disk.create(&self.names.new_state)?;
        self.disk.write_at(&file, bytes, 0)?;
        self.disk.sync(&file)?;
        self.disk.replace(&self.names.new_state, &self.names.state)?;
        self.disk.sync_names()
    }

    /// Gives up: removes all that has arrived.
    pub fn discard(self) -> Result<(), PartError> {
        self.remove_state().map_err(failed("removing"))?;
        self.disk.remove(&self.names.data).map_err(failed("removing"))?;
        self.disk.sync_names().map_err(failed("removing"))
    }

    fn remove_state(&self) -> io::Result<()> {
        self.disk.remove(&self.names.new_state)?;
        self.disk.remove(&self.names.state)
    }
}

/// Opens or makes the file of a part, and holds its lock: `true` if it is new.
fn claim<D: Disk>(disk: &D, names: &Names) -> Result<(D::File, bool), PartError> {
    for _ in 0..LOCK_TRIES {
        let Some((file, is_new)) = open_or_make(disk, names)? else { continue };
        if !disk.lock(&file).map_err(failed("locking"))? {
            return Err(PartError::Busy);
        }
        // Between open and lock another process may have finished it: then this is its final file.
        if disk.is_at(&names.data, &file).map_err(failed("opening"))? {
            return Ok((file, is_new));
        }
    }
    Err(PartError::Busy)
}

/// `None` if another process made it in between.
fn open_or_make<D: Disk>(disk: &D, names: &Names) -> Result<Option<(D::File, bool)>, PartError> {
    if let Some(file) = disk.open(&names.data).map_err(failed("opening"))? {
        return Ok(Some((file, false)));
    }
    // A state without data claims what is not there.
    disk.remove(&names.state).map_err(failed("opening"))?;
    disk.sync_names().map_err(failed("opening"))?;
    match disk.create(&names.data) {
        Ok(file) => Ok(Some((file, true))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(failed("making")(error)),
    }
}

/// The state on the disk; `None` if there is none, or none that can be believed.
fn read_state<D: Disk>(disk: &D, names: &Names) -> Result<Option<State>, PartError> {
    let read = || -> io::Result<Option<State>> {
        let Some(file) = disk.open(&names.state)? else { return Ok(None) };
        let length = usize::try_from(disk.length(&file)?).unwrap_or(usize::MAX);
        if length > state::BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length];
        disk.read_at(&file, &mut bytes, 0)?;
        Ok(State::from_bytes(&bytes))
    };
    read().map_err(failed("reading the state of"))
}

/// Where a chunk is in its file.
fn offset(index: u32) -> u64 {
    u64::from(index) * u64::try_from(FILE_CHUNK_BYTES).unwrap_or(u64::MAX)
}

/// Number of chunks after which the state is saved.
fn save_every(chunks: u32) -> u32 {
    (chunks / SAVES_MIN).clamp(1, SAVE_CHUNKS_MAX)
}

/// A part that lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumable {
    /// The file.
    pub manifest: Manifest,
    /// What the caller kept with it.
    pub about: About,
    /// Number of chunks that are there.
    pub have: u32,
}

/// The parts of a folder, at most [`PARTS_MAX`]: what [`Part::begin`] can go on with. Those that are
/// being received just now are among them.
pub fn list<D: Disk>(disk: &D) -> Result<Vec<Resumable>, PartError> {
    let names = disk.own_names().map_err(failed("listing the parts of"))?;
    let states = names.iter().filter_map(|name| name.strip_suffix(STATE_ENDING));
    let mut parts = Vec::new();
    for data in states.filter(|data| names.iter().any(|name| name == data)).take(PARTS_MAX) {
        let names = Names {
            data: String::new(),
            state: format!("{data}{STATE_ENDING}"),
            new_state: String::new(),
        };
        // What cannot be read is not resumable; it does not hide the others.
        let Ok(Some(State { manifest, about, have })) = read_state(disk, &names) else { continue };
        if Names::new(&manifest.root).data == *data {
            parts.push(Resumable { manifest, about, have: have.count() });
        }
    }
    Ok(parts)
}

/// Removes what has arrived of a file. Refused while it is being received.
pub fn discard<D: Disk>(disk: &D, root: &Digest) -> Result<(), PartError> {
    let names = Names::new(root);
    let file = disk.open(&names.data).map_err(failed("removing"))?;
    if let Some(file) = &file
        && !disk.lock(file).map_err(failed("locking"))?
    {
        return Err(PartError::Busy);
    }
    for name in [&names.new_state, &names.state, &names.data] {
        disk.remove(name).map_err(failed("removing"))?;
    }
    disk.sync_names().map_err(failed("removing"))
}

/// Opens a folder for downloads.
pub fn folder(path: &Path) -> Result<Dir, PartError> {
    Dir::open(path).map_err(failed("opening the download folder for"))
}

/// The parts in a folder for downloads, see [`list`]. One that was not made yet has none.
pub fn in_folder(path: &Path) -> Result<Vec<Resumable>, PartError> {
    if matches!(path.try_exists(), Ok(false)) {
        return Ok(Vec::new());
    }
    list(&folder(path)?)
}

/// Removes the parts of a folder that nobody receives now. Each of them, and whether it was removed.
pub fn clean(path: &Path) -> Result<Vec<(Resumable, bool)>, PartError> {
    let parts = in_folder(path)?;
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let dir = folder(path)?;
    let remove = |of: Resumable| match discard(&dir, &of.manifest.root) {
        Ok(()) => Ok((of, true)),
        Err(PartError::Busy) => Ok((of, false)),
        Err(error) => Err(error),
    };
    parts.into_iter().map(remove).collect()
}

#[cfg(test)]
mod tests;
