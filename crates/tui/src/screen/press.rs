//! What a key does to the screen.

use crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};

use super::seek::Seek;
use super::{Need, Screen};
use crate::composer::{Acted, candidates};
use crate::data::{Conversation, Facts};
use crate::keys::{Action, Pressed};
use crate::lists;
use crate::log::{Log, Window};
use crate::popup::{Popup, Question, Search};
use crate::switcher::Switcher;

/// Ctrl-C twice within this time leaves.
const TWICE_MS: u64 = 2_000;

/// Rows of a page that stay in sight when it is turned.
const OVERLAP: usize = 2;

/// Rows of one step of the wheel.
const WHEEL: usize = 3;

/// What completes commands, their arguments and names: where the word at the end of a line begins, and what it can
/// become.
pub type Known<'k> = &'k dyn Fn(&str) -> (usize, Vec<String>);

impl Screen {
    /// Does what a key is for.
    pub fn press(&mut self, event: KeyEvent, facts: &Facts, known: Known<'_>) -> Option<Need> {
        let is_empty = self.composer.is_empty() && self.popup.is_none();
        let pressed = self.keys.pressed(event, is_empty)?;
        self.end_seek();
        self.notice = None;
        if pressed != Pressed::Action(Action::Interrupt) {
            self.interrupted_ms = None;
        }
        if let Some(popup) = self.popup.take() {
            return self.press_in(popup, pressed, facts);
        }
        match pressed {
            Pressed::Character(character) => {
                if !self.composer.insert(character) {
                    self.no_room(self.composer.bytes() + character.len_utf8());
                }
                None
            }
            Pressed::Action(action) => self.act(action, facts, known),
        }
    }

    /// Takes a text that was pasted. One of several lines is asked about first.
    pub fn paste(&mut self, text: &str, facts: &Facts) {
        self.end_seek();
        (self.notice, self.interrupted_ms) = (None, None);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text = text.trim_end_matches('\n');
        match self.popup.take() {
            None | Some(Popup::Help(_)) => self.paste_in_line(text),
            Some(popup) => self.paste_in(popup, text, facts),
        }
    }

    fn paste_in_line(&mut self, text: &str) {
        if !self.composer.has_room(text.len()) {
            self.no_room(text.len());
        } else if text.contains('\n') {
            self.popup = Some(Popup::Question(Question::of_paste(text.to_owned())));
        } else {
            self.insert_pasted(text);
        }
    }

    /// Inserts it, if there is room for it as it is seen.
    pub(super) fn insert_pasted(&mut self, text: &str) {
        if !self.composer.paste(text) {
            self.no_room(text.len());
        }
    }

    /// Does what a mouse is for.
    pub fn mouse(&mut self, event: MouseEvent, facts: &Facts) -> Option<Need> {
        match event.kind {
            MouseEventKind::ScrollUp => {
                self.in_window(facts, |log, window| log.scroll_up(WHEEL, window));
            }
            MouseEventKind::ScrollDown => {
                self.in_window(facts, |log, window| log.scroll_down(WHEEL, window));
            }
            MouseEventKind::Down(MouseButton::Left) => return self.click(event, facts),
            _ => {}
        }
        None
    }

    /// Opens the conversation under the mouse. What is open above the log has to be answered or closed first: it is about
    /// where one is. A search is not, it ends.
    fn click(&mut self, event: MouseEvent, facts: &Facts) -> Option<Need> {
        let list = self.areas(facts).list;
        let is_in_list = list.contains((event.column, event.row).into());
        let one = lists::in_row(facts, &self.open, list, event.row).filter(|_| is_in_list)?;
        match self.popup.take() {
            None | Some(Popup::Search(_) | Popup::Sent(..)) => {}
            popup => {
                self.popup = popup;
                return None;
            }
        }
        self.log(None).forget_found();
        self.go(one)
    }

    fn act(&mut self, action: Action, facts: &Facts, known: Known<'_>) -> Option<Need> {
        match action {
            Action::Send => return self.send(facts.is_veiled),
            Action::Interrupt => return self.interrupt(facts),
            Action::Quit => return Some(Need::Quit),
            Action::Suspend => return Some(Need::Suspend),
            Action::Redraw => return Some(Need::Redraw),
            Action::Editor => return Some(Need::Editor(self.composer.text())),
            Action::Help => self.popup = Some(Popup::Help(0)),
            Action::Switch => {
                self.popup = Some(Popup::Switcher(Switcher::open(&facts.conversations)));
            }
            Action::Search => self.popup = Some(Popup::Search(Search::default())),
            Action::SearchSent => {
                self.popup = Some(Popup::Sent(Search::default(), 0, None));
            }
            Action::Open(_)
            | Action::Above
            | Action::Below
            | Action::NextActive
            | Action::Back
            | Action::Forward => return self.go_by(action, facts),
            // It comes back by a key alone: put there by itself it would stand before keys that were typed ahead.
            Action::Older if facts.has_draft && self.composer.is_empty() => {
                return Some(Need::Draft);
            }
            _ if self.scroll(action, facts) => {}
            _ => {
                let speakers = self.speakers();
                let words = |line: &str| candidates(line, &speakers, known);
                if self.composer.act(action, &self.open, &words) == Acted::NoRoom {
                    self.no_room(self.composer.bytes());
                }
            }
        }
        None
    }

    fn send(&mut self, is_veiled: bool) -> Option<Need> {
        if self.composer.text().trim().is_empty() {
            return None;
        }
        let line = self.composer.take();
        self.composer.was_sent(&self.open, &line, is_veiled);
        self.log(None).scroll_to_end();
        Some(Need::Line(line))
    }

    /// Clears the line; twice leaves.
    fn interrupt(&mut self, facts: &Facts) -> Option<Need> {
        if !self.composer.is_empty() {
            let text = self.composer.take();
            // It may have been a mistake.
            self.composer.was_sent(&self.open, &text, facts.is_veiled);
            return None;
        }
        let now_ms = facts.status.now_ms;
        let is_twice = self.interrupted_ms.is_some_and(|at| now_ms.saturating_sub(at) < TWICE_MS);
        self.interrupted_ms = Some(now_ms);
        if is_twice {
            return Some(Need::Quit);
        }
        let again = format!("{} again", self.key_of(Action::Interrupt));
        let ways = match self.key_of(Action::Quit) {
            "" => format!("{again} or /quit leaves"),
            quit => format!("{again}, {quit} or /quit leaves"),
        };
        self.notice = Some(ways);
        None
    }

    /// Opens a conversation.
    pub(super) fn go(&mut self, one: &Conversation) -> Option<Need> {
        let cid = one.cid.clone();
        if cid == self.open {
            return None;
        }
        self.composer.leave(&self.open);
        Some(Need::Open(cid))
    }

    fn go_by(&mut self, action: Action, facts: &Facts) -> Option<Need> {
        let all = &facts.conversations;
        let here = all.iter().position(|one| one.cid == self.open);
        let one = match action {
            Action::Open(number) => all.get(number.checked_sub(1)?),
            Action::Above => match here {
                Some(at) if at > 0 => all.get(at - 1),
                _ => all.last(),
            },
            Action::Below => here.and_then(|at| all.get(at + 1)).or(all.first()),
            Action::NextActive => next_active(all, here.unwrap_or(0)),
            // Those that are not there any more are passed over.
            Action::Back => {
                std::iter::from_fn(|| self.visited.back()).find_map(|cid| facts.conversation(&cid))
            }
            _ => std::iter::from_fn(|| self.visited.forward())
                .find_map(|cid| facts.conversation(&cid)),
        };
        let need = one.and_then(|one| self.go(one));
        if need.is_none() {
            self.visited.stays();
        }
        need
    }

    /// Scrolls, if the key is for that.
    pub(super) fn scroll(&mut self, action: Action, facts: &Facts) -> bool {
        let page = |window: &Window<'_>| window.rows.saturating_sub(OVERLAP).max(1);
        let in_window: fn(&mut Log, &Window<'_>) -> Option<&'static str> = match action {
            Action::Top => |log, window| {
                log.scroll_to_top(window);
                None
            },
            Action::Bottom => |log, _| {
                log.scroll_to_end();
                None
            },
            Action::FirstUnread => return self.seek_or_say(facts, &Seek::Unread),
            Action::MentionAbove => return self.seek_or_say(facts, &Seek::Mention),
            Action::MentionBelow => {
                |log, window| (!log.jump_to_mention(false, window)).then_some("no mention below")
            }
            Action::Unfold => |log, window| (!log.unfold(window)).then_some("no output here"),
            Action::PageUp => {
                self.in_window(facts, |log, window| log.scroll_up(page(window), window));
                return true;
            }
            Action::PageDown => {
                self.in_window(facts, |log, window| log.scroll_down(page(window), window));
                return true;
            }
            _ => return false,
        };
        let notice = self.in_window(facts, in_window);
        self.notice = notice.map(str::to_owned);
        true
    }

    /// Looks for something upwards, and says so where it is nowhere.
    fn seek_or_say(&mut self, facts: &Facts, seek: &Seek) -> bool {
        if !self.seek(facts, seek.clone()) {
            self.notice = seek.missed();
        }
        true
    }
}

/// The next conversation behind this place of the list with something new: first those with mentions.
fn next_active(all: &[Conversation], here: usize) -> Option<&Conversation> {
    let round = || all.iter().cycle().skip(here + 1).take(all.len().saturating_sub(1));
    let mut mentioned = round().filter(|one| one.mentions > 0 && !one.is_muted);
    mentioned.next().or_else(|| round().find(|one| one.unread > 0 && !one.is_muted))
}
