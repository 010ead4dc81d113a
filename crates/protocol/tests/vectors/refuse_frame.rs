//! Good frames with bytes changed: alone signed, and in a batch.

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::{RawFrame, Unsigned, sign_all};
use chat_protocol::limits::HEADER_BYTES_MAX;
use chat_protocol::tag::label;

use super::format::{Case, MessageCase};
use super::generate::World;

type Edit<'e> = &'e dyn Fn(&mut Vec<u8>);

/// Where the parts of a frame begin.
struct Parts {
    header: usize,
    body: usize,
    auth: usize,
}

fn parts(frame: &[u8]) -> Parts {
    let raw = RawFrame::decode(frame.to_vec().into()).unwrap();
    let body = 10 + raw.header().len();
    Parts { header: 6, body, auth: body + raw.body().len() }
}

fn changed(case: &MessageCase, index: usize, edit: &dyn Fn(&mut Vec<u8>)) -> Case {
    let mut frame = case.frames[index].0.clone();
    edit(&mut frame);
    let (frames, epoch) = (vec![B64Vec(frame)], case.epoch.clone());
    Case::Message(MessageCase { epoch, after: None, frames, expect: None })
}

pub(crate) fn single(world: &mut World, case: &MessageCase) {
    let frame = &case.frames[0].0;
    let Parts { header, body, auth } = parts(frame);
    // The time is the header's last value: its last digit stands before the closing brace.
    let digit = body - 4 - 2;
    let long = u32::try_from(HEADER_BYTES_MAX + 1).unwrap().to_be_bytes();
    let edits: [(&str, &str, &str, Edit<'_>); 14] = [
        ("version", "frame", "the version byte is 2", &|f| f[0] = 2),
        ("kind", "frame", "the kind byte is 3", &|f| f[1] = 3),
        ("kind-none", "frame", "the kind byte is 0, the signature still there", &|f| f[1] = 0),
        (
            "unsigned",
            "signature",
            "the kind byte is 0 and the signature is gone (rule R10)",
            &|f| {
                f[1] = 0;
                f.truncate(auth);
            },
        ),
        ("header-length", "frame", "the header is one byte longer than it may be", &|f| {
            f[2..6].copy_from_slice(&long);
        }),
        ("header-brace", "header", "one bit of the header's first byte", &|f| f[header] ^= 1),
        ("header-digit", "signature", "one bit of the time in the header", &|f| f[digit] ^= 1),
        ("nonce", "signature", "one bit of the nonce", &|f| f[body] ^= 1),
        ("body", "signature", "one bit of the body", &|f| f[body + 20] ^= 0x80),
        ("tag", "signature", "one bit of the authentication tag", &|f| f[auth - 1] ^= 1),
        ("signature", "signature", "one bit of the signature", &|f| f[auth] ^= 1),
        ("cut", "signature", "the last byte is gone", &|f| f.truncate(f.len() - 1)),
        ("longer", "signature", "one byte more at the end", &|f| f.push(0)),
        ("no-signature", "signature", "the signature is gone", &|f| f.truncate(auth)),
    ];
    let cut = changed(case, 0, &|f| f.truncate(body + 3));
    for (name, at, altered, edit) in edits {
        let why = "a frame is what was signed, byte for byte";
        world.refuse(&format!("frame/{name}"), [at, altered, why], changed(case, 0, edit));
    }
    let why = "every length must fit the message";
    world.refuse("frame/short", ["frame", "the frame ends inside its body", why], cut);
}

/// Which frame of the batch is changed: it has three siblings on its way to the root.
const CHANGED: usize = 2;

pub(crate) fn batch(world: &mut World, single: &MessageCase, batch: &MessageCase) {
    let Parts { header: _, body, auth } = parts(&batch.frames[CHANGED].0);
    let (count, index, length) = (auth + 1, auth + 3, auth + 4);
    let path = auth + 5;
    let edits: [(&str, &str, &str, Edit<'_>); 13] = [
        ("index", "signature", "index 3 in place of 2, with a path as long", &|f| f[index] = 3),
        ("index-length", "frame", "index 4, whose path is shorter", &|f| f[index] = 4),
        ("index-beyond", "frame", "index 5 of 5", &|f| f[index] = 5),
        ("count", "signature", "6 frames in place of 5, with a path as long", &|f| f[count] = 6),
        ("count-one", "frame", "a batch of one", &|f| f[count] = 1),
        ("count-many", "frame", "a batch of sixty-five", &|f| f[count] = 65),
        ("path", "signature", "one bit of the path", &|f| f[path] ^= 1),
        ("path-length", "frame", "a path of four hashes", &|f| f[length] = 4),
        ("path-short", "frame", "a hash less in the path, and its length with it", &|f| {
            f[length] = 2;
            f.drain(path..path + 32);
        }),
        ("body", "signature", "one bit of the body", &|f| f[body] ^= 1),
        ("signature", "signature", "one bit of the signature", &|f| f[path + 96] ^= 1),
        ("longer", "signature", "one byte more at the end", &|f| f.push(0)),
        ("as-single", "signature", "the batch's signature given as that of the frame", &|f| {
            f[1] = 1;
            f.drain(auth..path + 96);
        }),
    ];
    let why = "count, index, path and signature belong to one tree (rule R20)";
    for (name, at, altered, edit) in edits {
        world.refuse(&format!("batch/{name}"), [at, altered, why], changed(batch, CHANGED, edit));
    }
    let other = &batch.frames[CHANGED + 1].0;
    let theirs = parts(other);
    let lengths = |f: &[u8], parts: &Parts| f[parts.body - 4..parts.auth].to_vec();
    let swapped = changed(batch, CHANGED, &|f| {
        f.splice(body - 4..auth, lengths(other, &theirs));
    });
    let altered = "the body of the next frame of the batch";
    world.refuse("batch/swapped-body", ["signature", altered, why], swapped);
    let foreign = foreign_batch(world, single, batch);
    let altered = "all five signed again by bob in alice's name";
    world.refuse("batch/by-another", ["signature", altered, why], foreign);
}

fn foreign_batch(world: &World, single: &MessageCase, batch: &MessageCase) -> Case {
    let unsigned: Vec<_> = batch
        .frames
        .iter()
        .map(|frame| RawFrame::decode(frame.0.clone().into()).unwrap())
        .map(|raw| Unsigned::new(label::MSG, raw.header().to_vec(), raw.body().to_vec()))
        .collect();
    let signed = sign_all(&world.bob.keys.signing, &unsigned);
    let frames = vec![B64Vec(signed[CHANGED].to_vec())];
    Case::Message(MessageCase { frames, after: None, expect: None, ..single.clone() })
}
