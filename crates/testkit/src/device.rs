//! One person's device, and what it signs. A hub cannot look inside, so what would be sealed is
//! random bytes, and so are wrapped keys.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::crypto::{random, sha256};
use chat_protocol::frame::{Unsigned, Upload, sign_all};
use chat_protocol::header::{
    Canonical as _, KeyHeader, MemberArgument, MemberHeader, MemberOperation, MessageHeader,
    ReceiptHeader, Recipient,
};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys};
use chat_protocol::members::{MemberList, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Stage, Tag, label};

use crate::{keys, name, new_id, now_ms};

/// A key wrapped for an encryption key of 2,048 bits.
const WRAP_BYTES: usize = 256;

/// Who signs in.
#[derive(Debug, Clone)]
pub struct Device {
    /// Whose it is.
    pub user: UserName,
    /// Its keys.
    pub keys: Arc<DeviceKeys>,
    /// Its id.
    pub dev: Nonce16,
    /// Its newest bundle.
    pub bundle: Bundle,
}

/// An epoch on its way to the hub.
#[derive(Debug, Clone)]
pub struct NewEpoch {
    /// Its generation and digest.
    pub head: EpochHead,
    /// What the hub answers by.
    pub id: MessageId,
    /// The KEY, then its parts.
    pub messages: Vec<Bytes>,
}

impl Device {
    /// A new device of `user` with prepared keys ([`keys::keys`]).
    ///
    /// # Panics
    /// When there are no keys with that number, or the name is none.
    pub fn new(user: &str, index: usize) -> Self {
        Self::with_keys(user, keys::keys(index), Nonce16(random()))
    }

    /// A device with these keys and this id.
    ///
    /// # Panics
    /// When the name is none.
    pub fn with_keys(user: &str, keys: Arc<DeviceKeys>, dev: Nonce16) -> Self {
        let (user, options) = (name(user), BundleOptions::default());
        let bundle = keys.publish(&user, dev, None, now_ms(), options).unwrap();
        Self { user, keys, dev, bundle }
    }

    /// The header of a message, made now.
    pub fn message(&self, t: Tag, cid: &ConversationId, e: Digest, n: u32) -> MessageHeader {
        let to = cid.other(&self.user).map_or(Recipient::Everyone, Recipient::User);
        MessageHeader {
            v: 1,
            t,
            stage: None,
            cid: cid.clone(),
            from: self.user.clone(),
            sk: self.keys.signing_id(),
            to,
            id: new_id(),
            e,
            n,
            p: Digest::ZERO,
            ts: now_ms(),
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        }
    }

    /// The frame of a message; its body is random.
    pub fn seal(&self, header: &MessageHeader) -> Bytes {
        self.sign(label::MSG, header.to_bytes(), random::<64>().to_vec())
    }

    /// A frame of anything.
    ///
    /// # Panics
    /// Never: one frame is signed, one comes back.
    pub fn sign(&self, label: &str, header: Vec<u8>, body: Vec<u8>) -> Bytes {
        let unsigned = [Unsigned::new(label, header, body)];
        sign_all(&self.keys.signing, &unsigned).pop().unwrap()
    }

    /// A link about oneself at a place of a room's chain: its header, and its frame.
    pub fn link(
        &self,
        cid: &ConversationId,
        op: MemberOperation,
        (mg, pm): (u32, Digest),
    ) -> (MemberHeader, Bytes) {
        let arg = match op {
            MemberOperation::Create => MemberArgument::Open,
            _ => MemberArgument::None,
        };
        let header = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: cid.clone(),
            from: self.user.clone(),
            sk: self.keys.signing_id(),
            op,
            who: self.user.clone(),
            ik: self.bundle.identity(),
            arg,
            mg,
            pm,
            id: new_id(),
            ts: now_ms(),
        };
        let frame = self.sign(label::MEMBER, header.to_bytes(), Vec::new());
        (header, frame)
    }

    /// An epoch of a direct conversation for these devices, after `before`.
    ///
    /// # Panics
    /// When there is no generation behind `before`.
    pub fn epoch(
        &self,
        cid: &ConversationId,
        before: Option<EpochHead>,
        members: &MemberList,
    ) -> NewEpoch {
        self.epoch_at(cid, Place::START, before, members)
    }

    /// The same for a room whose chain is at `place`.
    ///
    /// # Panics
    /// When there is no generation behind `before`.
    pub fn epoch_at(
        &self,
        cid: &ConversationId,
        place: Place,
        before: Option<EpochHead>,
        members: &MemberList,
    ) -> NewEpoch {
        let header = KeyHeader {
            v: 1,
            t: Tag::Key,
            cid: cid.clone(),
            from: self.user.clone(),
            sk: self.keys.signing_id(),
            eid: Nonce16(random()),
            g: before.map_or(0, |before| before.g.checked_add(1).unwrap()),
            pe: before.map_or(Digest::ZERO, |before| before.e),
            mg: place.mg,
            pm: place.pm,
            kc: Digest(random()),
            mh: members.hash(),
            ts: now_ms(),
            wo: Vec::new(),
        };
        let bytes = header.to_bytes();
        let head = EpochHead { g: header.g, e: Digest(sha256(&bytes)) };
        let wraps: Vec<Vec<u8>> = members.lines().iter().map(|_| vec![7; WRAP_BYTES]).collect();
        let mut messages = vec![self.sign(label::KEY, bytes, Vec::new())];
        messages.extend(Upload::split(head.e, members.as_bytes(), &wraps));
        NewEpoch { head, id: MessageId(header.eid.0), messages }
    }

    /// The header of a receipt for messages of `to`, made now.
    pub fn receipt(&self, cid: &ConversationId, to: &UserName) -> ReceiptHeader {
        ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: cid.clone(),
            from: self.user.clone(),
            sk: self.keys.signing_id(),
            to: to.clone(),
            id: new_id(),
            ts: now_ms(),
        }
    }
}
