//! What the hub answers: kept, refused, again later, again in a newer epoch.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::code;
use chat_protocol::hub::{
    ClientToHub, Counter, EpochHead, Head, HubStage, HubToClient, Person, PersonBundles, RoomInfo,
};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::event::{Event, KeptFrame};
use crate::limits::STORAGE_WAIT_MS;
use crate::outgoing::Sealed;
use crate::pace::{GivenUp, is_further_person, is_further_room};
use crate::questions::Question;
use crate::rooms::Moderated;

/// Whether a receipt was refused because nobody waits for it.
fn is_for_nobody(code: &str) -> bool {
    matches!(code, code::MAILBOX_FULL | code::NOT_A_MEMBER | code::NO_SUCH_USER)
}

/// A final refusal by the hub.
pub(crate) struct Refusal {
    pub(crate) stage: HubStage,
    pub(crate) code: String,
    pub(crate) reason: String,
}

impl Refusal {
    fn into_complaint(self) -> Event {
        let Self { stage, code, reason } = self;
        Event::Complaint { stage, code, reason, by_hub: true }
    }
}

impl Endpoint {
    /// Deals with a text message of the hub.
    pub(crate) fn on_text(&mut self, now_ms: u64, message: HubToClient) {
        match message {
            HubToClient::Ack { id, position, kept, .. } => self.on_ack(id, position, kept),
            HubToClient::Noack { stage, id, code, reason, head, .. } => {
                if let Some(head) = &head {
                    self.note_hub_head(now_ms, head);
                }
                let refusal = Refusal { stage, code, reason };
                match id {
                    Some(id) => self.on_noack(now_ms, id, refusal, head.and_then(|h| h.epoch)),
                    None => self.out.tell_word(refusal.into_complaint()),
                }
            }
            HubToClient::Retry { id, after_ms, why } => self.on_retry(now_ms, id, after_ms, why),
            HubToClient::Rekey { id, head } => self.on_rekey(now_ms, id, &head),
            HubToClient::Presence { joined, left } => self.on_presence(now_ms, joined, left),
            HubToClient::Heads { id: None, heads, .. } => self.on_heads(now_ms, heads),
            HubToClient::Heads { id: Some(id), heads, more } => {
                self.on_heads_page(now_ms, &id, &heads, more);
            }
            HubToClient::Counters { id, counters } => self.on_counters_page(&id, &counters),
            HubToClient::Reminded { id, .. } => {
                let is_it = |q: &Question| matches!(q, Question::Remind { .. });
                if let Some(Question::Remind { of, .. }) = self.take_question(&id, is_it) {
                    self.devices_are_known_again();
                    self.has_reminded(&of);
                }
            }
            HubToClient::Topic { id, cid, text, by } => {
                let id = self.ends_setting(id);
                self.out.tell_word(Event::Topic { id, cid, text, by });
            }
            HubToClient::Retention { id, cid, keep_ms, by } => {
                let id = self.ends_setting(id);
                self.out.tell_word(Event::Retention { id, cid, keep_ms, by });
            }
            HubToClient::Moderated { id, cid, who, act, by, mg: links, past } => {
                let said = Moderated { who, act, by, links, past };
                self.on_moderated(now_ms, id, &cid, said);
            }
            HubToClient::Dropped(claim) => self.on_dropped(now_ms, claim),
            HubToClient::Announce { text } => self.out.tell_word(Event::Announcement { text }),
            HubToClient::Live {} => self.on_live(now_ms),
            HubToClient::Rooms { id, rooms, more } => self.on_rooms(&id, rooms, more),
            HubToClient::Keys { users } => self.on_keys(&users),
            HubToClient::Bundles { id, people, unknown, gone, more } => {
                self.note_gone(&id, &gone);
                self.on_bundles(now_ms, &id, (&people, &unknown, more));
            }
            HubToClient::Members { id, cid, links, more, closed } => {
                let is_it =
                    |q: &Question| matches!(q, Question::Members { cid: of, .. } if *of == cid);
                if let Some(Question::Members { from, .. }) = self.take_question(&id, is_it) {
                    self.note_deleted(now_ms, &cid, closed);
                    self.on_members(&cid, from, &links, more);
                    self.link.dirty.insert(cid);
                }
            }
            HubToClient::Who { id, people, more } => self.on_who(&id, people, more),
            HubToClient::Shared { id, offers } => {
                let is_it = |asked: &ClientToHub| matches!(asked, ClientToHub::Share { .. });
                self.on_list(&id, is_it, Event::Shared { id, offers });
            }
            HubToClient::Found { id, offers, more } => {
                let is_it = |asked: &ClientToHub| matches!(asked, ClientToHub::Find { .. });
                self.on_list(&id, is_it, Event::Found { id, offers, more });
            }
            HubToClient::Hello { .. } | HubToClient::Ok { .. } => {
                self.out.complain(code::MALFORMED, "the hub greeted in the middle of a session");
            }
        }
    }

    /// People came and went.
    fn on_presence(&mut self, now_ms: u64, joined: Vec<UserName>, left: Vec<UserName>) {
        self.gaps.came(now_ms, Some(&joined));
        self.unknown_came(&joined);
        let followed = self.followed_among(joined.iter().chain(&left));
        self.out.tell_word(Event::Presence { joined, left, followed });
    }

    /// A page of the rooms that did not fit into OK has come.
    fn on_heads_page(&mut self, now_ms: u64, id: &MessageId, heads: &[Head], more: bool) {
        let is_it = |q: &Question| matches!(q, Question::Heads { .. });
        if let Some(Question::Heads { after }) = self.take_question(id, is_it) {
            self.on_more_heads(now_ms, &after, heads, more);
        }
    }

    /// The hub says how far it has seen this device's key in the conversations of a question.
    fn on_counters_page(&mut self, id: &MessageId, counters: &[Counter]) {
        let is_it = |q: &Question| matches!(q, Question::Counters { .. });
        if let Some(Question::Counters { cids }) = self.take_question(id, is_it) {
            self.on_counters(cids, counters);
        }
    }

    /// A question about the list of shared files has its answer.
    fn on_list(&mut self, id: &MessageId, is_it: fn(&ClientToHub) -> bool, answer: Event) {
        let is_it = |q: &Question| matches!(q, Question::Files(asked) if is_it(asked));
        if self.take_question(id, is_it).is_some() {
            self.out.tell(answer);
        }
    }

    /// A page of the rooms has come.
    fn on_rooms(&mut self, id: &MessageId, rooms: Vec<RoomInfo>, more: bool) {
        let is_it = |q: &Question| matches!(q, Question::Rooms { .. });
        let Some(Question::Rooms { after }) = self.take_question(id, is_it) else { return };
        let last = rooms.last().map(|info| info.room.clone()).filter(|_| more);
        let last = last.filter(|last| is_further_room(after.as_ref(), last));
        let more = last.is_some();
        if let Some(last) = last {
            self.ask_page(Question::Rooms { after: Some(last) });
        }
        let is_entering =
            |info: &&RoomInfo| !info.member && self.is_joining(&ConversationId::room(&info.room));
        let entering = rooms.iter().filter(is_entering).map(|info| info.room.clone()).collect();
        self.out.tell(Event::Rooms { rooms, entering, more });
    }

    /// A page of the people has come.
    fn on_who(&mut self, id: &MessageId, people: Vec<Person>, more: bool) {
        let is_it = |q: &Question| matches!(q, Question::Who { .. });
        let Some(Question::Who { after }) = self.take_question(id, is_it) else { return };
        let last = people.last().map(|person| person.name.clone()).filter(|_| more);
        let last = last.filter(|last| is_further_person(after.as_ref(), last));
        let more = last.is_some();
        if let Some(last) = last {
            self.ask_page(Question::Who { after: Some(last) });
        }
        self.out.tell(Event::People { people, more });
    }

    /// The question that the hub answers. An answer to none, or to another one, is dropped and counted; what was asked
    /// stays open.
    fn take_question(
        &mut self,
        id: &MessageId,
        is_it: impl Fn(&Question) -> bool,
    ) -> Option<Question> {
        if !self.out.questions.get(id).is_some_and(is_it) {
            self.unasked();
            return None;
        }
        self.put_off_no_more(id);
        self.out.questions.take(id)
    }

    /// An answer ends its question: what it brings nothing of is not there, but for people who did not
    /// fit in the page.
    fn on_bundles(
        &mut self,
        now_ms: u64,
        id: &MessageId,
        (people, unknown, more): (&BTreeMap<UserName, PersonBundles>, &[UserName], bool),
    ) {
        let is_it = |q: &Question| matches!(q, Question::Bundles { .. });
        let question = self.take_question(id, is_it);
        let Some(Question::Bundles { mut names, mut kids, view, first }) = question else { return };
        let asked = names.len() + kids.values().map(Vec::len).sum::<usize>();
        self.note_unknown(&names, unknown);
        // Of others than were asked for nothing is kept.
        let whose: BTreeSet<&UserName> = names.iter().chain(kids.keys()).collect();
        for name in whose {
            let offered = people.get(name);
            if let Some(offered) = offered {
                self.accept_bundles(name, offered);
                let kids = kids.get(name).map_or(&[][..], Vec::as_slice);
                self.people.accept_former(&mut self.out, name, offered, kids);
            }
            // By their keys also older bundles are answered, and not all newest ones: that compares with nothing.
            if names.contains(name) && !kids.contains_key(name) && !(more && offered.is_none()) {
                self.compare_bundles(now_ms, name, offered);
            }
        }
        let missing: Vec<UserName> = names
            .extract_if(.., |name| more && !unknown.contains(name) && !people.contains_key(name))
            .collect();
        for (name, kids) in &mut kids {
            kids.retain(|sk| more && !self.people.has_signer(name, sk));
        }
        kids.retain(|_, kids| !kids.is_empty());
        let left = missing.len() + kids.values().map(Vec::len).sum::<usize>();
        // A page that brings nobody ends the asking.
        let is_asked_again = left > 0 && left < asked;
        if is_asked_again {
            self.ask_bundles_again(Some(first), &missing, kids, view.clone());
        }
        for name in &names {
            // A later question may be the one that brings what is new. The many of a view are not
            // remembered.
            if view.is_none() && !self.are_keys_asked_for(name) {
                self.people.has_newest(name);
            }
            if !people.contains_key(name) {
                // The hub has what is held, and it is of the pinned identity.
                self.people.has_bundles(name);
            }
            self.people.target_came(now_ms, name);
            if let Ok(cid) = ConversationId::direct(&self.device.user, name) {
                self.link.dirty.insert(cid);
            }
        }
        self.link.dirty.extend(view.clone());
        if is_asked_again {
            return;
        }
        if let Some(cid) = view {
            self.refresh_answered(&cid, &first);
        }
        self.owners_answered(&first);
        self.keys_answered(&first);
        self.senders_answered(now_ms, &first);
    }

    fn on_ack(&mut self, id: MessageId, position: u64, kept: bool) {
        self.positions.note(position);
        let question = self.out.questions.get(&id).cloned();
        match &question {
            // Nothing that is asked for is answered so.
            Some(question) if !question.is_kept() => return self.unasked(),
            _ => self.put_off_no_more(&id),
        }
        match question {
            Some(Question::Key { .. }) => self.epoch_accepted(&id, position),
            Some(Question::Order(order)) => self.order_kept(order, &id, position),
            Some(Question::Join(cid)) => {
                self.out.questions.take(&id);
                self.joined(cid, position);
            }
            Some(Question::Receipt) => {
                self.out.questions.take(&id);
                self.receipts.answered(&id);
            }
            Some(Question::Message(key)) => self.message_kept(id, &key, position, kept),
            Some(_) | None => {}
        }
    }

    /// The hub has kept the link by which this user joins a room that everybody is in.
    fn joined(&mut self, cid: ConversationId, position: u64) {
        self.state.joined.put(&cid, true);
        self.requests.won(&cid);
        self.views.overtake(&cid);
        self.link.dirty.insert(cid.clone());
        self.note_answered(&cid, position);
        self.out.tell(Event::Joined { id: None, cid, position: Some(position) });
    }

    /// The hub has kept a message.
    fn message_kept(&mut self, id: MessageId, key: &str, position: u64, kept: bool) {
        let at = self.positions.at(position);
        let message = self.outbox.get(key);
        if message.is_some_and(|message| message.copy_of == Some(at)) {
            // Said again of what the copy was made of; the copy has not been answered, and may be a draft.
            return;
        }
        if message.is_some_and(|message| message.sealed.is_none()) {
            // It was to be sealed again, and has not left since. The next key would name nothing of it.
            return self.unasked();
        }
        self.out.questions.take(&id);
        let Some(mut outgoing) = self.outbox.end(key) else { return };
        let mut frame = None;
        let quiet = outgoing.quiet;
        if let Some(sealed) = outgoing.sealed.take() {
            let is_said = !quiet || outgoing.copy_of.is_some();
            let sk = self.device.keys.signing_id();
            self.resends.keep((&outgoing.cid, sk), id, &sealed, is_said);
            self.key_stands(&sealed.e);
            self.epochs.kept(&outgoing.cid, &sealed);
            frame = self.out.is_durable().then(|| {
                let Sealed { e, n, digest, key, frame, .. } = sealed;
                Box::new(KeptFrame { e, sk, n, digest, key, frame })
            });
        }
        self.copy_to_feed(&outgoing, position);
        let cid = outgoing.cid;
        self.note_answered(&cid, position);
        self.link.dirty.insert(cid.clone());
        if quiet {
            if kept {
                self.gaps.kept_request(&id);
            }
            self.repair_kept(&id);
            return self.settings_kept();
        }
        let recipients = self.recipients(&id);
        self.out.tell(Event::Stored { id, cid, position, kept, recipients, frame });
    }

    /// A join of this device was refused.
    fn join_refused(&mut self, now_ms: u64, id: MessageId, cid: ConversationId, refusal: Refusal) {
        self.link.dirty.insert(cid.clone());
        if refusal.code == code::MEMBERS {
            self.join_later(now_ms, id, cid);
        } else if refusal.code == code::NOT_ALLOWED {
            // Already inside: a device that forgot, or another device of this user.
            self.state.joined.put(&cid, true);
            self.out.tell(Event::Joined { id: None, cid, position: None });
        } else {
            // A room that is full is told once; a person may try again with /join.
            if refusal.code == code::TOO_MANY {
                self.state.joined.put(&cid, false);
            }
            self.out.tell_word(refusal.into_complaint());
        }
    }

    fn on_noack(
        &mut self,
        now_ms: u64,
        id: MessageId,
        refusal: Refusal,
        winner: Option<EpochHead>,
    ) {
        self.put_off_no_more(&id);
        if self.is_refused_and_kept(now_ms, &id, winner) {
            return;
        }
        let question = self.out.questions.get(&id).cloned();
        if let Some(Question::Message(key)) = question {
            return match self.is_lost_membership(&id, &refusal.code) {
                Some(cid) => self.seal_again(now_ms, id, &cid),
                None => self.message_refused(now_ms, id, &key, refusal),
            };
        }
        if let Some(Question::Key { .. }) = question {
            return self.epoch_refused(now_ms, &id, winner, &refusal);
        }
        self.out.questions.take(&id);
        match question {
            Some(Question::Order(order)) => self.order_refused(now_ms, (order, &id), &refusal),
            Some(Question::Files(_)) => {
                let Refusal { code, reason, .. } = refusal;
                self.out.tell(Event::ListRefused { id, code, reason });
            }
            Some(Question::Members { cid, .. }) => self.view_refused(now_ms, &cid, &refusal),
            Some(Question::Join(cid)) => self.join_refused(now_ms, id, cid, refusal),
            Some(Question::Receipt) => {
                self.receipts.answered(&id);
                // Who said it is away and learns it another way or not at all, or the hub knows them no more.
                if !is_for_nobody(&refusal.code) {
                    self.out.tell_word(refusal.into_complaint());
                }
            }
            Some(question) => {
                match question {
                    Question::Bundles { first, .. } => self.keys_answered(&first),
                    Question::Remind { of, .. } => self.has_reminded(&of),
                    _ => {}
                }
                self.out.tell_word(refusal.into_complaint());
            }
            None => {}
        }
    }

    /// A message of ours was refused for good.
    fn message_refused(&mut self, now_ms: u64, id: MessageId, key: &str, refusal: Refusal) {
        self.out.questions.take(&id);
        let Some(mut outgoing) = self.outbox.end_in_vain(key) else { return };
        let may_start_until_ms = self.note_refused(now_ms, &outgoing);
        if let Some(sealed) = outgoing.sealed.take() {
            let sk = self.device.keys.signing_id();
            self.resends.keep((&outgoing.cid, sk), id, &sealed, false);
            self.epochs.burnt(&outgoing.cid, sealed);
        }
        self.link.dirty.insert(outgoing.cid.clone());
        if outgoing.copy_of.is_some() {
            let Refusal { stage, code, reason } = refusal;
            let reason = format!("who follows you did not get a message: {reason}");
            self.out.tell(Event::Complaint { stage, code, reason, by_hub: true });
            return;
        }
        let Refusal { code, reason, .. } = refusal;
        if outgoing.quiet {
            return self.quiet_refused(now_ms, &outgoing, (&code, &reason, true));
        }
        if code == code::STORAGE_FULL && outgoing.is_report() {
            // Nobody would say it again, and somebody waits for it. The refused id never succeeds.
            outgoing.id = self.out.new_id(now_ms);
            self.out.questions.ask(outgoing.id, Question::Message(key.to_owned()));
            self.link.held.insert(outgoing.cid.clone(), now_ms.saturating_add(STORAGE_WAIT_MS));
            self.outbox.put_back(key, outgoing);
            return;
        }
        self.out.tell(Event::Refused { id, code, reason, by_hub: true, may_start_until_ms });
    }

    fn on_rekey(&mut self, now_ms: u64, id: MessageId, head: &Head) {
        if self.under_way(&id).is_some_and(|outgoing| outgoing.cid != head.cid) {
            // Of a conversation in which nothing was said.
            return self.unasked();
        }
        self.note_hub_head(now_ms, head);
        self.seal_again(now_ms, id, &head.cid);
    }

    /// Whether the hub refuses a message because it has lost that this user is in a room: it is told
    /// first (rule R36).
    fn is_lost_membership(&self, id: &MessageId, code: &str) -> Option<ConversationId> {
        let outgoing = self.under_way(id)?;
        let cid = &outgoing.cid;
        let room = self.state.rooms.get(cid)?;
        let is_lost = code == code::NOT_A_MEMBER
            && self.is_in(room)
            && (self.chain_is_behind(cid) || self.views.of(cid).is_unlisted);
        is_lost.then(|| cid.clone())
    }

    /// Seals again: everything of this conversation from this counter on goes back to a draft, and
    /// waits until the answers to the frames under way have come.
    fn seal_again(&mut self, now_ms: u64, id: MessageId, cid: &ConversationId) {
        self.put_off_no_more(&id);
        let cid = cid.clone();
        self.outbox.drained(&cid, &id);
        self.link.dirty.insert(cid.clone());
        let Some(first) = self.out.questions.message(&id) else { return };
        let burnt = self.outbox.burn(&cid, first);
        let Some(e) = burnt.first().map(|(_, sealed)| sealed.e) else { return };
        let sk = self.device.keys.signing_id();
        for (of, burnt) in burnt {
            self.resends.keep((&cid, sk), of, &burnt, false);
        }
        self.epochs.close(&cid, &e);
        let from = self.pace_epoch(now_ms, &cid, GivenUp::Closed);
        if from > now_ms {
            self.link.held.insert(cid.clone(), from);
        }
        self.start_refresh(&cid, false);
    }
}
