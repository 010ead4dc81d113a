//! How much may wait for somebody who is away. What is above it is refused; nothing is dropped.
//!
//! Direct messages are counted against their recipient. A room's log exists once for all, so one
//! member who is away costs nothing and cannot stop the others.

use chat_protocol::{code, spoken::counted};

use super::{Account, Conversation, Decision, Pending, Router, backlog::Backlog};
use crate::{
    budgets::{Budget, MailboxLimits},
    store::{AccountId, LogId, Waiting},
};

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
