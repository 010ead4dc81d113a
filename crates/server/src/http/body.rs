//! The body of an answer: bytes that are there, or a file that is read block by block as the client
//! takes it.
//!
//! The next block is read when the one before has left for the socket, so a client that does not
//! read holds one block here and one in the connection, however long the file is.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{deadline::Deadline, record::Record};
use crate::limits::HTTP_BLOCK_BYTES;

/// What is sent behind the head.
#[derive(Default)]
pub struct AnswerBody {
    ready: Bytes,
    rest: Option<Rest>,
    /// Told of each block that is taken.
    deadline: Option<Arc<Deadline>>,
    /// Written when the body is gone: sent, or cut.
    record: Option<Record>,
}

impl AnswerBody {
    /// Bytes, and what follows them in a file.
    pub(super) fn new(ready: impl Into<Bytes>, rest: Option<Rest>) -> Self {
        Self { ready: ready.into(), rest, deadline: None, record: None }
    }

    /// Tells about the body's way: a deadline to move with each block, and the record of the request.
    pub(crate) fn follow(&mut self, deadline: Option<Arc<Deadline>>, mut record: Record) {
        record.expect(self.left());
        self.deadline = deadline;
        self.record = Some(record);
    }

    fn left(&self) -> u64 {
        let ready = u64::try_from(self.ready.len()).unwrap_or(u64::MAX);
        ready + self.rest.as_ref().map_or(0, |rest| rest.left)
    }

    /// Tells of a block that is taken.
    fn hand_out(&mut self, block: Bytes) -> Frame<Bytes> {
        if let Some(deadline) = &self.deadline {
            deadline.extend();
        }
        if let Some(record) = &mut self.record {
            record.sent(block.len());
        }
        Frame::data(block)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.ready.is_empty() {
            let block = std::mem::take(&mut self.ready);
            return Poll::Ready(Some(Ok(self.hand_out(block))));
        }
        let Some(rest) = self.rest.as_mut().filter(|rest| rest.left > 0) else {
            return Poll::Ready(None);
        };
        let block = ready!(rest.poll_block(context));
        Poll::Ready(Some(block.map(|block| self.hand_out(block))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// What is left of a file.
pub(super) struct Rest {
    file: Arc<File>,
    offset: u64,
    left: u64,
    reads: Arc<Semaphore>,
    reading: Option<Reading>,
    /// The right to keep a file open.
    _download: OwnedSemaphorePermit,
}

impl Rest {
    /// `left` bytes from `offset` on, read by a thread that `reads` lets in.
    pub(super) fn new(
        file: File,
        offset: u64,
        left: u64,
        reads: Arc<Semaphore>,
        download: OwnedSemaphorePermit,
    ) -> Self {
        Self { file: Arc::new(file), offset, left, reads, reading: None, _download: download }
    }

    fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let reading = self.reading.get_or_insert_with(|| {
            let (file, offset, left) = (Arc::clone(&self.file), self.offset, self.left);
            let reads = Arc::clone(&self.reads);
            Box::pin(async move {
                let turn = reads.acquire_owned().await.map_err(io::Error::other)?;
                let read = move || {
                    let _turn = turn;
                    read_block(&file, offset, left)
                };
                tokio::task::spawn_blocking(read).await?
            })
        });
        let block = ready!(reading.as_mut().poll(context));
        self.reading = None;
        let block = block?;
        let length = u64::try_from(block.len()).unwrap_or(u64::MAX);
        self.offset = self.offset.saturating_add(length);
        self.left = self.left.saturating_sub(length);
        Poll::Ready(Ok(block))
    }
}

/// Reads up to a block, at least one byte of the `left` that are expected. Fewer may come only at
/// the end of a file that has been cut since its length was said.
pub(super) fn read_block(file: &File, offset: u64, left: u64) -> io::Result<Bytes> {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(HTTP_BLOCK_BYTES);
    let mut block = vec![0; length];
    let mut filled = 0;
    while let Some(free) = block.get_mut(filled..).filter(|free| !free.is_empty()) {
        let position = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        match file.read_at(free, position) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled == 0 && length > 0 {
        return Err(shorter());
    }
    block.truncate(filled);
    Ok(block.into())
}

/// The file has been cut since its length was said.
pub(super) fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
}
