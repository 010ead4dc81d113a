//! What is not among the lines in memory is looked for in the home, a page after the other.

use super::Screen;
use crate::data::Facts;
use crate::log::Log;
use crate::popup::Popup;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seek {
    /// A line with these letters.
    Letters(String),
    /// A line that names this user.
    Mention,
    /// The first line that nobody has looked at.
    Unread,
}

/// What is said while older lines are read.
const READING: &str = "looking further back; any key ends that";

impl Screen {
    /// Looks upwards in what is in memory, and says whether it is found. Else the home is read page by page until it
    /// is, or a key is pressed.
    pub(super) fn seek(&mut self, facts: &Facts, seek: Seek) -> bool {
        let is_found = self.find(facts, &seek);
        let goes_on = !is_found && self.log(None).may_have_older() && self.is_somewhere(&seek);
        if !goes_on {
            self.end_seek();
        }
        self.notice = goes_on.then(|| READING.to_owned());
        self.seek = goes_on.then_some(seek);
        is_found || goes_on
    }

    /// Nothing is looked for any more, and nothing says so.
    pub(super) fn end_seek(&mut self) {
        if self.seek.take().is_some() {
            self.notice = None;
            self.log(None).seek_has_ended();
        }
    }

    fn find(&mut self, facts: &Facts, seek: &Seek) -> bool {
        self.in_window(facts, |log: &mut Log, window| match seek {
            Seek::Letters(letters) => log.find(letters, true, window),
            Seek::Mention => log.jump_to_mention(true, window),
            Seek::Unread => log.jump_to_unread(window),
        })
    }

    /// Whether the home may have it, as far as one knows without looking.
    fn is_somewhere(&mut self, seek: &Seek) -> bool {
        *seek != Seek::Unread || self.log(None).has_unread()
    }

    /// A page of the home is here.
    pub(super) fn seek_on(&mut self, facts: &Facts) {
        let Some(seek) = self.seek.clone() else { return };
        if self.seek(facts, seek.clone()) {
            return;
        }
        match (&mut self.popup, seek) {
            (Some(Popup::Search(search)), Seek::Letters(_)) => search.is_missed = true,
            (_, seek) => self.notice = seek.missed(),
        }
    }
}

impl Seek {
    /// What is said where it is nowhere; a search says so itself.
    pub(super) fn missed(&self) -> Option<String> {
        let words = match self {
            Self::Letters(_) => return None,
            Self::Mention => "no mention above",
            Self::Unread => "nothing here is unread",
        };
        Some(words.to_owned())
    }
}
