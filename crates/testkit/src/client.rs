//! A signed-in raw client: sends anything, and waits for what comes back.

use std::collections::VecDeque;

use bytes::Bytes;
use chat_protocol::b64::B64Vec;
use chat_protocol::frame::{Delivery, RawFrame, Upload};
use chat_protocol::handshake::SignedIn;
use chat_protocol::header::{Canonical as _, Header, MemberOperation, MessageHeader};
use chat_protocol::hub::{self, ClientToHub, EpochHead, HubToClient};
use chat_protocol::id::Digest;
use chat_protocol::members::{MemberList, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Tag, label};
use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::device::Device;
use crate::new_id;
use crate::wire::{Entry, Fresh, Got, Socket, WireError, got};

/// One connection. Everything here panics when what it waits for does not come.
#[derive(Debug)]
pub struct Client {
    /// The connection itself.
    pub socket: Socket,
    /// Who it is.
    pub device: Device,
    /// What the hub said at the sign-in.
    pub signed_in: SignedIn,
    answers: VecDeque<HubToClient>,
    /// Frames that came and were not looked at.
    pub deliveries: VecDeque<Delivery>,
    /// Parts of epochs that came.
    pub uploads: Vec<Upload>,
    /// Text messages that answer nothing.
    pub notices: Vec<HubToClient>,
}

impl Fresh {
    /// Signs in and gives a raw client.
    pub async fn enter(self, device: &Device, entry: &Entry) -> Result<Client, WireError> {
        let (socket, signed_in) = self.sign_in(device, entry).await?;
        Ok(Client::new(socket, device.clone(), signed_in))
    }
}

impl Client {
    fn new(socket: Socket, device: Device, signed_in: SignedIn) -> Self {
        let (answers, deliveries) = (VecDeque::new(), VecDeque::new());
        let (uploads, notices) = (Vec::new(), Vec::new());
        Self { socket, device, signed_in, answers, deliveries, uploads, notices }
    }

    /// Whose it is.
    pub fn user(&self) -> UserName {
        self.device.user.clone()
    }

    /// Sends a text message.
    pub async fn send_text(&mut self, message: &ClientToHub) {
        self.send_raw(Message::text(hub::write(message))).await;
    }

    /// Sends anything.
    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Sends a frame, or whatever these bytes are.
    pub async fn send_frame(&mut self, frame: Bytes) {
        self.send_raw(Message::Binary(frame)).await;
    }

    async fn pump(&mut self) -> Option<(u16, String)> {
        match got(&mut self.socket).await {
            Got::Hub(
                notice @ (HubToClient::Presence { .. }
                | HubToClient::Heads { .. }
                | HubToClient::Keys { .. }
                | HubToClient::Moderated { id: None, .. }
                | HubToClient::Live {}),
            ) => self.notices.push(notice),
            Got::Hub(answer) => self.answers.push_back(answer),
            Got::Delivery(delivery) => self.deliveries.push_back(*delivery),
            Got::Upload(upload) => self.uploads.push(upload),
            Got::Closed(code, reason) => return Some((code, reason)),
        }
        None
    }

    /// Waits for the next message of any kind.
    async fn wait(&mut self) {
        let closed = self.pump().await;
        assert!(closed.is_none(), "closed: {closed:?}");
    }

    /// The next answer; what else comes is kept.
    pub async fn answer(&mut self) -> HubToClient {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            self.wait().await;
        }
    }

    /// The next delivery.
    pub async fn delivery(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.deliveries.pop_front() {
                return delivery;
            }
            self.wait().await;
        }
    }

    /// The next delivery of a sealed message: its position and its header.
    pub async fn message(&mut self) -> (u64, MessageHeader) {
        loop {
            let delivery = self.delivery().await;
            if let Header::Message(header) = Header::parse(delivery.frame.header()).unwrap() {
                return (delivery.position, header);
            }
        }
    }

    /// Waits for a notice.
    pub async fn notice(&mut self, is_it: impl Fn(&HubToClient) -> bool) -> HubToClient {
        loop {
            if let Some(at) = self.notices.iter().position(&is_it) {
                return self.notices.remove(at);
            }
            self.wait().await;
        }
    }

    /// Waits for the end: its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Some(closed) = self.pump().await {
                return closed;
            }
        }
    }

    /// The position of an ACK and whether it says kept.
    pub async fn ack(&mut self) -> (u64, bool) {
        match self.answer().await {
            HubToClient::Ack { position, kept, .. } => (position, kept),
            other => panic!("ACK expected: {other:?}"),
        }
    }

    /// The code of a NOACK.
    pub async fn noack(&mut self) -> String {
        match self.answer().await {
            HubToClient::Noack { code, .. } => code,
            other => panic!("NOACK expected: {other:?}"),
        }
    }

    /// Nothing is on its way any more: an answer to a question has come behind it.
    pub async fn settle(&mut self) {
        let id = new_id();
        self.send_text(&ClientToHub::Who { id, after: None }).await;
        loop {
            if matches!(self.answer().await, HubToClient::Who { id: got, .. } if got == id) {
                return;
            }
        }
    }

    /// Deliveries that have come and were not looked at.
    pub fn waiting(&self) -> usize {
        self.deliveries.len()
    }

    /// Sends a message; its frame.
    pub async fn say(&mut self, t: Tag, place: &ConversationId, e: Digest, n: u32) -> Bytes {
        let frame = self.device.seal(&self.device.message(t, place, e, n));
        self.send_frame(frame.clone()).await;
        frame
    }

    /// The same, and the hub keeps it; so the two of this name below.
    pub async fn say_kept(&mut self, t: Tag, place: &ConversationId, e: Digest, n: u32) -> Bytes {
        let frame = self.say(t, place, e, n).await;
        self.ack().await;
        frame
    }

    /// Signs a link at this place of a room's chain; the digest of the link.
    pub async fn link(
        &mut self,
        room: &ConversationId,
        op: MemberOperation,
        place: (u32, Digest),
    ) -> Digest {
        let (_, frame) = self.device.link(room, op, place);
        self.send_frame(frame.clone()).await;
        RawFrame::decode(frame).unwrap().digest(label::MEMBER)
    }

    /// See [`Self::say_kept`].
    pub async fn link_kept(
        &mut self,
        room: &ConversationId,
        op: MemberOperation,
        place: (u32, Digest),
    ) -> Digest {
        let digest = self.link(room, op, place).await;
        self.ack().await;
        digest
    }

    /// Sends an epoch for these devices.
    pub async fn key(
        &mut self,
        place: &ConversationId,
        before: Option<EpochHead>,
        devices: &[&Device],
    ) -> EpochHead {
        let lines = devices.iter().map(|device| device.bundle.member_line().unwrap());
        let at = if place.is_direct() { Place::START } else { self.end_of(place).await };
        let epoch = self.device.epoch_at(place, at, before, &MemberList::new(lines));
        for message in epoch.messages {
            self.send_frame(message).await;
        }
        epoch.head
    }

    /// See [`Self::say_kept`].
    pub async fn key_kept(
        &mut self,
        place: &ConversationId,
        before: Option<EpochHead>,
        devices: &[&Device],
    ) -> EpochHead {
        let head = self.key(place, before, devices).await;
        self.ack().await;
        head
    }

    /// Where the chain of a room ends, as the hub shows it. Other answers are kept.
    async fn end_of(&mut self, room: &ConversationId) -> Place {
        let mut end = Place::START;
        loop {
            let id = new_id();
            let question = ClientToHub::Members { id, cid: room.clone(), from: end.mg };
            self.send_text(&question).await;
            let is_it = |answer: &HubToClient| match answer {
                HubToClient::Members { id: of, .. } => *of == id,
                HubToClient::Noack { id: of, .. } => *of == Some(id),
                _ => false,
            };
            let at = loop {
                match self.answers.iter().position(&is_it) {
                    Some(at) => break at,
                    None => self.wait().await,
                }
            };
            let Some(HubToClient::Members { links, more, .. }) = self.answers.remove(at) else {
                return end;
            };
            for B64Vec(bytes) in links {
                let pm = RawFrame::decode(bytes.into()).unwrap().digest(label::MEMBER);
                end = Place { mg: end.mg + 1, pm };
            }
            if !more {
                return end;
            }
        }
    }

    /// Sends a receipt for something; its frame.
    pub async fn receipt(&mut self, place: &ConversationId, to: &UserName) -> Bytes {
        let header = self.device.receipt(place, to).to_bytes();
        let body = format!("{{\"re\":[[\"{}\",\"{}\"]]}}", new_id(), Digest::ZERO).into_bytes();
        let frame = self.device.sign(label::RECEIPT, header, body);
        self.send_frame(frame.clone()).await;
        frame
    }

    /// Ends the connection in order; the device can sign in again.
    pub async fn bye(mut self) -> Device {
        self.socket.close(None).await.ok();
        while !matches!(got(&mut self.socket).await, Got::Closed(..)) {}
        self.device
    }
}
