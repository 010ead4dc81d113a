//! How much may wait for somebody who is away. What is above it is refused; nothing is dropped.
//!
//! Direct messages are counted against their recipient. A room's log exists once for all, so one
//! member who is away costs nothing and cannot stop the others.

use chat_protocol::{code, spoken::counted};

use super::{Account, Conversation, Decision, Pending, Router};
use crate::{
    budgets::{Budget, MailboxLimits},
    store::{AccountId, LogId, Waiting},
};

impl Waiting {
    /// One message.
    fn of(bytes: usize) -> Self {
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

    fn add(&mut self, one: Waiting) {
        self.after = self.after.plus(one);
    }

    /// A cursor has moved to `seen`; `newest` is the log's last position. Returns what has gone.
    fn fetched(&mut self, seen: u64, newest: u64) -> Waiting {
        if seen < self.mark {
            return Waiting::default();
        }
        let gone = if seen >= newest { self.before.plus(self.after) } else { self.before };
        let rest = if seen >= newest { Waiting::default() } else { self.after };
        *self = Self { before: rest, after: Waiting::default(), mark: newest };
        gone
    }
}

impl Router {
    /// Takes room in the mailbox of a direct message's recipient, or refuses the message. One sender
    /// takes at most a part of what the others leave of it.
    pub(super) fn take_mailbox(
        &self,
        (to, log): (AccountId, LogId),
        conversation: &Conversation,
        bytes: usize,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let account = self.accounts.get(&to)?;
        let one = Waiting::of(bytes);
        let proposed = pending.mailboxes.get(&to).copied().unwrap_or_default();
        let of_sender = pending.senders.get(&(to, log)).copied().unwrap_or_default();
        let kept = conversation.backlogs.iter().find(|(of, _)| *of == to);
        let of_sender = of_sender.plus(kept.map(|(_, backlog)| backlog.sum()).unwrap_or_default());
        let all = account.waiting.plus(proposed).plus(one);
        let (own, others) = (of_sender.plus(one), all.minus(of_sender.plus(one)));
        let MailboxLimits { messages_max, bytes_max } = self.mailbox;
        let part = match self.limits.amount(Budget::MailboxPart) {
            Some(_) => self.limits.number(Budget::MailboxPart),
            None => 1,
        };
        // Somebody always may say something, however little is left.
        let is_first = of_sender.messages == 0;
        let may_take = |max: u64, others: u64, own: u64| {
            let left = max.saturating_sub(others);
            own <= left / part || (is_first && own <= left)
        };
        let has_room = may_take(messages_max, others.messages, own.messages)
            && may_take(bytes_max, others.bytes, own.bytes);
        if has_room {
            pending.mailboxes.insert(to, proposed.plus(one));
            let of_batch = pending.senders.entry((to, log)).or_default();
            *of_batch = of_batch.plus(one);
            return None;
        }
        let Waiting { messages, bytes } = account.waiting;
        let reason = format!(
            "{} ({bytes} bytes) wait for {}, who is away, and the mailbox takes no \
             more; they are all kept; send this again when {} has been here",
            counted(messages, "message"),
            account.name,
            account.name
        );
        Some(Decision::refuse(code::MAILBOX_FULL, reason))
    }

    /// What waits in all mailboxes.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// From now on so much may wait for somebody.
    pub fn limit_mailboxes(&mut self, limits: MailboxLimits) {
        self.mailbox = limits;
    }

    /// Takes room in the inbox of who is told that messages came: receipts have a part of their own.
    pub(super) fn take_inbox(
        &self,
        to: &Account,
        bytes: usize,
        pending: &mut Pending,
    ) -> Option<Decision> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let proposed = pending.receipts.entry(to.id).or_default();
        let more = proposed.saturating_add(bytes);
        let max = self.limits.number(Budget::ReceiptBytes);
        if to.receipts.sum().bytes.saturating_add(more) <= max {
            *proposed = more;
            return None;
        }
        let reason = format!("too many receipts wait for {}, who is away", to.name);
        Some(Decision::refuse(code::MAILBOX_FULL, reason))
    }

    /// Counts a direct message that was kept for somebody.
    pub(super) fn count_waiting(&mut self, log: LogId, to: AccountId, bytes: usize) {
        let one = Waiting::of(bytes);
        let Some(cid) = self.by_log.get(&log) else { return };
        let Some(conversation) = self.conversations.get_mut(cid) else { return };
        let Some(account) = self.accounts.get_mut(&to) else { return };
        account.waiting = account.waiting.plus(one);
        self.waiting = self.waiting.plus(one);
        if conversation.backlogs.iter().all(|(of, _)| *of != to) {
            conversation.backlogs.push((to, Backlog::default()));
        }
        if let Some((_, backlog)) = conversation.backlogs.iter_mut().find(|(of, _)| *of == to) {
            backlog.add(one);
        }
    }

    /// A device has kept what it was sent, up to these positions.
    pub(super) fn apply_seen(&mut self, account: AccountId, positions: Vec<(LogId, u64)>) {
        let Some(account) = self.accounts.get_mut(&account) else { return };
        for (log, position) in positions {
            if log == LogId::inbox(account.id) {
                account.receipts.fetched(position, account.inbox);
                continue;
            }
            let cid = self.by_log.get(&log);
            let Some(conversation) = cid.and_then(|cid| self.conversations.get_mut(cid)) else {
                continue;
            };
            let newest = conversation.newest;
            let backlog = conversation.backlogs.iter_mut().find(|(of, _)| *of == account.id);
            if let Some((_, backlog)) = backlog {
                let fetched = backlog.fetched(position, newest);
                account.waiting = account.waiting.minus(fetched);
                self.waiting = self.waiting.minus(fetched);
            }
        }
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
