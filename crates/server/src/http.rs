//! What the port says to plain HTTP: health, metrics, files, and a page that nothing is here.
//!
//! | path       | answer                                                        |
//! |------------|---------------------------------------------------------------|
//! | `/livez`   | 200 while the process serves requests                         |
//! | `/readyz`  | 200, or 503 with the reason; `?verbose`, from this machine or  |
//! |            | on the port of `--metrics-bind`, for all that is asked        |
//! | `/healthz` | the same                                                      |
//! | `/metrics` | OpenMetrics text                                              |
//! | `/`        | a page that says what this is, unless `--www` has one         |
//! | others     | a file of `--www`, or 404                                     |

mod body;
mod conditions;
mod deadline;
mod pages;
mod path;
pub mod port;
mod readiness;
mod record;
mod site;

use bytes::Bytes;
use hyper::{
    Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    http::request,
};

pub use body::AnswerBody;
pub(crate) use deadline::Deadline;
pub use readiness::Readiness;
pub(crate) use record::Record;
pub use site::Site;

use crate::{metrics::Metrics, upgrade};

/// An answer; hyper leaves the body out for `HEAD`.
pub type Answer = Response<AnswerBody>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers everything that is not a WebSocket. `is_near`: to somebody who may know what is looked at, and not only
/// whether it is in order.
pub async fn respond(
    head: request::Parts,
    is_near: bool,
    readiness: &Readiness,
    metrics: Option<&Metrics>,
    site: Option<&Site>,
) -> Answer {
    match (of_the_hub(&head, is_near, readiness, metrics), site) {
        (Some(answer), _) => answer,
        (None, Some(site)) => site.answer(head).await,
        (None, None) if head.uri.path() == "/" => complete(StatusCode::OK, HTML, pages::FRONT),
        (None, None) => not_found(),
    }
}

/// What is answered without a look at files; no file takes the place of these paths.
fn of_the_hub(
    head: &request::Parts,
    is_near: bool,
    readiness: &Readiness,
    metrics: Option<&Metrics>,
) -> Option<Answer> {
    if upgrade::host(head).is_err() {
        return Some(text(StatusCode::BAD_REQUEST, "the request names no valid host"));
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD work here");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(answer);
    }
    Some(match head.uri.path() {
        "/livez" => text(StatusCode::OK, "alive"),
        "/readyz" | "/healthz" => ready(readiness, head.uri.query().filter(|_| is_near)),
        "/metrics" => complete(StatusCode::OK, OPEN_METRICS, metrics?.encode()),
        _ => return None,
    })
}

/// Whether the hub takes work: a word, or with `?verbose` a line for each thing that is looked at.
fn ready(readiness: &Readiness, query: Option<&str>) -> Answer {
    let obstacle = readiness.obstacle();
    let status = match &obstacle {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    if query.is_some_and(|query| query.split('&').any(|word| word == "verbose")) {
        return complete(status, TEXT, readiness.lines());
    }
    text(status, obstacle.as_deref().unwrap_or("ready"))
}

fn not_found() -> Answer {
    complete(StatusCode::NOT_FOUND, HTML, pages::NOT_FOUND)
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
    let mut answer = bare(status, pages::CONTENT_POLICY);
    *answer.body_mut() = AnswerBody::new(body, None);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer without a body, with what every answer says to browsers.
fn bare(status: StatusCode, policy: &'static str) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    let fields: [(HeaderName, &'static str); 6] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
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
        of_the_hub(&head, true, readiness, Some(&Metrics::new())).unwrap_or_else(not_found)
    }

    #[test]
    fn readiness_follows_the_store_and_the_drain() {
        let readiness = Readiness::default();
        assert_eq!(readiness.obstacle().as_deref(), Some("starting"));
        assert_eq!(get("/readyz", &readiness).status(), StatusCode::SERVICE_UNAVAILABLE);
        readiness.set_store_ready(true);
        assert_eq!(get("/readyz?verbose", &readiness).status(), StatusCode::OK);
        readiness.start_draining();
        assert_eq!(readiness.obstacle().as_deref(), Some("draining"));
        assert_eq!(get("/readyz", &readiness).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get("/livez", &readiness).status(), StatusCode::OK, "alive to the end");
    }

    #[test]
    fn metrics_are_not_answered_where_they_have_a_port_of_their_own() {
        let request = Request::builder().uri("/metrics").header("host", "localhost");
        let head = request.body(()).unwrap().into_parts().0;
        assert!(of_the_hub(&head, true, &Readiness::default(), None).is_none());
        let request = Request::builder().uri("/livez").header("host", "localhost");
        let head = request.body(()).unwrap().into_parts().0;
        let health = of_the_hub(&head, false, &Readiness::default(), None);
        assert!(health.is_some(), "health is, on both");
    }

    #[test]
    fn paths_are_matched_whole() {
        let readiness = Readiness::default();
        for path in ["//", "/livez/", "/metrics/..", "/LIVEZ", "/%6civez", "/../../etc/passwd"] {
            assert_eq!(get(path, &readiness).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
