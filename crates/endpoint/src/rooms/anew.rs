//! A chain of the hub that does not go on from the one held here (rule R33): it is fetched from its
//! beginning, verified on its own, and compared. Two verified links with the same number and the same
//! link before them are a fork.
//!
//! A hub that was restored from a backup makes one honestly: newcomers have joined the older chain. Its
//! branch is taken where nobody could have gained anything by it; otherwise nothing is sealed in the
//! room until a person decides.

use chat_protocol::frame::RawFrame;
use chat_protocol::header::{MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::members::{Membership, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;
use serde::{Deserialize, Serialize};

use super::{RoomAction, header};
use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::views::KeptLink;

/// Somebody whom the chain held before had taken out, and the one of the hub has not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Struck {
    /// Number of links of the hub's chain when it was taken. An admit behind it takes them in again.
    links: u32,
    /// Who took them out.
    by: UserName,
}

/// A chain that was verified from its beginning.
struct Fresh {
    room: Membership,
    links: Vec<(MemberHeader, KeptLink)>,
    /// Numbers and frames of those whose signers cannot be verified.
    unproved: Vec<(u32, RawFrame)>,
}

/// The row of who was struck.
fn struck_key(cid: &ConversationId, name: &UserName) -> String {
    format!("{cid}/{name}")
}

impl Endpoint {
    /// Fetches the chain of a room from its beginning.
    pub(crate) fn view_anew(&mut self, cid: &ConversationId) {
        if self.link.fetched_anew.insert(cid.clone()) {
            self.start_refresh(cid, false);
            if let Some(refresh) = self.link.refreshing.get_mut(cid) {
                refresh.anew = true;
            }
            self.link.requests.retain(|_, request| !request.is_about_links_of(cid));
            self.request_links(cid);
        }
    }

    /// Whether a link of the hub follows another one than the last of the chain held here.
    pub(super) fn is_fork(&self, cid: &ConversationId, link: &RawFrame) -> bool {
        let place = self.place_of(cid);
        header(link).is_some_and(|link| link.mg == place.mg && link.pm != place.pm)
    }

    /// All of the hub's chain has come: it is taken, or it is not.
    pub(super) fn compare_anew(&mut self, cid: &ConversationId, links: &[RawFrame]) {
        let fresh = match self.verify_anew(cid, links) {
            Ok(fresh) => fresh,
            Err(reason) => {
                let server = UserName::server();
                self.alarm(Alarm::BadChain, &server, &format!("membership of {cid}: {reason}"));
                return;
            }
        };
        let held = self.place_of(cid);
        let fork = self.fork_of(cid, &fresh);
        // What was held by the hub's word gives way to what its signer has signed, and never the other
        // way round.
        let at = u32::try_from(fork).unwrap_or(u32::MAX);
        let is_fresh_proved = fresh.unproved.iter().all(|(number, _)| *number != at);
        if !is_fresh_proved && at < held.mg && !self.is_unproved_link(cid, at) {
            let server = UserName::server();
            let detail = format!("membership of {cid}: a link that nobody can verify replaces one");
            self.alarm(Alarm::BadChain, &server, &detail);
            return;
        }
        let gives_way = is_fresh_proved && at < held.mg && self.is_unproved_link(cid, at);
        if fork == usize::try_from(held.mg).unwrap_or(usize::MAX) && fork == fresh.links.len() {
            return;
        }
        let is_decided = self.state.accepted.remove(cid.as_str()).is_some() || gives_way;
        if !is_decided && !self.is_harmless(cid, &fresh, fork) {
            self.link.forked.insert(cid.clone());
            let detail = format!(
                "the server shows another membership of {cid} than the one seen before; nothing is \
                 said there until you take it with /room accept, or leave the room"
            );
            self.alarm(Alarm::Fork, &UserName::server(), &detail);
            return;
        }
        if !is_decided && fork < fresh.links.len() {
            let detail = format!(
                "the server's membership of {cid} goes on from an older one than was seen; it is \
                 taken, and who was removed since stays out"
            );
            self.alarm(Alarm::Fork, &UserName::server(), &detail);
        }
        self.take_anew(cid, fresh, fork, is_decided);
    }

    fn verify_anew(&mut self, cid: &ConversationId, links: &[RawFrame]) -> Result<Fresh, String> {
        let room = Membership::new(cid.clone());
        let mut fresh = Fresh { room, links: Vec::new(), unproved: Vec::new() };
        for (at, frame) in links.iter().enumerate() {
            let later = links.get(at + 1..).unwrap_or_default();
            let checked = self.check_link(&fresh.room, frame, later).and_then(|(link, signer)| {
                fresh.room.check(&link, signer.identity).map_err(|error| error.to_string())?;
                Ok(link)
            });
            let link = match checked {
                Ok(link) => link,
                Err(reason) => {
                    let unproved = self.unproved(&fresh.room, frame, fresh.unproved.len());
                    let link = unproved.ok_or(reason)?;
                    fresh.unproved.push((link.mg, frame.clone()));
                    link
                }
            };
            let kept = KeptLink::of(&link, frame);
            fresh.room.apply(&link, frame.digest(label::MEMBER));
            fresh.links.push((link, kept));
        }
        Ok(fresh)
    }

    /// How many links from the beginning both chains share.
    fn fork_of(&self, cid: &ConversationId, fresh: &Fresh) -> usize {
        let held = (0..self.place_of(cid).mg).map_while(|n| self.kept_link(cid, n));
        let same = held.zip(&fresh.links);
        same.take_while(|(held, (_, link))| held.digest == link.digest).count()
    }

    /// Whether the hub's branch may be taken without asking: it begins behind a link that both share,
    /// or in a room without admins, and whoever admits, removes or gives a role on it is an admin at
    /// the end of both.
    fn is_harmless(&self, cid: &ConversationId, fresh: &Fresh, fork: usize) -> bool {
        let Some(held) = self.state.rooms.get(cid.as_str()) else { return true };
        let is_admin = |room: &Membership, name: &UserName| {
            room.members().get(name).is_some_and(|member| member.admin)
        };
        let by_both = |link: &MemberHeader| match link.op {
            MemberOperation::Admit | MemberOperation::Remove | MemberOperation::Role => {
                is_admin(held, &link.from) && is_admin(&fresh.room, &link.from)
            }
            MemberOperation::Create | MemberOperation::Join | MemberOperation::Leave => true,
        };
        let branch = fresh.links.get(fork..).unwrap_or_default();
        (fork > 0 || held.is_implicit() || held.conversation().is_feed())
            && branch.iter().all(|(link, _)| by_both(link))
    }

    /// Takes the hub's chain in the place of the one held here. What that one took away stays taken,
    /// unless a person decided otherwise, and this device says its own lost links again.
    fn take_anew(&mut self, cid: &ConversationId, fresh: Fresh, fork: usize, is_decided: bool) {
        let lost = self.lost_links(cid, fork);
        let held = self.state.rooms.get(cid.as_str()).cloned();
        let count = self.place_of(cid).mg;
        let struck: Vec<(UserName, UserName)> = held
            .iter()
            .flat_map(|held| {
                let stayed = fresh.room.members().keys().filter(|name| !held.contains(name));
                stayed.filter_map(|name| {
                    let by = self.kept_link(cid, held.went_before(name, count)?)?.by.clone();
                    (by != *name).then(|| (name.clone(), by))
                })
            })
            .collect();
        self.forget_links(cid);
        let Fresh { room, links, unproved } = fresh;
        let next = room.next();
        self.state.rooms.put(cid.as_str(), room);
        for (link, kept) in links {
            self.keep_link(cid, link.mg, kept);
        }
        for (number, frame) in unproved {
            self.keep_unproved(cid, number, &frame);
        }
        if is_decided {
            self.unstrike_all(cid);
        } else {
            for (name, by) in struck {
                self.state.struck.put(&struck_key(cid, &name), Struck { links: next, by });
            }
        }
        self.mark_epochs(cid);
        self.link.forked.remove(cid);
        self.say_again(cid, lost);
    }

    /// The links that this user signed behind a place of the chain held here.
    fn lost_links(&self, cid: &ConversationId, fork: usize) -> Vec<MemberHeader> {
        let first = u32::try_from(fork).unwrap_or(u32::MAX);
        let lost = (first..self.place_of(cid).mg).filter_map(|n| self.kept_link(cid, n));
        let own = lost.filter(|link| link.by == self.device.user);
        let frames = own.filter_map(|link| RawFrame::decode(link.frame.clone()?.0.into()).ok());
        frames.filter_map(|frame| header(&frame)).collect()
    }

    /// Asks again for what this user had done in a room and its chain has lost.
    fn say_again(&mut self, cid: &ConversationId, lost: Vec<MemberHeader>) {
        let Some(room) = self.state.rooms.get(cid.as_str()).cloned() else { return };
        for link in lost {
            let action = match (link.op, link.arg) {
                (MemberOperation::Join | MemberOperation::Create, _) if room.is_open() => {
                    RoomAction::Join { create: false }
                }
                (MemberOperation::Admit, _) => RoomAction::Admit(link.who),
                (MemberOperation::Remove, arg) => {
                    RoomAction::Remove { who: link.who, ban: arg == MemberArgument::Ban }
                }
                (MemberOperation::Role, arg) => {
                    RoomAction::Role { who: link.who, admin: arg == MemberArgument::Admin }
                }
                (MemberOperation::Leave, _) => RoomAction::Leave,
                (MemberOperation::Join | MemberOperation::Create, _) => continue,
            };
            let id = chat_protocol::id::MessageId(self.random());
            self.keep_order(id, cid.clone(), action);
        }
    }

    /// Whether somebody is left out of what is sealed, because a chain that was seen took them out.
    pub(crate) fn is_struck(&self, cid: &ConversationId, name: &UserName) -> bool {
        self.state.struck.get(&struck_key(cid, name)).is_some()
    }

    /// Takes back what the hub's chain has settled by now: it has taken them out too, or an admin of
    /// it, who is not struck, has let them in again.
    pub(super) fn settle_struck(&mut self, cid: &ConversationId) {
        let Some(room) = self.state.rooms.get(cid.as_str()) else { return };
        let prefix = struck_key(cid, &UserName::server());
        let prefix = prefix.strip_suffix("server").unwrap_or_default();
        let settled = self.state.struck.iter().filter_map(|(key, struck)| {
            let name = UserName::new(key.strip_prefix(prefix)?).ok()?;
            let is_again = room.members().get(&name).is_none_or(|member| {
                let link = self.kept_link(cid, member.since);
                member.since >= struck.links
                    && link.is_some_and(|link| link.by != name && !self.is_struck(cid, &link.by))
            });
            is_again.then(|| key.clone())
        });
        for key in settled.collect::<Vec<_>>() {
            self.state.struck.remove(&key);
        }
    }

    fn unstrike_all(&mut self, cid: &ConversationId) {
        let prefix = format!("{cid}/");
        let keys = self.state.struck.iter().map(|(key, _)| key);
        let keys: Vec<String> = keys.filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in keys {
            self.state.struck.remove(&key);
        }
    }

    /// A person takes the membership that the hub shows, whatever was seen before.
    pub fn accept_room(&mut self, cid: &ConversationId) {
        self.state.accepted.put(cid.as_str(), true);
        self.unstrike_all(cid);
        self.link.forked.remove(cid);
        self.link.fetched_anew.remove(cid);
        self.view_anew(cid);
        self.link.dirty.insert(cid.clone());
    }

    /// Somebody handed over a link by which an admin of the chain held here takes somebody out: it
    /// counts at once for what is sealed here.
    pub(crate) fn strike(&mut self, cid: &ConversationId, link: &MemberHeader) {
        let Place { mg, .. } = self.place_of(cid);
        let struck = Struck { links: mg, by: link.from.clone() };
        self.state.struck.put(&struck_key(cid, &link.who), struck);
        self.link.dirty.insert(cid.clone());
    }
}
