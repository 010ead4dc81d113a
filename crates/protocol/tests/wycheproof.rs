//! Project Wycheproof's vectors, in each backend: what is valid under the one suite of this protocol
//! is accepted, everything else is refused. `cargo test -p chat-protocol --features rustcrypto`.
//!
//! The suite: RSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes; RSA-OAEP with SHA-256,
//! MGF1-SHA-256 and a label, around exactly 32 bytes; AES-256-GCM with a nonce of 12 bytes and a tag
//! of 16; moduli of 2,048 to 4,096 bits. Sets for other hashes, salts and key sizes are read too: a
//! signature or a wrapped key that is valid under them must be refused here (what is invalid under
//! them is not judged). What does not apply:
//! GCM under other sizes of key, nonce and tag, because the types do not let it be called.

use chat_protocol::crypto::{MODULUS_BITS_MAX, MODULUS_BITS_MIN};
use wycheproof::{HashFunction, aead, rsa_oaep, rsa_pss_verify};

/// Runs the three families of vectors in one backend.
macro_rules! backend {
    ($name:ident) => {
        mod $name {
            use chat_protocol::crypto::$name::*;

            use super::*;

            #[test]
            fn pss() {
                let (mut accepted, mut refused) = (0, 0);
                for name in rsa_pss_verify::TestName::all() {
                    let set = rsa_pss_verify::TestSet::load(name).unwrap();
                    for group in set.test_groups {
                        // A key whose algorithm has parameters, or with another exponent, is none.
                        let Ok(key) = VerifyingKey::from_spki(&group.der) else {
                            assert!(!is_key(&group), "{name:?}");
                            continue;
                        };
                        let is_ours = is_pss(&group);
                        // What is wrong under other parameters may be right under ours.
                        let judged =
                            |test: &rsa_pss_verify::Test| is_ours || !test.result.must_fail();
                        for test in group.tests.into_iter().filter(judged) {
                            let is_right = is_ours && !test.result.must_fail();
                            let got = key.verify(&test.msg, &test.sig).is_ok();
                            assert_eq!(got, is_right, "{name:?} {} {}", test.tc_id, test.comment);
                            *if got { &mut accepted } else { &mut refused } += 1;
                        }
                    }
                }
                assert!(accepted > 100 && refused > 1_000, "{accepted} and {refused}");
            }

            #[test]
            fn oaep() {
                let (mut accepted, mut refused) = (0, 0);
                for name in rsa_oaep::TestName::all() {
                    let set = rsa_oaep::TestSet::load(name).unwrap();
                    for group in set.test_groups {
                        let Ok(key) = UnwrapKey::from_pkcs8(&group.pkcs8) else {
                            let sizes = MODULUS_BITS_MIN..=MODULUS_BITS_MAX;
                            assert!(!sizes.contains(&group.key_size), "{name:?}");
                            continue;
                        };
                        let hashes = [group.hash, group.mgf_hash];
                        let is_ours = hashes == [HashFunction::Sha2_256; 2];
                        let judged = |test: &rsa_oaep::Test| is_ours || !test.result.must_fail();
                        for test in group.tests.into_iter().filter(judged) {
                            let is_right =
                                is_ours && !test.result.must_fail() && test.pt.len() == 32;
                            let got = key.unwrap(&test.label, &test.ct).ok();
                            let wanted = is_right.then_some(test.pt.as_slice());
                            assert_eq!(
                                got.as_ref().map(|key| key.as_slice()),
                                wanted,
                                "{name:?} {} {}",
                                test.tc_id,
                                test.comment
                            );
                            *if is_right { &mut accepted } else { &mut refused } += 1;
                        }
                    }
                }
                // Most valid ones wrap something else than 32 bytes.
                assert!(accepted >= 3 && refused > 300, "{accepted} and {refused}");
            }

            #[test]
            fn gcm() {
                let (mut accepted, mut refused) = (0, 0);
                let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
                for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
                    let (Ok(key), Ok(nonce)) =
                        (test.key.as_slice().try_into(), test.nonce.as_slice().try_into())
                    else {
                        continue;
                    };
                    let (key, nonce): (&[u8; 32], &[u8; 12]) = (key, nonce);
                    let sealed = [test.ct.as_slice(), &test.tag].concat();
                    let got = gcm_open(key, nonce, &test.aad, &sealed).ok();
                    if test.result.must_fail() {
                        assert!(got.is_none(), "{} {}", test.tc_id, test.comment);
                        refused += 1;
                    } else {
                        let clear = got.map(|clear| clear.to_vec());
                        assert_eq!(clear.as_ref(), Some(&*test.pt), "{}", test.tc_id);
                        assert_eq!(gcm_seal(key, nonce, &test.aad, &test.pt), sealed);
                        accepted += 1;
                    }
                }
                assert!(accepted > 30 && refused > 20, "{accepted} and {refused}");
            }
        }
    };
}

#[cfg(feature = "aws-lc")]
backend!(aws_lc);
#[cfg(feature = "rustcrypto")]
backend!(rustcrypto);

/// Whether this is the one kind of signature that the protocol knows.
fn is_pss(group: &rsa_pss_verify::TestGroup) -> bool {
    let hashes = [Some(group.hash), group.mgf_hash];
    hashes == [Some(HashFunction::Sha2_256); 2] && group.salt_size == 32
}

/// Whether a key says no more than that it is one of RSA, and has the size and exponent asked for.
fn is_key(group: &rsa_pss_verify::TestGroup) -> bool {
    let sizes = MODULUS_BITS_MIN..=MODULUS_BITS_MAX;
    let is_plain = group.test_type == rsa_pss_verify::TestGroupTypeId::RsaPssVerify;
    is_plain && sizes.contains(&group.key_size) && group.key.e.as_slice() == [1, 0, 1]
}
