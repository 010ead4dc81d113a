//! Finds a conversation by some of its letters.

use chat_protocol::name::ConversationId;
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::data::Conversation;

/// Letters that are looked for.
const LETTERS_MAX: usize = 64;

/// The list to choose from. Its order changes with what is new, so what is chosen is a conversation and no place.
#[derive(Debug, Default)]
pub(crate) struct Switcher {
    /// The letters that were typed.
    pub(crate) letters: String,
    /// The one of those that were found that is chosen.
    chosen: Option<ConversationId>,
}

impl Switcher {
    /// One at which the first of these is chosen.
    pub(crate) fn open(all: &[Conversation]) -> Self {
        let mut switcher = Self::default();
        switcher.choose_first(all);
        switcher
    }

    fn choose_first(&mut self, all: &[Conversation]) {
        self.chosen = self.found(all).first().map(|one| one.cid.clone());
    }

    /// Types a letter.
    pub(crate) fn insert(&mut self, letter: char, all: &[Conversation]) {
        if self.letters.chars().count() < LETTERS_MAX {
            self.letters.push(letter);
            self.choose_first(all);
        }
    }

    /// Takes the last letter back.
    pub(crate) fn delete(&mut self, all: &[Conversation]) {
        self.letters.pop();
        self.choose_first(all);
    }

    /// Takes all letters back.
    pub(crate) fn clear(&mut self, all: &[Conversation]) {
        self.letters.clear();
        self.choose_first(all);
    }

    /// Chooses the next one of those that are found, or the one before.
    pub(crate) fn step(&mut self, all: &[Conversation], is_down: bool) {
        let found = self.found(all);
        let count = found.len().max(1);
        let next = match self.place(&found) {
            Some(at) if is_down => (at + 1) % count,
            Some(at) => (at + count - 1) % count,
            None => 0,
        };
        self.chosen = found.get(next).map(|one| one.cid.clone());
    }

    /// Where the chosen one stands among these; nowhere where it is there no more.
    pub(crate) fn place(&self, found: &[&Conversation]) -> Option<usize> {
        found.iter().position(|one| Some(&one.cid) == self.chosen.as_ref())
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
        letters.chars().for_each(|letter| switcher.insert(letter, &all));
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
        let all = ["room:dev", "room:ops", "dm:alice:dora"].map(conversation);
        let place = |switcher: &Switcher| switcher.place(&switcher.found(&all));
        let mut switcher = Switcher::open(&all);
        switcher.step(&all, false);
        assert_eq!(place(&switcher), Some(2));
        switcher.step(&all, true);
        assert_eq!(place(&switcher), Some(0));
        switcher.step(&[], true);
        assert_eq!(place(&switcher), None);
        switcher.step(&all, true);
        switcher.step(&all, true);
        switcher.insert('o', &all);
        assert_eq!(place(&switcher), Some(0), "other letters find others");
    }

    /// Goal: what is new moves the list and not the choice. (The build before chose a place.)
    #[test]
    fn the_choice_stays_with_its_conversation() {
        let mut all =
            ["room:ops", "dm:alice:bob", "dm:alice:carol", "dm:alice:dave"].map(conversation);
        let mut switcher = Switcher::open(&all);
        switcher.step(&all, true);
        switcher.step(&all, true);
        all[3].mentions = 1;
        let found = switcher.found(&all);
        assert_eq!(found[0].name, "dave");
        let chosen = switcher.place(&found).map(|at| found[at].name.as_str());
        assert_eq!(chosen, Some("carol"));
    }
}
