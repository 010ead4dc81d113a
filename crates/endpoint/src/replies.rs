//! What comes back of a command (rule R34): the pieces in the order of their numbers, and the result
//! behind the last of them.
//!
//! A piece that comes too early is kept until those before it have come, or until nothing of that sender
//! is asked for any more; then what is missing is told, and the rest follows.

use std::collections::BTreeSet;

use chat_protocol::code;
use chat_protocol::content::{Content, Outcome};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;

use crate::endpoint::Endpoint;
use crate::event::{Alarm, Event};
use crate::limits::{PIECES_HELD_MAX, PIECES_WAIT_MS};
use crate::receive::Opened;
use crate::table::order_key;

/// What a row of a piece that came too early is called.
fn piece_key(re: &MessageId, no: u64) -> String {
    format!("{re}/{}", order_key(no))
}

/// The row of a result that came too early; behind those of the pieces.
fn end_key(re: &MessageId) -> String {
    format!("{re}/end")
}

impl Endpoint {
    /// OUT, or ACK or NOACK executed.
    pub(crate) fn on_reply(&mut self, opened: &Opened<'_>, content: Content) {
        let (header, by) = (opened.header, opened.header.from.clone());
        let re = match &content {
            Content::Started { re, .. } | Content::Output { re, .. } => *re,
            Content::Outcome(outcome) => outcome.re,
            _ => return,
        };
        if !self.recipients(&re).contains(&by) {
            // Another device of this person may have asked, also one that was revoked since. One that this device has
            // never heard of, although the answer was sealed for it, was asked for before (`needs_siblings`): a hub
            // that does not show it hides who asks in this person's name.
            if !self.has_had_sibling() {
                let detail = "an answer to a command that was not asked of them";
                self.out.alarm(Alarm::Replay, &by, detail);
            }
            return;
        }
        if let Content::Outcome(Outcome { of, .. }) = &content
            && self.state.sent.get(&re).is_none_or(|sent| !sent.digests.contains(of))
        {
            let detail =
                format!("a result that names another command than the one asked for [{re}]");
            self.out.alarm(Alarm::BadResult, &by, &detail);
            self.decline_result(&re, by);
            return;
        }
        self.note_late(&re, &by, &content);
        if self.false_refusal(&re, &by) {
            let (cid, by, receipt) = (header.cid.clone(), by.clone(), None);
            let (readable, refused) = (true, true);
            self.out.tell(Event::Delivered { id: re, cid, by, readable, refused, receipt });
        }
        match content {
            Content::Started { no, .. } => self.on_piece(&re, no, Event::Started { re, by }),
            Content::Output { no, stream, data, .. } => {
                self.on_piece(&re, no, Event::output(re, stream, data));
            }
            Content::Outcome(outcome) => {
                if outcome.code == code::STALE {
                    self.people.forget_target(&by);
                }
                let outs = outcome.outs;
                self.on_result(&re, outs, Event::ended(outcome, by, header.t == Tag::Ack));
            }
            _ => {}
        }
    }

    /// A result that is none: the command has ended without one, and nothing more of it counts.
    fn decline_result(&mut self, re: &MessageId, by: UserName) {
        let Some(sent) = self.state.sent.get_mut(re).filter(|sent| !sent.ended) else {
            return;
        };
        sent.ended = true;
        self.drop_pieces(re);
        let reason = "the result names another command than the one asked for, and is not used";
        let (code, reason) = (code::INTEGRITY.to_owned(), reason.to_owned());
        self.out.tell(Event::Ended { re: *re, by, ok: false, status: None, code, reason });
    }

    /// Nobody waits for a command of this device any more: what it says from now on is dropped, and so
    /// is what it has said and nobody was shown.
    pub fn forget_command(&mut self, re: &MessageId) {
        if let Some(sent) = self.state.sent.get_mut(re) {
            sent.ended = true;
        }
        self.drop_pieces(re);
        self.out.forget(|event| event.is_said_by_command(re));
    }

    fn on_piece(&mut self, re: &MessageId, no: u64, piece: Event) {
        let Some(sent) = self.state.sent.get_mut(re) else { return };
        if sent.ended || no < sent.heard {
            // Said again by an agent that was interrupted.
            return;
        }
        if no > sent.heard {
            self.state.pieces.put(&piece_key(re, no), piece);
            if self.state.pieces.len() > PIECES_HELD_MAX {
                self.skip_missing(re);
            }
            return;
        }
        sent.heard = no.saturating_add(1);
        self.out.tell(piece);
        self.go_on(re);
    }

    fn on_result(&mut self, re: &MessageId, outs: u64, result: Event) {
        let Some(sent) = self.state.sent.get_mut(re) else { return };
        if sent.ended {
            return;
        }
        sent.outs = Some(outs);
        self.state.pieces.put(&end_key(re), result);
        self.go_on(re);
    }

    /// Tells what follows without a gap.
    fn go_on(&mut self, re: &MessageId) {
        loop {
            let Some(sent) = self.state.sent.get_mut(re) else { return };
            if let Some(piece) = self.state.pieces.remove(&piece_key(re, sent.heard)) {
                sent.heard = sent.heard.saturating_add(1);
                self.out.tell(piece);
                continue;
            }
            if sent.outs.is_none_or(|outs| outs > sent.heard) {
                return;
            }
            let Some(result) = self.state.pieces.remove(&end_key(re)) else { return };
            sent.ended = true;
            return self.out.tell(result);
        }
    }

    /// Tells how many pieces are missing, and goes on behind them; `false` if nothing waits for them.
    fn skip_missing(&mut self, re: &MessageId) -> bool {
        let prefix = format!("{re}/");
        let first = self.state.pieces.iter().find_map(|(key, _)| key.strip_prefix(&prefix));
        let Some(sent) = self.state.sent.get_mut(re) else { return false };
        // The result is behind all pieces, and has no number.
        let next = first.and_then(|key| key.parse::<u64>().ok()).or(sent.outs);
        let Some(next) = next.filter(|next| *next > sent.heard) else { return false };
        let pieces = next - sent.heard;
        sent.heard = next;
        self.out.tell(Event::OutputLost { re: *re, pieces });
        self.go_on(re);
        true
    }

    /// When the next piece that nobody was asked for is given up.
    pub(crate) fn pieces_deadline(&self) -> Option<u64> {
        let since = self.link.unasked_since.values().min();
        since.map(|since| since.saturating_add(PIECES_WAIT_MS))
    }

    /// Goes on where what is missing will not come any more. What a full disk has refused is not asked for,
    /// and its writer says it again, perhaps behind the result.
    pub(crate) fn settle_replies(&mut self, now_ms: u64) {
        let waiting = self.state.pieces.iter().filter_map(|(key, _)| key.split('/').next());
        let waiting: BTreeSet<MessageId> =
            waiting.filter_map(|id| MessageId::parse(id).ok()).collect();
        self.link.unasked_since.retain(|re, _| waiting.contains(re));
        for re in waiting {
            let people = self.recipients(&re);
            let is_asked_for = people.iter().any(|by| {
                let cid = ConversationId::direct(&self.device.user, by);
                cid.is_ok_and(|cid| self.gaps.is_asked_for(&cid, by))
            });
            if is_asked_for {
                self.link.unasked_since.remove(&re);
                continue;
            }
            let since = *self.link.unasked_since.entry(re).or_insert(now_ms);
            if now_ms >= since.saturating_add(PIECES_WAIT_MS) {
                while self.skip_missing(&re) {}
                // What is left is of a command that is forgotten.
                self.drop_pieces(&re);
            }
        }
    }

    fn drop_pieces(&mut self, re: &MessageId) {
        let prefix = format!("{re}/");
        self.state.pieces.extract(|key, _| key.starts_with(&prefix));
    }

    /// The number of the next piece that is said about a command, by who runs it.
    pub(crate) fn next_piece(&mut self, to: &UserName, re: &MessageId) -> u64 {
        let said = self.state.reported.entry(&format!("{re}/{to}"), || 0);
        let no = *said;
        *said = no.saturating_add(1);
        no
    }

    /// How many pieces were said about a command that has ended.
    pub(crate) fn pieces_said(&mut self, to: &UserName, re: &MessageId) -> u64 {
        self.state.reported.remove(&format!("{re}/{to}")).unwrap_or(0)
    }
}
