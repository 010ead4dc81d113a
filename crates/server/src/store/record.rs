//! How the parts of a proposal are written down that are bytes with a form of their own: as text, and read again
//! by the rules of that form.

/// A bundle. Reading it checks its signatures again.
pub(super) mod bundle {
    use std::sync::Arc;

    use chat_protocol::{b64::B64Vec, keys::Bundle};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(in crate::store) fn serialize<S: Serializer>(
        bundle: &Arc<Bundle>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        B64Vec(bundle.bytes().to_vec()).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Bundle>, D::Error> {
        let B64Vec(bytes) = B64Vec::deserialize(deserializer)?;
        Bundle::verify(bytes.into()).map(Arc::new).map_err(D::Error::custom)
    }
}

/// The lines of those who hold a key.
pub(super) mod members {
    use chat_protocol::{b64::B64Vec, members::MemberList};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(in crate::store) fn serialize<S: Serializer>(
        members: &MemberList,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        B64Vec(members.as_bytes().to_vec()).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MemberList, D::Error> {
        let B64Vec(bytes) = B64Vec::deserialize(deserializer)?;
        MemberList::parse(&bytes).map_err(D::Error::custom)
    }
}

/// A frame, as it came.
pub(super) mod frame {
    use bytes::Bytes;
    use chat_protocol::b64::B64Vec;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(in crate::store) fn serialize<S: Serializer>(
        frame: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        B64Vec(frame.to_vec()).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        Ok(B64Vec::deserialize(deserializer)?.0.into())
    }
}

/// Wrapped keys, in the order of their lines.
pub(super) mod frames {
    use bytes::Bytes;
    use chat_protocol::b64::B64Vec;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::store) fn serialize<S: Serializer>(
        frames: &[Bytes],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(frames.iter().map(|frame| B64Vec(frame.to_vec())))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Bytes>, D::Error> {
        let frames = Vec::<B64Vec>::deserialize(deserializer)?;
        Ok(frames.into_iter().map(|B64Vec(frame)| frame.into()).collect())
    }
}

/// A vault, where there is one.
pub(super) mod vault {
    use chat_protocol::b64::B64Vec;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands a field over as it stands")]
    pub(in crate::store) fn serialize<S: Serializer>(
        vault: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        vault.clone().map(B64Vec).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<B64Vec>::deserialize(deserializer)?.map(|B64Vec(vault)| vault))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chat_protocol::{
        id::{Digest, MessageId, Nonce16},
        keys::BundleOptions,
        name::UserName,
    };

    use crate::store::{
        AccountId, Banned, CopyChange, CopyRow, DeviceId, EntryKind, EpochId, LogId, NewAccount,
        NewEntry, NewOrder, Probe, Proposal, Stored,
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
        };
        let (log, digest) = (LogId(1), Digest([8; 32]));
        for proposal in [
            account(),
            entry(),
            Proposal::Copies(CopyChange::Keep(copy)),
            Proposal::Order(Box::new(NewOrder::Ban("192.0.2.0/24".parse::<Banned>().unwrap()))),
            Proposal::Cursors { device: DeviceId(2), positions: vec![(log, 5)] },
            Proposal::Probe(Probe::Link { log, mg: 1, digest }),
        ] {
            let written = serde_json::to_string(&proposal).unwrap();
            let read: Proposal = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), written);
        }
        let stored = Stored::Epoch { log, epoch: EpochId(2), position: 3 };
        let written = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Stored>(&written).unwrap(), stored);
    }

    #[test]
    fn a_bundle_that_was_changed_is_no_record() {
        let written = serde_json::to_string(&account()).unwrap();
        let mut changed: serde_json::Value = serde_json::from_str(&written).unwrap();
        changed["Account"]["bundle"] = "AAAA".into();
        assert!(serde_json::from_value::<Proposal>(changed).is_err());
    }
}
