//! One look through a shared folder, in steps that a caller can stop between.

use std::collections::{BTreeMap, HashMap};

use chat_beneath::{OpenError, OpenFile, RelativePath};
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::id::Digest;
use chat_protocol::limits::{FILE_NAME_BYTES_MAX, OFFER_WORDS_MAX};
use chat_protocol::sanitise;

use super::{Cache, Listing, Shared, SharedFolder, Warning};
use crate::hash::{HashError, Hashing, Stamp};
use crate::keywords::{self, Entry, Place};
use crate::limits::{FILES_MAX, STEP_BYTES_MAX, STEP_FILES_MAX};

/// A file that `keyword.txt` names.
#[derive(Debug)]
struct Named {
    name: RelativePath,
    place: Place,
    words: BTreeMap<Audience, Vec<String>>,
}

/// A look that is under way.
#[derive(Debug)]
pub struct Look {
    files: Vec<Named>,
    next: usize,
    /// The file that is being hashed, and when that began.
    hashing: Option<(Hashing, u64)>,
    hashed: u64,
    old: Cache,
    new: Cache,
    listing: Listing,
}

/// How far a look is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Files that are done.
    pub files: usize,
    /// Files that `keyword.txt` names.
    pub of: usize,
    /// Bytes hashed in this look, because no cached root fitted.
    pub hashed: u64,
}

impl Progress {
    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.files >= self.of
    }
}

impl SharedFolder {
    /// Begins a look: reads `keyword.txt`. `cache` is that of the last one.
    pub fn look(&self, cache: Cache) -> Look {
        let mut look = Look {
            files: Vec::new(),
            next: 0,
            hashing: None,
            hashed: 0,
            old: cache,
            new: Cache::default(),
            listing: Listing::default(),
        };
        match self.read_keywords() {
            Ok((_, None)) => {
                look.listing.is_blank = true;
                let text = "it is not in the shared folder yet; write lines of: keyword, file name";
                look.warn(None, text.to_owned());
            }
            Ok((bytes, stamp)) => {
                look.listing.keywords = stamp;
                look.listing.is_blank = keywords::is_blank(&bytes);
                self.take_in(&mut look, &bytes);
            }
            Err(error) => {
                look.listing.is_mistaken = true;
                look.warn(None, format!("it cannot be read: {error}"));
            }
        }
        look
    }

    /// Sorts the entries by file and audience.
    fn take_in(&self, look: &mut Look, bytes: &[u8]) {
        let read = keywords::parse(bytes);
        look.listing.is_mistaken = read.problems.iter().any(|problem| problem.fault.is_slip());
        for problem in read.problems {
            look.warn(Some(problem.place), problem.fault.to_string());
        }
        if read.more_problems > 0 {
            look.warn(None, format!("and {} more problems like these", read.more_problems));
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        for entry in read.entries {
            let Some(audience) = entry.scope.audience(&self.me, &self.unsaid) else {
                look.listing.is_mistaken = true;
                look.warn(Some(entry.place), "this section is of yourself; name another".into());
                continue;
            };
            let at = *places.entry(entry.name.as_str().to_owned()).or_insert(look.files.len());
            if at >= FILES_MAX {
                let text = format!("more than {FILES_MAX} files; this and later ones are left out");
                look.warn(Some(entry.place), text);
                return;
            }
            look.take_entry(at, audience, entry);
        }
    }

    /// Does some more of it, for some ten milliseconds. `now_ms` is Unix time in milliseconds.
    pub fn step(&self, look: &mut Look, now_ms: u64) -> Progress {
        let (end, last) = (look.hashed + STEP_BYTES, look.next + STEP_FILES_MAX);
        // A file that is hashed takes a turn to open and one or more to read.
        for _ in 0..2 * STEP_FILES_MAX {
            if look.hashed >= end || look.next >= last {
                break;
            }
            if let Some((hashing, began)) = look.hashing.take() {
                look.hash_on(hashing, began);
            } else if let Some(name) = look.files.get(look.next).map(|named| named.name.clone()) {
                look.opened(self.open_file(&name), now_ms);
            } else {
                break;
            }
        }
        // Ids need the secret, which a look does not hold.
        for shared in look.listing.shared.iter_mut().rev().take_while(|shared| shared.id == NO_ID) {
            shared.id = self.offer_id(&shared.audience, &shared.name);
        }
        look.progress()
    }
}

/// [`STEP_BYTES_MAX`] as a size of files.
const STEP_BYTES: u64 = 8 * 1024 * 1024;
const _: () = assert!(STEP_BYTES_MAX == 8 * 1024 * 1024);

/// Stands where an id is not made yet.
const NO_ID: chat_protocol::id::MessageId = chat_protocol::id::MessageId([0; 16]);

impl Look {
    fn warn(&mut self, place: Option<Place>, text: String) {
        self.listing.warnings.push(Warning { place, text });
    }

    fn take_entry(&mut self, at: usize, audience: Audience, entry: Entry) {
        if at == self.files.len() {
            let words = BTreeMap::new();
            self.files.push(Named { name: entry.name, place: entry.place, words });
        }
        let Some(named) = self.files.get_mut(at) else { return };
        let words = named.words.entry(audience).or_default();
        // Two sections can mean the same audience.
        if words.contains(&entry.word) {
            return;
        }
        if words.len() < OFFER_WORDS_MAX {
            words.push(entry.word);
        } else {
            self.warn(Some(entry.place), keywords::Fault::TooManyWords.to_string());
        }
    }

    /// The next file was opened, or not.
    fn opened(&mut self, open: Result<OpenFile, OpenError>, now_ms: u64) {
        let open = match open {
            Ok(open) => open,
            Err(error) => return self.left_out(None, &error.to_string()),
        };
        let stamp = Stamp::new(&open.metadata);
        match self.old.get(&stamp) {
            Some(root) => self.offer(stamp, root, true),
            None => match Hashing::new(open.file) {
                Ok(hashing) => self.hashing = Some((hashing, now_ms)),
                Err(error) => self.left_out(Some(stamp), &error.to_string()),
            },
        }
    }

    fn hash_on(&mut self, mut hashing: Hashing, began_ms: u64) {
        let (before, stamp) = (hashing.progress().0, hashing.stamp());
        let step = hashing.step(STEP_BYTES_MAX);
        self.hashed += hashing.progress().0 - before;
        let hashed = match step {
            Ok(false) => {
                self.hashing = Some((hashing, began_ms));
                return;
            }
            Ok(true) => hashing.finish(),
            Err(error) => Err(error),
        };
        match hashed {
            Ok(hashed) => {
                let has_settled = hashed.stamp.has_settled(began_ms);
                self.offer(hashed.stamp, Digest(hashed.tree.root()), has_settled);
            }
            // Without a stamp: the next poll finds it changed and looks again.
            Err(HashError::Changed) => self.left_out(None, &HashError::Changed.to_string()),
            Err(error) => self.left_out(Some(stamp), &error.to_string()),
        }
    }

    /// The next file is offered to each of its audiences.
    fn offer(&mut self, stamp: Stamp, root: Digest, is_to_be_kept: bool) {
        if is_to_be_kept {
            self.new.insert(stamp, root);
        }
        let Some(named) = self.files.get(self.next) else { return };
        // The whole path tells files of one name apart; one that is too long goes by its last part.
        let path = named.name.as_str();
        let last = named.name.names().last().unwrap_or_default();
        let file = if path.len() <= FILE_NAME_BYTES_MAX { path } else { last }.to_owned();
        for (audience, words) in &named.words {
            let file = Manifest { name: file.clone(), size: stamp.size, root };
            let (audience, name) = (audience.clone(), named.name.clone());
            let words = words.clone();
            self.listing.shared.push(Shared { id: NO_ID, audience, name, file, words });
        }
        self.listing.seen.push((named.name.clone(), Some(stamp)));
        self.next += 1;
    }

    /// The next file is not offered.
    fn left_out(&mut self, stamp: Option<Stamp>, reason: &str) {
        let Some(named) = self.files.get(self.next) else { return };
        let (name, place) = (named.name.clone(), named.place);
        let text = format!("{} is not shared: {reason}", sanitise::line(name.as_str()));
        self.warn(Some(place), text);
        self.listing.seen.push((name, stamp));
        self.next += 1;
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress { files: self.next, of: self.files.len(), hashed: self.hashed }
    }

    /// What was found, and the cache for the next look: roots of files that are still named.
    pub fn finish(mut self) -> (Listing, Cache) {
        self.listing.shared.sort_by_key(|shared| shared.id);
        (self.listing, self.new)
    }

    /// Ends it early: the cache with what was hashed so far, so that no file is hashed twice.
    pub fn stop(mut self) -> Cache {
        self.new.merge(self.old);
        self.new
    }
}
