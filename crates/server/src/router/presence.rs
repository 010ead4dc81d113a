//! Who is connected, wherever: what the records of sessions say.
//!
//! [`Sessions`](crate::sessions::Sessions) holds those that are served here.

use std::{collections::HashMap, time::Duration};

use chat_protocol::{code, handshake::Purpose};

use super::{Effects, Router};
use crate::{
    request::Refusal,
    store::{AccountId, DeviceId, Incarnation, NewSession, SessionPlace},
};

/// When a device comes again whose session at another hub is open: that hub is gone within some seconds, if it is.
const ELSEWHERE_RETRY: Duration = Duration::from_secs(1);

/// What is connected of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// Anything.
    pub online: bool,
    /// A device that accepts commands.
    pub agent: bool,
}

/// A session that was opened and not closed.
#[derive(Debug)]
pub(super) struct OpenSession {
    place: SessionPlace,
    device: DeviceId,
    purpose: Purpose,
}

/// Open sessions of everybody who has one.
pub(super) type Present = HashMap<AccountId, Vec<OpenSession>>;

/// Whether others were told of one of these.
fn is_announced(sessions: &[OpenSession]) -> bool {
    sessions.iter().any(|session| session.purpose.is_announced())
}

impl Router {
    /// Whether somebody is connected.
    pub fn is_online(&self, account: AccountId) -> bool {
        self.present.contains_key(&account)
    }

    /// What is connected of an account.
    pub fn presence(&self, account: AccountId) -> Presence {
        let sessions = self.present.get(&account);
        let mut purposes = sessions.into_iter().flatten().map(|session| session.purpose);
        Presence { online: sessions.is_some(), agent: purposes.any(|p| p == Purpose::Agent) }
    }

    /// Whether a device may come in at this hub beside those that are here. Devices of one account do not disturb
    /// each other; a device has one interactive session. One that is open at another hub may be that of a hub which
    /// died a moment ago: who comes from there is told to come again, until `is_late` says that it was not heard of.
    pub fn admits_session(
        &self,
        (account, device): (AccountId, Option<DeviceId>),
        purpose: Purpose,
        (hub, is_late): (Incarnation, impl Fn(Incarnation) -> bool),
    ) -> Result<(), Refusal> {
        if purpose != Purpose::Interactive {
            return Ok(());
        }
        let sessions = self.present.get(&account).into_iter().flatten();
        let own = sessions.filter(|session| {
            Some(session.device) == device && session.purpose == Purpose::Interactive
        });
        let own = own.map(|session| session.place.hub);
        let mut hubs = own.filter(|other| *other == hub || !is_late(*other)).peekable();
        if hubs.peek().is_none() {
            return Ok(());
        }
        if hubs.all(|other| other != hub) {
            let reason = "this name is signed in already on this device, at another server; if that \
                          one is gone, it is noticed within seconds";
            return Err(Refusal::new(code::NAME_IN_USE, reason).with_retry(ELSEWHERE_RETRY));
        }
        let reason = "this name is signed in already on this device";
        Err(Refusal::new(code::NAME_IN_USE, reason))
    }

    /// A session begins or ends. Others are told of the first and the last one of a name that is no task
    /// which ends by itself: such a task is no arrival.
    pub(super) fn apply_session(&mut self, new: &NewSession) -> Effects {
        let NewSession { place, account, device, purpose, is_open, replaces } = *new;
        let sessions = self.present.entry(account).or_default();
        let was_announced = is_announced(sessions);
        sessions.retain(|session| session.place != place && Some(session.place) != replaces);
        if is_open {
            sessions.push(OpenSession { place, device, purpose });
        }
        let is_announced = is_announced(sessions);
        if sessions.is_empty() {
            self.present.remove(&account);
        }
        self.forget_refused();
        let came = (was_announced != is_announced).then_some((account, is_announced));
        Effects { came: came.into_iter().collect(), replaced: replaces, ..Effects::default() }
    }

    /// The session for a person that a device has at another hub.
    pub fn other_session(
        &self,
        (account, device): (AccountId, DeviceId),
        purpose: Purpose,
        hub: Incarnation,
    ) -> Option<SessionPlace> {
        let sessions = self.present.get(&account).into_iter().flatten();
        let mut others = sessions.filter(|one| {
            one.device == device && one.purpose == Purpose::Interactive && one.place.hub != hub
        });
        let other = others.next().map(|session| session.place);
        other.filter(|_| purpose == Purpose::Interactive)
    }

    /// Whether a device has a session at another hub.
    pub(super) fn is_elsewhere(
        &self,
        account: AccountId,
        device: DeviceId,
        hub: Incarnation,
    ) -> bool {
        let sessions = self.present.get(&account).into_iter().flatten();
        sessions.filter(|one| one.device == device).any(|one| one.place.hub != hub)
    }

    /// Whether a device has more than one session.
    pub(super) fn has_several(&self, account: AccountId, device: DeviceId) -> bool {
        let sessions = self.present.get(&account).into_iter().flatten();
        sessions.filter(|one| one.device == device).nth(1).is_some()
    }

    /// An earlier life of a hub whose sessions are still open.
    pub fn predecessor(&self, hub: Incarnation) -> Option<Incarnation> {
        let hubs = self.present.values().flatten().map(|session| session.place.hub);
        hubs.filter(|other| other.node == hub.node && *other != hub).min()
    }

    /// A hub is gone, and all of its sessions with it.
    pub(super) fn apply_gone(&mut self, hub: Incarnation) -> Effects {
        let mut came = Vec::new();
        self.present.retain(|account, sessions| {
            let was_announced = is_announced(sessions);
            sessions.retain(|session| session.place.hub != hub);
            if was_announced && !is_announced(sessions) {
                came.push((*account, false));
            }
            !sessions.is_empty()
        });
        came.sort_unstable();
        self.forget_refused();
        Effects { came, ..Effects::default() }
    }
}
