//! Ways to alter an envelope.

use std::ops::Range;

/// splitmix64: enough for tests, and the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap()
    }
}

/// Where the header of a frame is.
fn header(frame: &[u8]) -> Range<usize> {
    let length = u32::from_be_bytes(*frame[2..].first_chunk().unwrap());
    6..6 + usize::try_from(length).unwrap()
}

/// Where the body of a frame is.
fn body(frame: &[u8]) -> Range<usize> {
    let start = header(frame).end;
    let length = u32::from_be_bytes(*frame[start..].first_chunk().unwrap());
    start + 4..start + 4 + usize::try_from(length).unwrap()
}

/// The frame with another header and body, under the same signature.
fn assemble(frame: &[u8], header: &[u8], body: &[u8], auth: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap().to_be_bytes();
    let parts: [&[u8]; 6] = [&frame[..2], &length(header), header, &length(body), body, auth];
    parts.concat()
}

/// An envelope altered in one of the ways, and how that was.
pub(crate) fn alter(dice: &mut Dice, frame: &[u8], other: &[u8]) -> (Vec<u8>, &'static str) {
    let (own_header, own_body) = (header(frame), body(frame));
    let auth = &frame[own_body.end..];
    let mut bytes = frame.to_vec();
    match dice.below(10) {
        0 | 1 => {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            (bytes, "a bit was changed")
        }
        2 => {
            bytes.remove(dice.below(bytes.len()));
            (bytes, "a byte was taken out")
        }
        3 => {
            let byte = u8::try_from(dice.below(256)).unwrap();
            bytes.insert(dice.below(bytes.len() + 1), byte);
            (bytes, "a byte was put in")
        }
        4 => {
            let at = own_body.start + dice.below(own_body.len());
            if at < bytes.len() {
                bytes[at] ^= 1 << dice.below(8);
            }
            (bytes, "a bit of the body was changed")
        }
        5 | 6 => {
            let edited = edit_value(dice, &frame[own_header]);
            (assemble(frame, &edited, &frame[own_body], auth), "a value of the header was changed")
        }
        7 => {
            let value = swap_values(dice, &frame[own_header], &other[header(other)]);
            (assemble(frame, &value, &frame[own_body], auth), "a value came from another header")
        }
        8 => {
            let theirs = &other[body(other)];
            (assemble(frame, &frame[own_header], theirs, auth), "the body is another one's")
        }
        _ => {
            let theirs = &other[body(other).end..];
            let mut bytes = assemble(frame, &frame[own_header], &frame[own_body], theirs);
            bytes[1] = other[1];
            (bytes, "the signature is another one's")
        }
    }
}

/// The values of a header, which is JSON without escapes and without nesting: key, and where the value
/// is.
fn values(header: &[u8]) -> Vec<(String, Range<usize>)> {
    let text = std::str::from_utf8(header).unwrap_or_default();
    let mut values = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find("\":").map(|at| rest + at) {
        let key = text[..start].rfind('"').map_or(0, |at| at + 1);
        let from = start + 2;
        let is_text = text[from..].starts_with('"');
        let end = if is_text {
            text[from + 1..].find('"').map(|at| from + at + 2)
        } else {
            text[from..].find([',', '}']).map(|at| from + at)
        };
        let Some(end) = end else { break };
        values.push((text[key..start].to_owned(), from..end));
        rest = end;
    }
    values
}

/// Another number, or another letter in a text.
fn edit_value(dice: &mut Dice, header: &[u8]) -> Vec<u8> {
    let values = values(header);
    let mut edited = header.to_vec();
    let Some((_, at)) = values.get(dice.below(values.len())).cloned() else { return edited };
    if header[at.start] == b'"' {
        let inside = at.start + 1..at.end - 1;
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        if !inside.is_empty() {
            edited[inside.start + dice.below(inside.len())] = letters[dice.below(letters.len())];
        }
    } else {
        let number = [0u64, 1, 2, 7, 4_294_967_295, 1_790_000_000_001][dice.below(6)];
        edited.splice(at, number.to_string().into_bytes());
    }
    edited
}

/// A value as it stands under the same key of another header.
fn swap_values(dice: &mut Dice, header: &[u8], other: &[u8]) -> Vec<u8> {
    let (own, theirs) = (values(header), values(other));
    let same = |(key, at): &(String, Range<usize>)| {
        let (_, from) = theirs.iter().find(|(other, _)| other == key)?;
        (header[at.clone()] != other[from.clone()]).then(|| (at.clone(), from.clone()))
    };
    let pairs: Vec<_> = own.iter().filter_map(same).collect();
    let mut swapped = header.to_vec();
    match pairs.get(dice.below(pairs.len())) {
        Some((at, from)) => drop(swapped.splice(at.clone(), other[from.clone()].to_vec())),
        None => swapped = edit_value(dice, header),
    }
    swapped
}
