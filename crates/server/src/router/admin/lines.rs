//! What an operator looks up: accounts, rooms and figures. Nothing of it is content.

use std::ops::Bound;

use chat_protocol::{
    limits::ROOMS_PAGE_MAX,
    name::{ConversationId, ConversationKind, UserName},
};

use crate::{
    admin::request::{AdminAnswer, DeviceLine, RoomLine, StatsLine, UserDetail, UserLine},
    limits::WHO_PAGE_MAX,
    pattern::Pattern,
    router::{Account, Presence, Router},
    store::{Banned, Invite, Standing},
};

impl Router {
    fn line_of(&self, account: &Account) -> UserLine {
        let Presence { online, agent } = self.presence(account.id);
        UserLine {
            name: account.name.clone(),
            standing: account.standing,
            online,
            agent,
            devices: account.live_devices().count(),
            waiting: account.waiting.messages,
            banned: self.bans_of(account).next().is_some(),
        }
    }

    /// What keeps an account out whatever address it comes from. This process is never kept out.
    fn bans_of(&self, account: &Account) -> impl Iterator<Item = &Banned> {
        let is_meant = |banned: &Banned| match banned {
            Banned::Name(pattern) => pattern.matches(account.name.as_str()),
            Banned::Key(key) => {
                account.identity == *key || account.devices.iter().any(|device| device.sk == *key)
            }
            Banned::Address(_) => false,
        };
        let bans = self.operator.bans.union(&self.operator.fixed_bans);
        bans.filter(move |banned| !account.name.is_server() && is_meant(banned))
    }

    pub(super) fn users(&self, who: Option<&Pattern>, after: Option<&UserName>) -> AdminAnswer {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut users: Vec<UserLine> = self
            .by_name
            .range::<UserName, _>((start, Bound::Unbounded))
            .filter(|(name, _)| who.is_none_or(|who| who.matches(name.as_str())))
            .filter_map(|(_, id)| self.account(*id))
            .take(WHO_PAGE_MAX.saturating_add(1))
            .map(|account| self.line_of(account))
            .collect();
        let more = users.len() > WHO_PAGE_MAX;
        users.truncate(WHO_PAGE_MAX);
        AdminAnswer::Users { users, more }
    }

    pub(super) fn user(&self, name: &UserName) -> AdminAnswer {
        let Some(account) = self.account_folded(name) else {
            return AdminAnswer::refused(self.nobody(&name.into()));
        };
        let rooms = account.conversations.iter().filter_map(|cid| match cid.kind() {
            ConversationKind::Room(room) => Some(room.to_string()),
            _ => None,
        });
        let line = self.line_of(account);
        let devices = account.devices.iter().map(|device| DeviceLine {
            key: device.sk,
            agent: line.agent && device.is_agent,
            live: !account.is_revoked(&device.sk),
        });
        let devices_known = devices.collect();
        AdminAnswer::User(Box::new(UserDetail {
            line,
            identity: account.identity,
            lobby: self.lobby_word(account),
            devices_known,
            rooms: rooms.collect(),
            waiting_bytes: account.waiting.bytes,
            offers: self.offers_of(account.id),
            bans: self.bans_of(account).cloned().collect(),
        }))
    }

    pub(super) fn room_lines(&self, after: Option<&str>) -> AdminAnswer {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rooms: Vec<RoomLine> = self
            .rooms
            .range::<str, _>((start, Bound::Unbounded))
            .filter_map(|(_, cid)| self.room_line(cid))
            .take(ROOMS_PAGE_MAX.saturating_add(1))
            .collect();
        let more = rooms.len() > ROOMS_PAGE_MAX;
        rooms.truncate(ROOMS_PAGE_MAX);
        AdminAnswer::Rooms { rooms, more }
    }

    fn room_line(&self, cid: &ConversationId) -> Option<RoomLine> {
        let ConversationKind::Room(room) = cid.kind() else { return None };
        let conversation = self.conversations.get(cid)?;
        let membership = conversation.membership.as_ref()?;
        Some(RoomLine {
            room,
            open: membership.is_open(),
            closed: conversation.is_closed,
            members: conversation.people(),
            keep_ms: self.keep_ms(conversation),
        })
    }

    pub(super) fn stats(&self, now_ms: u64) -> StatsLine {
        let accounts = || {
            let people = self.by_name.iter().filter(|(name, _)| !name.is_server());
            people.filter_map(|(_, id)| self.account(*id))
        };
        let sum = |count: fn(&Account) -> u64| accounts().map(count).sum();
        let is_good = |invite: &&Invite| invite.uses > 0 && invite.until_ms >= now_ms;
        StatsLine {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accounts: accounts().count(),
            disabled: accounts().filter(|a| a.standing == Standing::Disabled).count(),
            online: accounts().filter(|account| self.is_online(account.id)).count(),
            sessions: 0,
            rooms: self
                .rooms
                .values()
                .filter_map(|c| self.room_line(c))
                .filter(|r| !r.closed)
                .count(),
            waiting: sum(|account| account.waiting.messages),
            waiting_bytes: sum(|account| account.waiting.bytes),
            offers: self.offers().offers,
            position: self.position,
            invites: self.operator.invites.values().filter(is_good).count(),
            bans: self.operator.bans.union(&self.operator.fixed_bans).count(),
            registration: self.operator.registration,
            address: None,
        }
    }
}
