//! A rule for single deliveries: what a hub does that loses, repeats, swaps and alters.

use std::collections::HashMap;

use chat_testkit::middle::{Message, Middle, Passing, Way};

/// What becomes of one binary message to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Good,
    /// It never comes.
    Lost,
    /// It comes twice.
    Twice,
    /// It comes after the next binary message.
    Late,
    /// It comes with one bit changed, in the byte so many before its end.
    Altered(usize),
    /// It never comes, and no binary message after it on this connection.
    Held,
}

/// Says what becomes of a binary message, by its payload.
pub type Rule = Box<dyn FnMut(&[u8]) -> Fate + Send>;

/// Applies a rule to what clients get.
pub(super) struct Obey {
    pub(super) rule: Rule,
    /// By connection.
    pub(super) lines: HashMap<usize, Line>,
}

/// One connection.
#[derive(Default)]
pub(super) struct Line {
    /// Messages that come after the next one.
    late: Vec<Passing>,
    /// No binary message passes any more.
    is_held: bool,
}

impl Middle for Obey {
    fn pass(&mut self, mut passing: Passing) -> Vec<Passing> {
        let Message::Binary(payload) = &passing.message else { return vec![passing] };
        if passing.way == Way::ToHub {
            return vec![passing];
        }
        let line = self.lines.entry(passing.line).or_default();
        if line.is_held {
            return Vec::new();
        }
        let mut out = match (self.rule)(payload) {
            Fate::Lost => return Vec::new(),
            Fate::Held => {
                line.is_held = true;
                return Vec::new();
            }
            Fate::Late => {
                line.late.push(passing);
                return Vec::new();
            }
            Fate::Twice => vec![passing.clone(), passing],
            Fate::Altered(from_end) => {
                let mut bytes = payload.to_vec();
                let at = bytes.len().saturating_sub(from_end);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                }
                passing.message = Message::Binary(bytes.into());
                vec![passing]
            }
            Fate::Good => vec![passing],
        };
        out.append(&mut line.late);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client gets of these binary messages, with a text behind the first.
    fn passed(fates: &'static [Fate], messages: &[&str]) -> Vec<String> {
        let mut next = fates.iter().copied();
        let mut obey =
            Obey { rule: Box::new(move |_| next.next().unwrap()), lines: HashMap::new() };
        let mut all: Vec<Message> =
            messages.iter().map(|text| Message::Binary(text.as_bytes().to_vec().into())).collect();
        all.insert(1, Message::Text("text".to_owned()));
        let user = String::new();
        let pass = |message| {
            obey.pass(Passing { line: 0, user: user.clone(), way: Way::ToClient, message })
        };
        let passed = all.into_iter().flat_map(pass);
        passed
            .map(|passing| match passing.message {
                Message::Text(text) => text,
                Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Message::SignedIn(_) => panic!("nobody signs in"),
            })
            .collect()
    }

    #[test]
    fn each_message_meets_its_fate() {
        let fates = &[Fate::Lost, Fate::Late, Fate::Twice, Fate::Altered(1), Fate::Good];
        let messages = ["lost", "late", "twice", "p", "good"];
        assert_eq!(passed(fates, &messages), ["text", "twice", "twice", "late", "q", "good"]);
    }

    #[test]
    fn a_line_that_is_held_passes_no_binary_message_any_more() {
        assert_eq!(passed(&[Fate::Good, Fate::Held], &["a", "b", "c"]), ["a", "text"]);
    }
}
