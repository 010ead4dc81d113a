//! Finds a conversation by some of its letters.

use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::data::Conversation;

/// Letters that are looked for.
const LETTERS_MAX: usize = 64;

/// The list to choose from.
#[derive(Debug, Default)]
pub(crate) struct Switcher {
    /// The letters that were typed.
    pub(crate) letters: String,
    /// Which of those that were found is chosen.
    pub(crate) chosen: usize,
}

impl Switcher {
    /// Types a letter.
    pub(crate) fn insert(&mut self, letter: char) {
        if self.letters.chars().count() < LETTERS_MAX {
            self.letters.push(letter);
            self.chosen = 0;
        }
    }

    /// Takes the last letter back.
    pub(crate) fn delete(&mut self) {
        self.letters.pop();
        self.chosen = 0;
    }

    /// Takes all letters back.
    pub(crate) fn clear(&mut self) {
        self.letters.clear();
        self.chosen = 0;
    }

    /// Chooses the next one of so many, or the one before.
    pub(crate) fn step(&mut self, count: usize, is_down: bool) {
        let count = count.max(1);
        self.chosen = if is_down { self.chosen + 1 } else { self.chosen + count - 1 } % count;
    }

    /// The conversations with these letters in this order, the best first; without letters those with something new
    /// first.
    pub(crate) fn found<'c>(&self, all: &'c [Conversation]) -> Vec<&'c Conversation> {
        let mut found: Vec<(u32, &Conversation)> = if self.letters.trim().is_empty() {
            let news = |one: &Conversation| match one {
                one if one.is_muted => 0,
                one if one.mentions > 0 => 2,
                one => u32::from(one.unread > 0),
            };
            all.iter().map(|one| (news(one), one)).collect()
        } else {
            let mut matcher = Matcher::new(Config::DEFAULT);
            let letters = &self.letters;
            let pattern =
                Pattern::new(letters, CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy);
            let mut characters = Vec::new();
            let mut score = |one: &Conversation| {
                // The sign of a room is typed by few; where it stands it must not make a room the worse match.
                let bare = one.name.strip_prefix('#').filter(|_| !letters.starts_with('#'));
                let name = Utf32Str::new(bare.unwrap_or(&one.name), &mut characters);
                pattern.score(name, &mut matcher)
            };
            all.iter().filter_map(|one| Some((score(one)?, one))).collect()
        };
        // Stable: among equals the order of the list counts.
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        found.into_iter().map(|(_, one)| one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conversation;

    fn names(letters: &str) -> Vec<String> {
        let mut all = ["room:dev", "room:devops", "room:ops", "dm:alice:dave", "dm:alice:dora"]
            .map(conversation);
        all[2].unread = 3;
        all[3].mentions = 1;
        all[4].unread = 9;
        all[4].is_muted = true;
        let mut switcher = Switcher::default();
        letters.chars().for_each(|letter| switcher.insert(letter));
        switcher.found(&all).iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn some_letters_in_their_order_find_a_conversation() {
        assert_eq!(names("ops"), ["#ops", "#devops"]);
        assert_eq!(names("DV"), ["#dev", "#devops", "dave"]);
        assert_eq!(names("dvo"), ["#devops"]);
        assert_eq!(names("#op"), ["#ops", "#devops"]);
        assert!(names("xyz").is_empty());
    }

    #[test]
    fn without_letters_the_news_come_first() {
        assert_eq!(names(""), ["dave", "#ops", "#dev", "#devops", "dora"]);
    }

    #[test]
    fn the_choice_goes_round() {
        let mut switcher = Switcher::default();
        switcher.step(3, false);
        assert_eq!(switcher.chosen, 2);
        switcher.step(3, true);
        assert_eq!(switcher.chosen, 0);
        switcher.step(0, true);
        assert_eq!(switcher.chosen, 0);
        switcher.step(3, true);
        switcher.insert('x');
        assert_eq!(switcher.chosen, 0, "other letters find others");
    }
}
