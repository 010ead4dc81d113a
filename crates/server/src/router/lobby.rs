//! The lobby's moderators, and whom they have put out.
//!
//! The lobby's chain has no admin, and must have none: the hub would be one. So nobody is removed from the
//! chain. The hub carries it out by what it can do anyway: it takes nothing of them for the lobby but the link
//! by which they leave, and delivers nothing of it to them. Their device signs that link when it is told.
//! Whoever may come back joins again, as a newcomer: what was said meanwhile is not theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chat_protocol::{
    code,
    hub::{HubToClient, Moderation},
    members::Membership,
    name::{ConversationId, RoomName, UserName},
};

use super::{Account, Audience, Line, Notice, Router};
use crate::{
    limits::{LOBBY_KICK_MS, PUT_OUT_TOLD_MAX},
    request::{Peer, Refusal},
    store::{AccountId, NewOrder, Proposal, PutOut},
};

/// Who moderates, and who is out.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    moderators: BTreeSet<AccountId>,
    put_out: BTreeMap<AccountId, PutOut>,
}

/// The end of the time of somebody who was let in again and has not joined yet.
const LET_IN: Option<u64> = Some(0);

fn lobby() -> ConversationId {
    ConversationId::room(&RoomName::lobby())
}

fn refuse<T>(code: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, reason))
}

impl Router {
    /// After the accounts and conversations.
    pub(super) fn restore_lobby(&mut self, moderators: Vec<AccountId>, put_out: Vec<PutOut>) {
        self.lobby.moderators = moderators.into_iter().collect();
        for row in put_out {
            self.put_out(row);
        }
    }

    /// Whether somebody moderates the lobby.
    pub(super) fn is_moderator(&self, account: AccountId) -> bool {
        self.lobby.moderators.contains(&account)
    }

    pub(super) fn set_moderator(&mut self, account: AccountId, is_one: bool) {
        if is_one {
            self.lobby.moderators.insert(account);
        } else {
            self.lobby.moderators.remove(&account);
        }
    }

    /// What a moderator wants to do about somebody, as a record; or why it is not done.
    pub fn decide_moderation(
        &self,
        now_ms: u64,
        peer: &Peer,
        (cid, who, act): (&ConversationId, &UserName, Moderation),
    ) -> Result<Proposal, Refusal> {
        if *cid != lobby() {
            let reason = "the admins of a room decide who is in it; only the lobby has moderators";
            return refuse(code::NOT_ALLOWED, reason);
        }
        if !self.is_moderator(peer.account) {
            let reason =
                "only a moderator of the lobby may do that; who runs this server makes them";
            return refuse(code::NOT_ALLOWED, reason);
        }
        let Some(account) = self.account_of(who) else {
            return Err(self.no_such_user(who));
        };
        if who.is_server() || self.is_moderator(account.id) {
            let reason = format!("{who} is the server or a moderator; who runs it decides that");
            return refuse(code::NOT_ALLOWED, reason);
        }
        let put_out = self.lobby.put_out.get(&account.id);
        let is_out = put_out.is_some_and(|put_out| put_out.until_ms != LET_IN);
        let until_ms = match act {
            Moderation::Unban if is_out => {
                let (who, by) = (account.id, peer.name.clone());
                return Ok(Proposal::Order(Box::new(NewOrder::LetIn { who, by })));
            }
            Moderation::Unban => {
                return refuse(code::NOT_ALLOWED, format!("nobody has put {who} out of the lobby"));
            }
            Moderation::Kick if !account.conversations.contains(cid) => {
                return refuse(code::NOT_A_MEMBER, format!("{who} is not in the lobby"));
            }
            Moderation::Kick => Some(now_ms.saturating_add(LOBBY_KICK_MS)),
            Moderation::Ban => None,
        };
        let put_out = PutOut { who: account.id, by: peer.name.clone(), until_ms };
        Ok(Proposal::Order(Box::new(NewOrder::PutOut(put_out))))
    }

    /// What is told to the lobby, and to whom it is about, comes back.
    pub(super) fn apply_put_out(&mut self, put_out: PutOut) -> Option<Box<Notice>> {
        let act = if put_out.until_ms.is_some() { Moderation::Kick } else { Moderation::Ban };
        let notice = self.moderation(put_out.who, act, put_out.by.clone());
        self.put_out(put_out);
        notice
    }

    /// That a moderator does this about somebody, for all in the lobby and for them.
    fn moderation(&self, who: AccountId, act: Moderation, by: UserName) -> Option<Box<Notice>> {
        let name = self.account(who)?.name.clone();
        let mut members = self.members(&lobby());
        if !members.contains(&who) {
            members.push(who);
        }
        let text = self.moderated((name, act, by), false);
        Some(Box::new(Notice { to: Some(members), text }))
    }

    fn put_out(&mut self, put_out: PutOut) {
        let cid = lobby();
        let Some(account) = self.accounts.get_mut(&put_out.who) else { return };
        // Its log is not theirs to read, also not up to where they have left it since.
        account.conversations.remove(&cid);
        account.left.remove(&cid);
        if let Some(conversation) = self.conversations.get_mut(&cid) {
            conversation.put_out.insert(account.name.clone());
        }
        self.lobby.put_out.insert(put_out.who, put_out);
    }

    /// As [`Router::apply_put_out`].
    pub(super) fn apply_let_in(&mut self, who: AccountId, by: UserName) -> Option<Box<Notice>> {
        if let Some(put_out) = self.lobby.put_out.get_mut(&who) {
            put_out.until_ms = LET_IN;
        }
        self.moderation(who, Moderation::Unban, by)
    }

    /// Somebody has joined: that they were put out is over.
    pub(super) fn comes_back_to(&mut self, cid: &ConversationId, who: AccountId) {
        if *cid != lobby() || self.lobby.put_out.remove(&who).is_none() {
            return;
        }
        let (account, conversation) = (self.accounts.get(&who), self.conversations.get_mut(cid));
        if let (Some(account), Some(conversation)) = (account, conversation) {
            conversation.put_out.remove(&account.name);
        }
    }

    /// Why nothing of somebody is taken here, if they were put out.
    pub(super) fn is_put_out(&self, cid: &ConversationId, who: AccountId) -> Option<Refusal> {
        let put_out = self.lobby.put_out.get(&who).filter(|_| *cid == lobby())?;
        let PutOut { by, until_ms, .. } = put_out;
        let reason = match *until_ms {
            None => format!("{by} has banned you from the lobby"),
            LET_IN => "you may come into the lobby again; join it".to_owned(),
            Some(_) => format!(
                "{by} has put you out of the lobby for {} minutes; join it again after that",
                LOBBY_KICK_MS / 60_000
            ),
        };
        Some(Refusal::new(code::NOT_A_MEMBER, reason))
    }

    /// Why somebody who was put out may not join yet.
    pub(super) fn may_not_join(
        &self,
        now_ms: u64,
        cid: &ConversationId,
        who: AccountId,
    ) -> Option<Refusal> {
        let until_ms = self.lobby.put_out.get(&who)?.until_ms;
        let is_over = until_ms.is_some_and(|until| until <= now_ms);
        self.is_put_out(cid, who).filter(|_| !is_over)
    }

    /// What a device is told that has not heard yet that it was put out: its account is a member by the
    /// chain.
    pub fn put_out_notice(&self, who: AccountId) -> Option<HubToClient> {
        self.notice_of(self.lobby.put_out.get(&who)?, false)
    }

    /// What a member of the lobby is told at a sign-in: who else is out of it and a member by the chain, so
    /// that they are handed nothing again. The most lately made accounts, where there are too many.
    pub fn put_out_notices(&self, to: &Account) -> Vec<HubToClient> {
        if !to.conversations.contains(&lobby()) {
            return Vec::new();
        }
        let others = self.lobby.put_out.iter().rev().filter(|(who, _)| **who != to.id);
        let notices = others.filter_map(|(_, put_out)| self.notice_of(put_out, true));
        notices.take(PUT_OUT_TOLD_MAX).collect()
    }

    /// That somebody is out and a member by the chain.
    fn notice_of(&self, put_out: &PutOut, past: bool) -> Option<HubToClient> {
        let PutOut { who, by, until_ms } = put_out;
        let name = &self.accounts.get(who)?.name;
        let membership = self.conversations.get(&lobby())?.membership.as_ref()?;
        let act = if until_ms.is_some() { Moderation::Kick } else { Moderation::Ban };
        let about = (name.clone(), act, by.clone());
        membership.contains(name).then(|| self.moderated(about, past))
    }

    /// What is told of a moderator's deed in the lobby, as its chain is now.
    fn moderated(
        &self,
        (who, act, by): (UserName, Moderation, UserName),
        past: bool,
    ) -> HubToClient {
        let cid = lobby();
        let membership = self.conversations.get(&cid).and_then(|c| c.membership.as_ref());
        let mg = membership.map_or(0, Membership::next);
        HubToClient::Moderated { id: None, cid, who, act, by, mg, past }
    }

    /// Why somebody may not set the topic of the lobby.
    pub(super) fn may_not_set_topic(
        &self,
        cid: &ConversationId,
        account: AccountId,
    ) -> Option<Refusal> {
        let is_meant = *cid == lobby() && !self.is_moderator(account);
        is_meant.then(|| {
            let reason =
                "only moderators set the topic of the lobby; who runs this server makes them";
            Refusal::new(code::NOT_ALLOWED, reason)
        })
    }

    /// Who gets what is said in an epoch. Nobody stands in the place of who was put out: the number of a line
    /// is that of its key.
    pub(super) fn audience(
        &self,
        cid: &ConversationId,
        lines: &Arc<[Line]>,
        sender: u32,
    ) -> Audience {
        let is_out = |line: &Line| self.lobby.put_out.contains_key(&line.account);
        let lines = if !self.lobby.put_out.is_empty() && *cid == lobby() {
            let nobody = |line: &Line| Line { account: AccountId(0), ..*line };
            lines.iter().map(|line| if is_out(line) { nobody(line) } else { *line }).collect()
        } else {
            Arc::clone(lines)
        };
        Audience::Devices { lines, sender }
    }

    /// What the operator is told of somebody.
    pub(super) fn lobby_word(&self, account: &Account) -> Option<String> {
        if self.is_moderator(account.id) {
            return Some("moderator".to_owned());
        }
        let put_out = self.lobby.put_out.get(&account.id)?;
        let how = match put_out.until_ms {
            None => "banned",
            LET_IN => "may join again, put out",
            Some(_) => "put out",
        };
        Some(format!("{how} by {}", put_out.by))
    }
}
