//! Names that are members of rooms by a signature alone, because nobody has an account of them: how many of them
//! one account may bring, and what the operator does about them.
//!
//! A hub that was restored from a backup is told of people whom it has lost, and cannot tell them from people whom
//! somebody has made up.

use chat_protocol::{
    code,
    header::{MemberHeader, MemberOperation},
    name::{ConversationId, UserName},
};

use super::{Conversation, Decision, Router};
use crate::{budgets::Budget, pattern::Pattern, request::FrameRequest, store::AccountId};

impl Conversation {
    /// Notes who has brought somebody in who has no account. Any other link about them ends it.
    pub(super) fn note_brought(&mut self, link: &MemberHeader, by: Option<AccountId>) {
        if link.op == MemberOperation::Role {
            return;
        }
        self.brought.remove(&link.who);
        self.brought.extend(by.map(|by| (link.who.clone(), by)));
    }

    /// How many people somebody has brought who are here and have no account.
    fn brought_by(&self, by: AccountId) -> usize {
        let of_them = self.brought.iter().filter(|(_, bringer)| **bringer == by);
        of_them.filter(|(name, _)| self.unshown.contains_key(*name)).count()
    }
}

impl Router {
    /// Who brings somebody in by this link, if that is somebody without an account; or why they do not come in.
    pub(super) fn brought_by(
        &self,
        request: &FrameRequest,
        link: &MemberHeader,
    ) -> Result<Option<AccountId>, Decision> {
        let comes = matches!(link.op, MemberOperation::Join | MemberOperation::Create);
        if !comes || !self.is_unshown(link) {
            return Ok(None);
        }
        if self.operator.nobodies.contains(&link.who) {
            let reason = format!("the operator of this server has deleted {}", link.who);
            return Err(Decision::refuse(code::NOT_ALLOWED, reason));
        }
        let by = request.peer.account;
        let max = self.limits.count(Budget::StrangersByOne);
        let here = self.conversations.get(&link.cid).map_or(0, |known| known.brought_by(by));
        if here >= max {
            let reason = format!(
                "you have brought {max} people without an account into {}, which is the most",
                link.cid.spoken()
            );
            return Err(Decision::refuse(code::TOO_MANY, reason));
        }
        Ok(Some(by))
    }

    /// Where somebody is a member by the chain alone.
    fn rooms_of_nobody(&self, name: &UserName) -> impl Iterator<Item = &ConversationId> {
        self.absent.get(name).into_iter().flatten().filter(|cid| self.is_absent(cid, name))
    }

    /// Members whom an operator means and has not deleted, and of whom nobody has, or had, an account; in the order
    /// of their names.
    pub(super) fn nobodies_like(&self, who: &Pattern) -> Vec<UserName> {
        let is_meant = |name: &&UserName| {
            who.matches(name.as_str())
                && self.account_of_any_time(name).is_none()
                && !self.operator.nobodies.contains(*name)
                && self.rooms_of_nobody(name).next().is_some()
        };
        let mut names: Vec<UserName> = self.absent.keys().filter(is_meant).cloned().collect();
        names.sort_unstable();
        names
    }

    /// What an operator is told of such a name: where it is, and who has brought it there.
    pub(super) fn story_of_nobody(&self, name: &UserName) -> String {
        let rooms = self.rooms_of_nobody(name).map(|cid| match self.bringer(cid, name) {
            Some(by) => format!("brought into {} by {by}", cid.spoken()),
            None => format!("in {}", cid.spoken()),
        });
        format!("{name}, who has no account here: {}", rooms.collect::<Vec<_>>().join(", "))
    }

    fn bringer(&self, cid: &ConversationId, name: &UserName) -> Option<&UserName> {
        let by = self.conversations.get(cid)?.brought.get(name)?;
        self.account(*by).map(|account| &account.name)
    }

    /// The operator has deleted these names. Who has brought them may bring others.
    pub(super) fn apply_nobodies(&mut self, names: Vec<UserName>) {
        for name in names {
            for cid in self.absent.get(&name).into_iter().flatten() {
                if let Some(conversation) = self.conversations.get_mut(cid) {
                    conversation.brought.remove(&name);
                }
            }
            self.operator.nobodies.insert(name);
        }
    }
}
