//! Which chunks are there, and which are missing.

use chat_protocol::limits::FILE_PARTS_MAX;

use crate::limits::HOLDERS_MAX;

/// Half-open ranges of chunks, apart and in growing order.
pub type Ranges = Vec<(u32, u32)>;

/// One bit for each chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bitmap {
    bits: Vec<u8>,
    chunks: u32,
    count: u32,
}

impl Bitmap {
    pub(super) fn new(chunks: u32) -> Self {
        Self { bits: vec![0; length(chunks)], chunks, count: 0 }
    }

    /// Takes the bytes of a bitmap; `None` if they are of another length or have bits behind its end.
    pub(super) fn from_bytes(chunks: u32, bytes: &[u8]) -> Option<Self> {
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        let bitmap = Self { bits: bytes.to_vec(), chunks, count };
        let inside = (0..chunks).filter(|index| bitmap.has(*index)).count();
        let fits = bytes.len() == length(chunks) && u32::try_from(inside) == Ok(count);
        fits.then_some(bitmap)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn has(&self, index: u32) -> bool {
        let (byte, bit) = place(index);
        index < self.chunks && self.bits.get(byte).is_some_and(|byte| byte & bit != 0)
    }

    pub(super) fn set(&mut self, index: u32) {
        let (byte, bit) = place(index);
        if index >= self.chunks || self.has(index) {
            return;
        }
        if let Some(byte) = self.bits.get_mut(byte) {
            *byte |= bit;
            self.count += 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.bits.fill(0);
        self.count = 0;
    }

    /// Every run of missing chunks.
    fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let from = (next..self.chunks).find(|index| !self.has(*index))?;
            let to = (from..self.chunks).find(|index| self.has(*index)).unwrap_or(self.chunks);
            next = to;
            Some((from, to))
        })
    }

    pub(super) fn missing(&self) -> Ranges {
        self.runs().take(FILE_PARTS_MAX).collect()
    }

    pub(super) fn split(&self, holders: usize) -> Vec<Ranges> {
        let holders = u32::try_from(holders.clamp(1, HOLDERS_MAX)).unwrap_or(1);
        let missing = self.chunks - self.count;
        let each = missing.div_ceil(holders);
        let mut shares: Vec<Ranges> = Vec::new();
        let mut room = 0;
        for (mut from, to) in self.runs() {
            while from < to {
                if room == 0 {
                    shares.push(Vec::new());
                    room = each;
                }
                let end = to.min(from + room);
                let share = shares.last_mut().filter(|share| share.len() < FILE_PARTS_MAX);
                if let Some(share) = share {
                    share.push((from, end));
                }
                room -= end - from;
                from = end;
            }
        }
        shares
    }
}

fn length(chunks: u32) -> usize {
    usize::try_from(chunks.div_ceil(8)).unwrap_or(usize::MAX)
}

fn place(index: u32) -> (usize, u8) {
    (usize::try_from(index / 8).unwrap_or(usize::MAX), 1 << (index % 8))
}

#[cfg(test)]
mod tests {
    use chat_protocol::content::files::are_parts;
    use proptest::prelude::*;

    use super::*;

    fn with(chunks: u32, have: &[u32]) -> Bitmap {
        let mut bitmap = Bitmap::new(chunks);
        for index in have {
            bitmap.set(*index);
        }
        bitmap
    }

    #[test]
    fn missing_chunks_are_ranges() {
        assert_eq!(with(1, &[]).missing(), [(0, 1)]);
        assert_eq!(with(1, &[0]).missing(), []);
        assert_eq!(with(20, &[0, 7, 8, 19]).missing(), [(1, 7), (9, 19)]);
        assert_eq!(with(9, &[9, 100]).count(), 0, "behind the end");
        let odd: Vec<_> = (0..200).map(|n| 2 * n).collect();
        assert_eq!(with(400, &odd).missing().len(), FILE_PARTS_MAX);
        assert_eq!(with(10, &[4]).split(3), [vec![(0, 3)], vec![(3, 4), (5, 7)], vec![(7, 10)]]);
        assert_eq!(with(2, &[]).split(5).len(), 2);
        assert_eq!(with(2, &[0, 1]).split(5).len(), 0);
    }

    #[test]
    fn bytes_of_another_bitmap_are_refused() {
        let bitmap = with(11, &[0, 10]);
        assert_eq!(Bitmap::from_bytes(11, bitmap.as_bytes()), Some(bitmap.clone()));
        assert_eq!(Bitmap::from_bytes(10, bitmap.as_bytes()), None, "a bit behind the end");
        assert_eq!(Bitmap::from_bytes(17, bitmap.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn shares_cover_what_is_missing_once(
            chunks in 1..60u32,
            have in prop::collection::vec(0..60u32, 0..60),
            holders in 0..20usize,
        ) {
            let bitmap = with(chunks, &have);
            let shares = bitmap.split(holders);
            prop_assert!(shares.len() <= holders.max(1));
            let mut covered = bitmap.clone();
            for share in &shares {
                prop_assert!(!share.is_empty() && are_parts(share));
                for index in share.iter().flat_map(|(from, to)| *from..*to) {
                    prop_assert!(!covered.has(index));
                    covered.set(index);
                }
            }
            prop_assert_eq!(covered.count(), chunks);
            prop_assert!(are_parts(&bitmap.missing()));
        }
    }
}
