//! Canonical base64url without padding: bytes have one text and a text has one meaning.
//!
//! Refused are padding, white space, the `+/` alphabet, impossible lengths and a last character
//! whose unused bits are not zero. So texts may be compared instead of the bytes they stand for.

use std::fmt;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{DecodeError, DecodeSliceError, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Why a text is not the base64url of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum B64Error {
    /// The text is not as long as the text of a value of this size.
    #[error("base64url: expected {expected} characters, got {got}")]
    WrongLength {
        /// Characters of every value of this size.
        expected: usize,
        /// Characters found (bytes, if the text is not ASCII).
        got: usize,
    },
    /// No number of whole bytes has a text of this length.
    #[error("base64url: expected a length of 0, 2 or 3 modulo 4, got {got} characters")]
    ImpossibleLength {
        /// Characters found (bytes, if the text is not ASCII).
        got: usize,
    },
    /// A character is outside the alphabet.
    #[error("base64url: expected A-Z, a-z, 0-9, '-' or '_', got byte {got:#04x} at {offset}")]
    Character {
        /// Where it is, in bytes from the start.
        offset: usize,
        /// The byte there.
        got: u8,
    },
    /// The last character carries bits that belong to no byte.
    #[error("base64url: expected zeros in the unused bits of the last character, got {got:#04x}")]
    UnusedBits {
        /// The last character.
        got: u8,
    },
}

/// The text of these bytes.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The text of this array; always of the length that [`decode_array`] asks for.
pub fn encode_array<const N: usize>(bytes: &[u8; N]) -> String {
    encode(bytes)
}

/// The bytes of this text. The caller bounds its length, the result is three quarters of it.
pub fn decode(text: &str) -> Result<Vec<u8>, B64Error> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| refused(text, &error))
}

/// The `N` bytes of this text, without an allocation.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], B64Error> {
    let wrong_length = B64Error::WrongLength { expected: encoded_len(N), got: text.len() };
    if text.len() != encoded_len(N) {
        return Err(wrong_length);
    }
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        Ok(_) | Err(DecodeSliceError::OutputSliceTooSmall) => Err(wrong_length),
        Err(DecodeSliceError::DecodeError(error)) => Err(refused(text, &error)),
    }
}

/// Characters in the text of that many bytes.
pub const fn encoded_len(bytes: usize) -> usize {
    bytes / 3 * 4 + (bytes % 3 * 4).div_ceil(3)
}

fn refused(text: &str, error: &DecodeError) -> B64Error {
    match *error {
        DecodeError::InvalidByte(offset, got) => B64Error::Character { offset, got },
        DecodeError::InvalidLastSymbol { symbol, .. } => B64Error::UnusedBits { got: symbol },
        DecodeError::InvalidLength(_) => B64Error::ImpossibleLength { got: text.len() },
        DecodeError::InvalidPadding => {
            B64Error::Character { offset: text.find('=').unwrap_or(text.len()), got: b'=' }
        }
    }
}

/// An array that is canonical base64url in JSON; for places where `with` does not reach, such as
/// tuples and lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct B64Array<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Debug for B64Array<N> {
    /// The length only: many of these are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }
}

impl<const N: usize> Serialize for B64Array<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        array::serialize(&self.0, serializer)
    }
}

impl<'de, const N: usize> Deserialize<'de> for B64Array<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        array::deserialize(deserializer).map(Self)
    }
}

/// Bytes of any length that are canonical base64url in JSON; see [`B64Array`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct B64Vec(pub Vec<u8>);

impl fmt::Debug for B64Vec {
    /// The length only: a frame would fill a screen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for B64Vec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        vec::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for B64Vec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        vec::deserialize(deserializer).map(Self)
    }
}

/// For `#[serde(with = "b64::array")]` on a field of type `[u8; N]`.
pub mod array {
    use super::{Deserializer, Serializer, Text, decode_array, encode_array};

    /// Writes the text of the array.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_array(bytes))
    }

    /// Reads the text of an array, canonical or refused.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        deserializer.deserialize_str(Text(decode_array::<N>))
    }
}

/// For `#[serde(with = "b64::vec")]` on a field of type `Vec<u8>`.
pub mod vec {
    use super::{Deserializer, Serializer, Text, decode, encode};

    /// Writes the text of the bytes.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    /// Reads the text of bytes, canonical or refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_str(Text(decode))
    }
}

/// Hands the parser's own string to a decoder, without a copy in between.
struct Text<T>(fn(&str) -> Result<T, B64Error>);

impl<T> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of canonical base64url without padding")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_string_survives(bytes: Vec<u8>) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), encoded_len(bytes.len()));
            prop_assert_eq!(decode(&text), Ok(bytes));
        }

        #[test]
        fn every_array_survives(one: [u8; 16], two: [u8; 32], three: [u8; 12]) {
            prop_assert_eq!(decode_array(&encode_array(&one)), Ok(one));
            prop_assert_eq!(decode_array(&encode_array(&two)), Ok(two));
            prop_assert_eq!(decode_array(&encode_array(&three)), Ok(three));
        }

        /// Whatever is accepted is the only text of its bytes.
        #[test]
        fn accepted_text_is_canonical(text in "[-A-Za-z0-9_=+/. \\n\u{e9}]{0,12}|[AEIMQUYcgkosw048]{0,6}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn accepted_array_text_is_canonical(text in "[-A-Za-z0-9_]{21}[-A-Za-z0-9_=]") {
            if let Ok(bytes) = decode_array::<16>(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }

    #[test]
    fn texts_that_are_not_canonical_are_refused() {
        use B64Error::{Character, ImpossibleLength, UnusedBits};

        assert_eq!(decode("AA"), Ok(vec![0]));
        assert_eq!(decode("AB"), Err(UnusedBits { got: b'B' }));
        assert_eq!(decode("AAB"), Err(UnusedBits { got: b'B' }));
        assert_eq!(decode("AA=="), Err(Character { offset: 2, got: b'=' }));
        assert_eq!(decode("AA="), Err(Character { offset: 2, got: b'=' }));
        assert_eq!(decode("A"), Err(ImpossibleLength { got: 1 }));
        assert_eq!(decode("AAAAA"), Err(ImpossibleLength { got: 5 }));
        assert_eq!(decode("AA+A"), Err(Character { offset: 2, got: b'+' }));
        assert_eq!(decode("AAA/"), Err(Character { offset: 3, got: b'/' }));
        assert_eq!(decode("AA A"), Err(Character { offset: 2, got: b' ' }));
        assert_eq!(decode("AAA\n"), Err(Character { offset: 3, got: b'\n' }));
        assert_eq!(decode("AA\u{e9}"), Err(Character { offset: 2, got: 0xc3 }));
    }

    #[test]
    fn array_texts_have_one_length() {
        let text = encode_array(&[7; 32]);
        let wrong = |got| Err(B64Error::WrongLength { expected: 43, got });
        assert_eq!(decode_array::<32>(&text[1..]), wrong(42));
        assert_eq!(decode_array::<32>(&format!("{text}=")), wrong(44));
        assert_eq!(decode_array::<32>(""), wrong(0));
        assert_eq!(decode_array::<0>(""), Ok([]));
    }

    #[test]
    fn serde_refuses_what_decode_refuses() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Hash {
            #[serde(with = "array")]
            sha: [u8; 1],
            #[serde(with = "vec")]
            key: Vec<u8>,
            pairs: Vec<(B64Array<2>, B64Vec)>,
        }
        let hash =
            Hash { sha: [1], key: vec![2; 4], pairs: vec![(B64Array([3, 4]), B64Vec(vec![]))] };
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, r#"{"sha":"AQ","key":"AgICAg","pairs":[["AwQ",""]]}"#);
        assert_eq!(serde_json::from_str::<Hash>(&text).unwrap(), hash);
        for (right, wrong) in
            [("AQ", "AR"), ("AQ", "AQ=="), ("AgICAg", "AgICAh"), ("AwQ", "AwR"), ("\"\"", "\"A\"")]
        {
            let changed = text.replace(right, wrong);
            assert_ne!(changed, text);
            let error = serde_json::from_str::<Hash>(&changed).unwrap_err().to_string();
            assert!(error.contains("base64url"), "{changed}: {error}");
        }
    }
}
