//! What two earlier implementations sealed (Rust, and SubtleCrypto in JavaScript) opens with every
//! backend that is built in. They are vectors of the primitives: those frames have no leading
//! version and kind byte, and their KEY header has no generation.

use std::sync::OnceLock;

use chat_protocol::b64;
use serde_json::Value;

/// Everything sealed and signed by the Rust prototype: one epoch, two frames, the private keys.
fn rust() -> &'static Value {
    static FILE: OnceLock<Value> = OnceLock::new();
    FILE.get_or_init(|| parse(include_str!("vectors/prototype-rust.json")))
}

/// A frame sealed by SubtleCrypto in the same epoch, and the epoch's key.
fn webcrypto() -> &'static Value {
    static FILE: OnceLock<Value> = OnceLock::new();
    FILE.get_or_init(|| parse(include_str!("vectors/prototype-webcrypto.json")))
}

fn parse(file: &str) -> Value {
    serde_json::from_str(file).expect("a vector file is JSON")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).expect(field)
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    b64::decode(text(value, field)).expect(field)
}

fn header_of(hdr: &[u8]) -> Value {
    serde_json::from_slice(hdr).expect("a header is JSON")
}

struct PrototypeFrame<'a> {
    hdr: &'a [u8],
    body: &'a [u8],
    signature: &'a [u8],
}

impl<'a> PrototypeFrame<'a> {
    /// `u32 hlen | hdr | u32 blen | body | signature`
    fn read(frame: &'a [u8]) -> Option<Self> {
        let (hdr, rest) = counted(frame)?;
        let (body, signature) = counted(rest)?;
        Some(Self { hdr, body, signature })
    }
}

fn counted(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = input.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)
}

macro_rules! opened_by {
    ($backend:ident) => {
        mod $backend {
            use chat_protocol::crypto::$backend::{
                SigningKey, UnwrapKey, VerifyingKey, WrapKey, gcm_open, hkdf_expand, hkdf_extract,
                hmac_sha256, sha256, sha256_parts,
            };
            use chat_protocol::crypto::{BadSignature, UnwrapFailed};

            use super::*;

            fn tbs(label: &str, hdr: &[u8], body: &[u8]) -> Vec<u8> {
                [label.as_bytes(), &[0], &sha256(hdr), &sha256(body)].concat()
            }

            fn epoch_key() -> [u8; 32] {
                let ek = UnwrapKey::from_pkcs8(&bytes(rust(), "ek_pkcs8")).unwrap();
                let label =
                    format!("chat-e2e/1 wrap {}", b64::encode(&sha256(&bytes(rust(), "hdr"))));
                *ek.unwrap(label.as_bytes(), &bytes(rust(), "wrap")).unwrap()
            }

            fn chain(epoch_key: &[u8; 32], sender: &str) -> [u8; 32] {
                let hdr = header_of(&bytes(rust(), "hdr"));
                let prk = hkdf_extract(&bytes(&hdr, "eid"), epoch_key);
                let (cid, sk) = (text(rust(), "cid"), text(&hdr, "sk"));
                let names = [cid, sender, sk].join("\0");
                *hkdf_expand(&prk, &[b"chat-e2e/1 chain\0", names.as_bytes()])
            }

            /// Verifies and opens; `None` whatever is wrong.
            fn open(frame: &[u8], key: &VerifyingKey, chain_key: &[u8; 32]) -> Option<Vec<u8>> {
                let frame = PrototypeFrame::read(frame)?;
                key.verify(&tbs("chat-e2e/1 msg", frame.hdr, frame.body), frame.signature).ok()?;
                let message_key = hmac_sha256(chain_key, &[&[1]]);
                let (nonce, sealed) = frame.body.split_first_chunk()?;
                gcm_open(&message_key, nonce, frame.hdr, sealed).ok().map(|plain| plain.to_vec())
            }

            #[test]
            fn the_epoch_is_signed_wrapped_and_committed() {
                let hdr = bytes(rust(), "hdr");
                let sk = VerifyingKey::from_spki(&bytes(rust(), "sk_spki")).unwrap();
                let signature = bytes(rust(), "ksig");
                assert_eq!(sk.verify(&tbs("chat-e2e/1 key", &hdr, b""), &signature), Ok(()));
                assert_eq!(
                    sk.verify(&tbs("chat-e2e/1 msg", &hdr, b""), &signature),
                    Err(BadSignature)
                );

                let key = epoch_key();
                assert_eq!(key.to_vec(), bytes(webcrypto(), "k"));
                let ek = UnwrapKey::from_pkcs8(&bytes(rust(), "ek_pkcs8")).unwrap();
                assert_eq!(ek.unwrap(b"x", &bytes(rust(), "wrap")).err(), Some(UnwrapFailed));

                let header = header_of(&hdr);
                let prk = hkdf_extract(&bytes(&header, "eid"), &key);
                let names = [text(rust(), "cid"), text(&header, "from")].join("\0");
                let commitment = hkdf_expand(&prk, &[b"chat-e2e/1 commit\0", names.as_bytes()]);
                assert_eq!(b64::encode_array(&commitment), text(&header, "kc"));
            }

            #[test]
            fn chained_frames_open_in_order() {
                let sk = VerifyingKey::from_spki(&bytes(rust(), "sk_spki")).unwrap();
                let epoch = b64::encode_array(&sha256(&bytes(rust(), "hdr")));
                let mut chain_key = chain(&epoch_key(), "alice");
                let mut previous = [0; 32];
                let frames = rust().get("frames").and_then(Value::as_array).unwrap();
                assert_eq!(frames.len(), 2);
                for (n, encoded) in (0_u64..).zip(frames) {
                    let encoded = b64::decode(encoded.as_str().unwrap()).unwrap();
                    assert!(!open(&encoded, &sk, &chain_key).unwrap().is_empty());
                    let frame = PrototypeFrame::read(&encoded).unwrap();
                    let header = header_of(frame.hdr);
                    assert_eq!(header.get("n").and_then(Value::as_u64), Some(n));
                    assert_eq!(text(&header, "p"), b64::encode_array(&previous));
                    assert_eq!(text(&header, "e"), epoch);
                    previous = sha256_parts(&[&tbs("chat-e2e/1 msg", frame.hdr, frame.body)]);
                    chain_key = hmac_sha256(&chain_key, &[&[2]]);
                }
                let bob = b64::encode_array(&chain(&epoch_key(), "bob"));
                assert_eq!(bob, text(rust(), "bobchain"));
            }

            #[test]
            fn a_browser_frame_opens_and_none_of_its_bits_can_change() {
                let sk = VerifyingKey::from_spki(&bytes(webcrypto(), "spki")).unwrap();
                let chain_key = chain(&epoch_key(), "bob");
                let mut frame = bytes(webcrypto(), "frame");
                assert_eq!(open(&frame, &sk, &chain_key).unwrap(), b"from the browser");
                for bit in 0..frame.len() * 8 {
                    frame[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(open(&frame, &sk, &chain_key), None, "bit {bit} changed");
                    frame[bit / 8] ^= 1 << (bit % 8);
                }
            }

            #[test]
            fn private_keys_are_written_as_they_were_read() {
                let sk = SigningKey::from_pkcs8(&bytes(rust(), "sk_pkcs8")).unwrap();
                assert_eq!(*sk.to_pkcs8(), bytes(rust(), "sk_pkcs8"));
                assert_eq!(sk.spki(), bytes(rust(), "sk_spki"));
                let ek = UnwrapKey::from_pkcs8(&bytes(rust(), "ek_pkcs8")).unwrap();
                assert_eq!(*ek.to_pkcs8(), bytes(rust(), "ek_pkcs8"));
                assert_eq!(ek.spki(), bytes(rust(), "ek_spki"));
                assert!(WrapKey::from_spki(ek.spki()).is_ok());
            }
        }
    };
}

#[cfg(feature = "aws-lc")]
opened_by!(aws_lc);
#[cfg(feature = "rustcrypto")]
opened_by!(rustcrypto);
