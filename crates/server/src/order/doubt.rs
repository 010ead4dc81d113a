//! Whether this hub or another one is wrong when they have come to different things.
//!
//! A batch that was decided on other things than this hub has counts for nothing here, and so it does on every hub that
//! has come to the same as this one. Which side is right is said by the others: a hub that one disagrees with waits until
//! another one agrees, and one that two disagree with, and nobody agrees with, is the one that is wrong.

use std::collections::BTreeSet;

/// What follows for this hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Sure,
    /// It acknowledges nothing until another one has said something.
    Doubtful,
    /// It is the one that is wrong.
    Alone,
}

/// What other hubs have said last, since one has disagreed.
#[derive(Debug, Default)]
pub struct Doubt {
    against: BTreeSet<u32>,
    with: BTreeSet<u32>,
}

impl Doubt {
    /// Another hub agrees with what this one has come to, or does not.
    pub fn heard(&mut self, node: u32, agrees: bool) -> Standing {
        if agrees {
            self.against.remove(&node);
            if !self.against.is_empty() {
                self.with.insert(node);
            }
        } else {
            self.with.remove(&node);
            self.against.insert(node);
        }
        if self.against.is_empty() {
            self.with.clear();
        }
        self.standing()
    }

    /// What follows from all of that.
    pub fn standing(&self) -> Standing {
        match (self.against.len(), self.with.len()) {
            (0, _) | (_, 1..) => Standing::Sure,
            (1, 0) => Standing::Doubtful,
            (_, 0) => Standing::Alone,
        }
    }

    /// Who disagrees.
    pub fn against(&self) -> impl Iterator<Item = u32> {
        self.against.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_two_disagree_with_is_wrong_and_whom_another_agrees_with_goes_on() {
        let mut right = Doubt::default();
        assert_eq!(right.heard(2, true), Standing::Sure);
        assert_eq!(right.heard(3, false), Standing::Doubtful, "what was said before says nothing");
        assert_eq!(right.heard(3, false), Standing::Doubtful, "one is one however often");
        assert_eq!(right.heard(2, true), Standing::Sure);
        assert_eq!(right.heard(3, true), Standing::Sure, "it was given a snapshot");
        assert_eq!(right.against().count(), 0);
        let mut wrong = Doubt::default();
        assert_eq!(wrong.heard(1, false), Standing::Doubtful);
        assert_eq!(wrong.heard(2, true), Standing::Sure, "decided before they came apart");
        assert_eq!(wrong.heard(2, false), Standing::Alone);
    }
}
