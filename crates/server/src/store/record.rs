//! How the parts of a proposal are written down that are bytes with a form of their own: as these bytes, and
//! read again by the rules of that form.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes as they are.
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Bytes).map(Self)
    }
}

struct Bytes;

impl de::Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// A bundle. Reading it checks its signatures again.
pub(super) mod bundle {
    use std::sync::Arc;

    use chat_protocol::keys::Bundle;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Blob;

    pub(in crate::store) fn serialize<S: Serializer>(
        bundle: &Arc<Bundle>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bundle.bytes())
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Bundle>, D::Error> {
        let Blob(bytes) = Blob::deserialize(deserializer)?;
        Bundle::verify(bytes.into()).map(Arc::new).map_err(D::Error::custom)
    }
}

/// The lines of those who hold a key.
pub(super) mod members {
    use chat_protocol::members::MemberList;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Blob;

    pub(in crate::store) fn serialize<S: Serializer>(
        members: &MemberList,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(members.as_bytes())
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MemberList, D::Error> {
        let Blob(bytes) = Blob::deserialize(deserializer)?;
        MemberList::parse(&bytes).map_err(D::Error::custom)
    }
}

/// A frame as it came, or a vault.
pub(super) mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Blob;

    pub(in crate::store) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(in crate::store) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        Ok(Blob::deserialize(deserializer)?.0.into())
    }
}

/// Wrapped keys, in the order of their lines.
pub(super) mod frames {
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Blob;

    pub(in crate::store) fn serialize<S: Serializer>(
        frames: &[Bytes],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(frames.iter().map(|frame| Blob(frame.to_vec())))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Bytes>, D::Error> {
        let frames = Vec::<Blob>::deserialize(deserializer)?;
        Ok(frames.into_iter().map(|Blob(frame)| frame.into()).collect())
    }
}

/// A vault, where there is one.
pub(super) mod vault {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Blob;

    #[expect(clippy::ref_option, reason = "serde hands a field over as it stands")]
    pub(in crate::store) fn serialize<S: Serializer>(
        vault: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        vault.clone().map(Blob).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Blob>::deserialize(deserializer)?.map(|Blob(vault)| vault))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chat_protocol::{
        handshake::Purpose,
        id::{Digest, MessageId, Nonce16},
        keys::BundleOptions,
        name::UserName,
    };

    use crate::{
        connection::ConnectionId,
        store::{
            AccountId, Banned, CopyChange, CopyRow, DeviceId, EntryKind, EpochId, Incarnation,
            LogId, NewAccount, NewEntry, NewOrder, NewSession, Probe, Proposal, SessionPlace,
        },
    };

    fn account() -> Proposal {
        let name = UserName::new("alice").unwrap();
        let keys = chat_testkit::keys::keys(0);
        let options = BundleOptions::default();
        let bundle = keys.publish(&name, Nonce16([3; 16]), None, 5, options).unwrap();
        Proposal::Account(Box::new(NewAccount {
            name,
            bundle: Arc::new(bundle),
            password: Some("$argon2id$".to_owned()),
            vault: Some(vec![1, 2, 255]),
            invite: Some(Digest([9; 32])),
        }))
    }

    fn entry() -> Proposal {
        Proposal::Entry(Box::new(NewEntry {
            log: LogId(-3),
            sender: AccountId(3),
            id: MessageId([1; 16]),
            digest: Digest([2; 32]),
            kind: EntryKind::Receipt,
            epoch: Some(EpochId(7)),
            line: 1,
            n: u32::MAX,
            hub_ms: 1_790_000_000_000,
            frame: vec![0, 255, 10].into(),
        }))
    }

    fn session() -> NewSession {
        let place = SessionPlace { hub: Incarnation::ALONE, connection: ConnectionId(3) };
        let (account, device, purpose) = (AccountId(1), DeviceId(2), Purpose::Agent);
        NewSession { place, account, device, purpose, is_open: true, replaces: Some(place) }
    }

    fn written(proposal: &Proposal) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(proposal, &mut bytes).unwrap();
        bytes
    }

    /// Goal: what is written down is read as the same. Method: of what is read the same is written.
    #[test]
    fn a_record_is_read_as_it_was_written() {
        let copy = CopyRow {
            account: AccountId(1),
            owner: UserName::new("bob").unwrap(),
            tid: Nonce16([4; 16]),
            chunks: 2,
            size: 3,
            until: 4,
            node: 5,
        };
        let (log, digest) = (LogId(1), Digest([8; 32]));
        for proposal in [
            account(),
            entry(),
            Proposal::Copies(CopyChange::Keep(copy)),
            Proposal::Order(Box::new(NewOrder::Ban("192.0.2.0/24".parse::<Banned>().unwrap()))),
            Proposal::Cursors {
                account: AccountId(1),
                device: DeviceId(2),
                positions: vec![(log, 5)],
            },
            Proposal::Session(session()),
            Proposal::Probe(Probe::Link { log, mg: 1, digest }),
        ] {
            let bytes = written(&proposal);
            let read: Proposal = ciborium::from_reader(&bytes[..]).unwrap();
            assert_eq!(written(&read), bytes);
        }
    }

    #[test]
    fn a_bundle_that_was_changed_is_no_record() {
        let mut changed = written(&account());
        let key = b"bundle";
        let at = changed.windows(key.len()).position(|window| window == key).unwrap() + 40;
        changed[at] ^= 1;
        assert!(ciborium::from_reader::<Proposal, _>(&changed[..]).is_err());
    }
}
