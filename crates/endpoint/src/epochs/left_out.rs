//! Members whom an epoch leaves out, because this device cannot tell that the key which is offered for
//! them is theirs, or none is (rule R40). The epoch names them: the hub takes it without their lines, and everybody
//! who reads it sees who does not.

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

    /// Those members, and who has left by the hub's word only. Whom a person is surest to miss comes first: a hub
    /// that adds names which somebody made up, or accounts of its own, hides nobody behind them.
    pub(super) fn left_out_of(&self, cid: &ConversationId) -> Vec<UserName> {
        let mut names = self.people_of(cid);
        names.retain(|name| self.is_left_out(cid, name));
        let taken_out = self.gone_by_word(cid);
        names.extend(taken_out.iter().cloned());
        let room = self.state.rooms.get(cid.as_str());
        names.sort_by_cached_key(|name| {
            let is_pinned = self.state.pins.get(name.as_str()).is_some();
            let is_proved = !self.is_unproved(cid, name);
            // The hub wants no line of whom it does not know or has deleted, nor of an identity that it cannot show.
            let is_missed = is_proved
                && !self.is_unknown_to_hub(name)
                && !self.link.gone.contains(name)
                && !taken_out.contains(name);
            let member = room.and_then(|room| room.members().get(name));
            let since = member.map_or(0, |member| member.since);
            (!is_missed, !is_proved, !is_pinned, since, name.clone())
        });
        names
    }

    /// As many of them as a key can name, sorted. Of more, the hub misses lines.
    pub(super) fn named_in_key(left_out: &[UserName]) -> Vec<UserName> {
        let mut names: Vec<UserName> = left_out.iter().take(LEFT_OUT_MAX).cloned().collect();
        names.sort_unstable();
        names
    }

    /// Something is said in an epoch for the first time: says whom that does not reach, also those whom no key has
    /// room for, and whoever has made it. Each name once on a connection, until they are reached again. Who was removed
    /// is no news.
    pub(super) fn tell_left_out(&mut self, cid: &ConversationId) {
        let mut names = self.left_out_of(cid);
        names.retain(|name| !self.is_struck(cid, name));
        let (deleted, names): (Vec<UserName>, Vec<UserName>) =
            names.into_iter().partition(|name| self.link.gone.contains(name));
        self.tell_deleted(deleted);
        let names = self.tell_unvouched(cid, names);
        let now = names.iter().cloned().collect();
        let told = self.link.left_out.insert(cid.clone(), now).unwrap_or_default();
        let news: Vec<UserName> = names.into_iter().filter(|name| !told.contains(name)).collect();
        let Some(names) = named(&news) else { return };
        let reason = format!(
            "what you say in {cid} does not reach {names}: the server says that it knows no such account, or \
             that they have left, which it cannot show, or offers a key that you do not know as theirs. Who \
             has signed up again is reached again; of another key compare the words, then /trust",
            cid = cid.spoken(),
        );
        self.complain(code::UNTRUSTED, &reason);
    }

    /// Takes those out whom this device has never met and of whom nobody has shown that they are there, and says once
    /// in a connection how many there are: names that somebody has made up look like nobody who is missed, and are no
    /// error of what is said.
    fn tell_unvouched(&mut self, cid: &ConversationId, names: Vec<UserName>) -> Vec<UserName> {
        // By a key that was seen, or by the link with which somebody has let them into a room.
        let (vouched, unvouched): (Vec<UserName>, Vec<UserName>) =
            names.into_iter().partition(|name| self.expected_identity(name).is_some());
        if !unvouched.is_empty() && self.link.unvouched_told.insert(cid.clone()) {
            let text = format!(
                "in {cid} {are} that nobody has vouched for and that you have never met ({names}); what you say there \
                 does not reach them",
                cid = cid.spoken(),
                are = counted_names(unvouched.len()),
                names = few(&unvouched),
            );
            self.tell(Event::Announcement { text });
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
            self.tell(Event::Announcement { text });
        }
    }
}

/// Names in a row, as many as a key has, and how many more; `None` for none.
pub(crate) fn named(names: &[UserName]) -> Option<String> {
    let shown: Vec<&str> = names.iter().take(LEFT_OUT_MAX).map(UserName::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(shown.join(", ")),
        (false, more) => Some(format!("{} and {more} more (/members)", shown.join(", "))),
    }
}

/// So many names are somewhere.
fn counted_names(count: usize) -> String {
    if count == 1 { "is a name".to_owned() } else { format!("are {count} names") }
}

/// The first of some names in a row, and how many more.
fn few(names: &[UserName]) -> String {
    let shown: Vec<&str> = names.iter().take(UNVOUCHED_NAMED_MAX).map(UserName::as_str).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more, /members", shown.join(", ")),
    }
}
