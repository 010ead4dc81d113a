//! What is kept of a person: the identity that was seen first, or trusted since, and what this user has decided about
//! others that were offered for the name (rules R24, R37).

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;
use serde::{Deserialize, Serialize};

use super::People;
use crate::event::{Alarm, Standing};
use crate::limits::{DEVICES_HELD_MAX, FORMER_IDENTITIES_MAX, REFUSED_IDENTITIES_MAX};
use crate::out::Out;
use crate::trust::TrustError;

/// What an alarm says of a person who has signed two bundles of a device with one number (rule R14).
pub(crate) const SAME_NUMBER: &str = "two different bundles have the same number";

/// What a device keeps about a person: all of it signed by that person's keys, or decided by this
/// user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pin {
    /// The identity key seen first, or trusted since.
    identity: KeyId,
    /// This user has compared its words with the person.
    #[serde(default)]
    verified: bool,
    /// Another identity that was offered for this very name, and that nobody has decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<Stranger>,
    /// Identities that this user has refused, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Stranger>,
    /// Identities that were pinned before this user has trusted another one, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<Former>,
    /// Every bundle in the order of the hub.
    pub(super) bundles: Vec<B64Vec>,
}

/// An identity that is not the pinned one, by a bundle that it has signed for the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stranger {
    identity: KeyId,
    bundle: B64Vec,
}

/// An identity that was pinned once. Nothing is sealed for it and nothing that it says is opened; what it
/// has signed in the chains of rooms is still to be verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Former {
    identity: KeyId,
    pub(super) bundles: Vec<B64Vec>,
}

impl Pin {
    /// Nothing but the identity.
    fn new(identity: KeyId) -> Self {
        let (refused, former, bundles) = (Vec::new(), Vec::new(), Vec::new());
        Self { identity, verified: false, other: None, refused, former, bundles }
    }

    /// Notes another identity that was offered for the name: whether nobody waits for a decision yet.
    fn meet(&mut self, bundle: &Bundle) -> bool {
        let identity = bundle.identity();
        let mut met = self.other.iter().chain(&self.refused);
        if met.any(|stranger| stranger.identity == identity) {
            return false;
        }
        let bundle = B64Vec(bundle.bytes().to_vec());
        self.other.replace(Stranger { identity, bundle }).is_none()
    }
}

/// What is told of a bundle of this very device that it has not made.
const NOT_MADE_HERE: &str = "the server shows keys of this device that its home has not made: a copy of the home has gone on, or \
                             somebody has your identity key: look at your devices";

/// How the key of a person's row begins.
const PIN_ROW: &str = "pin/";

/// What a home holds about a person, for whoever checks signatures without a connection.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The identity key seen first.
    pub identity: KeyId,
    /// Every bundle accepted from that identity, in the order of the hub.
    pub bundles: Vec<Bytes>,
}

impl Pinned {
    /// The row of this person.
    pub fn row(name: &UserName) -> String {
        format!("{PIN_ROW}{name}")
    }

    /// Whose row this is, if it is one of a person.
    pub fn name_of(row: &str) -> Option<&str> {
        row.strip_prefix(PIN_ROW)
    }

    /// Reads the row of a person.
    pub fn read(row: &[u8]) -> Result<Self, serde_json::Error> {
        let Pin { identity, bundles, .. } = serde_json::from_slice(row)?;
        let bundles = bundles.into_iter().map(|B64Vec(bytes)| bytes.into()).collect();
        Ok(Self { identity, bundles })
    }
}

/// What became of a bundle that was offered for a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is of the known identity, or of the first one, and is kept.
    Kept,
    /// It is of the known identity and not kept: another one has its number, or the person has too many devices.
    Fork,
    /// Another identity has signed it for this name. The user is to be told under the name by which the known one is
    /// pinned, unless they were or have decided.
    Stranger(Option<UserName>),
    /// It is for another name.
    Nobodys,
}

impl People {
    /// Whether an identity is pinned for a name.
    pub(crate) fn is_pinned(&self, name: &UserName) -> bool {
        self.pins.get(name).is_some()
    }

    /// Everybody of whom an identity is pinned.
    pub(crate) fn pinned(&self) -> impl Iterator<Item = UserName> {
        self.pins.iter().filter_map(|(name, _)| UserName::new(name).ok())
    }

    /// The identity that a person must have: one's own, the hub's, or the one pinned.
    pub(crate) fn identity(&self, name: &UserName) -> Option<KeyId> {
        if *name == self.me {
            return Some(self.own.identity());
        }
        if name.is_server() {
            return Some(self.server);
        }
        self.pins.get(name).map(|pin| pin.identity)
    }

    /// How well a person's identity is known.
    pub(crate) fn standing(&self, name: &UserName) -> Standing {
        match self.pins.get(name) {
            Some(Pin { other: Some(_), .. }) => Standing::Changed,
            Some(Pin { verified: true, .. }) => Standing::Verified,
            _ => Standing::Known,
        }
    }

    /// Whether the known key of this person was not contradicted.
    pub(crate) fn is_trusted(&self, name: &UserName) -> bool {
        self.is_pinned(name) && self.standing(name) != Standing::Changed
    }

    /// Whether another identity waits for a decision.
    pub(crate) fn is_in_question(&self, name: &UserName) -> bool {
        self.standing(name) == Standing::Changed
    }

    /// Whether this user has decided against the other keys of a person.
    pub(crate) fn is_refused(&self, name: &UserName) -> bool {
        let pin = self.pins.get(name);
        pin.is_some_and(|pin| pin.other.is_none() && !pin.refused.is_empty())
    }

    /// A bundle of another identity that was offered for somebody, or that this user has refused last.
    pub(crate) fn other_bundle(&self, name: &UserName) -> Option<Bundle> {
        let pin = self.pins.get(name)?;
        self.verify(&pin.other.as_ref().or(pin.refused.last())?.bundle)
    }

    /// A bundle of each identity that this user has refused for somebody.
    pub(crate) fn refused_bundles(&self, name: &UserName) -> Vec<Bundle> {
        let refused = self.pins.get(name).into_iter().flat_map(|pin| &pin.refused);
        refused.filter_map(|other| self.verify(&other.bundle)).collect()
    }

    /// A bundle that the hub offers for a person, if it proves itself.
    pub(crate) fn verify_offered(
        &self,
        out: &mut Out,
        name: &UserName,
        bytes: &B64Vec,
    ) -> Option<Bundle> {
        let bundle = self.verify(bytes);
        if bundle.is_none() {
            let detail = "the hub offered a bundle that is not valid";
            out.alarm(Alarm::BadSignature, name, detail);
        }
        bundle
    }

    /// Takes one verified bundle if it is by the known identity; where none is, by the one that a link of a room
    /// names, which has `vouched` for it.
    pub(crate) fn accept(
        &mut self,
        now_ms: u64,
        out: &mut Out,
        (name, bundle): (&UserName, &Bundle),
        vouched: Option<KeyId>,
    ) -> Accepted {
        let named = &bundle.header().u;
        if named != name {
            let detail = format!("the server offered keys of {named} as those of {name}");
            out.alarm(Alarm::BadSignature, name, &detail);
            return Accepted::Nobodys;
        }
        // A name belongs to one account whatever the case of its letters: another spelling of a known one is
        // another identity that is offered for it.
        let other = self.spelled_otherwise(name).cloned();
        let expected = self.identity(name).or(vouched);
        if other.is_some() || expected.is_some_and(|identity| identity != bundle.identity()) {
            return Accepted::Stranger(self.meet_stranger(other.as_ref().unwrap_or(name), bundle));
        }
        let newest = self.devices(name).find(|b| b.header().dev == bundle.header().dev);
        let is_newer = newest.is_some_and(|stored| stored.header().seq < bundle.header().seq);
        let is_unlinked = is_newer && newest.is_some_and(|stored| bundle.follows(stored).is_err());
        let is_new = newest.is_none();
        if self.is_fork(bundle) {
            out.alarm(Alarm::BadChain, name, SAME_NUMBER);
            return Accepted::Fork;
        }
        if is_new && self.wrapped_for(now_ms, name, |_| false).count() >= DEVICES_HELD_MAX {
            out.alarm(Alarm::BadChain, name, "more devices are offered than one person may have");
            return Accepted::Fork;
        }
        let bytes = B64Vec(bundle.bytes().to_vec());
        let pin = self.pins.entry(name, || Pin::new(bundle.identity()));
        let is_news = !pin.bundles.contains(&bytes);
        if is_news {
            pin.bundles.push(bytes);
        }
        if is_news && self.is_foreign(bundle) {
            out.alarm(Alarm::BadChain, name, NOT_MADE_HERE);
        }
        if is_unlinked {
            // Two have the number before it. The person goes on from the other one, and so does who holds this one:
            // else what is told here would stay, and the hub's list and the one that is made here would differ for ever.
            out.alarm(Alarm::BadChain, name, SAME_NUMBER);
        }
        self.insert(now_ms, bundle);
        if self.settle_given(now_ms, name) {
            out.alarm(Alarm::BadChain, name, SAME_NUMBER);
        }
        Accepted::Kept
    }

    /// Another identity than the known one has signed a bundle for this name. It is remembered until
    /// this user decides, and nothing else comes of it. Returns the name that the user is to be told of.
    fn meet_stranger(&mut self, name: &UserName, bundle: &Bundle) -> Option<UserName> {
        // Whose keys this device knows from elsewhere than a pin, nobody can decide on.
        let decides = *name != self.me && !name.is_server();
        let pin = self.pins.get_mut(name).filter(|_| decides);
        pin.is_none_or(|pin| pin.meet(bundle)).then(|| name.clone())
    }

    /// Notes that this user has compared the words of this identity with the person.
    pub(crate) fn mark_verified(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        let pin = self.pins.get_mut(name).ok_or(TrustError::Unknown)?;
        if pin.identity != key || pin.other.is_some() {
            return Err(TrustError::Outdated);
        }
        pin.verified = true;
        Ok(())
    }

    /// Pins another identity in the place of the known one. Returns the name as that one spells it: it may differ in
    /// the case of its letters.
    pub(crate) fn trust(
        &mut self,
        now_ms: u64,
        name: &UserName,
        key: KeyId,
    ) -> Result<UserName, TrustError> {
        let pin = self.pins.get_mut(name).ok_or(TrustError::Unknown)?;
        let known = pin.other.iter().chain(&pin.refused).next().is_some();
        let taken = pin.other.take_if(|stranger| stranger.identity == key).or_else(|| {
            let at = pin.refused.iter().position(|stranger| stranger.identity == key)?;
            Some(pin.refused.remove(at))
        });
        let Some(Stranger { identity, bundle }) = taken else {
            return Err(if known { TrustError::Outdated } else { TrustError::NothingNew });
        };
        let refused = std::mem::take(&mut pin.refused);
        let mut former = std::mem::take(&mut pin.former);
        former.retain(|known| known.identity != identity);
        let bundles = std::mem::take(&mut pin.bundles);
        former.push(Former { identity: pin.identity, bundles });
        if former.len() > FORMER_IDENTITIES_MAX {
            former.remove(0);
        }
        let spelled = self.verify(&bundle).map(|bundle| bundle.header().u.clone());
        let spelled = spelled.unwrap_or_else(|| name.clone());
        let pin = Pin { refused, former, bundles: vec![bundle], ..Pin::new(identity) };
        self.pins.remove(name);
        self.pins.put(&spelled, pin);
        for name in [name, &spelled] {
            self.has_bundles(name);
        }
        self.loaded(now_ms);
        Ok(spelled)
    }

    /// Keeps the known identity and passes over the other one from now on.
    pub(crate) fn distrust(
        &mut self,
        now_ms: u64,
        name: &UserName,
        key: KeyId,
    ) -> Result<(), TrustError> {
        let pin = self.pins.get_mut(name).ok_or(TrustError::Unknown)?;
        let Some(stranger) = pin.other.take_if(|stranger| stranger.identity == key) else {
            let is_other = pin.other.is_some();
            return Err(if is_other { TrustError::Outdated } else { TrustError::NothingNew });
        };
        pin.refused.push(stranger);
        if pin.refused.len() > REFUSED_IDENTITIES_MAX {
            pin.refused.remove(0);
        }
        self.loaded(now_ms);
        Ok(())
    }
}
