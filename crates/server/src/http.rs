//! What the port says to plain HTTP: health, metrics, and a page that nothing is here.
//!
//! | path       | answer                                                        |
//! |------------|---------------------------------------------------------------|
//! | `/livez`   | 200 while the process serves requests                         |
//! | `/readyz`  | 200, or 503 with the reason while starting or draining        |
//! | `/metrics` | OpenMetrics text                                              |
//! | others     | 404                                                           |

mod pages;

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    http::request,
};

use crate::{metrics::Metrics, upgrade};

/// A complete answer; hyper leaves the body out for `HEAD`.
pub type Answer = Response<Full<Bytes>>;

/// Whether the hub can take work, as `/readyz` tells it.
#[derive(Debug, Default)]
pub struct Readiness {
    is_store_ready: AtomicBool,
    is_draining: AtomicBool,
}

impl Readiness {
    /// The store can be written (or, after a failure, cannot any more).
    pub fn set_store_ready(&self, is_ready: bool) {
        self.is_store_ready.store(is_ready, Ordering::Release);
    }

    /// The hub is stopping. There is no way back.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Whether the hub is stopping.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// What keeps the hub from taking work, `None` when nothing does.
    pub fn obstacle(&self) -> Option<&'static str> {
        if self.is_draining() {
            Some("draining")
        } else if self.is_store_ready.load(Ordering::Acquire) {
            None
        } else {
            Some("store not ready")
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers everything that is not a WebSocket.
pub fn respond(head: &request::Parts, readiness: &Readiness, metrics: &Metrics) -> Answer {
    if upgrade::host(head).is_err() {
        return text(StatusCode::BAD_REQUEST, "the request names no valid host");
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD work here");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match head.uri.path() {
        "/livez" => text(StatusCode::OK, "alive"),
        "/readyz" => match readiness.obstacle() {
            None => text(StatusCode::OK, "ready"),
            Some(obstacle) => text(StatusCode::SERVICE_UNAVAILABLE, obstacle),
        },
        "/metrics" => complete(StatusCode::OK, OPEN_METRICS, metrics.encode()),
        _ => complete(StatusCode::NOT_FOUND, HTML, pages::NOT_FOUND),
    }
}

/// Refuses to open a WebSocket, and says how it would work.
pub fn refuse(refusal: &upgrade::Refusal) -> Answer {
    let mut answer = text(refusal.status(), &refusal.to_string());
    answer.headers_mut().extend(refusal.fields());
    answer
}

/// A line of text.
pub fn text(status: StatusCode, line: &str) -> Answer {
    complete(status, TEXT, format!("{line}\n"))
}

fn complete(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let fields: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, kind),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, pages::CONTENT_POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fields {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn get(path: &str, readiness: &Readiness) -> Answer {
        let request = Request::builder().uri(path).header("host", "localhost");
        let head = request.body(()).unwrap().into_parts().0;
        respond(&head, readiness, &Metrics::new())
    }

    #[test]
    fn readiness_follows_the_store_and_the_drain() {
        let readiness = Readiness::default();
        assert_eq!(readiness.obstacle(), Some("store not ready"));
        assert_eq!(get("/readyz", &readiness).status(), StatusCode::SERVICE_UNAVAILABLE);
        readiness.set_store_ready(true);
        assert_eq!(get("/readyz?verbose", &readiness).status(), StatusCode::OK);
        readiness.start_draining();
        assert_eq!(readiness.obstacle(), Some("draining"));
        assert_eq!(get("/readyz", &readiness).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/livez", &readiness).status(), StatusCode::OK, "alive to the end");
    }

    #[test]
    fn paths_are_matched_whole() {
        let readiness = Readiness::default();
        for path in ["/", "/livez/", "/metrics/..", "/LIVEZ", "/%6civez", "/../../etc/passwd"] {
            assert_eq!(get(path, &readiness).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
