//! What can be told about the cryptography of a frame by whoever carries it: key ids, labels,
//! digests, counters and sizes. No key and no plaintext comes in here, so none can come out.

use std::fmt::{self, Write as _};

use crate::crypto::sha256;
use crate::frame::RawFrame;
use crate::header::Header;
use crate::id::Digest;
use crate::members::MemberLine;

/// Lines under the first one are set in by this.
const INDENT: &str = "  ";

/// One line of a block.
fn line(block: &mut String, name: &str, value: fmt::Arguments<'_>) {
    writeln!(block, "{INDENT}{name:<10} {value}").expect("writing to a String cannot fail");
}

/// The lines about a frame: what it is, what was signed and how, and what its epoch is.
pub fn frame(frame: &RawFrame, header: &Header) -> String {
    let mut block = String::new();
    let (from, sk) = header.signer();
    let label = header.shape().label();
    let (cid, id) = (header.conversation(), header.id());
    line(&mut block, "frame", format_args!("{} {id} in {cid} from {from}", header.tag()));
    let part = |bytes: &[u8]| format!("{} ({} bytes)", Digest(sha256(bytes)), bytes.len());
    line(&mut block, "header", format_args!("sha256 {}", part(frame.header())));
    line(&mut block, "body", format_args!("sha256 {}", part(frame.body())));
    line(&mut block, "signed", format_args!("{label:?}, sha256 {}", frame.digest(label)));
    match frame.batch(label) {
        None => line(&mut block, "signature", format_args!("single, by key {sk}")),
        Some(place) => line(
            &mut block,
            "signature",
            format_args!(
                "batch k={} i={}, root {}, by key {sk}",
                place.count, place.index, place.root
            ),
        ),
    }
    match header {
        Header::Message(message) => line(
            &mut block,
            "sealed",
            format_args!(
                "AES-256-GCM, epoch {}, counter {}, after {}",
                message.e, message.n, message.p
            ),
        ),
        Header::Key(key) => {
            let e = Digest(sha256(frame.header()));
            line(&mut block, "epoch", format_args!("{e}, generation {}, after {}", key.g, key.pe));
            line(&mut block, "commits", format_args!("to its key {}", key.kc));
            line(&mut block, "members", format_args!("sha256 {}", key.mh));
        }
        Header::Receipt(_) | Header::Member(_) => {}
    }
    line(&mut block, "size", format_args!("{} bytes", frame.bytes().len()));
    block
}

/// The line about a wrapped epoch key.
pub fn wrap(to: &MemberLine) -> String {
    let mut block = String::new();
    line(&mut block, "wrapped", format_args!("RSA-OAEP, for key {} of {}", to.ek, to.name));
    block
}

/// The last line of a block.
pub fn verdict(words: &str) -> String {
    let mut block = String::new();
    line(&mut block, "verdict", format_args!("{}", crate::sanitise::line(words)));
    block
}
