//! Answering those who miss something of ours: the last messages are kept with their keys, and a
//! KEYREQ of somebody who was meant to read them is answered at once (rule R19).

use std::collections::BTreeMap;

use chat_protocol::b64::B64Vec;
use chat_protocol::content::Content;
use chat_protocol::content::healing::{Counters, Grant, GrantEntry};
use chat_protocol::header::MessageHeader;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::limits::{GRANT_BYTES_MAX, GRANT_ENTRIES_MAX, GRANT_FRAME_BYTES_MAX};
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::limits::{
    ANSWER_WINDOW_MS, ANSWERS_MAX, KEPT_SENT_BYTES_MAX, KEPT_SENT_MAX, KEY_REQUESTS_WAITING_MAX,
};
use crate::outgoing::Sealed;
use crate::table::{Kind, Table};
use crate::table::{next_order, order_key};

/// A counter of ours that was used.
#[derive(Debug, Serialize, Deserialize)]
struct KeptSent {
    cid: ConversationId,
    e: Digest,
    sk: KeyId,
    n: u32,
    id: MessageId,
    tbs: Digest,
    /// Message key and frame; nothing for a counter that was burnt, and for what devices say to
    /// each other by themselves and say again by themselves.
    said: Option<(MessageKey, B64Vec)>,
}

impl KeptSent {
    fn bytes(&self) -> usize {
        self.said.as_ref().map_or(0, |(_, frame)| frame.0.len())
    }
}

/// What this device has said lately, for those who miss it.
#[derive(Debug, Default)]
pub(crate) struct Resends {
    /// By order.
    kept: Table<KeptSent>,
    /// Frames granted to each person in the current minute, and when it began.
    answered: BTreeMap<UserName, (u64, usize)>,
}

impl Resends {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 1] {
        [("kept", &mut self.kept)]
    }

    /// Keeps what was said under a counter of this signing key, or that nothing was.
    pub(crate) fn keep(
        &mut self,
        (cid, sk): (&ConversationId, KeyId),
        id: MessageId,
        sealed: &Sealed,
        said: bool,
    ) {
        let kept = KeptSent {
            cid: cid.clone(),
            e: sealed.e,
            sk,
            n: sealed.n,
            id,
            tbs: sealed.digest,
            said: said.then(|| (sealed.key.clone(), sealed.frame.clone())),
        };
        self.kept.put(&order_key(next_order(&self.kept)), kept);
        while self.kept.len() > KEPT_SENT_MAX || self.bytes() > KEPT_SENT_BYTES_MAX {
            self.kept.pop_first();
        }
    }

    /// Bytes of the frames that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.iter().map(|(_, kept)| kept.bytes()).sum()
    }

    fn find(&self, asked: &Counters, n: u32) -> Found {
        let mut kept = self.kept.iter().rev().map(|(_, kept)| kept);
        let is_asked = |kept: &&KeptSent| {
            (kept.n, kept.e, kept.sk) == (n, asked.e, asked.sk) && kept.cid == asked.cid
        };
        let Some(kept) = kept.find(is_asked) else { return Found::Nothing };
        let Some((mk, frame)) = &kept.said else { return Found::Burnt };
        Found::Said(GrantEntry {
            cid: kept.cid.clone(),
            e: kept.e,
            sk: kept.sk,
            n,
            id: kept.id,
            tbs: kept.tbs,
            mk: mk.clone(),
            frame: Some(frame.clone()),
        })
    }

    /// Whether this person was not granted too much already: an answer is much longer than its question. Who is not
    /// answered asks again later. This one counts so much.
    pub(crate) fn may_answer(&mut self, now_ms: u64, to: &UserName, count: usize) -> bool {
        self.answered.retain(|_, (since, _)| now_ms.saturating_sub(*since) < ANSWER_WINDOW_MS);
        let (_, granted) = self.answered.entry(to.clone()).or_insert((now_ms, 0));
        *granted += count;
        *granted <= ANSWERS_MAX
    }
}

impl Endpoint {
    /// Asks others for what is missing of theirs.
    pub(crate) fn ask_for_missing(&mut self, now_ms: u64) {
        for ask in self.gaps.due(now_ms, &mut self.out) {
            let content = Content::KeyRequest(ask.counters.clone());
            let request = self.draft_quietly(now_ms, &ask.from, Tag::Keyreq, &content);
            self.gaps.asked(&ask, request);
        }
    }

    /// Somebody asks for frames of ours. Who was never meant to read them gets the same answer as
    /// for what never was, so that the asking ends and says nothing (rule R19).
    pub(crate) fn on_key_request(&mut self, now_ms: u64, by: &MessageHeader, asked: &Counters) {
        let to = &by.from;
        // Who can ask can be asked: the way between the two may not have been there before.
        self.gaps.came(now_ms, Some(std::slice::from_ref(to)));
        let people = self.people_of(&asked.cid);
        let is_both = people.contains(to) && people.contains(&self.device.user);
        // Who came or went lately is not in an older view. Of what does not find room the request comes again.
        let may_differ = (!is_both && self.may_have_come(&asked.cid, to))
            || (is_both && self.is_behind_hub(&asked.cid));
        if may_differ && self.view_is_on_its_way(&asked.cid) {
            if self.link.key_requests.len() < KEY_REQUESTS_WAITING_MAX {
                self.link.key_requests.push((by.clone(), asked.clone()));
            }
            return;
        }
        self.answer_key_request(now_ms, by, asked);
    }

    /// A view has come up to date: who has asked for something of that conversation is answered by it.
    pub(crate) fn answer_waiting(&mut self, now_ms: u64, cid: &ConversationId) {
        let waiting = &mut self.link.key_requests;
        let now: Vec<_> = waiting.extract_if(.., |(_, asked)| asked.cid == *cid).collect();
        for (by, asked) in now {
            self.answer_key_request(now_ms, &by, &asked);
        }
    }

    fn answer_key_request(&mut self, now_ms: u64, by: &MessageHeader, asked: &Counters) {
        let to = &by.from;
        let people = self.people_of(&asked.cid);
        let is_both = people.contains(to) && people.contains(&self.device.user);
        let own = asked.sk == self.device.keys.signing_id();
        let epoch = self.epochs.get(&asked.e);
        let entitled = is_both
            && !self.is_put_out(&asked.cid, to)
            && epoch.is_some_and(|epoch| {
                epoch.cid == asked.cid
                    && epoch.list.contains(to, &by.sk)
                    && epoch.list.contains(&self.device.user, &asked.sk)
                    && !self.has_gone_since(epoch, to)
            });
        if !entitled {
            // Another device of this user may have it.
            if own {
                let none = vec![asked.clone()];
                self.answer(now_ms, to, Grant { none, ..Grant::default() });
            }
            return;
        }
        let mut grant = Grant::default();
        let (mut burnt, mut none) = (Vec::new(), Vec::new());
        for n in &asked.n {
            match self.resends.find(asked, *n) {
                Found::Said(entry) => grant.entries.push(entry),
                Found::Burnt => burnt.push(*n),
                Found::Nothing if self.outbox.is_under_way(&asked.e, *n) => {}
                // Another device of this user may have it.
                Found::Nothing => none.extend(Some(*n).filter(|_| own)),
            }
        }
        let list = |n: Vec<u32>| Some(Counters { n, ..asked.clone() }).filter(Counters::is_valid);
        grant.burnt.extend(list(burnt));
        grant.none.extend(list(none));
        self.answer(now_ms, to, grant);
    }

    fn answer(&mut self, now_ms: u64, to: &UserName, grant: Grant) {
        let count = grant.entries.len() + 1;
        if grant.is_valid() && self.resends.may_answer(now_ms, to, count) {
            for piece in pieces(grant) {
                let content = Content::Grant(piece);
                self.draft_quietly(now_ms, to, Tag::Grant, &content);
            }
        }
    }

    /// Whether a newer view of this conversation could have somebody in it beside this user.
    fn may_have_come(&self, cid: &ConversationId, who: &UserName) -> bool {
        match cid.kind() {
            ConversationKind::Direct(..) => false,
            _ => self.has_known(cid, &self.device.user) && *who != self.device.user,
        }
    }

    /// Whether the hub shows more of a room's chain than the view has.
    fn is_behind_hub(&self, cid: &ConversationId) -> bool {
        self.views.of(cid).end.is_some_and(|end| end.mg > self.place_of(cid).mg)
    }
}

/// What is known of a counter of ours.
enum Found {
    /// A message.
    Said(GrantEntry),
    /// Nothing was said.
    Burnt,
    /// It was never used, or is forgotten.
    Nothing,
}

/// Cuts a grant into messages; each stays below the size that a frame may have.
pub(crate) fn pieces(grant: Grant) -> Vec<Grant> {
    let Grant { entries, burnt, none, links, bundles } = grant;
    let mut done = Vec::new();
    let mut piece = Grant { entries: Vec::new(), burnt, none, links, bundles };
    let mut bytes = 0;
    for mut entry in entries {
        // Too long to travel inside another frame: who asks may have it, and needs the key only.
        entry.frame = entry.frame.filter(|frame| frame.0.len() <= GRANT_FRAME_BYTES_MAX);
        let more = entry.frame.as_ref().map_or(0, |frame| frame.0.len());
        let full = piece.entries.len() >= GRANT_ENTRIES_MAX || bytes + more > GRANT_BYTES_MAX;
        if full && !piece.entries.is_empty() {
            done.push(std::mem::take(&mut piece));
            bytes = 0;
        }
        bytes += more;
        piece.entries.push(entry);
    }
    if piece.is_valid() {
        done.push(piece);
    }
    done
}

#[cfg(test)]
mod tests {
    use chat_protocol::ratchet::Chain;

    use super::*;

    const SK: KeyId = KeyId([1; 16]);

    fn cid() -> ConversationId {
        ConversationId::parse("room:ops").unwrap()
    }

    fn keep(resends: &mut Resends, n: u32, bytes: usize, said: bool) {
        let (_, key) = Chain::new(&[7; 32]).advance();
        let (e, digest, frame) = (Digest([2; 32]), Digest::ZERO, B64Vec(vec![0; bytes]));
        let sealed = Sealed { e, n, digest, void: Vec::new(), key, frame };
        resends.keep((&cid(), SK), MessageId([3; 16]), &sealed, said);
    }

    fn asked() -> Counters {
        Counters { cid: cid(), e: Digest([2; 32]), sk: SK, n: Vec::new() }
    }

    /// Goal: who asks is told what was said under a counter, that nothing was, or that nothing is known of it; another
    /// conversation, epoch or key has other counters.
    #[test]
    fn a_counter_is_found_or_known_as_burnt() {
        let mut resends = Resends::default();
        keep(&mut resends, 0, 10, true);
        keep(&mut resends, 1, 10, false);
        assert!(matches!(resends.find(&asked(), 0), Found::Said(entry) if entry.n == 0));
        assert!(matches!(resends.find(&asked(), 1), Found::Burnt));
        assert!(matches!(resends.find(&asked(), 2), Found::Nothing));
        for other in [
            Counters { cid: ConversationId::parse("room:other").unwrap(), ..asked() },
            Counters { e: Digest::ZERO, ..asked() },
            Counters { sk: KeyId([9; 16]), ..asked() },
        ] {
            assert!(matches!(resends.find(&other, 0), Found::Nothing));
        }
    }

    /// Goal: so many messages are kept, and so many bytes of them; the oldest go first.
    #[test]
    fn what_is_kept_is_bounded() {
        let mut resends = Resends::default();
        let max = u32::try_from(KEPT_SENT_MAX).unwrap();
        (0..=max).for_each(|n| keep(&mut resends, n, 1, true));
        assert!(matches!(resends.find(&asked(), 0), Found::Nothing));
        assert!(matches!(resends.find(&asked(), 1), Found::Said(_)));
        keep(&mut resends, max + 1, KEPT_SENT_BYTES_MAX, true);
        assert_eq!(resends.bytes(), KEPT_SENT_BYTES_MAX);
        assert!(matches!(resends.find(&asked(), max), Found::Nothing));
    }

    /// Goal: one person is not granted more than so much in a time, and that takes nothing from others.
    #[test]
    fn one_person_is_answered_so_often() {
        let mut resends = Resends::default();
        let [bob, carol] = ["bob", "carol"].map(|text| UserName::new(text).unwrap());
        assert!(resends.may_answer(0, &bob, ANSWERS_MAX));
        assert!(!resends.may_answer(1, &bob, 1) && resends.may_answer(1, &carol, 1));
        assert!(resends.may_answer(ANSWER_WINDOW_MS, &bob, 1));
    }
}
