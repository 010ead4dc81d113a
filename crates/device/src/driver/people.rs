//! Orders about people's keys and this user's devices.

use chat_endpoint::{Introduction, KnownDevice, TrustError};
use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;
use tokio::sync::oneshot;

use super::step::Replies;
use super::{Driver, End, Link};
use crate::client::{ClientEvent, RenewError};
use crate::connection::Socket;
use crate::home::KeyChange;

/// Why a connection ends that comes back by itself with other keys.
pub const RENEWING: &str = "new keys are published";

/// What somebody decides about a person's identity key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its words were compared.
    Verified(KeyId),
    /// It takes the place of the known one.
    Trust(KeyId),
    /// It is passed over.
    Distrust(KeyId),
}

/// Where it goes what became of a decision.
pub(super) type Decided = oneshot::Sender<Result<(), TrustError>>;

/// An order about people.
#[derive(Debug)]
pub(crate) enum PeopleOrder {
    Introduction {
        user: UserName,
        reply: oneshot::Sender<Option<Introduction>>,
    },
    Undecided {
        reply: oneshot::Sender<Vec<UserName>>,
    },
    Decide {
        user: UserName,
        decision: Decision,
        reply: Decided,
    },
    Devices {
        user: UserName,
        reply: oneshot::Sender<Vec<KnownDevice>>,
    },
    IsDeleted {
        user: UserName,
        reply: oneshot::Sender<bool>,
    },
    /// Everybody whose key is known.
    Known {
        reply: oneshot::Sender<Vec<UserName>>,
    },
    /// Those of them whose name is this one but for the case of letters.
    KnownAs {
        name: UserName,
        reply: oneshot::Sender<Vec<UserName>>,
    },
    Renew {
        change: KeyChange,
        reply: oneshot::Sender<Result<(), RenewError>>,
    },
}

impl Driver {
    pub(super) fn obey_about_people(
        &mut self,
        now_ms: u64,
        order: PeopleOrder,
        replies: &mut Replies,
    ) {
        let endpoint = &mut self.endpoint;
        // Whoever asked may be gone.
        match order {
            PeopleOrder::Introduction { user, reply } => {
                reply.send(endpoint.introduction(&user)).ok();
            }
            PeopleOrder::Undecided { reply } => drop(reply.send(endpoint.undecided())),
            PeopleOrder::Decide { user, decision, reply } => {
                let done = match decision {
                    Decision::Verified(key) => endpoint.mark_verified(&user, key),
                    Decision::Trust(key) => endpoint.trust(&user, key),
                    Decision::Distrust(key) => endpoint.distrust(&user, key),
                };
                replies.decided.push((reply, done));
            }
            PeopleOrder::Devices { user, reply } => {
                reply.send(endpoint.known_devices(now_ms, &user)).ok();
            }
            PeopleOrder::IsDeleted { user, reply } => {
                reply.send(endpoint.is_deleted(&user)).ok();
            }
            PeopleOrder::Known { reply } => drop(reply.send(endpoint.known_names())),
            PeopleOrder::KnownAs { name, reply } => drop(reply.send(endpoint.known_as(&name))),
            PeopleOrder::Renew { change, reply } => {
                if !matches!(self.link, Link::Online { .. }) {
                    reply.send(Err(RenewError::Offline)).ok();
                } else if endpoint.unanswered() > 0 || replies.renewal.is_some() {
                    // What is signed with the old key must be answered first.
                    reply.send(Err(RenewError::Unanswered)).ok();
                } else {
                    replies.renewal = Some(change);
                    self.renewals.push(reply);
                }
            }
        }
    }

    /// Leaves the connection and comes back with other keys.
    pub(super) fn renew(&mut self, change: KeyChange) {
        self.endpoint.disconnected();
        let closing = match std::mem::take(&mut self.link) {
            Link::Online { socket, .. } => Some(socket),
            _ => None,
        };
        self.fail_flushes();
        let reason = RENEWING.to_owned();
        self.journal.lost(&reason);
        self.pending.push_back(ClientEvent::Offline { reason });
        self.start_renewal(change, closing);
    }

    /// Makes the next keys, with all that this account has revoked. A connection is closed before: a name
    /// is signed in once.
    fn start_renewal(&mut self, change: KeyChange, closing: Option<Box<Socket>>) {
        let revoked = self.endpoint.revocations();
        let device = self.device.clone();
        self.link = Link::renewing(&self.door, device, (change, revoked), closing);
    }

    /// Counters say that this device was restored: a new signing key, unless that is claimed too often.
    pub(super) fn counters_ask_for_key(&mut self, now_ms: u64) -> Result<(), End> {
        if !self.device.may_be_forced(now_ms) {
            return Err(End::Failed(crate::client::Stopped::Counters));
        }
        self.start_renewal(KeyChange::Forced, None);
        Ok(())
    }

    /// The server has the new bundle.
    pub(super) fn tell_renewed(&mut self) {
        for reply in self.renewals.drain(..) {
            // Whoever asked may be gone.
            reply.send(Ok(())).ok();
        }
    }
}
