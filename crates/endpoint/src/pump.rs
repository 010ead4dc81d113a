//! Sealing what waits: view up to date, epoch of exactly these devices, then the next counter.

use chat_protocol::content::{ChainNotes, LastMessage, LineSet};
use chat_protocol::envelope;
use chat_protocol::frame::Unsigned;
use chat_protocol::header::{MessageHeader, Recipient};
use chat_protocol::id::{Digest, KeyId, Nonce16};
use chat_protocol::limits::VERSION;
use chat_protocol::members::MemberLine;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::spoken::{deleted, nobody};
use chat_protocol::tag::Tag;
use chat_protocol::{code, content};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::{IN_FLIGHT_MAX, SENT_REMEMBERED_MAX, SENT_REMEMBERED_MIN};
use crate::outgoing::{Outgoing, Sealed, command_window};
use crate::people::TargetBundles;
use crate::questions::{Kids, Question};
use crate::state::Sent;
use chat_protocol::b64::B64Vec;

impl Endpoint {
    /// Seals what can be sealed, in every conversation that may have moved.
    pub(crate) fn pump(&mut self, now_ms: u64) {
        if !self.link.online || self.link.rolled_back {
            return;
        }
        self.advance_orders(now_ms);
        self.draw_race_waits(now_ms);
        for cid in std::mem::take(&mut self.link.dirty) {
            if !self.link.held.contains_key(&cid) {
                self.pump_conversation(now_ms, &cid);
            }
        }
        self.ask_counters();
    }

    /// Messages of a conversation that are not sealed yet, in their order, as far as they do not wait for
    /// something that was asked for there before them.
    pub(crate) fn drafts(&self, cid: &ConversationId) -> Vec<String> {
        self.outbox.drafts(cid, self.requests.waits_from(cid))
    }

    fn pump_conversation(&mut self, now_ms: u64, cid: &ConversationId) {
        let drafts = self.drafts(cid);
        if drafts.is_empty() && !self.link.renew.contains(cid) {
            self.make_due_epoch(now_ms, cid);
            return;
        }
        // What is said in a room that is being joined is said there, or refused with the join.
        if drafts.is_empty() && self.is_joining(cid) {
            return;
        }
        // Frames of a closed epoch are still being answered: their ids must not fly twice.
        if self.outbox.is_draining(cid) {
            return;
        }
        // Asked together with the view.
        let is_counted = drafts.is_empty() || self.is_counted(cid);
        // Whether this user may speak there is not known before the hub has answered.
        if self.out.questions.is_joining(cid) || !self.ensure_view(cid) {
            return;
        }
        // A join may be said again because the hub has lost it: what was said before it waits for it all the same.
        let is_coming = !cid.is_direct() && self.is_joining(cid) && !self.is_member(cid);
        if is_coming || self.is_told_first(cid) {
            return;
        }
        if let Some((code, reason)) = self.cannot_send(now_ms, cid) {
            self.refuse_drafts(now_ms, cid, code, &reason);
            self.link.renew.remove(cid);
            if matches!(code, code::NO_SUCH_USER | code::UNTRUSTED) {
                // They may have an account, or new keys, the next time.
                self.views.outdate(cid);
            }
            return;
        }
        if !is_counted {
            return;
        }
        let is_ready = self.ensure_epoch(now_ms, cid);
        // Once for each reason: two devices that cannot open each other's keys would go on for ever.
        if is_ready || self.epochs.is_making(cid) {
            self.link.renew.remove(cid);
        }
        if !is_ready {
            return;
        }
        if self.awaits_older_answers(cid) {
            return;
        }
        if !drafts.is_empty() && !self.tell_newly_left_out(cid) {
            return;
        }
        let flying = self.outbox.flying(cid);
        for key in drafts.into_iter().take(IN_FLIGHT_MAX.saturating_sub(flying)) {
            if !self.seal(now_ms, &key) {
                break;
            }
        }
    }

    /// Makes the epoch that is due because somebody was removed (rule R2).
    fn make_due_epoch(&mut self, now_ms: u64, cid: &ConversationId) {
        if !self.is_epoch_due(cid) || !self.ensure_view(cid) || self.is_told_first(cid) {
            return;
        }
        // Where nothing was ever sealed there is no key that the removed one holds.
        if self.cannot_send(now_ms, cid).is_some() || !self.has_epoch(cid) {
            return;
        }
        // One for exactly the devices that are left: who was removed was in none.
        if self.ensure_epoch(now_ms, cid) {
            self.removals_are_counted(cid, self.place_of(cid));
        }
    }

    /// Ends all drafts of a conversation in which nothing can be said.
    pub(crate) fn refuse_drafts(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        code: &str,
        reason: &str,
    ) {
        for key in self.drafts(cid) {
            self.refuse(now_ms, &key, code, reason);
        }
    }

    /// Whether frames of an epoch before the current one have no answer yet. The first frame of
    /// an epoch names the last one before it (rule R15), which is not known until then.
    fn awaits_older_answers(&self, cid: &ConversationId) -> bool {
        let current = self.epochs.sending(cid).map(|sending| sending.head.e);
        self.outbox.flies_in_other(cid, current)
    }

    /// Why nothing can be sent to this conversation, if so.
    pub(crate) fn cannot_send(
        &self,
        now_ms: u64,
        cid: &ConversationId,
    ) -> Option<(&'static str, String)> {
        if let Some(other) = self.other(cid) {
            let is_nobody = self.people.devices(&other).next().is_none();
            if (is_nobody || self.is_unknown_to_hub(&other)) && !other.is_server() {
                return Some((code::NO_SUCH_USER, nobody(other)));
            }
            if self.is_deleted(&other) {
                return Some((code::NO_SUCH_USER, deleted(other)));
            }
            if let Some(refusal) = self.is_replaced(&other) {
                return Some(refusal);
            }
            if self.is_differing(&other) && !self.is_being_told_of(&other) {
                let what = if self.people.is_disputed(&other) {
                    "still has a device that was revoked, as a member has handed over, and takes no key without it"
                } else {
                    "has other devices than you know, and takes no key for those"
                };
                let reason = format!(
                    "of {other} the server {what}; it does when {other}'s device has published its next key or, \
                     where that does not help, was revoked"
                );
                return Some((code::UNTRUSTED, reason));
            }
            // Nobody would hear it; a device that comes later is told everything.
            if cid.is_own() && self.lines_of(now_ms, &other).len() < 2 {
                return Some((code::NO_SUCH_USER, "there is no other device".to_owned()));
            }
            if self.lines_of(now_ms, &other).is_empty() {
                let reason = format!(
                    "{other} has not signed in for more than three months, and the keys have expired; \
                     say it again when {other} is back"
                );
                return Some((code::UNTRUSTED, reason));
            }
            return None;
        }
        if cid.is_feed() {
            return self.cannot_copy(cid);
        }
        if self.views.of(cid).forked.is_some() {
            let reason = "the server shows another membership of this room than was seen before; take \
                it, or leave the room";
            return Some((code::MEMBERS, reason.to_owned()));
        }
        (!self.is_member(cid)).then(|| (code::NOT_A_MEMBER, self.why_outside(cid)))
    }

    /// Ends a draft that can never be sent.
    pub(crate) fn refuse(&mut self, now_ms: u64, key: &str, code: &str, reason: &str) {
        let Some(outgoing) = self.end_draft(key) else { return };
        let may_start_until_ms = self.note_refused(now_ms, &outgoing);
        if outgoing.quiet {
            return self.quiet_refused(now_ms, &outgoing, (code, reason, false));
        }
        let (id, code, reason) = (outgoing.id, code.to_owned(), reason.to_owned());
        self.out.tell(Event::Refused { id, code, reason, by_hub: false, may_start_until_ms });
    }

    /// Takes a draft out of what is to be sent. A frame of it may have left before it became one again.
    pub(crate) fn end_draft(&mut self, key: &str) -> Option<Outgoing> {
        let outgoing = self.outbox.end_in_vain(key)?;
        self.out.questions.take(&outgoing.id);
        Some(outgoing)
    }

    /// Seals one draft; `false` if it must wait, and all behind it.
    fn seal(&mut self, now_ms: u64, key: &str) -> bool {
        let Some(outgoing) = self.outbox.get(key) else { return true };
        let (id, tag, cid) = (outgoing.id, outgoing.tag, outgoing.cid.clone());
        if let Some(other) = self.other(&cid)
            && let Some((code, reason)) = self.untrusted_draft(&other, key)
        {
            self.refuse(now_ms, key, code, &reason);
            return true;
        }
        let target = match tag {
            Tag::Cmd => match self.target(now_ms, &cid) {
                Target::Agent(rb, tk) => Some((rb, tk)),
                Target::Unknown => return false,
                Target::NoAgent(name) => {
                    let reason = format!("{name} accepts no commands: no agent runs there");
                    self.refuse(now_ms, key, code::NO_AGENT, &reason);
                    return true;
                }
            },
            _ => None,
        };
        let Some(unsigned) = self.seal_with(key, target) else {
            self.refuse(now_ms, key, code::UNREADABLE, "the message could not be sealed");
            return true;
        };
        self.out.sign((id, Question::Message(key.to_owned())), unsigned, Vec::new());
        self.outbox.fly(key, cid);
        true
    }

    fn seal_with(&mut self, key: &str, target: Option<(Nonce16, KeyId)>) -> Option<Unsigned> {
        let nonce = self.out.random();
        let sk = self.device.keys.signing_id();
        let asked = target.and_then(|(rb, _)| self.outbox.ask(key, format!("{sk}/{rb}")));
        let outgoing = self.outbox.get(key)?;
        let (nbf, exp) = command_window(outgoing.tag);
        let (to, last) = (self.other(&outgoing.cid), self.last_before(&outgoing.cid));
        let mut body = outgoing.content()?;
        if let Some(asked) = asked {
            asked.number(&mut body);
        }
        let before = self.epochs.conversation(&outgoing.cid)?.last.as_ref();
        let before = before.map_or(Digest::ZERO, |(_, digest)| *digest);
        let sending = self.epochs.sending_mut(&outgoing.cid)?;
        let first = sending.chain.next() == 0;
        // Said until the hub keeps a message of this epoch: the first ones may all be burnt.
        let notes = ChainNotes { void: std::mem::take(&mut sending.void), last };
        let (n, message_key) = sending.chain.advance();
        let header = MessageHeader {
            v: VERSION,
            t: outgoing.tag,
            stage: outgoing.stage,
            cid: outgoing.cid.clone(),
            from: self.device.user.clone(),
            sk,
            to: to.map_or(Recipient::Everyone, Recipient::User),
            id: outgoing.id,
            e: sending.head.e,
            n,
            p: if first { before } else { sending.p },
            ts: outgoing.ts,
            nbf,
            exp,
            rb: target.map(|(rb, _)| rb),
            tk: target.map(|(_, tk)| tk),
        };
        let plaintext = content::encode(&body, &notes);
        let unsigned = envelope::seal(&header, &message_key, nonce, &plaintext);
        let digest = unsigned.digest();
        sending.p = digest;
        let (e, void, frame) = (header.e, notes.void, B64Vec(Vec::new()));
        let is_quiet = outgoing.quiet;
        self.outbox.seal(key, Sealed { e, n, digest, void, key: message_key, frame });
        // Nobody waits for receipts of what devices say among themselves.
        if !is_quiet {
            self.remember_sent(&header, digest);
        }
        Some(unsigned)
    }

    /// This device's last message before the epoch that it seals in, and whom it was not for (rule R15).
    fn last_before(&self, cid: &ConversationId) -> Option<LastMessage> {
        let conversation = self.epochs.conversation(cid)?;
        let (at, _) = conversation.last.as_ref()?;
        let now = conversation.sending.as_ref()?.head.e;
        (at.e != now).then(|| LastMessage { new: self.new_lines(&at.e, &now), ..at.clone() })
    }

    /// The lines of an epoch that are none of an earlier one, or whose people have gone since and come back.
    /// Of one that is forgotten all are.
    fn new_lines(&self, before: &Digest, now: &Digest) -> LineSet {
        let epochs = &self.epochs;
        let before = epochs.get(before);
        let lines = epochs.get(now).map(|epoch| epoch.list.lines());
        let is_old = |line: &MemberLine| {
            before.is_some_and(|before| {
                before.list.contains(&line.name, &line.sk)
                    && !self.has_gone_since(before, &line.name)
            })
        };
        let lines = lines.unwrap_or_default().iter().enumerate();
        lines.filter(|(_, line)| !is_old(line)).map(|(at, _)| at).collect()
    }

    /// Remembers whose receipts for this message count (rule R8).
    fn remember_sent(&mut self, header: &MessageHeader, digest: Digest) {
        let era = self.positions.era();
        let make = || Sent::new(header.cid.clone(), header.e, era);
        let sent = self.state.sent.entry(&header.id, make);
        sent.digests.push(digest);
        sent.e = header.e;
        if self.state.sent.len() > SENT_REMEMBERED_MAX {
            self.state.sent.keep_newest(SENT_REMEMBERED_MIN);
        }
    }

    /// The agent that a command in this conversation is for. Its bundle is asked for again when it
    /// is not fresh: an agent that lost its journal has another restart nonce.
    fn target(&mut self, now_ms: u64, cid: &ConversationId) -> Target {
        let Some(name) = self.other(cid) else { return Target::Unknown };
        match self.people.target(now_ms, &name) {
            TargetBundles::Fresh => {}
            TargetBundles::Asked => return Target::Unknown,
            TargetBundles::Wanted => {
                self.ask_bundles(std::slice::from_ref(&name), Kids::new(), None);
                return Target::Unknown;
            }
        }
        // Of several the one that has said so last: an agent that has moved to another machine leaves behind what it said
        // on the one before.
        let agents = self.people.wrapped_for(now_ms, &name, |_| true);
        let newest = agents
            .filter(|bundle| bundle.header().rb.is_some())
            .max_by_key(|bundle| bundle.header().ts);
        let agent = newest.and_then(|bundle| Some((bundle.header().rb?, bundle.identity())));
        match agent {
            Some((rb, tk)) => Target::Agent(rb, tk),
            None => Target::NoAgent(name),
        }
    }
}

/// Whether a command can be addressed.
enum Target {
    /// Restart nonce and identity of the agent.
    Agent(Nonce16, KeyId),
    /// No device of that name accepts commands.
    NoAgent(UserName),
    /// Not known yet: the bundles were asked for.
    Unknown,
}
