//! Coming in and leaving.

use std::sync::Arc;

use chat_protocol::{code, handshake::SignedIn, name::UserName};

use super::{
    Next, Open, Worker,
    story::{self, Batch},
};
use crate::{
    budgets::Budget,
    outbox::Outgoing,
    queue::Queued,
    request::{Admitted, Heard, Peer, Plan, Proof, Refusal, Request, SignIn},
    router::{Decision, Pending},
    store::{AccountId, Committed, Conflict, DeviceId, Proposal, Store, Stored},
};

impl<S: Store> Worker<S> {
    pub(super) fn decide_sign_in(
        &mut self,
        now_ms: u64,
        queued: Open,
        pending: &mut Pending,
    ) -> Next {
        let Request::SignIn(request) = &queued.item else { return Next::Done };
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
                let known = self.known_device(request);
                match known {
                    Some((account, device)) => {
                        self.open_session(now_ms, queued, account, device, false);
                    }
                    None => turn_away(queued, Refusal::new(code::SIGN_IN, "unknown device")),
                }
                Next::Done
            }
        }
    }

    /// Whether the name is free to be connected by this device.
    fn in_use(&self, request: &SignIn) -> Result<(), Refusal> {
        let Some(account) = self.router.account_folded(&request.name) else { return Ok(()) };
        if matches!(request.proof, Proof::New { .. }) {
            return if self.sessions.is_online(account.id) {
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
        self.sessions.admit(account.id, device, request.purpose)?;
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

    pub(super) fn finish_sign_in(
        &mut self,
        now_ms: u64,
        queued: Open,
        committed: Committed,
        _story: &Batch,
    ) {
        let stored = committed.outcome;
        // What others hold of a name that was deleted counts no more.
        let back = match &committed.proposal {
            Proposal::Account(new) if self.router.is_gone(&new.name) => Some(new.name.clone()),
            _ => None,
        };
        let effects = self.router.apply(now_ms, committed);
        match stored {
            Ok(Stored::Account(account, device)) => {
                if let Some(name) = back {
                    self.notify.keys(&name);
                }
                self.open_session(now_ms, queued, account, device, true);
            }
            Ok(Stored::Device(device)) => {
                let Some(id) = effects.revoked else { return };
                if let Some(account) = self.router.account(id) {
                    self.sessions.close_replaced(account);
                    self.notify.keys(&account.name);
                }
                // A new identity has left others without a place and without offers.
                self.gate.publish(self.router.admittance());
                self.count_offers();
                self.open_session(now_ms, queued, id, device, false);
            }
            Err(Conflict::Missing { .. }) => {
                let reason = "this code was used up a moment ago; ask for another one";
                turn_away(queued, Refusal::new(code::INVITE, reason));
            }
            _ => {
                let reason = "this name was taken a moment ago; choose another one";
                turn_away(queued, Refusal::new(code::NAME_TAKEN, reason));
            }
        }
    }

    fn open_session(
        &mut self,
        now_ms: u64,
        queued: Queued<Request>,
        account: AccountId,
        device: DeviceId,
        is_new: bool,
    ) {
        story::sign_in(&self.log, &queued, is_new);
        let Request::SignIn(request) = queued.item else { return };
        let SignIn { connection, purpose, spki, sk, received, outbox, reply, .. } = *request;
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
            connection,
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
        let is_first = self.sessions.open(Arc::clone(&peer));
        if is_first {
            self.tell_of(&peer.name, true);
        }
        let admitted = Admitted { peer: Arc::clone(&peer), plan, is_new, signed_in };
        if reply.send(Ok(admitted)).is_err() {
            self.leave(&peer);
        }
    }

    pub(super) fn leave(&mut self, peer: &Peer) {
        let is_last = self.sessions.close(peer);
        story::leave(&self.log, peer);
        if is_last {
            self.tell_of(&peer.name, false);
        }
    }

    /// Tells the console and everybody who came or went. The hub's own agent is always there.
    fn tell_of(&mut self, name: &UserName, joined: bool) {
        if name.is_server() {
            return;
        }
        let what = if joined { "joined" } else { "left" };
        self.console.line(format!("[{name}] just {what} the chat"));
        self.notify.presence(name, joined);
    }
}

/// Tells the connection why not. It may be gone.
fn turn_away(queued: Open, refusal: Refusal) {
    if let Request::SignIn(request) = queued.item {
        request.reply.send(Err(refusal)).ok();
    }
}
