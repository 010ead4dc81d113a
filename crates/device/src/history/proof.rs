//! Proof of who wrote a message and who has received it, checked without a connection.
//!
//! A frame is signed by its sender, a receipt by its recipient, and the keys of both by their
//! identity keys, in bundles. The three together prove themselves to anybody; what is left to
//! compare over another channel is the fingerprint of the identity.

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_endpoint::KeptFrame;
use chat_protocol::content::{self, Content};
use chat_protocol::crypto::{VerifyingKey, sha256};
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::frame::{RawFrame, VerifiedBatches};
use chat_protocol::header::{Header, MessageHeader, ReceiptHeader};
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::{Tag, label};
use thiserror::Error;

use super::{Entry, History, Record, State};
use crate::own_device::OwnDevice;
use crate::store::StoreError;
use chat_protocol::veil;

pub mod file;

/// Why something does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Not a file of this kind, or not one byte as it was written.
    #[error("not a proof as this program writes it: {0}")]
    Form(String),
    /// A frame that cannot be read, or of another kind than it should be.
    #[error("{0} is damaged or of another kind")]
    Frame(&'static str),
    /// A bundle that does not prove itself.
    #[error("a bundle of public keys is not valid: {0}")]
    Bundle(String),
    /// No bundle shows the signing key.
    #[error("no bundle of {0} shows the key that signed")]
    NoKey(UserName),
    /// The signature is not of that key over these bytes.
    #[error("the signature is not the one of {0}")]
    Signature(UserName),
    /// The receipt is about something else.
    #[error("the receipt of {0} does not name this message")]
    OtherMessage(UserName),
    /// The frame is not what the history says about it.
    #[error("the frame is another one than the history says")]
    OtherFrame,
    /// The key does not open the frame to this text.
    #[error("the frame does not open to the text")]
    Text,
}

/// Everything that proves one message.
#[derive(Debug, Clone)]
pub struct Material {
    /// The frame as its sender signed it.
    frame: Bytes,
    /// Opens it, where its text is part of the proof.
    key: Option<MessageKey>,
    /// Receipts as their signers sent them.
    receipts: Vec<Bytes>,
    /// Bundles that show the keys of all signers.
    bundles: Vec<Bytes>,
}

/// A signature that was looked at: the identity that stands behind it, or what is wrong.
pub type Verdict = Result<KeyId, ProofError>;

/// A receipt that was looked at.
#[derive(Debug, Clone)]
pub struct ReceiptCheck {
    /// Who signed it, as it says.
    pub by: UserName,
    /// Whether they could read the message.
    pub readable: bool,
    /// The recipient's clock, Unix time in milliseconds.
    pub at_ms: u64,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// What was checked about a message.
#[derive(Debug, Clone)]
pub struct Proof {
    /// What its sender signed.
    pub header: MessageHeader,
    /// SHA-256 of what was signed: receipts name it.
    pub digest: Digest,
    /// Its text, where it is part of the proof.
    pub text: Option<String>,
    /// The sender's signature.
    pub signature: Verdict,
    /// The recipients' receipts.
    pub receipts: Vec<ReceiptCheck>,
    /// Who was to receive it and has not confirmed it; known in the sender's home only.
    pub missing: Vec<UserName>,
}

impl Proof {
    /// Whether everything holds.
    pub fn is_verified(&self) -> bool {
        let mut receipts = self.receipts.iter();
        self.signature.is_ok() && receipts.all(|receipt| receipt.verdict.is_ok())
    }
}

/// The signing keys that verified bundles show.
#[derive(Debug, Default)]
struct Keys(BTreeMap<(String, KeyId), (Vec<u8>, KeyId)>);

impl Keys {
    fn read(bundles: &[Bytes]) -> Result<Self, ProofError> {
        let mut keys = Self::default();
        for bytes in bundles {
            let bundle = Bundle::verify(bytes.clone());
            let bundle = bundle.map_err(|error| ProofError::Bundle(error.to_string()))?;
            for key in &bundle.header().sk {
                let name = bundle.header().u.to_string();
                keys.0.insert((name, key.kid), (key.spki.clone(), bundle.identity()));
            }
        }
        Ok(keys)
    }

    fn check(&self, frame: &RawFrame, label: &str, by: &UserName, kid: KeyId) -> Verdict {
        let key = self.0.get(&(by.to_string(), kid));
        let (spki, identity) = key.ok_or_else(|| ProofError::NoKey(by.clone()))?;
        let key = VerifyingKey::from_spki(spki).map_err(|_| ProofError::NoKey(by.clone()))?;
        let mut verified = VerifiedBatches::default();
        frame
            .verify(label, &key, &Digest(sha256(spki)), &mut verified)
            .map_err(|_| ProofError::Signature(by.clone()))?;
        Ok(*identity)
    }
}

impl Material {
    /// Checks every signature. An error is something that is no proof at all; a signature that
    /// does not hold is in the [`Proof`].
    pub fn check(&self) -> Result<Proof, ProofError> {
        let keys = Keys::read(&self.bundles)?;
        let (frame, header) = message(&self.frame)?;
        let digest = frame.digest(label::MSG);
        let text = self.key.as_ref().map(|key| open(&frame, &header, key)).transpose()?;
        let signature = keys.check(&frame, label::MSG, &header.from, header.sk);
        let mut receipts = Vec::new();
        for bytes in &self.receipts {
            let (frame, receipt, body) = receipt(bytes)?;
            let readable = receipt.t == Tag::Ack;
            // What was altered on the way has another digest: the complaint names that one.
            let names = body
                .re
                .iter()
                .any(|(id, named)| *id == header.id && (*named == digest || !readable));
            let is_about = names && receipt.cid == header.cid && receipt.to == header.from;
            let by = receipt.from;
            let verdict = if is_about {
                keys.check(&frame, label::RECEIPT, &by, receipt.sk)
            } else {
                Err(ProofError::OtherMessage(by.clone()))
            };
            receipts.push(ReceiptCheck { by, readable, at_ms: receipt.ts, verdict });
        }
        Ok(Proof { header, digest, text, signature, receipts, missing: Vec::new() })
    }

    /// The material for a message in the home; nothing for one that was never sealed or that could
    /// not be read. Only bundles of the identities pinned here are taken.
    pub fn of(
        history: &History,
        own: &OwnDevice,
        entry: &Entry,
    ) -> Result<Option<Self>, MaterialError> {
        let Some(KeptFrame { digest, key, frame, .. }) = history.frame(entry)? else {
            return Ok(None);
        };
        let frame = Bytes::from(frame.0);
        let (raw, header) = message(&frame)?;
        let Record { id, cid, from, text, .. } = &entry.record;
        let is_ours = header.id == *id && header.cid == *cid && header.from == *from;
        if !is_ours || raw.digest(label::MSG) != digest {
            return Err(ProofError::OtherFrame.into());
        }
        if Some(open(&raw, &header, &key)?) != *text {
            return Err(ProofError::Text.into());
        }
        let receipts = history.receipts(entry)?.into_iter().map(Bytes::from).collect();
        let mut material = Self { frame, key: Some(key), receipts, bundles: Vec::new() };
        for (by, kid) in material.signers()? {
            let bundle = bundle_with(history, own, &by, kid)?;
            material.bundles.extend(bundle.filter(|bundle| !material.bundles.contains(bundle)));
        }
        Ok(Some(material))
    }

    /// The same without what opens the frame.
    #[must_use]
    pub fn without_text(mut self) -> Self {
        self.key = None;
        self
    }

    /// Who signed anything here, and with which key.
    fn signers(&self) -> Result<Vec<(UserName, KeyId)>, ProofError> {
        let (_, header) = message(&self.frame)?;
        let mut signers = vec![(header.from, header.sk)];
        for bytes in &self.receipts {
            let (_, receipt, _) = receipt(bytes)?;
            signers.push((receipt.from, receipt.sk));
        }
        Ok(signers)
    }
}

/// Why there is no material.
#[derive(Debug, Error)]
pub enum MaterialError {
    /// The home cannot be read.
    #[error(transparent)]
    Home(#[from] StoreError),
    /// What it holds proves nothing.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Checks a message of the home. Nothing where there is no frame.
pub fn prove(
    history: &History,
    own: &OwnDevice,
    entry: &Entry,
) -> Result<Option<(Material, Proof)>, MaterialError> {
    let Some(material) = Material::of(history, own, entry)? else { return Ok(None) };
    let mut proof = material.check()?;
    if let State::Stored { recipients, .. } = &entry.state {
        let has_confirmed =
            |name: &UserName| proof.receipts.iter().any(|receipt| receipt.by == *name);
        proof.missing = recipients.iter().filter(|name| !has_confirmed(name)).cloned().collect();
    }
    Ok(Some((material, proof)))
}

/// A bundle, by the identity known here, that shows this key.
fn bundle_with(
    history: &History,
    own: &OwnDevice,
    by: &UserName,
    kid: KeyId,
) -> Result<Option<Bytes>, StoreError> {
    let mut bundles = history.pinned(by)?.map(|pinned| pinned.bundles).unwrap_or_default();
    if by == history.me() {
        bundles.push(own.bundle.bytes().clone());
    }
    Ok(bundles.into_iter().find(|bytes| {
        Bundle::verify(bytes.clone())
            .is_ok_and(|bundle| bundle.header().sk.iter().any(|key| key.kid == kid))
    }))
}

fn message(bytes: &Bytes) -> Result<(RawFrame, MessageHeader), ProofError> {
    let frame = RawFrame::decode(bytes.clone()).map_err(|_| ProofError::Frame("the message"))?;
    match Header::parse(frame.header()) {
        Ok(Header::Message(header)) => Ok((frame, header)),
        _ => Err(ProofError::Frame("the message")),
    }
}

fn receipt(bytes: &Bytes) -> Result<(RawFrame, ReceiptHeader, ReceiptBody), ProofError> {
    let wrong = ProofError::Frame("a receipt");
    let frame = RawFrame::decode(bytes.clone()).map_err(|_| wrong.clone())?;
    let Ok(Header::Receipt(header)) = Header::parse(frame.header()) else { return Err(wrong) };
    let body = envelope::read_receipt(&header, frame.body()).ok_or(wrong)?;
    Ok((frame, header, body))
}

fn open(frame: &RawFrame, header: &MessageHeader, key: &MessageKey) -> Result<String, ProofError> {
    let plaintext = envelope::open(frame, key).map_err(|_| ProofError::Text)?;
    match content::decode(header.t, &plaintext) {
        Ok((Content::Text(text), _)) => Ok(text),
        Ok((Content::Copy(copy), _)) if !copy.veiled => Ok(copy.text),
        Ok((Content::Veiled(text), _)) => Ok(veil::unshift(&text)),
        _ => Err(ProofError::Text),
    }
}

#[cfg(test)]
mod tests;
