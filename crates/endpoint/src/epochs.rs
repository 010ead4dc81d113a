//! Making, installing and receiving epochs (section 9, rules R1, R2, R3, R4, R11, R13).

mod futile;
mod held;
mod left_out;
mod lists;
mod luck;
mod making;
mod parts;
mod race;

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::code;
use chat_protocol::epoch::{self, EpochParameters, NewEpoch};
use chat_protocol::frame::{Delivery, Upload};
use chat_protocol::header::KeyHeader;
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, key_id};
use chat_protocol::limits::{EPOCH_DEVICES_MAX, EPOCH_SENDER_MESSAGES_MAX};
use chat_protocol::members::{MemberLine, MemberList, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;
use zeroize::Zeroizing;

use crate::answers::Refusal;
use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::limits::{AGENT_EPOCHS_MAX, EPOCH_AGE_MAX_MS, EPOCH_UNSEEN_WAIT_MS, EPOCH_WAIT_MS};
use crate::pace::GivenUp;
use crate::position::Came;
use crate::questions::Question;
use crate::receive::Received;
use crate::views::{Maker, Said};

pub(crate) use held::{Epoch, Epochs, Receiving};
pub(crate) use left_out::{first_of, named};
pub(crate) use lists::KeptLists;
pub(crate) use luck::KeyLuck;
use making::Making;
pub(crate) use parts::Parts;

/// An epoch of somebody else that is complete.
#[derive(Debug)]
pub(crate) struct Arriving {
    header: KeyHeader,
    members: Vec<u8>,
    /// How its KEY came.
    came: Came,
}

impl Endpoint {
    /// Whether this conversation has an epoch to send in; makes one if it has not.
    pub(crate) fn ensure_epoch(&mut self, now_ms: u64, cid: &ConversationId) -> bool {
        if self.awaits_answer(cid) {
            return false;
        }
        let list = self.current_list(now_ms, cid);
        let head = self.sending_head(cid);
        if self.can_send_in(now_ms, cid, head, &list) {
            return true;
        }
        if let Some(head) = head
            && self.enter(now_ms, cid, head, &list)
        {
            return true;
        }
        // The loser of a race waits for the winner's key before it makes the next.
        if let Some(until) = self.link.waiting_for_epoch.get(cid)
            && *until > now_ms
        {
            return false;
        }
        self.link.waiting_for_epoch.remove(cid);
        if let Some(until) = self.leaves_epoch_until(now_ms, cid) {
            self.link.waiting_for_epoch.insert(cid.clone(), until);
            return false;
        }
        if !self.hub_lacks_keys_for(cid) {
            self.make_epoch(now_ms, cid, self.known_head(cid), &list);
        }
        false
    }

    /// The devices of a person that are wrapped for. This one is not away, nor is the hub.
    pub(crate) fn lines_of(&self, now_ms: u64, name: &UserName) -> Vec<MemberLine> {
        self.wrapped_for(now_ms, name).filter_map(Bundle::member_line).collect()
    }

    /// Their newest bundles.
    fn wrapped_for(&self, now_ms: u64, name: &UserName) -> impl Iterator<Item = &Bundle> {
        let is_own = *name == self.device.user;
        let (is_server, dev) = (name.is_server(), self.device.dev);
        let is_here = move |bundle: &Bundle| is_server || (is_own && bundle.header().dev == dev);
        self.people.wrapped_for(now_ms, name, is_here)
    }

    /// Whether anything was ever sealed in this conversation.
    pub(crate) fn has_epoch(&self, cid: &ConversationId) -> bool {
        self.known_head(cid).is_some()
    }

    fn can_send_in(
        &self,
        now_ms: u64,
        cid: &ConversationId,
        head: Option<EpochHead>,
        list: &MemberList,
    ) -> bool {
        let Some(sending) = self.epochs.sending(cid) else { return false };
        !sending.closed
            && Some(sending.head) == head
            && sending.chain.next() < EPOCH_SENDER_MESSAGES_MAX
            && self.is_usable(now_ms, &sending.head.e, list)
    }

    /// Whether an epoch is held, young enough and for exactly these devices.
    fn is_usable(&self, now_ms: u64, e: &Digest, list: &MemberList) -> bool {
        self.epochs.get(e).is_some_and(|epoch| {
            epoch.list.hash() == list.hash()
                && now_ms.saturating_sub(epoch.seen_ms) < EPOCH_AGE_MAX_MS
        })
    }

    /// Starts to send in an epoch that is held and stands in the log, if it fits.
    fn enter(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        head: EpochHead,
        list: &MemberList,
    ) -> bool {
        let used = self.epochs.sending(cid).is_some_and(|sending| sending.head.e == head.e);
        if used || !self.is_usable(now_ms, &head.e, list) || !self.is_placed(&head.e) {
            return false;
        }
        let Some(line) = list.position(&self.device.user, &self.device.keys.signing_id()) else {
            return false;
        };
        if !self.epochs.enter(cid, head, line) {
            return false;
        }
        self.tell_left_out(cid, &[]);
        true
    }

    fn is_placed(&self, e: &Digest) -> bool {
        self.epochs.get(e).is_some_and(|epoch| epoch.position.is_some())
    }

    fn make_epoch(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        previous: Option<EpochHead>,
        list: &MemberList,
    ) {
        if list.position(&self.device.user, &self.device.keys.signing_id()).is_none() {
            let reason = "there are more devices here than one key can be made for, and this one is left \
                          out: others of yours were renewed later";
            return self.refuse_drafts(now_ms, cid, code::TOO_MANY, reason);
        }
        let left_out = self.left_out_of(cid);
        if self.is_stopped_by_disputes(now_ms, cid, &left_out) {
            return;
        }
        let parameters = EpochParameters {
            cid: cid.clone(),
            from: self.device.user.clone(),
            sk: self.device.keys.signing_id(),
            previous,
            place: self.place_of(cid),
            left_out: Self::named_in_key(&left_out),
            ts: now_ms,
        };
        let wrap_keys: Option<Vec<_>> =
            list.lines().iter().map(|line| self.people.wrap_key(line)).collect();
        let wrap_keys = wrap_keys.filter(|keys| keys.len() <= EPOCH_DEVICES_MAX);
        let key = Zeroizing::new(self.out.random::<32>());
        let eid = Nonce16(self.out.random());
        let made =
            wrap_keys.ok_or_else(|| "a key to wrap for is missing".to_owned()).and_then(|keys| {
                epoch::create(parameters, list, &keys, &key, eid).map_err(|e| e.to_string())
            });
        match made {
            Ok(new) => self.upload_epoch(now_ms, cid, list, new),
            Err(reason) => {
                let me = self.device.user.clone();
                let detail = format!("no key for {}: {reason}", cid.spoken());
                self.out.alarm_in(cid, (Alarm::BadChain, &me), &detail);
            }
        }
    }

    fn upload_epoch(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        list: &MemberList,
        new: NewEpoch,
    ) {
        let NewEpoch { header, head, frame, wraps, chains } = new;
        let by = (now_ms, &self.device.user);
        self.epochs.install(by, &header, head, list.clone(), &chains);
        let id = MessageId(header.eid.0);
        let uploads = Upload::split(head.e, list.as_bytes(), &wraps);
        let messages = uploads.iter().map(|part| B64Vec(part.to_vec())).collect();
        self.epochs.making().put(&id, Making { cid: cid.clone(), head, messages });
        let said = Question::Key { cid: cid.clone(), head };
        self.out.sign((id, said), frame, uploads);
    }

    /// The hub refused our epoch: somebody else's is current, or our view is stale.
    pub(crate) fn epoch_refused(
        &mut self,
        now_ms: u64,
        id: &MessageId,
        winner: Option<EpochHead>,
        refusal: &Refusal,
    ) {
        let Some((cid, head)) = self.end_making(id) else { return };
        self.epochs.forget(&head.e);
        if refusal.code == code::MEMBERS {
            self.refused_devices(now_ms, &cid);
        } else {
            // A winner is the hub's word, and it may name one that does not exist.
            let from = self.pace_epoch(now_ms, &cid, GivenUp::Refused);
            let until = from.max(self.winner_is_awaited_until(now_ms, &cid, head.g, winner));
            if until > now_ms {
                self.link.waiting_for_epoch.insert(cid.clone(), until);
            }
        }
        self.link.dirty.insert(cid.clone());
        self.key_refused(now_ms, &cid, refusal);
    }

    /// Until when the loser of a race waits for the winner's key. That of a race just lost is on its way;
    /// one of long ago will never come again.
    fn winner_is_awaited_until(
        &self,
        now_ms: u64,
        cid: &ConversationId,
        g: u32,
        winner: Option<EpochHead>,
    ) -> u64 {
        let is_held = |e: &Digest| self.epochs.get(e).is_some();
        let Some(EpochHead { e, .. }) = winner.filter(|w| w.g == g && !is_held(&w.e)) else {
            return now_ms;
        };
        let is_seen = self.link.parts.contains_key(&e)
            || self.epochs.is_gone(&e)
            || self.luck.is_shut(cid, &e)
            // It may be among what waited while this device was away.
            || !self.link.live;
        now_ms.saturating_add(if is_seen { EPOCH_WAIT_MS } else { EPOCH_UNSEEN_WAIT_MS })
    }

    /// The hub has put an epoch at a position of its log.
    fn epoch_stands(&mut self, e: &Digest, position: u64) {
        // Before its position counts: that belongs to the time after.
        self.note_put_twice(e, position);
        let era = self.positions.era();
        let Some(place) = self.epochs.place(e, position, era) else { return };
        let Some(cid) = self.epochs.get(e).map(|epoch| epoch.cid.clone()) else { return };
        self.mark(&cid, place, position);
        self.removals_are_counted(&cid, place);
        // Whoever may write to an agent could make it keep one a second, for ever (rule R41).
        if self.device.bundle.header().rb.is_some() {
            self.epochs.keep_newest(&cid, AGENT_EPOCHS_MAX);
        }
    }

    /// An epoch of this conversation has come: of those in which nothing was said, the oldest go.
    fn forget_silent_epochs(&mut self, cid: &ConversationId) {
        self.epochs.forget_silent(cid, self.state.sent.iter().map(|(_, sent)| sent.e));
    }

    fn note_own_epoch(&mut self, cid: &ConversationId, head: EpochHead) {
        let epoch = self.epochs.get(&head.e);
        let pe = epoch.map_or(Digest::ZERO, |epoch| epoch.pe);
        self.note_epoch(cid, head, pe);
    }

    /// A KEY frame was delivered: its parts follow.
    pub(crate) fn on_key(
        &mut self,
        now_ms: u64,
        (delivery, came): (&Delivery, Came),
        header: &KeyHeader,
        asked: bool,
    ) -> Received {
        let Some(signer) = self.people.signer(&header.from, &header.sk).cloned() else {
            return if asked { Received::Done } else { Received::NeedsSender };
        };
        if !signer.has_signed(&delivery.frame, label::KEY, &mut self.verified) {
            self.out
                .trace
                .received(&delivery.frame, || "refused: not signed by its maker".to_owned());
            self.out.alarm(Alarm::BadSignature, &header.from, "a key was not signed by its maker");
            return Received::Done;
        }
        let e = epoch::digest(&delivery.frame);
        if let Some(epoch) = self.epochs.get(&e) {
            // One's own, which the hub has not answered: here it stands.
            if epoch.position.is_none() && header.from == self.device.user {
                self.end_making(&MessageId(header.eid.0));
                let head = EpochHead { g: header.g, e };
                self.own_epoch_stands(&header.cid, head, delivery.position);
            }
            return Received::Done;
        }
        if self.epochs.is_gone(&e) {
            return Received::Done;
        }
        if self.is_of_others(&header.cid) {
            let (by, cid) = (&header.from, header.cid.spoken());
            let detail = format!(
                "the server has given you a key that {by} has made for {cid}, and you are none of them"
            );
            self.out.alarm_in(&header.cid, (Alarm::NotAMember, by), &detail);
            return Received::Done;
        }
        if header.cid.is_feed() && !header.cid.is_feed_of(&header.from) {
            let detail = format!("a key for {} was made by somebody else", header.cid.spoken());
            self.out.alarm_in(&header.cid, (Alarm::BadChain, &header.from), &detail);
            return Received::Done;
        }
        match self.judge_maker(now_ms, &e, header) {
            Maker::Accepted => {}
            Maker::Unknown => return Received::NeedsView,
            Maker::NoMember => {
                let detail = format!(
                    "a key for {} was made by somebody who is not in it by the view it names",
                    header.cid
                );
                self.out.alarm_in(&header.cid, (Alarm::NotAMember, &header.from), &detail);
                return Received::Done;
            }
        }
        let place = Place { mg: header.mg, pm: header.pm };
        let said = Said { cid: &header.cid, from: &header.from, place, came: &came };
        if !self.may_make_key(&said) {
            self.silenced(&header.cid, &header.from);
            return Received::Done;
        }
        self.out.trace.received(&delivery.frame, || {
            format!("verified with key {} of {}; its wrap follows", header.sk, header.from)
        });
        Received::NeedsParts(e)
    }

    fn open_epoch(&mut self, now_ms: u64, e: Digest, arriving: &Arriving, wrap: Option<&Bytes>) {
        let Arriving { header, members, .. } = arriving;
        let opened =
            MemberList::parse(members).map_err(|error| error.to_string()).and_then(|list| {
                let me = list
                    .position(&self.device.user, &self.device.keys.signing_id())
                    .and_then(|line| list.lines().get(line));
                let own = me.and_then(|line| self.device.keys.encryption_key(&line.ek));
                let own = own.ok_or_else(|| epoch::EpochError::NotForMe.to_string())?;
                let wrap = wrap.ok_or_else(|| epoch::EpochError::NotForMe.to_string())?;
                let ek = key_id(own.spki());
                epoch::open(header, &e, &list, wrap, own)
                    .map(|chains| (list, chains, ek))
                    .map_err(|error| error.to_string())
            });
        let told = opened.as_ref().map(|(_, _, ek)| ek).map_err(String::as_str);
        self.out.trace.epoch(&e, &header.kc, told);
        let head = EpochHead { g: header.g, e };
        match opened {
            Ok((list, chains, _)) => {
                // Another view: one's own is fetched before the next epoch is made (rule R4).
                if self.current_list(now_ms, &header.cid).hash() != list.hash() {
                    self.views.outdate(&header.cid);
                }
                for stranger in self.strangers_in(header, &list) {
                    let (by, cid) = (&header.from, header.cid.spoken());
                    let detail = format!("{by} seals for {stranger}, who is no member of {cid}");
                    self.out.alarm_in(&header.cid, (Alarm::NotAMember, &stranger), &detail);
                }
                let by = (now_ms, &self.device.user);
                self.epochs.install(by, header, head, list, &chains);
                self.epoch_stands(&e, arriving.came.position);
                self.forget_silent_epochs(&header.cid);
                let made = (&e, &header.from);
                self.check_audience(now_ms, made, &header.cid, &arriving.came);
                self.check_lines(now_ms, made, &header.cid, arriving.came.live_ms);
                self.key_is_open(now_ms, header);
                self.link.waiting_for_epoch.remove(&header.cid);
                self.race_ended_well(&header.cid);
                for (delivery, header) in self.gaps.held_in(&e) {
                    self.on_message(now_ms, (&delivery, Came::default()), &header, true);
                }
            }
            Err(reason) => self.key_failed(now_ms, header, &reason),
        }
        self.pass_over_epoch(now_ms, header, e);
    }

    /// An epoch of somebody else is the newest one, whether this device can open it or not.
    fn pass_over_epoch(&mut self, now_ms: u64, header: &KeyHeader, e: Digest) {
        self.note_luck(&header.cid, e);
        self.note_epoch(&header.cid, EpochHead { g: header.g, e }, header.pe);
        self.suspect(now_ms, &header.cid);
        self.link.dirty.insert(header.cid.clone());
    }
}
