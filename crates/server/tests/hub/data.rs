//! A data connection that speaks the wire format by hand.

use bytes::Bytes;
use chat_protocol::crypto::random;
use chat_protocol::{
    file::{
        Manifest, TreeBuilder,
        chunk::{self, FileHeader, TransferKey},
        relay::{HubToRelay, RelayToHub},
    },
    frame::RawFrame,
    handshake::SignedIn,
    header::Recipient,
    hub,
    id::{Digest, Nonce16},
    limits::FILE_CHUNK_BYTES,
    merkle,
    tag::Tag,
};
use chat_testkit::wire::{Raw, raw};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Device, Entry, Server, Socket, cid, connect, name, new_id, now_ms};

/// A sign-in for files.
pub(crate) fn entry() -> Entry {
    Entry::files()
}

/// What came on a data connection.
#[derive(Debug)]
pub(crate) enum Came {
    Text(HubToRelay),
    Chunk(FileHeader, RawFrame),
    Closed(u16, String),
}

pub(crate) struct Data {
    socket: Socket,
    pub(crate) device: Device,
    pub(crate) signed_in: SignedIn,
}

impl Data {
    pub(crate) async fn open(server: &Server, device: &Device) -> Self {
        let fresh = connect(server.address).await;
        let (socket, signed_in) = fresh.sign_in(device, &entry()).await.unwrap();
        Self { socket, device: device.clone(), signed_in }
    }

    pub(crate) async fn say(&mut self, message: &RelayToHub) {
        self.raw(Message::text(hub::write(message))).await;
    }

    /// Sends anything. The hub may have hung up already.
    pub(crate) async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.ok();
    }

    pub(crate) async fn chunk(&mut self, frame: Bytes) {
        self.raw(Message::Binary(frame)).await;
    }

    pub(crate) async fn came(&mut self) -> Came {
        match raw(&mut self.socket).await {
            Raw::Text(text) => Came::Text(hub::read(&text).unwrap()),
            Raw::Binary(bytes) => {
                let frame = RawFrame::decode(bytes).unwrap();
                Came::Chunk(chunk::read(&frame).unwrap(), frame)
            }
            Raw::Closed(code, reason) => Came::Closed(code, reason),
        }
    }

    pub(crate) async fn text(&mut self) -> HubToRelay {
        match self.came().await {
            Came::Text(text) => text,
            other => panic!("a text expected: {other:?}"),
        }
    }

    pub(crate) async fn credit(&mut self) -> u32 {
        match self.text().await {
            HubToRelay::Credit { n, .. } => n,
            other => panic!("CREDIT expected: {other:?}"),
        }
    }

    /// The code of an END.
    pub(crate) async fn end(&mut self) -> String {
        match self.text().await {
            HubToRelay::End { code, .. } => code,
            other => panic!("END expected: {other:?}"),
        }
    }

    /// Code and reason of the end of the connection.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Came::Closed(code, reason) = self.came().await {
                return (code, reason);
            }
        }
    }

    /// Nothing is on its way any more.
    pub(crate) async fn settle(&mut self) {
        let tid = Nonce16(random());
        self.say(&RelayToHub::Drop { tid }).await;
        match self.text().await {
            HubToRelay::End { tid: of, .. } if of == tid => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A file that a test gives.
pub(crate) struct TestFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    tree: merkle::Tree,
}

/// The key of a test's file.
const FILE_KEY: [u8; 32] = [5; 32];

impl TestFile {
    pub(crate) fn new(size: usize) -> Self {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n * 31 / 7 % 251).unwrap()).collect();
        let mut builder = TreeBuilder::default();
        bytes.chunks(FILE_CHUNK_BYTES).for_each(|chunk| builder.add(chunk).unwrap());
        let (tree, size) = builder.finish();
        let root = Digest(tree.root());
        Self { bytes, manifest: Manifest { name: "test".to_owned(), size, root }, tree }
    }

    pub(crate) fn chunks(&self) -> u32 {
        self.manifest.chunks()
    }

    pub(crate) fn header(&self, device: &Device, to: &str, tid: Nonce16, index: u32) -> FileHeader {
        let to = if to == "*" { Recipient::Everyone } else { Recipient::User(name(to)) };
        FileHeader {
            v: 1,
            t: Tag::File,
            cid: cid("dm:alice:bob"),
            from: device.user.clone(),
            sk: device.keys.signing_id(),
            to,
            id: new_id(),
            tid,
            i: index,
            last: index + 1 == self.chunks(),
            ts: now_ms(),
        }
    }

    pub(crate) fn seal(&self, header: &FileHeader) -> Bytes {
        let index = usize::try_from(header.i).unwrap();
        let start = index * FILE_CHUNK_BYTES;
        let data = &self.bytes[start..self.bytes.len().min(start + FILE_CHUNK_BYTES)];
        TransferKey::new(&FILE_KEY, &header.tid).seal(header, &self.tree.path(index), data)
    }

    pub(crate) fn open(&self, header: &FileHeader, frame: &RawFrame) -> Vec<u8> {
        let key = TransferKey::new(&FILE_KEY, &header.tid);
        key.open(header, frame, &self.manifest).unwrap().data().to_vec()
    }

    /// Sends all chunks as credit comes; what else comes is given back.
    pub(crate) async fn send(&self, data: &mut Data, to: &str, tid: Nonce16) -> Option<HubToRelay> {
        let mut credit = 0;
        for index in 0..self.chunks() {
            while credit == 0 {
                match data.text().await {
                    HubToRelay::Credit { n, .. } => credit += n,
                    other => return Some(other),
                }
            }
            credit -= 1;
            let header = self.header(&data.device, to, tid, index);
            data.chunk(self.seal(&header)).await;
        }
        None
    }

    /// Takes chunks until END; gives what came and the code of END.
    pub(crate) async fn receive(
        &self,
        data: &mut Data,
        tid: Nonce16,
    ) -> (Vec<(u32, Vec<u8>)>, String) {
        let mut came = Vec::new();
        loop {
            match data.came().await {
                Came::Chunk(header, frame) => {
                    assert_eq!(header.tid, tid);
                    came.push((header.i, self.open(&header, &frame)));
                    data.say(&RelayToHub::Credit { tid, n: 1 }).await;
                }
                Came::Text(HubToRelay::End { code, .. }) => return (came, code),
                other => panic!("{other:?}"),
            }
        }
    }
}
