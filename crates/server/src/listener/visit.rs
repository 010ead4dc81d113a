//! The requests of one connection: pages one after another, or a WebSocket.

use std::{net::IpAddr, sync::Arc};

use hyper::{
    HeaderMap, Request, StatusCode,
    body::Incoming as Body,
    header::{CONNECTION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, UPGRADE},
    http::request,
    upgrade::OnUpgrade,
};
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::{Front, Permit, proxies};
use crate::{
    connection::PeerInfo,
    http::{self, Answer, Deadline, Record},
    limits::CLOSE_TIME_MAX,
    upgrade::{self, Carrier, Refusal},
};

/// One connection, as far as its requests have to do with each other.
pub(super) struct Visit<'a> {
    peer: &'a PeerInfo,
    front: &'a Front,
    deadline: &'a Arc<Deadline>,
    /// The other end is this machine, by any of its addresses.
    is_of_this_machine: bool,
    permit: Mutex<&'a mut Permit>,
    /// At most one request of a connection is upgraded; it is left here.
    upgraded: Mutex<Option<(OnUpgrade, IpAddr)>>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        (peer, is_of_this_machine): (&'a PeerInfo, bool),
        front: &'a Front,
        permit: &'a mut Permit,
        deadline: &'a Arc<Deadline>,
    ) -> Self {
        let (permit, upgraded) = (Mutex::new(permit), Mutex::default());
        Self { peer, front, deadline, is_of_this_machine, permit, upgraded }
    }

    /// How long a head may take.
    pub(super) fn head_time_max(&self) -> Duration {
        self.front.handshake_time_max
    }

    /// Until when the connection may go on when the server stops.
    pub(super) fn end(&self) -> Instant {
        self.deadline.at().min(Instant::now() + CLOSE_TIME_MAX)
    }

    /// The request that has become a WebSocket, if one has, and where it comes from.
    pub(super) fn take_upgrade(&self) -> Option<(OnUpgrade, IpAddr)> {
        self.upgraded.lock().take()
    }

    pub(super) async fn answer(&self, mut request: Request<Body>) -> Answer {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let (head, _body) = request.into_parts();
        let front = self.front;
        let (metrics, log) = (Arc::clone(&front.metrics), front.log.clone());
        let address = front.proxies.address(self.peer.addr.ip(), &head.headers);
        let record = Record::new(&head, metrics, log, self.peer.id, self.peer.addr);
        let barred = front.gate.now().check_address(address).err();
        if barred.is_some() {
            front.metrics.refusals.banned.inc();
        }
        let (mut answer, stays) = if upgrade::is_meant(&head) {
            // From a banned address, too: the sign-in says why not in a way that a client understands.
            (self.try_upgrade(&head), false)
        } else if let Some(refusal) = barred {
            (http::text(StatusCode::FORBIDDEN, &refusal.reason), false)
        } else {
            let stays = !front.readiness.is_draining() && self.stay();
            let shown = front.shows_metrics.then_some(front.metrics.as_ref());
            // Behind a proxy, trusted or not, is somebody else.
            let is_near = self.is_of_this_machine && !proxies::is_forwarded(&head.headers);
            let (readiness, site) = (&front.readiness, front.site.as_ref());
            let answer = http::respond(head, is_near, readiness, shown, site).await;
            let is_sound = !matches!(
                answer.status(),
                StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED
            );
            (answer, stays && is_sound)
        };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Its line and its count: nothing of it is left to follow.
            drop(record.answered(answer.status()));
            *self.upgraded.lock() = Some((on_upgrade, address));
            return answer;
        }
        if !stays {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let record = record.answered(answer.status());
        let deadline = self.deadline.is_visit().then(|| Arc::clone(self.deadline));
        answer.body_mut().follow(deadline, record);
        answer
    }

    /// Makes it a visitor, who may come with more requests; `false` when there is no room. An idle
    /// connection would only hold a stranger's place.
    fn stay(&self) -> bool {
        let stays = self.permit.lock().visit(&self.front.metrics.http.connections);
        if stays {
            self.deadline.visit();
        }
        stays
    }

    /// Opens a WebSocket (status 101), or says why not.
    fn try_upgrade(&self, head: &request::Parts) -> Answer {
        let front = self.front;
        let carrier = Carrier {
            is_tls: self.peer.is_tls(),
            is_loopback: self.peer.is_loopback(),
            offers_tls: front.tls.is_some(),
        };
        let accepted = match upgrade::accept(head, carrier) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                if refusal == Refusal::ForeignOrigin {
                    front.metrics.refusals.origin.inc();
                }
                return http::refuse(&refusal);
            }
        };
        if front.readiness.is_draining() {
            front.metrics.refusals.draining.inc();
            return later("the server is stopping");
        }
        if self.permit.lock().end_visit().is_err() {
            front.metrics.refusals.strangers.inc();
            return later("too many are signing in");
        }
        self.deadline.end_visit(front.handshake_time_max);
        match HeaderValue::try_from(accepted) {
            Ok(accepted) => switch_protocols(accepted),
            Err(_) => http::text(StatusCode::INTERNAL_SERVER_ERROR, "cannot answer the handshake"),
        }
    }
}

fn later(reason: &str) -> Answer {
    let mut answer = http::text(StatusCode::SERVICE_UNAVAILABLE, reason);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn switch_protocols(accepted: HeaderValue) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = HeaderMap::from_iter([
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, accepted),
    ]);
    answer
}
