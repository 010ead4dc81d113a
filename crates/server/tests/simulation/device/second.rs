//! Another process of the same home: it sends the same frames over a connection of its own, to any hub, and
//! listens to what it is told about them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use chat_protocol::{
    code,
    frame::RawFrame,
    header::Header,
    hub::{self, HubToClient},
    id::MessageId,
};
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use super::DeviceActor;
use crate::{dice::Dice, network::Link};

/// How often there is one.
const PERCENT: u64 = 40;

/// The process, if it runs, and what was said about frames to either of the two.
pub(super) struct Second {
    dice: Dice,
    link: Option<Link>,
    /// What was sent under an id. What was sealed again is another frame.
    sent: HashMap<MessageId, Bytes>,
    sealed_again: HashSet<MessageId>,
    kept: HashSet<MessageId>,
    refused: HashSet<MessageId>,
}

impl Second {
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self {
            dice: Dice::new(seed, 10_000 + number),
            link: None,
            sent: HashMap::new(),
            sealed_again: HashSet::new(),
            kept: HashSet::new(),
            refused: HashSet::new(),
        }
    }

    pub(super) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// Whether one is started now. The one of before ends.
    pub(super) fn begins(&mut self) -> bool {
        self.link = None;
        self.dice.percent(PERCENT)
    }

    pub(super) fn begin(&mut self, link: Link) {
        self.link = Some(link);
    }

    pub(super) fn end(&mut self) {
        self.link = None;
    }

    /// It sends what the first one sends.
    pub(super) fn send(&mut self, bytes: &Bytes) {
        if let Some(id) = id_of(bytes) {
            let before = self.sent.insert(id, bytes.clone());
            if before.is_some_and(|before| before != *bytes) {
                self.sealed_again.insert(id);
            }
        }
        if let Some(link) = &self.link {
            link.to_hub.push(Message::Binary(bytes.clone()));
        }
    }

    /// What it is told; waits for ever when it does not run.
    pub(super) async fn hear(&mut self) -> Option<HubToClient> {
        let Some(link) = &mut self.link else { return std::future::pending().await };
        match link.from_hub.next().await {
            Some(Ok(Message::Text(text))) => hub::read(text.as_str()).ok(),
            Some(Ok(Message::Ping(bytes))) => {
                link.to_hub.push(Message::Pong(bytes));
                None
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                self.link = None;
                None
            }
            Some(Ok(_)) => None,
        }
    }

    /// Notes an answer. Returns the frame of which both was said: that it is kept, and that it is refused.
    fn note(&mut self, said: &HubToClient) -> Option<MessageId> {
        let id = match said {
            HubToClient::Ack { id, .. } => {
                self.kept.insert(*id);
                *id
            }
            // With the last member a room goes, and who has left it so is told that there is none.
            HubToClient::Noack { id: Some(id), code, .. }
                if code == code::NO_SUCH_ROOM && self.kept.contains(id) =>
            {
                return None;
            }
            HubToClient::Noack { id: Some(id), code, .. } if code != code::STORAGE_FULL => {
                self.refused.insert(*id);
                *id
            }
            HubToClient::Rekey { id, .. } => {
                self.refused.insert(*id);
                *id
            }
            _ => return None,
        };
        let is_both = self.kept.contains(&id) && self.refused.contains(&id);
        (is_both && !self.sealed_again.contains(&id)).then_some(id)
    }
}

impl DeviceActor {
    /// One frame has one answer, whoever has sent it.
    pub(super) fn compare(&mut self, said: Option<HubToClient>) {
        if let Some(id) = said.and_then(|said| self.second.note(&said)) {
            self.trouble(format!("{id} was kept at one hub and refused at another"));
        }
    }
}

/// The id that answers name.
fn id_of(bytes: &Bytes) -> Option<MessageId> {
    let frame = RawFrame::decode(bytes.clone()).ok()?;
    Header::parse(frame.header()).ok().map(|header| header.id())
}
