//! Keys of others that do not open (rules R19, R39). The device makes the next epoch at once, so that it
//! misses as little as possible; but a hub can damage every key, and then two devices would answer each
//! other with new keys for ever. So it does that more and more slowly, tries only some keys of a maker
//! whose keys do not open, and says what it has to say in the newest epoch that did open as long as the
//! hub takes it.

use std::collections::BTreeMap;

use chat_protocol::header::KeyHeader;
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::name::ConversationId;

use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::limits::{MAKER_FAILURES_MAX, MAKER_PAUSE_MS, MAKERS_MAX, RENEW_MAX_MS, RENEW_MIN_MS};

/// How the keys of others have turned out: it outlives a connection, or a hub would begin anew by
/// ending it.
#[derive(Debug, Default)]
pub(crate) struct KeyLuck {
    /// How often the parts of an epoch were asked for on a new connection.
    pub(super) lost: BTreeMap<Digest, u32>,
    /// How many keys of a signing key did not open in a row in a conversation, and when the last one.
    failed: BTreeMap<(KeyId, ConversationId), (u32, u64)>,
    /// Conversations whose newest epoch did not open, and that epoch.
    shut: BTreeMap<ConversationId, Digest>,
    /// Conversations in which keys are passed over, and until when.
    passed_over: BTreeMap<ConversationId, u64>,
    /// When a conversation last got a new epoch because a key did not open, and how often since one did.
    renewed: BTreeMap<ConversationId, (u64, u32)>,
}

impl KeyLuck {
    /// Whether this is the newest epoch of a conversation, and its key did not open.
    pub(super) fn is_shut(&self, cid: &ConversationId, e: &Digest) -> bool {
        self.shut.get(cid) == Some(e)
    }
}

/// How long a conversation waits for its next new epoch after so many.
fn renew_wait_ms(times: u32) -> u64 {
    let doublings = times.saturating_sub(1).min(16);
    RENEW_MIN_MS.saturating_mul(1 << doublings).min(RENEW_MAX_MS)
}

impl Endpoint {
    /// A key opened: its maker's keys are good, and so is what the maker is asked for.
    pub(super) fn key_is_open(&mut self, now_ms: u64, header: &KeyHeader) {
        self.luck.renewed.remove(&header.cid);
        if self.luck.failed.remove(&(header.sk, header.cid.clone())).is_some() {
            self.gaps.came(now_ms, Some(std::slice::from_ref(&header.from)));
        }
    }

    /// A key was tried and did not open.
    pub(super) fn key_failed(&mut self, now_ms: u64, header: &KeyHeader, reason: &str) {
        let failed = &mut self.luck.failed;
        failed.retain(|_, (_, last)| now_ms.saturating_sub(*last) < MAKER_PAUSE_MS);
        let maker = (header.sk, header.cid.clone());
        let in_row = if failed.contains_key(&maker) || failed.len() < MAKERS_MAX {
            let (in_row, last) = failed.entry(maker).or_default();
            *in_row = in_row.saturating_add(1);
            *last = now_ms;
            *in_row
        } else {
            0
        };
        let mut detail = format!("a key for {} does not open: {reason}", header.cid.spoken());
        if in_row == MAKER_FAILURES_MAX {
            let minutes = MAKER_PAUSE_MS / 60_000;
            detail = format!(
                "{detail}; the last {MAKER_FAILURES_MAX} did not, and the next ones there are not tried \
                 for {minutes} minutes"
            );
        }
        self.out.alarm_in(&header.cid, (Alarm::BadChain, &header.from), &detail);
        self.renew(now_ms, &header.cid);
    }

    /// The next epoch is made at once and not with the next message, unless that was done lately.
    fn renew(&mut self, now_ms: u64, cid: &ConversationId) {
        let (last, times) = self.luck.renewed.get(cid).copied().unwrap_or_default();
        if times == 0 || now_ms.saturating_sub(last) >= renew_wait_ms(times) {
            self.luck.renewed.insert(cid.clone(), (now_ms, times.saturating_add(1)));
            self.link.renew.insert(cid.clone());
        }
    }

    /// Whether a key is not tried, because the last ones of its maker in this conversation did not open.
    pub(super) fn is_unlucky_maker(&mut self, now_ms: u64, header: &KeyHeader) -> bool {
        let failed = self.luck.failed.get(&(header.sk, header.cid.clone()));
        let until = failed.map(|(in_row, last)| (*in_row, last.saturating_add(MAKER_PAUSE_MS)));
        let Some((in_row, until)) = until else { return false };
        let is_unlucky = in_row >= MAKER_FAILURES_MAX && until > now_ms;
        if is_unlucky {
            self.luck.passed_over.insert(header.cid.clone(), until);
        }
        is_unlucky
    }

    /// Notes whether the newest epoch of a conversation has opened.
    pub(super) fn note_luck(&mut self, cid: &ConversationId, e: Digest) {
        if self.epochs.get(&e).is_some() {
            self.luck.shut.remove(cid);
        } else {
            self.luck.shut.insert(cid.clone(), e);
        }
    }

    /// The epoch to send in: the newest, or, where that did not open, the newest that did. The hub takes
    /// an older one for a while.
    pub(super) fn sending_head(&self, cid: &ConversationId) -> Option<EpochHead> {
        let newest = self.known_head(cid)?;
        if self.luck.shut.get(cid) != Some(&newest.e) || self.link.renew.contains(cid) {
            return Some(newest);
        }
        let epochs = self.epochs.iter();
        let held = epochs.filter(|epoch| epoch.cid == *cid && epoch.position.is_some());
        held.max_by_key(|epoch| epoch.age()).map(|epoch| epoch.head).or(Some(newest))
    }

    /// When the first conversation is tried again in which keys were passed over.
    pub(crate) fn luck_deadline(&self) -> Option<u64> {
        self.luck.passed_over.values().min().copied()
    }

    /// Makes a new epoch where keys were passed over for long enough and nothing better has come since:
    /// whoever else holds back there is woken by it.
    pub(crate) fn try_again(&mut self, now_ms: u64) {
        let due = self.luck.passed_over.extract_if(.., |_, until| *until <= now_ms);
        for (cid, _) in due.collect::<Vec<_>>() {
            let head = self.known_head(&cid).map(|head| head.e);
            if head.is_some() && head.as_ref() == self.luck.shut.get(&cid) {
                self.link.renew.insert(cid.clone());
                self.link.dirty.insert(cid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_epochs_because_of_damaged_keys_come_more_and_more_slowly() {
        let waits: Vec<u64> = (1..9).map(renew_wait_ms).collect();
        let seconds = [10, 20, 40, 80, 160, 320, 600, 600].map(|seconds| seconds * 1_000);
        assert_eq!(waits, seconds);
        assert_eq!(renew_wait_ms(u32::MAX), RENEW_MAX_MS);
    }
}
