//! A hub on a free port, and a client that speaks the wire format by hand.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::Path,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use chat_protocol::{
    crypto::{WrapKey, random, sha256},
    frame::{Binary, Delivery, Unsigned, Upload, sign_all},
    handshake::{AuthBody, Credentials, Greeting, Mode, Purpose, SignedIn},
    header::{
        Canonical, KeyHeader, MemberArgument, MemberHeader, MemberOperation, MessageHeader,
        ReceiptHeader, Recipient,
    },
    hub::{self, ClientToHub, HubToClient},
    id::{Digest, MessageId, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, KeySizes},
    members::MemberList,
    name::{ConversationId, UserName},
    tag::{Stage, Tag, label},
};
use chat_server::{RunError, config::Config};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub(crate) fn cid(text: &str) -> ConversationId {
    ConversationId::parse(text).unwrap()
}

/// Keys are slow to make, so all tests of a process share a few.
pub(crate) fn keys(index: usize) -> &'static DeviceKeys {
    static KEYS: [OnceLock<DeviceKeys>; 6] = [const { OnceLock::new() }; 6];
    KEYS[index].get_or_init(|| DeviceKeys::generate(KeySizes::EMULATED).unwrap())
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config::local(&folder.join("data"), &folder.join("logs"));
    config.key_sizes = KeySizes::EMULATED;
    config
}

pub(crate) async fn start(config: Config) -> Server {
    let listener = TcpListener::bind(config.address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        stopped.await.ok();
    };
    let task = tokio::spawn(chat_server::run(listener, config, shutdown));
    Server { address, stop, task }
}

/// A hub in a folder of its own.
pub(crate) async fn fresh() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (start(config(folder.path())).await, folder)
}

impl Server {
    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.stop.send(()).ok();
        tokio::time::timeout(PATIENCE, self.task).await.expect("did not stop").unwrap()
    }

    /// Waits for an end that was not asked for.
    pub(crate) async fn end(self) -> Result<(), RunError> {
        tokio::time::timeout(PATIENCE, self.task).await.expect("did not end").unwrap()
    }
}

/// What came from the hub.
#[derive(Debug)]
pub(crate) enum Got {
    Hub(HubToClient),
    Delivery(Box<Delivery>),
    Upload(Upload),
    Closed(u16, String),
}

/// Who signs in.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) keys: &'static DeviceKeys,
    pub(crate) dev: Nonce16,
    pub(crate) bundle: Bundle,
}

impl Device {
    pub(crate) fn new(user: &str, index: usize) -> Self {
        let (keys, dev) = (keys(index), Nonce16(random()));
        let bundle =
            keys.publish(&name(user), dev, None, now_ms(), BundleOptions::default()).unwrap();
        Self { name: user.to_owned(), keys, dev, bundle }
    }

    pub(crate) fn user(&self) -> UserName {
        name(&self.name)
    }
}

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    pub(crate) device: Device,
    pub(crate) signed_in: SignedIn,
    answers: VecDeque<HubToClient>,
    pub(crate) deliveries: VecDeque<Delivery>,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) notices: Vec<HubToClient>,
}

/// A socket that has been greeted.
pub(crate) struct Fresh {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) greeting: Greeting,
}

pub(crate) async fn connect(address: SocketAddr) -> Fresh {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = format!("ws://{address}/ws").into_client_request().unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let Some(Ok(Message::Text(hello))) = socket.next().await else { panic!("HELLO expected") };
    let greeting = Greeting::read(hello.as_str()).unwrap();
    Fresh { socket, greeting }
}

/// One message, or the end.
pub(crate) async fn got(socket: &mut WebSocketStream<TcpStream>) -> Got {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("nothing came");
        match next {
            Some(Ok(Message::Text(text))) => {
                return Got::Hub(hub::read(text.as_str()).unwrap());
            }
            Some(Ok(Message::Binary(bytes))) => match Binary::decode(bytes).unwrap() {
                Binary::Delivery(delivery) => return Got::Delivery(Box::new(delivery)),
                Binary::Upload(upload) => return Got::Upload(upload),
                Binary::Frame(_) => panic!("a bare frame from the hub"),
            },
            Some(Ok(Message::Close(frame))) => {
                let frame = frame.expect("a reason");
                return Got::Closed(frame.code.into(), frame.reason.to_string());
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Got::Closed(0, String::new()),
        }
    }
}

/// How a sign-in is made.
pub(crate) struct Entry {
    pub(crate) mode: Mode,
    pub(crate) body: AuthBody,
}

impl Entry {
    pub(crate) fn sig() -> Self {
        let body =
            AuthBody { purpose: Purpose::Task, pw: None, bundle: None, vault: None, new_pw: None };
        Self { mode: Mode::Sig, body }
    }

    pub(crate) fn reg(device: &Device) -> Self {
        let mut entry = Self::sig();
        entry.mode = Mode::Reg;
        entry.body.bundle = Some(device.bundle.bytes().to_vec());
        entry
    }
}

impl Fresh {
    /// Signs in, or gives the code and reason of the refusal.
    pub(crate) async fn enter(
        mut self,
        device: &Device,
        entry: Entry,
    ) -> Result<Client, (String, String)> {
        let user = device.user();
        let signing = (entry.mode != Mode::Vault).then_some(&device.keys.signing);
        let credentials = Credentials {
            user: &user,
            mode: entry.mode,
            signing,
            body: &entry.body,
            exporter: None,
        };
        let (text, sent) = self.greeting.auth(&credentials, &random().into()).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
        match got(&mut self.socket).await {
            Got::Hub(HubToClient::Ok { body }) => Ok(Client {
                socket: self.socket,
                device: device.clone(),
                signed_in: sent.open(&body).unwrap(),
                answers: VecDeque::new(),
                deliveries: VecDeque::new(),
                uploads: Vec::new(),
                notices: Vec::new(),
            }),
            Got::Hub(HubToClient::Noack { code, reason, .. }) => {
                let Got::Closed(1008, _) = got(&mut self.socket).await else {
                    panic!("1008 expected")
                };
                Err((code, reason))
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn register(server: &Server, user: &str, index: usize) -> Client {
    let device = Device::new(user, index);
    connect(server.address).await.enter(&device, Entry::reg(&device)).await.unwrap()
}

pub(crate) async fn sign_in(server: &Server, device: &Device) -> Client {
    connect(server.address).await.enter(device, Entry::sig()).await.unwrap()
}

/// An epoch that a test has made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(crate) e: Digest,
    pub(crate) g: u32,
}

pub(crate) fn new_id() -> MessageId {
    MessageId::new(now_ms(), random())
}

impl Client {
    pub(crate) fn user(&self) -> UserName {
        self.device.user()
    }

    pub(crate) async fn send_text(&mut self, message: &ClientToHub) {
        self.socket.send(Message::text(hub::write(message))).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn send_frame(&mut self, frame: Bytes) {
        self.socket.send(Message::Binary(frame)).await.unwrap();
    }

    async fn pump(&mut self) -> Option<(u16, String)> {
        match got(&mut self.socket).await {
            Got::Hub(
                notice @ (HubToClient::Presence { .. }
                | HubToClient::Heads { .. }
                | HubToClient::Keys { .. }
                | HubToClient::Live {}),
            ) => self.notices.push(notice),
            Got::Hub(answer) => self.answers.push_back(answer),
            Got::Delivery(delivery) => self.deliveries.push_back(*delivery),
            Got::Upload(upload) => self.uploads.push(upload),
            Got::Closed(code, reason) => return Some((code, reason)),
        }
        None
    }

    /// The next answer; what else comes is kept.
    pub(crate) async fn answer(&mut self) -> HubToClient {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            let closed = self.pump().await;
            assert!(closed.is_none(), "closed: {closed:?}");
        }
    }

    /// The next delivery.
    pub(crate) async fn delivery(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.deliveries.pop_front() {
                return delivery;
            }
            let closed = self.pump().await;
            assert!(closed.is_none(), "closed: {closed:?}");
        }
    }

    /// The next delivery of a sealed message, and its header.
    pub(crate) async fn message(&mut self) -> (u64, MessageHeader) {
        loop {
            let delivery = self.delivery().await;
            let header = chat_protocol::header::Header::parse(delivery.frame.header()).unwrap();
            if let chat_protocol::header::Header::Message(header) = header {
                return (delivery.position, header);
            }
        }
    }

    /// Waits for a notice.
    pub(crate) async fn notice(&mut self, is_it: impl Fn(&HubToClient) -> bool) -> HubToClient {
        loop {
            if let Some(at) = self.notices.iter().position(&is_it) {
                return self.notices.remove(at);
            }
            let closed = self.pump().await;
            assert!(closed.is_none(), "closed: {closed:?}");
        }
    }

    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Some(closed) = self.pump().await {
                return closed;
            }
        }
    }

    /// The position of an ACK and whether it says kept.
    pub(crate) async fn ack(&mut self) -> (u64, bool) {
        match self.answer().await {
            HubToClient::Ack { position, kept, .. } => (position, kept),
            other => panic!("ACK expected: {other:?}"),
        }
    }

    /// The code of a NOACK.
    pub(crate) async fn noack(&mut self) -> String {
        match self.answer().await {
            HubToClient::Noack { code, .. } => code,
            other => panic!("NOACK expected: {other:?}"),
        }
    }

    /// Nothing is on its way any more: an answer to a question has come behind it.
    pub(crate) async fn settle(&mut self) {
        let id = new_id();
        self.send_text(&ClientToHub::Who { id, after: None }).await;
        loop {
            if matches!(self.answer().await, HubToClient::Who { id: got, .. } if got == id) {
                return;
            }
        }
    }

    /// Deliveries that have come and were not looked at.
    pub(crate) fn waiting(&self) -> usize {
        self.deliveries.len()
    }

    pub(crate) fn header(&self, t: Tag, cid: &ConversationId, e: Digest, n: u32) -> MessageHeader {
        let to = cid.other(&self.user()).map_or(Recipient::Everyone, Recipient::User);
        MessageHeader {
            v: 1,
            t,
            stage: None,
            cid: cid.clone(),
            from: self.user(),
            sk: self.device.keys.signing_id(),
            to,
            id: new_id(),
            e,
            n,
            p: Digest::ZERO,
            ts: now_ms(),
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        }
    }

    pub(crate) fn seal(&self, header: &MessageHeader) -> Bytes {
        let body = random::<64>().to_vec();
        self.sign(label::MSG, header.to_bytes(), body)
    }

    pub(crate) fn sign(&self, label: &str, header: Vec<u8>, body: Vec<u8>) -> Bytes {
        let unsigned = [Unsigned::new(label, header, body)];
        sign_all(&self.device.keys.signing, &unsigned).pop().unwrap()
    }

    pub(crate) async fn say(&mut self, t: Tag, place: &ConversationId, e: Digest, n: u32) -> Bytes {
        let frame = self.seal(&self.header(t, place, e, n));
        self.send_frame(frame.clone()).await;
        frame
    }

    /// Joins a room at this place of its chain; returns the digest of the link.
    pub(crate) async fn link(
        &mut self,
        room: &ConversationId,
        op: MemberOperation,
        (mg, pm): (u32, Digest),
    ) -> Digest {
        let arg = match op {
            MemberOperation::Create => MemberArgument::Open,
            _ => MemberArgument::None,
        };
        let header = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: room.clone(),
            from: self.user(),
            sk: self.device.keys.signing_id(),
            op,
            who: self.user(),
            ik: self.device.bundle.identity(),
            arg,
            mg,
            pm,
            id: new_id(),
            ts: now_ms(),
        };
        let header = header.to_bytes();
        let unsigned = Unsigned::new(label::MEMBER, header.clone(), Vec::new());
        let frame = self.sign(label::MEMBER, header, Vec::new());
        self.send_frame(frame).await;
        unsigned.digest()
    }

    /// Sends an epoch for these devices.
    pub(crate) async fn key(
        &mut self,
        place: &ConversationId,
        before: Option<Epoch>,
        devices: &[&Device],
    ) -> Epoch {
        let bundles: Vec<_> = devices.iter().map(|device| &device.bundle).collect();
        let members = MemberList::new(bundles.iter().map(|bundle| bundle.member_line().unwrap()));
        let g = before.map_or(0, |before| before.g + 1);
        let header = KeyHeader {
            v: 1,
            t: Tag::Key,
            cid: place.clone(),
            from: self.user(),
            sk: self.device.keys.signing_id(),
            eid: Nonce16(random()),
            g,
            pe: before.map_or(Digest::ZERO, |before| before.e),
            mg: 0,
            pm: Digest::ZERO,
            kc: Digest(random()),
            mh: members.hash(),
            ts: now_ms(),
        };
        let header = header.to_bytes();
        let e = Digest(sha256(&header));
        let wraps: Vec<_> = members
            .lines()
            .iter()
            .map(|line| {
                let bundle = bundles.iter().find(|b| b.header().u == line.name).unwrap();
                let key = WrapKey::from_spki(&bundle.header().ek[0].spki).unwrap();
                key.wrap(b"test", &[7; 32])
            })
            .collect();
        let frame = self.sign(label::KEY, header, Vec::new());
        self.send_frame(frame).await;
        for part in Upload::split(e, members.as_bytes(), &wraps) {
            self.send_frame(part).await;
        }
        Epoch { e, g }
    }

    pub(crate) async fn receipt(&mut self, place: &ConversationId, to: &UserName) -> Bytes {
        let header = ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: place.clone(),
            from: self.user(),
            sk: self.device.keys.signing_id(),
            to: to.clone(),
            id: new_id(),
            ts: now_ms(),
        };
        let frame = self.sign(label::RECEIPT, header.to_bytes(), b"{\"re\":[]}".to_vec());
        self.send_frame(frame.clone()).await;
        frame
    }

    pub(crate) async fn bye(mut self) -> Device {
        self.socket.close(None).await.ok();
        while !matches!(got(&mut self.socket).await, Got::Closed(..)) {}
        self.device
    }
}
