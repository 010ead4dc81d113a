//! Puts an epoch together: KEY frame, member lines, wraps (rule R11). One at a time, in order. What is
//! held of it counts in the budget of uploads, and may be cut for others (rule R41).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chat_protocol::{
    crypto::Sha256Stream,
    frame::Upload,
    header::{Header, KeyHeader},
    id::{Digest, MessageId},
    limits::EPOCH_DEVICES_MAX,
    members::MemberList,
};
use tokio::time::Instant;

use crate::{
    budgets::uploads::{Held, NoRoom, Uploads},
    limits::UPLOAD_TIME_MAX,
    request::{EpochUpload, FrameRequest},
};

/// Longest member list: a name of 32, two keys of 22 characters, and what parts them.
const MEMBERS_BYTES_MAX: usize = EPOCH_DEVICES_MAX * (32 + 22 + 22 + 3);

/// What one wrap costs beside its bytes: where it lies in its part.
const WRAP_OVERHEAD_BYTES: usize = 32;

/// How often a member list is held: as it came, and as lines, which take somewhat more.
const MEMBERS_COPIES: usize = 2;

/// What a part did.
pub(super) enum Step {
    /// More is to come.
    More,
    /// The epoch is complete.
    Complete(Box<FrameRequest>, EpochUpload),
    /// The epoch is given up, for this reason.
    Bad(Option<MessageId>, &'static str),
    /// There is no room for it now.
    NoRoom(MessageId, NoRoom),
    /// Its time is over.
    Late(MessageId),
}

/// Why a part is not taken.
enum Problem {
    Bad(&'static str),
    NoRoom(NoRoom),
    Late,
}

impl From<&'static str> for Problem {
    fn from(reason: &'static str) -> Self {
        Self::Bad(reason)
    }
}

impl From<NoRoom> for Problem {
    fn from(no_room: NoRoom) -> Self {
        Self::NoRoom(no_room)
    }
}

struct UnderWay {
    request: Box<FrameRequest>,
    e: Digest,
    parts: Held<Parts>,
    deadline: Instant,
}

/// What has come of an epoch.
#[derive(Default)]
struct Parts {
    members: BytesMut,
    /// The hash of the lines so far: each byte is hashed once, however small the pieces are.
    hash: Sha256Stream,
    list: Option<MemberList>,
    wraps: Vec<Bytes>,
}

/// The epoch under way on one connection, if any.
pub(super) struct Assembly {
    uploads: Arc<Uploads>,
    under_way: Option<Box<UnderWay>>,
    /// An epoch that was refused already: its parts are still on their way and mean nothing.
    ignored: Option<Digest>,
}

impl Assembly {
    pub(super) fn new(uploads: Arc<Uploads>) -> Self {
        Self { uploads, under_way: None, ignored: None }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|under_way| under_way.deadline)
    }

    /// Begins with a KEY frame. Returns the id of an epoch that was not complete.
    pub(super) fn begin(
        &mut self,
        request: FrameRequest,
        e: Digest,
        now: Instant,
    ) -> Option<MessageId> {
        let peer = &request.peer;
        let parts = self.uploads.begin(peer.account, &peer.budgets, Parts::default());
        let deadline = now + UPLOAD_TIME_MAX;
        let under_way = UnderWay { request: Box::new(request), e, parts, deadline };
        let before = self.under_way.replace(Box::new(under_way))?;
        Some(before.request.header.id())
    }

    /// Forgets an epoch, and passes over the parts of it that still come.
    pub(super) fn ignore(&mut self, e: Digest) {
        self.ignored = Some(e);
    }

    /// The id of an epoch whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<MessageId> {
        let late = self.under_way.take_if(|under_way| under_way.deadline <= now)?;
        self.ignored = Some(late.e);
        Some(late.request.header.id())
    }

    /// Adds a part.
    pub(super) fn add(&mut self, part: Upload, now: Instant) -> Step {
        let e = part.epoch();
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.e == e) else {
            if self.ignored == Some(e) {
                return Step::More;
            }
            return Step::Bad(None, "a part of an epoch whose KEY did not come before it");
        };
        match under_way.take(part, now) {
            Ok(false) => Step::More,
            Ok(true) => self.complete(),
            Err(Problem::Bad(reason)) => {
                self.give_up().map_or(Step::More, |id| Step::Bad(Some(id), reason))
            }
            Err(Problem::NoRoom(no_room)) => {
                self.give_up().map_or(Step::More, |id| Step::NoRoom(id, no_room))
            }
            Err(Problem::Late) => self.give_up().map_or(Step::More, Step::Late),
        }
    }

    fn give_up(&mut self) -> Option<MessageId> {
        let bad = self.under_way.take()?;
        self.ignored = Some(bad.e);
        Some(bad.request.header.id())
    }

    fn complete(&mut self) -> Step {
        let Some(under_way) = self.under_way.take() else { return Step::More };
        let UnderWay { request, e, parts, .. } = *under_way;
        match parts.take() {
            Some(Parts { list: Some(members), wraps, .. }) => {
                Step::Complete(request, EpochUpload { e, members, wraps })
            }
            _ => Step::NoRoom(request.header.id(), NoRoom::Cut),
        }
    }
}

impl UnderWay {
    /// Whether it is complete with this part.
    fn take(&mut self, part: Upload, now: Instant) -> Result<bool, Problem> {
        if now > self.deadline {
            return Err(Problem::Late);
        }
        let Header::Key(key) = &self.request.header else { return Ok(false) };
        self.parts.grow(match &part {
            Upload::Members { bytes, .. } => bytes.len() * MEMBERS_COPIES,
            Upload::Wraps { wraps, .. } => {
                wraps.iter().map(|wrap| wrap.len() + WRAP_OVERHEAD_BYTES).sum()
            }
        })?;
        let added = self.parts.with(|parts| parts.add(key, part));
        Ok(added.ok_or(NoRoom::Cut)??)
    }
}

impl Parts {
    fn add(&mut self, key: &KeyHeader, part: Upload) -> Result<bool, &'static str> {
        match part {
            Upload::Members { offset, bytes, .. } => {
                let expected = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
                if self.list.is_some() || offset != expected {
                    return Err("the pieces of the member list must come in order");
                }
                if self.members.len().saturating_add(bytes.len()) > MEMBERS_BYTES_MAX {
                    return Err("the member list is too long");
                }
                self.members.extend_from_slice(&bytes);
                self.hash.update(&bytes);
                self.parse(key)?;
            }
            Upload::Wraps { first, wraps, .. } => {
                let list = self.list.as_ref().ok_or("the member list comes before the wraps")?;
                if usize::from(first) != self.wraps.len() {
                    return Err("the wraps must come in the order of the lines");
                }
                if self.wraps.len().saturating_add(wraps.len()) > list.lines().len() {
                    return Err("there are more wraps than lines");
                }
                self.keep(&wraps);
            }
        }
        Ok(self.list.as_ref().is_some_and(|list| self.wraps.len() == list.lines().len()))
    }

    /// Copies the wraps of a part into one piece of memory of their size. The buffer that they were read into is
    /// larger, and thousands of small pieces would leave the heap in shreds.
    fn keep(&mut self, wraps: &[Bytes]) {
        let mut part = BytesMut::with_capacity(wraps.iter().map(Bytes::len).sum());
        for wrap in wraps {
            part.extend_from_slice(wrap);
        }
        let mut part = part.freeze();
        self.wraps.extend(wraps.iter().map(|wrap| part.split_to(wrap.len())));
    }

    /// The list is complete when its hash is the one that the KEY names.
    fn parse(&mut self, key: &KeyHeader) -> Result<(), &'static str> {
        if Digest(self.hash.so_far()) != key.mh {
            return Ok(());
        }
        let list = MemberList::parse(&self.members).map_err(|_| "the member list is malformed")?;
        if !list.contains(&key.from, &key.sk) {
            return Err("the maker of an epoch must be in its member list");
        }
        self.list = Some(list);
        self.members = BytesMut::new();
        Ok(())
    }
}
