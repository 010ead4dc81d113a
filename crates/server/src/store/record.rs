//! How the parts of a proposal are written down that are bytes with a form of their own: as these bytes, and
//! read again by the rules of that form.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes as they are.
#[derive(Default)]
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
