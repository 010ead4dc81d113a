//! What people sign and seal: bundles, member lists, plaintexts.

use chat_protocol::content::{decode, encode};
use chat_protocol::keys::Bundle;
use chat_protocol::members::MemberList;
use chat_protocol::tag::Tag;

/// A bundle, as it travels or as its JSON alone: the second gets past the framing more often.
pub fn bundle(data: &[u8]) {
    let framed = |json: &[u8]| {
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[1, 1], &length[..], json, &[0; 4], &[0; 256]].concat()
    };
    for bytes in [data.to_vec(), framed(data)] {
        let Ok(bundle) = Bundle::verify(bytes.clone().into()) else { continue };
        let header = bundle.header();
        assert_eq!(*bundle.bytes(), bytes);
        assert!(
            header
                .sk
                .iter()
                .all(|key| bundle.signing_key(&key.kid).is_some() || header.rev.contains(&key.kid))
        );
        assert!(bundle.member_line().is_some());
        assert!(bundle.follows(&bundle).is_ok());
    }
}

/// The lines of an epoch. Only the spelling that writing them gives is read.
pub fn member_list(data: &[u8]) {
    let Ok(list) = MemberList::parse(data) else { return };
    assert_eq!(list.as_bytes(), data);
    let again = MemberList::new(list.lines().iter().cloned());
    assert_eq!(again.as_bytes(), data);
    for line in list.lines() {
        assert!(list.contains(&line.name, &line.sk));
    }
}

/// The plaintext of a message, under each tag.
pub fn content(data: &[u8]) {
    for &tag in Tag::ALL {
        let Ok((content, notes)) = decode(tag, data) else { continue };
        let written = encode(&content, &notes);
        assert_eq!(decode(tag, &written), Ok((content, notes)));
    }
}
