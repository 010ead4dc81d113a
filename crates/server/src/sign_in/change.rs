//! Another password: asked for by a known device with its signature, and proved with the old one.

use chat_oplog::{Operation, Outcome};
use chat_protocol::{code, handshake::ReceivedAuth, vault};
use tokio::sync::oneshot;

use super::{
    Problem, Visitor,
    proof::{by_signature, check_password, hash},
};
use crate::{
    close::CloseReason,
    queue::Lane,
    request::{PasswordChange, Request, Sender},
    shared::Shared,
    store::NewPassword,
};

/// Checks everything and has it kept.
pub(super) async fn password(
    hub: &Shared,
    received: &ReceivedAuth,
    visitor: &Visitor<'_>,
    queue: &Sender,
) -> Result<(), Problem> {
    let body = &received.body;
    let (Some(secret), Some(sealed), None) = (&body.new_pw, &body.vault, &body.bundle) else {
        let reason = "a new password comes with its login secret and the vault, and no bundle";
        return Err(Problem::refuse(code::MALFORMED, reason));
    };
    by_signature(hub, received).await?;
    let account = check_password(hub, received, visitor).await?;
    let Some(before) = account.password else {
        return Err(Problem::refuse(code::SIGN_IN, "this account has no password"));
    };
    let stored = hub.reads.vault(account.id).await?;
    let number = |kept: &[u8]| vault::split(kept).map(|(number, _)| number);
    if number(sealed) <= stored.as_deref().and_then(number) {
        let reason = "the number of the vault must be above that of the one kept";
        return Err(Problem::refuse(code::CONFLICT, reason));
    }
    let password = hash(hub, secret.clone(), visitor).await?;
    let peer = visitor.peer;
    let new = NewPassword { account: account.id, before, password, vault: sealed.clone() };
    let (reply, answer) = oneshot::channel();
    let request = Request::Password(Box::new(PasswordChange { new, reply }));
    let stopping = || Problem::Failed(CloseReason::Restart);
    queue.send(Lane::Control, None, sealed.len(), request).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())?.map_err(Problem::Refused)?;
    let address = peer.addr.to_string();
    hub.log.write(&Operation {
        conn_id: Some(peer.id.0),
        address: Some(address.as_str().into()),
        user: Some(received.header.u.as_str().into()),
        outcome: Some(Outcome::Ok),
        ..Operation::new("account.password")
    });
    Ok(())
}
