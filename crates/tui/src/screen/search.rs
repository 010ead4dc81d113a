//! What a key does while something is open above the log.

use super::seek::Seek;
use super::{Need, Screen};
use crate::data::Facts;
use crate::keys::{Action, Pressed};
use crate::popup::{About, Popup, Question, Search, help_room, help_rows};
use crate::switcher::Switcher;

/// Characters of an answer or of what is searched.
const TYPED_MAX: usize = 512;

impl Screen {
    /// Does what a key is for in something that is open. It stays open only if it is put back.
    pub(super) fn press_in(
        &mut self,
        popup: Popup,
        pressed: Pressed,
        facts: &Facts,
    ) -> Option<Need> {
        match (popup, pressed) {
            (popup, Pressed::Action(Action::Redraw)) => {
                self.popup = Some(popup);
                Some(Need::Redraw)
            }
            (Popup::Question(question), pressed) => self.answer(question, pressed),
            (Popup::Search(search), pressed) => self.search(search, pressed, facts),
            (_, Pressed::Action(Action::Close | Action::Interrupt)) => None,
            (Popup::Help(first), pressed) => {
                self.popup = self.help(first, pressed);
                None
            }
            (Popup::Switcher(switcher), pressed) => self.choose(switcher, pressed, facts),
            (Popup::Sent(search, skip, _), pressed) => {
                self.search_sent(search, skip, pressed);
                None
            }
        }
    }

    fn help(&self, first: usize, pressed: Pressed) -> Option<Popup> {
        let (cells, rows) = help_room(self.size);
        let last = help_rows(&self.keys, cells).len().saturating_sub(rows);
        let first = match pressed {
            Pressed::Action(Action::PageUp) => first.saturating_sub(rows),
            Pressed::Action(Action::PageDown) => first + rows,
            Pressed::Action(Action::Older) => first.saturating_sub(1),
            Pressed::Action(Action::Newer) => first + 1,
            _ => return None,
        };
        Some(Popup::Help(first.min(last)))
    }

    fn choose(&mut self, mut switcher: Switcher, pressed: Pressed, facts: &Facts) -> Option<Need> {
        let all = &facts.conversations;
        match pressed {
            Pressed::Action(Action::Send) => {
                let found = switcher.found(all);
                let chosen = switcher.place(&found).and_then(|at| found.get(at).copied());
                // What was chosen may be there no more; nothing else is opened for it.
                return chosen.and_then(|one| self.go(one));
            }
            Pressed::Action(Action::Older | Action::Above | Action::CompleteBack) => {
                switcher.step(all, false);
            }
            Pressed::Action(Action::Newer | Action::Below | Action::Complete) => {
                switcher.step(all, true);
            }
            Pressed::Action(Action::DeleteBack) => switcher.delete(all),
            Pressed::Action(Action::CutBack | Action::CutWordBack) => switcher.clear(all),
            Pressed::Character(letter) => switcher.insert(letter, all),
            Pressed::Action(_) => {}
        }
        self.popup = Some(Popup::Switcher(switcher));
        None
    }

    fn answer(&mut self, mut question: Question, pressed: Pressed) -> Option<Need> {
        let is_left = matches!(pressed, Pressed::Action(Action::Close | Action::Interrupt));
        match (&question.about, pressed) {
            (About::Paste(text), Pressed::Character('y' | 'Y')) => {
                self.composer.paste(text);
                return None;
            }
            (About::Paste(_), Pressed::Character('n' | 'N')) => return None,
            (About::Paste(_), _) if is_left => return None,
            (About::Paste(_), _) => {}
            (About::Talk, _) if is_left => return Some(Need::LeaveQuestion),
            (About::Talk, Pressed::Action(Action::Send)) => {
                return Some(Need::Line(question.answer));
            }
            (About::Talk, pressed) => write(&mut question.answer, pressed),
        }
        self.popup = Some(Popup::Question(question));
        None
    }

    /// Searches the log as the letters are typed: upwards, and downwards with Down.
    fn search(&mut self, mut search: Search, pressed: Pressed, facts: &Facts) -> Option<Need> {
        let is_above = match pressed {
            Pressed::Action(Action::Close | Action::Interrupt) => {
                self.log(None).forget_found();
                return None;
            }
            Pressed::Action(Action::Complete) => {
                self.log(None).forget_found();
                let is_letters = !search.letters.trim().is_empty();
                return is_letters.then_some(Need::Search(search.letters));
            }
            Pressed::Action(Action::Newer) => false,
            Pressed::Action(Action::Older | Action::Send | Action::Search) => true,
            pressed => {
                write(&mut search.letters, pressed);
                // Other letters are looked for from the end on.
                self.log(None).forget_found();
                true
            }
        };
        let found = if is_above && !search.letters.is_empty() {
            self.seek(facts, Seek::Letters(search.letters.clone()))
        } else {
            self.in_window(facts, |log, window| log.find(&search.letters, is_above, window))
        };
        search.is_missed = !found && !search.letters.is_empty();
        self.popup = Some(Popup::Search(search));
        None
    }

    fn search_sent(&mut self, mut search: Search, skip: usize, pressed: Pressed) {
        let mut next = skip;
        match pressed {
            Pressed::Action(Action::Send | Action::Complete) => {
                if let Some(text) = self.composer.find_sent(&self.open, &search.letters, skip) {
                    self.composer.set(&text);
                }
                return;
            }
            Pressed::Action(Action::SearchSent | Action::Older) => next += 1,
            Pressed::Action(Action::Newer) => next = next.saturating_sub(1),
            pressed => {
                write(&mut search.letters, pressed);
                next = 0;
            }
        }
        let find = |skip| self.composer.find_sent(&self.open, &search.letters, skip);
        let found = find(next);
        search.is_missed = found.is_none();
        // There are no further ones.
        let (next, found) = if found.is_none() { (skip, find(skip)) } else { (next, found) };
        self.popup = Some(Popup::Sent(search, next, found));
    }
}

/// Changes a line that has its cursor at its end.
fn write(line: &mut String, pressed: Pressed) {
    match pressed {
        Pressed::Character(character) if line.len() < TYPED_MAX => line.push(character),
        Pressed::Action(Action::DeleteBack) => {
            line.pop();
        }
        Pressed::Action(Action::CutBack) => line.clear(),
        Pressed::Action(Action::CutWordBack) => {
            let kept = line.trim_end().rfind(' ').map_or(0, |at| at + 1);
            line.truncate(kept);
        }
        _ => {}
    }
}
