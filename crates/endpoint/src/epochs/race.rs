//! Who makes the next epoch of a large room. All of its members see the same change, and an epoch
//! costs a wrap for each device: if everybody who has something to say made one, all but one would
//! be thrown away. So each waits a random time, mostly a long one, and uses the epoch that comes
//! meanwhile.

use chat_protocol::name::ConversationId;

use crate::endpoint::Endpoint;
use crate::limits::{
    RACE_FREE_PEOPLE, RACE_WAIT_ANSWERS, RACE_WAIT_MAX_MS, RACE_WAIT_PERSON_MS,
    RACE_WAIT_SLOW_MAX_MS,
};

/// How long one member of so many waits before it makes an epoch that another one may be making.
///
/// The time is cut into slots, and each slot is twice as likely as the one before it. So among all
/// members about one is in the first slots, however many there are; and when few of them have
/// something to say, one of those comes first in a later slot.
///
/// `answer_ms` is what the hub took for the last view: where that is slow, an epoch takes as long.
fn race_wait_ms(people: usize, answer_ms: u64, random: u64) -> u64 {
    if people <= RACE_FREE_PEOPLE {
        return 0;
    }
    let by_people = u64::try_from(people).unwrap_or(u64::MAX).saturating_mul(RACE_WAIT_PERSON_MS);
    let by_answer = answer_ms.saturating_mul(RACE_WAIT_ANSWERS);
    let window = by_people.min(RACE_WAIT_MAX_MS).max(by_answer.min(RACE_WAIT_SLOW_MAX_MS));
    let last_slot = people.ilog2();
    let slot = last_slot.saturating_sub(random.trailing_zeros());
    let width = window / (u64::from(last_slot) + 1);
    // The upper bits have nothing to do with the lowest ones that are zero.
    u64::from(slot) * width + (random >> 32) % width.max(1)
}

impl Endpoint {
    /// Everybody's view has changed, or the newest epoch has: if another one is needed, others need
    /// it now, too.
    pub(crate) fn epoch_is_contested(&mut self, cid: &ConversationId) {
        self.link.contested.insert(cid.clone());
    }

    /// An epoch has come: the next one is another race.
    pub(crate) fn race_is_over(&mut self, cid: &ConversationId) {
        self.link.race_until.remove(cid);
        self.epoch_is_contested(cid);
    }

    /// Draws how long the epochs are left to others that they may be making now. A wait that has
    /// begun is not prolonged: people who keep coming and going must not keep everybody silent.
    pub(crate) fn draw_race_waits(&mut self, now_ms: u64) {
        self.views.pass_time(now_ms);
        for cid in std::mem::take(&mut self.link.contested) {
            // Nobody but its owner makes epochs of a feed.
            let people = if cid.is_feed() { 0 } else { self.people_of(&cid).len() };
            let wait =
                race_wait_ms(people, self.views.answer_ms, u64::from_be_bytes(self.out.random()));
            let until = self.link.race_until.get(&cid).copied().unwrap_or(0);
            if wait > 0 && until <= now_ms {
                self.link.race_until.insert(cid, now_ms.saturating_add(wait));
            }
        }
    }

    /// Until when the next epoch is left to somebody else, if it is. Whoever has removed somebody
    /// (rule R2), or holds a key that does not open (rule R19), makes it at once.
    pub(super) fn leaves_epoch_until(&self, now_ms: u64, cid: &ConversationId) -> Option<u64> {
        let is_urgent = self.is_epoch_due(cid) || self.link.renew.contains(cid);
        let until = self.link.race_until.get(cid).copied();
        until.filter(|until| !is_urgent && *until > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator with the properties that matter here: all bits look random.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        (1u64..).map(move |at| {
            let mixed = (seed.wrapping_mul(1 << 32) ^ at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        })
    }

    #[test]
    fn a_small_room_waits_for_nobody() {
        for people in 0..=RACE_FREE_PEOPLE {
            assert!(numbers(1).take(1_000).all(|random| race_wait_ms(people, 0, random) == 0));
        }
    }

    #[test]
    fn no_wait_is_longer_than_the_bound() {
        let edges = [0, 1, u64::MAX, 1 << 31, 1 << 63];
        for people in [RACE_FREE_PEOPLE + 1, 200, 1_000, 100_000, usize::MAX] {
            for random in edges.into_iter().chain(numbers(2).take(1_000)) {
                assert!(race_wait_ms(people, 0, random) <= RACE_WAIT_MAX_MS, "{people} {random}");
                let slow = race_wait_ms(people, u64::MAX, random);
                assert!(slow <= RACE_WAIT_SLOW_MAX_MS, "{people} {random}");
            }
        }
    }

    /// Goal: however many race, few of them make an epoch, and soon. Method: an epoch takes 30 ms
    /// until the others have it; who wakes up before that makes one in vain.
    #[test]
    fn few_make_an_epoch_in_vain() {
        for (people, racing) in [(50, 50), (200, 200), (200, 20), (1_000, 1_000), (1_000, 100)] {
            let (mut made, mut first) = (0, 0);
            for seed in 0..100 {
                let mut waits: Vec<u64> = numbers(seed)
                    .take(racing)
                    .map(|random| race_wait_ms(people, 0, random))
                    .collect();
                waits.sort_unstable();
                first += waits[0];
                made += waits.iter().filter(|wait| **wait <= waits[0] + 30).count();
            }
            assert!(made <= 100 * 8, "{racing} of {people}: {made} epochs in 100 races");
            assert!(first <= 100 * RACE_WAIT_MAX_MS * 2 / 3, "{racing} of {people}: {first} ms");
        }
    }
}
