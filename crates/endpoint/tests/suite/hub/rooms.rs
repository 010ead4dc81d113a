//! Rooms at the hub, and how it tries to get into them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use bytes::Bytes;
use chat_endpoint::{Event, RoomAction};
use chat_protocol::frame::{RawFrame, Unsigned, sign_all};
use chat_protocol::header::{Canonical as _, MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::hub::{Head, HubToClient, Moderation, RoomInfo};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::keys::Bundle;
use chat_protocol::members::{MemberList, Membership};
use chat_protocol::name::{ConversationId, ConversationKind, RoomName};
use chat_protocol::tag::{Tag, label};
use chat_testkit::keys::keys;

use super::{Entry, TestHub, name};

/// Length of a signature by a key of 2,048 bits.
const SIGNATURE_BYTES: usize = 256;

/// How a link that nobody of the room has made is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// Not at all.
    Unsigned,
    /// By the ghost, in an admin's name.
    InTheAdminsName,
    /// By the ghost, in its own name: it lets itself in.
    InItsOwnName,
    /// By the ghost, who joins a room that is not open.
    Join,
    /// An admin's signature for another link.
    Borrowed,
}

pub(crate) fn room(text: &str) -> RoomName {
    RoomName::new(text).unwrap()
}

impl TestHub {
    /// Heads of the rooms that a device's user is in, and of those of everybody.
    pub(super) fn heads_of(&self, index: usize) -> Vec<Head> {
        let theirs = self.rooms.iter().filter(|(_, (room, _))| self.is_in(index, room));
        let mut rooms: Vec<ConversationId> = theirs.map(|(cid, _)| cid.clone()).collect();
        rooms.extend([RoomName::lobby(), RoomName::all()].iter().map(ConversationId::room));
        rooms.sort();
        rooms.dedup();
        let heads = rooms.iter().map(|cid| self.head(cid));
        let garbled = |head: Head| {
            let is_garbled = self.faults.garbles_heads && head.mg > 0;
            if is_garbled { Head { pm: Digest([7; 32]), ..head } } else { head }
        };
        heads.map(garbled).collect()
    }

    /// All rooms, as the hub lists them for a device's user.
    pub(super) fn rooms_of(&self, index: usize) -> Vec<RoomInfo> {
        let info = |(cid, (members, _)): (&ConversationId, &(Membership, Vec<Bytes>))| {
            let ConversationKind::Room(room) = cid.kind() else { return None };
            let users = u32::try_from(members.members().len()).unwrap();
            let (open, member) = (members.is_open(), self.is_in(index, members));
            Some(RoomInfo { room, open, users, topic: String::new(), member, keep_ms: 0 })
        };
        self.rooms.iter().filter_map(info).collect()
    }

    /// Whether a device is told of a link: its user is in the room, or it is about them.
    pub(super) fn hears_of(&self, index: usize, link: &MemberHeader) -> bool {
        let peer = &self.peers[index];
        let (room, _) = &self.rooms[&link.cid];
        let me = &peer.endpoint.device().user;
        peer.connected && (room.is_implicit() || self.is_in(index, room) || link.who == *me)
    }

    /// Whether a device's user is in a room, and not only somebody who had the name before.
    fn is_in(&self, index: usize, room: &Membership) -> bool {
        let device = self.peers[index].endpoint.device();
        let identity = device.bundle.identity();
        room.holds(&device.user, &identity) || room.conversation().is_feed_of(&device.user)
    }

    /// Asks a device for something in a room and lets everybody come to rest.
    pub(crate) fn act(&mut self, index: usize, text: &str, action: RoomAction) -> MessageId {
        let now = self.now;
        let id = self.peers[index].endpoint.act_in_room(now, &room(text), action);
        self.run();
        id
    }

    /// Says something in a room and lets everybody come to rest.
    pub(crate) fn say_in(&mut self, index: usize, text: &str, said: &str) -> MessageId {
        let now = self.now;
        let id = self.peers[index].endpoint.say(now, &room(text), said).unwrap();
        self.run();
        id
    }

    /// Who is in a room by a device's verified view.
    pub(crate) fn roster(&self, index: usize, text: &str) -> Vec<String> {
        let roster = self.peers[index].endpoint.roster(&room(text));
        let members = roster.map(|roster| roster.members).unwrap_or_default();
        members.iter().map(|(name, _)| name.to_string()).collect()
    }

    /// The answer to what was asked for.
    pub(crate) fn answer_to(&self, index: usize, id: MessageId) -> String {
        let answers = self.peers[index].events.iter().filter(|event| event.answers() == Some(id));
        let texts: Vec<String> = answers
            .map(|event| match event {
                Event::Refused { code, reason, .. } => format!("{code}: {reason}"),
                Event::Joined { .. } => "joined".to_owned(),
                Event::Left { .. } => "left".to_owned(),
                Event::MemberChanged { change, who, .. } => format!("{change:?} {who}"),
                other => format!("{other:?}"),
            })
            .collect();
        texts.join(", ")
    }

    /// Tells devices that a moderator has put somebody out of the lobby, or that they still are.
    pub(crate) fn put_out(&mut self, told: &[usize], who: &str, past: bool) {
        let cid = ConversationId::room(&RoomName::lobby());
        let mg = self.rooms[&cid].0.next();
        let (who, by, act) = (name(who), name("alice"), Moderation::Kick);
        let notice = HubToClient::Moderated { id: None, cid, who, act, by, mg, past };
        for index in told {
            self.answer(*index, &notice);
        }
        self.run();
    }

    /// Number of links in a room's chain.
    pub(crate) fn chain_length(&self, text: &str) -> usize {
        self.rooms[&ConversationId::room(&room(text))].1.len()
    }

    /// The generation of a room's newest epoch, and whom it is for.
    pub(crate) fn epoch_of(&self, text: &str) -> (u32, Vec<String>) {
        let (head, list): &(_, MemberList) = &self.epochs[&ConversationId::room(&room(text))];
        (head.g, list.lines().iter().map(|line| line.name.to_string()).collect())
    }

    /// Puts a link into a room's chain that lets a made-up account in, and tells everybody.
    pub(crate) fn add_ghost(&mut self, text: &str, ghost: &str, how: Forgery) {
        let line = self.make_up(ghost);
        let (ghost, cid) = (name(ghost), ConversationId::room(&room(text)));
        let ik = self.people[&ghost][0].identity();
        let (membership, links) = self.rooms.get_mut(&cid).unwrap();
        let admin = name("alice");
        let admin_sk = self.people[&admin][0].header().sk[0].kid;
        let (from, sk) = match how {
            Forgery::Unsigned | Forgery::Borrowed => (admin, admin_sk),
            Forgery::InTheAdminsName => (admin, line.sk),
            Forgery::InItsOwnName | Forgery::Join => (ghost.clone(), line.sk),
        };
        let op = if how == Forgery::Join { MemberOperation::Join } else { MemberOperation::Admit };
        let header = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: cid.clone(),
            from,
            sk,
            op,
            who: ghost,
            ik,
            arg: MemberArgument::None,
            mg: membership.next(),
            pm: membership.head(),
            id: MessageId([9; 16]),
            ts: self.now,
        };
        let bytes = header.to_bytes();
        let signed = || {
            let frame = Unsigned::new(label::MEMBER, bytes.clone(), Vec::new());
            sign_all(&keys(2).signing, &[frame]).remove(0)
        };
        let frame = match how {
            Forgery::Unsigned => with_end(&bytes, 0, &[]),
            Forgery::Borrowed => {
                let last = links.last().unwrap().clone();
                let end = last.len() - SIGNATURE_BYTES;
                with_end(&bytes, 1, &last[end..])
            }
            _ => signed(),
        };
        let digest = RawFrame::decode(frame.clone()).unwrap().digest(label::MEMBER);
        membership.apply(&header, digest);
        links.push(frame);
        let heads = vec![self.head(&cid)];
        for index in 0..self.peers.len() {
            self.answer(index, &HubToClient::Heads { id: None, heads: heads.clone(), more: false });
        }
    }

    /// Puts somebody's coming or going into a room's chain, by a key that nobody can show, and tells everybody.
    pub(crate) fn make_up_link(&mut self, text: &str, who: &str, op: MemberOperation) {
        let (who, cid) = (name(who), ConversationId::room(&room(text)));
        let known = self.people.get(&who).and_then(|bundles| bundles.first());
        let ik = known.map_or(KeyId([6; 16]), Bundle::identity);
        let (membership, links) = self.rooms.get_mut(&cid).unwrap();
        let header = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: cid.clone(),
            from: who.clone(),
            sk: KeyId([6; 16]),
            op,
            who,
            ik,
            arg: MemberArgument::None,
            mg: membership.next(),
            pm: membership.head(),
            id: MessageId([9; 16]),
            ts: self.now,
        };
        let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
        membership.apply(&header, frame.digest());
        links.push(sign_all(&keys(2).signing, &[frame]).remove(0));
        self.tell_head(text);
    }

    /// Tells everybody the end of a room's chain.
    pub(crate) fn tell_head(&mut self, text: &str) {
        let heads = vec![self.head(&ConversationId::room(&room(text)))];
        self.tell_all(&HubToClient::Heads { id: None, heads, more: false });
        self.run();
    }

    /// Tells a device that a room's chain ends with its first links.
    pub(crate) fn show_older(&mut self, index: usize, text: &str, links: usize) {
        let cid = ConversationId::room(&room(text));
        let last = RawFrame::decode(self.rooms[&cid].1[links - 1].clone()).unwrap();
        let (mg, pm) = (u32::try_from(links).unwrap(), last.digest(label::MEMBER));
        let heads = vec![Head { mg, pm, ..self.head(&cid) }];
        self.answer(index, &HubToClient::Heads { id: None, heads, more: false });
        self.run();
    }

    /// Delivers everything in the log to one device, whoever it was for.
    pub(crate) fn hand_over_everything(&mut self, index: usize) {
        let recipients = vec![self.device_of(index)];
        let entries: Vec<Entry> = self.log.clone();
        let copies =
            entries.into_iter().map(|entry| Entry { recipients: recipients.clone(), ..entry });
        self.log.extend(copies);
    }
}

/// A frame with this header, no body and these bytes in place of a signature.
fn with_end(header: &[u8], auth: u8, end: &[u8]) -> Bytes {
    let mut frame = vec![1, auth];
    frame.extend_from_slice(&u32::try_from(header.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(header);
    frame.extend_from_slice(&0u32.to_be_bytes());
    frame.extend_from_slice(end);
    frame.into()
}
