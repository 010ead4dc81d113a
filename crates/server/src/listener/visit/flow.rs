//! Whether the peer takes what is written to it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use crate::socket::Transport;

/// Says whether a write waits for the peer. hyper reads the next request of a connection while the
/// answer to the last still waits, and bounds bodies but not heads: somebody who only sends requests
/// would fill memory with heads of answers.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    is_blocked: AtomicBool,
    freed: Notify,
}

impl Flow {
    fn set_blocked(&self, is_blocked: bool) {
        let was_blocked = self.is_blocked.swap(is_blocked, Ordering::AcqRel);
        if was_blocked && !is_blocked {
            self.freed.notify_one();
        }
    }

    /// Waits until no write waits.
    pub(super) async fn unblocked(&self) {
        while self.is_blocked.load(Ordering::Acquire) {
            // `notify_one` keeps its word for who comes late.
            self.freed.notified().await;
        }
    }
}

/// A transport that tells a [`Flow`].
#[derive(Debug)]
pub(crate) struct Watched {
    transport: Transport,
    flow: Arc<Flow>,
}

impl Watched {
    pub(in crate::listener) fn new(transport: Transport, flow: Arc<Flow>) -> Self {
        Self { transport, flow }
    }

    pub(in crate::listener) fn into_inner(self) -> Transport {
        self.transport
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write(context, bytes);
        self.flow.set_blocked(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}
