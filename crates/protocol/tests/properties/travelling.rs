//! One of everything that travels, as it should be.

use std::sync::LazyLock;

use bytes::Bytes;
use chat_protocol::content::{self, ChainNotes, Content};
use chat_protocol::envelope;
use chat_protocol::frame::{Delivery, Upload, sign_all};
use chat_protocol::handshake::{Reception, SignedIn};
use chat_protocol::header::Canonical;
use chat_protocol::id::Digest;
use chat_protocol::ratchet::Chain;

use super::parties::{ALICE, both, epoch, parameters, text_header};
use super::signing_in::{LINK, attempt, hub_bundle};

pub(crate) static RECEPTION: LazyLock<Reception> =
    LazyLock::new(|| Reception::new(&hub_bundle(), [5; 32]));

/// One of everything that travels.
pub(crate) static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let (single, batch, _) = sealed();
    let new = epoch(parameters("room:lobby"));
    let (auth, _) = attempt(&RECEPTION, None);
    let answer = SignedIn::at(1);
    let ok = RECEPTION.open(&auth, &LINK, None).unwrap().ok(&answer);
    let mut good = vec![
        single.to_vec(),
        Delivery::encode(1, 2, &batch).to_vec(),
        batch.to_vec(),
        ALICE.bundle.bytes().to_vec(),
        both().as_bytes().to_vec(),
        text_header(Digest::ZERO, 0).to_bytes(),
        content::encode(&Content::Text("hello".to_owned()), &ChainNotes::default()),
        RECEPTION.text().as_bytes().to_vec(),
        auth.into_bytes(),
        ok.into_bytes(),
    ];
    let uploads = Upload::split(new.head.e, both().as_bytes(), &new.wraps);
    good.extend(uploads.iter().map(|message| message.to_vec()));
    good.extend(sign_all(&ALICE.keys.signing, &[new.frame]).iter().map(|frame| frame.to_vec()));
    good
});

/// A frame signed alone, one of a batch of three, and the chain that opens both.
pub(crate) fn sealed() -> (Bytes, Bytes, Chain) {
    let new = epoch(parameters("room:lobby"));
    let line = both().position(&ALICE.user, &ALICE.keys.signing_id()).unwrap();
    let start = Chain::new(new.chains.get(line).unwrap());
    let mut chain = start.clone();
    let mut seal = || {
        let (n, key) = chain.advance();
        let plaintext = content::encode(&Content::Text("a".into()), &ChainNotes::default());
        envelope::seal(&text_header(new.head.e, n), &key, [9; 12], &plaintext)
    };
    let single = sign_all(&ALICE.keys.signing, &[seal()]).remove(0);
    let batch = sign_all(&ALICE.keys.signing, &[seal(), seal(), seal()]).remove(1);
    (single, batch, start)
}
