//! Links of a room's membership chain (rule R2).

use chat_protocol::{
    code,
    header::{MemberArgument, MemberHeader, MemberOperation},
    hub::Head,
    limits::ROOM_PEOPLE_MAX,
    members::{MemberError, Membership},
    name::{ConversationId, ConversationKind, UserName},
};

use super::{Account, Conversation, Decision, Effects, Pending, Router};
use crate::{
    request::{FrameRequest, Refusal},
    store::{LogId, NewLink, Probe, Proposal},
};

impl Router {
    pub(super) fn decide_member(
        &self,
        now_ms: u64,
        account: &Account,
        request: &FrameRequest,
        header: &MemberHeader,
        pending: &mut Pending,
    ) -> Decision {
        let cid = &header.cid;
        if cid.is_direct() {
            let reason = format!("{} has no membership", cid.spoken());
            return Decision::refuse(code::NOT_ALLOWED, reason);
        }
        if pending.conversations.contains(cid) {
            return Decision::Defer;
        }
        if header.op == MemberOperation::Remove && self.is_absent(cid, &header.who) {
            return self.decide_absent(request, header, account.identity, pending);
        }
        let who = match self.subject_of(header) {
            Ok(who) => who,
            Err(refusal) => return Decision::Refuse(refusal),
        };
        if pending.joining.contains(&who.id) {
            return Decision::Defer;
        }
        if let Some(problem) = self.link_problem(now_ms, account, who, header, pending) {
            return problem;
        }
        let known = self.conversations.get(cid);
        let empty = Membership::new(cid.clone());
        let membership = known.and_then(|c| c.membership.as_ref()).unwrap_or(&empty);
        let log = known.and_then(|conversation| conversation.log);
        if let Err(error) = membership.check(header, account.identity) {
            return match (error, log) {
                (MemberError::Stale { .. }, Some(log)) if header.mg < membership.next() => {
                    let (mg, digest) = (header.mg, request.digest);
                    Decision::Propose(Proposal::Probe(Probe::Link { log, mg, digest }))
                }
                (MemberError::Stale { .. }, _) => self.stale_members(&header.from, cid),
                (error, _) => Decision::refuse(code::NOT_ALLOWED, error.to_string()),
            };
        }
        // Nobody is let into a deleted room any more, whoever goes.
        let is_closed = known.is_some_and(|known| known.is_closed);
        if !is_closed && let Some(refusal) = leaves_no_admin(membership, header) {
            return refusal;
        }
        if let Some(refusal) = known.and_then(|known| self.full_for(now_ms, header, known)) {
            return refusal;
        }
        note_pending(header, pending);
        let newcomers = if matches!(header.op, MemberOperation::Leave | MemberOperation::Remove) {
            Vec::new()
        } else {
            pending.joining.insert(who.id);
            who.devices.iter().map(|device| device.id).collect()
        };
        Decision::Propose(Proposal::Link(Box::new(NewLink {
            log,
            header: header.clone(),
            digest: request.digest,
            newcomers,
            brought_by: None,
            frame: request.frame.clone(),
        })))
    }

    /// Whom a link is about.
    fn subject_of(&self, header: &MemberHeader) -> Result<&Account, Refusal> {
        // Who was deleted can still be taken out of the list of members.
        let who = match header.op {
            MemberOperation::Remove => self.account_of_any_time(&header.who),
            _ => self.account_of(&header.who),
        };
        let who = who.ok_or_else(|| self.no_such_user(&header.who))?;
        if who.identity != header.ik {
            let reason = format!("{} has another identity key", header.who);
            return Err(Refusal::new(code::NOT_ALLOWED, reason));
        }
        Ok(who)
    }

    /// The refusal of who would come into a room that is full.
    fn full_for(
        &self,
        now_ms: u64,
        header: &MemberHeader,
        known: &Conversation,
    ) -> Option<Decision> {
        let comes_in = matches!(header.op, MemberOperation::Join | MemberOperation::Admit);
        (comes_in && self.is_crowded(now_ms, known)).then(|| {
            let reason = format!(
                "{} has {ROOM_PEOPLE_MAX} people, which is the most that one key can be made for",
                header.cid.spoken()
            );
            Decision::refuse(code::TOO_MANY, reason)
        })
    }

    pub(super) fn stale_members(&self, name: &UserName, cid: &ConversationId) -> Decision {
        let reason = "another link came first; fetch the chain and sign again";
        Decision::Refuse(Refusal::new(code::MEMBERS, reason).with_head(self.head_for(name, cid)))
    }

    pub(super) fn apply_link(
        &mut self,
        now_ms: u64,
        new: &NewLink,
        (log, position): (LogId, u64),
    ) -> Effects {
        let cid = &new.header.cid;
        self.note_log(log, cid);
        self.note_room(cid);
        let conversation = self
            .conversations
            .entry(cid.clone())
            .or_insert_with(|| Conversation::new(cid.clone(), Some(log)));
        conversation.log = Some(log);
        conversation.apply_link(&new.header, new.digest);
        conversation.note_brought(&new.header, new.brought_by);
        self.note_members(cid);
        if !self.note_presence(&new.header) {
            let changed = Some(cid.clone()).filter(|cid| !cid.is_feed());
            return Effects { changed, ..Effects::default() };
        }
        if cid.is_feed() {
            return self.apply_feed_link(now_ms, new);
        }
        let (mut removed, mut gone, mut came) = (None, None, None);
        let Some(conversation) = self.conversations.get_mut(cid) else { return Effects::default() };
        let account = self.by_name.get(&new.header.who).and_then(|id| self.accounts.get_mut(id));
        if let Some(account) = account {
            match new.header.op {
                MemberOperation::Create | MemberOperation::Join | MemberOperation::Admit => {
                    account.came_into(cid, &new.header);
                    account.left.remove(cid);
                    conversation.note_joined(account.id, now_ms);
                    came = Some(account.id);
                }
                MemberOperation::Leave | MemberOperation::Remove => {
                    if account.conversations.remove(cid) {
                        account.left.insert(cid.clone(), position);
                    }
                    account.admitted.remove(cid);
                    if new.header.op == MemberOperation::Remove {
                        removed = Some((account.id, Head { epoch: None, ..conversation.head() }));
                    }
                    conversation.close_epochs(|line| line.account == account.id);
                    gone = Some(account.id);
                }
                MemberOperation::Role => {}
            }
        }
        if let Some(account) = gone {
            self.end_offers(account, cid);
        }
        if let Some(account) = came {
            self.comes_back_to(cid, account);
        }
        let has_made_room = new.header.op == MemberOperation::Create;
        Effects { changed: Some(cid.clone()), removed, has_made_room, ..Effects::default() }
    }
}

/// Until the link is kept, nothing else is decided in its conversation, nor is its room made twice.
fn note_pending(header: &MemberHeader, pending: &mut Pending) {
    pending.conversations.insert(header.cid.clone());
    if let (MemberOperation::Create, ConversationKind::Room(room)) = (header.op, header.cid.kind())
    {
        pending.rooms.insert(room.as_str().to_ascii_lowercase());
    }
}

/// The refusal of a link behind which nobody could let anybody in or put anybody out.
fn leaves_no_admin(membership: &Membership, header: &MemberHeader) -> Option<Decision> {
    let is_no_admin = matches!(header.op, MemberOperation::Leave | MemberOperation::Remove)
        || header.arg == MemberArgument::Member;
    (is_no_admin && membership.needs_admin(&header.who)).then(|| {
        let reason = format!(
            "{} is the last admin of {}; make somebody else an admin first",
            header.who,
            header.cid.spoken()
        );
        Decision::refuse(code::NOT_ALLOWED, reason)
    })
}
