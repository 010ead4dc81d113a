//! What members can make a device do by handing over links and bundles, or by asking for them: each is bounded by
//! who it is, however many connections there are (rules R33, R39).

use std::collections::BTreeMap;

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;

use crate::endpoint::Endpoint;
use crate::limits::{HANDED_ASKS_MAX, HANDED_BYTES_MAX, LINKS_KEPT_MAX, REPAIR_AGAIN_MS};
use crate::questions::Question;
use crate::rooms::header;

/// Who was handed links, and who has handed over links and bundles, within [`REPAIR_AGAIN_MS`].
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// When a person was last handed links of a room because they asked, Unix time in milliseconds.
    answered: BTreeMap<(ConversationId, UserName), u64>,
    /// What a person has handed over.
    taken: BTreeMap<UserName, Taken>,
}

/// What one person has handed over, and what it has made this device do, whoever has signed it.
#[derive(Debug, Default)]
struct Taken {
    /// Since when it is counted, Unix time in milliseconds.
    since_ms: u64,
    /// Of links and bundles, whether they were good for anything or not.
    bytes: usize,
    /// How often the hub was asked or told because of it.
    asks: u32,
}

impl Endpoint {
    /// Whether a person who asks for links of a room is answered now: an answer is some hundred times
    /// as long as its question.
    pub(crate) fn may_hand_over(
        &mut self,
        now_ms: u64,
        to: &UserName,
        cid: &ConversationId,
    ) -> bool {
        let answered = &mut self.pace.handed.answered;
        answered.retain(|_, at| now_ms.saturating_sub(*at) < REPAIR_AGAIN_MS);
        let key = (cid.clone(), to.clone());
        if answered.contains_key(&key) || !self.resends.may_answer(now_ms, to, 1) {
            return false;
        }
        self.pace.handed.answered.insert(key, now_ms);
        true
    }

    /// Whether so many bytes are looked at of what a person hands over.
    pub(crate) fn may_be_handed(&mut self, now_ms: u64, by: &UserName, bytes: usize) -> bool {
        let taken = self.taken(now_ms, by);
        taken.bytes = taken.bytes.saturating_add(bytes);
        taken.bytes <= HANDED_BYTES_MAX
    }

    /// Whether what a person has handed over makes this device ask the hub, or tell it, once more.
    pub(crate) fn may_make_ask(&mut self, now_ms: u64, by: &UserName) -> bool {
        let taken = self.taken(now_ms, by);
        taken.asks = taken.asks.saturating_add(1);
        taken.asks <= HANDED_ASKS_MAX
    }

    fn taken(&mut self, now_ms: u64, by: &UserName) -> &mut Taken {
        let taken = &mut self.pace.handed.taken;
        taken.retain(|_, taken| now_ms.saturating_sub(taken.since_ms) < REPAIR_AGAIN_MS);
        taken.entry(by.clone()).or_insert_with(|| Taken { since_ms: now_ms, ..Taken::default() })
    }

    /// Whether the hub was told links of a room that it lacks, and has not answered, or has put that off.
    pub(crate) fn is_telling_links_of(&self, cid: &ConversationId) -> bool {
        // Those of one message are of one room.
        let is_of = |link: &B64Vec| {
            let frame = RawFrame::decode(link.0.clone().into()).ok();
            frame.as_ref().and_then(header).is_some_and(|link| link.cid == *cid)
        };
        self.out.questions.any(|question| match question {
            Question::Remind { links, .. } => links.first().is_some_and(is_of),
            _ => false,
        })
    }

    /// The members as they were after so many links of the chain held here. Before its end that is
    /// computed from the links, so only where the bytes of all of them are kept.
    pub(crate) fn room_after(&self, cid: &ConversationId, links: u32) -> Option<Membership> {
        let room = self.state.rooms.get(cid)?;
        if room.next() <= links {
            return (room.next() == links).then(|| room.clone());
        }
        let mut before = Membership::new(cid.clone());
        for number in 0..links.min(LINKS_KEPT_MAX) {
            let B64Vec(bytes) = self.kept_link(cid, number)?.frame.clone()?;
            let frame = RawFrame::decode(bytes.into()).ok()?;
            before.apply(&header(&frame)?, frame.digest(label::MEMBER));
        }
        (before.next() == links).then_some(before)
    }
}
