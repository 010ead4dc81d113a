//! Members whom an epoch leaves out, because this device cannot tell that the key which is offered for
//! them is theirs, or none is (rule R40). The epoch names them: the hub takes it without their lines, and everybody
//! who reads it sees who does not.

use chat_protocol::code;
use chat_protocol::id::Digest;
use chat_protocol::limits::LEFT_OUT_MAX;
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::rooms::listed;

impl Endpoint {
    /// Whether somebody is in a conversation, and what is said there is for them.
    pub(crate) fn reaches(&self, cid: &ConversationId, name: &UserName) -> bool {
        self.people_of(cid).contains(name) && !self.is_left_out(cid, name)
    }

    /// Whether nothing is sealed for a member: their identity is not the one that the chain names, or not
    /// the one that the hub has keys of; the hub knows no account of theirs, or says that it was deleted; their
    /// link counts by the hub's word only; or they have lost their place by a link that the hub does not show.
    pub(crate) fn is_left_out(&self, cid: &ConversationId, name: &UserName) -> bool {
        let is_other_room_member = !cid.is_direct() && *name != self.device.user;
        is_other_room_member
            && (!self.is_member_by_key(cid, name)
                || self.link.replaced.contains(name)
                || self.is_unknown_to_hub(name)
                || self.link.gone.contains(name)
                || self.is_unproved(cid, name)
                || self.is_struck(cid, name))
    }

    /// Those members, and who has left by the hub's word only, sorted, as many as a key can name. Of more,
    /// the hub misses lines.
    pub(super) fn left_out_of(&self, cid: &ConversationId) -> Vec<UserName> {
        let mut names = self.people_of(cid);
        names.retain(|name| self.is_left_out(cid, name));
        let taken_out = self.gone_by_word(cid);
        names.extend(taken_out.iter().cloned());
        // The hub wants no line of whom it does not know or has deleted, nor of an identity that it cannot show:
        // names and identities that somebody made up take nobody's place.
        names.sort_unstable_by_key(|name| {
            self.is_unknown_to_hub(name)
                || self.link.gone.contains(name)
                || self.is_unproved(cid, name)
                || taken_out.contains(name)
        });
        names.truncate(LEFT_OUT_MAX);
        names.sort_unstable();
        names
    }

    /// Says once whom an epoch of ours does not reach. Who was removed is no news.
    pub(super) fn tell_left_out(&mut self, cid: &ConversationId, e: &Digest) {
        let Some(epoch) = self.state.epochs.get(&e.to_string()) else { return };
        let names = epoch.left_out.iter().filter(|name| !self.is_struck(cid, name));
        let (deleted, names): (Vec<UserName>, Vec<UserName>) =
            names.cloned().partition(|name| self.link.gone.contains(name));
        self.tell_deleted(deleted);
        let key = (cid.clone(), self.device.user.clone());
        if names.is_empty() {
            self.link.left_out.remove(&key);
            return;
        }
        let names: Vec<&str> = names.iter().map(UserName::as_str).collect();
        let reason = format!(
            "what you say in {cid} does not reach {names}: the server says that it knows no such account, or \
             that they have left, which it cannot show, or offers a key that you do not know as theirs. Who \
             has signed up again is reached again; of another key compare the words, then /trust",
            cid = cid.spoken(),
            names = names.join(", ")
        );
        if self.link.left_out.insert(key) {
            self.complain(code::UNTRUSTED, &reason);
        }
    }

    /// Says once in a connection whose accounts were deleted. That is no error of what is said to all.
    fn tell_deleted(&mut self, mut names: Vec<UserName>) {
        names.retain(|name| self.link.gone_told.insert(name.clone()));
        if let Some(names) = listed(&names.iter().collect::<Vec<_>>()) {
            let text = format!(
                "these accounts were deleted, and what is said in rooms does not reach them: {names}"
            );
            self.tell(Event::Announcement { text });
        }
    }
}
