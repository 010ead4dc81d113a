//! What the account of this connection may do now (rule R41). What is only too fast waits here, before
//! it has cost anybody else anything.

use chat_protocol::{
    code,
    header::{Header, MemberOperation},
    hub::{self, HubStage, HubToClient},
    id::MessageId,
    tag::Tag,
};
use tokio::time::Instant;

use super::Reader;
use crate::{
    budgets::{Budget, uploads::NoRoom},
    request::Refusal,
    sessions::push_text,
};

/// When an epoch that found no room may come again, in milliseconds: the others have ten seconds.
const UPLOAD_RETRY_MS: u64 = 2_000;

/// What is done with a frame.
pub(super) enum Allowance {
    /// It is taken.
    Taken,
    /// It may come again after so many milliseconds.
    Later(u64, &'static str),
    /// It is refused.
    Refused(Refusal),
}

/// Whether a frame takes room for something that is not there to protect people.
fn takes_new_room(header: &Header) -> bool {
    match header {
        Header::Message(_) => true,
        Header::Member(link) => is_new_work(link.op),
        Header::Key(_) | Header::Receipt(_) => false,
    }
}

/// The same of a link: who goes, or is put out, and the key that follows, have to come through to the end of
/// the disk.
pub(super) fn is_new_work(op: MemberOperation) -> bool {
    !matches!(op, MemberOperation::Leave | MemberOperation::Remove)
}

pub(super) fn millis(wait: std::time::Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

impl Reader {
    /// Takes a frame of so many bytes from the budgets of the account; waits where that is all it takes.
    pub(super) async fn allow(&self, header: &Header, bytes: usize) -> Allowance {
        let (budgets, now) = (&self.peer.budgets, Instant::now());
        if takes_new_room(header) && self.hub.budgets.disk.is_full() {
            self.hub.budgets.hit(Budget::Disk);
            return Allowance::Refused(Refusal::storage_full());
        }
        match header {
            Header::Message(_) if self.keeps_too_much() => {
                self.hub.budgets.hit(Budget::KeptBytes);
                let reason = "the server keeps as much of what you have sent as it may";
                Allowance::Refused(Refusal::new(code::TOO_MANY, reason))
            }
            Header::Message(message) => {
                let is_report = message.t == Tag::Out || message.stage.is_some();
                let (number, size) = if is_report {
                    (Budget::Reports, Budget::ReportBytes)
                } else {
                    (Budget::Messages, Budget::MessageBytes)
                };
                budgets.wait_to_take(number).await;
                self.pace(size, bytes).await;
                Allowance::Taken
            }
            Header::Key(key) => match budgets.take_key(&key.cid, now) {
                Ok(()) => Allowance::Taken,
                Err(wait) => Allowance::Later(millis(wait), "too many keys at once"),
            },
            Header::Member(link) => {
                let makes_room = link.op == MemberOperation::Create;
                if makes_room && budgets.has(Budget::RoomsMade, now).is_err() {
                    let reason =
                        "you have made as many rooms as one may in a month; wait, or join one";
                    return Allowance::Refused(Refusal::new(code::TOO_MANY, reason));
                }
                match budgets.take(Budget::Links, now) {
                    Ok(()) => Allowance::Taken,
                    Err(wait) => Allowance::Later(millis(wait), "too many links at once"),
                }
            }
            Header::Receipt(_) => Allowance::Taken,
        }
    }

    /// Waits until what came before is paid for, then takes these bytes from a budget.
    pub(super) async fn pace(&self, size: Budget, bytes: usize) {
        self.peer.budgets.pace(size, u64::try_from(bytes).unwrap_or(u64::MAX)).await;
    }

    fn keeps_too_much(&self) -> bool {
        let budgets = &self.hub.budgets;
        budgets.kept.of(self.peer.account) >= budgets.limits().number(Budget::KeptBytes)
    }

    /// Tells what becomes of a frame that is not taken now.
    pub(super) fn not_taken(&self, id: MessageId, header: &Header, allowance: Allowance) {
        match allowance {
            Allowance::Taken => {}
            Allowance::Later(after_ms, why) => self.put_off(id, after_ms, why),
            Allowance::Refused(refusal) => {
                self.refuse(HubStage::Stored, Some(id), &refusal, Some(header));
            }
        }
    }

    /// Waits until the large page before was answered, and the client has taken most of what was sent.
    pub(super) async fn await_page(&self) {
        if let Ok(permit) = self.peer.page.acquire().await {
            permit.forget();
        }
        // A connection that is ending asks for nothing more.
        self.peer.outbox.wait_for_room().await.ok();
    }

    /// Tells that an epoch found no room.
    pub(super) fn upload_has_no_room(&self, id: MessageId, no_room: NoRoom) {
        let (budget, why) = match no_room {
            NoRoom::Account => (Budget::UploadBytes, "too many keys of yours are on their way"),
            NoRoom::Cut => (Budget::AllUploadBytes, "too many keys of others are on their way"),
        };
        self.hub.budgets.hit(budget);
        self.put_off(id, UPLOAD_RETRY_MS, why);
    }

    /// Tells that the parts of an epoch did not come in time. A slow line is no fault of what it carries.
    pub(super) fn upload_is_late(&self, id: MessageId) {
        self.put_off(id, UPLOAD_RETRY_MS, "the parts of this key did not arrive in time");
    }

    /// Tells who asks too much to ask again later.
    pub(super) fn put_off(&self, id: MessageId, after_ms: u64, why: &str) {
        let metrics = &self.hub.metrics;
        metrics.acks("request", "retry").inc();
        let answer = HubToClient::Retry { id, after_ms, why: why.to_owned() };
        push_text(metrics, &self.peer, hub::write(&answer).into());
    }
}
