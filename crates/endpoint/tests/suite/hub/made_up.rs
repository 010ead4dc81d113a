//! What a hub makes up in somebody's name.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use bytes::Bytes;
use chat_protocol::crypto::{self, WrapKey};
use chat_protocol::epoch::{self, EpochParameters};
use chat_protocol::frame::sign_all;
use chat_protocol::id::Nonce16;
use chat_protocol::keys::BundleOptions;
use chat_protocol::members::MemberList;
use chat_protocol::name::ConversationId;
use chat_testkit::keys::keys;

use super::{TestHub, name};

impl TestHub {
    /// A KEY of a conversation in somebody's name, by a signing key that nobody has published.
    pub(crate) fn made_up_key(&self, cid: &ConversationId, text: &str) -> Bytes {
        let options = BundleOptions::default();
        let bundle =
            keys(2).publish(&name(text), Nonce16([8; 16]), None, self.now, options).unwrap();
        let list = MemberList::new([bundle.member_line().unwrap()]);
        let parameters = EpochParameters {
            cid: cid.clone(),
            from: name(text),
            sk: keys(2).signing_id(),
            previous: self.epochs.get(cid).map(|(head, _)| *head),
            place: self.rooms[cid].0.place(),
            left_out: Vec::new(),
            ts: self.now,
        };
        let wrap_key = WrapKey::from_spki(&bundle.header().ek[0].spki).unwrap();
        let (key, eid) = (zeroize::Zeroizing::new(crypto::random()), Nonce16(crypto::random()));
        let new = epoch::create(parameters, &list, &[wrap_key], &key, eid).unwrap();
        sign_all(&keys(2).signing, &[new.frame]).remove(0)
    }
}
