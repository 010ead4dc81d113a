//! What this user has decided about people's identities: compared, trusted, refused (rules R24, R37).
//!
//! Nothing is ever sealed for an identity that is not pinned, and nothing that it has signed is
//! opened. While another identity is offered and nobody has decided, talk with the pinned one goes on
//! under a mark; commands and files stop.

use std::collections::BTreeSet;

use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::keys::Bundle;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::DeviceState;
use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::limits::{FORMER_IDENTITIES_MAX, REFUSED_IDENTITIES_MAX};
use crate::people::{Former, Pin, Stranger};
use crate::state::Sent;

/// How well a person's identity is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Pinned when it was first seen.
    #[default]
    Known,
    /// This user has compared its words with the person.
    Verified,
    /// Another identity is offered for the name, and this user has not decided.
    Changed,
}

/// An identity key and the words that people read to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The id of the key.
    pub key: KeyId,
    /// Its words and digits under the person's name.
    pub words: Fingerprint,
}

/// What two people compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    /// This user's own.
    pub own: Identity,
    /// The one that is pinned for the other.
    pub pinned: Identity,
    /// Another one that was offered, or that this user has refused.
    pub other: Option<Identity>,
    /// How well the pinned one is known.
    pub standing: Standing,
    /// Messages to the other alone that nobody has confirmed. They are sealed for the pinned one: no other
    /// identity opens them.
    pub unconfirmed: usize,
}

/// Why an identity could not be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Nothing was ever seen of that name.
    #[error("nobody has that name; see the list of users")]
    Unknown,
    /// The identity is not the one that is pinned, or offered, now.
    #[error("the keys of that person have changed since these words were shown; look again")]
    Outdated,
    /// No other identity was offered.
    #[error("no other key was offered for that person; there is nothing to decide")]
    NothingNew,
}

impl Endpoint {
    /// How well a person's identity is known.
    pub fn standing(&self, name: &UserName) -> Standing {
        match self.state.pins.get(name) {
            Some(Pin { other: Some(_), .. }) => Standing::Changed,
            Some(Pin { verified: true, .. }) => Standing::Verified,
            _ => Standing::Known,
        }
    }

    /// What this user and another compare; nothing while no key of the other was seen.
    pub fn introduction(&self, name: &UserName) -> Option<Introduction> {
        let pin = self.state.pins.get(name)?;
        let other = pin.other.as_ref().or(pin.refused.last());
        let other = other.and_then(|stranger| self.bundle_of(stranger));
        Some(Introduction {
            own: identity(&self.device.bundle),
            pinned: identity(self.people.devices(name).next()?),
            other: other.as_ref().map(identity),
            standing: self.standing(name),
            unconfirmed: self.unconfirmed(name),
        })
    }

    /// The words of this user's own key.
    pub fn own_words(&self) -> Fingerprint {
        identity(&self.device.bundle).words
    }

    /// How many messages to a person alone the hub has kept, as far as is remembered, that they have not
    /// confirmed.
    fn unconfirmed(&self, name: &UserName) -> usize {
        let Ok(cid) = ConversationId::direct(&self.device.user, name) else { return 0 };
        let outgoing = self.outbox.iter();
        let under_way: BTreeSet<MessageId> = outgoing.map(|(_, out)| out.id).collect();
        let is_meant = |id: &MessageId, sent: &Sent| {
            sent.cid == cid
                && !sent.refused
                && !sent.confirmed.contains(name)
                && !under_way.contains(id)
        };
        self.state.sent.by_id().filter(|(id, sent)| is_meant(id, sent)).count()
    }

    /// Whether another identity than the known one was offered for somebody, or refused.
    pub(crate) fn has_other_identity(&self, name: &UserName) -> bool {
        let pin = self.state.pins.get(name);
        pin.is_some_and(|pin| pin.other.is_some() || !pin.refused.is_empty())
    }

    /// Whether another identity waits for a decision.
    pub(crate) fn is_in_question(&self, name: &UserName) -> bool {
        self.state.pins.get(name).is_some_and(|pin| pin.other.is_some())
    }

    /// A bundle of each identity that this user has refused for somebody.
    pub(crate) fn refused_bundles(&self, name: &UserName) -> Vec<Bundle> {
        let refused = self.state.pins.get(name).map_or(&[][..], |pin| &pin.refused);
        let bundles = refused.iter().map(|other| other.bundle.0.clone());
        bundles.filter_map(|bytes| self.bundles.verify(bytes.into())).collect()
    }

    /// People for whom another identity is offered and who wait for a decision.
    pub fn undecided(&self) -> Vec<UserName> {
        let changed = self.state.pins.iter().filter(|(_, pin)| pin.other.is_some());
        changed.filter_map(|(name, _)| UserName::new(name).ok()).collect()
    }

    /// Notes that this user has compared the words of this identity with the person.
    pub fn mark_verified(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        let pin = self.state.pins.get_mut(name).ok_or(TrustError::Unknown)?;
        if pin.identity != key || pin.other.is_some() {
            return Err(TrustError::Outdated);
        }
        pin.verified = true;
        Ok(())
    }

    /// Pins another identity in the place of the known one. It is not verified, and in rooms it has to
    /// be admitted anew: their membership names the other key.
    pub fn trust(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        let pin = self.state.pins.get_mut(name).ok_or(TrustError::Unknown)?;
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
        let spelled = self.bundles.verify(bundle.0.clone().into());
        let spelled = spelled.map_or_else(|| name.clone(), |bundle| bundle.header().u.clone());
        let pin = Pin { refused, former, bundles: vec![bundle], ..Pin::new(identity) };
        // It may be spelled in another case of the letters.
        self.state.pins.remove(name);
        self.state.pins.put(&spelled, pin);
        for name in [name, &spelled] {
            self.link.replaced.remove(name);
        }
        self.people_decided(&[name.clone(), spelled]);
        Ok(())
    }

    /// Keeps the known identity and passes over the other one from now on.
    pub fn distrust(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        let pin = self.state.pins.get_mut(name).ok_or(TrustError::Unknown)?;
        let Some(stranger) = pin.other.take_if(|stranger| stranger.identity == key) else {
            let is_other = pin.other.is_some();
            return Err(if is_other { TrustError::Outdated } else { TrustError::NothingNew });
        };
        pin.refused.push(stranger);
        if pin.refused.len() > REFUSED_IDENTITIES_MAX {
            pin.refused.remove(0);
        }
        self.people_decided(std::slice::from_ref(name));
        Ok(())
    }

    /// What was derived from the pins is derived anew, and views with these people are fetched anew.
    fn people_decided(&mut self, names: &[UserName]) {
        self.people = self.people.emptied();
        self.load_people();
        self.on_keys(names);
    }

    /// Another identity than the known one has signed a bundle for this name. It is remembered until
    /// this user decides, and nothing else comes of it.
    pub(crate) fn meet_stranger(&mut self, name: &UserName, bundle: &Bundle) {
        let identity = bundle.identity();
        // Whose keys this device knows from elsewhere than a pin, nobody can decide on.
        let decides = *name != self.device.user && !name.is_server();
        if let Some(pin) = self.state.pins.get_mut(name).filter(|_| decides) {
            let mut met = pin.other.iter().chain(&pin.refused);
            if met.any(|stranger| stranger.identity == identity) {
                return;
            }
            let bundle = B64Vec(bundle.bytes().to_vec());
            let first = pin.other.replace(Stranger { identity, bundle }).is_none();
            if !first {
                return;
            }
        }
        let lost = match self.unconfirmed(name) {
            0 => String::new(),
            count => format!(
                ". Of what you sent to {name}, {count} without a receipt are for the known one"
            ),
        };
        let spelled = &bundle.header().u;
        let as_whom = if spelled == name { String::new() } else { format!(", spelled {spelled}") };
        let detail = format!(
            "the server offers another key for {name}{as_whom} than the known one: commands and files to and \
             from {name} stop until you decide. Compare the words with {name} by telephone{lost}"
        );
        self.out.alarm(Alarm::KeyChanged, name, &detail);
    }

    /// Why this draft cannot go to a person whose key is in question, if so: text goes on, to the
    /// pinned identity.
    pub(crate) fn untrusted_draft(
        &self,
        other: &UserName,
        key: &str,
    ) -> Option<(&'static str, String)> {
        if self.is_trusted(other) {
            return None;
        }
        let outgoing = self.outbox.get(key)?;
        let stops = outgoing.tag == Tag::Cmd || outgoing.is_about_files();
        stops.then(|| (code::UNTRUSTED, untrusted(other)))
    }

    /// Why nothing at all can be sealed for a person: the hub offers nothing of the pinned identity.
    pub(crate) fn is_replaced(&self, other: &UserName) -> Option<(&'static str, String)> {
        self.link.replaced.contains(other).then(|| {
            let reason = if self.is_refused(other) {
                format!(
                    "the server has only a key of {other} that you refuse, and nothing is sealed for it"
                )
            } else {
                format!(
                    "the server has only another key of {other} than the known one, and nothing is \
                     sealed for it unasked; compare the words with {other}"
                )
            };
            (code::UNTRUSTED, reason)
        })
    }

    /// Whether this user has decided against the other keys of a person.
    fn is_refused(&self, name: &UserName) -> bool {
        let pin = self.state.pins.get(name);
        pin.is_some_and(|pin| pin.other.is_none() && !pin.refused.is_empty())
    }

    fn bundle_of(&self, stranger: &Stranger) -> Option<Bundle> {
        self.bundles.verify(stranger.bundle.0.clone().into())
    }

    /// Whether this user and a person have talked to each other alone.
    pub(crate) fn has_talked_with(&self, name: &UserName) -> bool {
        let cid = ConversationId::direct(&self.device.user, name).ok();
        let conversation = cid.and_then(|cid| self.epochs.conversation(&cid));
        conversation.is_some_and(|conversation| conversation.head.is_some())
    }

    /// Tells of devices that this device has not known before.
    pub(crate) fn tell_new_devices(
        &mut self,
        name: &UserName,
        before: &BTreeSet<chat_protocol::id::Nonce16>,
    ) {
        let is_own = *name == self.device.user;
        if !is_own && !self.has_talked_with(name) {
            return;
        }
        let now_ms = self.link.clock_ms;
        let is_new = |bundle: &&Bundle| {
            let dev = bundle.header().dev;
            !before.contains(&dev) && dev != self.device.dev
        };
        let marks = self.people.devices(name).filter(is_new);
        let marks = marks.filter_map(chat_protocol::keys::DeviceMark::of);
        let new: Vec<KeyId> = marks.map(|mark| mark.sk).collect();
        if new.is_empty() {
            return;
        }
        let listed = self.known_devices(now_ms, name).into_iter().enumerate();
        let live = listed
            .filter(|(_, device)| device.state == DeviceState::Live && new.contains(&device.sk));
        for (at, device) in live.collect::<Vec<_>>() {
            let (user, number, words) = (name.clone(), at + 1, device.words.to_string());
            self.out.tell(Event::NewDevice { user, number, words });
        }
    }
}

/// Why commands and files do not go to a person.
pub(crate) fn untrusted(name: &UserName) -> String {
    format!(
        "the server offers another key for {name} than the known one; compare the words with {name}"
    )
}

fn identity(bundle: &Bundle) -> Identity {
    let header = bundle.header();
    Identity { key: bundle.identity(), words: Fingerprint::of(&header.u, &header.ik) }
}
