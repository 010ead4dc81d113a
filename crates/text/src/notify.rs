//! Whether something is worth a notice outside of the chat, and which words it has: a decision of what happened, what
//! is set, and the time of the day.

use chat_protocol::name::UserName;
use chat_protocol::sanitise;

/// Characters of a text that stand in a notice.
const TEXT_MAX: usize = 160;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody has written to this user alone.
    Direct,
    /// Somebody has named this user.
    Mention,
    /// Somebody whom this user follows has said something.
    Followed,
    /// Somebody offers a file.
    File,
    /// Somebody asks this machine to run something.
    Command,
}

/// By which ways a notice goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum How {
    /// By none.
    Off,
    /// The terminal rings.
    #[default]
    Bell,
    /// The terminal shows it, where it can (OSC 9, 777 and 99).
    Terminal,
    /// The desktop shows it, by `notify-send` where that is there.
    Desktop,
    /// By all of them.
    All,
}

impl How {
    /// Every choice, by its name.
    pub const CHOICES: [(Self, &str); 5] = [
        (Self::Off, "off"),
        (Self::Bell, "bell"),
        (Self::Terminal, "terminal"),
        (Self::Desktop, "desktop"),
        (Self::All, "all"),
    ];
}

/// A part of the day, in minutes from midnight; it may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    from: u16,
    to: u16,
}

impl Quiet {
    /// Reads `22:00-07:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let minutes = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        (from != to).then_some(Self { from, to })
    }

    /// As it is typed.
    pub fn text(self) -> String {
        let at = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        format!("{}-{}", at(self.from), at(self.to))
    }

    /// Whether this minute of the day is in it.
    fn has(self, minute: u16) -> bool {
        let since = |at: u16| (DAY + at - self.from) % DAY;
        since(minute % DAY) < since(self.to)
    }
}

/// What is worth a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is set by itself")]
pub struct Notify {
    /// Somebody writes to this user alone.
    pub direct: bool,
    /// Somebody names this user.
    pub mention: bool,
    /// Somebody says something whom this user follows.
    pub followed: bool,
    /// Somebody offers a file.
    pub file: bool,
    /// Somebody asks this machine to run something.
    pub command: bool,
    /// By which ways.
    pub how: How,
    /// When there are none.
    pub quiet: Option<Quiet>,
    /// A notice has no words of anybody.
    pub private: bool,
    /// The title of the window counts what is new.
    pub title: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            direct: true,
            mention: true,
            followed: false,
            file: true,
            command: true,
            how: How::Bell,
            quiet: None,
            private: false,
            title: true,
        }
    }
}

/// What is shown. Its texts are sanitised and one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who, and where.
    pub title: String,
    /// What was said; nothing where it is private.
    pub body: String,
    /// By which ways.
    pub how: How,
}

/// Whether there is a notice of what `who` has said or done, at this minute of the day where this user is.
pub fn notice(
    (kind, who, place): (Kind, &UserName, Option<&str>),
    text: &str,
    wanted: &Notify,
    minute: u16,
) -> Option<Notice> {
    let Notify { direct, mention, followed, file, command, how, quiet, private, .. } = wanted;
    let is_wanted = match kind {
        Kind::Direct => *direct,
        Kind::Mention => *mention,
        Kind::Followed => *followed,
        Kind::File => *file,
        Kind::Command => *command,
    };
    if !is_wanted || *how == How::Off || quiet.is_some_and(|quiet| quiet.has(minute)) {
        return None;
    }
    let place = place.map(|place| format!(" in {}", sanitise::line(place))).unwrap_or_default();
    let what = match kind {
        Kind::Direct | Kind::Mention | Kind::Followed => "",
        Kind::File => " offers a file",
        Kind::Command => " asks to run a command",
    };
    let body = if *private { String::new() } else { shortened(text) };
    Some(Notice { title: format!("{who}{place}{what}"), body, how: *how })
}

fn shortened(text: &str) -> String {
    let line = sanitise::line(text);
    let mut characters = line.chars();
    let start: String = characters.by_ref().take(TEXT_MAX).collect();
    if characters.next().is_some() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, find};

    fn settings(changes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in changes {
            find(key).unwrap().set(&mut settings, value).unwrap();
        }
        settings
    }

    fn of(kind: Kind, changes: &[(&str, &str)], minute: u16) -> Option<Notice> {
        let bob = UserName::new("bob").unwrap();
        notice(
            (kind, &bob, Some("#ops")),
            "hello\u{1b}[31m\nthere",
            &settings(changes).notify,
            minute,
        )
    }

    #[test]
    fn each_kind_is_wanted_by_its_own_setting() {
        for (kind, key, is_default) in [
            (Kind::Direct, "notify.direct", true),
            (Kind::Mention, "notify.mention", true),
            (Kind::Followed, "notify.followed", false),
            (Kind::File, "notify.file", true),
            (Kind::Command, "notify.command", true),
        ] {
            assert_eq!(of(kind, &[], 0).is_some(), is_default, "{key}");
            assert!(of(kind, &[(key, "on")], 0).is_some(), "{key}");
            assert!(of(kind, &[(key, "off")], 0).is_none(), "{key}");
        }
        assert!(of(Kind::Direct, &[("notify.how", "off")], 0).is_none());
    }

    #[test]
    fn a_private_notice_has_no_words_and_no_notice_has_signs_for_a_terminal() {
        let shown = of(Kind::Direct, &[], 0).unwrap();
        assert_eq!(shown.title, "bob in #ops");
        assert!(shown.body.starts_with("hello") && !shown.body.contains(['\u{1b}', '\n']));
        assert_eq!(of(Kind::Direct, &[("notify.private", "on")], 0).unwrap().body, "");
        let bob = UserName::new("bob").unwrap();
        let long =
            notice((Kind::Direct, &bob, None), &"x".repeat(900), &settings(&[]).notify, 0).unwrap();
        assert_eq!(long.body.chars().count(), TEXT_MAX + 1);
    }

    #[test]
    fn nothing_is_said_in_quiet_hours_also_over_midnight() {
        let at = |hour: u16, minute: u16| hour * 60 + minute;
        let night = [("notify.quiet", "22:00-07:00")];
        for (minute, is_quiet) in [
            (at(21, 59), false),
            (at(22, 0), true),
            (at(0, 0), true),
            (at(6, 59), true),
            (at(7, 0), false),
        ] {
            assert_eq!(of(Kind::Direct, &night, minute).is_none(), is_quiet, "{minute}");
        }
        let lunch = [("notify.quiet", "12:00-13:00")];
        assert!(of(Kind::Direct, &lunch, at(12, 30)).is_none());
        assert!(of(Kind::Direct, &lunch, at(13, 0)).is_some());
        for wrong in ["22:00", "25:00-07:00", "7-8", "07:00-07:00", "a:b-c:d"] {
            assert_eq!(Quiet::parse(wrong), None, "{wrong}");
        }
    }
}
