//! Epochs of this device that the hub has not answered yet. Each is a row, with its KEY and the parts of it, and is
//! said again on each connection until it is answered: an epoch is used only where its place in the log is
//! known. A hub that ends the connection at each KEY makes a device keep one of them for each conversation.

use chat_protocol::b64::B64Vec;
use chat_protocol::hub::EpochHead;
use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::pace::GivenUp;
use crate::questions::Question;

/// An epoch of ours that the hub has not answered yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Making {
    pub(crate) cid: ConversationId,
    pub(crate) head: EpochHead,
    /// The KEY frame and its upload, for a resend.
    pub(crate) messages: Vec<B64Vec>,
}

impl Endpoint {
    /// The hub keeps our epoch: it is the current one.
    pub(crate) fn epoch_accepted(&mut self, id: &MessageId, position: u64) {
        let Some((cid, head)) = self.end_making(id) else { return };
        self.own_epoch_stands(&cid, head, position);
        self.note_answered(&cid, position);
    }

    /// A KEY of ours has its answer. Another process of the home may have had it first.
    pub(super) fn end_making(&mut self, id: &MessageId) -> Option<(ConversationId, EpochHead)> {
        let making = self.epochs.making().remove(id);
        match self.out.questions.take(id) {
            Some(Question::Key { cid, head }) => Some((cid, head)),
            _ => making.map(|making| (making.cid, making.head)),
        }
    }

    pub(super) fn own_epoch_stands(
        &mut self,
        cid: &ConversationId,
        head: EpochHead,
        position: u64,
    ) {
        self.epoch_stands(&head.e, position);
        self.note_own_epoch(cid, head);
        self.forget_silent_epochs(cid);
        self.link.futile_epochs.remove(cid);
        self.race_ended_well(cid);
        self.link.dirty.insert(cid.clone());
    }

    /// The hub refuses an epoch of ours and shows it as the current one. Where it stands, only its answer to the
    /// same KEY tells: that is said again, as slowly as after races that are lost.
    pub(crate) fn is_refused_and_kept(
        &mut self,
        now_ms: u64,
        id: &MessageId,
        winner: Option<EpochHead>,
    ) -> bool {
        let making = self.epochs.making().get(id);
        let making = making.filter(|making| winner.is_some_and(|w| w.e == making.head.e));
        let Some(cid) = making.map(|making| making.cid.clone()) else { return false };
        let at = self.pace_epoch(now_ms, &cid, GivenUp::Refused);
        self.link.retries.insert(*id, at);
        true
    }

    /// Whether an epoch of ours for this conversation has no answer yet. One that another process of the home has
    /// made is asked about here, too.
    pub(super) fn awaits_answer(&mut self, cid: &ConversationId) -> bool {
        let making = self.epochs.making().by_id().find(|(_, making)| making.cid == *cid);
        let Some((id, _)) = making else { return false };
        if self.out.questions.get(&id).is_none() {
            self.say_key(&id);
        }
        true
    }

    /// Says a KEY without an answer, and its parts, once more.
    pub(crate) fn say_key(&mut self, id: &MessageId) {
        let Some(making) = self.epochs.making().get(id) else {
            // Another process of the home has heard of it.
            if let Some(Question::Key { cid, .. }) = self.out.questions.take(id) {
                self.link.dirty.insert(cid);
            }
            return;
        };
        let said = Question::Key { cid: making.cid.clone(), head: making.head };
        self.out.questions.ask(*id, said);
        let messages = making.messages.clone();
        for B64Vec(bytes) in messages {
            self.out.send_frame(bytes.into());
        }
    }

    /// On a new connection all of them.
    pub(crate) fn say_keys(&mut self) {
        self.forget_keys_of_others();
        let ids: Vec<MessageId> = self.epochs.making().by_id().map(|(id, _)| id).collect();
        for id in ids {
            self.say_key(&id);
        }
    }

    /// Epochs of ours that no hub takes any more, because this device has another signing key since, are forgotten.
    fn forget_keys_of_others(&mut self) {
        let sk = self.device.keys.signing_id();
        let me = &self.device.user;
        for Making { head, .. } in
            self.epochs.take_making_unless(|list| list.position(me, &sk).is_some())
        {
            self.epochs.forget(&head.e);
        }
    }
}
