//! What a key does while something is open above the log.

use super::seek::Seek;
use super::{Need, Screen};
use crate::data::Facts;
use crate::keys::{Action, Pressed};
use crate::popup::{About, Popup, Question, Search, help_room, help_rows};
use crate::switcher::Switcher;

/// Bytes of an answer or of what is searched.
const ANSWER_MAX: usize = 512;

impl Screen {
    /// Does what a key is for in something that is open. It stays open only if it is put back.
    pub(super) fn press_in(
        &mut self,
        popup: Popup,
        pressed: Pressed,
        facts: &Facts,
    ) -> Option<Need> {
        match (popup, pressed) {
            (popup, Pressed::Action(action @ (Action::Redraw | Action::Suspend))) => {
                self.popup = Some(popup);
                Some(if action == Action::Redraw { Need::Redraw } else { Need::Suspend })
            }
            (Popup::Question(question), pressed) => self.answer(question, pressed, facts),
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

    /// Takes what was pasted into something that is open: of several lines the first, where there is room for one.
    pub(super) fn paste_in(&mut self, popup: Popup, text: &str, facts: &Facts) {
        let line = text.split('\n').next().unwrap_or_default();
        match popup {
            // Both are asked about, where there is room for both.
            Popup::Question(Question { about: About::Paste(before), .. }) => {
                let both = before.len().saturating_add(text.len());
                if self.composer.has_room(both) {
                    self.popup = Some(Popup::Question(Question::of_paste(before + text)));
                } else {
                    self.popup = Some(Popup::Question(Question::of_paste(before)));
                    self.no_room(both);
                }
            }
            Popup::Question(mut question) => {
                write_text(&mut question.answer, &text.replace('\n', " "));
                self.popup = Some(Popup::Question(question));
            }
            Popup::Search(mut search) => {
                write_text(&mut search.letters, line);
                self.search_anew(search, facts);
            }
            Popup::Sent(mut search, ..) => {
                write_text(&mut search.letters, line);
                self.find_sent(search, 0, 0);
            }
            Popup::Switcher(mut switcher) => {
                line.chars().for_each(|letter| switcher.insert(letter, &facts.conversations));
                self.popup = Some(Popup::Switcher(switcher));
            }
            Popup::Help(_) => {}
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

    fn answer(&mut self, mut question: Question, pressed: Pressed, facts: &Facts) -> Option<Need> {
        let is_left = matches!(pressed, Pressed::Action(Action::Close | Action::Interrupt));
        match (&question.about, pressed) {
            (About::Paste(text), Pressed::Character('y' | 'Y')) => {
                self.insert_pasted(text);
                return None;
            }
            (About::Paste(_), Pressed::Character('n' | 'N')) => return None,
            (About::Paste(_), _) if is_left => return None,
            (About::Talk, _) if is_left => return Some(Need::LeaveQuestion),
            (About::Talk, Pressed::Action(Action::Send)) => {
                return Some(Need::Line(question.answer));
            }
            // What it is about stands in the log.
            (_, Pressed::Action(action)) if is_of_log(action) => {
                self.popup = Some(Popup::Question(question));
                self.scroll(action, facts);
                return None;
            }
            (About::Talk, pressed) => {
                write(&mut question.answer, pressed);
            }
            (About::Paste(_), _) => {}
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
                let is_changed = write(&mut search.letters, pressed);
                if is_changed {
                    self.search_anew(search, facts);
                } else {
                    self.popup = Some(Popup::Search(search));
                    // What is around it can be read, too.
                    if let Pressed::Action(action) = pressed
                        && is_of_log(action)
                    {
                        self.scroll(action, facts);
                    }
                }
                return None;
            }
        };
        self.search_on(search, is_above, facts);
        None
    }

    /// Other letters are looked for from the end on.
    fn search_anew(&mut self, search: Search, facts: &Facts) {
        self.log(None).search_from_end();
        self.search_on(search, true, facts);
    }

    fn search_on(&mut self, mut search: Search, is_above: bool, facts: &Facts) {
        let found = if is_above && !search.letters.is_empty() {
            self.seek(facts, Seek::Letters(search.letters.clone()))
        } else {
            self.in_window(facts, |log, window| log.find(&search.letters, is_above, window))
        };
        search.is_missed = !found && !search.letters.is_empty();
        self.popup = Some(Popup::Search(search));
    }

    fn search_sent(&mut self, mut search: Search, skip: usize, pressed: Pressed) {
        let mut next = skip;
        match pressed {
            Pressed::Action(Action::Send | Action::Complete) => {
                if let Some(text) = self.composer.find_sent(&self.open, &search.letters, skip) {
                    self.composer.leave(&self.open);
                    self.set_typed(&text);
                }
                return;
            }
            Pressed::Action(Action::SearchSent | Action::Older) => next += 1,
            Pressed::Action(Action::Newer) => next = next.saturating_sub(1),
            pressed if write(&mut search.letters, pressed) => next = 0,
            _ => {}
        }
        self.find_sent(search, skip, next);
    }

    /// Shows the line that was sent before but `next` newer ones, or `skip` where there is none.
    fn find_sent(&mut self, mut search: Search, skip: usize, next: usize) {
        let find = |skip| self.composer.find_sent(&self.open, &search.letters, skip);
        let found = find(next);
        search.is_missed = found.is_none();
        // There are no further ones.
        let (next, found) = if found.is_none() { (skip, find(skip)) } else { (next, found) };
        self.popup = Some(Popup::Sent(search, next, found));
    }
}

/// Scrolls the log, whatever else is open.
fn is_of_log(action: Action) -> bool {
    matches!(action, Action::PageUp | Action::PageDown | Action::Top | Action::Bottom)
}

/// Writes a text at the end of a line, as far as there is room.
fn write_text(line: &mut String, text: &str) {
    let letters = text.chars().take(ANSWER_MAX);
    for letter in letters {
        write(line, Pressed::Character(letter));
    }
}

/// Changes a line that has its cursor at its end, if the key does that; says whether it has.
fn write(line: &mut String, pressed: Pressed) -> bool {
    let before = line.len();
    match pressed {
        Pressed::Character(character) if line.len() < ANSWER_MAX => line.push(character),
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
    line.len() != before
}
