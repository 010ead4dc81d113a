//! What members can make a device do by handing over links, or by asking for them: each is bounded by
//! who it is, however many connections there are (rules R33, R39).

use std::collections::BTreeMap;

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;

use crate::endpoint::Endpoint;
use crate::limits::{HANDED_BUNDLES_BYTES_MAX, LINKS_KEPT_MAX, REPAIR_AGAIN_MS};

/// Who was handed links, and who has handed over bundles, within [`REPAIR_AGAIN_MS`].
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// When a person was last handed links of a room because they asked, Unix time in milliseconds.
    answered: BTreeMap<(ConversationId, UserName), u64>,
    /// Bytes of the bundles that a person has handed over, and since when they are counted.
    taken: BTreeMap<UserName, (u64, usize)>,
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

    /// Whether a bundle of so many bytes is taken from a person who hands it over.
    pub(crate) fn may_be_handed(&mut self, now_ms: u64, by: &UserName, bytes: usize) -> bool {
        let taken = &mut self.pace.handed.taken;
        taken.retain(|_, (since, _)| now_ms.saturating_sub(*since) < REPAIR_AGAIN_MS);
        let (_, sum) = taken.entry(by.clone()).or_insert((now_ms, 0));
        *sum = sum.saturating_add(bytes);
        *sum <= HANDED_BUNDLES_BYTES_MAX
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
            before.apply(&crate::rooms::header(&frame)?, frame.digest(label::MEMBER));
        }
        (before.next() == links).then_some(before)
    }
}
