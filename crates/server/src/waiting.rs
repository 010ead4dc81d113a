//! The port of a server that starts: among several it may wait for the others for as long as it takes. Whoever comes
//! meanwhile is told so, instead of waiting in the queue of the system for a greeting that does not come.

use std::{os::fd::AsFd as _, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug_span;

use crate::{
    close::CloseReason,
    http::Readiness,
    listener::{self, Front, Opened},
    tasks::{self, Tasks},
};

/// A start that takes longer is taken for one that waits, whatever it waits for. Until then whoever comes is served when it
/// has started, and waits less than one who was turned away.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether it waits for others.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// How long those who are being told to come again are waited for when the server has started.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_secs(1);

/// What who comes too early is told. Clients go to the next address.
const TOO_EARLY: &str = "the server is starting; it waits for what it shares with other servers";

/// Starts, and answers on the port when it waits for others, or takes long: what `/readyz` and `/metrics` say, and 1013 to
/// whoever wants to sign in. The port stays open whatever comes of it.
pub(crate) async fn meanwhile<T>(
    starting: impl Future<Output = T>,
    listener: &TcpListener,
    front: Arc<Front>,
) -> T {
    let mut starting = pin!(starting);
    tokio::select! {
        started = &mut starting => return started,
        () = waits(&front.readiness) => {}
    }
    let listener = match second(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "nobody is answered while the server starts");
            return starting.await;
        }
    };
    let (told, stop) = (Arc::new(Tasks::default()), CancellationToken::new());
    let run = listener::run(listener, front, Arc::clone(&told), stop.clone(), refuse);
    let answering = tasks::own(debug_span!("starting"), run);
    let started = starting.await;
    stop.cancel();
    // What takes longer is cut: whoever it was comes again.
    timeout(LAST_WORDS_TIME_MAX, answering).await.ok();
    told.end(Instant::now() + LAST_WORDS_TIME_MAX).await;
    started
}

/// Returns when somebody has to be told that it takes longer.
async fn waits(readiness: &Readiness) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && !readiness.waits_for_others() {
        sleep(LOOK_PERIOD).await;
    }
}

/// Another way to the same port: whoever is not accepted here waits for the one who has the first.
fn second(listener: &TcpListener) -> std::io::Result<TcpListener> {
    let descriptor = listener.as_fd().try_clone_to_owned()?;
    TcpListener::from_std(std::net::TcpListener::from(descriptor))
}

async fn refuse(opened: Opened) {
    let Opened { socket, permit, .. } = opened;
    socket.close(&CloseReason::TryLater(TOO_EARLY.into())).await;
    drop(permit);
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::oneshot,
    };
    use tokio_tungstenite::{client_async, tungstenite::Message};

    use super::*;
    use crate::listener::{Admission, AdmissionLimits};

    /// Goal: a server that waits for others answers: what is asked about it, and everybody who wants to come in, who then
    /// goes elsewhere. Before, all of them waited for an answer that did not come.
    #[tokio::test]
    async fn who_comes_while_a_server_waits_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let front = Front::new(None, Admission::new(AdmissionLimits::default()));
        front.readiness.watch_shared(|| Some("n3 may have more: start it".into()));
        let (start, started) = oneshot::channel::<u8>();
        let visiting = tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let (mut socket, _) = client_async(format!("ws://{address}"), stream).await.unwrap();
            let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
                panic!("it is closed with a word")
            };
            let mut stream = TcpStream::connect(address).await.unwrap();
            let asked =
                "GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(asked.as_bytes()).await.unwrap();
            let mut page = String::new();
            stream.read_to_string(&mut page).await.unwrap();
            start.send(7).unwrap();
            (u16::from(frame.code), page)
        });
        assert_eq!(meanwhile(started, &listener, Arc::new(front)).await, Ok(7));
        let (code, page) = visiting.await.unwrap();
        assert_eq!(code, 1013);
        assert!(page.starts_with("HTTP/1.1 503"), "{page}");
        assert!(page.contains("[-] redis: n3 may have more: start it"), "{page}");
        // Whoever comes now waits for the one who serves.
        let late = TcpStream::connect(address).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1, late.local_addr().unwrap());
    }
}
