//! Several devices of one person: what one says, the others show; a command is for the one that it
//! names; and a device that is new is wrapped for from the next message on.

use std::collections::BTreeSet;

use chat_protocol::header::{MessageHeader, Recipient};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::limits::PAGE_ITEMS_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;

use crate::endpoint::Endpoint;
use crate::questions::{Kids, Question};

impl Endpoint {
    /// The hub says that these people have new keys. Views with them in it are fetched again
    /// before the next message is sealed there.
    pub(crate) fn on_keys(&mut self, users: &[UserName]) {
        for name in users {
            self.people.outdate(name);
            // What is told of them is concluded by its answer, and by what the hub shows then.
            if !self.out.questions.is_telling(name) {
                self.lacks_no_more(name);
            }
        }
        // A new device of these is news, and a revoked one is refused at once.
        let close = |name: &&UserName| {
            **name == self.device.user
                || self.has_talked_with(name)
                || self.are_keys_asked_for(name)
        };
        let close: BTreeSet<UserName> = users.iter().filter(close).cloned().collect();
        self.ask_once_for_keys(close);
        let concerns = |cid: &ConversationId| users.iter().any(|name| self.has_known(cid, name));
        // An answer that is on its way may be older than the notice: it is asked for again then.
        let stale = self.views.all().filter(|cid| concerns(cid)).cloned();
        for cid in stale.collect::<Vec<_>>() {
            self.views.overtake(&cid);
        }
    }

    /// Asks for the newest bundles of these people, of each once: an answer that is on its way may be
    /// older than what they have published since, so they are asked for again when it has come.
    pub(crate) fn ask_once_for_keys(&mut self, names: BTreeSet<UserName>) {
        for page in self.people.ask_now(names).chunks(PAGE_ITEMS_MAX) {
            let id = self.ask_bundles(page, Kids::new(), None);
            self.inbox.ask_again(page, id);
            self.people.asked(id, page);
        }
    }

    /// Bundles were answered that a notice had made this device ask for.
    pub(crate) fn keys_answered(&mut self, id: &MessageId) {
        let again = self.people.answered(id);
        self.ask_once_for_keys(again);
    }

    /// The hub says whose accounts were deleted, of the people in this question. No key is made for them
    /// as long as this connection lasts, and none of it is kept. What is said without them they never get, also
    /// when the hub has lied: so each key names them, and its maker is told. Who writes to that person is
    /// refused with the reason.
    pub(crate) fn note_gone(&mut self, id: &MessageId, gone: &[UserName]) {
        let Some(Question::Bundles { names, .. }) = self.out.questions.get(id) else { return };
        for name in names.clone() {
            let is_gone = gone.contains(&name);
            if self.people.note_gone(name, is_gone) {
                self.audiences_changed();
            }
        }
    }

    /// Whether the hub has said on this connection that an account was deleted. It says so when it is asked for keys.
    pub fn is_deleted(&self, name: &UserName) -> bool {
        self.people.is_gone(name)
    }

    /// Whether somebody's bundles are on their way, on behalf of no view: a view is fetched anew itself.
    pub(crate) fn are_keys_asked_for(&self, name: &UserName) -> bool {
        self.out.questions.any(|question| match question {
            Question::Bundles { names, view: None, .. } => names.contains(name),
            _ => false,
        })
    }

    /// Whether a command waits for its sender's newest bundles: a device that was revoked while this
    /// machine was away must not be obeyed. Without an answer of the hub it never starts.
    pub(crate) fn needs_newest(&self, header: &MessageHeader) -> bool {
        let accepts = self.device.bundle.header().rb.is_some();
        header.t == Tag::Cmd && accepts && !self.people.is_newest(&header.from)
    }

    /// Whether this person has, or had, another device.
    pub(crate) fn has_had_sibling(&self) -> bool {
        let own = self.device.dev;
        self.people.devices(&self.device.user).any(|bundle| bundle.header().dev != own)
    }

    /// Whether this person had another device in an epoch, or may have had one in an epoch that is not
    /// held here.
    pub(crate) fn has_sibling_in(&self, e: &Digest) -> bool {
        let own = &self.device.bundle.header().sk;
        let Some(epoch) = self.epochs.get(e) else {
            let mut devices = self.people.devices(&self.device.user);
            return devices.any(|bundle| bundle.header().dev != self.device.dev);
        };
        let mut lines = epoch.list.lines().iter();
        lines.any(|line| line.name == self.device.user && own.iter().all(|key| key.kid != line.sk))
    }

    /// Whether it takes the bundles of this person's other devices to tell which one a command is for, or which one
    /// has asked for what comes back of one.
    pub(crate) fn needs_siblings(&self, header: &MessageHeader) -> bool {
        let is_in_doubt = match header.t {
            Tag::Cmd => header.rb != self.device.bundle.header().rb,
            Tag::Out | Tag::Ack | Tag::Noack => !self.has_had_sibling(),
            _ => false,
        };
        is_in_doubt && self.has_sibling_in(&header.e)
    }

    /// Whether another device of this person deals with a command: the one whose restart nonce it
    /// names, or, where this device is no agent, any that is.
    pub(crate) fn is_for_sibling(&self, header: &MessageHeader) -> bool {
        if header.to != Recipient::User(self.device.user.clone()) {
            return true;
        }
        let own = self.device.bundle.header();
        if own.rb.is_some() && header.rb == own.rb {
            return false;
        }
        let siblings = self.people.devices(&self.device.user);
        siblings.filter(|bundle| bundle.header().dev != own.dev).any(|bundle| {
            let rb = bundle.header().rb;
            rb.is_some() && (own.rb.is_none() || rb == header.rb)
        })
    }
}
