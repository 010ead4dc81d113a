//! Feeds (rule R18): what one says in open rooms is sealed a second time for those who follow.
//!
//! ```text
//! said in an open room ─► stored ─► copy, same id ─► feed:me ─► who follows me
//! ```
//!
//! The copy is made when the hub has stored what was said: so nothing is copied that was refused,
//! and an id is under way in one conversation at a time.

use std::collections::BTreeMap;

use chat_protocol::code;
use chat_protocol::content::{Content, FeedCopy};
use chat_protocol::header::MessageHeader;
use chat_protocol::hub::Log;
use chat_protocol::id::MessageId;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::tag::Tag;

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::FEED_NEWS_MAX;
use crate::outgoing::Outgoing;
use crate::rooms::RoomAction;

impl Endpoint {
    /// Follows somebody: from then on what they say in open rooms comes here. Answered by
    /// [`Event::Joined`] or [`Event::Refused`] under the id returned.
    pub fn subscribe(&mut self, now_ms: u64, to: &UserName) -> MessageId {
        self.act_in(now_ms, ConversationId::feed(to), RoomAction::Join { create: false })
    }

    /// Follows somebody no more; answered by [`Event::Left`] or [`Event::Refused`].
    pub fn unsubscribe(&mut self, now_ms: u64, from: &UserName) -> MessageId {
        self.act_in(now_ms, ConversationId::feed(from), RoomAction::Leave)
    }

    /// Puts somebody out who follows this user: they cannot read the next copy. Answered by
    /// [`Event::MemberChanged`] or [`Event::Refused`].
    pub fn remove_subscriber(&mut self, now_ms: u64, who: &UserName) -> MessageId {
        let action = RoomAction::Remove { who: who.clone(), ban: false };
        self.act_in(now_ms, ConversationId::feed(&self.device.user), action)
    }

    /// Asks whom this user follows and who follows them; answered by [`Event::Subscriptions`] once
    /// the views of the feeds are up to date, or at once without a connection.
    pub fn subscriptions(&mut self) {
        self.link.subscriptions_asked = self.link.subscriptions_asked.saturating_add(1);
    }

    pub(crate) fn tell_subscriptions(&mut self) {
        let is_refreshing = self.views.refreshing().any(ConversationId::is_feed);
        if self.link.subscriptions_asked == 0 || is_refreshing {
            return;
        }
        let me = &self.device.user;
        let feeds = self.state.rooms.iter().map(|(_, room)| room);
        let follows: Vec<UserName> = feeds
            .filter(|room| room.members().contains_key(me))
            .filter_map(|room| room.conversation().feed_owner())
            .collect();
        let own = self.state.rooms.get(&ConversationId::feed(me));
        let subscribers: Vec<UserName> =
            own.map(|feed| feed.members().keys().cloned().collect()).unwrap_or_default();
        for _ in 0..std::mem::take(&mut self.link.subscriptions_asked) {
            let (follows, subscribers) = (follows.clone(), subscribers.clone());
            self.out.tell(Event::Subscriptions { follows, subscribers });
        }
    }

    /// Those of these people whom this user follows.
    pub(crate) fn followed_among<'a>(
        &self,
        people: impl Iterator<Item = &'a UserName>,
    ) -> Vec<UserName> {
        let me = &self.device.user;
        let is_followed = |name: &&UserName| {
            let feed = self.state.rooms.get(&ConversationId::feed(name));
            feed.is_some_and(|feed| feed.members().contains_key(me))
        };
        people.filter(is_followed).cloned().collect()
    }

    /// Makes the copy of a message that the hub has just put at `position`, if it was said in an
    /// open room and somebody may follow this user.
    pub(crate) fn copy_to_feed(&mut self, said: &Outgoing, position: u64) {
        let ConversationKind::Room(room) = said.cid.kind() else { return };
        let view = self.state.rooms.get(&said.cid);
        // What is not known to be open is private.
        let is_public = said.tag == Tag::Text && view.is_some_and(Membership::is_open);
        if !is_public || said.quiet {
            return;
        }
        let feed = ConversationId::feed(&self.device.user);
        // The view may be on its way: the copy waits for it, and goes where nobody follows.
        let is_told = self.views.of(&feed).end.is_some_and(|end| end.mg > 0);
        if !is_told && !self.has_subscribers(&feed) {
            return;
        }
        let content = match said.content() {
            Some(Content::Text(text)) => FeedCopy { room, text, veiled: false },
            Some(Content::Veiled(text)) => FeedCopy { room, text, veiled: true },
            _ => return,
        };
        self.draft_copy(said, position, feed, &Content::Copy(content));
    }

    fn has_subscribers(&self, feed: &ConversationId) -> bool {
        self.state.rooms.get(feed).is_some_and(|feed| !feed.members().is_empty())
    }

    /// Why nothing can be said in a feed, if so.
    pub(crate) fn cannot_copy(&self, feed: &ConversationId) -> Option<(&'static str, String)> {
        if !feed.is_feed_of(&self.device.user) {
            return Some((code::NOT_ALLOWED, format!("only its owner speaks in {feed}")));
        }
        let is_idle = !self.has_subscribers(feed);
        is_idle.then(|| (code::NOT_A_MEMBER, "nobody follows you".to_owned()))
    }

    /// Whether the other of the two was shown already: what was said in a room, or its copy.
    pub(crate) fn is_other_copy_shown(&self, header: &MessageHeader, content: &Content) -> bool {
        let other = match content {
            Content::Copy(copy) => ConversationId::room(&copy.room),
            Content::Text(_) | Content::Veiled(_) if !header.cid.is_direct() => {
                ConversationId::feed(&header.from)
            }
            _ => return false,
        };
        other != header.cid && self.epochs.received(&other, &header.from, &header.id).is_some()
    }

    /// Goes on with a feed whose next message waits for this one, which is dealt with.
    pub(crate) fn receive_copy(&mut self, now_ms: u64, said: &MessageHeader) {
        if said.cid.is_feed() || said.cid.is_direct() {
            return;
        }
        let log = Log::Conversation(ConversationId::feed(&said.from));
        if self.inbox.waits_with(&log, &said.id) {
            self.receive_waiting(now_ms, &log);
        }
    }

    /// What is told of a refresh of one's own feed: of each person the last thing, and of many
    /// people the latest. What the host has not heard yet of the same person is not told any more:
    /// who comes and goes a thousand times fills nobody's home.
    pub(crate) fn feed_news(&mut self, news: Vec<Event>) -> Vec<Event> {
        let mut last: BTreeMap<UserName, usize> = BTreeMap::new();
        for (at, event) in news.iter().enumerate() {
            if let Event::MemberChanged { who, .. } = event {
                last.insert(who.clone(), at);
            }
        }
        let is_outdated = |event: &Event| match event {
            Event::MemberChanged { id: None, cid, who, .. } => {
                cid.is_feed_of(&self.device.user) && last.contains_key(who)
            }
            _ => false,
        };
        self.out.forget(is_outdated);
        let mut kept: Vec<usize> = last.into_values().collect();
        kept.sort_unstable();
        let skipped = kept.len().saturating_sub(FEED_NEWS_MAX);
        let kept = kept.split_off(skipped);
        let news = news.into_iter().enumerate();
        news.filter(|(at, _)| kept.binary_search(at).is_ok()).map(|(_, event)| event).collect()
    }
}
