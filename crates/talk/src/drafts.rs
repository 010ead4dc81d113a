//! Lines that were not sent: those that were begun, and those that were refused under the veil.

/// What was not sent of what was written in one conversation, the newest last, and whether it was typed under the veil.
/// They are no more than somebody has typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drafts(Vec<(String, bool)>);

impl Drafts {
    /// Nothing was begun.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something was begun under the veil.
    pub(crate) fn has_veiled(&self) -> bool {
        self.0.iter().any(|(_, is_veiled)| *is_veiled)
    }

    /// Keeps a text, once.
    pub(crate) fn leave(&mut self, text: String, is_veiled: bool) {
        self.forget(&text, is_veiled);
        if !text.is_empty() {
            self.0.push((text, is_veiled));
        }
    }

    /// It is sent, or kept anew.
    pub(crate) fn forget(&mut self, text: &str, is_veiled: bool) {
        self.0.retain(|(draft, was_veiled)| draft != text || *was_veiled != is_veiled);
    }

    /// Those that may be sent as things are, oldest first: what was typed under the veil waits for it.
    pub(crate) fn ready(&self, is_veiled: bool) -> impl Iterator<Item = &str> {
        let ready = self.0.iter().filter(move |(_, was_veiled)| is_veiled || !was_veiled);
        ready.map(|(text, _)| text.as_str())
    }

    /// The newest of them. It is there no more.
    pub(crate) fn take(&mut self, is_veiled: bool) -> String {
        let at = self.0.iter().rposition(|(_, was_veiled)| is_veiled || !was_veiled);
        at.map(|at| self.0.remove(at).0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what was begun under the veil is not there without it, and nothing that was begun is gone. (The build before
    /// kept no mark, and gave it back without the veil.)
    #[test]
    fn what_was_begun_under_the_veil_waits_for_it() {
        let mut drafts = Drafts::default();
        drafts.leave(String::new(), false);
        assert!(drafts.is_empty());
        drafts.leave("bob*It was Zoe".to_owned(), true);
        drafts.leave("bob*It was Zoe".to_owned(), true);
        assert_eq!(drafts.take(false), "");
        drafts.leave("in clear".to_owned(), false);
        assert_eq!(drafts.take(false), "in clear");
        assert!(drafts.has_veiled());
        assert_eq!(drafts.take(true), "bob*It was Zoe");
        drafts.leave("in clear".to_owned(), false);
        assert!(!drafts.has_veiled());
        assert_eq!(drafts.take(true), "in clear", "under the veil fewer read it");
        assert!(drafts.is_empty());
    }

    /// Goal: what was refused stays until it is sent or taken, whatever is typed meanwhile. (The build before kept the newest of
    /// each conversation, until the next line.)
    #[test]
    fn each_text_is_kept_once_until_it_is_sent() {
        let mut drafts = Drafts::default();
        for text in ["alice*one", "alice*two", "alice*one"] {
            drafts.leave(text.to_owned(), true);
        }
        drafts.leave("alice*one".to_owned(), false);
        assert_eq!(drafts.ready(false).collect::<Vec<_>>(), ["alice*one"]);
        drafts.forget("alice*one", false);
        assert!(drafts.ready(false).next().is_none());
        assert_eq!(drafts.ready(true).collect::<Vec<_>>(), ["alice*two", "alice*one"]);
        drafts.forget("alice*two", true);
        assert_eq!(drafts.take(true), "alice*one");
        assert!(drafts.is_empty());
    }
}
