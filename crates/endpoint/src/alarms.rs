//! Alarms: the first of one kind about one person is told at once, those of the following minute
//! together with their number, and with what the last one says of each conversation (rule R39). Who can raise an alarm can
//! raise a million of them.

use std::collections::BTreeMap;

use chat_protocol::name::{ConversationId, UserName};

use crate::event::{Alarm, Event};
use crate::limits::{
    ALARM_PLACES_MAX, ALARMS_MINUTE_MAX, HUB_WORDS_MINUTE_MAX, UNVERIFIED_MINUTE_MAX,
};

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
    /// What the last of them says of each conversation, or of none.
    details: BTreeMap<Option<ConversationId>, String>,
    /// There are more conversations than are told apart.
    is_cut: bool,
}

impl Raised {
    /// One was told at this time.
    fn told(told_ms: u64) -> Self {
        Self { told_ms, count: 0, details: BTreeMap::new(), is_cut: false }
    }

    /// One more comes.
    fn keep(&mut self, place: Option<&ConversationId>, detail: &str) {
        self.count = self.count.saturating_add(1);
        let count = self.details.len();
        let place = place.cloned();
        if let Some(known) = self.details.get_mut(&place) {
            detail.clone_into(known);
        } else if count < ALARM_PLACES_MAX {
            self.details.insert(place, detail.to_owned());
        } else {
            self.is_cut = true;
        }
    }

    /// What they say, taken together.
    fn detail(self) -> String {
        let more = self.is_cut.then(|| "and the same of further conversations".to_owned());
        self.details.into_values().chain(more).collect::<Vec<_>>().join("; ")
    }
}

impl Alarms {
    /// Whether this one is told now. Of several of one conversation the last one is told, of several conversations each.
    pub(crate) fn raise(
        &mut self,
        kind: Alarm,
        user: &UserName,
        place: Option<&ConversationId>,
        detail: &str,
    ) -> bool {
        let key = (kind, user.clone());
        if let Some(raised) = self.raised.get_mut(&key) {
            raised.keep(place, detail);
            return false;
        }
        // Of more people than are told apart only the number counts.
        if self.raised.len() >= ALARMS_MINUTE_MAX && !user.is_server() {
            let detail = "alarms about more people than can be told apart";
            return self.raise(kind, &UserName::server(), None, detail);
        }
        self.raised.insert(key, Raised::told(self.now_ms));
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
        for ((kind, user), raised) in over {
            self.raised.insert((kind, user.clone()), Raised::told(now_ms));
            let (count, detail) = (raised.count, raised.detail());
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
        assert!(alarms.raise(Alarm::Replay, &bob, None, "first"));
        for _ in 0..1_000_000 {
            assert!(!alarms.raise(Alarm::Replay, &bob, None, "again"));
        }
        assert!(alarms.raise(Alarm::BadChain, &bob, None, "of another kind"));
        assert_eq!(alarms.deadline(), Some(61_000));
        assert!(alarms.due(60_999).is_empty());
        let due = alarms.due(61_000);
        let [Event::Alarm { kind: Alarm::Replay, count: 1_000_000, detail, .. }] = &due[..] else {
            panic!("{due:?}");
        };
        assert_eq!(detail, "again");
        assert!(!alarms.raise(Alarm::Replay, &bob, None, "still"), "the minute begins anew");
        assert_eq!(alarms.due(121_000).len(), 1);
        assert!(alarms.due(181_000).is_empty());
        assert!(alarms.raise(Alarm::Replay, &bob, None, "later"));
    }

    /// Goal: of several conversations within a minute each is named, to a bound, and of one of them what was said last.
    /// Before: the last one alone was told.
    #[test]
    fn each_conversation_of_a_minute_is_told() {
        let (bob, mut alarms) = (UserName::new("bob").unwrap(), Alarms::default());
        assert!(alarms.due(1_000).is_empty());
        let place = |n: usize| ConversationId::parse(&format!("room:r{n:02}")).unwrap();
        let mut raise = |n: usize, detail: &str| {
            alarms.raise(Alarm::SealsForRemoved, &bob, Some(&place(n)), detail)
        };
        assert!(raise(0, "zero"));
        for (n, detail) in [(1, "one"), (2, "two"), (1, "one and more"), (3, "three")] {
            assert!(!raise(n, detail));
        }
        let told = |alarms: &mut Alarms, now_ms| match &alarms.due(now_ms)[..] {
            [Event::Alarm { count, detail, .. }] => (*count, detail.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&mut alarms, 61_000), (4, "one and more; two; three".to_owned()));
        for n in 0..2 * ALARM_PLACES_MAX {
            assert!(!alarms.raise(Alarm::SealsForRemoved, &bob, Some(&place(n)), "again"));
        }
        let (_, detail) = told(&mut alarms, 121_000);
        assert_eq!(detail.matches("again").count(), ALARM_PLACES_MAX);
        assert!(detail.ends_with("; and the same of further conversations"), "{detail}");
    }

    /// Goal: each restore of a server is told when it is seen. Method: two within a minute.
    #[test]
    fn a_hub_that_goes_back_twice_in_a_minute_is_told_of_twice() {
        let (hub, mut alarms) = (UserName::server(), Alarms::default());
        assert!(alarms.due(1_000).is_empty());
        assert!(alarms.raise(Alarm::RolledBack, &hub, None, "first"));
        assert!(!alarms.raise(Alarm::RolledBack, &hub, None, "at once"));
        assert_eq!(alarms.due(6_000).len(), 1);
        assert!(alarms.due(42_000).is_empty());
        assert!(alarms.raise(Alarm::RolledBack, &hub, None, "second"));
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
        let told = names.filter(|name| alarms.raise(Alarm::BadChain, name, None, "x")).count();
        assert_eq!(told, ALARMS_MINUTE_MAX + 1);
        assert_eq!(alarms.raised.len(), ALARMS_MINUTE_MAX + 1);
    }
}
