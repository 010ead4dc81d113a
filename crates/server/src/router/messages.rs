//! Sealed messages: counters, resends, and epochs that are too old (rules R5, R6).

use chat_protocol::{
    code,
    header::MessageHeader,
    name::{ConversationId, UserName},
    tag::Tag,
};

use super::{Decision, Delivery, Effects, Payload, Pending, Router};
use crate::{
    request::{FrameRequest, Refusal},
    store::{Conflict, EntryKind, LogId, NewEntry, Probe, Proposal},
};

impl Router {
    pub(super) fn decide_message(
        &self,
        now_ms: u64,
        request: &FrameRequest,
        header: &MessageHeader,
        pending: &mut Pending,
    ) -> Decision {
        let cid = &header.cid;
        if pending.conversations.contains(cid) {
            return Decision::Defer;
        }
        let sender = request.peer.account;
        if let Some(owner) = cid.feed_owner()
            && let Some(refusal) = self.may_not_speak(&request.peer.name, &owner)
        {
            return Decision::Refuse(refusal);
        }
        let refusal = self.closed(cid).or_else(|| self.is_put_out(cid, sender));
        if let Some(refusal) = refusal.or_else(|| self.is_to_nobody(request, cid)) {
            return Decision::Refuse(refusal);
        }
        let Some((conversation, log)) = self.conversations.get(cid).and_then(|c| Some((c, c.log?)))
        else {
            return self.no_epoch(&request.peer.name, cid);
        };
        let (id, digest, e) = (header.id, request.digest, header.e);
        let probe =
            || Decision::Propose(Proposal::Probe(Probe::Message { log, sender, id, digest, e }));
        // Forgotten or never known: the store tells a resend from a new message.
        let Some(epoch) = conversation.epoch(&header.e) else { return probe() };
        let Some(line) = epoch.line(sender, &header.sk) else {
            let reason = "this device is not in the member list of the epoch";
            return Decision::Refuse(
                Refusal::new(code::NOT_A_MEMBER, reason).with_head(conversation.head()),
            );
        };
        if epoch.counter(line).is_some_and(|last| header.n <= last) {
            return probe();
        }
        let pending_counter = pending.counters.get(&(epoch.id, line)).copied();
        if pending_counter.is_some_and(|last| header.n <= last) {
            return Decision::Defer;
        }
        if let Some(decision) = self.may_not_say(now_ms, header, (conversation, epoch)) {
            return decision;
        }
        let to = header.to.user().filter(|name| **name != header.from);
        if let Some(to) = to.and_then(|name| self.account_of(name))
            && let Some(refusal) =
                self.take_mailbox((to.id, log), conversation, request.frame.len(), pending)
        {
            return refusal;
        }
        pending.counters.insert((epoch.id, line), header.n);
        Decision::Propose(Proposal::Entry(Box::new(NewEntry {
            log,
            sender,
            id,
            digest,
            kind: EntryKind::Message,
            epoch: Some(epoch.id),
            line,
            n: header.n,
            hub_ms: now_ms,
            frame: request.frame.clone(),
        })))
    }

    /// Why something that is said for the first time is not taken, if so.
    fn may_not_say(
        &self,
        now_ms: u64,
        header: &MessageHeader,
        (conversation, epoch): (&super::Conversation, &super::Epoch),
    ) -> Option<Decision> {
        if !conversation.contains(&header.from) {
            let reason = format!("you are not a member of {}", header.cid);
            return Some(Decision::refuse(code::NOT_A_MEMBER, reason));
        }
        if header.t == Tag::Cmd && !self.has_agent(header) {
            let reason = "this machine accepts no commands: no agent has signed in there";
            return Some(Decision::refuse(code::NO_AGENT, reason));
        }
        epoch.is_stale(now_ms).then(|| Decision::Rekey(conversation.head()))
    }

    /// Why nothing is sent to somebody who was deleted.
    fn is_to_nobody(&self, request: &FrameRequest, cid: &ConversationId) -> Option<Refusal> {
        let other = cid.other(&request.peer.name)?;
        self.is_gone(&other).then(|| self.no_such_user(&other))
    }

    fn has_agent(&self, header: &MessageHeader) -> bool {
        header
            .to
            .user()
            .and_then(|name| self.account_of(name))
            .is_some_and(super::Account::is_agent)
    }

    /// The epoch is not known here: the hub was restored from a backup, or the sender was. It is sealed
    /// again in the current one (rule R36).
    fn no_epoch(&self, name: &UserName, cid: &ConversationId) -> Decision {
        let is_theirs = match self.conversations.get(cid) {
            Some(conversation) => conversation.contains(name),
            None => cid.other(name).is_some(),
        };
        if !is_theirs {
            return Decision::refuse(
                code::NOT_A_MEMBER,
                format!("you are not a member of {}", cid.spoken()),
            );
        }
        Decision::Rekey(self.head(cid))
    }

    pub(super) fn resolve_message(&self, header: &MessageHeader, conflict: Conflict) -> Decision {
        let is_in_memory =
            self.conversations.get(&header.cid).is_some_and(|c| c.epoch(&header.e).is_some());
        // A frame that was stored may be gone by now. Under a newer key it is stored once more, and
        // who had it before knows its id.
        let keeps_all = self.conversations.get(&header.cid).is_none_or(|c| self.keep_ms(c) == 0);
        if !self.conversations.get(&header.cid).is_some_and(|c| c.contains(&header.from)) {
            let reason = format!("you are not a member of {}", header.cid);
            return Decision::refuse(code::NOT_A_MEMBER, reason);
        }
        match conflict {
            Conflict::Taken => Decision::refuse(
                code::CONFLICT,
                "another message was stored under this id; use a new id",
            ),
            Conflict::Missing { .. } if is_in_memory && keeps_all => Decision::refuse(
                code::REPLAY,
                format!("the counter {} of this epoch was used before", header.n),
            ),
            Conflict::Missing { .. } if is_in_memory => Decision::Rekey(self.head(&header.cid)),
            Conflict::Missing { .. } => Decision::Rekey(self.head(&header.cid)),
        }
    }

    pub(super) fn apply_entry(&mut self, new: NewEntry, position: u64) -> Effects {
        match new.kind {
            EntryKind::Receipt => self.apply_receipt(new, position),
            EntryKind::Message | EntryKind::Key => self.apply_message(new, position),
        }
    }

    fn apply_message(&mut self, new: NewEntry, position: u64) -> Effects {
        let Some(conversation) = self.conversation_of_log(&new) else { return Effects::default() };
        conversation.newest = position;
        let is_oldest = conversation.note_oldest(new.hub_ms);
        let epoch = conversation.epochs.iter_mut().find(|epoch| Some(epoch.id) == new.epoch);
        let Some(epoch) = epoch else { return Effects::default() };
        epoch.count(new.line, new.n);
        let lines = std::sync::Arc::clone(&epoch.lines);
        let (log, bytes, cid) = (new.log, new.frame.len(), conversation.cid.clone());
        let other = lines.iter().map(|line| line.account).find(|account| *account != new.sender);
        let delivery = Delivery {
            position,
            hub_ms: new.hub_ms,
            audience: self.audience(&cid, &lines, new.line),
            payload: Payload::Frame(new.frame),
        };
        let recipient = other.filter(|_| cid.is_direct());
        if is_oldest {
            self.note_due(log);
        }
        if let Some(to) = recipient {
            self.count_waiting(log, to, bytes);
        }
        Effects { delivery: Some(delivery), recipient, ..Effects::default() }
    }

    fn conversation_of_log(&mut self, new: &NewEntry) -> Option<&mut super::Conversation> {
        let cid = self.by_log.get(&new.log)?;
        self.conversations.get_mut(cid)
    }

    /// Notes which conversation a log belongs to.
    pub(super) fn note_log(&mut self, log: LogId, cid: &ConversationId) {
        self.by_log.entry(log).or_insert_with(|| cid.clone());
    }
}
