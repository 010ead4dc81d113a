//! Judges signed offers of files, as whoever found one does.

use chat_protocol::crypto::{VerifyingKey, sha256};
use chat_protocol::file::offer::{OfferError, SignedOffer};
use chat_protocol::frame::VerifiedBatches;
use chat_protocol::id::Digest;

use super::check::{Judge, Verdict};
use super::format::OfferCase;

pub(crate) fn offer(judge: &Judge<'_>, case: &OfferCase) -> Verdict {
    let signed = SignedOffer::parse(&case.signed.0).map_err(|error| match error {
        OfferError::Form => "form",
        OfferError::Frame(_) | OfferError::TooLong { .. } => "frame",
        _ => "header",
    })?;
    let header = signed.header();
    signed.check_place(&case.audience, &case.id).map_err(|_| "place")?;
    if header.u != case.owner {
        return Err("place");
    }
    let spki = &judge.bundle(&header.u, &header.sk)?.signing_key(&header.sk).ok_or("members")?.spki;
    let key = VerifyingKey::from_spki(spki).map_err(|_| "members")?;
    let mut verified = VerifiedBatches::default();
    signed.verify(&key, &Digest(sha256(spki)), &mut verified).map_err(|_| "signature")?;
    if let Some(expect) = &case.expect {
        let found = (header.name.as_str(), header.size, header.root, header.ts);
        assert_eq!(found, (expect.name.as_str(), expect.size, expect.root, expect.ts));
    }
    Ok(())
}
