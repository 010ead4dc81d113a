//! A listener on a free port with an echo behind it, and raw clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use chat_server::{
    close::CloseReason,
    listener::{self, Admission, AdmissionLimits, Front, Opened},
    tasks::Tasks,
    tls::CertificateFiles,
};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout_at,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// The handshake of the RFC's example.
pub(crate) const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A plain request, the only one of its connection.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// A short frame of a client, its mask all zeros.
pub(crate) fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126, "short frames only");
    [&[head, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) front: Arc<Front>,
    certificate: Option<CertificateFiles>,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
    sessions: Arc<Tasks>,
    listening: JoinHandle<()>,
}

pub(crate) async fn start() -> Running {
    start_with(Duration::from_secs(10), false).await
}

pub(crate) async fn start_with(handshake_time_max: Duration, with_tls: bool) -> Running {
    let limits = AdmissionLimits::default();
    start_changed(with_tls, limits, |front| Front { handshake_time_max, ..front }).await
}

/// A listener whose front is changed before it starts.
pub(crate) async fn start_changed(
    with_tls: bool,
    limits: AdmissionLimits,
    change: impl FnOnce(Front) -> Front,
) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let certificate =
        with_tls.then(|| CertificateFiles::make(folder.path(), &["localhost".to_owned()]).unwrap());
    let tls = certificate.as_ref().map(|files| files.acceptor().unwrap());
    let front = Arc::new(change(Front::new(tls, Admission::new(limits))));
    front.readiness.set_store_ready(true);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (stop, sessions) = (CancellationToken::new(), Arc::new(Tasks::default()));
    let serving = listener::run(tcp, Arc::clone(&front), Arc::clone(&sessions), stop.clone(), echo);
    let listening = tokio::spawn(serving);
    Running { address, front, certificate, _folder: folder, stop, sessions, listening }
}

/// A session whose sign-in is the first message, and which then sends everything back. On
/// `binding` it tells the channel binding of its TLS session.
async fn echo(mut opened: Opened) {
    let mut is_signed_in = false;
    let reason = loop {
        let next = opened.socket.next();
        let next = if is_signed_in {
            next.await
        } else {
            match timeout_at(opened.peer.deadline, next).await {
                Ok(next) => next,
                Err(_) => break Some(CloseReason::Policy("no sign-in".into())),
            }
        };
        let reply = match next {
            Some(Ok(Message::Text(text))) if text.as_str() == "binding" => {
                let binding = opened.peer.tls_exporter.unwrap_or_default();
                Message::Binary(Bytes::copy_from_slice(&binding))
            }
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message,
            Some(Ok(_)) => continue,
            Some(Err(error)) => break CloseReason::for_error(&error),
            None => break None,
        };
        is_signed_in = true;
        opened.permit.signed_in();
        if opened.socket.send(reply).await.is_err() {
            break None;
        }
    };
    if let Some(reason) = reason {
        opened.socket.close(&reason).await;
    }
}

impl Running {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request and reads until the server ends the connection.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // What was answered before a reset still counts.
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8(answer).unwrap()
    }

    /// A WebSocket, after its handshake.
    pub(crate) async fn open(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "refused: {answer:?}");
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
        stream
    }

    pub(crate) async fn connect_tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let files = self.certificate.as_ref().expect("started with TLS");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").unwrap(), self.connect().await)
            .await
            .unwrap()
    }

    /// Waits until the server has let go of every WebSocket.
    pub(crate) async fn until_closed(&self) {
        let closed = async {
            while self.front.metrics.connections.get() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closed).await.expect("still open");
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.listening.await.unwrap();
        self.sessions.wait().await;
    }
}

/// The close code that ends a WebSocket on which `flood` is sent so many times.
pub(crate) async fn close_code(
    running: &Running,
    flood: Vec<u8>,
    times: usize,
    reads: bool,
) -> Option<u16> {
    let (mut read_half, mut write_half) = running.open().await.into_split();
    let flooding = tokio::spawn(async move {
        for _ in 0..times {
            if write_half.write_all(&flood).await.is_err() {
                break;
            }
        }
        // Keeps the half open, or the server would see the end instead of the flood.
        write_half
    });
    let mut received = Vec::new();
    if reads {
        let all = async {
            while read_half.read_buf(&mut received).await.is_ok_and(|length| length > 0) {}
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("not cut");
    }
    drop(flooding.await.unwrap());
    let close = received.windows(2).rposition(|pair| pair[0] == 0x88 && pair[1] >= 2)?;
    let code = received.get(close + 2..close + 4)?;
    Some(u16::from_be_bytes([code[0], code[1]]))
}

/// Memory of this process, the server in it included.
pub(crate) fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
