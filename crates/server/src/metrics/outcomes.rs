//! The figures of what ends in one of a few ways, one counter for each of them.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{OutcomeLabels, ReasonLabels, family};

/// Why a connection was turned away before sign-in.
#[derive(Debug)]
pub struct Refusals {
    /// No connection more in all.
    pub full: Counter,
    /// Too many that have not signed in, in all or from that address.
    pub strangers: Counter,
    /// TLS, HTTP head or upgrade took too long.
    pub late: Counter,
    /// A web page of another site.
    pub origin: Counter,
    /// The hub is stopping.
    pub draining: Counter,
    /// The operator keeps that address out.
    pub banned: Counter,
}

impl Refusals {
    pub(super) fn new(chat: &mut Registry) -> Self {
        let counts: Family<ReasonLabels, Counter> =
            family(chat, "connections_refused", "Connections turned away before sign-in");
        let of = |reason| counts.get_or_create_owned(&ReasonLabels { reason });
        Self {
            full: of("full"),
            strangers: of("strangers"),
            late: of("late"),
            origin: of("origin"),
            draining: of("draining"),
            banned: of("banned"),
        }
    }
}

/// How sign-ins ended.
#[derive(Debug)]
pub struct AuthAttempts {
    /// Signed in to an existing account.
    pub signed_in: Counter,
    /// Made an account, without a code.
    pub registered: Counter,
    /// Made an account with a code, where one is needed.
    pub invited: Counter,
    /// Entered an account under a new identity, with a code of the operator.
    pub reset: Counter,
    /// Refused: name, signature or password.
    pub refused: Counter,
    /// Neither within the time of the handshake.
    pub timed_out: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

impl AuthAttempts {
    pub(super) fn new(chat: &mut Registry) -> Self {
        let counts: Family<ResultLabels, Counter> =
            family(chat, "auth_attempts", "Sign-ins by how they ended");
        let of = |result| counts.get_or_create_owned(&ResultLabels { result });
        Self {
            signed_in: of("signed_in"),
            registered: of("registered"),
            invited: of("invited"),
            reset: of("reset"),
            refused: of("refused"),
            timed_out: of("timed_out"),
        }
    }
}

/// What became of a delivery to one device.
#[derive(Debug)]
pub struct Deliveries {
    /// Put into the outbox of a connection.
    pub pushed: Counter,
    /// Left in the store: the recipient has no connection now.
    pub kept: Counter,
    /// Not put into the outbox because it was full; the connection was closed as slow consumer.
    pub overflowed: Counter,
}

impl Deliveries {
    pub(super) fn new(chat: &mut Registry) -> Self {
        let counts: Family<OutcomeLabels, Counter> =
            family(chat, "deliveries", "Deliveries to devices");
        let of = |outcome| counts.get_or_create_owned(&OutcomeLabels { outcome });
        Self { pushed: of("pushed"), kept: of("kept"), overflowed: of("overflowed") }
    }
}
