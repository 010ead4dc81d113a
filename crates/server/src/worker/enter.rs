//! Coming in and leaving.

use std::{sync::Arc, time::Duration};

use chat_protocol::{code, handshake::SignedIn};

use super::{Next, Open, Worker, story};
use crate::{
    budgets::Budget,
    order::Turns,
    outbox::Outgoing,
    queue::Queued,
    request::{Admitted, Heard, Peer, Plan, Proof, Refusal, Request, SignIn},
    router::{Decision, Pending},
    store::{AccountId, Committed, Conflict, DeviceId, NewSession, Proposal, SessionPlace, Stored},
};

/// When a device comes again whose last session has ended, and the log has no room to say so.
const LEAVING_RETRY: Duration = Duration::from_secs(1);

impl<T: Turns> Worker<T> {
    pub(super) fn decide_sign_in(
        &mut self,
        now_ms: u64,
        queued: Open,
        pending: &mut Pending,
    ) -> Next {
        let Request::SignIn(request) = &queued.item else { return Next::Done };
        // Another session of the account begins in this batch: it counts first.
        let account = self.router.account_folded(&request.name).map(|account| account.id);
        if account.is_some_and(|account| pending.entering.contains(&account)) {
            return Next::Defer(queued);
        }
        let decision = match self.router.decide_sign_in(now_ms, request, pending) {
            Some(Decision::Defer) => return Next::Defer(queued),
            decision => match self.in_use(request) {
                Err(refusal) => Some(Decision::Refuse(refusal)),
                Ok(()) => decision,
            },
        };
        match decision {
            Some(Decision::Propose(proposal)) => Next::Commit(queued, proposal),
            Some(Decision::Refuse(refusal)) => {
                turn_away(queued, refusal);
                Next::Done
            }
            _ => {
                let Some((account, device)) = self.known_device(request) else {
                    turn_away(queued, Refusal::new(code::SIGN_IN, "unknown device"));
                    return Next::Done;
                };
                pending.entering.insert(account);
                let proposal = self.entrance(request, account, device);
                Next::Commit(queued, proposal)
            }
        }
    }

    /// Whether the name is free to be connected by this device.
    fn in_use(&self, request: &SignIn) -> Result<(), Refusal> {
        let Some(account) = self.router.account_folded(&request.name) else { return Ok(()) };
        if matches!(request.proof, Proof::New { .. }) {
            return if self.router.is_online(account.id) {
                let reason = "this name is signed in and belongs to somebody else";
                Err(Refusal::new(code::NAME_IN_USE, reason))
            } else {
                Ok(())
            };
        }
        // Nobody who is here stays.
        if matches!(request.proof, Proof::Reset { .. }) {
            return Ok(());
        }
        let device = self.known_device(request).map(|(_, device)| device);
        if device.is_some_and(|device| self.later.is_leaving(account.id, device)) {
            let reason = "the end of the last session of this device could not be kept yet";
            return Err(Refusal::new(code::STORAGE_FULL, reason).with_retry(LEAVING_RETRY));
        }
        let here = self.turns.hub();
        let is_late = |hub| self.health.as_ref().is_some_and(|health| health.is_late(hub));
        self.router.admits_session((account.id, device), request.purpose, (here, is_late))?;
        // The hub's own agent never waits for anybody.
        if account.name.is_server() {
            return Ok(());
        }
        let is_agent = |id: DeviceId| account.devices.iter().any(|d| d.id == id && d.is_agent);
        let max = self.budgets.limits().count(Budget::Connections);
        let same = |peer: &Peer| is_agent(peer.device) == device.is_some_and(is_agent);
        self.sessions.make_room(account.id, request.purpose, max, same).inspect_err(|_| {
            self.budgets.hit(Budget::Connections);
        })
    }

    fn known_device(&self, request: &SignIn) -> Option<(AccountId, DeviceId)> {
        let dev = match &request.proof {
            Proof::Known { dev } => *dev,
            Proof::New { bundle, .. }
            | Proof::Reset { bundle, .. }
            | Proof::Bundle { bundle, .. } => bundle.header().dev,
        };
        let account = self.router.account_folded(&request.name)?;
        let device = account.devices.iter().find(|device| device.dev == dev)?;
        Some((account.id, device.id))
    }

    /// That somebody comes in by this request.
    fn entrance(&self, request: &SignIn, account: AccountId, device: DeviceId) -> Proposal {
        let place = SessionPlace { hub: self.turns.hub(), connection: request.connection };
        let purpose = request.purpose;
        let replaces = self.router.other_session((account, device), purpose, place.hub);
        Proposal::Session(NewSession { place, account, device, purpose, is_open: true, replaces })
    }

    /// That a session ends.
    pub(super) fn departure(&self, peer: &Peer) -> Proposal {
        let place = SessionPlace { hub: self.turns.hub(), connection: peer.connection };
        let Peer { account, device, purpose, .. } = *peer;
        let (is_open, replaces) = (false, None);
        Proposal::Session(NewSession { place, account, device, purpose, is_open, replaces })
    }

    /// An account, a bundle or a session is kept. The numbers of a session are known when its account and
    /// device are kept, so it is proposed then.
    pub(super) fn finish_sign_in(&mut self, now_ms: u64, queued: Open, committed: Committed) {
        let stored = committed.outcome;
        if let Proposal::Session(session) = committed.proposal {
            return self.open_session(now_ms, queued, &session);
        }
        let effects = self.follow(now_ms, committed, None).0;
        let Request::SignIn(request) = &queued.item else { return };
        let known = match stored {
            Ok(Stored::Account(account, device)) => Ok((account, device)),
            Ok(Stored::Device(device)) => match effects.revoked {
                Some(account) => Ok((account, device)),
                None => return,
            },
            Err(Conflict::Missing { .. }) => {
                let reason = "this code was used up a moment ago; ask for another one";
                Err(Refusal::new(code::INVITE, reason))
            }
            _ => {
                let reason = "this name was taken a moment ago; choose another one";
                Err(Refusal::new(code::NAME_TAKEN, reason))
            }
        };
        match known {
            Ok((account, device)) => {
                let proposal = self.entrance(request, account, device);
                let guarded = self.guarded(proposal);
                self.entering.push((queued, guarded));
            }
            Err(refusal) => turn_away(queued, refusal),
        }
    }

    fn open_session(&mut self, now_ms: u64, queued: Queued<Request>, session: &NewSession) {
        let Request::SignIn(request) = &queued.item else { return };
        let is_new = matches!(request.proof, Proof::New { .. });
        story::sign_in(&self.log, &queued, is_new);
        let Queued { item: Request::SignIn(request), connection, lane, .. } = queued else {
            return;
        };
        let SignIn { purpose, spki, sk, received, outbox, reply, .. } = *request;
        let NewSession { account, device, .. } = *session;
        let Some(known) = self.router.account(account) else { return };
        let (heads, more) = self.router.heads_page(known, None);
        // Before what others have asked of this device while it was away.
        let mut notices = self.router.put_out_notices(known);
        notices.extend(self.router.deleted_notices(known));
        let plan = Plan { notices, ..self.router.plan(known) };
        let name = known.name.clone();
        let position = self.router.position();
        let signed_in = SignedIn { time: now_ms, position, heads, more, vault: None };
        let signed_in = match received {
            Some(received) => {
                // The outbox is new and empty; if it is closed, the peer is gone and leaves below.
                outbox.push(Outgoing::Text(received.ok(&signed_in).into())).ok();
                None
            }
            None => Some(signed_in),
        };
        let budgets = self.budgets.of(account);
        let heard = Heard::default();
        let page = tokio::sync::Semaphore::new(1);
        let peer = Arc::new(Peer {
            connection: session.place.connection,
            account,
            device,
            name,
            sk,
            spki,
            purpose,
            outbox,
            budgets,
            heard,
            page,
        });
        self.sessions.open(Arc::clone(&peer));
        let proposal = Proposal::Session(*session);
        self.follow(now_ms, Committed { proposal, outcome: Ok(Stored::Done) }, None);
        let admitted = Admitted { peer: Arc::clone(&peer), plan, is_new, signed_in };
        if reply.send(Ok(admitted)).is_err() {
            let proposal = self.departure(&peer);
            let item = Request::Leave(peer);
            let queued = Queued { item, connection, lane, waited: Duration::ZERO, rounds: 0 };
            let guarded = self.guarded(proposal);
            self.entering.push((queued, guarded));
        }
    }

    /// Tells the console and everybody who came or went. The hub's own agent is always there.
    pub(super) fn tell_of(&mut self, account: AccountId, joined: bool) {
        let Some(account) = self.router.account(account) else { return };
        if account.name.is_server() {
            return;
        }
        let what = if joined { "joined" } else { "left" };
        self.console.line(format!("[{}] just {what} the chat", account.name));
        self.notify.presence(&account.name, joined);
    }
}

/// A sign-in whose keys are kept, and whose session is decided again: its device is known now.
pub(super) fn known_now(mut queued: Open) -> Open {
    if let Request::SignIn(request) = &mut queued.item
        && let Proof::New { bundle, .. }
        | Proof::Reset { bundle, .. }
        | Proof::Bundle { bundle, .. } = &request.proof
    {
        request.proof = Proof::Known { dev: bundle.header().dev };
    }
    queued
}

/// Tells the connection why not. It may be gone.
fn turn_away(queued: Open, refusal: Refusal) {
    if let Request::SignIn(request) = queued.item {
        request.reply.send(Err(refusal)).ok();
    }
}
