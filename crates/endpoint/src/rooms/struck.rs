//! What the hub's chain has not taken away, and another one has that was verified (rule R33): links that
//! a member handed over, or a chain that was seen before the hub's. It counts at once, whatever the hub
//! shows: who was put out is not sealed for, and who is no admin any more has no rights.

use chat_protocol::frame::RawFrame;
use chat_protocol::header::{MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::id::KeyId;
use chat_protocol::members::{Membership, Place};
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

use super::header;
use crate::endpoint::Endpoint;
use crate::limits::STRUCK_STRANGERS_MAX;
use crate::position::Position;

/// What somebody has lost, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lost {
    /// Their place among the members, and that of coming back by themselves.
    Banned,
    /// Their place among the members.
    Place,
    /// The rights of an admin.
    Rights,
}

/// Somebody who has lost something that the hub's chain still gives them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Struck {
    /// Who: another identity of the name has lost nothing.
    ik: KeyId,
    lost: Lost,
    /// Number of the first link of a chain that they could not sign as an admin any more.
    void: u32,
    /// Number of links of the hub's chain when it was seen. What an admin gives behind it counts.
    links: u32,
    /// The newest position that the hub had named then.
    at: Position,
}

/// The row of who was struck.
fn struck_key(cid: &ConversationId, name: &str) -> String {
    format!("{cid}/{name}")
}

/// Whether somebody is an admin by a chain.
pub(super) fn is_admin(room: &Membership, name: &UserName) -> bool {
    room.members().get(name).is_some_and(|member| member.admin)
}

impl Endpoint {
    fn struck(&self, cid: &ConversationId, name: &UserName) -> Option<&Struck> {
        if self.state.struck.len() == 0 {
            return None;
        }
        let room = self.state.rooms.get(cid);
        let member = room.and_then(|room| room.members().get(name));
        let struck = self.state.struck.get(&struck_key(cid, name.as_str()))?;
        member.is_none_or(|member| member.ik == struck.ik).then_some(struck)
    }

    /// Whether somebody is left out of what is sealed: they were put out, or let in by somebody who had
    /// no right to any more.
    pub(crate) fn is_struck(&self, cid: &ConversationId, name: &UserName) -> bool {
        match self.struck(cid, name) {
            Some(Struck { lost: Lost::Banned | Lost::Place, .. }) => true,
            _ => self.state.struck.len() > 0 && self.came_by_no_right(cid, name),
        }
    }

    /// The newest position that the hub had named when somebody was put out, where it has not gone back since.
    pub(crate) fn struck_at(&self, cid: &ConversationId, name: &UserName) -> Option<Position> {
        let struck = self.struck(cid, name).filter(|struck| struck.lost != Lost::Rights);
        struck.map(|struck| struck.at).filter(|at| *at <= self.positions.newest())
    }

    /// Whether somebody was let in by one who had lost the rights of an admin before.
    fn came_by_no_right(&self, cid: &ConversationId, name: &UserName) -> bool {
        let room = self.state.rooms.get(cid);
        let since = room.and_then(|room| room.members().get(name)).map(|member| member.since);
        let link = since.and_then(|since| Some((since, self.kept_link(cid, since)?)));
        link.is_some_and(|(since, link)| {
            link.by != *name && self.struck(cid, &link.by).is_some_and(|by| by.void <= since)
        })
    }

    /// Whether nothing that was seen speaks against the rights that a chain gives somebody.
    pub(super) fn is_untouched(&self, cid: &ConversationId, name: &UserName) -> bool {
        self.struck(cid, name).is_none()
    }

    /// Takes links that somebody has handed over, which end in this chain: what they take away by the
    /// word of an admin of the chain held here counts at once for what is sealed here.
    pub(crate) fn strike_by(
        &mut self,
        cid: &ConversationId,
        links: &[MemberHeader],
        end: &Membership,
    ) {
        for link in links {
            let lost = match (link.op, link.arg) {
                (MemberOperation::Remove, MemberArgument::Ban) if !end.contains(&link.who) => {
                    Lost::Banned
                }
                (MemberOperation::Remove, _) if !end.contains(&link.who) => Lost::Place,
                (MemberOperation::Role, MemberArgument::Member) if !is_admin(end, &link.who) => {
                    Lost::Rights
                }
                _ => continue,
            };
            if self.may_strike(cid, link) {
                let Place { mg, .. } = self.place_of(cid);
                let at = self.positions.newest();
                let struck = Struck { ik: link.ik, lost, void: link.mg, links: mg, at };
                self.strike(cid, &link.who, struck);
                self.link.dirty.insert(cid.clone());
            }
        }
        self.spread_struck(cid);
    }

    /// Whether a handed link takes something away by the word of an admin of the chain held here. What
    /// somebody does to themselves, or to this user, does not count so.
    fn may_strike(&self, cid: &ConversationId, link: &MemberHeader) -> bool {
        let room = self.state.rooms.get(cid);
        // Whoever makes up names makes no rows of them without an end.
        let is_known = |room: &Membership| {
            room.has_known(&link.who) || self.struck_strangers(cid, room) < STRUCK_STRANGERS_MAX
        };
        link.who != self.device.user
            && link.who != link.from
            && room.is_some_and(|room| is_admin(room, &link.from) && is_known(room))
            && self.is_untouched(cid, &link.from)
    }

    /// How many have lost something in a room in which they never were by the chain held here.
    fn struck_strangers(&self, cid: &ConversationId, room: &Membership) -> usize {
        let prefix = struck_key(cid, "");
        let rows = self.state.struck.iter().filter_map(|(key, _)| key.strip_prefix(&prefix));
        let names = rows.filter_map(|name| UserName::new(name).ok());
        names.filter(|name| !room.has_known(name)).count()
    }

    /// Notes what somebody has lost; who is out has no rights either.
    pub(super) fn strike(&mut self, cid: &ConversationId, name: &UserName, mut struck: Struck) {
        if let Some(known) = self.struck(cid, name) {
            if struck.lost > known.lost {
                return;
            }
            if known.lost != Lost::Rights && known.at <= struck.at {
                struck.at = known.at;
            }
        }
        self.state.struck.put(&struck_key(cid, name.as_str()), struck);
    }

    /// Notes what people of the hub's chain had lost on the one held here, from where both forked: `before`
    /// is the room as it was there.
    pub(super) fn lost_by_fork(
        &self,
        cid: &ConversationId,
        before: &Membership,
        fresh: &Membership,
    ) -> Vec<(UserName, Struck)> {
        let Some(held) = self.state.rooms.get(cid) else { return Vec::new() };
        let (count, links, at) = (held.next(), fresh.next(), self.positions.newest());
        let lost = fresh.members().iter().filter_map(|(name, member)| {
            let ik = member.ik;
            let lost = if held.contains(name) {
                let had = is_admin(before, name) && is_admin(fresh, name);
                Some(Lost::Rights).filter(|_| had && !is_admin(held, name))
            } else {
                let by = &self.kept_link(cid, held.went_before(name, count)?)?.by;
                let is_banned = held.is_banned(&ik);
                let lost = if is_banned { Lost::Banned } else { Lost::Place };
                Some(lost).filter(|_| by != name)
            };
            Some((name.clone(), Struck { ik, lost: lost?, void: before.next(), links, at }))
        });
        lost.collect()
    }

    /// Takes back what the hub's chain has settled by now: it has taken that away too, or an admin of
    /// it, of whom nothing else was seen, has given it again. Who was put out there too may have come back
    /// to an open room since.
    pub(super) fn settle_struck(&mut self, cid: &ConversationId) {
        if self.state.struck.len() == 0 {
            return;
        }
        self.spread_struck(cid);
        let Some(room) = self.state.rooms.get(cid) else { return };
        let prefix = format!("{cid}/");
        let rows = self.state.struck.iter().filter_map(|(key, struck)| {
            Some((key, UserName::new(key.strip_prefix(&prefix)?).ok()?, struck))
        });
        let settled = rows.filter(|(_, name, struck)| {
            let Some(member) = room.members().get(name) else {
                return struck.lost != Lost::Banned
                    || self.was_put_out(cid, room, name, struck.links);
            };
            match struck.lost {
                Lost::Banned | Lost::Place => {
                    let is_let_in = member.since >= struck.links
                        && self.kept_link(cid, member.since).is_some_and(|link| {
                            link.by != *name && self.is_untouched(cid, &link.by)
                        });
                    is_let_in || self.was_put_out(cid, room, name, struck.links)
                }
                Lost::Rights => !member.admin || self.has_rights_again(cid, name, struck.links),
            }
        });
        for key in settled.map(|(key, ..)| key.clone()).collect::<Vec<_>>() {
            self.state.struck.remove(&key);
        }
    }

    /// Whether somebody else has put them out by a link of the hub's chain from this number on: who has
    /// left, comes back to an open room by themselves.
    fn was_put_out(
        &self,
        cid: &ConversationId,
        room: &Membership,
        name: &UserName,
        from: u32,
    ) -> bool {
        let went = room.went_before(name, room.next()).filter(|went| *went >= from);
        went.and_then(|went| self.kept_link(cid, went)).is_some_and(|link| link.by != *name)
    }

    /// Who was made an admin by somebody without the right to has none either.
    fn spread_struck(&mut self, cid: &ConversationId) {
        let rows = self.state.struck.keys_with(&format!("{cid}/"));
        let rows = rows.iter().filter_map(|key| self.state.struck.get(key));
        let Some(first) = rows.map(|struck| struck.void).min() else { return };
        for number in first..self.place_of(cid).mg {
            let link = self.kept_link(cid, number).and_then(|link| link.frame.clone());
            let frame = link.and_then(|frame| RawFrame::decode(frame.0.into()).ok());
            let Some(link) = frame.as_ref().and_then(header) else { continue };
            let gives = (link.op, link.arg) == (MemberOperation::Role, MemberArgument::Admin);
            let by_no_right = self.struck(cid, &link.from).is_some_and(|by| by.void <= number);
            if gives
                && by_no_right
                && link.who != self.device.user
                && self.is_untouched(cid, &link.who)
            {
                let links = number.saturating_add(1);
                let (ik, lost, at) = (link.ik, Lost::Rights, self.positions.newest());
                self.strike(cid, &link.who, Struck { ik, lost, void: links, links, at });
            }
        }
    }

    /// Whether a link from this number on makes somebody an admin, by an admin of whom nothing else was
    /// seen.
    fn has_rights_again(&self, cid: &ConversationId, name: &UserName, from: u32) -> bool {
        let links = (from..self.place_of(cid).mg).filter_map(|n| self.kept_link(cid, n));
        let frames = links.filter_map(|link| RawFrame::decode(link.frame.clone()?.0.into()).ok());
        let mut links = frames.filter_map(|frame| header(&frame));
        links.any(|link| {
            (link.op, link.arg) == (MemberOperation::Role, MemberArgument::Admin)
                && link.who == *name
                && self.is_untouched(cid, &link.from)
        })
    }

    /// A person has decided: nothing is left of it.
    pub(super) fn unstrike_all(&mut self, cid: &ConversationId) {
        for key in self.state.struck.keys_with(&format!("{cid}/")) {
            self.state.struck.remove(&key);
        }
    }
}
