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
use crate::state::{next_order, order_key};
use crate::table::{Kind, Table};

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
        self.views.of(cid).head.as_ref().is_some_and(|head| head.mg > self.place_of(cid).mg)
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
