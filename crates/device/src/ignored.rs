//! Whom this user ignores: what they say is received, kept and confirmed as ever, and hidden wherever it would be shown.

use std::collections::{BTreeMap, BTreeSet};

use chat_endpoint::settings::IGNORE;
use chat_endpoint::{Event, MemberChange, Standing};
use chat_protocol::name::UserName;
use chat_protocol::tag::Tag;

use crate::record::{Entry, State};

/// What stands in the history for what somebody says who is ignored.
pub const HIDDEN: &str = "(hidden: you ignore them)";

/// Those people. Letters of either case are the same name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ignored(BTreeSet<String>);

impl Ignored {
    /// Those whom these settings name.
    pub fn of(settings: &BTreeMap<String, String>) -> Self {
        let mut ignored = Self::default();
        for (key, value) in settings {
            let user = key.strip_prefix(IGNORE).and_then(|name| UserName::new(name).ok());
            if let Some(user) = user {
                ignored.set(&user, value == "on");
            }
        }
        ignored
    }

    /// Hides what somebody says, or shows it again.
    pub fn set(&mut self, user: &UserName, on: bool) {
        if on {
            self.0.insert(user.folded());
        } else {
            self.0.remove(&user.folded());
        }
    }

    /// Whether what somebody says is hidden.
    pub fn has(&self, user: &UserName) -> bool {
        !self.0.is_empty() && self.0.contains(&user.folded())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = UserName> {
        self.0.iter().filter_map(|name| UserName::new(name).ok())
    }

    /// Whether this was said by one of them: nothing comes of it where it is shown.
    pub fn hide(&self, event: &Event) -> bool {
        match event {
            Event::Message { from, .. }
            | Event::Away { from, .. }
            | Event::Unreadable { from, .. } => self.has(from),
            _ => false,
        }
    }

    /// Whether this is something that one of them does at will: it is so, and not told. What they do to others is
    /// told, and what others do to them.
    pub fn silence(&self, event: &Event) -> bool {
        match event {
            Event::Topic { by, .. } => self.has(by),
            // A program of one's own leaves counters out, never sends what it has counted, and makes keys and devices
            // as often as one likes. Alarms about their keys stay: these may be another's.
            Event::Gap { from: who, .. }
            | Event::Healed { from: who, .. }
            | Event::Unhealed { from: who, .. }
            | Event::Disowned { from: who, .. }
            | Event::NewDevice { user: who, .. } => self.has(who),
            Event::MemberChanged { change, who, .. } => {
                matches!(change, MemberChange::Joined | MemberChange::Left) && self.has(who)
            }
            _ => false,
        }
    }

    /// Who came and went, without them. Other events pass as they are.
    pub fn without_presence(&self, mut event: Event) -> Event {
        if let Event::Presence { joined, left, .. } = &mut event {
            joined.retain(|name| !self.has(name));
            left.retain(|name| !self.has(name));
        }
        event
    }

    /// Takes their words out of a page of the history; its places stay.
    pub fn without_words(&self, mut page: Vec<Entry>) -> Vec<Entry> {
        for Entry { record, state, .. } in &mut page {
            if !self.has(&record.from) {
                continue;
            }
            record.text = Some(HIDDEN.to_owned());
            // What was wrong with one that could not be read is theirs as well.
            if matches!(state, State::Unreadable { .. }) {
                record.tag = Some(Tag::of_words(&record.cid));
                *state = State::Received { position: 0, peer: Standing::Known };
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::MessageId;
    use chat_protocol::name::ConversationId;

    use super::*;
    use crate::record::Record;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn ignored() -> Ignored {
        let settings = [("ignore:Mallory", "on"), ("ignore:bob", "off"), ("mute:room:ops", "on")];
        Ignored::of(&settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn settings_say_whom_one_ignores_in_any_case() {
        let ignored = ignored();
        assert!(ignored.has(&user("mallory")) && ignored.has(&user("MALLORY")));
        assert!(!ignored.has(&user("bob")));
        assert_eq!(ignored.names().collect::<Vec<_>>(), [user("mallory")]);
    }

    /// What somebody's program causes that leaves counters out and makes keys.
    fn left_out(from: &str, cid: &ConversationId) -> [Event; 5] {
        let (cid, user, from, reason) = (cid.clone(), user(from), user(from), "x".to_owned());
        [
            Event::Gap { cid: cid.clone(), from: from.clone(), missing: vec![1] },
            Event::Healed { cid: cid.clone(), from: from.clone(), n: vec![1] },
            Event::Unhealed { cid: cid.clone(), from: from.clone(), n: vec![1], reason },
            Event::Disowned { cid, from, id: MessageId([1; 16]) },
            Event::NewDevice { user, number: 2, words: "x".to_owned() },
        ]
    }

    #[test]
    fn a_page_shows_nothing_of_what_they_have_said() {
        let entry = |from: &str, text: Option<&str>, state| Entry {
            place: 1,
            record: Record {
                id: MessageId([1; 16]),
                cid: ConversationId::parse("room:ops").unwrap(),
                tag: None,
                from: user(from),
                text: text.map(str::to_owned),
                sent_ms: 1,
                said_in: None,
                veiled: false,
            },
            state,
            confirmed: Vec::new(),
        };
        let unreadable = || State::Unreadable { reason: "buy it".to_owned() };
        let said = State::Received { position: 1, peer: Standing::Known };
        let page = vec![
            entry("bob", None, unreadable()),
            entry("mallory", None, unreadable()),
            entry("mallory", Some("buy it"), said),
        ];
        let page = ignored().without_words(page);
        assert_eq!(page[0].state, unreadable(), "of nobody else");
        for entry in &page[1..] {
            assert_eq!(entry.record.text.as_deref(), Some(HIDDEN));
            assert!(matches!(entry.state, State::Received { .. }), "{entry:?}");
        }
    }

    /// Goal: somebody who is ignored makes no noise by anything that they can do as often as they like; what they do to
    /// others is seen.
    #[test]
    fn nothing_that_they_do_at_will_is_noise() {
        let (ignored, cid) = (ignored(), ConversationId::parse("room:ops").unwrap());
        let id = MessageId([1; 16]);
        let unreadable = |from: &str| Event::Unreadable {
            cid: cid.clone(),
            from: user(from),
            id,
            reason: "x".to_owned(),
            signed: true,
        };
        assert!(ignored.hide(&unreadable("mallory")) && !ignored.hide(&unreadable("bob")));
        let topic = |by: &str| Event::Topic {
            id: None,
            cid: cid.clone(),
            text: "x".to_owned(),
            by: user(by),
        };
        assert!(ignored.silence(&topic("mallory")) && !ignored.silence(&topic("bob")));
        for (theirs, others) in left_out("mallory", &cid).into_iter().zip(left_out("bob", &cid)) {
            assert!(ignored.silence(&theirs) && !ignored.silence(&others), "{theirs:?}");
        }
        let changed = |change, who: &str, by: &str| Event::MemberChanged {
            id: None,
            cid: cid.clone(),
            change,
            who: user(who),
            by: user(by),
        };
        assert!(ignored.silence(&changed(MemberChange::Joined, "mallory", "mallory")));
        assert!(ignored.silence(&changed(MemberChange::Left, "mallory", "mallory")));
        assert!(!ignored.silence(&changed(MemberChange::Removed, "bob", "mallory")));
        assert!(!ignored.silence(&changed(MemberChange::Added, "mallory", "bob")));
        let names = || vec![user("mallory"), user("bob")];
        let presence = Event::Presence { joined: names(), left: names(), followed: names() };
        let Event::Presence { joined, left, .. } = ignored.without_presence(presence) else {
            panic!("it is still one");
        };
        assert_eq!((joined, left), (vec![user("bob")], vec![user("bob")]));
    }
}
