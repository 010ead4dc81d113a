//! One per connection: bytes to a verified request.
//!
//! Everything that costs CPU happens here and never in the worker. What is refused here is answered
//! here; what is asked of the worker is answered there. Each request gets one answer.

mod budget;
mod remind;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use chat_oplog::{Level, Operation, Outcome};
use chat_protocol::{
    b64::B64Vec,
    code,
    crypto::{VerifyingKey, sha256},
    envelope,
    frame::{Binary, RawFrame, VerifiedBatches},
    header::{Header, HeaderError, MessageHeader, Recipient},
    hub::{self, ClientToHub, HubStage, HubToClient},
    id::{Digest, MessageId},
    limits::{COUNTERS_PAGE_MAX, PAGE_ITEMS_MAX},
    name::{ConversationId, UserName},
    tag::{Address, Shape, Tag},
};
use tokio::time::Instant;

use crate::{
    budgets::Budget,
    close::CloseReason,
    config::Verify,
    limits::{
        BAD_SIGNATURES_MAX, COMMAND_CLOCK_MAX, LIST_RETRY_MS, RECEIPT_BODY_BYTES_MAX,
        VERIFIED_FRAMES_MAX,
    },
    queue::Lane,
    request::{FrameRequest, Peer, Refusal, Request, Sender},
    router::check_form,
    sessions::push_text,
    shared::Shared,
};

use budget::Allowance;
use upload::{Assembly, Step};

/// A message as it came.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// JSON for the hub.
    Text(String),
    /// A frame, or a part of an epoch.
    Binary(Bytes),
}

/// Checks what one connection sends and puts it into the queue.
pub struct Reader {
    hub: Arc<Shared>,
    peer: Arc<Peer>,
    queue: Sender,
    /// Parsed when the first frame comes: an idle connection does without it.
    key: Option<VerifyingKey>,
    verified: VerifiedBatches,
    verified_frames: u32,
    bad_signatures: u32,
    upload: Assembly,
}

impl Reader {
    /// A reader for a session.
    pub fn new(hub: Arc<Shared>, peer: Arc<Peer>, queue: Sender) -> Self {
        let uploads = Arc::clone(&hub.budgets.uploads);
        Self {
            hub,
            peer,
            queue,
            key: None,
            verified: VerifiedBatches::default(),
            verified_frames: 0,
            bad_signatures: 0,
            upload: Assembly::new(uploads),
        }
    }

    /// Until when the rest of an epoch must have come, if one is under way.
    pub fn deadline(&self) -> Option<Instant> {
        self.upload.deadline()
    }

    /// Gives up an epoch that did not arrive in time.
    pub fn expire_upload(&mut self, now: Instant) {
        if let Some(id) = self.upload.expire(now) {
            self.upload_is_late(id);
        }
    }

    /// Takes one message. An error ends the connection.
    pub async fn handle(&mut self, message: Incoming) -> Result<(), CloseReason> {
        self.peer.heard.now();
        match message {
            Incoming::Text(text) => self.text(&text).await,
            Incoming::Binary(bytes) => self.binary(bytes).await,
        }
    }

    /// Tells the worker that the connection has ended.
    pub async fn leave(self) {
        // A closed queue means that everybody leaves.
        self.queue.send(Lane::Control, None, 0, Request::Leave(self.peer)).await.ok();
    }

    async fn text(&mut self, text: &str) -> Result<(), CloseReason> {
        let metrics = &self.hub.metrics;
        metrics.frames_in.of(None).inc();
        metrics.bytes_in.inc_by(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let question = match hub::read::<ClientToHub>(text) {
            Ok(question) => question,
            Err(error) => {
                let (code, id) = bad_text(text);
                let refusal = Refusal::new(code, error.to_string());
                self.refuse(HubStage::Request, id, &refusal, None);
                return Ok(());
            }
        };
        if let ClientToHub::Share { id, .. }
        | ClientToHub::Find { id, .. }
        | ClientToHub::Remind { id, .. } = &question
            && self.peer.budgets.take(Budget::ListQuestions, Instant::now()).is_err()
        {
            let why = "you ask for more of the list than others can be kept waiting for";
            self.put_off(*id, LIST_RETRY_MS, why);
            return Ok(());
        }
        if !matches!(question, ClientToHub::Seen { .. }) {
            self.peer.budgets.wait_for(Budget::AnswerBytes).await;
        }
        let problem = match &question {
            ClientToHub::Auth { .. } => {
                Some((None, Refusal::new(code::MALFORMED, "you are signed in already")))
            }
            ClientToHub::Bundles { id, known, kids }
                if known.len() > PAGE_ITEMS_MAX
                    || kids.values().map(Vec::len).sum::<usize>() > PAGE_ITEMS_MAX =>
            {
                let reason = format!("ask for at most {PAGE_ITEMS_MAX} names and keys at once");
                Some((Some(*id), Refusal::new(code::TOO_MANY, reason)))
            }
            ClientToHub::Counters { id, cids } if cids.len() > COUNTERS_PAGE_MAX => {
                let reason = format!("ask for at most {COUNTERS_PAGE_MAX} conversations at once");
                Some((Some(*id), Refusal::new(code::TOO_MANY, reason)))
            }
            ClientToHub::Share { id, .. } | ClientToHub::Find { id, .. } => {
                check_form(&self.peer, &question).err().map(|refusal| (Some(*id), refusal))
            }
            _ => None,
        };
        if let Some((id, refusal)) = problem {
            self.refuse(HubStage::Request, id, &refusal, None);
            return Ok(());
        }
        if let ClientToHub::Remind { id, bundles, links } = question {
            return self.remind(id, bundles, links).await;
        }
        if let ClientToHub::Bundles { .. } | ClientToHub::Members { .. } = question {
            self.await_page().await;
        }
        // A search takes longer than other questions, so it waits its turn behind them.
        let lane = match &question {
            ClientToHub::Share { .. } | ClientToHub::Find { .. } => Lane::Interactive,
            _ => Lane::Control,
        };
        let request = Request::Ask(Arc::clone(&self.peer), question);
        self.send(lane, None, text.len(), request).await
    }

    /// Proves what the client says that the hub has lost, and hands it to the worker.
    async fn remind(
        &mut self,
        id: MessageId,
        bundles: Vec<B64Vec>,
        links: Vec<B64Vec>,
    ) -> Result<(), CloseReason> {
        let Ok(proved) = remind::prove(&self.hub, &self.peer, bundles, links).await else {
            self.put_off(id, LIST_RETRY_MS, "the hub cannot read its store now");
            return Ok(());
        };
        let put_off = proved.put_off();
        for reminder in proved.reminders {
            self.send(Lane::Control, None, 0, Request::Remind(reminder)).await?;
        }
        if let Some((wait, why)) = put_off {
            // It comes again as a whole; what was taken is no news then.
            self.put_off(id, budget::millis(wait), why);
            return Ok(());
        }
        let answer = HubToClient::Reminded { id, bundles: proved.bundles, links: proved.links };
        push_text(&self.hub.metrics, &self.peer, hub::write(&answer).into());
        Ok(())
    }

    async fn binary(&mut self, bytes: Bytes) -> Result<(), CloseReason> {
        let arrived = Instant::now();
        let length = bytes.len();
        self.hub.metrics.bytes_in.inc_by(u64::try_from(length).unwrap_or(u64::MAX));
        let decoded = Binary::decode(bytes);
        if let Ok(Binary::Upload(_)) = decoded {
            self.pace(Budget::MessageBytes, length).await;
        }
        match decoded {
            Ok(Binary::Frame(frame)) => self.frame(frame, arrived).await,
            Ok(Binary::Upload(part)) => match self.upload.add(part, arrived) {
                Step::More => Ok(()),
                Step::Complete(request, epoch) => {
                    self.hub.trace_wraps(&epoch);
                    let request = FrameRequest { epoch: Some(epoch), ..*request };
                    self.send_frame(request).await
                }
                Step::NoRoom(id, no_room) => {
                    self.upload_has_no_room(id, no_room);
                    Ok(())
                }
                Step::Late(id) => {
                    self.upload_is_late(id);
                    Ok(())
                }
                Step::Bad(id, reason) => {
                    let refusal = Refusal::new(code::MALFORMED, reason);
                    self.refuse(HubStage::Stored, id, &refusal, None);
                    Ok(())
                }
            },
            Ok(Binary::Delivery(_)) => {
                let refusal = Refusal::new(code::MALFORMED, "deliveries come from the hub only");
                self.refuse(HubStage::Stored, None, &refusal, None);
                Ok(())
            }
            Err(error) => {
                let refusal = Refusal::new(code::MALFORMED, error.to_string());
                self.refuse(HubStage::Stored, None, &refusal, None);
                Ok(())
            }
        }
    }

    async fn frame(&mut self, frame: RawFrame, arrived: Instant) -> Result<(), CloseReason> {
        if !frame.is_signed() {
            let reason = "frames are signed; chunks of files travel on a data connection";
            let (id, refusal) =
                (lenient_id(frame.header()), Refusal::new(code::NOT_ALLOWED, reason));
            self.refuse(HubStage::Stored, id, &refusal, None);
            return Ok(());
        }
        let header = match Header::parse(frame.header()) {
            Ok(header) => header,
            Err(error) => {
                let id = lenient_id(frame.header());
                self.refuse(HubStage::Stored, id, &bad_header(&error), None);
                return Ok(());
            }
        };
        self.hub.metrics.frames_in.of(Some(header.tag())).inc();
        let id = header.id();
        let admitted = self.admit(&header, &frame);
        self.hub.trace_frame(&frame, &header, admitted.as_ref().err());
        if let Err(refusal) = admitted {
            self.refuse(HubStage::Stored, Some(id), &refusal, Some(&header));
            if let Header::Key(_) = header {
                self.upload.ignore(Digest(sha256(frame.header())));
            }
            if refusal.code != code::BAD_SIGNATURE {
                return Ok(());
            }
            self.bad_signatures += 1;
            if self.bad_signatures < BAD_SIGNATURES_MAX {
                return Ok(());
            }
            let reason = format!("{BAD_SIGNATURES_MAX} frames with bad signatures");
            return Err(CloseReason::Policy(reason.into()));
        }
        match self.allow(&header, frame.bytes().len()).await {
            Allowance::Taken => {}
            not_now => {
                self.not_taken(id, &header, not_now);
                if let Header::Key(_) = header {
                    self.upload.ignore(Digest(sha256(frame.header())));
                }
                return Ok(());
            }
        }
        let digest = frame.digest(header.shape().label());
        let is_key = header.shape() == Shape::Key;
        let e = is_key.then(|| Digest(sha256(frame.header())));
        let request = FrameRequest {
            peer: Arc::clone(&self.peer),
            header,
            frame: frame.bytes().clone(),
            digest,
            epoch: None,
            arrived,
        };
        let Some(e) = e else { return self.send_frame(request).await };
        if let Some(given_up) = self.upload.begin(request, e, arrived) {
            let reason = "another epoch was begun before this one was complete";
            let refusal = Refusal::new(code::MALFORMED, reason);
            self.refuse(HubStage::Stored, Some(given_up), &refusal, None);
        }
        Ok(())
    }

    /// Whether a frame may be put to the worker: addresses, clock, signature.
    fn admit(&mut self, header: &Header, frame: &RawFrame) -> Result<(), Refusal> {
        let (from, sk) = header.signer();
        if *from != self.peer.name || sk != self.peer.sk {
            let reason = "a frame is from the name and signing key that are signed in here";
            return Err(Refusal::new(code::NOT_ALLOWED, reason));
        }
        check_addresses(header, &self.peer.name, (self.hub.clock)())?;
        if header.shape() != Shape::Message
            && header.shape() != Shape::Receipt
            && !frame.body().is_empty()
        {
            return Err(Refusal::new(code::MALFORMED, "the body of this frame must be empty"));
        }
        if let Header::Receipt(receipt) = header {
            let is_short = frame.body().len() <= RECEIPT_BODY_BYTES_MAX;
            if !is_short || envelope::read_receipt(receipt, frame.body()).is_none() {
                return Err(Refusal::new(code::MALFORMED, "this is no receipt"));
            }
        }
        if self.hub.verify == Verify::Transport {
            return Ok(());
        }
        self.verify(header, frame)
    }

    fn verify(&mut self, header: &Header, frame: &RawFrame) -> Result<(), Refusal> {
        let bad = || {
            let reason = "the signature is not the sender's over this frame";
            Refusal::new(code::BAD_SIGNATURE, reason)
        };
        let key = if let Some(key) = &self.key {
            key
        } else {
            let parsed = VerifyingKey::from_spki(&self.peer.spki).map_err(|_| bad())?;
            self.key.insert(parsed)
        };
        self.verified_frames += 1;
        if self.verified_frames > VERIFIED_FRAMES_MAX {
            self.verified_frames = 0;
            self.verified = VerifiedBatches::default();
        }
        let digest = Digest(sha256(&self.peer.spki));
        frame.verify(header.shape().label(), key, &digest, &mut self.verified).map_err(|_| bad())
    }

    async fn send_frame(&self, request: FrameRequest) -> Result<(), CloseReason> {
        let (lane, chain) = place(&request.header);
        let bytes = request.bytes();
        self.send(lane, chain, bytes, Request::Frame(Box::new(request))).await
    }

    async fn send(
        &self,
        lane: Lane,
        chain: Option<ConversationId>,
        bytes: usize,
        request: Request,
    ) -> Result<(), CloseReason> {
        self.queue.send(lane, chain, bytes, request).await.map_err(|_| CloseReason::Restart)
    }

    /// Answers a refusal and writes it down.
    fn refuse(
        &self,
        stage: HubStage,
        id: Option<MessageId>,
        refusal: &Refusal,
        header: Option<&Header>,
    ) {
        let message = refusal.to_message(stage, id);
        push_text(&self.hub.metrics, &self.peer, hub::write(&message).into());
        self.hub.metrics.reject_frame(refusal.code);
        let id = id.map(|id| id.to_string());
        let is_forged = refusal.code == code::BAD_SIGNATURE;
        self.hub.log.write(&Operation {
            level: if is_forged { Level::Warn } else { Level::Info },
            conn_id: Some(self.peer.connection.0),
            user: Some(self.peer.name.as_str().into()),
            tag: header.map(|header| header.tag().as_str().into()),
            id: id.as_deref().map(Into::into),
            outcome: Some(Outcome::Refused),
            code: Some(refusal.code.into()),
            reason: Some(refusal.reason.as_str().into()),
            ..Operation::new("frame.refused")
        });
    }
}

/// The lane and chain of a frame.
fn place(header: &Header) -> (Lane, Option<ConversationId>) {
    let lane = match (header.shape(), header.tag()) {
        (Shape::Receipt, _) => return (Lane::Control, None),
        (Shape::Key | Shape::Member, _) => Lane::Control,
        (Shape::Message, Tag::Cmd | Tag::Cancel | Tag::Out | Tag::Ack | Tag::Noack) => {
            Lane::Command
        }
        (Shape::Message, Tag::Broadcast) => Lane::Broadcast,
        (Shape::Message, Tag::File) => Lane::Bulk,
        (Shape::Message, _) => Lane::Interactive,
    };
    // A link stands in the chain too: the epoch that follows from it must not overtake it.
    (lane, Some(header.conversation().clone()))
}

/// Sender, conversation and recipient must go together (rule R23).
fn check_addresses(header: &Header, me: &UserName, now_ms: u64) -> Result<(), Refusal> {
    let not_allowed = |reason: String| Err(Refusal::new(code::NOT_ALLOWED, reason));
    let cid = header.conversation();
    if cid.is_direct() && cid.other(me).is_none() {
        return not_allowed(format!("{} is a conversation of others", cid.spoken()));
    }
    if let Header::Receipt(receipt) = header
        && receipt.to == *me
    {
        return not_allowed("nobody confirms a message of their own".to_owned());
    }
    let Header::Message(message) = header else { return Ok(()) };
    let Some(address) = message.t.fits(&cid.kind()) else {
        return not_allowed(format!("{} does not travel in {}", message.t, cid.spoken()));
    };
    let is_right = match (address, &message.to) {
        (Address::Everyone, Recipient::Everyone) => true,
        (Address::Other, Recipient::User(to)) => cid.other(me).as_ref() == Some(to),
        _ => false,
    };
    if !is_right {
        return not_allowed(format!("{} is no recipient in {}", message.to, cid.spoken()));
    }
    check_clock(message, now_ms)
}

/// A command from another time may be an old one that somebody held back.
fn check_clock(message: &MessageHeader, now: u64) -> Result<(), Refusal> {
    let max = u64::try_from(COMMAND_CLOCK_MAX.as_millis()).unwrap_or(u64::MAX);
    if message.t != Tag::Cmd || now.abs_diff(message.ts) <= max {
        return Ok(());
    }
    let reason = "your clock differs from the hub's by more than five minutes; set it right";
    Err(Refusal { time: Some(now), ..Refusal::new(code::CLOCK, reason) })
}

fn bad_header(error: &HeaderError) -> Refusal {
    let code = match error {
        HeaderError::UnknownTag(_) => code::UNKNOWN_TAG,
        HeaderError::Stage { tag: Tag::File | Tag::Offer } => code::NOT_ALLOWED,
        _ => code::MALFORMED,
    };
    Refusal::new(code, error.to_string())
}

/// The code of a text that was refused, and its id, as far as they can be read.
fn bad_text(text: &str) -> (&'static str, Option<MessageId>) {
    const TAGS: [&str; 13] = [
        "AUTH",
        "BUNDLES",
        "HEADS",
        "COUNTERS",
        "REMIND",
        "MEMBERS",
        "WHO",
        "ROOMS",
        "TOPIC",
        "RETENTION",
        "SHARE",
        "FIND",
        "SEEN",
    ];
    // Nothing looks into a text that is too long or too deep.
    if hub::check_bounds(text).is_err() {
        return (code::MALFORMED, None);
    }
    let id = lenient_id(text.as_bytes());
    let tag = lenient_field(text.as_bytes(), "tag");
    let is_known = tag.is_none_or(|tag| TAGS.contains(&tag.as_str()));
    (if is_known { code::MALFORMED } else { code::UNKNOWN_TAG }, id)
}

/// The id in JSON that is not one of ours.
fn lenient_id(json: &[u8]) -> Option<MessageId> {
    MessageId::parse(&lenient_field(json, "id")?).ok()
}

fn lenient_field(json: &[u8], field: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    Some(value.get(field)?.as_str()?.to_owned())
}
