//! The two backends against each other: what one makes the other accepts, what one refuses the
//! other refuses. `cargo test -p chat-protocol --features rustcrypto`.
#![cfg(all(feature = "aws-lc", feature = "rustcrypto"))]

use std::num::NonZeroU32;
use std::sync::OnceLock;

use chat_protocol::crypto::{
    BadSignature, KeyBits, KeyError, OpenFailed, UnwrapFailed, aws_lc, rustcrypto,
};
use proptest::prelude::*;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::rand_core::UnwrapErr;
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign, Pss, RsaPrivateKey};
use sha2::Sha256;

/// RSA takes milliseconds: fewer cases than the default of 256.
const RSA_CASES: u32 = 24;

type SystemRng = UnwrapErr<rand::rngs::SysRng>;

fn system_rng() -> SystemRng {
    UnwrapErr(rand::rngs::SysRng)
}

/// A 2048-bit key from each backend, as PKCS#8: made once, because that takes a tenth of a second.
fn private_keys() -> &'static [Vec<u8>; 2] {
    static KEYS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        let one = aws_lc::SigningKey::generate(KeyBits::B2048).expect("aws_lc makes a key");
        let two = rustcrypto::UnwrapKey::generate(KeyBits::B2048).expect("rustcrypto makes a key");
        [one.to_pkcs8().to_vec(), two.to_pkcs8().to_vec()]
    })
}

/// A key of any size and exponent, as (PKCS#8, SPKI).
fn unusual_key(bits: usize, exponent: u64) -> (Vec<u8>, Vec<u8>) {
    let key = RsaPrivateKey::new_with_exp(&mut system_rng(), bits, BoxedUint::from(exponent))
        .expect("the rsa crate makes unusual keys");
    let private = key.to_pkcs8_der().expect("encodes").as_bytes().to_vec();
    (private, key.to_public_key().to_public_key_der().expect("encodes").into_vec())
}

/// One DER element of up to 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    let head = match length {
        [0, short @ 0..=0x7f] => vec![tag, short],
        [0, medium] => vec![tag, 0x81, medium],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), content].concat()
}

const ALGORITHM: &[u8] =
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const EXPONENT: &[u8] = &[1, 0, 1];

fn spki_of_key(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = [&[0], element(0x30, key).as_slice()].concat();
    element(0x30, &[element(0x30, algorithm), element(0x03, &bits)].concat())
}

fn spki_of(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    spki_of_key(ALGORITHM, &[element(0x02, modulus), element(0x02, exponent)].concat())
}

/// An odd number of exactly that many bits (8 must divide it) with its sign byte.
fn modulus(bits: usize) -> Vec<u8> {
    [&[0], vec![0xff; bits / 8].as_slice()].concat()
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    *changed.get_mut(bit / 8).expect("a bit of these bytes") ^= 1 << (bit % 8);
    changed
}

/// What each of the four ways to read a public key says.
fn judge_public(spki: &[u8]) -> [Option<KeyError>; 4] {
    [
        aws_lc::VerifyingKey::from_spki(spki).err(),
        aws_lc::WrapKey::from_spki(spki).err(),
        rustcrypto::VerifyingKey::from_spki(spki).err(),
        rustcrypto::WrapKey::from_spki(spki).err(),
    ]
}

/// What each of the four ways to read a private key says.
fn judge_private(pkcs8: &[u8]) -> [Option<KeyError>; 4] {
    [
        aws_lc::SigningKey::from_pkcs8(pkcs8).err(),
        aws_lc::UnwrapKey::from_pkcs8(pkcs8).err(),
        rustcrypto::SigningKey::from_pkcs8(pkcs8).err(),
        rustcrypto::UnwrapKey::from_pkcs8(pkcs8).err(),
    ]
}

/// Everything that `$maker` makes and `$reader` reads.
macro_rules! across {
    ($name:ident: $maker:ident => $reader:ident) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(RSA_CASES))]

                #[test]
                fn signatures(message: Vec<u8>, other: Vec<u8>, bit in 0..2048_usize) {
                    for private in private_keys() {
                        let signing = $maker::SigningKey::from_pkcs8(private).unwrap();
                        let verifying = $reader::VerifyingKey::from_spki(signing.spki()).unwrap();
                        let signature = signing.sign(&message);
                        prop_assert_eq!(signature.len(), verifying.signature_len());
                        prop_assert_eq!(verifying.verify(&message, &signature), Ok(()));
                        let changed = flip(&signature, bit);
                        prop_assert_eq!(verifying.verify(&message, &changed), Err(BadSignature));
                        if other != message {
                            prop_assert_eq!(
                                verifying.clone().verify(&other, &signature),
                                Err(BadSignature)
                            );
                        }
                    }
                }

                #[test]
                fn wraps(key: [u8; 32], label: Vec<u8>, other: Vec<u8>, bit in 0..2048_usize) {
                    for private in private_keys() {
                        let reader = $reader::UnwrapKey::from_pkcs8(private).unwrap();
                        let wrapped =
                            $maker::WrapKey::from_spki(reader.spki()).unwrap().wrap(&label, &key);
                        prop_assert_eq!(*reader.unwrap(&label, &wrapped).unwrap(), key);
                        let changed = flip(&wrapped, bit);
                        prop_assert_eq!(reader.unwrap(&label, &changed).err(), Some(UnwrapFailed));
                        if other != label {
                            let failed = reader.unwrap(&other, &wrapped).err();
                            prop_assert_eq!(failed, Some(UnwrapFailed));
                        }
                    }
                }

                #[test]
                fn ciphertexts(
                    key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, plaintext: Vec<u8>,
                    bit: prop::sample::Index,
                ) {
                    let sealed = $maker::gcm_seal(&key, &nonce, &aad, &plaintext);
                    prop_assert_eq!(sealed.len(), plaintext.len() + 16);
                    let opened = $reader::gcm_open(&key, &nonce, &aad, &sealed).unwrap();
                    prop_assert_eq!(&*opened, &plaintext);
                    let refused = |key: &[u8], nonce: &[u8], aad: &[u8], sealed: &[u8]| {
                        let (key, nonce) = (key.try_into().unwrap(), nonce.try_into().unwrap());
                        $reader::gcm_open(key, nonce, aad, sealed).err() == Some(OpenFailed)
                    };
                    let changed = |bytes: &[u8]| flip(bytes, bit.index(bytes.len() * 8));
                    prop_assert!(refused(&key, &nonce, &aad, &changed(&sealed)));
                    prop_assert!(refused(&changed(&key), &nonce, &aad, &sealed));
                    prop_assert!(refused(&key, &changed(&nonce), &aad, &sealed));
                    let longer = [aad.as_slice(), &[0]].concat();
                    prop_assert!(refused(&key, &nonce, &longer, &sealed));
                    let (shorter, _cut) = sealed.split_at(bit.index(sealed.len()));
                    prop_assert!(refused(&key, &nonce, &aad, shorter));
                }
            }

            /// Every single bit of the signature, the message, the key and their lengths.
            #[test]
            fn no_changed_signature_is_accepted() {
                let [private, _] = private_keys();
                let signing = $maker::SigningKey::from_pkcs8(private).unwrap();
                let verifying = $reader::VerifyingKey::from_spki(signing.spki()).unwrap();
                let message = b"forty bytes or so that somebody has signed";
                let signature = signing.sign(message);
                for bit in 0..signature.len() * 8 {
                    let changed = flip(&signature, bit);
                    assert_eq!(verifying.verify(message, &changed), Err(BadSignature), "{bit}");
                }
                for bit in 0..message.len() * 8 {
                    let changed = flip(message, bit);
                    assert_eq!(verifying.verify(&changed, &signature), Err(BadSignature), "{bit}");
                }
                for wrong in [&signature[1..], &[&[0], signature.as_slice()].concat(), &[]] {
                    assert_eq!(verifying.verify(message, wrong), Err(BadSignature));
                }
            }

            /// A private operation takes a millisecond: every fifth bit, which meets every
            /// position within a byte.
            #[test]
            fn no_changed_wrap_is_accepted() {
                let [_, private] = private_keys();
                let reader = $reader::UnwrapKey::from_pkcs8(private).unwrap();
                let wrapped =
                    $maker::WrapKey::from_spki(reader.spki()).unwrap().wrap(b"label", &[9; 32]);
                for bit in (0..wrapped.len() * 8).step_by(5) {
                    let changed = flip(&wrapped, bit);
                    assert_eq!(
                        reader.unwrap(b"label", &changed).err(),
                        Some(UnwrapFailed),
                        "{bit}"
                    );
                }
                for wrong in [&wrapped[1..], &[&[0], wrapped.as_slice()].concat(), &[]] {
                    assert_eq!(reader.unwrap(b"label", wrong).err(), Some(UnwrapFailed));
                }
            }
        }
    };
}

across!(aws_lc_to_aws_lc: aws_lc => aws_lc);
across!(aws_lc_to_rustcrypto: aws_lc => rustcrypto);
across!(rustcrypto_to_aws_lc: rustcrypto => aws_lc);
across!(rustcrypto_to_rustcrypto: rustcrypto => rustcrypto);

proptest! {
    #[test]
    fn hashes_and_derivations_agree(
        key in prop::collection::vec(any::<u8>(), 0..150), prk: [u8; 32], a: Vec<u8>, b: Vec<u8>,
        iterations in 1..50_u32,
    ) {
        let joined = [a.as_slice(), &b].concat();
        let parts: &[&[u8]] = &[&a, &b];
        prop_assert_eq!(aws_lc::sha256(&joined), rustcrypto::sha256(&joined));
        prop_assert_eq!(aws_lc::sha256_parts(parts), aws_lc::sha256(&joined));
        prop_assert_eq!(rustcrypto::sha256_parts(parts), rustcrypto::sha256(&joined));
        prop_assert_eq!(aws_lc::hmac_sha256(&key, parts), rustcrypto::hmac_sha256(&key, &[&joined]));
        prop_assert_eq!(aws_lc::hmac_sha256(&key, &[&joined]), rustcrypto::hmac_sha256(&key, parts));
        prop_assert_eq!(aws_lc::hkdf_extract(&key, &a), rustcrypto::hkdf_extract(&key, &a));
        prop_assert_eq!(aws_lc::hkdf_expand(&prk, parts), rustcrypto::hkdf_expand(&prk, &[&joined]));
        let iterations = NonZeroU32::new(iterations).unwrap();
        prop_assert_eq!(
            aws_lc::pbkdf2_sha256(&key, &a, iterations),
            rustcrypto::pbkdf2_sha256(&key, &a, iterations)
        );
        prop_assert_eq!(aws_lc::constant_time_eq(&a, &b), a == b);
        prop_assert_eq!(rustcrypto::constant_time_eq(&a, &b), a == b);
        prop_assert!(aws_lc::constant_time_eq(&a, &a) && rustcrypto::constant_time_eq(&a, &a));
    }

    /// Arbitrary bytes are refused by all in the same way.
    #[test]
    fn no_bytes_are_a_key_by_accident(bytes: Vec<u8>) {
        prop_assert_eq!(judge_public(&bytes), [Some(KeyError::Public); 4]);
        prop_assert_eq!(judge_private(&bytes), [Some(KeyError::Private); 4]);
    }
}

#[test]
fn both_write_the_same_key_in_the_same_bytes() {
    for private in private_keys() {
        let (one, two) = (
            aws_lc::SigningKey::from_pkcs8(private).unwrap(),
            rustcrypto::SigningKey::from_pkcs8(private).unwrap(),
        );
        assert_eq!((&*one.to_pkcs8(), &*two.to_pkcs8()), (private, private));
        assert_eq!(one.spki(), two.spki());
        assert_eq!(judge_public(one.spki()), [None; 4]);
        let (one, two) = (
            aws_lc::UnwrapKey::from_pkcs8(private).unwrap(),
            rustcrypto::UnwrapKey::from_pkcs8(private).unwrap(),
        );
        assert_eq!((&*one.to_pkcs8(), &*two.to_pkcs8()), (private, private));
        assert_eq!(one.spki(), two.spki());
    }
}

#[test]
fn larger_keys_work_across() {
    let private = aws_lc::SigningKey::generate(KeyBits::B4096).unwrap().to_pkcs8();
    let signing = rustcrypto::SigningKey::from_pkcs8(&private).unwrap();
    let verifying = aws_lc::VerifyingKey::from_spki(signing.spki()).unwrap();
    assert_eq!(verifying.signature_len(), 512);
    assert_eq!(verifying.verify(b"m", &signing.sign(b"m")), Ok(()));

    let private = rustcrypto::UnwrapKey::generate(KeyBits::B3072).unwrap().to_pkcs8();
    let unwrap = aws_lc::UnwrapKey::from_pkcs8(&private).unwrap();
    let wrapped = rustcrypto::WrapKey::from_spki(unwrap.spki()).unwrap().wrap(b"l", &[3; 32]);
    assert_eq!(wrapped.len(), 384);
    assert_eq!(*unwrap.unwrap(b"l", &wrapped).unwrap(), [3; 32]);
}

#[test]
fn weak_and_unusual_keys_are_refused() {
    let small = Some(KeyError::Modulus { got: 1024 });
    let (private, public) = unusual_key(1024, 65537);
    assert_eq!((judge_private(&private), judge_public(&public)), ([small; 4], [small; 4]));

    let three = Some(KeyError::Exponent { got: 3 });
    let (private, public) = unusual_key(2048, 3);
    assert_eq!((judge_private(&private), judge_public(&public)), ([three; 4], [three; 4]));

    assert_eq!(judge_public(&spki_of(&modulus(2048), EXPONENT)), [None; 4]);
    assert_eq!(judge_public(&spki_of(&modulus(4096), EXPONENT)), [None; 4]);
    for bits in [1024, 2040, 4104, 8192] {
        let refused = Some(KeyError::Modulus { got: bits });
        assert_eq!(judge_public(&spki_of(&modulus(bits), EXPONENT)), [refused; 4], "{bits}");
    }
    let mut just_too_small = modulus(2048);
    just_too_small.remove(0);
    just_too_small[0] = 0x7f;
    let refused = Some(KeyError::Modulus { got: 2047 });
    assert_eq!(judge_public(&spki_of(&just_too_small, EXPONENT)), [refused; 4]);
    let even = flip(&modulus(2048), 256 * 8);
    let refused = Some(KeyError::Modulus { got: 2048 });
    assert_eq!(judge_public(&spki_of(&even, EXPONENT)), [refused; 4]);

    for (exponent, got) in
        [(&[1][..], 1), (&[17], 17), (&[1, 0, 3], 65539), (&[1, 0, 0, 0, 0, 0, 0, 0, 1], u64::MAX)]
    {
        let refused = Some(KeyError::Exponent { got });
        assert_eq!(judge_public(&spki_of(&modulus(2048), exponent)), [refused; 4]);
    }
}

#[test]
fn other_encodings_of_a_public_key_are_refused() {
    let good = spki_of(&modulus(2048), EXPONENT);
    assert_eq!(judge_public(&good), [None; 4]);
    let numbers = [element(0x02, &modulus(2048)), element(0x02, EXPONENT)].concat();
    let key = element(0x30, &numbers);
    let with_bits = |content: &[u8]| {
        element(0x30, &[element(0x30, ALGORITHM), element(0x03, content)].concat())
    };
    let pss = [&ALGORITHM[..10], &[0x0a, 0x05, 0x00]].concat();
    let inner = &good[4..];
    let wrong = [
        ("trailing byte", [good.as_slice(), &[0]].concat()),
        ("trailing byte in the outer sequence", element(0x30, &[inner, &[0]].concat())),
        ("trailing byte in the bit string", with_bits(&[&[0], key.as_slice(), &[0]].concat())),
        ("third number", spki_of_key(ALGORITHM, &[&numbers, &[2, 1, 1][..]].concat())),
        ("unused bits", with_bits(&[&[1], key.as_slice()].concat())),
        ("bare key", key),
        ("parameters missing", spki_of_key(&ALGORITHM[..11], &numbers)),
        ("algorithm of PSS", spki_of_key(&pss, &numbers)),
        ("long form of a length", [&[0x30, 0x83, 0], &good[2..]].concat()),
        ("indefinite length", [&[0x30, 0x80], inner, &[0, 0]].concat()),
        ("negative modulus", spki_of(&modulus(2048)[1..], EXPONENT)),
        ("padded modulus", spki_of(&[&[0], modulus(2048).as_slice()].concat(), EXPONENT)),
        ("padded exponent", spki_of(&modulus(2048), &[0, 1, 0, 1])),
        ("empty exponent", spki_of(&modulus(2048), &[])),
        ("zero exponent", spki_of(&modulus(2048), &[0])),
    ];
    for (what, der) in wrong {
        assert_eq!(judge_public(&der), [Some(KeyError::Public); 4], "{what}");
    }
    for length in 0..good.len() {
        assert_eq!(judge_public(&good[..length]), [Some(KeyError::Public); 4], "cut to {length}");
    }
}

/// A changed bit gives another key or none, but never the same key again, and both backends agree.
#[test]
fn a_changed_public_key_is_judged_alike() {
    let [private, _] = private_keys();
    let signing = aws_lc::SigningKey::from_pkcs8(private).unwrap();
    let signature = signing.sign(b"message");
    for bit in 0..signing.spki().len() * 8 {
        let changed = flip(signing.spki(), bit);
        let [verdict, others @ ..] = judge_public(&changed);
        assert_eq!(others, [verdict; 3], "bit {bit}");
        if verdict.is_none() {
            let one = aws_lc::VerifyingKey::from_spki(&changed).unwrap();
            let two = rustcrypto::VerifyingKey::from_spki(&changed).unwrap();
            assert_eq!(one.verify(b"message", &signature), Err(BadSignature), "bit {bit}");
            assert_eq!(two.verify(b"message", &signature), Err(BadSignature), "bit {bit}");
        }
    }
}

#[test]
fn other_encodings_of_a_private_key_are_refused() {
    let [private, _] = private_keys();
    let refused = [Some(KeyError::Private); 4];
    assert_eq!(judge_private(private), [None; 4]);
    assert_eq!(judge_private(&[private.as_slice(), &[0]].concat()), refused);
    let inner = &private[4..];
    assert_eq!(judge_private(&element(0x30, &[inner, &[0xa0, 0]].concat())), refused);
    for length in (0..private.len()).step_by(7) {
        assert_eq!(judge_private(&private[..length]), refused, "cut to {length}");
    }
    let spki = rustcrypto::SigningKey::from_pkcs8(private).unwrap().spki().to_vec();
    assert_eq!(
        (judge_private(&spki), judge_public(private)),
        (refused, [Some(KeyError::Public); 4])
    );
}

#[test]
fn other_paddings_are_refused() {
    let [private, _] = private_keys();
    let key: RsaPrivateKey = rsa::pkcs8::DecodePrivateKey::from_pkcs8_der(private).unwrap();
    let spki = aws_lc::SigningKey::from_pkcs8(private).unwrap().spki().to_vec();
    let one = aws_lc::VerifyingKey::from_spki(&spki).unwrap();
    let two = rustcrypto::VerifyingKey::from_spki(&spki).unwrap();
    let hash = aws_lc::sha256(b"message");
    let right = key.sign(Pss::<Sha256>::new_with_salt(32), &hash).unwrap();
    assert_eq!((one.verify(b"message", &right), two.verify(b"message", &right)), (Ok(()), Ok(())));
    let refused = (Err(BadSignature), Err(BadSignature));
    for salt in [0, 20, 31, 33, 64] {
        let wrong = key.sign(Pss::<Sha256>::new_with_salt(salt), &hash).unwrap();
        assert_eq!((one.verify(b"message", &wrong), two.verify(b"message", &wrong)), refused);
    }
    let wrong = key.sign(Pkcs1v15Sign::new::<Sha256>(), &hash).unwrap();
    assert_eq!((one.verify(b"message", &wrong), two.verify(b"message", &wrong)), refused);

    let one = aws_lc::UnwrapKey::from_pkcs8(private).unwrap();
    let two = rustcrypto::UnwrapKey::from_pkcs8(private).unwrap();
    let public = key.to_public_key();
    for length in [0, 1, 31, 32, 33, 190] {
        let padding = Oaep::<Sha256>::new_with_label(*b"label");
        let wrapped = public.encrypt(&mut system_rng(), padding, &vec![5; length]).unwrap();
        let accepted =
            (one.unwrap(b"label", &wrapped).is_ok(), two.unwrap(b"label", &wrapped).is_ok());
        assert_eq!(accepted, (length == 32, length == 32), "{length} bytes");
    }
    let padding = rsa::Pkcs1v15Encrypt;
    let wrapped = public.encrypt(&mut system_rng(), padding, &[5; 32]).unwrap();
    assert!(one.unwrap(b"label", &wrapped).is_err() && two.unwrap(b"label", &wrapped).is_err());
}

#[test]
fn debug_output_of_private_keys_is_redacted() {
    let [private, _] = private_keys();
    let one = aws_lc::SigningKey::from_pkcs8(private).unwrap();
    let two = rustcrypto::SigningKey::from_pkcs8(private).unwrap();
    assert_eq!(format!("{one:?} {two:?}"), "SigningKey { .. } SigningKey { .. }");
    let one = aws_lc::UnwrapKey::from_pkcs8(private).unwrap();
    let two = rustcrypto::UnwrapKey::from_pkcs8(private).unwrap();
    assert_eq!(format!("{one:?} {two:?}"), "UnwrapKey { .. } UnwrapKey { .. }");
}

#[test]
fn keys_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<aws_lc::SigningKey>();
    shared::<aws_lc::VerifyingKey>();
    shared::<aws_lc::UnwrapKey>();
    shared::<aws_lc::WrapKey>();
    shared::<rustcrypto::SigningKey>();
    shared::<rustcrypto::VerifyingKey>();
    shared::<rustcrypto::UnwrapKey>();
    shared::<rustcrypto::WrapKey>();
}
