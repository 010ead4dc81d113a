//! Links of ours that came second: each is signed again behind the one that came first (rule R2), and
//! who comes second again and again lets the others pass.

use chat_protocol::header::MemberHeader;
use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;

use crate::endpoint::Endpoint;
use crate::limits::{LINK_WAIT_DOUBLINGS, LINK_WAIT_MS};
use crate::questions::Question;

/// How long whoever came second so many times waits before signing again.
fn link_wait_ms(lost: u32, random: u64) -> u64 {
    let Some(doublings) = lost.checked_sub(2) else { return 0 };
    random % (LINK_WAIT_MS << doublings.min(LINK_WAIT_DOUBLINGS))
}

impl Endpoint {
    /// The hub refused a join as late. It has said how long the chain is now, which outsiders hear
    /// from nobody else: every other time it is used at once, before it is old.
    pub(crate) fn join_later(&mut self, now_ms: u64, id: MessageId, cid: ConversationId) {
        let lost = self.requests.lost(&cid);
        let waits = if lost.is_multiple_of(2) { lost / 2 + 1 } else { 0 };
        let wait = link_wait_ms(waits, u64::from_be_bytes(self.out.random()));
        if wait == 0 {
            self.join(&cid, now_ms);
        } else {
            self.out.questions.ask(id, Question::Join(cid));
            self.link.retries.insert(id, now_ms.saturating_add(wait));
        }
    }

    /// The hub refused what was asked for as late. It counts as under way until it is signed again.
    pub(super) fn order_was_late(&mut self, now_ms: u64, id: MessageId, link: &MemberHeader) {
        let lost = self.requests.lost(&link.cid);
        let wait = link_wait_ms(lost, u64::from_be_bytes(self.out.random()));
        if wait == 0 {
            self.requests.again(&id);
            self.start_refresh(&link.cid, false);
        } else {
            self.requests.waits_for_its_turn(&id);
            self.out.questions.ask(link.id, Question::Order(id));
            self.link.retries.insert(link.id, now_ms.saturating_add(wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_nobody_waits_and_later_within_the_bound() {
        for random in [0, 1, 7, u64::MAX, 1 << 40] {
            assert_eq!((link_wait_ms(0, random), link_wait_ms(1, random)), (0, 0));
            for lost in [2, 3, 8, 100, u32::MAX] {
                assert!(link_wait_ms(lost, random) < LINK_WAIT_MS << LINK_WAIT_DOUBLINGS);
            }
        }
        assert_eq!(link_wait_ms(2, LINK_WAIT_MS - 1), LINK_WAIT_MS - 1);
        assert_eq!(link_wait_ms(3, LINK_WAIT_MS), LINK_WAIT_MS);
    }
}
