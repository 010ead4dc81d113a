//! Which conversations there are, what is new in each, and what was begun to be written there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chat_endpoint::{Event, MemberChange};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::veil;

use crate::drafts::Drafts;

/// Conversations that are remembered. People have some dozens; a server that invents people fills no more than
/// some megabytes. Beyond it the one goes in which nothing was said for the longest time and nothing is new.
const CONVERSATIONS_MAX: usize = 1_024;

/// New messages of one conversation whose ids are known, to tell which of them were read on another device. Of more the
/// oldest only count.
const NEW_MAX: usize = 512;

/// Machines that are known by the server's lists, for the same reason.
const MACHINES_MAX: usize = 1_024;

/// Conversations that are muted: no fewer than settings are kept.
const MUTED_MAX: usize = chat_endpoint::settings::SETTINGS_MAX;

/// People who are remembered as connected: those of a large server. Beyond it some are shown as away.
const ONLINE_MAX: usize = 16_384;

/// With whom one talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Everybody on the server.
    Everybody,
    /// The members of a room.
    Room,
    /// One person.
    Person,
    /// A machine that accepts commands.
    Machine,
    /// Whoever follows somebody; nobody else says anything there.
    Feed,
}

/// The newest message that came: ids are their senders'.
pub type Newest = (MessageId, UserName);

/// One conversation.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// Which one.
    pub cid: ConversationId,
    /// With whom.
    pub kind: Kind,
    /// This user takes part: not in a room that they have left.
    pub is_in: bool,
    /// Messages that came since somebody looked at it.
    pub unread: usize,
    /// Those of them that name this user, or are for this user alone.
    pub mentions: usize,
    /// Those that came, oldest first, and whether each is one of [`Self::mentions`]; the newest of many.
    new: VecDeque<(Newest, bool)>,
    newest: Option<Newest>,
    /// Another device has read up to this one, which has not come here yet.
    read_elsewhere: Option<Newest>,
    /// Only what names this user is noise.
    pub is_muted: bool,
    /// What was not sent of what was written there.
    pub drafts: Drafts,
    /// When something was said there last, Unix time in milliseconds; 0 where nothing is known.
    pub last_ms: u64,
    /// What an open room is about, by the server's word.
    pub topic: String,
    /// How long the server keeps what is said in a room, in milliseconds, by its word; 0 for ever.
    pub keep_ms: Option<u64>,
}

impl Conversation {
    /// The newest message that came in the order of the log.
    pub fn newest(&self) -> Option<&Newest> {
        self.newest.as_ref()
    }
}

/// All of them, and which one is looked at.
#[derive(Debug)]
pub struct Conversations {
    me: UserName,
    all: BTreeMap<ConversationId, Conversation>,
    here: Option<ConversationId>,
    before: Option<ConversationId>,
    /// What was not sent of what was written while one looked at none.
    drafts: Drafts,
    machines: BTreeSet<UserName>,
    /// Those in which only what names this user is noise, whether they are remembered or not.
    muted: BTreeSet<ConversationId>,
    /// Who is connected, by the server's word.
    online: BTreeSet<UserName>,
}

impl Conversations {
    /// Those that everybody has: with everybody and in the lobby, at which one looks first.
    pub fn new(me: UserName) -> Self {
        let machines = BTreeSet::from([UserName::server()]);
        let (all, here, before, drafts) = (BTreeMap::new(), None, None, Drafts::default());
        let (muted, online) = (BTreeSet::new(), BTreeSet::new());
        let mut new = Self { me, all, here, before, drafts, machines, muted, online };
        new.at(&ConversationId::all());
        new
    }

    /// All of them, in the order of their kinds and names.
    pub fn iter(&self) -> impl Iterator<Item = &Conversation> {
        let mut all: Vec<&Conversation> = self.all.values().collect();
        all.sort_by_key(|one| (one.kind, &one.cid));
        all.into_iter()
    }

    /// New messages in all that are not muted.
    pub fn loud(&self) -> usize {
        self.all.values().filter(|one| !one.is_muted).map(|one| one.unread).sum()
    }

    /// One of them.
    pub fn get(&self, cid: &ConversationId) -> Option<&Conversation> {
        self.all.get(cid)
    }

    /// The one that is looked at.
    pub fn here(&self) -> Option<&ConversationId> {
        self.here.as_ref()
    }

    /// The one that was looked at before it.
    pub fn before(&self) -> Option<&ConversationId> {
        self.before.as_ref()
    }

    /// Looks at another one, or at none: nothing there is new any more.
    pub fn look_at(&mut self, cid: Option<ConversationId>) {
        if let Some(cid) = &cid {
            let one = self.at(cid);
            (one.unread, one.mentions) = (0, 0);
            one.new.clear();
        }
        if self.here != cid {
            self.before = std::mem::replace(&mut self.here, cid);
        }
    }

    /// Nothing that has come there counts as new any more: whose words it is are hidden.
    pub(crate) fn passes_over(&mut self, cid: &ConversationId) {
        if let Some(one) = self.all.get_mut(cid) {
            (one.unread, one.mentions) = (0, 0);
            one.new.clear();
        }
    }

    /// Only what names this user is noise there, or all is again.
    pub fn mute(&mut self, cid: &ConversationId, is_muted: bool) {
        if !is_muted {
            self.muted.remove(cid);
        } else if self.muted.len() < MUTED_MAX {
            self.muted.insert(cid.clone());
        }
        let is_muted = self.muted.contains(cid);
        if let Some(one) = self.all.get_mut(cid) {
            one.is_muted = is_muted;
        }
    }

    /// Those.
    pub fn muted(&self) -> impl Iterator<Item = &ConversationId> {
        self.muted.iter()
    }

    /// Another device of this user has read everything up to this message, in the order in which both get it.
    pub fn read_up_to(&mut self, cid: &ConversationId, read: &Newest) {
        let one = self.at(cid);
        let Some(at) = one.new.iter().position(|(new, _)| new == read) else {
            // It was read here before, or is still on its way.
            if one.newest.as_ref() != Some(read) {
                one.read_elsewhere = Some(read.clone());
            }
            return;
        };
        one.new.drain(..=at);
        one.unread = one.new.len();
        one.mentions = one.new.iter().filter(|(_, is_mention)| *is_mention).count();
    }

    /// Those in which something was not sent of what was written.
    pub fn with_drafts(&self) -> impl Iterator<Item = &Conversation> {
        self.all.values().filter(|one| !one.drafts.is_empty())
    }

    /// What was not sent of what was written where one looks.
    pub(crate) fn drafts(&self) -> &Drafts {
        let here = self.here.as_ref().and_then(|cid| self.all.get(cid));
        here.map_or(&self.drafts, |here| &here.drafts)
    }

    /// The same of this one, or of none, to be changed.
    pub(crate) fn drafts_in(&mut self, cid: Option<&ConversationId>) -> &mut Drafts {
        match cid {
            Some(cid) => &mut self.at(cid).drafts,
            None => &mut self.drafts,
        }
    }

    /// Notes a conversation in which something was said at this time, Unix time in milliseconds.
    pub fn said(&mut self, cid: &ConversationId, at_ms: u64) {
        let one = self.at(cid);
        one.last_ms = one.last_ms.max(at_ms);
    }

    /// Notes that this user takes part in one.
    pub(crate) fn is_in(&mut self, cid: &ConversationId) {
        self.at(cid).is_in = true;
    }

    /// Notes that somebody runs commands.
    pub fn is_machine(&mut self, name: &UserName) {
        if self.machines.len() < MACHINES_MAX && self.machines.insert(name.clone()) {
            let cid = ConversationId::direct(&self.me, name).ok();
            if let Some(one) = cid.and_then(|cid| self.all.get_mut(&cid)) {
                one.kind = Kind::Machine;
            }
        }
    }

    /// Whether somebody runs commands, as far as is known.
    pub fn is_known_machine(&self, name: &UserName) -> bool {
        self.machines.contains(name)
    }

    /// Whether somebody is connected, by the server's word.
    pub fn is_online(&self, name: &UserName) -> bool {
        *name == self.me || self.online.contains(name)
    }

    fn is_there(&mut self, name: &UserName, is_online: bool) {
        if !is_online {
            self.online.remove(name);
        } else if self.online.len() < ONLINE_MAX {
            self.online.insert(name.clone());
        }
    }

    /// Takes what happens.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Message {
                id, cid, from, text, veiled, sent_ms, granted_by, healed_by, ..
            } => {
                self.said(cid, *sent_ms);
                let this = (*id, from.clone());
                let one = self.at(cid);
                one.is_in = true;
                // What others have handed on comes behind what was said after it.
                if granted_by.is_none() && healed_by.is_none() {
                    one.newest = Some(this.clone());
                }
                let is_read = one.read_elsewhere.take_if(|read| *read == this).is_some();
                if *from == self.me || granted_by.is_some() {
                    return;
                }
                let is_mention = cid.is_direct()
                    || if *veiled {
                        names(&veil::unshift(text), &self.me)
                    } else {
                        names(text, &self.me)
                    };
                self.is_new(cid, Some((this.clone(), is_mention)));
                if is_read {
                    self.read_up_to(cid, &this);
                }
            }
            Event::Unreadable { cid, signed: true, .. } => self.is_new(cid, None),
            Event::Joined { cid, .. } => self.at(cid).is_in = true,
            Event::Left { cid, .. } => self.is_out(cid),
            Event::MemberChanged { cid, change, who, .. } if *who == self.me => match change {
                MemberChange::Removed | MemberChange::Banned | MemberChange::Left => {
                    self.is_out(cid);
                }
                _ => self.at(cid).is_in = true,
            },
            Event::Rooms { rooms, entering, .. } => {
                for info in rooms {
                    let cid = ConversationId::room(&info.room);
                    if info.member {
                        let one = self.at(&cid);
                        one.is_in = true;
                        (one.topic, one.keep_ms) = (info.topic.clone(), Some(info.keep_ms));
                    } else if !entering.contains(&info.room) {
                        self.is_out(&cid);
                    }
                }
            }
            Event::Topic { cid, text, .. } => self.at(cid).topic.clone_from(text),
            Event::Retention { cid, keep_ms, .. } => self.at(cid).keep_ms = Some(*keep_ms),
            Event::People { people, .. } => {
                for person in people {
                    if person.agent {
                        self.is_machine(&person.name);
                    }
                    self.is_there(&person.name, person.online);
                }
            }
            Event::Presence { joined, left, .. } => {
                for name in joined {
                    self.is_there(name, true);
                }
                for name in left {
                    self.is_there(name, false);
                }
            }
            _ => {}
        }
    }

    fn is_new(&mut self, cid: &ConversationId, message: Option<(Newest, bool)>) {
        if self.here.as_ref() != Some(cid) {
            let one = self.at(cid);
            one.unread += 1;
            one.mentions += usize::from(message.as_ref().is_some_and(|(_, names)| *names));
            one.new.extend(message);
            if one.new.len() > NEW_MAX {
                one.new.pop_front();
            }
        }
    }

    /// Something new there is no message: a file that is offered to this user alone.
    pub(crate) fn has_offer(&mut self, cid: &ConversationId) {
        if self.here.as_ref() != Some(cid) {
            let one = self.at(cid);
            (one.unread, one.mentions) = (one.unread + 1, one.mentions + 1);
        }
    }

    fn is_out(&mut self, cid: &ConversationId) {
        if let Some(one) = self.all.get_mut(cid) {
            one.is_in = false;
        }
    }

    /// The conversation, made where it is not known yet.
    fn at(&mut self, cid: &ConversationId) -> &mut Conversation {
        if self.all.len() >= CONVERSATIONS_MAX && !self.all.contains_key(cid) {
            // What somebody has begun to write is nowhere else, and what is new is told once.
            let worth = |one: &&Conversation| (!one.drafts.is_empty(), one.unread > 0, one.last_ms);
            let others = self.all.values().filter(|one| self.here.as_ref() != Some(&one.cid));
            let oldest = others.min_by_key(worth).map(|one| one.cid.clone());
            if let Some(oldest) = oldest {
                self.all.remove(&oldest);
            }
        }
        let (kind, is_muted) = (self.kind(cid), self.muted.contains(cid));
        self.all.entry(cid.clone()).or_insert_with(|| Conversation {
            cid: cid.clone(),
            kind,
            // The server says which rooms one is in.
            is_in: kind != Kind::Room,
            unread: 0,
            mentions: 0,
            new: VecDeque::new(),
            newest: None,
            read_elsewhere: None,
            is_muted,
            drafts: Drafts::default(),
            last_ms: 0,
            topic: String::new(),
            keep_ms: None,
        })
    }

    fn kind(&self, cid: &ConversationId) -> Kind {
        match (cid.kind(), cid.other(&self.me)) {
            (ConversationKind::Room(room), _) if room.is_all() => Kind::Everybody,
            (ConversationKind::Room(_), _) => Kind::Room,
            (ConversationKind::Feed(_), _) => Kind::Feed,
            (_, Some(other)) if self.machines.contains(&other) => Kind::Machine,
            (ConversationKind::Direct(..), _) => Kind::Person,
        }
    }
}

/// Whether a text has this name as a word of its own, in any case and with or without a sign before it.
pub fn names(text: &str, name: &UserName) -> bool {
    let is_inner = |character: char| matches!(character, '_' | '.' | '-');
    let mut words = text.split(|c: char| !c.is_alphanumeric() && !is_inner(c));
    words.any(|word| {
        // A sentence may end with the name.
        name.as_str().eq_ignore_ascii_case(word)
            || name.as_str().eq_ignore_ascii_case(word.trim_matches(is_inner))
    })
}

#[cfg(test)]
mod tests {
    use chat_endpoint::Standing;
    use chat_protocol::id::MessageId;
    use chat_protocol::tag::Tag;

    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn cid(cid: &str) -> ConversationId {
        ConversationId::parse(cid).unwrap()
    }

    fn message(place: &str, from: &str, text: &str) -> Event {
        Event::Message {
            id: MessageId([1; 16]),
            cid: cid(place),
            tag: Tag::Text,
            from: user(from),
            text: text.to_owned(),
            veiled: false,
            peer: Standing::Known,
            said_in: None,
            position: 7,
            sent_ms: 1_000,
            hub_ms: 1_000,
            frame: None,
            healed_by: None,
            granted_by: None,
            gone: false,
        }
    }

    fn counts(all: &Conversations, place: &str) -> (usize, usize) {
        let one = all.get(&cid(place)).unwrap();
        (one.unread, one.mentions)
    }

    #[test]
    fn what_is_not_looked_at_is_counted_until_somebody_looks() {
        let mut all = Conversations::new(user("alice"));
        all.look_at(Some(cid("room:lobby")));
        for (place, from, text) in [
            ("room:ops", "bob", "hello"),
            ("room:ops", "bob", "Alice, look"),
            ("room:ops", "alice", "from my other device, alice"),
            ("dm:alice:bob", "bob", "hello"),
            ("room:lobby", "bob", "alice is looking"),
        ] {
            all.note(&message(place, from, text));
        }
        assert_eq!(counts(&all, "room:ops"), (2, 1));
        assert_eq!(counts(&all, "dm:alice:bob"), (1, 1));
        assert_eq!(counts(&all, "room:lobby"), (0, 0));
        all.look_at(Some(cid("room:ops")));
        assert_eq!(counts(&all, "room:ops"), (0, 0));
        let places = (all.here().unwrap(), all.before().unwrap());
        assert_eq!(places, (&cid("room:ops"), &cid("room:lobby")));
    }

    /// Goal: a file that is offered counts where nobody looks. (The build before counted messages alone.)
    #[test]
    fn an_offer_is_new_in_the_conversation_with_whoever_made_it() {
        let mut all = Conversations::new(user("alice"));
        all.has_offer(&cid("dm:alice:bob"));
        assert_eq!(counts(&all, "dm:alice:bob"), (1, 1));
        all.look_at(Some(cid("dm:alice:bob")));
        all.has_offer(&cid("dm:alice:bob"));
        assert_eq!(counts(&all, "dm:alice:bob"), (0, 0), "somebody looks");
    }

    #[test]
    fn a_veiled_text_mentions_whom_it_names_and_granted_history_is_not_new() {
        let mut all = Conversations::new(user("alice"));
        let mut event = message("room:ops", "bob", "bmjdf!");
        if let Event::Message { veiled, .. } = &mut event {
            *veiled = true;
        }
        all.note(&event);
        assert_eq!(counts(&all, "room:ops"), (1, 1));
        if let Event::Message { granted_by, .. } = &mut event {
            *granted_by = Some(user("bob"));
        }
        all.note(&event);
        assert_eq!(counts(&all, "room:ops"), (1, 1));
    }

    #[test]
    fn a_name_is_a_word_of_its_own() {
        for (text, is_named) in [
            ("alice: hi", true),
            ("hi @ALICE!", true),
            ("ask alice.", true),
            ("(alice)", true),
            ("malice", false),
            ("alice-2 knows", false),
            ("", false),
        ] {
            assert_eq!(names(text, &user("alice")), is_named, "{text}");
        }
    }

    #[test]
    fn who_is_there_and_what_a_room_is_about_is_the_newest_that_was_heard() {
        let mut all = Conversations::new(user("alice"));
        let topic = |text: &str| Event::Topic {
            id: None,
            cid: cid("room:ops"),
            text: text.to_owned(),
            by: user("bob"),
        };
        all.note(&topic("on call: bob"));
        all.note(&topic("on call: dora"));
        assert_eq!(all.get(&cid("room:ops")).unwrap().topic, "on call: dora");
        let presence = |joined: &[&str], left: &[&str]| Event::Presence {
            joined: joined.iter().map(|name| user(name)).collect(),
            left: left.iter().map(|name| user(name)).collect(),
            followed: Vec::new(),
        };
        all.note(&presence(&["bob", "dora"], &[]));
        all.note(&presence(&[], &["bob"]));
        let is_online = ["alice", "bob", "dora"].map(|name| all.is_online(&user(name)));
        assert_eq!(is_online, [true, false, true]);
    }

    /// Goal: whoever writes under the id of somebody else's message makes none of that one read, and what was handed on
    /// later is not the newest that was read.
    #[test]
    fn a_message_is_read_by_its_writer_and_id_in_the_order_of_the_log() {
        let mut all = Conversations::new(user("alice"));
        let newest = |name: &str| (MessageId([1; 16]), user(name));
        all.note(&message("room:ops", "bob", "one"));
        all.note(&message("room:ops", "mallory", "two"));
        all.read_up_to(&cid("room:ops"), &newest("bob"));
        assert_eq!(counts(&all, "room:ops"), (1, 0));
        let mut healed = message("room:ops", "carol", "from before");
        if let Event::Message { healed_by, .. } = &mut healed {
            *healed_by = Some(user("bob"));
        }
        all.note(&healed);
        assert_eq!(all.get(&cid("room:ops")).unwrap().newest(), Some(&newest("mallory")));
        all.read_up_to(&cid("room:ops"), &newest("dora"));
        assert_eq!(counts(&all, "room:ops"), (2, 0), "that one is on its way");
        all.note(&message("room:ops", "dora", "three"));
        assert_eq!(counts(&all, "room:ops"), (0, 0));
    }

    /// Goal: a room stays muted, however many others there are.
    #[test]
    fn a_mute_outlasts_the_memory_of_its_conversation() {
        let mut all = Conversations::new(user("alice"));
        all.mute(&cid("room:ops"), true);
        all.said(&cid("room:ops"), 1);
        for number in 0..CONVERSATIONS_MAX {
            all.said(&cid(&format!("dm:alice:b{number}")), 2_000);
        }
        assert!(all.get(&cid("room:ops")).is_none());
        all.note(&message("room:ops", "bob", "again"));
        assert!(all.get(&cid("room:ops")).unwrap().is_muted);
        all.mute(&cid("room:ops"), false);
        assert!(!all.get(&cid("room:ops")).unwrap().is_muted);
        assert_eq!(all.muted().count(), 0);
    }

    #[test]
    fn each_conversation_keeps_its_draft() {
        let mut all = Conversations::new(user("alice"));
        all.drafts_in(Some(&cid("room:ops"))).leave("half a sen".to_owned(), false);
        for (place, begun) in [("room:ops", 1), ("dm:alice:bob", 0), ("room:ops", 1)] {
            all.look_at(Some(cid(place)));
            assert_eq!(all.drafts().ready(false).count(), begun, "{place}");
        }
        assert_eq!(all.drafts_in(Some(&cid("room:ops"))).take(false), "half a sen");
        assert!(all.drafts().is_empty(), "once");
        all.look_at(None);
        all.drafts_in(None).leave("nowhere".to_owned(), false);
        assert_eq!(all.drafts().ready(false).collect::<Vec<_>>(), ["nowhere"]);
    }

    #[test]
    fn kinds_and_membership_follow_what_is_heard() {
        let mut all = Conversations::new(user("alice"));
        for place in ["dm:alice:web1", "dm:alice:server", "dm:alice:bob", "room:ops", "feed:bob"] {
            all.said(&cid(place), 1);
        }
        all.is_machine(&user("web1"));
        let kinds: Vec<Kind> = all.iter().map(|one| one.kind).collect();
        let expected =
            [Kind::Everybody, Kind::Room, Kind::Person, Kind::Machine, Kind::Machine, Kind::Feed];
        assert_eq!(kinds, expected);
        all.note(&Event::Joined { id: None, cid: cid("room:ops"), position: None });
        assert!(all.get(&cid("room:ops")).unwrap().is_in);
        all.note(&Event::Left { id: None, cid: cid("room:ops"), position: None });
        assert!(!all.get(&cid("room:ops")).unwrap().is_in);
    }

    /// Goal: however many write at once, what was begun stays, and so does what is looked at. (The build before forgot the
    /// first by its name.)
    #[test]
    fn what_was_begun_is_forgotten_last() {
        let mut all = Conversations::new(user("alice"));
        all.look_at(Some(cid("dm:aaa:alice")));
        all.drafts_in(Some(&cid("dm:aab:alice"))).leave("half a sentence".to_owned(), false);
        for number in 0..CONVERSATIONS_MAX * 2 {
            let from = format!("b{number}");
            all.note(&message(&format!("dm:alice:{from}"), &from, "hello"));
        }
        assert_eq!(all.iter().count(), CONVERSATIONS_MAX);
        assert!(all.get(&cid("dm:aaa:alice")).is_some(), "it is open");
        all.look_at(Some(cid("dm:aab:alice")));
        assert_eq!(all.drafts().ready(false).collect::<Vec<_>>(), ["half a sentence"]);
    }

    #[test]
    fn a_server_that_invents_people_fills_no_memory_and_hides_nothing_new() {
        let mut all = Conversations::new(user("alice"));
        all.note(&message("dm:alice:bob", "bob", "look"));
        for number in 0..CONVERSATIONS_MAX * 2 {
            all.said(&cid(&format!("dm:alice:b{number}")), 2_000);
        }
        assert_eq!(all.iter().count(), CONVERSATIONS_MAX);
        assert_eq!(counts(&all, "dm:alice:bob"), (1, 1));
    }
}
