//! Epochs: one newest, made by compare-and-set, for exactly those who belong (rules R1, R3, R4).

use std::collections::HashSet;

use chat_protocol::{
    code,
    header::KeyHeader,
    id::Digest,
    members::{MemberLine, Membership, Place},
    name::{ConversationId, ConversationKind, UserName},
};

use super::{
    Conversation, Decision, Delivery, Effects, Epoch, Line, Payload, Pending, Router,
    conversation::grace_ms,
};
use crate::{
    request::{EpochUpload, FrameRequest, Refusal},
    store::{AccountId, EpochId, LogId, NewEpoch, Probe, Proposal},
};

impl Router {
    pub(super) fn decide_key(
        &self,
        now_ms: u64,
        request: &FrameRequest,
        header: &KeyHeader,
        pending: &mut Pending,
    ) -> Decision {
        let cid = &header.cid;
        if pending.conversations.contains(cid) {
            return Decision::Defer;
        }
        let Some(upload) = &request.epoch else {
            return Decision::refuse(code::MALFORMED, "a KEY comes with its lines and wraps");
        };
        let fresh = Conversation::new(cid.clone(), None);
        let conversation = self.conversations.get(cid).unwrap_or(&fresh);
        // One that is kept was lawful when it came, and its maker may have had no answer. Whether they
        // may make another one now is no question of it.
        if let Some(same) = conversation.epoch(&upload.e) {
            return Decision::Again(same.position);
        }
        if let Some(refusal) = self.may_make_epoch(request, cid) {
            return Decision::Refuse(refusal);
        }
        if let Some(decision) = self.compare(conversation, header, upload.e) {
            return decision;
        }
        if !conversation.has_place(Place { mg: header.mg, pm: header.pm }) {
            let reason = "the membership that this key names is not the one kept here";
            return Decision::Refuse(
                Refusal::new(code::MEMBERS, reason).with_head(conversation.head()),
            );
        }
        if upload.members.lines().iter().any(|line| header.leaves_out(&line.name)) {
            return Decision::refuse(code::MALFORMED, "somebody who is left out has a line");
        }
        let lines = self.lines_of(&upload.members);
        if let Some(problem) = self.lines_problem(now_ms, conversation, &lines, (header, upload)) {
            return Decision::Refuse(
                Refusal::new(code::MEMBERS, problem).with_head(conversation.head()),
            );
        }
        let own = upload.members.position(&header.from, &header.sk);
        let Some(line) = own.and_then(|line| u32::try_from(line).ok()) else {
            return Decision::refuse(code::NOT_ALLOWED, "the maker is not in the member list");
        };
        pending.conversations.insert(cid.clone());
        Decision::Propose(Proposal::Epoch(Box::new(NewEpoch {
            log: conversation.log,
            sender: request.peer.account,
            header: header.clone(),
            e: upload.e,
            digest: request.digest,
            line,
            members: upload.members.clone(),
            wraps: upload.wraps.clone(),
            hub_ms: now_ms,
            frame: request.frame.clone(),
        })))
    }

    fn may_make_epoch(&self, request: &FrameRequest, cid: &ConversationId) -> Option<Refusal> {
        match cid.kind() {
            ConversationKind::Feed(owner) => self.may_not_speak(&request.peer.name, &owner),
            ConversationKind::Direct(a, b) => {
                let missing = [a, b].into_iter().find(|name| self.account_of(name).is_none())?;
                Some(self.no_such_user(&missing))
            }
            ConversationKind::Room(_) => {
                let account = request.peer.account;
                if let Some(refusal) = self.closed(cid).or_else(|| self.is_put_out(cid, account)) {
                    return Some(refusal);
                }
                let name = &request.peer.name;
                let is_member = self.conversations.get(cid).is_some_and(|c| c.contains(name));
                let reason = format!("you are not a member of {}", cid.spoken());
                (!is_member).then(|| Refusal::new(code::NOT_A_MEMBER, reason))
            }
        }
    }

    /// Compare-and-set: `None` when this epoch is the next one.
    fn compare(
        &self,
        conversation: &Conversation,
        header: &KeyHeader,
        e: Digest,
    ) -> Option<Decision> {
        let current = conversation.current();
        let (next, previous) =
            current.map_or((Some(0), Digest::ZERO), |epoch| (epoch.g.checked_add(1), epoch.e));
        if next == Some(header.g) && header.pe == previous {
            return None;
        }
        Some(match conversation.log {
            Some(log) if next.is_none_or(|next| header.g < next) => {
                Decision::Propose(Proposal::Probe(Probe::Epoch { log, g: header.g, e }))
            }
            _ => self.lost_race(&conversation.cid),
        })
    }

    pub(super) fn lost_race(&self, cid: &ConversationId) -> Decision {
        let reason = "another epoch was accepted first; use that one";
        Decision::Refuse(Refusal::new(code::EPOCH, reason).with_head(self.head(cid)))
    }

    /// What is wrong with the lines: somebody too many, or somebody missing for too long.
    fn lines_problem(
        &self,
        now_ms: u64,
        conversation: &Conversation,
        lines: &[Line],
        (header, upload): (&KeyHeader, &EpochUpload),
    ) -> Option<String> {
        let left_out = self.accounts_of(&header.wo);
        let wanted = self.wanted_lines(now_ms, conversation);
        let allowed: HashSet<Line> = wanted.iter().map(|(line, ..)| *line).collect();
        let listed = upload.members.lines().iter().zip(lines);
        if let Some((line, _)) = listed.into_iter().find(|(_, line)| !allowed.contains(*line)) {
            let name = &line.name;
            return Some(format!("a line of {name} is not the newest key of a member's device"));
        }
        // Between a removal and a return lies a time in which nothing is sealed for them, and who has seen it
        // takes this key for one from before.
        let members = conversation.membership.as_ref().map(Membership::members);
        let is_later = |line: &&MemberLine| {
            let member = members.and_then(|members| members.get(&line.name));
            member.is_some_and(|member| member.since >= header.mg)
        };
        if let Some(line) = upload.members.lines().iter().find(is_later) {
            return Some(format!("{} has come after the place that this key names", line.name));
        }
        let present: HashSet<Line> = lines.iter().copied().collect();
        let missing = wanted.iter().find(|(line, since, away_ms)| {
            !present.contains(line)
                && !left_out.contains(&line.account)
                && now_ms.saturating_sub(*since) > grace_ms()
                && now_ms < *away_ms
        });
        if let Some((line, ..)) = missing {
            let name = self.account(line.account).map_or("somebody", |a| a.name.as_str());
            return Some(format!("a device of {name} is missing"));
        }
        let accounts: HashSet<_> = lines.iter().map(|line| line.account).collect();
        // One, where somebody's devices are among themselves.
        let parties = conversation.names().len();
        let lacks_party = conversation.cid.is_direct() && accounts.len() != parties;
        lacks_party.then(|| "a direct conversation is for both parties".to_owned())
    }

    /// Whom the maker of an epoch leaves out and says so (rule R40). Whoever reads the epoch sees it; what
    /// others say is sealed for them all the same.
    fn accounts_of(&self, names: &[UserName]) -> HashSet<AccountId> {
        names.iter().filter_map(|name| self.account_of(name)).map(|account| account.id).collect()
    }

    pub(super) fn apply_epoch(
        &mut self,
        now_ms: u64,
        new: NewEpoch,
        log: LogId,
        id: EpochId,
        position: u64,
    ) -> Effects {
        let cid = &new.header.cid;
        self.note_log(log, cid);
        let lines = self.lines_of(&new.members);
        let mut epoch = Epoch::new(id, new.header.g, new.e, position, lines);
        let conversation = self
            .conversations
            .entry(cid.clone())
            .or_insert_with(|| Conversation::new(cid.clone(), Some(log)));
        conversation.log = Some(log);
        conversation.newest = position;
        for name in if cid.is_direct() { conversation.names() } else { Vec::new() } {
            let account = self.by_name.get(&name).and_then(|id| self.accounts.get_mut(id));
            if let Some(account) = account {
                account.conversations.insert(cid.clone());
            }
        }
        if let Some(conversation) = self.conversations.get(cid) {
            let present: HashSet<Line> = epoch.lines.iter().copied().collect();
            let left_out = self.accounts_of(&new.header.wo);
            let missing = self.wanted_lines(now_ms, conversation);
            let missing = missing.iter().filter(|(line, _, away_ms)| {
                let is_wanted = now_ms < *away_ms && !left_out.contains(&line.account);
                is_wanted && !present.contains(line)
            });
            epoch.lacking_ms = missing.map(|(_, since, _)| *since).min();
        }
        let audience = self.audience(cid, &epoch.lines, new.line);
        if let Some(conversation) = self.conversations.get_mut(cid) {
            conversation.push_epoch(epoch, now_ms);
            // The key that this one replaces will go, too.
            if conversation.note_oldest(new.hub_ms) {
                self.note_due(log);
            }
        }
        let payload = Payload::Epoch {
            frame: new.frame,
            e: new.e,
            members: new.members.as_bytes().to_vec().into(),
            wraps: new.wraps.into(),
        };
        let delivery = Delivery { position, hub_ms: new.hub_ms, audience, payload };
        Effects { delivery: Some(delivery), ..Effects::default() }
    }
}
