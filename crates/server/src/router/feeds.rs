//! Feeds: what one person says in open rooms, for those who follow them (rule R18).

use chat_protocol::{
    code,
    header::{MemberHeader, MemberOperation},
    name::{ConversationId, UserName},
};

use super::{Account, Decision, Effects, Router};
use crate::{limits::FOLLOWED_MAX, request::Refusal, store::NewLink};

impl Router {
    /// Why somebody may not speak in a feed, or make keys for it.
    pub(super) fn may_not_speak(&self, name: &UserName, owner: &UserName) -> Option<Refusal> {
        if name != owner {
            let reason = format!("only {owner} speaks in the feed of {owner}");
            return Some(Refusal::new(code::NOT_ALLOWED, reason));
        }
        // Without a link there is nobody to speak to, and no log.
        let has_chain = self.conversations.contains_key(&ConversationId::feed(owner));
        (!has_chain).then(|| Refusal::new(code::NOT_ALLOWED, "nobody follows you"))
    }

    /// Refuses what is about the feed of nobody. Of one whose owner was deleted, those who follow it can still read
    /// the chain and leave: it takes one of the places that they have.
    pub(super) fn lacks_owner(&self, who: &UserName, cid: &ConversationId) -> Option<Refusal> {
        let owner = cid.feed_owner()?;
        let is_left_behind =
            || self.is_gone(&owner) && self.conversations.get(cid).is_some_and(|c| c.contains(who));
        if self.account_of(&owner).is_some() || is_left_behind() {
            return None;
        }
        Some(self.no_such_user(&owner))
    }

    /// What speaks against a link of a feed before its place in the chain is looked at.
    pub(super) fn feed_link_problem(&self, who: &Account, link: &MemberHeader) -> Option<Decision> {
        let cid = &link.cid;
        if let Some(refusal) = self.lacks_owner(&link.from, cid) {
            return Some(Decision::Refuse(refusal));
        }
        let follows = who.conversations.iter();
        let follows = follows.filter(|cid| cid.is_feed() && !cid.is_feed_of(&who.name)).count();
        // A link that is sent again is answered as before, whatever the limit.
        let is_new = self.head(cid).mg <= link.mg;
        if link.op == MemberOperation::Join
            && is_new
            && follows >= FOLLOWED_MAX
            && !who.conversations.contains(cid)
        {
            let reason = format!(
                "{} follows {FOLLOWED_MAX} people, which is the most; end one \
                 subscription first",
                who.name
            );
            return Some(Decision::refuse(code::TOO_MANY, reason));
        }
        None
    }

    /// What follows from a link that the feed's chain has taken.
    pub(super) fn apply_feed_link(&mut self, now_ms: u64, new: &NewLink) -> Effects {
        let MemberHeader { cid, who, op, .. } = &new.header;
        let Some(owner) = cid.feed_owner() else { return Effects::default() };
        let Some(conversation) = self.conversations.get_mut(cid) else {
            return Effects::default();
        };
        let [owner, who] = [&owner, who].map(|name| self.by_name.get(name).copied());
        if let Some(account) = owner.and_then(|id| self.accounts.get_mut(&id)) {
            account.conversations.insert(cid.clone());
        }
        if let Some(account) = who.and_then(|id| self.accounts.get_mut(&id)) {
            if *op == MemberOperation::Join {
                account.conversations.insert(cid.clone());
                conversation.note_joined(account.id, now_ms);
            } else {
                account.conversations.remove(cid);
            }
        }
        // Only one person speaks here: a new key at once holds nobody else up, and the next copy
        // is for exactly those who follow now.
        conversation.close_epochs(|_| true);
        let told = owner.into_iter().chain(who).collect();
        Effects { followed: Some((told, conversation.head())), ..Effects::default() }
    }
}
