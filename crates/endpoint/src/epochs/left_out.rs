//! Members whom an epoch leaves out, because this device cannot tell that the key which is offered for
//! them is theirs, or none is offered (rule R40). The epoch names them: the hub takes it without their lines, and everybody
//! who reads it sees who does not.

use std::collections::BTreeSet;

use chat_protocol::code;
use chat_protocol::limits::LEFT_OUT_MAX;
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::event::Event;

/// Names that are said of those whom nobody has vouched for: enough to see what they are like, in one line.
const UNVOUCHED_NAMED_MAX: usize = 5;

impl Endpoint {
    /// Whether somebody is in a conversation, and what is said there is for them.
    pub(crate) fn reaches(&self, cid: &ConversationId, name: &UserName) -> bool {
        self.people_of(cid).contains(name) && !self.is_left_out(cid, name)
    }

    /// Whether nothing is sealed for a member: their identity is not the one that the chain names, or not
    /// the one that the hub has keys of; the hub was asked and has shown no key of theirs; it knows no account of
    /// theirs, or says that it was deleted, or has other devices of theirs than are held here, or than are good by what a
    /// member has handed over; their link counts by the hub's word only; or they have lost their place by a link that the hub does not show.
    pub(crate) fn is_left_out(&self, cid: &ConversationId, name: &UserName) -> bool {
        let is_other_room_member = !cid.is_direct() && *name != self.device.user;
        is_other_room_member
            && (!self.is_member_by_key(cid, name)
                || self.is_keyless(cid, name)
                || self.people.is_replaced(name)
                || self.is_unknown_to_hub(name)
                || self.is_differing(name)
                || self.people.is_disputed(name)
                || self.people.is_gone(name)
                || self.is_unproved(cid, name)
                || self.is_struck(cid, name))
    }

    /// Whether the hub was asked for the keys of a member and has shown none. An honest one has a key of each
    /// account, also of one that has not been here for long.
    fn is_keyless(&self, cid: &ConversationId, name: &UserName) -> bool {
        let is_asked = self.link.keyless.get(cid).is_some_and(|names| names.contains(name));
        is_asked && !self.people.has_device(name)
    }

    /// The members of a room, others than this user, of whom no key is held.
    fn without_keys(&self, cid: &ConversationId) -> BTreeSet<UserName> {
        let mut names = self.people_of(cid);
        names.retain(|name| *name != self.device.user && !self.people.has_device(name));
        names.into_iter().collect()
    }

    /// The view of a conversation was completed: the hub was asked for the keys of everybody in it, and has answered.
    pub(crate) fn note_keyless(&mut self, cid: &ConversationId) {
        if cid.is_direct() {
            return;
        }
        let names = self.without_keys(cid);
        self.link.left_out_told.remove(cid);
        if names.is_empty() {
            self.link.keyless.remove(cid);
        } else {
            self.link.keyless.insert(cid.clone(), names);
        }
    }

    /// Those members, and who has left by the hub's word only. Whom a person is surest to miss comes first: a hub
    /// that adds names which somebody made up, or accounts of its own, hides nobody behind them.
    pub(super) fn left_out_of(&self, cid: &ConversationId) -> Vec<UserName> {
        let mut names = self.people_of(cid);
        names.retain(|name| self.is_left_out(cid, name));
        let taken_out = self.gone_by_word(cid);
        names.extend(taken_out.iter().cloned());
        let room = self.state.rooms.get(cid);
        names.sort_by_cached_key(|name| {
            let is_pinned = self.people.is_pinned(name);
            let is_proved = !self.is_unproved(cid, name);
            let is_missed = self.is_missed(cid, name) && !taken_out.contains(name);
            let member = room.and_then(|room| room.members().get(name));
            let since = member.map_or(0, |member| member.since);
            (!is_missed, !is_proved, !is_pinned, since, name.clone())
        });
        names
    }

    /// Whether the hub wants a line of a member who is left out: not of whom it does not know or has deleted, nor of an
    /// identity that it cannot show.
    pub(super) fn is_missed(&self, cid: &ConversationId, name: &UserName) -> bool {
        !self.is_unproved(cid, name)
            && !self.is_keyless(cid, name)
            && !self.is_unknown_to_hub(name)
            && !self.people.is_gone(name)
    }

    /// As many of them as a key can name, sorted. Of more, the hub misses lines.
    pub(super) fn named_in_key(left_out: &[UserName]) -> Vec<UserName> {
        let mut names: Vec<UserName> = left_out.iter().take(LEFT_OUT_MAX).cloned().collect();
        names.sort_unstable();
        names
    }

    /// Something is said: says whom that does not reach, if that can have changed since it was last told on this
    /// connection. A newcomer whom nothing can be sealed for changes no list, and so brings no new key. `false`
    /// where it has to wait, because another process has met a member of whom this one has not asked for keys.
    pub(crate) fn tell_newly_left_out(&mut self, cid: &ConversationId) -> bool {
        if cid.is_direct() || self.link.left_out_told.contains(cid) {
            return true;
        }
        let asked = self.link.keyless.get(cid);
        let is_asked = |name: &UserName| asked.is_some_and(|names| names.contains(name));
        if !self.without_keys(cid).iter().all(is_asked) {
            self.start_refresh(cid, false);
            return false;
        }
        let in_key = self.named_in_current(cid);
        self.tell_left_out(cid, &in_key);
        self.link.left_out_told.insert(cid.clone());
        true
    }

    /// Whom the key names that is sealed in. One that names somebody who came after it says nothing of them.
    fn named_in_current(&self, cid: &ConversationId) -> Vec<UserName> {
        let sending = self.epochs.sending(cid);
        let epoch = sending.and_then(|sending| self.epochs.get(&sending.head.e));
        let Some(epoch) = epoch else { return Vec::new() };
        let room = self.state.rooms.get(cid);
        let member = |name: &UserName| room.and_then(|room| room.members().get(name));
        let was_there = |name: &&UserName| member(name).is_none_or(|m| m.since < epoch.place.mg);
        epoch.left_out.iter().filter(was_there).cloned().collect()
    }

    /// Says whom a key does not reach, also those whom it has no room to name, and whoever has made it. Each name once
    /// on a connection, until they are reached again. Who was removed is no news, nor is who is `in_key`: named by a
    /// key that was used before, with whose first use that was told.
    pub(super) fn tell_left_out(&mut self, cid: &ConversationId, in_key: &[UserName]) {
        let mut names = self.left_out_of(cid);
        names.retain(|name| !self.is_struck(cid, name));
        let (mut deleted, names): (Vec<UserName>, Vec<UserName>) =
            names.into_iter().partition(|name| self.people.is_gone(name));
        deleted.retain(|name| !in_key.contains(name));
        self.tell_deleted(deleted);
        let names = self.tell_unvouched(cid, names);
        let mut told = self.link.left_out.remove(cid).unwrap_or_default();
        told.retain(|name| names.contains(name));
        let is_news = |name: &UserName| !told.contains(name) && !in_key.contains(name);
        let news: Vec<UserName> = names.into_iter().filter(is_news).collect();
        // Who was not told because of the key in use is told with the next one.
        told.extend(news.iter().cloned());
        self.link.left_out.insert(cid.clone(), told);
        let Some(names) = named(&news) else { return };
        let reason = format!(
            "what you say in {cid} does not reach {names}: the server says that it knows no such account, or \
             that they have left, which it cannot show, or shows no key of theirs, or offers one that you do not \
             know as theirs, or has other devices of theirs than you know, or a member has handed over that a device of theirs is revoked, \
             which the server does not show. Who has signed up again is reached again; of another key compare the words",
            cid = cid.spoken(),
        );
        self.out.complain(code::UNTRUSTED, &reason);
    }

    /// Takes those out whom this device has never met and of whom nobody has shown that they are there, and says of each
    /// once in a connection that they are, all new ones in one line: names that somebody has made up look like nobody who is missed, and are no
    /// error of what is said.
    fn tell_unvouched(&mut self, cid: &ConversationId, names: Vec<UserName>) -> Vec<UserName> {
        // By a key that was seen, or by the link with which somebody has let them into a room.
        let (vouched, unvouched): (Vec<UserName>, Vec<UserName>) =
            names.into_iter().partition(|name| self.expected_identity(name).is_some());
        let now = unvouched.iter().cloned().collect();
        let told = self.link.unvouched_told.insert(cid.clone(), now).unwrap_or_default();
        let news: Vec<UserName> =
            unvouched.into_iter().filter(|name| !told.contains(name)).collect();
        if !news.is_empty() {
            let text = format!(
                "in {cid} {are} that nobody has vouched for and that you have never met ({names}); what you say there \
                 does not reach them",
                cid = cid.spoken(),
                are = counted_names(news.len()),
                names = first_of(&news, UNVOUCHED_NAMED_MAX),
            );
            self.out.tell(Event::Announcement { text });
        }
        vouched
    }

    /// Says once in a connection whose accounts were deleted. That is no error of what is said to all.
    fn tell_deleted(&mut self, mut names: Vec<UserName>) {
        names.retain(|name| self.link.gone_told.insert(name.clone()));
        if let Some(names) = named(&names) {
            let text = format!(
                "these accounts were deleted, and what is said in rooms does not reach them: {names}"
            );
            self.out.tell(Event::Announcement { text });
        }
    }
}

/// Names in a row, as many as a key has, and how many more; `None` for none.
pub(crate) fn named(names: &[UserName]) -> Option<String> {
    (!names.is_empty()).then(|| first_of(names, LEFT_OUT_MAX))
}

/// The first of some names in a row, and how many more.
pub(crate) fn first_of(names: &[UserName], max: usize) -> String {
    let shown: Vec<&str> = names.iter().take(max).map(UserName::as_str).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// So many names are somewhere.
fn counted_names(count: usize) -> String {
    if count == 1 { "is a name".to_owned() } else { format!("are {count} names") }
}
