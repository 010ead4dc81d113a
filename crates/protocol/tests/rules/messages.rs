//! Headers and contents: which fields, which spelling, and where each tag may go.

use chat_protocol::b64;
use chat_protocol::code::DELIVERED_UNREADABLE;
use chat_protocol::content::{self, ChainNotes, Command, Content, LastMessage, LineSet};
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::header::{Canonical, Header, MessageHeader, ReceiptHeader, Recipient};
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::limits::{PAD_BYTES, RECEIPTS_PER_FRAME_MAX};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::{Address, Shape, Stage, Tag};

use super::parties::{ALICE, BOB, NOW, text_header};

fn command() -> MessageHeader {
    MessageHeader {
        t: Tag::Cmd,
        cid: ConversationId::parse("dm:alice:bob").unwrap(),
        to: Recipient::User(BOB.user.clone()),
        nbf: Some(1),
        exp: Some(2),
        rb: Some(Nonce16([3; 16])),
        tk: Some(KeyId([4; 16])),
        ..text_header(Digest::ZERO, 0)
    }
}

fn receipt_header(t: Tag) -> ReceiptHeader {
    let text = text_header(Digest::ZERO, 0);
    let (cid, id) = (text.cid, text.id);
    let (from, to) = (BOB.user.clone(), ALICE.user.clone());
    ReceiptHeader {
        v: 1,
        t,
        stage: Stage::Delivered,
        cid,
        from,
        sk: BOB.keys.signing_id(),
        to,
        id,
        ts: NOW,
    }
}

#[test]
fn r08_tag_and_stage_choose_the_header() {
    let delivered = receipt_header(Tag::Ack);
    let executed =
        MessageHeader { t: Tag::Ack, stage: Some(Stage::Executed), ..text_header(Digest::ZERO, 0) };
    let read = Header::parse(&delivered.to_bytes());
    assert_eq!(read, Ok(Header::Receipt(delivered.clone())));
    assert_eq!(Header::parse(&executed.to_bytes()), Ok(Header::Message(executed.clone())));
    let text = String::from_utf8(delivered.to_bytes()).unwrap();
    assert!(text.starts_with("{\"v\":1,\"t\":\"ACK\",\"stage\":\"delivered\",\"cid\":"), "{text}");
    for other in ["stored", "executed", "Delivered", ""] {
        let other = text.replace("delivered", other);
        assert!(Header::parse(other.as_bytes()).is_err(), "{other}");
    }
    assert!(Header::parse(text.replace(",\"stage\":\"delivered\"", "").as_bytes()).is_err());

    for &tag in Tag::ALL {
        for stage in [None, Some(Stage::Delivered), Some(Stage::Executed)] {
            let expected = match (tag, stage) {
                (Tag::Ack | Tag::Noack, Some(Stage::Delivered)) => Some(Shape::Receipt),
                (Tag::Ack | Tag::Noack, Some(Stage::Executed)) => Some(Shape::Message),
                (Tag::Ack | Tag::Noack | Tag::File | Tag::Offer, _) | (_, Some(_)) => None,
                (Tag::Key, None) => Some(Shape::Key),
                (Tag::Member, None) => Some(Shape::Member),
                (_, None) => Some(Shape::Message),
            };
            assert_eq!(tag.shape(stage), expected, "{tag} {stage:?}");
        }
    }
    assert_ne!(Shape::Receipt.label(), Shape::Message.label());
}

#[test]
fn r08_a_receipt_tells_one_code_and_never_the_cause() {
    let re = vec![(MessageId([1; 16]), Digest([2; 32]))];
    let read = |tag, re: &Vec<_>, code: Option<&str>| {
        let body = ReceiptBody { re: re.clone(), code: code.map(str::to_owned) };
        let body = serde_json::to_vec(&body).unwrap();
        envelope::read_receipt(&receipt_header(tag), &body).is_some()
    };
    assert!(read(Tag::Ack, &re, None));
    assert!(read(Tag::Noack, &re, Some(DELIVERED_UNREADABLE)));
    assert!(!read(Tag::Ack, &re, Some(DELIVERED_UNREADABLE)));
    assert!(!read(Tag::Noack, &re, None));
    assert!(!read(Tag::Noack, &re, Some("E_UNTRUSTED")));
    assert!(!read(Tag::Ack, &vec![], None), "names nothing");
    assert!(read(Tag::Ack, &vec![re[0]; RECEIPTS_PER_FRAME_MAX], None));
    assert!(!read(Tag::Ack, &vec![re[0]; RECEIPTS_PER_FRAME_MAX + 1], None));
}

#[test]
fn r09_a_command_and_nothing_else_says_when_and_for_which_restart() {
    let text = String::from_utf8(command().to_bytes()).unwrap();
    assert_eq!(Header::parse(text.as_bytes()), Ok(Header::Message(command())));
    let (rb, tk) = (b64::encode(&[3; 16]), b64::encode(&[4; 16]));
    let last = format!("\"ts\":{NOW},\"nbf\":1,\"exp\":2,\"rb\":\"{rb}\",\"tk\":\"{tk}\"}}");
    assert!(text.ends_with(&last), "{text}");
    for without in [
        MessageHeader { nbf: None, ..command() },
        MessageHeader { exp: None, ..command() },
        MessageHeader { rb: None, ..command() },
        MessageHeader { tk: None, ..command() },
        MessageHeader { t: Tag::Dm, ..command() },
        MessageHeader { exp: Some(2), ..text_header(Digest::ZERO, 0) },
    ] {
        assert!(Header::parse(&without.to_bytes()).is_err(), "{without:?}");
    }
}

#[test]
fn r15_the_first_message_of_an_epoch_names_the_last_before_it() {
    let new = LineSet::default();
    let last = Some(LastMessage { e: Digest([1; 32]), n: 41, new });
    let notes = ChainNotes { void: vec![], last };
    let bytes = content::encode(&Content::Text("a".into()), &notes);
    let text = std::str::from_utf8(&bytes).unwrap();
    let written = format!("\"last\":{{\"e\":\"{}\",\"n\":41}}", Digest([1; 32]));
    assert!(text.contains(&written), "{text}");
    assert_eq!(content::decode(Tag::Text, &bytes).unwrap().1, notes);
    let first = MessageHeader { p: Digest([1; 32]), ..text_header(Digest::ZERO, 0) };
    assert_eq!(Header::parse(&first.to_bytes()), Ok(Header::Message(first)));
}

#[test]
fn r22_base64url_has_one_spelling() {
    let (id, text) = (MessageId([0xff; 16]), "_____________________w");
    assert_eq!(id.to_string(), text);
    assert_eq!(MessageId::parse(text), Ok(id));
    for other in [
        "_____________________x",
        "_____________________w==",
        "____________________w",
        "//////////////////////w",
        "_____________________w ",
        "/////////////////////w",
        "",
    ] {
        assert!(MessageId::parse(other).is_err(), "{other}");
    }
}

#[test]
fn r22_integers_and_strings_of_headers_have_one_spelling() {
    let header = text_header(Digest::ZERO, 7);
    let text = String::from_utf8(header.to_bytes()).unwrap();
    let n = |value: &str| text.replace("\"n\":7", &format!("\"n\":{value}"));
    let ts = |value: &str| text.replace(&format!("\"ts\":{NOW}"), &format!("\"ts\":{value}"));
    for right in [n("0"), n("4294967295"), ts("0"), ts("9007199254740991")] {
        assert!(Header::parse(right.as_bytes()).is_ok(), "{right}");
    }
    for wrong in [
        n("07"),
        n("+7"),
        n("-7"),
        n("7.0"),
        n("7e0"),
        n("\"7\""),
        n("4294967296"),
        n("null"),
        ts("9007199254740992"),
        ts("1e3"),
        text.replace("alice", "\\u0061lice"),
        text.replace("alice", "al\\tice"),
        text.replace("room:lobby", "room:l\u{f6}bby"),
    ] {
        assert_ne!(wrong, text);
        assert!(Header::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn r22_plaintexts_are_read_strictly() {
    let text = |json: &str| content::decode(Tag::Text, json.as_bytes()).is_ok();
    assert!(text("{\"x\":\"a\"}"));
    assert!(text("{ \"pad\" : \"\", \"x\" : \"\\ud83d\\ude00\" }"), "a pair is a character");
    for wrong in [
        "{\"x\":\"a\",\"x\":\"a\"}",
        "{\"x\":\"a\",\"y\":0}",
        "{\"x\":\"a\",\"argv\":[\"id\"]}",
        "{\"x\":\"a\",\"last\":null}",
        "{\"x\":\"\\ud83d\"}",
        "{\"x\":\"\\ude00\\ud83d\"}",
        "{\"x\":\"a\"} {}",
        "{\"x\":\"a\",\"void\":[[1,\"AA\"]]}",
    ] {
        assert!(!text(wrong), "{wrong}");
    }
    let salt = "\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"no\":0";
    let command = |ms: &str| {
        let json = format!("{{\"argv\":[\"id\"],{salt},\"ms\":{ms}}}");
        content::decode(Tag::Cmd, json.as_bytes()).is_ok()
    };
    assert!(command("9007199254740991") && !command("9007199254740992"));
    assert!(!command("1.0") && !command("-1") && !command("01"));
}

#[test]
fn r22_an_unknown_tag_is_told_from_a_broken_header() {
    let text = String::from_utf8(text_header(Digest::ZERO, 0).to_bytes()).unwrap();
    let other = Header::parse(text.replace("TEXT", "SHOUT").as_bytes());
    assert_eq!(other, Err(chat_protocol::header::HeaderError::UnknownTag("SHOUT".to_owned())));
}

#[test]
fn r23_every_tag_has_its_place() {
    let kinds = ["room:lobby", "room:ALL", "feed:alice", "dm:alice:bob", "dm:alice:alice"];
    for &tag in Tag::ALL {
        let expected = match tag {
            Tag::Text => [Some(Address::Everyone), None, Some(Address::Everyone), None, None],
            Tag::Broadcast => [None, Some(Address::Everyone), None, None, None],
            Tag::Dm => [None, None, None, Some(Address::Other), Some(Address::Other)],
            Tag::Cmd
            | Tag::Out
            | Tag::Cancel
            | Tag::Ack
            | Tag::Noack
            | Tag::Keyreq
            | Tag::Grant => [None, None, None, Some(Address::Other), None],
            _ => [None; 5],
        };
        let got = kinds.map(|cid| tag.fits(&ConversationId::parse(cid).unwrap().kind()));
        assert_eq!(got, expected, "{tag}");
    }
    let direct = ConversationId::parse("dm:alice:bob").unwrap();
    assert_eq!(direct.other(&ALICE.user), Some(BOB.user.clone()));
    assert_eq!(direct.other(&chat_protocol::name::UserName::server()), None, "no party to it");
}

#[test]
fn r26_equal_commands_differ_by_their_salt() {
    let plaintext = |salt| {
        let argv = vec!["reboot".to_owned()];
        let salt = Nonce16([salt; 16]);
        let (no, prev) = (0, None);
        let command = Command { argv, salt, no, prev, time_max_ms: None, output_max: None };
        content::encode(&Content::Command(command), &ChainNotes::default())
    };
    assert_ne!(plaintext(1), plaintext(2));
    let without = content::decode(Tag::Cmd, b"{\"argv\":[\"reboot\"],\"no\":0}");
    assert!(without.is_err(), "a command without salt could be approved twice");
}

#[test]
fn r28_plaintexts_are_padded_and_the_padding_is_ignored() {
    for length in 0..200 {
        let content = Content::Text("a".repeat(length));
        let bytes = content::encode(&content, &ChainNotes::default());
        assert_eq!(bytes.len() % PAD_BYTES, 0);
        assert!(bytes.len() < length + 20 + PAD_BYTES, "no more than is needed");
        let text = String::from_utf8(bytes).unwrap();
        let (_, pad) = text.rsplit_once(",\"pad\":\"").unwrap();
        assert_eq!(pad.trim_start_matches(' '), "\"}", "the last key, and only spaces");
        let other = text.replace(pad, "anything\"}");
        assert_eq!(content::decode(Tag::Text, other.as_bytes()).unwrap().0, content);
    }
}

#[test]
fn r29_ids_are_opaque_and_written_as_uuid_v7() {
    let id = MessageId::new(0x0102_0304_0506, [0xff; 10]);
    assert_eq!(id.0[..6], [1, 2, 3, 4, 5, 6], "the time, most significant byte first");
    assert_eq!((id.0[6] & 0xf0, id.0[8] & 0xc0), (0x70, 0x80), "version and variant");
    assert!(id < MessageId::new(0x0102_0304_0507, [0; 10]), "ids sort by time");
    for opaque in [[0; 16], [0xff; 16]] {
        let header = MessageHeader { id: MessageId(opaque), ..text_header(Digest::ZERO, 0) };
        assert_eq!(Header::parse(&header.to_bytes()), Ok(Header::Message(header)));
    }
}
