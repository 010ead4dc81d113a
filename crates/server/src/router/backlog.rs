//! What waits for one of two people, counted so that a cursor anywhere in a long log needs no count of the store.

use crate::store::Waiting;

impl Waiting {
    /// One message.
    pub(super) fn of(bytes: usize) -> Self {
        Self { messages: 1, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// What waits for one of the two in a direct conversation. It is counted in two parts, so that a
/// cursor in the middle of a long log needs no count of the store: when the cursor has passed the
/// mark, everything before the mark is fetched, and the rest is the part before a new mark.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backlog {
    before: Waiting,
    after: Waiting,
    /// A position of the log.
    mark: u64,
}

impl Backlog {
    /// Messages that no device had fetched when the hub started.
    pub(super) fn restored(waiting: Waiting, newest: u64) -> Self {
        Self { before: waiting, after: Waiting::default(), mark: newest }
    }

    /// All that waits.
    pub(super) fn sum(&self) -> Waiting {
        self.before.plus(self.after)
    }

    /// One more receipt of so many bytes.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.add(Waiting::of(bytes));
    }

    pub(super) fn add(&mut self, one: Waiting) {
        self.after = self.after.plus(one);
    }

    /// A cursor has moved to `seen`; `newest` is the log's last position. Returns what has gone.
    pub(super) fn fetched(&mut self, seen: u64, newest: u64) -> Waiting {
        if seen < self.mark {
            return Waiting::default();
        }
        let gone = if seen >= newest { self.before.plus(self.after) } else { self.before };
        let rest = if seen >= newest { Waiting::default() } else { self.after };
        *self = Self { before: rest, after: Waiting::default(), mark: newest };
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(messages: u64) -> Waiting {
        Waiting { messages, bytes: messages * 100 }
    }

    /// Goal: what is fetched is never counted for long, and what waits is never forgotten. Method:
    /// cursors before, at and behind the mark, with messages arriving between them.
    #[test]
    fn a_backlog_follows_the_cursor() {
        let mut backlog = Backlog::restored(messages(10), 10);
        assert_eq!(backlog.fetched(5, 10), messages(0), "in the middle: counted later");
        backlog.add(messages(1));
        backlog.add(messages(1));
        assert_eq!(backlog.fetched(10, 12), messages(10), "the two that came after it wait");
        backlog.add(messages(1));
        assert_eq!(backlog.fetched(11, 13), messages(0));
        assert_eq!(backlog.fetched(12, 13), messages(2));
        assert_eq!(backlog.fetched(13, 13), messages(1), "all is fetched");
        assert_eq!(backlog.fetched(13, 13), messages(0));
    }
}
