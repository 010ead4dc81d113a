//! The beginning of a command's output, kept so that a repeated question gets it again.

use crate::limits::{KEPT_OUTPUT_BYTES_MAX, OUTPUT_CHUNK_BYTES};
use crate::report::{Report, Stream};

/// The first [`KEPT_OUTPUT_BYTES_MAX`] bytes of a command's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    chunks: Vec<(Stream, Vec<u8>)>,
    pub(super) bytes: usize,
    pub(super) lost: u64,
}

impl Kept {
    /// Keeps what fits and counts the rest.
    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        // Once something was lost nothing later is kept: a hole in the middle would be a lie.
        let room =
            if self.lost == 0 { KEPT_OUTPUT_BYTES_MAX.saturating_sub(self.bytes) } else { 0 };
        let (fits, rest) = bytes.split_at(room.min(bytes.len()));
        self.bytes += fits.len();
        self.lost += u64::try_from(rest.len()).unwrap_or(u64::MAX);
        match self.chunks.last_mut() {
            _ if fits.is_empty() => {}
            Some((last, chunk)) if *last == stream => chunk.extend_from_slice(fits),
            _ => self.chunks.push((stream, fits.to_vec())),
        }
    }

    /// Nothing of so many bytes.
    pub(super) fn nothing_of(lost: u64) -> Self {
        Self { lost, ..Self::default() }
    }

    /// The reports that repeat it.
    pub(crate) fn into_reports(self) -> Vec<Report> {
        let pieces = self.chunks.into_iter().flat_map(|(stream, chunk)| {
            let pieces: Vec<_> = chunk.chunks(OUTPUT_CHUNK_BYTES).map(<[u8]>::to_vec).collect();
            pieces.into_iter().map(move |bytes| Report::Output { stream, bytes })
        });
        let mut reports: Vec<_> = pieces.collect();
        if self.lost > 0 {
            reports.push(Report::OutputNotKept { bytes: self.lost });
        }
        reports
    }

    /// `u8 stream | u32 length | bytes`, repeated.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(self.bytes + 5 * self.chunks.len());
        for (stream, chunk) in &self.chunks {
            blob.push(u8::from(*stream == Stream::Stderr));
            let length =
                u32::try_from(chunk.len()).expect("a chunk is at most KEPT_OUTPUT_BYTES_MAX");
            blob.extend_from_slice(&length.to_be_bytes());
            blob.extend_from_slice(chunk);
        }
        blob
    }

    /// Reads what [`encode`](Self::encode) wrote; a torn end is left out.
    pub(super) fn decode(mut blob: &[u8], lost: u64) -> Self {
        let mut kept = Self::default();
        while let Some((&[stream, a, b, c, d], rest)) = blob.split_first_chunk::<5>() {
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            let Some((chunk, rest)) = rest.split_at_checked(length) else { break };
            kept.push(if stream == 0 { Stream::Stdout } else { Stream::Stderr }, chunk);
            blob = rest;
        }
        kept.lost += lost;
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: kept output is a prefix of the whole, and what is missing is counted.
    #[test]
    fn kept_output_is_a_prefix() {
        let mut kept = Kept::default();
        kept.push(Stream::Stdout, &vec![b'a'; KEPT_OUTPUT_BYTES_MAX - 1]);
        kept.push(Stream::Stderr, b"bc");
        kept.push(Stream::Stdout, b"d");
        let again = Kept::decode(&kept.encode(), kept.lost);
        assert_eq!(again, kept);
        let reports = again.into_reports();
        let (last, output) = reports.split_last().expect("reports");
        assert_eq!(*last, Report::OutputNotKept { bytes: 2 });
        let bytes: usize = output
            .iter()
            .map(|report| if let Report::Output { bytes, .. } = report { bytes.len() } else { 0 })
            .sum();
        assert_eq!(bytes, KEPT_OUTPUT_BYTES_MAX);
        assert_eq!(Kept::decode(&[0, 0, 0, 0, 9, 1], 0), Kept::default(), "a torn end");
    }
}
