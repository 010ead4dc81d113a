//! Sealed messages, batches and receipts, and what is refused of them.

use chat_protocol::b64::B64Vec;
use chat_protocol::code::DELIVERED_UNREADABLE;
use chat_protocol::content::{
    self, ChainNotes, Command, Content, LastMessage, Outcome, OutputStream,
};
use chat_protocol::crypto::gcm_seal;
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::header::{MessageHeader, ReceiptHeader, Recipient};
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::key_id;
use chat_protocol::ratchet::{Chain, MessageKey};
use chat_protocol::tag::{Stage, Tag, label};

use super::format::{Case, MessageCase, MessageExpect, ReceiptCase};
use super::generate::{Device, Epoch, NOW, World};
use super::{refuse_frame, refuse_message};

/// One device's frames in one epoch, in the order in which it seals them.
pub(crate) struct Sender<'w> {
    pub(crate) device: &'w Device,
    pub(crate) epoch: &'w Epoch,
    pub(crate) chain: Chain,
    pub(crate) last: Option<(u32, Digest)>,
}

/// A frame before its signature, with what a vector needs of it.
pub(crate) struct Sealed {
    pub(crate) header: MessageHeader,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) key: MessageKey,
    pub(crate) unsigned: Unsigned,
}

impl<'w> Sender<'w> {
    pub(crate) fn new(device: &'w Device, epoch: &'w Epoch) -> Self {
        Self { device, epoch, chain: Chain::new(&epoch.chain(device)), last: None }
    }

    /// The header that comes next, before tag and recipient are final.
    pub(crate) fn header(&self, tag: Tag, to: Recipient) -> MessageHeader {
        let n = self.chain.next();
        MessageHeader {
            v: 1,
            t: tag,
            stage: None,
            cid: self.epoch.new.header.cid.clone(),
            from: self.device.user.clone(),
            sk: self.device.keys.signing_id(),
            to,
            id: MessageId::new(NOW + u64::from(n), [self.device.user.as_str().as_bytes()[0]; 10]),
            e: self.epoch.new.head.e,
            n,
            p: self.last.map_or(Digest::ZERO, |(_, digest)| digest),
            ts: NOW + u64::from(n),
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        }
    }

    pub(crate) fn seal(&mut self, header: MessageHeader, content: &Content) -> Sealed {
        self.seal_with(header, content, &ChainNotes::default())
    }

    fn seal_with(
        &mut self,
        header: MessageHeader,
        content: &Content,
        notes: &ChainNotes,
    ) -> Sealed {
        let (n, key) = self.chain.advance();
        assert_eq!(n, header.n);
        let plaintext = content::encode(content, notes);
        let unsigned = envelope::seal(&header, &key, nonce(n), &plaintext);
        self.last = Some((n, unsigned.digest()));
        Sealed { header, plaintext, key, unsigned }
    }
}

fn nonce(n: u32) -> [u8; 12] {
    let mut nonce = [0xc0; 12];
    nonce[8..].copy_from_slice(&n.to_be_bytes());
    nonce
}

/// Seals any bytes under any header bytes.
pub(crate) fn seal_raw(header: &[u8], key: &[u8; 32], plaintext: &[u8]) -> Vec<u8> {
    let nonce = nonce(0);
    [nonce.to_vec(), gcm_seal(key, &nonce, header, plaintext)].concat()
}

/// Frames of one sender, signed as they were queued: alone or in one batch.
pub(crate) fn case(
    device: &Device,
    epoch: &Epoch,
    after: Option<(u32, Digest)>,
    sealed: &[Sealed],
) -> MessageCase {
    let unsigned: Vec<_> = sealed.iter().map(|sealed| sealed.unsigned.clone()).collect();
    let expect = |sealed: &Sealed| MessageExpect {
        digest: sealed.unsigned.digest(),
        plaintext: String::from_utf8(sealed.plaintext.clone()).unwrap(),
    };
    MessageCase {
        epoch: epoch.name.to_owned(),
        after,
        frames: sign_all(&device.keys.signing, &unsigned)
            .iter()
            .map(|frame| B64Vec(frame.to_vec()))
            .collect(),
        expect: Some(sealed.iter().map(expect).collect()),
    }
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

pub(crate) fn messages(world: &mut World, room: &Epoch, next: &Epoch, direct: &Epoch, all: &Epoch) {
    let mut cases = in_rooms(world, room, next, all);
    cases.extend(in_private(world, direct));
    for (name, case) in &cases {
        world.accept(name, Case::Message(case.clone()));
    }
    let batch = &cases[1].1;
    let found = receipts(world, room, direct, batch, &cases[5].1);
    for (name, refusal, case) in found {
        match refusal {
            None => world.accept(name, Case::Receipt(case)),
            Some(refusal) => world.refuse(name, refusal, Case::Receipt(case)),
        }
    }
    refuse_frame::single(world, &cases[0].1);
    refuse_frame::batch(world, &cases[0].1, batch);
    refuse_message::headers(world, room, direct);
    refuse_message::senders(world, room, next, direct);
    refuse_message::contents(world, room, direct);
}

fn in_rooms(
    world: &World,
    room: &Epoch,
    next: &Epoch,
    all: &Epoch,
) -> Vec<(&'static str, MessageCase)> {
    let everyone = Recipient::Everyone;
    let mut alice = Sender::new(&world.alice, room);
    let first = alice.seal(alice.header(Tag::Text, everyone.clone()), &text("hello, lobby"));
    let single = case(&world.alice, room, None, &[first]);
    let after = alice.last;
    let words = ["one", "two \u{2713}", "three\n\"quoted\"", "", "five"];
    let five = words.map(|word| alice.seal(alice.header(Tag::Text, everyone.clone()), &text(word)));
    let batch = case(&world.alice, room, after, &five);
    let burnt = alice.seal(alice.header(Tag::Text, everyone.clone()), &text("never arrives"));
    let void = vec![(burnt.header.n, burnt.unsigned.digest())];
    let notes = ChainNotes { void, last: None };
    let header = alice.header(Tag::Text, everyone.clone());
    let after_void = alice.last;
    let healed = alice.seal_with(header, &text("after a burnt counter"), &notes);
    let voided = case(&world.alice, room, after_void, &[healed]);

    let (n, before) = alice.last.unwrap();
    let mut later = Sender::new(&world.alice, next);
    later.last = Some((n, before));
    let last = Some(LastMessage { e: room.new.head.e, n, new: [1].into_iter().collect() });
    let header = later.header(Tag::Text, everyone.clone());
    let first =
        later.seal_with(header, &text("a new epoch"), &ChainNotes { void: Vec::new(), last });
    let renewed = case(&world.alice, next, Some((n, before)), &[first]);

    let mut bob = Sender::new(&world.bob, all);
    (0..3).for_each(|_| drop(bob.chain.advance()));
    let late = bob.seal(bob.header(Tag::Broadcast, everyone), &text("three were lost before"));
    let broadcast = case(&world.bob, all, None, &[late]);
    vec![
        ("text/single", single),
        ("text/batch-of-five", batch),
        ("text/after-void", voided),
        ("text/next-epoch", renewed),
        ("broadcast/after-a-gap", broadcast),
    ]
}

fn in_private(world: &World, direct: &Epoch) -> Vec<(&'static str, MessageCase)> {
    let to = |device: &Device| Recipient::User(device.user.clone());
    let mut alice = Sender::new(&world.alice, direct);
    let hello = alice.seal(alice.header(Tag::Dm, to(&world.bob)), &text("for you alone"));
    let dm = case(&world.alice, direct, None, &[hello]);
    let after = alice.last;
    let veiled = Content::Veiled("Tqpjmfs: if jt uif cvumfs".to_owned());
    let spoiler = alice.seal(alice.header(Tag::Dm, to(&world.bob)), &veiled);
    let spoiler = case(&world.alice, direct, after, &[spoiler]);
    let after = alice.last;
    let command = Content::Command(Command {
        argv: vec!["uname".to_owned(), "-a".to_owned()],
        salt: Nonce16([0x5a; 16]),
        no: 4,
        prev: Some(3),
        time_max_ms: Some(30_000),
        output_max: None,
    });
    let sealed = alice.seal(command_header(world, &alice), &command);
    let (re, of) = (sealed.header.id, sealed.unsigned.digest());
    let cmd = case(&world.alice, direct, after, &[sealed]);

    let mut bob = Sender::new(&world.bob, direct);
    let started = bob.seal(bob.header(Tag::Out, to(&world.alice)), &Content::Started { re, no: 0 });
    let data = b"uname: \xff\n".to_vec();
    let output = Content::Output { re, stream: OutputStream::Stderr, no: 1, data };
    let output = bob.seal(bob.header(Tag::Out, to(&world.alice)), &output);
    let (code, reason) = ("E_EXIT".to_owned(), "exit status 1".to_owned());
    let failed = Content::Outcome(Outcome { re, of, outs: 2, status: Some(1), code, reason });
    let mut header = bob.header(Tag::Noack, to(&world.alice));
    header.stage = Some(Stage::Executed);
    let failed = bob.seal(header, &failed);
    let run = case(&world.bob, direct, None, &[started, output, failed]);
    let after = bob.last;
    let (code, reason) = (String::new(), String::new());
    let success = Outcome { re, of, outs: 1, status: Some(0), code, reason };
    let mut header = bob.header(Tag::Ack, to(&world.alice));
    header.stage = Some(Stage::Executed);
    let success = bob.seal(header, &Content::Outcome(success));
    let success = case(&world.bob, direct, after, &[success]);
    vec![
        ("dm/single", dm),
        ("cmd/single", cmd),
        ("out/started-output-noack", run),
        ("ack/executed", success),
        ("dm/veiled", spoiler),
    ]
}

/// A command of this sender for bob's agent, with the four fields that only commands have.
pub(crate) fn command_header(world: &World, sender: &Sender<'_>) -> MessageHeader {
    MessageHeader {
        nbf: Some(0),
        exp: Some(60_000),
        rb: world.bob.bundle.header().rb,
        tk: Some(key_id(world.bob.keys.identity.spki())),
        ..sender.header(Tag::Cmd, Recipient::User(world.bob.user.clone()))
    }
}

type Receipt = (&'static str, Option<[&'static str; 3]>, ReceiptCase);

#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
fn receipts(
    world: &World,
    room: &Epoch,
    direct: &Epoch,
    batch: &MessageCase,
    dm: &MessageCase,
) -> Vec<Receipt> {
    let header = |epoch: &Epoch, t| ReceiptHeader {
        v: 1,
        t,
        stage: Stage::Delivered,
        cid: epoch.new.header.cid.clone(),
        from: world.bob.user.clone(),
        sk: world.bob.keys.signing_id(),
        to: world.alice.user.clone(),
        id: MessageId::new(NOW + 9, [9; 10]),
        ts: NOW + 9,
    };
    let names = |case: &MessageCase, first: u64| -> Vec<_> {
        let expect = case.expect.as_ref().unwrap();
        let id = |index: u64| MessageId::new(NOW + index, [b'a'; 10]);
        (first..).zip(expect).map(|(index, expect)| (id(index), expect.digest)).collect()
    };
    let sign = |device: &Device, header: &ReceiptHeader, body: &ReceiptBody| {
        let unsigned = envelope::receipt(header, body);
        B64Vec(sign_all(&device.keys.signing, &[unsigned]).remove(0).to_vec())
    };
    let ack = header(room, Tag::Ack);
    let delivered = ReceiptBody { re: names(batch, 1), code: None };
    let digest = Some(envelope::receipt(&ack, &delivered).digest());
    let five = |frame, expect| ReceiptCase { frame, of: "text/batch-of-five".to_owned(), expect };
    let noack = header(direct, Tag::Noack);
    let unreadable = ReceiptBody { re: names(dm, 0), code: Some(DELIVERED_UNREADABLE.to_owned()) };
    let frame = sign(&world.bob, &noack, &unreadable);
    let expect = Some(envelope::receipt(&noack, &unreadable).digest());
    let unread = ReceiptCase { frame, of: "dm/single".to_owned(), expect };

    let body = |re: Vec<(MessageId, Digest)>, code: Option<&str>| ReceiptBody {
        re,
        code: code.map(str::to_owned),
    };
    let mut other_digest = delivered.clone();
    other_digest.re[2].1.0[0] ^= 1;
    let json = serde_json::to_string(&delivered).unwrap();
    let raw = |json: String| {
        let header = chat_protocol::header::Canonical::to_bytes(&ack);
        world.bob.sign(label::RECEIPT, header, json.into_bytes())
    };
    let sealed = chat_protocol::header::Canonical::to_bytes(&ack);
    let many = vec![delivered.re[0]; 65];
    let to_mallory = ReceiptHeader { to: world.mallory.user.clone(), ..ack.clone() };
    let outsider = ReceiptHeader {
        from: world.mallory.user.clone(),
        sk: world.mallory.keys.signing_id(),
        ..ack.clone()
    };
    let negative = [
        (
            "receipt/other-frame",
            [
                "unknown",
                "the digest of another frame",
                "a receipt names the frame that was received",
            ],
            sign(&world.bob, &ack, &other_digest),
        ),
        (
            "receipt/by-another",
            ["signature", "signed by mallory in bob's name", "a receipt is the recipient's word"],
            sign(&world.mallory, &ack, &delivered),
        ),
        (
            "receipt/outsider",
            ["members", "signed by mallory, who is not in the epoch", "rule R8"],
            sign(&world.mallory, &outsider, &delivered),
        ),
        (
            "receipt/to-another",
            ["table", "addressed to somebody who sent none of the frames", "rule R8"],
            sign(&world.bob, &to_mallory, &delivered),
        ),
        (
            "receipt/label",
            ["signature", "signed under the label of messages", "labels keep the kinds apart"],
            world.bob.sign(label::MSG, sealed, json.clone().into_bytes()),
        ),
        (
            "receipt/code-on-ack",
            ["content", "an ACK with a code", "rule R8"],
            sign(&world.bob, &ack, &body(delivered.re.clone(), Some("unreadable"))),
        ),
        (
            "receipt/none",
            ["content", "names nothing", "one to sixty-four"],
            sign(&world.bob, &ack, &body(Vec::new(), None)),
        ),
        (
            "receipt/too-many",
            ["content", "names sixty-five", "one to sixty-four"],
            sign(&world.bob, &ack, &body(many, None)),
        ),
        (
            "receipt/unknown-key",
            ["content", "a key that no receipt has", "rule R22"],
            raw(json.replacen('{', "{\"x\":1,", 1)),
        ),
        (
            "receipt/double-key",
            ["content", "a key twice", "rule R22"],
            raw(json.replacen('{', "{\"re\":[],", 1)),
        ),
    ];
    let other_code = ReceiptCase {
        frame: sign(&world.bob, &noack, &body(unreadable.re.clone(), Some("E_POLICY"))),
        of: "dm/single".to_owned(),
        expect: None,
    };
    let mut found = vec![
        ("receipt/delivered", None, five(sign(&world.bob, &ack, &delivered), digest)),
        ("receipt/unreadable", None, unread),
        (
            "receipt/other-code",
            Some([
                "content",
                "a NOACK with another code than unreadable",
                "the cause is never told (rule R8)",
            ]),
            other_code,
        ),
    ];
    let refused = |(name, refusal, frame)| (name, Some(refusal), five(frame, None));
    found.extend(negative.map(refused));
    found
}
