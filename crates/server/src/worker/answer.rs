//! The one answer that each frame gets, and what is said when nothing could be kept.

use chat_protocol::{
    hub::{self, HubStage, HubToClient},
    tag::Shape,
};
use prometheus_client::metrics::counter::Counter;

use super::{
    Open, Worker, account,
    admin::reply,
    story::{self, Batch},
};
use crate::{
    admin::request::AdminAnswer,
    limits::STORAGE_RETRY_MS,
    metrics::Metrics,
    order::Turns,
    queue::Queued,
    request::{FrameRequest, Peer, Refusal, Request},
    router::Decision,
    sessions::push_text,
};

/// Answers about frames, by how they ended.
pub(super) struct Answers {
    ack: Counter,
    noack: Counter,
    retry: Counter,
}

impl Answers {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let of = |outcome| metrics.acks("stored", outcome);
        Self { ack: of("ack"), noack: of("noack"), retry: of("retry") }
    }
}

impl<T: Turns> Worker<T> {
    /// Gives the one answer of a frame, and writes it down.
    pub(super) fn answer(
        &self,
        request: &FrameRequest,
        decision: &Decision,
        kept: Option<bool>,
        recipients: u64,
        story: (&Queued<Request>, Option<&Batch>),
    ) {
        let id = request.header.id();
        let message = match decision {
            Decision::Again(position) => {
                self.answers.ack.inc();
                let kept = kept.unwrap_or(false);
                HubToClient::Ack { stage: HubStage::Stored, id, position: *position, kept }
            }
            Decision::Refuse(refusal) => {
                self.answers.noack.inc();
                self.metrics.reject_frame(refusal.code);
                refusal.to_message(HubStage::Stored, Some(id))
            }
            Decision::Rekey(head) => {
                self.answers.retry.inc();
                HubToClient::Rekey { id, head: head.clone() }
            }
            // A resolution never proposes or defers; the sender would send again.
            Decision::Propose(_) | Decision::Defer => return,
        };
        self.tell(&request.peer, &message);
        story::frame(&self.log, request, decision, recipients, story);
    }

    /// Nothing of the batch was kept. People are told that for good, by the refusal of a key too: what it was made for
    /// waits on it. But a resend may have been kept before, and what devices say by themselves nobody would say again:
    /// both may come later.
    pub(super) fn refuse_full(&mut self, queued: Open, is_probe: bool) {
        let refusal = Refusal::storage_full();
        match queued.item {
            Request::Frame(ref request)
                if is_probe || !matches!(request.header.shape(), Shape::Message | Shape::Key) =>
            {
                self.answers.retry.inc();
                let (id, why) = (request.header.id(), refusal.reason);
                let retry = HubToClient::Retry { id, after_ms: STORAGE_RETRY_MS, why };
                self.tell(&request.peer, &retry);
            }
            Request::Frame(ref request) => {
                let decision = Decision::Refuse(refusal);
                self.answer(request, &decision, None, 0, (&queued, None));
            }
            Request::SignIn(request) => {
                // Whoever waited for it may be gone.
                request.reply.send(Err(refusal)).ok();
            }
            Request::Password(request) => {
                // Whoever waited for it may be gone.
                request.reply.send(Err(refusal)).ok();
            }
            Request::Copy(request) => {
                // Whoever waited for it may be gone.
                request.reply.send(Err(refusal)).ok();
            }
            Request::Delete(_) => account::answer_deletion(queued, Err(refusal)),
            Request::Admin(_) => reply(queued, AdminAnswer::refused(refusal.reason)),
            Request::Ask(peer, question) => self.question_was_not_kept(&peer, &question),
            // Nobody says it again, and until it is kept the device is here for all hubs.
            Request::Leave(_) => self.later.add(queued),
            // Whoever knows it says it again. The last three need no room.
            Request::Remind(_)
            | Request::Lost(_)
            | Request::Settings(_)
            | Request::GoLive(_)
            | Request::Look(_) => {}
        }
    }

    pub(super) fn tell(&self, peer: &Peer, message: &HubToClient) {
        push_text(&self.metrics, peer, hub::write(message).into());
    }
}
