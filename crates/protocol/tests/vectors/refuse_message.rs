//! Messages that are properly signed and still must be refused.

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{Canonical, MessageHeader, Recipient};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::limits::CHAIN_SKIP_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Stage, Tag, label};

use super::format::{Case, MessageCase};
use super::generate::{Device, Epoch, World};
use super::generate_message::{Sender, case, command_header, seal_raw};

const PLAINTEXT: &[u8] = b"{\"x\":\"hello\",\"pad\":\"\"}";

/// One frame of alice: any header bytes and plaintext, sealed with her first key and signed.
fn forged(world: &World, epoch: &Epoch, header: &[u8], plaintext: &[u8]) -> Case {
    let (_, key) = Sender::new(&world.alice, epoch).chain.advance();
    let frame = world.alice.sign(label::MSG, header.to_vec(), seal_raw(header, &key, plaintext));
    one(epoch, frame)
}

fn one(epoch: &Epoch, frame: B64Vec) -> Case {
    let (epoch, frames) = (epoch.name.to_owned(), vec![frame]);
    Case::Message(MessageCase { epoch, after: None, frames, expect: None })
}

/// Headers that are not canonical, or not those of their tag (rules R8, R9, R22).
pub(crate) fn headers(world: &mut World, room: &Epoch, direct: &Epoch) {
    let sender = Sender::new(&world.alice, room);
    let right = sender.header(Tag::Text, Recipient::Everyone);
    let text = String::from_utf8(right.to_bytes()).unwrap();
    let id = right.id.to_string();
    let unused = format!("{}{}", &id[..21], next_letter(&id[21..]));
    let (id_value, ts) = (format!("\"id\":\"{id}\""), format!("\"ts\":{}", right.ts));
    let edits = [
        ("space", "a space after a comma", ",\"n\":0".into(), ", \"n\":0".into()),
        (
            "order",
            "two keys in the other order",
            format!("{id_value},\"e\":\"{}\"", right.e),
            format!("\"e\":\"{}\",{id_value}", right.e),
        ),
        ("escape", "a letter as an escape", "alice".into(), "\\u0061lice".into()),
        ("leading-zero", "n with a leading zero", "\"n\":0".into(), "\"n\":00".into()),
        ("fraction", "n as 0.0", "\"n\":0".into(), "\"n\":0.0".into()),
        ("negative", "n as -0", "\"n\":0".into(), "\"n\":-0".into()),
        ("exponent", "ts with an exponent", ts.clone(), "\"ts\":179e10".into()),
        ("time", "ts is 2^53", ts, "\"ts\":9007199254740992".into()),
        ("counter", "n is 2^32", "\"n\":0".into(), "\"n\":4294967296".into()),
        ("unknown-key", "a key that no header has", "\"n\":0".into(), "\"n\":0,\"x\":1".into()),
        ("double-key", "a key twice", "\"n\":0".into(), "\"n\":0,\"n\":0".into()),
        ("missing-key", "no p", format!(",\"p\":\"{}\"", right.p), String::new()),
        ("version", "v is 2", "\"v\":1".into(), "\"v\":2".into()),
        ("unknown-tag", "a tag that nobody knows", "TEXT".into(), "SHOUT".into()),
        (
            "stage-on-text",
            "a TEXT with a stage",
            "\"TEXT\"".into(),
            "\"TEXT\",\"stage\":\"executed\"".into(),
        ),
        ("ack-without-stage", "an ACK without a stage", "TEXT".into(), "ACK".into()),
        (
            "delivered",
            "the fields of a message on a receipt",
            "\"TEXT\"".into(),
            "\"ACK\",\"stage\":\"delivered\"".into(),
        ),
        ("unused-bits", "base64url with unused bits set", id.clone(), unused),
        ("padding", "base64url with padding", id.clone(), format!("{id}==")),
        (
            "alphabet",
            "base64 of the other alphabet",
            right.sk.to_string(),
            right.sk.to_string().replace(['-', '_'], "+"),
        ),
        ("reserved-name", "a reserved name", "alice".into(), "ALL".into()),
        ("exp-on-text", "a TEXT with a field of commands", "}".into(), ",\"exp\":5}".into()),
    ];
    for (name, altered, from, to) in edits {
        let mut other = text.replacen(&from, &to, 1);
        if other == text {
            // The key's id happens to hold no letter that differs between the alphabets.
            other = text.replacen(&from, &format!("+{}", &from[1..]), 1);
        }
        let case = forged(world, room, other.as_bytes(), PLAINTEXT);
        let why = "a header has one spelling (rule R22)";
        world.refuse(&format!("header/{name}"), ["header", altered, why], case);
    }
    let command = command_header(world, &Sender::new(&world.alice, direct));
    let text = String::from_utf8(command.to_bytes()).unwrap();
    let rb = format!(",\"rb\":\"{}\"", command.rb.unwrap());
    let case = forged(world, direct, text.replace(&rb, "").as_bytes(), PLAINTEXT);
    let why = "a command is for one restart of one machine (rule R9)";
    world.refuse("header/cmd-without-rb", ["header", "a CMD without rb", why], case);
}

fn next_letter(letter: &str) -> char {
    // Ids have four unused bits: the letters that are canonical are sixteen apart.
    char::from(letter.as_bytes()[0] + 1)
}

/// Sender, conversation, recipient, epoch and key that do not go together (rules R1, R23).
#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
pub(crate) fn senders(world: &mut World, room: &Epoch, next: &Epoch, direct: &Epoch) {
    let in_room = Sender::new(&world.alice, room).header(Tag::Text, Recipient::Everyone);
    let to = |name: &str| Recipient::User(UserName::new(name).unwrap());
    let in_dm = Sender::new(&world.alice, direct).header(Tag::Dm, to("bob"));
    let edit = |header: &MessageHeader, edit: &dyn Fn(&mut MessageHeader)| {
        let mut header = header.clone();
        edit(&mut header);
        header.to_bytes()
    };
    let rows = [
        (
            "text-in-dm",
            "table",
            "a TEXT in a direct conversation",
            direct,
            edit(&in_dm, &|h| h.t = Tag::Text),
        ),
        ("dm-in-room", "table", "a DM in a room", room, edit(&in_room, &|h| h.t = Tag::Dm)),
        (
            "broadcast-in-room",
            "table",
            "a BROADCAST in the lobby",
            room,
            edit(&in_room, &|h| h.t = Tag::Broadcast),
        ),
        (
            "text-to-one",
            "table",
            "a TEXT in a room to one person",
            room,
            edit(&in_room, &|h| h.to = to("bob")),
        ),
        (
            "dm-to-everyone",
            "table",
            "a DM to everybody",
            direct,
            edit(&in_dm, &|h| h.to = Recipient::Everyone),
        ),
        (
            "dm-to-third",
            "table",
            "a DM to a third person",
            direct,
            edit(&in_dm, &|h| h.to = to("mallory")),
        ),
        (
            "dm-to-oneself",
            "table",
            "a DM to its sender",
            direct,
            edit(&in_dm, &|h| h.to = to("alice")),
        ),
        (
            "dm-from-third",
            "table",
            "a DM from a third person",
            direct,
            edit(&in_dm, &|h| h.from = UserName::new("mallory").unwrap()),
        ),
        (
            "executed-in-room",
            "table",
            "the end of a command told to a room",
            room,
            edit(&in_room, &|h| {
                (h.t, h.stage) = (Tag::Ack, Some(Stage::Executed));
            }),
        ),
        (
            "other-epoch",
            "epoch",
            "the epoch of another time",
            room,
            edit(&in_room, &|h| h.e = next.new.head.e),
        ),
        (
            "other-room",
            "epoch",
            "another room in an epoch of this one",
            room,
            edit(&in_room, &|h| {
                h.cid = ConversationId::parse("room:ops").unwrap();
            }),
        ),
        (
            "order",
            "order",
            "p names another frame",
            room,
            edit(&in_room, &|h| h.p = Digest([9; 32])),
        ),
        (
            "skip",
            "counter",
            "skips one message more than is allowed",
            room,
            edit(&in_room, &|h| h.n = CHAIN_SKIP_MAX + 1),
        ),
        (
            "other-key",
            "open",
            "sealed with the key of another counter",
            room,
            edit(&in_room, &|h| h.n = 1),
        ),
    ];
    let why = "everything that a header names must go together";
    for (name, at, altered, epoch, header) in rows {
        let case = forged(world, epoch, &header, PLAINTEXT);
        world.refuse(&format!("sender/{name}"), [at, altered, why], case);
    }
    resigned(world, room, &in_room);
}

/// Alice's sealed text under other names and other signatures.
#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
fn resigned(world: &mut World, room: &Epoch, header: &MessageHeader) {
    let Case::Message(right) = forged(world, room, &header.to_bytes(), PLAINTEXT) else { return };
    let raw = RawFrame::decode(right.frames[0].0.clone().into()).unwrap();
    let body = raw.body().to_vec();
    let sign = |device: &Device, label: &str, header: &MessageHeader| {
        one(room, device.sign(label, header.to_bytes(), body.clone()))
    };
    let from = |device: &Device| MessageHeader {
        from: device.user.clone(),
        sk: device.keys.signing_id(),
        ..header.clone()
    };
    let other_id = MessageHeader { id: MessageId([9; 16]), ..header.clone() };
    let twice = vec![right.frames[0].clone(), right.frames[0].clone()];
    let mut sender = Sender::new(&world.alice, room);
    let text = chat_protocol::content::Content::Text("other".to_owned());
    let sealed = sender.seal(header.clone(), &text);
    assert_eq!(&*sealed.key, &*Sender::new(&world.alice, room).chain.advance().1);
    let same_counter = case(&world.alice, room, None, &[sealed]).frames.remove(0);
    let same_counter = vec![right.frames[0].clone(), same_counter];
    let many = |frames| Case::Message(MessageCase { frames, ..right.clone() });
    let rows = [
        (
            "by-bob",
            "signature",
            "signed by bob in alice's name",
            sign(&world.bob, label::MSG, header),
        ),
        (
            "as-bob",
            "open",
            "alice's body under bob's name and signature",
            sign(&world.bob, label::MSG, &from(&world.bob)),
        ),
        (
            "as-mallory",
            "members",
            "alice's body signed by somebody outside of the epoch",
            sign(&world.mallory, label::MSG, &from(&world.mallory)),
        ),
        (
            "bob-with-alices-key",
            "members",
            "bob's name with alice's signing key",
            sign(
                &world.alice,
                label::MSG,
                &MessageHeader { from: world.bob.user.clone(), ..header.clone() },
            ),
        ),
        (
            "other-id",
            "open",
            "alice's body under another id, signed by her",
            sign(&world.alice, label::MSG, &other_id),
        ),
        (
            "label",
            "signature",
            "signed under the label of receipts",
            sign(&world.alice, label::RECEIPT, header),
        ),
        (
            "label-key",
            "signature",
            "signed under the label of epochs",
            sign(&world.alice, label::KEY, header),
        ),
        ("twice", "counter", "the same frame twice", many(twice)),
        (
            "counter-twice",
            "counter",
            "another frame with a counter that was used",
            many(same_counter),
        ),
    ];
    for (name, at, altered, case) in rows {
        let why = "who signs is who sealed, once per counter";
        world.refuse(&format!("resigned/{name}"), [at, altered, why], case);
    }
}

/// Plaintexts that strict parsers refuse (rule R22); the chain goes on.
#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
pub(crate) fn contents(world: &mut World, room: &Epoch, direct: &Epoch) {
    let bob = Recipient::User(world.bob.user.clone());
    let in_room = Sender::new(&world.alice, room).header(Tag::Text, Recipient::Everyone);
    let command = command_header(world, &Sender::new(&world.alice, direct));
    let out = Sender::new(&world.alice, direct).header(Tag::Out, bob.clone());
    let mut result = Sender::new(&world.alice, direct).header(Tag::Ack, bob);
    result.stage = Some(Stage::Executed);
    let salt = "\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"no\":3";
    let re = "\"re\":\"AAAAAAAAAAAAAAAAAAAAAA\"";
    let rows: [(&str, &str, &MessageHeader, String); 25] = [
        ("unknown-key", "a key that no text has", &in_room, "{\"x\":\"a\",\"y\":1}".into()),
        (
            "other-tag",
            "a key that only commands have",
            &in_room,
            "{\"x\":\"a\",\"argv\":[\"id\"]}".into(),
        ),
        ("double-key", "a key twice", &in_room, "{\"x\":\"a\",\"x\":\"b\"}".into()),
        ("surrogate", "half of a surrogate pair", &in_room, "{\"x\":\"\\ud800\"}".into()),
        ("empty", "nothing at all", &in_room, String::new()),
        ("no-text", "no x", &in_room, "{\"pad\":\"\"}".into()),
        (
            "null",
            "null for a key that may be absent",
            &in_room,
            "{\"x\":\"a\",\"last\":null}".into(),
        ),
        ("null-pad", "null for the padding", &in_room, "{\"x\":\"a\",\"pad\":null}".into()),
        ("veil-false", "veil is true or absent", &in_room, "{\"x\":\"a\",\"veil\":false}".into()),
        ("number", "x is a number", &in_room, "{\"x\":1}".into()),
        ("array", "an array", &in_room, "[]".into()),
        ("trailing", "a second value", &in_room, "{\"x\":\"a\"}{}".into()),
        (
            "control",
            "a control character that is not escaped",
            &in_room,
            "{\"x\":\"a\u{1}\"}".into(),
        ),
        (
            "void",
            "a void entry without its digest",
            &in_room,
            "{\"x\":\"a\",\"void\":[[3]]}".into(),
        ),
        (
            "last",
            "an unknown key inside of last",
            &in_room,
            format!("{{\"x\":\"a\",\"last\":{{\"e\":\"{}\",\"n\":1,\"z\":1}}}}", Digest::ZERO),
        ),
        (
            "new-lines",
            "a set of lines with a zero at its end",
            &in_room,
            format!(
                "{{\"x\":\"a\",\"last\":{{\"e\":\"{}\",\"n\":1,\"new\":\"AQA\"}}}}",
                Digest::ZERO
            ),
        ),
        ("no-salt", "a command without salt", &command, "{\"argv\":[\"id\"],\"no\":3}".into()),
        (
            "no-number",
            "a command without its number",
            &command,
            "{\"argv\":[\"id\"],\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA\"}".into(),
        ),
        (
            "prev",
            "a command that names itself as the one before it",
            &command,
            format!("{{\"argv\":[\"id\"],{salt},\"prev\":3}}"),
        ),
        ("no-words", "a command without words", &command, format!("{{\"argv\":[],{salt}}}")),
        (
            "limit",
            "a limit of 2^53 milliseconds",
            &command,
            format!("{{\"argv\":[\"id\"],{salt},\"ms\":9007199254740992}}"),
        ),
        (
            "started",
            "output in the message that says started",
            &out,
            format!("{{{re},\"stream\":\"started\",\"no\":0,\"data\":\"\"}}"),
        ),
        (
            "no-data",
            "no output in a message of output",
            &out,
            format!("{{{re},\"stream\":\"stdout\",\"no\":1}}"),
        ),
        (
            "no-piece",
            "output without the number of the piece",
            &out,
            format!("{{{re},\"stream\":\"stdout\",\"data\":\"\"}}"),
        ),
        (
            "no-outs",
            "a result without the number of the pieces of output",
            &result,
            format!("{{{re},\"of\":\"{}\",\"st\":0}}", Digest::ZERO),
        ),
    ];
    let why = "two parsers must read the same, or refuse (rule R22)";
    for (name, altered, header, plaintext) in rows {
        let epoch = if header.cid.is_direct() { direct } else { room };
        let case = forged(world, epoch, &header.to_bytes(), plaintext.as_bytes());
        world.refuse(&format!("content/{name}"), ["content", altered, why], case);
    }
    let case = forged(world, room, &in_room.to_bytes(), b"{\"x\":\"\xff\"}");
    world.refuse("content/utf-8", ["content", "bytes that are not UTF-8", why], case);
}
