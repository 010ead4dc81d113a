//! What a hub can do with the help of somebody whose keys it has: an account of its own.

use std::collections::BTreeMap;

use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::frame::sign_all;
use chat_protocol::header::Header;
use chat_protocol::tag::label;
use chat_testkit::cid;
use chat_testkit::device::Device;
use chat_testkit::middle::Way;

use crate::{Act, VICTIM, WRITER, read};

/// What is wrong with a receipt.
#[derive(Debug, Clone)]
pub enum FalseReceipt {
    /// Its conversation is another one.
    OtherPlace(&'static str),
    /// Its signature is that of somebody else, who calls itself like the recipient.
    OtherKey(Box<Device>),
}

/// The writer's first message to this device is confirmed by a false receipt, the next ones by the device's
/// own. Nothing is delivered to it.
pub fn false_receipt(device: Device, lie: FalseReceipt) -> Act {
    let (mut sent, mut is_told) = (BTreeMap::new(), false);
    Box::new(move |scene, passing| {
        if let Some((Header::Message(header), frame)) = read::frame(&passing)
            && passing.user == WRITER
            && header.cid.is_direct()
        {
            let named = (header.cid.clone(), header.id, frame.digest(label::MSG));
            sent.insert(header.id.to_string(), named);
        }
        let ack = read::text(&passing, Way::ToClient, "ACK");
        let id = ack.as_ref().and_then(|ack| ack["id"].as_str());
        let receipt = id.and_then(|id| sent.remove(id)).and_then(|(place, id, digest)| {
            let is_first = !std::mem::replace(&mut is_told, true);
            let (signer, place) = match &lie {
                FalseReceipt::OtherPlace(other) if is_first => (&device, cid(other)),
                FalseReceipt::OtherKey(other) if is_first => (&**other, place),
                _ => (&device, place),
            };
            let header = signer.receipt(&place, &chat_testkit::name(WRITER));
            let body = ReceiptBody { re: vec![(id, digest)], code: None };
            let frame = envelope::receipt(&header, &body);
            let frame = sign_all(&signer.keys.signing, &[frame]).pop().unwrap();
            scene.deliver(WRITER, &frame)
        });
        [passing].into_iter().chain(receipt).collect()
    })
}

/// Delivers the writer's first message to the victim once more, at a later position, when so many
/// messages of somebody else have come in between.
pub fn ids_pushed_out(many: usize) -> Act {
    let (mut first, mut others) = (None, 0);
    Box::new(move |scene, passing| {
        if let Some((_, delivery)) = scene.news(&passing) {
            first.get_or_insert(delivery);
            return vec![passing];
        }
        let is_others = passing.user == VICTIM
            && matches!(read::delivery(&passing), Some((Header::Message(_), _)));
        others += usize::from(is_others);
        let again = match &first {
            Some(first) if is_others && others == many => {
                scene.deliver(VICTIM, first.frame.bytes())
            }
            _ => None,
        };
        [passing].into_iter().chain(again).collect()
    })
}
