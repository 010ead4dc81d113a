//! Puts an epoch together: KEY frame, member lines, wraps (rule R11). One at a time, in order.

use bytes::{Bytes, BytesMut};
use chat_protocol::{
    frame::Upload,
    header::Header,
    id::{Digest, MessageId},
    limits::EPOCH_DEVICES_MAX,
    members::MemberList,
};
use tokio::time::Instant;

use crate::{
    limits::UPLOAD_TIME_MAX,
    request::{EpochUpload, FrameRequest},
};

/// Longest member list: a name of 32, two keys of 22 characters, and what parts them.
const MEMBERS_BYTES_MAX: usize = EPOCH_DEVICES_MAX * (32 + 22 + 22 + 3);

/// What a part did.
pub(super) enum Step {
    /// More is to come.
    More,
    /// The epoch is complete.
    Complete(Box<FrameRequest>, EpochUpload),
    /// The epoch is given up, for this reason.
    Bad(Option<MessageId>, &'static str),
}

struct UnderWay {
    request: Box<FrameRequest>,
    e: Digest,
    mh: Digest,
    members: BytesMut,
    list: Option<MemberList>,
    wraps: Vec<Bytes>,
    deadline: Instant,
}

/// The epoch under way on one connection, if any.
#[derive(Default)]
pub(super) struct Assembly {
    under_way: Option<Box<UnderWay>>,
    /// An epoch that was refused already: its parts are still on their way and mean nothing.
    ignored: Option<Digest>,
}

impl Assembly {
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
        let Header::Key(key) = &request.header else { return None };
        let under_way = UnderWay {
            mh: key.mh,
            request: Box::new(request),
            e,
            members: BytesMut::new(),
            list: None,
            wraps: Vec::new(),
            deadline: now + UPLOAD_TIME_MAX,
        };
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
        if let Err(reason) = under_way.take(part, now) {
            return self.give_up(reason);
        }
        let Some(list) = &under_way.list else { return Step::More };
        if under_way.wraps.len() < list.lines().len() {
            return Step::More;
        }
        self.complete()
    }

    fn give_up(&mut self, reason: &'static str) -> Step {
        let Some(bad) = self.under_way.take() else { return Step::More };
        self.ignored = Some(bad.e);
        Step::Bad(Some(bad.request.header.id()), reason)
    }

    fn complete(&mut self) -> Step {
        let Some(under_way) = self.under_way.take() else { return Step::More };
        let UnderWay { request, e, list, wraps, .. } = *under_way;
        let Some(members) = list else { return Step::More };
        Step::Complete(request, EpochUpload { e, members, wraps })
    }
}

impl UnderWay {
    fn take(&mut self, part: Upload, now: Instant) -> Result<(), &'static str> {
        if now > self.deadline {
            return Err("the parts of this epoch did not arrive in time");
        }
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
                self.parse()
            }
            Upload::Wraps { first, wraps, .. } => {
                let list = self.list.as_ref().ok_or("the member list comes before the wraps")?;
                if usize::from(first) != self.wraps.len() {
                    return Err("the wraps must come in the order of the lines");
                }
                if self.wraps.len().saturating_add(wraps.len()) > list.lines().len() {
                    return Err("there are more wraps than lines");
                }
                // Copied: a slice would keep the whole message alive as long as the wrap.
                self.wraps.extend(wraps.iter().map(|wrap| Bytes::copy_from_slice(wrap)));
                Ok(())
            }
        }
    }

    /// The list is complete when its hash is the one that the KEY names.
    fn parse(&mut self) -> Result<(), &'static str> {
        if Digest(chat_protocol::crypto::sha256(&self.members)) != self.mh {
            return Ok(());
        }
        let list = MemberList::parse(&self.members).map_err(|_| "the member list is malformed")?;
        let Header::Key(key) = &self.request.header else { return Ok(()) };
        if !list.contains(&key.from, &key.sk) {
            return Err("the maker of an epoch must be in its member list");
        }
        self.list = Some(list);
        Ok(())
    }
}
