//! What this user has decided about people's identities: compared, trusted, refused (rules R24, R37).
//!
//! Nothing is ever sealed for an identity that is not pinned, and nothing that it has signed is
//! opened. While another identity is offered and nobody has decided, talk with the pinned one goes on
//! under a mark; commands and files stop.

use std::collections::BTreeSet;

use chat_protocol::code;
use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::keys::Bundle;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use thiserror::Error;

use crate::account::DeviceState;
use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event, Standing};
use crate::state::Sent;

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
        self.people.standing(name)
    }

    /// What this user and another compare; nothing while no key of the other was seen.
    pub fn introduction(&self, name: &UserName) -> Option<Introduction> {
        if !self.people.is_pinned(name) {
            return None;
        }
        let other = self.people.other_bundle(name);
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

    /// People for whom another identity is offered and who wait for a decision.
    pub fn undecided(&self) -> Vec<UserName> {
        self.people.pinned().filter(|name| self.people.is_in_question(name)).collect()
    }

    /// Notes that this user has compared the words of this identity with the person.
    pub fn mark_verified(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        self.people.mark_verified(name, key)
    }

    /// Pins another identity in the place of the known one. It is not verified, and in rooms it has to
    /// be admitted anew: their membership names the other key.
    pub fn trust(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        let spelled = self.people.trust(self.link.clock_ms, name, key)?;
        self.on_keys(&[name.clone(), spelled]);
        Ok(())
    }

    /// Keeps the known identity and passes over the other one from now on.
    pub fn distrust(&mut self, name: &UserName, key: KeyId) -> Result<(), TrustError> {
        self.people.distrust(self.link.clock_ms, name, key)?;
        self.on_keys(std::slice::from_ref(name));
        Ok(())
    }

    /// The hub offers another identity than the known one for a name.
    pub(crate) fn tell_stranger(&mut self, name: &UserName, bundle: &Bundle) {
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
        if self.people.is_trusted(other) {
            return None;
        }
        let outgoing = self.outbox.get(key)?;
        let stops = outgoing.tag == Tag::Cmd || outgoing.is_about_files();
        stops.then(|| (code::UNTRUSTED, untrusted(other)))
    }

    /// Why nothing at all can be sealed for a person: the hub offers nothing of the pinned identity.
    pub(crate) fn is_replaced(&self, other: &UserName) -> Option<(&'static str, String)> {
        self.people.is_replaced(other).then(|| {
            let reason = if self.people.is_refused(other) {
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
