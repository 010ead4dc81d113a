//! From HELLO to a session (rules R16, R21). What can be checked without the state of the hub is
//! checked here; the worker does the rest and gives the one answer.

mod change;
mod deletion;
mod files;
mod opening;
mod patience;
mod proof;

use std::{convert::Infallible, future::pending, sync::Arc};

use chat_oplog::{Operation, Outcome};
use chat_protocol::{
    code,
    crypto::random,
    handshake::{AuthHeader, HandshakeError, Mode, Purpose, ReceivedAuth, Reception, SignedIn},
    hub::{self, ClientToHub, HubStage},
    invite,
    name::UserName,
    vault,
};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::{
    budgets::Budget,
    close::CloseReason,
    connection::PeerInfo,
    limits::{LOGIN_SECRET_BYTES, VAULT_BYTES_MAX},
    listener::source,
    outbox::Outbox,
    passwords::Unavailable,
    queue::Lane,
    relay::Seat,
    request::{Admitted, Proof, Refusal, Request, Sender, SignIn},
    shared::Shared,
    socket::Socket,
    store::ReadError,
    threads::Full,
};

pub(crate) use opening::threads;
use patience::Patience;
use proof::{by_password, by_signature, check_password, has_code, register, reset_code};

/// Who is at the door, and how long there is time for them.
struct Visitor<'a> {
    peer: &'a PeerInfo,
    patience: &'a Patience,
    /// They are not there any more.
    left: &'a CancellationToken,
}

impl Visitor<'_> {
    /// Waits for something that others hold up. The time does not count against the sign-in, and the wait ends
    /// when nobody is there who could be answered: what was asked for is dropped, and its place is free.
    async fn wait<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Problem> {
        let waiting = self.left.run_until_cancelled(waiting);
        self.patience.suspended(waiting).await.ok_or(Problem::Gone)
    }
}

/// How a sign-in ended well.
pub enum Entered {
    /// In a session: messages.
    Session(Admitted),
    /// In a connection that carries files.
    Files(Seat),
}

/// How a sign-in ended without either.
#[derive(Debug)]
pub enum Ended {
    /// The peer is gone.
    Gone,
    /// Tell it this.
    Close(CloseReason),
}

/// Why a sign-in goes no further.
enum Problem {
    /// The client is told in a NOACK.
    Refused(Refusal),
    /// It is done, and this is all that there is to say: no session follows.
    Answered(String),
    /// Nobody is there any more.
    Gone,
    /// We cannot.
    Failed(CloseReason),
}

impl Problem {
    fn refuse(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(code, reason))
    }
}

/// Too many passwords wait. Nothing was hashed.
fn queue_is_full(hub: &Shared, full: &Full) -> Refusal {
    let (budget, whose) = if full.is_of_one {
        (Budget::HashQueueByOne, "many passwords from your address wait to be checked")
    } else {
        (Budget::HashQueue, "many people are signing in")
    };
    hub.budgets.hit(budget);
    let reason = format!("{whose}; come again in {} s", full.after.as_millis().div_ceil(1000));
    Refusal::new(code::TOO_MANY, reason).with_retry(full.after)
}

impl Problem {
    fn unavailable(hub: &Shared, unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Later(full) => Self::Refused(queue_is_full(hub, &full)),
            Unavailable::Failed => {
                Self::Failed(CloseReason::TryLater("passwords cannot be checked now".into()))
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        tracing::error!(%error, "a sign-in was cut");
        Self::Failed(CloseReason::Internal)
    }
}

/// Greets, reads AUTH within the deadline, and brings the peer in.
pub async fn run(
    hub: &Arc<Shared>,
    socket: &mut Socket,
    peer: &PeerInfo,
    outbox: &Outbox,
    queue: &Sender,
) -> Result<Entered, Ended> {
    let reception = Arc::new(Reception::new(&hub.identity.bundle, random()));
    let patience = Patience::new(peer.deadline);
    let left = CancellationToken::new();
    let visitor = Visitor { peer, patience: &patience, left: &left };
    let steps = async {
        socket.greet(reception.text()).await.map_err(|_| Ended::Gone)?;
        let text: Arc<str> = first_text(socket).await?.into();
        let entered = tokio::select! {
            entered = enter(hub, &reception, &text, &visitor, outbox, queue) => entered,
            never = notice_end(socket, &left) => match never {},
        };
        match entered {
            Ok(entered) => Ok(entered),
            Err(Problem::Answered(answer)) => {
                socket.send(Message::text(answer)).await.map_err(|_| Ended::Gone)?;
                Err(Ended::Close(CloseReason::Done))
            }
            Err(Problem::Gone) => Err(Ended::Gone),
            Err(Problem::Failed(reason)) => Err(Ended::Close(reason)),
            Err(Problem::Refused(refusal)) => {
                hub.metrics.auth_attempts.refused.inc();
                write_down(hub, peer, claimed_name(&text).as_deref(), &refusal);
                let answer = refusal.to_message(HubStage::SignIn, None);
                socket.send(Message::text(hub::write(&answer))).await.map_err(|_| Ended::Gone)?;
                Err(Ended::Close(match refusal.retry_ms {
                    Some(_) => CloseReason::TryLater(refusal.reason.into()),
                    None => CloseReason::Policy(refusal.reason.into()),
                }))
            }
        }
    };
    tokio::select! {
        biased;
        ended = steps => ended,
        () = patience.over() => {
            hub.metrics.auth_attempts.timed_out.inc();
            Err(Ended::Close(CloseReason::Policy("not signed in within the time allowed".into())))
        }
    }
}

/// One line in the log of operations for a sign-in that was refused.
fn write_down(hub: &Shared, peer: &PeerInfo, name: Option<&str>, refusal: &Refusal) {
    let address = peer.addr.to_string();
    hub.log.write(&Operation {
        conn_id: Some(peer.id.0),
        address: Some(address.as_str().into()),
        user: name.map(Into::into),
        stage: Some("signin".into()),
        outcome: Some(Outcome::Refused),
        code: Some(refusal.code.into()),
        reason: Some(refusal.reason.as_str().into()),
        ..Operation::new("session.refused")
    });
}

/// The first message, which must be a text. Anything else is refused by what it is.
async fn first_text(socket: &mut Socket) -> Result<String, Ended> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            // Refused as an AUTH that cannot be read.
            Some(Ok(Message::Binary(_))) => return Ok(String::new()),
            Some(Ok(Message::Close(_))) | None => return Err(Ended::Gone),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return Err(CloseReason::for_error(&error).map_or(Ended::Gone, Ended::Close));
            }
        }
    }
}

/// Says when the other end of the connection is gone. Between AUTH and its answer a client has nothing to say:
/// what it says too early is lost.
async fn notice_end(socket: &mut Socket, left: &CancellationToken) -> Infallible {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            break;
        }
    }
    left.cancel();
    pending().await
}

async fn enter(
    hub: &Arc<Shared>,
    reception: &Arc<Reception>,
    text: &Arc<str>,
    visitor: &Visitor<'_>,
    outbox: &Outbox,
    queue: &Sender,
) -> Result<Entered, Problem> {
    let peer = visitor.peer;
    // Nobody comes in while nothing can be written: a client tries the next server.
    if let Some(why) = hub.health.as_ref().and_then(|health| health.obstacle()) {
        return Err(Problem::Failed(CloseReason::TryLater(why)));
    }
    // The listener has asked for the other end of the connection, which may be a proxy.
    hub.gate.now().check_address(peer.addr.ip()).map_err(Problem::Refused)?;
    // Who would only be put off afterwards costs no unwrapping. All modes but one may have a password.
    if claimed_header(text).is_some_and(|header| header.m != Mode::Sig) {
        let room = hub.passwords.check_room(source(peer.addr.ip()));
        room.map_err(|full| Problem::Refused(queue_is_full(hub, &full)))?;
    }
    let received = opening::open(hub, reception, text, visitor)
        .await?
        .map_err(|error| unreadable(text, &error))?;
    check_opened(hub, &received)?;
    let is_checked_here = received.body.purpose == Purpose::Files
        || !matches!(received.header.m, Mode::Reg | Mode::Sig);
    if is_checked_here && hub.health.is_some() {
        look(queue).await?;
    }
    if received.body.purpose == Purpose::Files {
        return files::enter(hub, &received, peer, outbox).await.map(Entered::Files);
    }
    let (proof, spki) = match received.header.m {
        Mode::Reg => register(hub, &received, visitor).await?,
        Mode::Sig => by_signature(hub, &received).await?,
        Mode::Pw => by_password(hub, &received, visitor).await?,
        Mode::Vault => {
            let vault = vault(hub, &received, visitor).await?;
            return Err(answered(hub, &received, vault));
        }
        Mode::Passwd => {
            change::password(hub, &received, visitor, queue).await?;
            return Err(answered(hub, &received, None));
        }
        Mode::Delete => {
            deletion::account(hub, &received, visitor, queue).await?;
            return Err(answered(hub, &received, None));
        }
    };
    let is_reset = matches!(proof, Proof::Reset { .. });
    let is_invited = has_code(hub, &received);
    let (reply, answer) = oneshot::channel();
    let sign_in = SignIn {
        connection: peer.id,
        name: received.header.u.clone(),
        proof,
        purpose: received.body.purpose,
        sk: received.header.sk,
        spki,
        invite: received.body.invite.as_deref().map(invite::digest),
        received: Some(Box::new(received)),
        outbox: outbox.clone(),
        reply,
    };
    let stopping = || Problem::Failed(CloseReason::Restart);
    let request = Request::SignIn(Box::new(sign_in));
    queue.send(Lane::Control, None, text.len(), request).await.map_err(|_| stopping())?;
    let admitted = answer.await.map_err(|_| stopping())?.map_err(Problem::Refused)?;
    count(hub, admitted.is_new, (is_reset, is_invited));
    Ok(Entered::Session(admitted))
}

/// Waits until what other hubs have kept can be read here. What is checked at the door is then no older than the sign-in:
/// a password that was changed elsewhere is no good any more.
async fn look(queue: &Sender) -> Result<(), Problem> {
    let (reply, answer) = oneshot::channel();
    let stopping = || Problem::Failed(CloseReason::Restart);
    let cost = size_of::<oneshot::Sender<()>>();
    queue.send(Lane::Control, None, cost, Request::Look(reply)).await.map_err(|_| stopping())?;
    let later = "this server cannot reach the log that it shares with others";
    answer.await.map_err(|_| Problem::Failed(CloseReason::TryLater(later.into())))
}

/// What can be said of an AUTH from itself, and from who is let in at all.
fn check_opened(hub: &Shared, received: &ReceivedAuth) -> Result<(), Problem> {
    let (header, body) = (&received.header, &received.body);
    UserName::for_account(header.u.as_str())
        .map_err(|error| Problem::refuse(code::NAME_INVALID, error.to_string()))?;
    // The worker looks again: this is for those who come in without it, and spares the slow hash.
    hub.gate.now().check(&header.u, &[header.sk]).map_err(Problem::Refused)?;
    if body.vault.as_ref().is_some_and(|vault| vault.len() > VAULT_BYTES_MAX) {
        let reason = format!("a vault has at most {VAULT_BYTES_MAX} bytes");
        return Err(Problem::refuse(code::MALFORMED, reason));
    }
    if body.vault.as_ref().is_some_and(|vault| vault::split(vault).is_none()) {
        let reason = "a vault is its number, from 1 on, and what is sealed";
        return Err(Problem::refuse(code::MALFORMED, reason));
    }
    let is_secret = |pw: &Vec<u8>| pw.len() == LOGIN_SECRET_BYTES;
    if ![&body.pw, &body.new_pw].into_iter().flatten().all(is_secret) {
        return Err(Problem::refuse(code::MALFORMED, "a login secret has 32 bytes"));
    }
    Ok(())
}

/// Counts somebody who came in.
fn count(hub: &Shared, is_new: bool, (is_reset, is_invited): (bool, bool)) {
    let attempts = &hub.metrics.auth_attempts;
    let counter = match (is_reset, is_new) {
        (true, _) => &attempts.reset,
        (false, true) if is_invited => &attempts.invited,
        (false, true) => &attempts.registered,
        (false, false) => &attempts.signed_in,
    };
    counter.inc();
}

/// Why AUTH cannot be read; a bad name gets its own reason.
fn unreadable(text: &str, error: &HandshakeError) -> Problem {
    if let Some(Err(name_error)) = claimed_name(text).map(|name| UserName::for_account(&name)) {
        return Problem::refuse(code::NAME_INVALID, name_error.to_string());
    }
    let code = match error {
        HandshakeError::LinkKey | HandshakeError::Sealed | HandshakeError::BadSignature => {
            code::SIGN_IN
        }
        _ => code::MALFORMED,
    };
    Problem::refuse(code, error.to_string())
}

/// The part of an AUTH that is in clear. Nothing of it is proved.
fn claimed_header(text: &str) -> Option<AuthHeader> {
    let Ok(ClientToHub::Auth { hdr, .. }) = hub::read(text) else { return None };
    serde_json::from_slice(&hdr).ok()
}

/// The name in an AUTH whose header is not valid otherwise.
fn claimed_name(text: &str) -> Option<String> {
    let Ok(ClientToHub::Auth { hdr, .. }) = hub::read(text) else { return None };
    let header: serde_json::Value = serde_json::from_slice(&hdr).ok()?;
    Some(header.get("u")?.as_str()?.to_owned())
}

/// Whether somebody asks, before a password is typed, if a code lets another identity into an account; and
/// it does.
async fn is_asking_about_a_code(hub: &Shared, received: &ReceivedAuth) -> Result<bool, Problem> {
    if received.body.pw.is_some() || received.body.invite.is_none() {
        return Ok(false);
    }
    let account = hub.reads.account(&received.header.u).await?;
    Ok(account.is_some_and(|account| reset_code(hub, &account, received).is_some()))
}

/// The vault of who knows the password; none for who only asks whether a code is good, which it is.
async fn vault(
    hub: &Shared,
    received: &ReceivedAuth,
    visitor: &Visitor<'_>,
) -> Result<Option<Vec<u8>>, Problem> {
    if is_asking_about_a_code(hub, received).await? {
        return Ok(None);
    }
    let account = check_password(hub, received, visitor).await?;
    Ok(hub.reads.vault(account.id).await?)
}

/// Says that it is done, durably. No session follows.
fn answered(hub: &Shared, received: &ReceivedAuth, vault: Option<Vec<u8>>) -> Problem {
    hub.metrics.auth_attempts.signed_in.inc();
    Problem::Answered(received.ok(&SignedIn { vault, ..SignedIn::at((hub.clock)()) }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::{
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;
    use crate::{connection::ConnectionId, limits::HANDSHAKE_TIME_MAX, socket::Transport};

    /// Goal: nobody works for a visitor who has left. Before: the end of a connection was not noticed while its
    /// sign-in waited, so that it kept its place in the queue and was hashed for.
    #[tokio::test]
    async fn a_visitor_who_leaves_is_waited_for_no_longer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (here, addr) = listener.accept().await.unwrap();
        let mut socket = Socket::open(Transport::Plain(here), Bytes::new()).await;
        let deadline = Instant::now() + HANDSHAKE_TIME_MAX;
        let peer = PeerInfo { id: ConnectionId(1), addr, tls_exporter: None, deadline };
        let (patience, left) = (Patience::new(deadline), CancellationToken::new());
        let visitor = Visitor { peer: &peer, patience: &patience, left: &left };
        let (reply, answer) = oneshot::channel::<()>();
        drop(there);
        let ended = tokio::select! {
            ended = visitor.wait(answer) => ended,
            never = notice_end(&mut socket, &left) => match never {},
        };
        assert!(matches!(ended, Err(Problem::Gone)));
        assert!(reply.is_closed(), "what was asked for is not wanted any more");
    }
}
