//! Judges sealed messages and receipts.
#![expect(
    clippy::unwrap_in_result,
    reason = "a fault of the file is no refusal: it fails the test"
)]

use chat_protocol::content;
use chat_protocol::envelope;
use chat_protocol::header::{Header, MessageHeader, Recipient};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::UserName;
use chat_protocol::ratchet::Chain;
use chat_protocol::tag::{Address, Shape, label};

use super::check::{Judge, OpenEpoch, Verdict};
use super::format::{Case, MessageCase, ReceiptCase};

/// A message that was opened: what a receipt may name.
pub(crate) struct Opened {
    id: MessageId,
    digest: Digest,
    header: MessageHeader,
}

/// Opens frames of one sender in order.
pub(crate) fn message(judge: &Judge<'_>, case: &MessageCase) -> Verdict<Vec<Opened>> {
    let epoch = judge.open_epoch(&case.epoch);
    let mut chain: Option<Chain> = None;
    let mut last = case.after;
    let mut opened = Vec::new();
    for (index, bytes) in case.frames.iter().enumerate() {
        let (frame, header) = Judge::read(&bytes.0, Shape::Message)?;
        let Header::Message(message) = &header else { return Err("header") };
        table(message)?;
        let first = listed(&epoch, message)?;
        judge.signature(&frame, &header)?;
        let key = chain.get_or_insert_with(|| Chain::new(first)).key_for(message.n);
        let key = key.map_err(|_| "counter")?;
        order(message, last)?;
        let digest = frame.digest(label::MSG);
        last = Some((message.n, digest));
        let plaintext = envelope::open(&frame, &key).map_err(|_| "open")?;
        content::decode(message.t, &plaintext).map_err(|_| "content")?;
        if let Some(expect) = &case.expect {
            assert_eq!(expect.len(), case.frames.len());
            assert_eq!(String::from_utf8(plaintext).unwrap(), expect[index].plaintext);
            assert_eq!(digest, expect[index].digest);
        }
        opened.push(Opened { id: message.id, digest, header: message.clone() });
    }
    Ok(opened)
}

/// Whether tag, conversation and recipient go together (rule R23).
fn table(message: &MessageHeader) -> Verdict {
    let right = match message.t.fits(&message.cid.kind()) {
        Some(Address::Everyone) => message.to == Recipient::Everyone,
        Some(Address::Other) => {
            let other = message.cid.other(&message.from);
            other.is_some() && message.to.user() == other.as_ref()
        }
        None => false,
    };
    if right { Ok(()) } else { Err("table") }
}

/// The first chain key of a sender who is in the epoch.
fn listed<'e>(epoch: &'e OpenEpoch, message: &MessageHeader) -> Verdict<&'e [u8; 32]> {
    if message.e != epoch.e || message.cid != epoch.header.cid {
        return Err("epoch");
    }
    let line = epoch.members.position(&message.from, &message.sk).ok_or("members")?;
    Ok(epoch.chains.get(line).unwrap())
}

/// The hash chain of one sender, checked where the frame before was received (rules R6, R15).
fn order(message: &MessageHeader, last: Option<(u32, Digest)>) -> Verdict {
    let before = match last {
        _ if message.n == 0 => last.map_or(Digest::ZERO, |(_, digest)| digest),
        Some((n, digest)) if n + 1 == message.n => digest,
        _ => return Ok(()),
    };
    if message.p == before { Ok(()) } else { Err("order") }
}

/// A receipt counts for frames of the one it is addressed to, in that conversation (rule R8).
pub(crate) fn receipt(judge: &Judge<'_>, case: &ReceiptCase) -> Verdict {
    let (frame, header) = Judge::read(&case.frame.0, Shape::Receipt)?;
    let Header::Receipt(receipt) = &header else { return Err("header") };
    let Case::Message(about) = judge.case(&case.of) else { panic!("{} is messages", case.of) };
    let epoch = judge.open_epoch(&about.epoch);
    let messages = message(judge, about).expect("what is receipted was accepted");
    let mine = |opened: &Opened| opened.header.from == receipt.to;
    if receipt.cid != epoch.header.cid || !messages.iter().all(mine) {
        return Err("table");
    }
    if !lists(&epoch, &receipt.from) {
        return Err("members");
    }
    judge.signature(&frame, &header)?;
    let body = envelope::read_receipt(receipt, frame.body()).ok_or("content")?;
    for (id, digest) in &body.re {
        let named = |opened: &Opened| opened.id == *id && opened.digest == *digest;
        if !messages.iter().any(named) {
            return Err("unknown");
        }
    }
    if let Some(expect) = case.expect {
        assert_eq!(frame.digest(label::RECEIPT), expect);
    }
    Ok(())
}

fn lists(epoch: &OpenEpoch, user: &UserName) -> bool {
    epoch.members.lines().iter().any(|line| line.name == *user)
}
