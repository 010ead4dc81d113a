//! Identifiers: of messages, of keys, and digests.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::b64;

/// Deserialises a checked value straight from a string, without a copy of the string.
pub(crate) fn from_text<'de, D, T, E, F>(deserializer: D, parse: F) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: fmt::Display,
    F: Fn(&str) -> Result<T, E>,
{
    struct Text<F>(F);
    impl<T, E: fmt::Display, F: Fn(&str) -> Result<T, E>> serde::de::Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<Error: serde::de::Error>(self, text: &str) -> Result<T, Error> {
            (self.0)(text).map_err(Error::custom)
        }
    }
    deserializer.deserialize_str(Text(parse))
}

/// Gives a fixed-size byte newtype its base64url text traits.
macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $type:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub [u8; $length]);

        impl $type {
            /// Reads the canonical base64url form.
            pub fn parse(text: &str) -> Result<Self, b64::B64Error> {
                b64::decode_array::<$length>(text).map(Self)
            }

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&b64::encode(&self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&b64::encode(&self.0))
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&b64::encode(&self.0))
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer, Self::parse)
            }
        }
    };
}

bytes_newtype!(
    /// The id of a message, chosen by its sender: 16 opaque bytes, written as a `UUIDv7` (RFC 9562)
    /// so that ids sort by time. Unique per sender and conversation, and kept by every resend.
    MessageId,
    16
);
bytes_newtype!(
    /// The id of a public key (`kid`): the first 16 bytes of the SHA-256 of its SPKI DER.
    KeyId,
    16
);
bytes_newtype!(
    /// A SHA-256 digest: of a frame's to-be-signed string, of an epoch's KEY header, of a list.
    Digest,
    32
);
bytes_newtype!(
    /// Sixteen random bytes that mean nothing but themselves (an epoch's `eid`, an agent's `rb`).
    Nonce16,
    16
);

impl Digest {
    /// Thirty-two zero bytes: "there is nothing before this".
    pub const ZERO: Self = Self([0; 32]);
}

impl MessageId {
    /// An id from the time and ten random bytes, in the layout of `UUIDv7` (RFC 9562, 5.7).
    ///
    /// `now_ms` is Unix time in milliseconds.
    pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
        let [_, _, t0, t1, t2, t3, t4, t5] = now_ms.to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        let version = 0x70 | (r0 & 0x0f);
        let variant = 0x80 | (r2 & 0x3f);
        Self([t0, t1, t2, t3, t4, t5, version, r1, variant, r3, r4, r5, r6, r7, r8, r9])
    }

    /// When its maker says to have made it, Unix time in milliseconds.
    pub fn made_ms(&self) -> u64 {
        let time = self.0.iter().take(6);
        time.fold(0, |ms, byte| (ms << 8) | u64::from(*byte))
    }
}

impl KeyId {
    /// In groups that can be read out: eight of four hexadecimal digits.
    pub fn in_groups(&self) -> String {
        let mut groups = String::new();
        for (number, byte) in self.0.iter().enumerate() {
            let gap = if number > 0 && number % 2 == 0 { " " } else { "" };
            write!(groups, "{gap}{byte:02x}").expect("writing to a String cannot fail");
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_survive_text() {
        let early = MessageId::new(1_700_000_000_000, [0xff; 10]);
        let late = MessageId::new(1_700_000_000_001, [0; 10]);
        assert!(early < late);
        assert_eq!(MessageId::parse(&early.to_string()), Ok(early));
        assert_eq!(early.0[6] >> 4, 7, "version nibble");
        assert_eq!(early.0[8] >> 6, 0b10, "variant bits");
    }

    #[test]
    fn key_ids_come_in_groups() {
        let mut bytes = [0xab; 16];
        bytes[0] = 1;
        assert!(KeyId(bytes).in_groups().starts_with("01ab abab "));
        assert_eq!(KeyId(bytes).in_groups().len(), 39);
    }
}
