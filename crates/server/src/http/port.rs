//! `/metrics` on a port of its own, and health there as well (`--metrics-bind`): plain HTTP for whoever collects
//! figures, and nothing else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Readiness, respond};
use crate::{
    limits::{ACCEPT_PAUSE, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_FIELDS_MAX},
    metrics::Metrics,
    tasks::Tasks,
};

/// Collectors at once: two of them, a person, and probes.
const CONNECTIONS_MAX: usize = 16;

/// How long a connection may last: a collector comes again.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Answers until it is dropped.
pub async fn run(listener: TcpListener, readiness: Arc<Readiness>, metrics: Arc<Metrics>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // They go with this function: a collector that is cut comes again.
    let connections = Tasks::default();
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the port of --metrics-bind does not accept");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (readiness, metrics) = (Arc::clone(&readiness), Arc::clone(&metrics));
        connections.spawn(tracing::debug_span!("collector"), async move {
            // Whoever is too slow is cut; that is no fault of ours.
            timeout(TIME_MAX, answer(stream, &readiness, &metrics)).await.ok();
            drop(seat);
        });
    }
}

async fn answer(stream: TcpStream, readiness: &Readiness, metrics: &Metrics) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, _body) = request.into_parts();
        let answer = respond(head, true, readiness, Some(metrics), None).await;
        Ok::<_, Infallible>(answer)
    });
    let connection = http1::Builder::new()
        // Without a timer the time limit for heads is silently off.
        .timer(TokioTimer::new())
        .header_read_timeout(TIME_MAX)
        .max_headers(HTTP_HEAD_FIELDS_MAX)
        .max_header_size(HTTP_HEAD_BYTES_MAX)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a collector went away");
    }
}
