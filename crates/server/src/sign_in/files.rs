//! The sign-in of a connection that carries files: a known device, by its signature. The worker does
//! not hear of it.

use chat_oplog::{Operation, Outcome};
use chat_protocol::{
    code,
    handshake::{Mode, ReceivedAuth, SignedIn},
};

use super::{
    Problem,
    proof::{account, by_signature, nobody},
};
use crate::{
    budgets::Budget,
    close::CloseReason,
    connection::PeerInfo,
    outbox::{Outbox, Outgoing},
    relay::{DataPeer, Seat},
    request::Proof,
    shared::Shared,
};

/// Checks AUTH and answers it.
pub(super) async fn enter(
    hub: &Shared,
    received: &ReceivedAuth,
    peer: &PeerInfo,
    outbox: &Outbox,
) -> Result<Seat, Problem> {
    if received.header.m != Mode::Sig {
        let reason = "a connection for files is opened by the signature of a device that is known: \
                      sign in for messages first";
        return Err(Problem::refuse(code::NOT_ALLOWED, reason));
    }
    let (proof, _spki) = by_signature(hub, received).await?;
    if !matches!(proof, Proof::Known { .. }) {
        let reason =
            "a connection for files brings no new bundle: sign in for messages with it first";
        return Err(Problem::refuse(code::NOT_ALLOWED, reason));
    }
    let name = received.header.u.clone();
    let account = account(hub, &name).await?.ok_or_else(|| nobody(&name))?.id;
    let device = DataPeer { connection: peer.id, account, name, sk: received.header.sk };
    let line = Operation {
        conn_id: Some(peer.id.0),
        user: Some(device.name.as_str().into()),
        outcome: Some(Outcome::Ok),
        ..Operation::new("files.open")
    };
    let max = hub.budgets.limits().count(Budget::Connections);
    let seat = hub.relay.enter(device.clone(), max, outbox).map_err(|refusal| {
        hub.budgets.hit(Budget::Connections);
        Problem::Refused(refusal)
    })?;
    hub.log.write(&line);
    hub.metrics.auth_attempts.signed_in.inc();
    let signed_in = SignedIn::at((hub.clock)());
    // The writer sends it, when the socket has its buffers for chunks.
    outbox
        .push(Outgoing::Text(received.ok(&signed_in).into()))
        .map_err(|_closed| Problem::Failed(CloseReason::Done))?;
    Ok(seat)
}
