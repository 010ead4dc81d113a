//! Reading and writing the parts of a binary message, each with its cap.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Auth, FrameError};
use crate::batch;
use crate::limits::{BATCH_FRAMES_MAX, VERSION};

pub(super) fn put_block(out: &mut BytesMut, block: &[u8]) {
    out.put_u32(u32::try_from(block.len()).unwrap_or(u32::MAX));
    out.put_slice(block);
}

pub(super) fn cap(what: &'static str, got: usize, max: usize) -> Result<(), FrameError> {
    if got > max { Err(FrameError::TooLong { what, got, max }) } else { Ok(()) }
}

/// Reads forward and never past the end.
pub(super) struct Cursor<'a> {
    bytes: &'a Bytes,
    /// How much was read.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// The first byte of every binary message.
    pub(super) fn version(&mut self) -> Result<(), FrameError> {
        let got = self.u8("version")?;
        if got == VERSION { Ok(()) } else { Err(FrameError::Version { got }) }
    }

    pub(super) fn take(
        &mut self,
        what: &'static str,
        length: usize,
    ) -> Result<Range<usize>, FrameError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let range = self.at..end.ok_or(FrameError::Length { what })?;
        self.at = range.end;
        Ok(range)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], FrameError> {
        let range = self.take(what, N)?;
        let part = self.bytes.get(range).and_then(|part| part.as_array::<N>());
        part.copied().ok_or(FrameError::Length { what })
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, FrameError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A part with its length in front of it.
    pub(super) fn block(
        &mut self,
        what: &'static str,
        max: usize,
    ) -> Result<Range<usize>, FrameError> {
        let length = usize::try_from(u32::from_be_bytes(self.array(what)?)).unwrap_or(usize::MAX);
        cap(what, length, max)?;
        self.take(what, length)
    }

    pub(super) fn rest(&mut self) -> Range<usize> {
        let range = self.at..self.bytes.len();
        self.at = range.end;
        range
    }

    /// How a batch is authenticated, which is the rest of the frame.
    pub(super) fn batch(&mut self) -> Result<Auth, FrameError> {
        let count = u16::from_be_bytes(self.array("batch")?);
        let index = u16::from_be_bytes(self.array("batch")?);
        let path_length = usize::from(self.u8("batch")?);
        let fits = (2..=BATCH_FRAMES_MAX).contains(&usize::from(count))
            && index < count
            && path_length == batch::path_length(count, index);
        if !fits {
            return Err(FrameError::Batch);
        }
        let path = self.take("path", path_length * 32)?;
        Ok(Auth::Batch { count, index, path, signature: self.rest() })
    }
}
