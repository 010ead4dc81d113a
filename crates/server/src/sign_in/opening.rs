//! AUTH is opened on threads of its own: the unwrapping of its RSA secret is the slowest thing that a stranger can
//! ask for, and whoever talks goes before.

use std::{io, sync::Arc, time::Duration};

use chat_protocol::{
    code,
    handshake::{HandshakeError, ReceivedAuth, Reception},
};

use super::{Problem, Visitor};
use crate::{
    close::CloseReason,
    limits::{AUTHS_WAITING_MAX, STRANGERS_PER_ADDRESS_MAX},
    listener::source,
    request::Refusal,
    shared::Shared,
    threads::{Full, QueueBounds, Threads, Time},
};

/// About how long one takes, for who has to come again.
const OPEN_TIME: Duration = Duration::from_millis(2);

/// Starts the threads that open AUTHs.
pub(crate) fn threads() -> io::Result<Threads<()>> {
    let bounds = QueueBounds { all: AUTHS_WAITING_MAX, of_one: STRANGERS_PER_ADDRESS_MAX };
    Threads::new("sign-ins", bounds, OPEN_TIME, Time::Little)
}

fn queue_is_full(full: &Full) -> Problem {
    let reason = format!(
        "many people are signing in; come again in {} s",
        full.after.as_millis().div_ceil(1000)
    );
    Problem::Refused(Refusal::new(code::TOO_MANY, reason).with_retry(full.after))
}

/// What a client has sealed in its AUTH.
pub(super) async fn open(
    hub: &Arc<Shared>,
    reception: &Arc<Reception>,
    text: &Arc<str>,
    visitor: &Visitor<'_>,
) -> Result<Result<ReceivedAuth, HandshakeError>, Problem> {
    let peer = visitor.peer;
    // The key alone: work that waits does not keep the hub, whose threads do it.
    let key = Arc::clone(&hub.identity.link);
    let (reception, text) = (Arc::clone(reception), Arc::clone(text));
    let exporter = peer.tls_exporter;
    let open = move |(): &mut ()| reception.open(&text, &key, exporter);
    let opened =
        hub.openings.submit(source(peer.addr.ip()), open).map_err(|full| queue_is_full(&full))?;
    let stopping = |_cut| Problem::Failed(CloseReason::Restart);
    visitor.wait(opened).await?.map_err(stopping)
}
