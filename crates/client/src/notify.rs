//! Notices outside of the chat: the bell, the terminal, the desktop, and the title of the window. What is worth one is
//! decided in [`chat_text::notify`].

use std::io::{self, IsTerminal as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use chat_endpoint::Event;
use chat_files::transfer::TransferEvent;
use chat_protocol::name::{ConversationKind, UserName};
use chat_protocol::veil;
use chat_talk::conversations::names;
use chat_talk::{Talk, Told};
use chat_text::item::{Item, What};
use chat_text::notify::{How, Kind, Notice, notice};
use chat_text::settings::Settings;
use tokio::process::Command;
use tokio::time::Instant;

use crate::diagnostics::is_dumb;

/// Notices follow each other no faster: what was missed while one was away is no alarm clock.
const PAUSE: Duration = Duration::from_secs(1);

/// The terminal keeps the title of its window, and puts it back. One that cannot passes over both.
const KEEP_TITLE: &str = "\u{1b}[22;2t";
const GIVE_TITLE_BACK: &str = "\u{1b}[23;2t";

/// Where notices go.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    last: Option<Instant>,
    /// The title as it was set last.
    title: Option<String>,
    /// There is no program that shows notices of the desktop.
    has_no_desktop: bool,
}

impl Notifier {
    /// Gives notice of what was told, and says in the title how much is new.
    pub(crate) fn note(&mut self, talk: &Talk, told: &Told) {
        let minute = minute_of_day();
        for item in &told.items {
            let Some((kind, who, place, text)) = told_of(talk, item) else { continue };
            let what = (kind, &who, place.as_deref());
            if let Some(notice) = notice(what, &text, &talk.settings().notify, minute) {
                self.give(&notice);
            }
        }
        self.name_window(talk);
    }

    /// Gives notice of a command that this machine was asked to run. What has no terminal has the desktop.
    pub(crate) fn asked(&mut self, event: &Event, settings: &Settings) {
        let Event::Command { from, command, .. } = event else { return };
        let what = (Kind::Command, from, None);
        let words = command.argv.join(" ");
        if let Some(notice) = notice(what, &words, &settings.notify, minute_of_day()) {
            self.give(&notice);
        }
    }

    fn give(&mut self, notice: &Notice) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now < last + PAUSE) {
            return;
        }
        self.last = Some(now);
        let Notice { title, body, how } = notice;
        let is_terminal = io::stdout().is_terminal();
        if matches!(how, How::Bell | How::All) && is_terminal {
            write("\u{7}");
        }
        if matches!(how, How::Terminal | How::All) && is_terminal && !is_dumb() {
            write(&sequences(title, body));
        }
        if matches!(how, How::Desktop | How::All) && !self.has_no_desktop {
            self.has_no_desktop = !desktop(title, body);
        }
    }

    /// The window has a title with the number of new messages.
    fn name_window(&mut self, talk: &Talk) {
        if !talk.settings().notify.title || is_dumb() {
            self.give_title_back();
            return;
        }
        let new = talk.conversations().loud();
        let count = if new > 0 { format!("({new}) ") } else { String::new() };
        let title = format!("{count}chat: {}", talk.me());
        if self.title.as_ref() != Some(&title) {
            if self.title.is_none() {
                write(KEEP_TITLE);
            }
            write(&format!("\u{1b}]2;{title}\u{1b}\\"));
            self.title = Some(title);
        }
    }
}

impl Notifier {
    /// The title is the terminal's again.
    fn give_title_back(&mut self) {
        if self.title.take().is_some() {
            // Where the terminal has kept none, there is none.
            write(&format!("\u{1b}]2;\u{1b}\\{GIVE_TITLE_BACK}"));
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.give_title_back();
    }
}

/// What of it somebody may want to know at once: what, who, where, and the words.
fn told_of(talk: &Talk, item: &Item) -> Option<(Kind, UserName, Option<String>, String)> {
    match &item.what {
        What::Event(event) => match &**event {
            Event::Message { cid, from, text, veiled, granted_by: None, .. }
                if from != talk.me() =>
            {
                let text = if *veiled { veil::unshift(text) } else { text.clone() };
                let is_named = names(&text, talk.me());
                let kind = match cid.kind() {
                    ConversationKind::Direct(..) => Kind::Direct,
                    ConversationKind::Room(_) | ConversationKind::Feed(_) if is_named => {
                        Kind::Mention
                    }
                    ConversationKind::Feed(_) => Kind::Followed,
                    ConversationKind::Room(_) => return None,
                };
                let place = (!cid.is_direct()).then(|| cid.spoken());
                // Whoever sits beside the screen has not asked to see it.
                let text = if *veiled { "~".to_owned() } else { text };
                Some((kind, from.clone(), place, text))
            }
            _ => None,
        },
        What::Transfer { event: TransferEvent::Offered(offered), .. } => {
            Some((Kind::File, offered.from.clone(), None, offered.file.name.clone()))
        }
        _ => None,
    }
}

/// What terminals show as a notice: OSC 9 (iTerm2 and others), 777 (rxvt) and 99 (kitty). One that knows none of them
/// shows nothing.
fn sequences(title: &str, body: &str) -> String {
    // A semicolon parts the fields.
    let plain = |text: &str| text.replace(';', ",");
    let (title, body) = (plain(title), plain(body));
    let said = if body.is_empty() { title.clone() } else { format!("{title}: {body}") };
    format!(
        "\u{1b}]9;{said}\u{1b}\\\u{1b}]777;notify;{title};{body}\u{1b}\\\u{1b}]99;;{said}\u{1b}\\"
    )
}

/// Has the desktop show it; `false` where there is no program for that.
fn desktop(title: &str, body: &str) -> bool {
    // Some desktops read the body as markup.
    let body = body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let started = Command::new("notify-send")
        .args(["--app-name=chat", "--", title, &body])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(mut program) => {
            // It ends by itself; somebody has to ask for its status.
            tokio::spawn(async move { program.wait().await.ok() });
            true
        }
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The terminal has it in one piece; one that is gone needs none.
fn write(text: &str) {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).ok();
}

/// The minute of the day where this machine is.
fn minute_of_day() -> u16 {
    let now = jiff::Zoned::now();
    let (hour, minute) = (i16::from(now.hour()), i16::from(now.minute()));
    u16::try_from(hour * 60 + minute).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_of_a_sequence_ends_another() {
        let said = sequences("bob", "a;b");
        assert_eq!(said.matches('\u{1b}').count(), 6, "three begin and three end");
        assert!(said.contains("777;notify;bob;a,b"), "{said:?}");
        assert!(sequences("bob", "").contains("]9;bob\u{1b}"));
    }
}
