//! What waits to be sent on one connection: bounded, and never in the way of whoever pushes.
//!
//! The contract of [`Outbox::push`]:
//! 1. It MUST NOT wait; the worker serves everybody else meanwhile.
//! 2. It MUST NOT reorder, and drops frames only together with the connection.
//! 3. At its bound the consumer is too slow: the connection ends with [`CloseReason::SlowConsumer`].
//!    The client comes back and reads from its cursor, so nothing is lost.
//!
//! A frame for many is serialised once: pushing copies a handle, not the bytes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use thiserror::Error;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::{
    close::CloseReason,
    limits::{
        OUTBOX_BYTES_MAX, OUTBOX_FRAMES_MAX, WRITER_BATCH_BYTES_MAX, WRITER_BATCH_FRAMES_MAX,
    },
};

/// A serialised frame on its way out. A clone shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A JSON message between the hub and a client.
    Text(Utf8Bytes),
    /// A frame between people.
    Binary(Bytes),
}

impl Outgoing {
    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Outgoing> for Message {
    fn from(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Text(text) => Self::Text(text),
            Outgoing::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Overflow {
    /// The bound is reached. This push has closed the connection; count it once, here.
    #[error("outbox full: {frames} frames, {bytes} bytes waiting")]
    Full {
        /// Frames that waited.
        frames: usize,
        /// Bytes that waited.
        bytes: usize,
    },
    /// The connection was ending already.
    #[error("the connection is closed")]
    Closed,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct OutboxLimits {
    /// Frames.
    pub frames_max: usize,
    /// Bytes.
    pub bytes_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { frames_max: OUTBOX_FRAMES_MAX, bytes_max: OUTBOX_BYTES_MAX }
    }
}

/// Slots an idle outbox and its writer's batch keep. Above it the memory of a burst is given back.
const IDLE_SLOTS_MAX: usize = 8;

#[derive(Default)]
struct State {
    frames: VecDeque<Outgoing>,
    bytes: usize,
    ending: Option<CloseReason>,
    is_reader_gone: bool,
    writer: Option<Waker>,
    /// Those who wait for room: the one that reads the store for this connection, and its reader.
    waiting: Vec<Waker>,
}

struct Shared {
    /// Locked for a few instructions and never across an await.
    state: Mutex<State>,
    limits: OutboxLimits,
}

/// The end that the worker pushes to. Clones push to the same connection.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

/// The end of the connection's writer.
pub struct OutboxReceiver(Arc<Shared>);

/// Makes the outbox of one connection.
pub fn bounded(limits: OutboxLimits) -> (Outbox, OutboxReceiver) {
    let shared = Arc::new(Shared { state: Mutex::default(), limits });
    (Outbox(Arc::clone(&shared)), OutboxReceiver(shared))
}

impl Outbox {
    /// Adds a frame behind the others. See the contract above.
    pub fn push(&self, frame: Outgoing) -> Result<(), Overflow> {
        let mut state = self.0.state.lock();
        if state.ending.is_some() || state.is_reader_gone {
            return Err(Overflow::Closed);
        }
        let bytes = state.bytes + frame.len();
        let frames = state.frames.len() + 1;
        // A single frame above the bound is still sent when nothing else waits.
        let is_over = bytes > self.0.limits.bytes_max && frames > 1;
        let result = if is_over || frames > self.0.limits.frames_max {
            let overflow = Overflow::Full { frames: state.frames.len(), bytes: state.bytes };
            let text = format!("slow consumer: {frames} frames, {bytes} bytes waiting");
            state.ending = Some(CloseReason::SlowConsumer(text.into()));
            state.frames = VecDeque::new();
            state.bytes = 0;
            Err(overflow)
        } else {
            state.frames.push_back(frame);
            state.bytes = bytes;
            Ok(())
        };
        let waiting = if result.is_err() { std::mem::take(&mut state.waiting) } else { Vec::new() };
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().chain(waiting).for_each(Waker::wake);
        result
    }

    /// Ends the connection when what waits has been sent. The first reason stays.
    pub fn close(&self, reason: CloseReason) {
        let mut state = self.0.state.lock();
        state.ending.get_or_insert(reason);
        let (writer, waiting) = (state.writer.take(), std::mem::take(&mut state.waiting));
        drop(state);
        writer.into_iter().chain(waiting).for_each(Waker::wake);
    }

    /// Waits until less than half of the bound is used. Who reads the store for this connection waits
    /// here, so that the worker's answers still fit.
    pub async fn wait_for_room(&self) -> Result<(), Overflow> {
        poll_fn(|context| {
            let mut state = self.0.state.lock();
            if state.ending.is_some() || state.is_reader_gone {
                return Poll::Ready(Err(Overflow::Closed));
            }
            let limits = self.0.limits;
            if state.frames.len() <= limits.frames_max / 2 && state.bytes <= limits.bytes_max / 2 {
                return Poll::Ready(Ok(()));
            }
            if !state.waiting.iter().any(|waiting| waiting.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Whether the connection takes nothing more.
    pub fn is_closed(&self) -> bool {
        let state = self.0.state.lock();
        state.ending.is_some() || state.is_reader_gone
    }

    /// Whether both outboxes belong to the same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Frames were put into the batch.
    Frames,
    /// All is sent; say this and go.
    Close(CloseReason),
}

impl OutboxReceiver {
    /// Waits for frames and moves as many as one batch may hold into `batch`. Cancel-safe: nothing
    /// is taken before it returns.
    pub async fn next(&mut self, batch: &mut Vec<Outgoing>) -> Next {
        poll_fn(|context| {
            let mut state = self.0.state.lock();
            if state.frames.is_empty() {
                if let Some(reason) = state.ending.clone() {
                    return Poll::Ready(Next::Close(reason));
                }
                if state.frames.capacity() > IDLE_SLOTS_MAX {
                    state.frames = VecDeque::new();
                }
                if batch.capacity() > IDLE_SLOTS_MAX && batch.is_empty() {
                    *batch = Vec::new();
                }
                if !state.writer.as_ref().is_some_and(|old| old.will_wake(context.waker())) {
                    state.writer = Some(context.waker().clone());
                }
                return Poll::Pending;
            }
            take_batch(&mut state, batch);
            Poll::Ready(Next::Frames)
        })
        .await
    }
}

/// Moves at least one frame, and more while they fit a batch.
fn take_batch(state: &mut State, batch: &mut Vec<Outgoing>) {
    let mut bytes = 0;
    while batch.len() < WRITER_BATCH_FRAMES_MAX
        && let Some(frame) = state
            .frames
            .pop_front_if(|next| bytes == 0 || bytes + next.len() <= WRITER_BATCH_BYTES_MAX)
    {
        bytes += frame.len();
        batch.push(frame);
    }
    state.bytes = state.bytes.saturating_sub(bytes);
    std::mem::take(&mut state.waiting).into_iter().for_each(Waker::wake);
}

impl Drop for OutboxReceiver {
    /// Nobody will send what waits: frees it and refuses what comes.
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_reader_gone = true;
        state.bytes = 0;
        let frames = std::mem::take(&mut state.frames);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(frames);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn binary(length: usize) -> Outgoing {
        Outgoing::Binary(Bytes::from(vec![7; length]))
    }

    fn take(receiver: &mut OutboxReceiver) -> Option<(Next, usize)> {
        let mut batch = Vec::new();
        receiver.next(&mut batch).now_or_never().map(|next| (next, batch.len()))
    }

    #[test]
    fn a_frame_for_many_is_shared_not_copied() {
        let text = Outgoing::Text(Utf8Bytes::from("hello"));
        let (first, mut first_end) = bounded(OutboxLimits::default());
        let (second, mut second_end) = bounded(OutboxLimits::default());
        first.push(text.clone()).unwrap();
        second.push(text.clone()).unwrap();
        let pointers = [&mut first_end, &mut second_end].map(|end| {
            let mut batch = Vec::new();
            assert_eq!(end.next(&mut batch).now_or_never(), Some(Next::Frames));
            match &batch[0] {
                Outgoing::Text(text) => text.as_str().as_ptr(),
                Outgoing::Binary(_) => panic!("became binary"),
            }
        });
        assert_eq!(pointers[0], pointers[1]);
    }

    #[test]
    fn the_bound_of_frames_and_of_bytes_ends_the_connection() {
        for (length, fits) in [(1, 1_024), (1_024, 1_024), (4_096, 256), (600_000, 1)] {
            let (outbox, mut receiver) = bounded(OutboxLimits::default());
            for _ in 0..fits {
                outbox.push(binary(length)).unwrap();
            }
            assert_eq!(
                outbox.push(binary(length)),
                Err(Overflow::Full { frames: fits, bytes: fits * length })
            );
            assert_eq!(outbox.push(binary(1)), Err(Overflow::Closed), "counted once");
            let Some((Next::Close(reason), 0)) = take(&mut receiver) else {
                panic!("frames of {length} bytes: not closed");
            };
            assert_eq!(reason.code(), 1013);
        }
    }

    #[test]
    fn a_batch_is_bounded_and_keeps_the_order() {
        let (outbox, mut receiver) = bounded(OutboxLimits::default());
        for n in 0..300_usize {
            outbox.push(Outgoing::Text(n.to_string().into())).unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 300 {
            let mut batch = Vec::new();
            assert_eq!(receiver.next(&mut batch).now_or_never(), Some(Next::Frames));
            assert!(batch.len() <= WRITER_BATCH_FRAMES_MAX);
            seen.extend(batch);
        }
        let expected: Vec<_> =
            (0..300_usize).map(|n| Outgoing::Text(n.to_string().into())).collect();
        assert_eq!(seen, expected);

        outbox.push(binary(200_000)).unwrap();
        outbox.push(binary(1)).unwrap();
        assert_eq!(take(&mut receiver), Some((Next::Frames, 1)), "one large frame alone");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_goes_on_at_half_and_is_woken_by_the_end() {
        let limits = OutboxLimits { frames_max: 4, bytes_max: 100 };
        let (outbox, mut receiver) = bounded(limits);
        (0..2).for_each(|_| outbox.push(binary(1)).unwrap());
        assert_eq!(outbox.wait_for_room().now_or_never(), Some(Ok(())));
        outbox.push(binary(1)).unwrap();
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { (outbox.wait_for_room().await, outbox) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        take(&mut receiver);
        assert_eq!(waiting.await.unwrap().0, Ok(()));
        outbox.push(binary(60)).unwrap();
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.wait_for_room().await }
        });
        tokio::task::yield_now().await;
        outbox.close(CloseReason::Restart);
        assert_eq!(waiting.await.unwrap(), Err(Overflow::Closed));
    }

    #[test]
    fn closing_sends_what_waits_first_and_keeps_the_first_reason() {
        let (outbox, mut receiver) = bounded(OutboxLimits::default());
        outbox.push(binary(1)).unwrap();
        outbox.close(CloseReason::Restart);
        outbox.close(CloseReason::Internal);
        assert_eq!(outbox.push(binary(1)), Err(Overflow::Closed));
        assert_eq!(take(&mut receiver), Some((Next::Frames, 1)));
        assert_eq!(take(&mut receiver), Some((Next::Close(CloseReason::Restart), 0)));
    }

    #[test]
    fn an_idle_outbox_gives_the_memory_of_a_burst_back() {
        let (outbox, mut receiver) = bounded(OutboxLimits::default());
        for _ in 0..1_000 {
            outbox.push(binary(1)).unwrap();
        }
        while take(&mut receiver).is_some() {}
        assert!(outbox.0.state.lock().frames.capacity() <= IDLE_SLOTS_MAX);
    }

    #[test]
    fn a_gone_writer_refuses_frames() {
        let (outbox, receiver) = bounded(OutboxLimits::default());
        outbox.push(binary(1)).unwrap();
        drop(receiver);
        assert_eq!(outbox.push(binary(1)), Err(Overflow::Closed));
        assert!(outbox.0.state.lock().frames.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_writer_is_woken_by_a_frame_and_by_the_end() {
        let (outbox, mut receiver) = bounded(OutboxLimits::default());
        let writer = tokio::spawn(async move {
            let mut batch = Vec::new();
            let first = receiver.next(&mut batch).await;
            (first, receiver.next(&mut batch).await, batch.len())
        });
        tokio::task::yield_now().await;
        outbox.push(binary(1)).unwrap();
        tokio::task::yield_now().await;
        outbox.close(CloseReason::Done);
        assert_eq!(writer.await.unwrap(), (Next::Frames, Next::Close(CloseReason::Done), 1));
    }
}
