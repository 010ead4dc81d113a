//! Bytes in and out: plain or under TLS, and the meter that counts what comes in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::Pulse;
use crate::limits::{SILENT_BYTES_MAX, SILENT_READS_MAX};

/// A TCP connection, plain or under TLS. An enum rather than a boxed trait: a plain read costs one
/// comparison, and everything above has one type. TLS state is 1 kB, so only that is boxed.
#[derive(Debug)]
pub enum Transport {
    /// As it came.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

/// A transport that counts what comes in since the last complete message, and fails above the
/// bound. Empty fragments (six bytes each) and fragments of one byte are cut this way.
#[derive(Debug)]
pub(super) struct Metered {
    transport: Transport,
    bytes: u64,
    reads: u64,
    pulse: Pulse,
}

/// Longest head of a frame from a client: two bytes, eight of length, four of mask.
const FRAME_HEAD_BYTES_MAX: u64 = 14;

impl Metered {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, bytes: 0, reads: 0, pulse: Pulse::default() }
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// A message is complete: everything counted so far was for it.
    pub(super) fn settle_all(&mut self) {
        self.bytes = 0;
        self.reads = 0;
    }

    /// A ping or pong of that many bytes has arrived. It pays for itself and for nothing else, or a
    /// ping now and then would hide a flood of fragments.
    pub(super) fn settle_control(&mut self, payload_bytes: usize) {
        let paid = u64::try_from(payload_bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_sub(paid.saturating_add(FRAME_HEAD_BYTES_MAX));
        self.reads = self.reads.saturating_sub(1);
    }

    /// Ends our half and throws away what still comes, until the peer is done or `bytes_max`.
    pub(super) async fn discard(&mut self, bytes_max: usize) -> io::Result<()> {
        self.transport.shutdown().await?;
        let mut rest = (&mut self.transport).take(u64::try_from(bytes_max).unwrap_or(u64::MAX));
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        Ok(())
    }

    /// Books one read.
    pub(super) fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.pulse.beat();
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.reads += 1;
        if self.bytes > SILENT_BYTES_MAX || self.reads > SILENT_READS_MAX {
            let text =
                format!("{} bytes in {} pieces without a complete message", self.bytes, self.reads);
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        Ok(())
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(context, buffer))?;
        Poll::Ready(self.count(buffer.filled().len().saturating_sub(before)))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}
