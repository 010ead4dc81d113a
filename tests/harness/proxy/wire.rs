//! WebSocket frames of one direction (RFC 6455, section 5.2), and messages in them.

use chat_testkit::middle::Message;

/// First byte of a whole text message.
const TEXT: u8 = 0x81;
/// First byte of a whole binary message.
const BINARY: u8 = 0x82;

/// A piece of what one side sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The head of HTTP, or a frame that is no whole message: pings, the end.
    Raw(Vec<u8>),
    /// A message.
    Message(Message),
}

/// Cuts a stream of bytes into pieces.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Bytes that are no whole piece yet.
    held: Vec<u8>,
    /// The head of HTTP has passed.
    is_upgraded: bool,
}

impl Cutter {
    /// The pieces that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        if !self.is_upgraded {
            let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else {
                return pieces;
            };
            pieces.push(Piece::Raw(self.held.drain(..end + 4).collect()));
            self.is_upgraded = true;
        }
        while let Some((payload, rest)) = frame(&self.held) {
            let length = self.held.len() - rest.len();
            let whole: Vec<u8> = self.held.drain(..length).collect();
            let message = match whole.first() {
                Some(&TEXT) => String::from_utf8(payload).ok().map(Message::Text),
                Some(&BINARY) => Some(Message::Binary(payload.into())),
                _ => None,
            };
            pieces.push(message.map_or(Piece::Raw(whole), Piece::Message));
        }
        pieces
    }
}

/// One frame. Those to a server carry a mask, here of zeros.
pub(super) fn encode(is_text: bool, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut out = vec![if is_text { TEXT } else { BINARY }];
    let mask_bit: u8 = if masked { 0x80 } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => out.push(mask_bit | short),
        (_, Ok(length)) => {
            out.push(mask_bit | 0x7E);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    if masked {
        out.extend([0; 4]);
    }
    out.extend_from_slice(payload);
    out
}

/// The HTTP request and the payloads of the frames after it (RFC 6455, section 5.2).
pub(super) fn unmasked(tape: &[u8]) -> Vec<u8> {
    let end = tape.windows(4).position(|four| four == b"\r\n\r\n").map_or(tape.len(), |at| at + 4);
    let (head, mut rest) = tape.split_at(end);
    let mut clear = head.to_vec();
    while let Some((payload, after)) = frame(rest) {
        clear.extend(payload);
        rest = after;
    }
    clear
}

/// The first frame's payload in clear, and what follows it.
fn frame(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&[_, length], rest) = bytes.split_first_chunk::<2>()?;
    let is_masked = length & 0x80 != 0;
    let (length, rest) = match length & 0x7F {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let (mask, rest) = if is_masked { rest.split_first_chunk::<4>()? } else { (&[0; 4], rest) };
    let (payload, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let clear = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((clear.collect(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_frame_is_read_in_clear() {
        // The example of RFC 6455, section 5.7.
        let mut tape = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        tape.extend([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
        assert!(unmasked(&tape).ends_with(b"\r\n\r\nHello"));
    }

    #[test]
    fn a_stream_is_cut_the_same_however_the_bytes_come() {
        let head = b"HTTP/1.1 101 x\r\n\r\n".to_vec();
        let lengths = [0, 5, 125, 126, 70_000];
        let binary = |length: usize| vec![7; length];
        for masked in [false, true] {
            let mut stream = head.clone();
            let mut expected = vec![Piece::Raw(head.clone())];
            for length in lengths {
                stream.extend(encode(true, "x".repeat(length).as_bytes(), masked));
                stream.extend(encode(false, &binary(length), masked));
                expected.push(Piece::Message(Message::Text("x".repeat(length))));
                expected.push(Piece::Message(Message::Binary(binary(length).into())));
            }
            let ping = vec![0x89, 0];
            stream.extend(&ping);
            expected.push(Piece::Raw(ping));
            for size in [7, 1_000, stream.len()] {
                let mut cutter = Cutter::default();
                let pieces: Vec<_> =
                    stream.chunks(size).flat_map(|part| cutter.push(part)).collect();
                assert_eq!(pieces, expected, "in parts of {size}");
            }
        }
    }
}
