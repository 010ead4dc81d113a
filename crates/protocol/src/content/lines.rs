//! Some lines of an epoch's member list, as bits (rule R15).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::b64;
use crate::limits::EPOCH_DEVICES_MAX;

/// Bit `i % 8`, counted from the lowest, of byte `i / 8` is line `i`. On the wire base64url of the bytes
/// without zeros at their end; no lines are not written at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineSet(Vec<u8>);

/// Longest set in bytes.
const BYTES_MAX: usize = EPOCH_DEVICES_MAX.div_ceil(8);

impl LineSet {
    /// Whether a line is among them.
    pub fn contains(&self, line: usize) -> bool {
        self.0.get(line / 8).is_some_and(|byte| byte & (1 << (line % 8)) != 0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<usize> for LineSet {
    /// Lines that no epoch can have are left out.
    fn from_iter<I: IntoIterator<Item = usize>>(lines: I) -> Self {
        let mut bytes = Vec::new();
        for line in lines.into_iter().filter(|line| *line < EPOCH_DEVICES_MAX) {
            if bytes.len() <= line / 8 {
                bytes.resize(line / 8 + 1, 0);
            }
            if let Some(byte) = bytes.get_mut(line / 8) {
                *byte |= 1 << (line % 8);
            }
        }
        Self(bytes)
    }
}

impl Serialize for LineSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for LineSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > b64::encoded_len(BYTES_MAX) {
            return Err(de::Error::custom("more lines than an epoch has"));
        }
        let bytes = b64::decode(&text).map_err(de::Error::custom)?;
        if bytes.last().is_none_or(|last| *last == 0) {
            return Err(de::Error::custom("lines without a last one"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(lines: &[usize]) -> LineSet {
        lines.iter().copied().collect()
    }

    #[test]
    fn a_set_has_one_text_and_knows_its_lines() {
        for (lines, text) in
            [(&[0][..], "\"AQ\""), (&[1, 8], "\"AgE\""), (&[15], "\"AIA\""), (&[3, 3], "\"CA\"")]
        {
            let set = set(lines);
            assert_eq!(serde_json::to_string(&set).unwrap(), text, "{lines:?}");
            assert_eq!(serde_json::from_str::<LineSet>(text).unwrap(), set);
            assert!((0..64).all(|line| set.contains(line) == lines.contains(&line)), "{lines:?}");
        }
        assert!(set(&[]).is_empty() && !set(&[7]).is_empty());
        assert!(set(&[EPOCH_DEVICES_MAX, usize::MAX]).is_empty());
    }

    #[test]
    fn another_spelling_is_refused() {
        let long = format!("\"{}\"", b64::encode(&[1; BYTES_MAX + 1]));
        for text in ["\"\"", "\"AA\"", "\"AQA\"", "\"AR\"", "null", "[0]", &long] {
            assert!(serde_json::from_str::<LineSet>(text).is_err(), "{text}");
        }
        let longest = set(&[EPOCH_DEVICES_MAX - 1]);
        let text = serde_json::to_string(&longest).unwrap();
        assert_eq!(serde_json::from_str::<LineSet>(&text).unwrap(), longest);
    }
}
