//! The end of an account that its owner wants: asked for by a known device with its signature, and
//! proved with the password, if there is one.

use chat_oplog::{Operation, Outcome};
use chat_protocol::{code, handshake::ReceivedAuth};
use tokio::sync::oneshot;

use super::{
    Problem, Visitor,
    proof::{self, by_signature, check_password, nobody},
};
use crate::{
    close::CloseReason,
    queue::Lane,
    request::{Deletion, Request, Sender},
    shared::Shared,
};

/// Checks everything and has the account deleted.
pub(super) async fn account(
    hub: &Shared,
    received: &ReceivedAuth,
    visitor: &Visitor<'_>,
    queue: &Sender,
) -> Result<(), Problem> {
    let (body, name) = (&received.body, &received.header.u);
    if body.bundle.is_some() || body.vault.is_some() || body.new_pw.is_some() {
        let reason = "who deletes an account sends its login secret and nothing else";
        return Err(Problem::refuse(code::MALFORMED, reason));
    }
    by_signature(hub, received).await?;
    let account = proof::account(hub, name).await?.ok_or_else(|| nobody(name))?;
    if account.password.is_some() {
        check_password(hub, received, visitor).await?;
    }
    let (reply, answer) = oneshot::channel();
    let deletion = Deletion { account: account.id, sk: received.header.sk, reply };
    let request = Request::Delete(Box::new(deletion));
    let stopping = || Problem::Failed(CloseReason::Restart);
    let bytes = size_of::<Deletion>();
    queue.send(Lane::Control, None, bytes, request).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())?.map_err(Problem::Refused)?;
    let address = visitor.peer.addr.to_string();
    hub.log.write(&Operation {
        conn_id: Some(visitor.peer.id.0),
        address: Some(address.as_str().into()),
        user: Some(name.as_str().into()),
        outcome: Some(Outcome::Ok),
        ..Operation::new("account.delete")
    });
    Ok(())
}
