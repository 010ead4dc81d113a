//! Judges vectors: every check in the order of rule R23, by its name. What a refused vector passes
//! before its check is right; a value that differs from the one expected fails the test.
#![expect(
    clippy::unwrap_in_result,
    reason = "a fault of the file is no refusal: it fails the test"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_protocol::b64;
use chat_protocol::crypto::{UnwrapKey, VerifyingKey, constant_time_eq, sha256};
use chat_protocol::epoch::{self, ChainKeys, EpochError};
use chat_protocol::frame::{RawFrame, VerifiedBatches};
use chat_protocol::header::{Canonical, Header, KeyHeader, MemberHeader};
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::keys::{Bundle, BundleError};
use chat_protocol::members::{MemberList, Membership};
use chat_protocol::name::UserName;
use chat_protocol::tag::{Shape, label};

use super::format::{BundleCase, Case, EpochCase, MembershipCase, PossessionCase, VectorFile};
use super::{check_link, check_message, check_offer};

/// The check that refused.
pub(crate) type Verdict<T = ()> = Result<T, &'static str>;

/// A file and what its accepted bundles and epochs say.
pub(crate) struct Judge<'a> {
    pub(crate) file: &'a VectorFile,
    bundles: Vec<Bundle>,
}

/// An epoch that was opened.
pub(crate) struct OpenEpoch {
    pub(crate) header: KeyHeader,
    pub(crate) e: Digest,
    pub(crate) members: MemberList,
    pub(crate) chains: ChainKeys,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(file: &'a VectorFile) -> Self {
        let accepted = file.vectors.iter().filter(|vector| vector.refused.is_none());
        let bundles = accepted
            .filter_map(|vector| match &vector.case {
                Case::Bundle(case) => Some(Bundle::verify(case.bundle.0.clone().into()).unwrap()),
                _ => None,
            })
            .collect();
        Self { file, bundles }
    }

    pub(crate) fn judge(&self, case: &Case) -> Verdict {
        match case {
            Case::Bundle(case) => bundle(case),
            Case::Possession(case) => possession(case),
            Case::Epoch(case) => self.epoch(case).map(drop),
            Case::Membership(case) => self.membership(case),
            Case::Message(case) => check_message::message(self, case).map(drop),
            Case::Receipt(case) => check_message::receipt(self, case),
            Case::SignIn(case) => check_link::sign_in(self, case),
            Case::Password(case) => check_link::password(case),
            Case::Vault(case) => check_link::vault(case),
            Case::Offer(case) => check_offer::offer(self, case),
        }
    }

    pub(crate) fn case(&self, name: &str) -> &'a Case {
        &self.file.vectors.iter().find(|vector| vector.name == name).expect(name).case
    }

    pub(crate) fn private(&self, name: &str) -> UnwrapKey {
        UnwrapKey::from_pkcs8(&self.file.keys.get(name).expect(name).0).unwrap()
    }

    /// The bundle of this user with this signing key.
    pub(crate) fn bundle(&self, user: &UserName, sk: &KeyId) -> Verdict<&Bundle> {
        let theirs = |bundle: &&Bundle| bundle.header().u == *user;
        let mut bundles = self.bundles.iter().filter(theirs);
        bundles.find(|bundle| bundle.signing_key(sk).is_some()).ok_or("members")
    }

    /// Cuts a frame, reads its header and checks its shape.
    pub(crate) fn read(bytes: &[u8], shape: Shape) -> Verdict<(RawFrame, Header)> {
        let frame = RawFrame::decode(Bytes::copy_from_slice(bytes)).map_err(|_| "frame")?;
        let header = Header::parse(frame.header()).map_err(|_| "header")?;
        if header.shape() != shape {
            return Err("header");
        }
        Ok((frame, header))
    }

    /// Checks the signature of whoever the header names.
    pub(crate) fn signature(&self, frame: &RawFrame, header: &Header) -> Verdict {
        let (user, sk) = header.signer();
        let spki = &self.bundle(user, &sk)?.signing_key(&sk).unwrap().spki;
        let key = VerifyingKey::from_spki(spki).unwrap();
        let mut verified = VerifiedBatches::default();
        let checked =
            frame.verify(header.shape().label(), &key, &Digest(sha256(spki)), &mut verified);
        checked.map_err(|_| "signature")
    }

    pub(crate) fn open_epoch(&self, name: &str) -> OpenEpoch {
        let Case::Epoch(case) = self.case(name) else { panic!("{name} is an epoch") };
        self.epoch(case).expect(name)
    }

    fn epoch(&self, case: &EpochCase) -> Verdict<OpenEpoch> {
        let (frame, header) = Self::read(&case.frame.0, Shape::Key)?;
        if !frame.body().is_empty() {
            return Err("body");
        }
        self.signature(&frame, &header)?;
        let Header::Key(header) = header else { return Err("header") };
        let members = MemberList::parse(case.members.as_bytes()).map_err(|_| "members")?;
        let e = epoch::digest(&frame);
        let mut chains = None;
        for (wrap, opener) in case.wraps.iter().zip(&case.openers) {
            let opened = epoch::open(&header, &e, &members, &wrap.0, &self.private(opener));
            let opened = opened.map_err(|error| match error {
                EpochError::Unwrap => "unwrap",
                EpochError::Commitment => "commitment",
                _ => "members",
            })?;
            chains = Some(opened);
        }
        let chains = chains.expect("an epoch vector has wraps");
        if let Some(expect) = &case.expect {
            assert_eq!(case.wraps.len(), members.lines().len());
            assert_eq!((e, header.to_bytes().as_slice()), (expect.e, frame.header()));
            assert!(chains.iter().eq(expect.chains.iter().map(|chain| &chain.0)));
            let label = format!("chat-e2e/1 wrap {}", b64::encode(&e.0));
            for (wrap, opener) in case.wraps.iter().zip(&case.openers) {
                let key = self.private(opener).unwrap(label.as_bytes(), &wrap.0).unwrap();
                assert!(constant_time_eq(&*key, &expect.key.0));
            }
        }
        Ok(OpenEpoch { header, e, members, chains })
    }

    fn membership(&self, case: &MembershipCase) -> Verdict {
        let mut room = Membership::new(case.cid.clone());
        for link in &case.links {
            let (frame, header) = Self::read(&link.0, Shape::Member)?;
            if !frame.body().is_empty() {
                return Err("body");
            }
            self.signature(&frame, &header)?;
            let (user, sk) = header.signer();
            let identity = self.bundle(user, &sk)?.identity();
            let Header::Member(link) = header else { return Err("header") };
            room.check(&link, identity).map_err(|_| "chain")?;
            self.known_identity(&link)?;
            room.apply(&link, frame.digest(label::MEMBER));
        }
        if let Some(expect) = &case.expect {
            let members: BTreeMap<_, _> =
                room.members().iter().map(|(name, member)| (name.clone(), member.admin)).collect();
            assert_eq!((room.head(), &members), (expect.head, &expect.members));
        }
        Ok(())
    }

    /// `ik` is the identity of some verified bundle of `who`.
    fn known_identity(&self, link: &MemberHeader) -> Verdict {
        let known = |bundle: &Bundle| bundle.header().u == link.who && bundle.identity() == link.ik;
        if self.bundles.iter().any(known) { Ok(()) } else { Err("identity") }
    }
}

fn bundle(case: &BundleCase) -> Verdict {
    let bundle = Bundle::verify(case.bundle.0.clone().into()).map_err(|error| match error {
        BundleError::Frame(chat_protocol::frame::FrameError::BadSignature) => "signature",
        BundleError::Frame(_) => "frame",
        BundleError::Key(_) => "key",
        BundleError::Possession => "possession",
        _ => "field",
    })?;
    if let Some(expect) = &case.expect {
        let got = (&bundle.header().u, bundle.identity(), bundle.digest());
        assert_eq!(got, (&expect.user, expect.identity, expect.digest));
    }
    Ok(())
}

/// Spelled out, because the crate checks possession only inside of a bundle.
fn possession(case: &PossessionCase) -> Verdict {
    let identity = sha256(&case.ik.0);
    let user = sha256(case.user.as_str().as_bytes());
    let signed = [b"chat-e2e/1 pop\0".as_slice(), &identity, &user].concat();
    let key = VerifyingKey::from_spki(&case.sk.0).map_err(|_| "key")?;
    key.verify(&signed, &case.pop.0).map_err(|_| "possession")
}
