//! Alarms: the first of one kind about one person is told at once, those of the following minute
//! together with their number (rule R39). Who can raise an alarm can raise a million of them.

use std::collections::BTreeMap;

use chat_protocol::name::UserName;

use crate::event::{Alarm, Event};
use crate::limits::{ALARMS_MINUTE_MAX, HUB_WORDS_MINUTE_MAX, UNVERIFIED_MINUTE_MAX};

/// How long alarms are counted together.
const TOGETHER_MS: u64 = 60_000;

/// The same of a hub that has gone back: each time is news of its own, and a hub that does it with every
/// connection gets twelve lines a minute.
const WENT_BACK_TOGETHER_MS: u64 = 5_000;

fn together_ms(kind: Alarm) -> u64 {
    if kind == Alarm::RolledBack { WENT_BACK_TOGETHER_MS } else { TOGETHER_MS }
}

/// What has been raised lately.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// The host's clock, Unix time in milliseconds, as it was last told.
    now_ms: u64,
    raised: BTreeMap<(Alarm, UserName), Raised>,
    /// Frames without a valid signature.
    unverified: Minute,
    /// What the hub has said in clear.
    words: Minute,
}

/// How often something happened in a minute.
#[derive(Debug, Default)]
struct Minute {
    begun_ms: u64,
    count: usize,
}

impl Minute {
    /// It happens once more. Says how often it has in this minute.
    fn count(&mut self, now_ms: u64) -> usize {
        if now_ms.saturating_sub(self.begun_ms) >= TOGETHER_MS {
            *self = Self { begun_ms: now_ms, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// Alarms of one kind about one person.
#[derive(Debug)]
struct Raised {
    /// When the last one was told.
    told_ms: u64,
    /// How many came since.
    count: u32,
    /// What the last of them says.
    detail: String,
}

impl Alarms {
    /// Whether this one is told now.
    pub(crate) fn raise(&mut self, kind: Alarm, user: &UserName, detail: &str) -> bool {
        let key = (kind, user.clone());
        if let Some(raised) = self.raised.get_mut(&key) {
            raised.count = raised.count.saturating_add(1);
            detail.clone_into(&mut raised.detail);
            return false;
        }
        // Of more people than are told apart only the number counts.
        if self.raised.len() >= ALARMS_MINUTE_MAX && !user.is_server() {
            let detail = "alarms about more people than can be told apart";
            return self.raise(kind, &UserName::server(), detail);
        }
        let raised = Raised { told_ms: self.now_ms, count: 0, detail: String::new() };
        self.raised.insert(key, raised);
        true
    }

    /// Whether one more frame without a valid signature is told of: a hub can make any number of them.
    pub(crate) fn tells_of_unverified(&mut self) -> bool {
        self.unverified.count(self.now_ms) <= UNVERIFIED_MINUTE_MAX
    }

    /// What is told of something that the hub says in clear: so often in a minute itself, then that it says more, then
    /// nothing.
    pub(crate) fn hears(&mut self, event: Event) -> Option<Event> {
        match self.words.count(self.now_ms) {
            ..=HUB_WORDS_MINUTE_MAX => Some(event),
            at if at == HUB_WORDS_MINUTE_MAX.saturating_add(1) => Some(Event::Announcement {
                text: "the server says more than anybody reads; nothing more of it is shown in this minute, but what \
                       people say is"
                    .to_owned(),
            }),
            _ => None,
        }
    }

    /// When the next ones are due.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let raised = self.raised.iter().filter(|(_, raised)| raised.count > 0);
        raised.map(|((kind, _), raised)| raised.told_ms.saturating_add(together_ms(*kind))).min()
    }

    /// Takes what is due.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Event> {
        self.now_ms = now_ms;
        let is_over = |kind: Alarm, raised: &Raised| {
            raised.told_ms.saturating_add(together_ms(kind)) <= self.now_ms
        };
        let over = self.raised.extract_if(.., |(kind, _), raised| is_over(*kind, raised));
        let over: Vec<_> = over.filter(|(_, raised)| raised.count > 0).collect();
        let mut due = Vec::new();
        for ((kind, user), Raised { count, detail, .. }) in over {
            let raised = Raised { told_ms: now_ms, count: 0, detail: String::new() };
            self.raised.insert((kind, user.clone()), raised);
            due.push(Event::Alarm { kind, user, detail, count });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_once_and_the_others_of_a_minute_together() {
        let bob = UserName::new("bob").unwrap();
        let mut alarms = Alarms::default();
        assert!(alarms.due(1_000).is_empty());
        assert!(alarms.raise(Alarm::Replay, &bob, "first"));
        for _ in 0..1_000_000 {
            assert!(!alarms.raise(Alarm::Replay, &bob, "again"));
        }
        assert!(alarms.raise(Alarm::BadChain, &bob, "of another kind"));
        assert_eq!(alarms.deadline(), Some(61_000));
        assert!(alarms.due(60_999).is_empty());
        let due = alarms.due(61_000);
        let [Event::Alarm { kind: Alarm::Replay, count: 1_000_000, detail, .. }] = &due[..] else {
            panic!("{due:?}");
        };
        assert_eq!(detail, "again");
        assert!(!alarms.raise(Alarm::Replay, &bob, "still"), "the minute begins anew");
        assert_eq!(alarms.due(121_000).len(), 1);
        assert!(alarms.due(181_000).is_empty());
        assert!(alarms.raise(Alarm::Replay, &bob, "later"));
    }

    /// Goal: each restore of a server is told when it is seen. Method: two within a minute.
    #[test]
    fn a_hub_that_goes_back_twice_in_a_minute_is_told_of_twice() {
        let (hub, mut alarms) = (UserName::server(), Alarms::default());
        assert!(alarms.due(1_000).is_empty());
        assert!(alarms.raise(Alarm::RolledBack, &hub, "first"));
        assert!(!alarms.raise(Alarm::RolledBack, &hub, "at once"));
        assert_eq!(alarms.due(6_000).len(), 1);
        assert!(alarms.due(42_000).is_empty());
        assert!(alarms.raise(Alarm::RolledBack, &hub, "second"));
    }

    /// Goal: a hub fills no screen with what it says in clear.
    #[test]
    fn what_a_hub_says_without_an_end_is_told_so_often_in_a_minute() {
        let (bob, mut alarms) = (UserName::new("bob").unwrap(), Alarms::default());
        for minute in 1..=2_u64 {
            assert!(alarms.due(minute * TOGETHER_MS).is_empty());
            let words = (0..100_000).map(|_| Event::Presence {
                joined: vec![bob.clone()],
                left: Vec::new(),
                followed: Vec::new(),
            });
            let told = words.filter_map(|word| alarms.hears(word)).collect::<Vec<_>>();
            assert_eq!(told.len(), HUB_WORDS_MINUTE_MAX + 1);
            assert!(matches!(told.last(), Some(Event::Announcement { .. })));
        }
    }

    #[test]
    fn alarms_about_invented_people_are_bounded() {
        let mut alarms = Alarms::default();
        let names = (0..100_000).map(|n| UserName::new(&format!("n{n}")).unwrap());
        let told = names.filter(|name| alarms.raise(Alarm::BadChain, name, "x")).count();
        assert_eq!(told, ALARMS_MINUTE_MAX + 1);
        assert_eq!(alarms.raised.len(), ALARMS_MINUTE_MAX + 1);
    }
}
