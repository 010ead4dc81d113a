//! Questions that keep nothing, and cursors.

use std::sync::Arc;

use chat_protocol::{
    b64::B64Vec,
    code,
    hub::{ClientToHub, HubStage, HubToClient},
    id::MessageId,
    limits::PAGE_ITEMS_MAX,
    name::ConversationId,
};

use super::{Next, Open, Worker, bundles};
use crate::{
    metrics::Metrics,
    order::Turns,
    request::{Peer, Refusal, Request},
    router::Chain,
    sessions::push_answer,
    store::{Committed, Proposal, ReadError, Reads},
};

/// Questions that may wait for the readers of the store; who asks beyond that is told to retry.
pub(super) const QUESTIONS_MAX: usize = 256;

/// When to ask again, in milliseconds.
const RETRY_MS: u64 = 200;

impl<T: Turns> Worker<T> {
    /// Answers from the state, or hands over to a reader of the store. Cursors are to be committed.
    pub(super) fn ask(&mut self, peer: &Arc<Peer>, question: &ClientToHub) -> Option<Proposal> {
        match question {
            ClientToHub::Seen { positions } => return self.router.decide_seen(peer, positions),
            ClientToHub::Who { id, after } => {
                let page = self.router.who(after.as_ref());
                let answer = HubToClient::Who { id: *id, people: page.people, more: page.more };
                self.reply(peer, &answer);
            }
            ClientToHub::Bundles { id, known, kids } => {
                let wanted = self.router.wanted((self.clock)(), known, kids);
                let (reads, id) = (self.reads.clone(), *id);
                self.read_for(peer, id, async move { bundles::answer(&reads, id, wanted).await });
            }
            ClientToHub::Heads { id, after } => {
                let account = self.router.account(peer.account)?;
                let (heads, more) = self.router.heads_page(account, Some(after));
                self.reply(peer, &HubToClient::Heads { id: Some(*id), heads, more });
            }
            ClientToHub::Counters { id, cids } => {
                let account = self.router.account(peer.account)?;
                let counters = self.router.counters(account, &peer.sk, cids);
                self.reply(peer, &HubToClient::Counters { id: *id, counters });
            }
            ClientToHub::Members { id, cid, from } => {
                let (reads, id, from) = (self.reads.clone(), *id, *from);
                match self.router.chain(&peer.name, cid) {
                    Ok(chain) => {
                        let cid = cid.clone();
                        let answer = async move { links(&reads, id, cid, chain, from).await };
                        self.read_for(peer, id, answer);
                    }
                    Err(refusal) => {
                        self.tell(peer, &asked(&refusal, id));
                        peer.page.add_permits(1);
                    }
                }
            }
            ClientToHub::Rooms { id, after } => {
                let page = self.router.rooms_page(&peer.name, after.as_ref());
                let answer = HubToClient::Rooms { id: *id, rooms: page.rooms, more: page.more };
                self.reply(peer, &answer);
            }
            ClientToHub::Topic { id, cid, text } => {
                match self.router.decide_topic(peer, cid, text) {
                    Ok(proposal) => return Some(proposal),
                    Err(refusal) => self.tell(peer, &asked(&refusal, *id)),
                }
            }
            ClientToHub::Retention { id, cid, keep_ms } => {
                match self.router.decide_retention(peer, cid, *keep_ms) {
                    Ok(proposal) => return Some(proposal),
                    Err(refusal) => self.tell(peer, &asked(&refusal, *id)),
                }
            }
            // These have a way of their own.
            ClientToHub::Share { .. }
            | ClientToHub::Find { .. }
            | ClientToHub::Moderate { .. }
            | ClientToHub::Remind { .. } => {}
            ClientToHub::Auth { .. } => {
                let refusal = Refusal::new(code::MALFORMED, "you are signed in already");
                self.tell(peer, &refusal.to_message(HubStage::Request, None));
            }
        }
        None
    }

    /// What moderators do about people in the lobby.
    pub(super) fn decide_moderation(&self, now_ms: u64, queued: Open) -> Next {
        let Request::Ask(peer, ClientToHub::Moderate { id, cid, who, act }) = &queued.item else {
            return Next::Done;
        };
        match self.router.decide_moderation(now_ms, peer, (cid, who, *act)) {
            Ok(proposal) => Next::Commit(queued, proposal),
            Err(refusal) => {
                self.tell(peer, &asked(&refusal, *id));
                Next::Done
            }
        }
    }

    /// What a question wanted kept is durable. Who has asked is answered what others are told; cursors
    /// have no answer.
    pub(super) fn finish_question(
        &mut self,
        now_ms: u64,
        committed: Committed,
        peer: &Peer,
        question: &ClientToHub,
    ) {
        let (effects, _) = self.follow(now_ms, committed, Some(peer.connection));
        let (ClientToHub::Topic { id, .. }
        | ClientToHub::Retention { id, .. }
        | ClientToHub::Moderate { id, .. }) = question
        else {
            return;
        };
        let Some(notice) = effects.notice else { return };
        let mut answer = notice.text;
        if let HubToClient::Topic { id: asked, .. }
        | HubToClient::Retention { id: asked, .. }
        | HubToClient::Moderated { id: asked, .. } = &mut answer
        {
            *asked = Some(*id);
        }
        self.tell(peer, &answer);
    }

    /// There was no room for what a question wanted kept. A cursor that was not kept only means
    /// that something comes twice.
    pub(super) fn question_was_not_kept(&self, peer: &Peer, question: &ClientToHub) {
        if let ClientToHub::Topic { id, .. }
        | ClientToHub::Retention { id, .. }
        | ClientToHub::Moderate { id, .. }
        | ClientToHub::Share { id, .. } = question
        {
            self.tell(peer, &asked(&Refusal::storage_full(), *id));
        }
    }

    /// Answers a question: its bytes count in the budget of who asks.
    pub(super) fn reply(&self, peer: &Peer, answer: &HubToClient) {
        push_answer(&self.metrics, peer, answer);
    }

    /// Runs a question beside the worker and pushes its answer. The right to ask for the next one comes
    /// back with it.
    fn read_for(
        &self,
        peer: &Arc<Peer>,
        id: MessageId,
        question: impl Future<Output = Result<HubToClient, ReadError>> + Send + 'static,
    ) {
        let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else {
            let why = "the hub is busy".to_owned();
            self.tell(peer, &HubToClient::Retry { id, after_ms: RETRY_MS, why });
            peer.page.add_permits(1);
            return;
        };
        let (peer, metrics) = (Arc::clone(peer), Arc::clone(&self.metrics));
        let span = tracing::debug_span!("question", connection = %peer.connection);
        // The worker waits for it before it ends the sessions.
        self.reading.spawn(span, async move {
            let answer = question.await.unwrap_or_else(|error| failed(&metrics, id, &error));
            push_answer(&metrics, &peer, &answer);
            peer.page.add_permits(1);
            drop(permit);
        });
    }
}

/// The id of a question; cursors have none, and neither has what is no question.
pub(super) fn asked_by(question: &ClientToHub) -> Option<MessageId> {
    match question {
        ClientToHub::Who { id, .. }
        | ClientToHub::Bundles { id, .. }
        | ClientToHub::Heads { id, .. }
        | ClientToHub::Counters { id, .. }
        | ClientToHub::Members { id, .. }
        | ClientToHub::Rooms { id, .. }
        | ClientToHub::Topic { id, .. }
        | ClientToHub::Retention { id, .. }
        | ClientToHub::Share { id, .. }
        | ClientToHub::Find { id, .. }
        | ClientToHub::Moderate { id, .. } => Some(*id),
        ClientToHub::Seen { .. } | ClientToHub::Remind { .. } | ClientToHub::Auth { .. } => None,
    }
}

pub(super) fn asked(refusal: &Refusal, id: MessageId) -> HubToClient {
    refusal.to_message(HubStage::Request, Some(id))
}

fn failed(metrics: &Metrics, id: MessageId, error: &ReadError) -> HubToClient {
    tracing::error!(%error, "a question was not answered");
    metrics.reject_frame("read_failed");
    let why = "the hub cannot read its store now".to_owned();
    HubToClient::Retry { id, after_ms: RETRY_MS, why }
}

async fn links(
    reads: &Reads,
    id: MessageId,
    cid: ConversationId,
    chain: Option<Chain>,
    from: u32,
) -> Result<HubToClient, ReadError> {
    let closed = chain.as_ref().is_some_and(|chain| chain.closed);
    let (links, more) = match chain {
        Some(Chain { log, end, .. }) => {
            let theirs = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
            let (links, more) = reads.links(log, from, PAGE_ITEMS_MAX.min(theirs)).await?;
            (links, more && theirs > PAGE_ITEMS_MAX)
        }
        None => (Vec::new(), false),
    };
    let links = links.into_iter().map(B64Vec).collect();
    Ok(HubToClient::Members { id, cid, links, more, closed })
}
