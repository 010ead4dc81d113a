//! The state of the screen: what is open, how far it is scrolled, what is typed. Keys change it, and what they ask
//! of others is returned.

use std::borrow::Cow;
use std::collections::HashMap;

use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;
use chat_text::input::{self, Input};
use chat_text::show::{action, files};
use jiff::tz::TimeZone;
use ratatui::layout::Rect;

use crate::composer::{Composer, shown};
use crate::data::{Delivery, Facts, Kind, Line, Progress};
use crate::keys::{Action, Keys};
use crate::layout::{Areas, areas};
use crate::log::{Log, Window};
use crate::popup::{self, About, Popup, Question};
use crate::theme::Theme;

mod draw;
mod press;
mod search;
mod seek;
mod visited;

pub use press::Known;

/// Bytes of the longest text that may stand where one types.
pub use crate::composer::TYPED_MAX;

use seek::Seek;
use visited::Visited;

/// Logs in memory; without a bound a server that invents people would fill it. Closed ones come back from the home.
const LOGS_MAX: usize = 2_048;

/// Files on their way whose line shows how much is here; of others the list tells.
const TRANSFERS_MAX: usize = 64;

/// What the screen asks of the program around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// This line is read by the talk, as if it were typed at a prompt.
    Line(String),
    /// These words are looked for in all conversations of the home.
    Search(String),
    /// The talk looks at another conversation. What was typed is among what was set aside.
    Open(ConversationId),
    /// What was begun here and not sent is put where one types, and nothing stands.
    Draft,
    /// The question that the talk has asked is left without an answer.
    LeaveQuestion,
    /// The editor writes, and begins with this.
    Editor(String),
    /// The program sleeps until it is woken.
    Suspend,
    /// Everything is drawn anew.
    Redraw,
    /// The program ends.
    Quit,
}

/// The screen.
#[derive(Debug)]
pub struct Screen {
    theme: Theme,
    /// It is shown when something was said.
    is_timed: bool,
    zone: TimeZone,
    keys: Keys,
    size: Rect,
    open: ConversationId,
    visited: Visited,
    logs: HashMap<ConversationId, Log>,
    composer: Composer,
    popup: Option<Popup>,
    /// What is looked for in older and older lines of the home.
    seek: Option<Seek>,
    /// Where the line about a file on its way stands.
    transfers: HashMap<u32, ConversationId>,
    /// Something to be read once, in the place of the title.
    notice: Option<String>,
    /// When Ctrl-C was pressed last, Unix time in milliseconds.
    interrupted_ms: Option<u64>,
}

impl Screen {
    /// A screen of this size at which a conversation is open.
    pub fn new(theme: Theme, zone: TimeZone, open: ConversationId, size: (u16, u16)) -> Self {
        Self {
            theme,
            is_timed: true,
            zone,
            keys: Keys::standard(),
            size: Rect::new(0, 0, size.0, size.1),
            open,
            visited: Visited::default(),
            logs: HashMap::new(),
            composer: Composer::default(),
            popup: None,
            seek: None,
            transfers: HashMap::new(),
            notice: None,
            interrupted_ms: None,
        }
    }

    /// The terminal has another size.
    pub fn resize(&mut self, width: u16, height: u16) {
        self.size = Rect::new(0, 0, width, height);
    }

    /// How it is drawn, and whether it is shown when something was said.
    pub fn set_look(&mut self, theme: Theme, is_timed: bool) {
        (self.theme, self.is_timed) = (theme, is_timed);
    }

    /// What the keys do.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// What a person presses for this; nothing where no key does it.
    pub fn key_of(&self, action: Action) -> &str {
        self.keys.key_of(action)
    }

    /// The open conversation.
    pub fn open(&self) -> &ConversationId {
        &self.open
    }

    /// Who spoke last in it, newest first.
    pub fn speakers(&self) -> Vec<String> {
        self.logs.get(&self.open).map(Log::speakers).unwrap_or_default()
    }

    /// Shows another conversation, at which the talk looks now.
    pub fn opened(&mut self, cid: ConversationId) {
        if self.open == cid {
            return;
        }
        self.end_seek();
        // What is asked or looked for there would be taken for something here.
        if self.popup.as_ref().is_some_and(Popup::is_of_place) {
            self.popup = None;
        }
        let before = std::mem::replace(&mut self.open, cid);
        if let Some(log) = self.logs.get_mut(&before) {
            log.close();
        }
        self.visited.went(before);
    }

    /// Nothing is typed, neither here nor in what is open above the log.
    pub fn is_idle(&self) -> bool {
        self.composer.is_empty() && self.popup.is_none()
    }

    /// Puts a text where one types: a draft, or one that the editor has written.
    pub fn set_typed(&mut self, text: &str) {
        self.composer.set(text);
    }

    /// Says that a text of so many bytes does not fit into a message.
    fn no_room(&mut self, bytes: usize) {
        let size = files::size(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.notice = Some(format!("✗ too long, {size}: /send it as a file"));
    }

    /// Notes what was typed in a conversation before the program was started, oldest first.
    pub fn was_typed(&mut self, cid: &ConversationId, line: &str) {
        // What was typed under the veil is not kept.
        self.composer.was_sent(cid, line, false);
    }

    /// Takes what has made room for something else where one types, before it was sent; oldest first.
    pub fn take_aside(&mut self) -> Vec<String> {
        self.composer.take_aside()
    }

    /// The same with what is typed, and what was pasted and is still asked about.
    pub fn take_typed(&mut self) -> Vec<String> {
        let pasted = match self.popup.take() {
            Some(Popup::Question(Question { about: About::Paste(text), .. })) => text,
            popup => {
                self.popup = popup;
                String::new()
            }
        };
        let has_room = pasted.is_empty() || self.composer.paste(&pasted);
        self.composer.leave(&self.open);
        let mut begun = self.take_aside();
        // What has no room as it is seen is not lost either.
        match begun.last_mut() {
            _ if has_room => {}
            Some(typed) => typed.push_str(&pasted),
            None => begun.push(pasted),
        }
        begun
    }

    /// Something new in a conversation, or in the open one where it belongs to none.
    pub fn tell(&mut self, cid: Option<&ConversationId>, line: Line) {
        let is_open = cid.is_none_or(|cid| *cid == self.open);
        if let Some(progress) = line.progress
            && self.transfers.len() < TRANSFERS_MAX
        {
            self.transfers.insert(progress.n, cid.unwrap_or(&self.open).clone());
        }
        let log = self.log(cid);
        match line.kind {
            Kind::Output => log.push_output(line, is_open),
            _ => log.push(line, is_open),
        }
    }

    /// More of a file is here, or it is on its way no more.
    pub fn set_progress(&mut self, progress: Progress, is_over: bool) {
        let cid = self.transfers.get(&progress.n).cloned();
        if let Some(cid) = &cid {
            self.log(Some(cid)).set_progress(progress);
        }
        if is_over {
            self.transfers.remove(&progress.n);
        }
    }

    /// A file is on its way no more.
    pub fn forget_transfer(&mut self, n: u32) {
        self.transfers.remove(&n);
    }

    /// Something has become of a message of this user.
    pub fn set_delivery(&mut self, cid: &ConversationId, id: &MessageId, delivery: Delivery) {
        self.log(Some(cid)).set_delivery(id, delivery);
    }

    /// Messages of the home that were asked for, oldest first.
    pub fn older(&mut self, facts: &Facts, cid: &ConversationId, page: Vec<Line>, is_all: bool) {
        let own = page.iter().rev().filter(|line| line.kind == Kind::Own);
        let own = own.filter_map(|line| Some((line.place?, typed(line)?)));
        let from = page.first().and_then(|line| line.place);
        self.composer.was_said(cid, from, own);
        self.log(Some(cid)).prepend(page, is_all);
        if *cid == self.open && self.seek.is_some() {
            self.seek_on(facts);
        }
    }

    /// Empties the log of the open conversation.
    pub fn clear(&mut self) {
        self.log(None).clear();
    }

    /// Asks a question of the talk; nothing is asked any more without one.
    pub fn ask(&mut self, words: Option<String>) {
        match (words, &self.popup) {
            // What was typed of the answer stays.
            (Some(words), Some(Popup::Question(open))) if open.words == words => {}
            // What was pasted is not lost: the other question comes after this one.
            (Some(_), Some(Popup::Question(open))) if !open.is_of_talk() => {}
            (Some(words), _) => self.popup = Some(Popup::Question(Question::of_talk(words))),
            (None, Some(Popup::Question(question))) if question.is_of_talk() => self.popup = None,
            (None, _) => {}
        }
    }

    /// The conversation whose messages of the home are needed for what is looked at, and the place before which they
    /// end; without a place its newest. They are asked for once.
    pub fn wants_older(&mut self, facts: &Facts) -> Option<(ConversationId, Option<i64>)> {
        // What has come meanwhile may have taken the room for older ones.
        if self.seek.is_some() && !self.log(None).may_have_older() {
            self.seek_on(facts);
        }
        let is_sought = self.seek.is_some() && self.log(None).seeks_older();
        let is_wanted = is_sought || self.in_window(facts, Log::wants_older);
        is_wanted.then(|| (self.open.clone(), self.log(None).oldest_place()))
    }

    fn log(&mut self, cid: Option<&ConversationId>) -> &mut Log {
        let cid = cid.unwrap_or(&self.open);
        if self.logs.len() >= LOGS_MAX && !self.logs.contains_key(cid) {
            let closed = self.logs.keys().find(|one| **one != self.open).cloned();
            if let Some(closed) = closed {
                self.logs.remove(&closed);
            }
        }
        self.logs.entry(cid.clone()).or_default()
    }

    /// What stands where.
    fn areas(&self, facts: &Facts) -> Areas {
        self.areas_in(self.size, facts)
    }

    /// The same in a screen of this size: that of a frame may be another one for a moment.
    fn areas_in(&self, screen: Rect, facts: &Facts) -> Areas {
        let cells = usize::from(screen.width);
        let prompt = self.popup.as_ref().and_then(|popup| popup::prompt(popup, screen));
        let typed =
            prompt.map_or_else(|| self.composer.typed(cells).rows.len(), |(rows, _)| rows.len());
        let typed = u16::try_from(typed).unwrap_or(u16::MAX);
        areas(screen, typed, !facts.members.is_empty())
    }

    /// Columns and rows of the log.
    fn log_size(&self, facts: &Facts) -> (usize, usize) {
        let Rect { width, height, .. } = self.areas(facts).log;
        (usize::from(width), usize::from(height))
    }

    /// Does something with the open log and the window in which it is seen.
    fn in_window<T>(&mut self, facts: &Facts, act: impl FnOnce(&mut Log, &Window<'_>) -> T) -> T {
        let (zone, size, is_timed) = (self.zone.clone(), self.log_size(facts), self.is_timed);
        let unfold = self.keys.key_of(Action::Unfold).to_owned();
        let window = Window { cells: size.0, rows: size.1, zone: &zone, is_timed, unfold: &unfold };
        act(self.log(None), &window)
    }
}

/// What can be typed here to say a line of one's own once more; nothing where that would say something else, or to others.
/// The home has texts and not what was typed: `carol*pay` may have been said to bob, and `/leave` in a room. What was said
/// under the veil would be said without it.
fn typed(line: &Line) -> Option<Cow<'_, str>> {
    let text = if line.is_action {
        Cow::Owned(format!("{}{}", action::MARK, line.text))
    } else {
        Cow::Borrowed(line.text.as_str())
    };
    let is_text = matches!(input::parse(&text), Ok(Input::Text { text: said }) if *text == said);
    // Alone it asks for help, and where one types what nobody sees becomes letters.
    let is_same = is_text && text.trim_end() != "?" && shown(&text) == *text;
    (is_same && !line.is_veiled).then_some(text)
}

#[cfg(test)]
mod tests;
