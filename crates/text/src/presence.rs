//! Of whom it is said that they come and go.

use std::borrow::Cow;
use std::fmt;

use chat_endpoint::Event;
use chat_protocol::name::UserName;

/// Whose coming and going is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Presence {
    /// Everybody's.
    #[default]
    All,
    /// That of whom one follows.
    Followed,
    /// Nobody's.
    Off,
}

impl Presence {
    /// Every choice: its name, and whose coming and going it shows.
    pub const CHOICES: [(Self, &str, &str); 3] = [
        (Self::All, "all", "Everybody's"),
        (Self::Followed, "followed", "That of whom one follows"),
        (Self::Off, "off", "Nobody's"),
    ];

    /// Reads its name, in any case.
    pub fn parse(word: &str) -> Option<Self> {
        let named = |(_, name, _): &&(Self, &str, &str)| name.eq_ignore_ascii_case(word);
        Self::CHOICES.iter().find(named).map(|(choice, ..)| *choice)
    }

    /// The event as far as it is to be shown; nothing where none of it is. Other events pass as they are.
    pub fn wanted(self, event: &Event) -> Option<Cow<'_, Event>> {
        let Event::Presence { joined, left, followed } = event else {
            return Some(Cow::Borrowed(event));
        };
        let is_wanted = |name: &&UserName| match self {
            Self::All => true,
            Self::Followed => followed.contains(name),
            Self::Off => false,
        };
        let of = |names: &[UserName]| names.iter().filter(is_wanted).cloned().collect::<Vec<_>>();
        let (joined, left) = (of(joined), of(left));
        let is_empty = joined.is_empty() && left.is_empty();
        let followed = followed.clone();
        (!is_empty).then(|| Cow::Owned(Event::Presence { joined, left, followed }))
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::All => "everybody is shown",
            Self::Followed => "only whom you follow is shown",
            Self::Off => "nobody is shown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_shown_that_somebody_wants_to_see() {
        let names = |names: &[&str]| -> Vec<UserName> {
            names.iter().map(|name| UserName::new(name).unwrap()).collect()
        };
        let came = Event::Presence {
            joined: names(&["alice", "bob"]),
            left: names(&["carol"]),
            followed: names(&["alice"]),
        };
        let shown = |setting: Presence| match setting.wanted(&came).map(Cow::into_owned) {
            Some(Event::Presence { joined, left, .. }) => (joined, left),
            _ => (Vec::new(), Vec::new()),
        };
        assert_eq!(shown(Presence::All), (names(&["alice", "bob"]), names(&["carol"])));
        assert_eq!(shown(Presence::Followed), (names(&["alice"]), Vec::new()));
        assert_eq!(shown(Presence::Off), (Vec::new(), Vec::new()));
        let other = Event::Announcement { text: "hi".to_owned() };
        assert!(matches!(Presence::Off.wanted(&other), Some(Cow::Borrowed(_))));
        assert_eq!(Presence::parse("OFF"), Some(Presence::Off));
        assert_eq!(Presence::parse("none"), None);
    }
}
