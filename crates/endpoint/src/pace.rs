//! How fast a device does what its hub asks for: resending, sealing again, turning pages (rule R39).
//! Each costs the hub one short message, and the device much more.

use std::collections::BTreeMap;

use chat_protocol::hub::ClientToHub;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::handed::Handed;
use crate::limits::{PAGES_MINUTE_MAX, PUT_OFF_TOLD, REKEY_MIN_MS, RETRY_MAX_MS, RETRY_MIN_MS};
use crate::questions::Question;
use crate::settings::SettingsPace;

/// In which pages are counted.
const MINUTE_MS: u64 = 60_000;

/// What outlives a connection, or a hub would begin anew by ending it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When an epoch was last given up because the hub said so, by why, Unix time in milliseconds.
    given_up: BTreeMap<(ConversationId, GivenUp), u64>,
    /// When the minute began in which pages are counted, and how many were asked for.
    minute_ms: u64,
    pages: u32,
    pub(crate) handed: Handed,
    pub(crate) settings: SettingsPace,
}

/// Why an epoch of this device is worth nothing any more, by the hub's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GivenUp {
    /// It takes no message of it (REKEY).
    Closed,
    /// It has not taken it: another one was first.
    Refused,
}

impl Pace {
    fn has_page(&self) -> bool {
        self.pages < PAGES_MINUTE_MAX
    }
}

/// How long what was put off so many times waits at least.
fn retry_wait_ms(times: u32, after_ms: u64) -> u64 {
    let doubled = RETRY_MIN_MS.saturating_mul(1 << times.min(16)).min(RETRY_MAX_MS);
    doubled.max(after_ms)
}

impl Endpoint {
    /// Takes note of the host's clock.
    pub(crate) fn pass_time(&mut self, now_ms: u64) {
        self.link.clock_ms = now_ms;
        self.out.tell_alarms(now_ms);
        self.turn_pages(now_ms);
    }

    /// The hub could not take something. Of the messages of a conversation the first one is sent
    /// again, and the later ones with it.
    pub(crate) fn on_retry(&mut self, now_ms: u64, id: MessageId, after_ms: u64, why: String) {
        let times = if let Some(cid) = self.conversation_of(&id) {
            self.put_off_messages(now_ms, id, cid, after_ms)
        } else if let Some(question) = self.out.questions.get(&id)
            && !self.link.retries.contains_key(&id)
        {
            if let Question::Remind { of, .. } = question {
                let of = of.clone();
                self.reminder_put_off(&of);
            }
            let times = self.link.retried.entry(self.counted_as(&id)).or_default();
            let wait = retry_wait_ms(*times, after_ms);
            *times = times.saturating_add(1);
            self.link.retries.insert(id, now_ms.saturating_add(wait));
            *times
        } else {
            0
        };
        if times >= PUT_OFF_TOLD && !self.link.put_off_told {
            self.link.put_off_told = true;
            self.out.tell_word(Event::PutOff { reason: why });
        }
    }

    /// The conversation of a message of ours.
    fn conversation_of(&self, id: &MessageId) -> Option<ConversationId> {
        Some(self.under_way(id)?.cid.clone())
    }

    /// How often in a row the messages of this conversation were put off by now.
    fn put_off_messages(
        &mut self,
        now_ms: u64,
        id: MessageId,
        cid: ConversationId,
        after_ms: u64,
    ) -> u32 {
        let retries = self.link.retries.iter();
        let waits = retries.filter(|(other, _)| self.conversation_of(other).as_ref() == Some(&cid));
        let waits = waits.map(|(other, at)| (*other, *at)).next();
        let Some((other, at)) = waits else {
            let times = self.link.busy.entry(cid).or_default();
            let wait = retry_wait_ms(*times, after_ms);
            *times = times.saturating_add(1);
            self.link.retries.insert(id, now_ms.saturating_add(wait));
            return *times;
        };
        // One round of answers makes one wait.
        if self.out.questions.message(&id) < self.out.questions.message(&other) {
            self.link.retries.remove(&other);
            self.link.retries.insert(id, at);
        }
        0
    }

    /// The hub has taken, or refused, something that it may have put off before.
    pub(crate) fn put_off_no_more(&mut self, id: &MessageId) {
        self.link.retried.remove(&self.counted_as(id));
        let put_off = self.link.retries.remove(id);
        let cid = self.conversation_of(id);
        if let Some(cid) = &cid {
            self.link.busy.remove(cid);
        }
        // What is under way again was put off all the same until it is answered.
        self.link.put_off_told &= !(self.link.retried.is_empty() && self.link.busy.is_empty());
        let Some(cid) = cid else { return };
        let Some(at) = put_off else { return };
        // The later ones of the conversation wait with it.
        let key = self.out.questions.message(id);
        let mut later = self.outbox.iter().filter(|(other, outgoing)| {
            key < Some(*other) && outgoing.cid == cid && outgoing.sealed.is_some()
        });
        if let Some((_, next)) = later.next() {
            self.link.retries.insert(next.id, at);
        }
    }

    /// What is asked for in a room is signed anew each time, and counts as one.
    fn counted_as(&self, id: &MessageId) -> MessageId {
        match self.out.questions.get(id) {
            Some(Question::Order(order)) => *order,
            _ => *id,
        }
    }

    /// A question was asked again under another id.
    pub(crate) fn retry_moved(&mut self, old: &MessageId, new: MessageId) {
        if let Some(times) = self.link.retried.remove(old) {
            self.link.retried.insert(new, times);
        }
    }

    /// An epoch is given up because the hub says so: says from when on the next one may be made. The first
    /// time that is at once.
    pub(crate) fn pace_epoch(&mut self, now_ms: u64, cid: &ConversationId, why: GivenUp) -> u64 {
        let given_up = &mut self.pace.given_up;
        given_up.retain(|_, at| now_ms.saturating_sub(*at) < REKEY_MIN_MS);
        let key = (cid.clone(), why);
        let from = given_up.get(&key).map_or(now_ms, |at| at.saturating_add(REKEY_MIN_MS));
        given_up.insert(key, from);
        from
    }

    /// A race for the key of a conversation has ended well: losing the next one is the first time again.
    pub(crate) fn race_ended_well(&mut self, cid: &ConversationId) {
        self.pace.given_up.remove(&(cid.clone(), GivenUp::Refused));
    }

    /// A new connection changes nothing of that.
    pub(crate) fn keep_pace(&mut self, now_ms: u64) {
        for ((cid, _), from) in self.pace.given_up.iter().filter(|(_, from)| **from > now_ms) {
            let until = self.link.waiting_for_epoch.entry(cid.clone()).or_default();
            *until = (*until).max(*from);
        }
    }

    /// Asks for a further page; one too many waits until the minute is over.
    pub(crate) fn ask_page(&mut self, page: Question) -> MessageId {
        let id = self.request(page);
        if self.pace.has_page() {
            self.pace.pages += 1;
            self.ask_list(&id);
        } else {
            self.link.pages.push(id);
        }
        id
    }

    /// Sends a question about a list.
    fn ask_list(&mut self, id: &MessageId) {
        let id = *id;
        match self.out.questions.get(&id).cloned() {
            Some(Question::Who { after }) => self.out.text(&ClientToHub::Who { id, after }),
            Some(Question::Rooms { after }) => self.out.text(&ClientToHub::Rooms { id, after }),
            Some(Question::Members { cid, from }) => {
                self.out.text(&ClientToHub::Members { id, cid, from });
            }
            Some(Question::Heads { after }) => self.out.text(&ClientToHub::Heads { id, after }),
            _ => {}
        }
    }

    /// When pages that wait are asked for.
    pub(crate) fn page_deadline(&self) -> Option<u64> {
        let waits = !self.link.pages.is_empty();
        waits.then(|| self.pace.minute_ms.saturating_add(MINUTE_MS))
    }

    /// Time has passed.
    pub(crate) fn turn_pages(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.pace.minute_ms) < MINUTE_MS {
            return;
        }
        (self.pace.minute_ms, self.pace.pages) = (now_ms, 0);
        while self.pace.has_page()
            && let Some(id) = self.link.pages.pop()
        {
            self.pace.pages += 1;
            self.ask_list(&id);
        }
    }
}

/// Whether a page of people brings anything behind the one before, in the order of names.
pub(crate) fn is_further_person(after: Option<&UserName>, last: &UserName) -> bool {
    after.is_none_or(|after| last.as_str() > after.as_str())
}

/// The same of rooms: their order does not know upper and lower case.
pub(crate) fn is_further_room(after: Option<&RoomName>, last: &RoomName) -> bool {
    let folded = |room: &RoomName| room.as_str().to_ascii_lowercase();
    after.is_none_or(|after| folded(last) > folded(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_doubled_within_bounds_and_the_hub_may_make_them_longer() {
        let waits: Vec<u64> = (0..8).map(|times| retry_wait_ms(times, 0)).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
        assert_eq!(retry_wait_ms(u32::MAX, 0), RETRY_MAX_MS);
        assert_eq!(retry_wait_ms(0, 1_000), 1_000);
        assert_eq!(retry_wait_ms(9, u64::MAX), u64::MAX);
    }
}
