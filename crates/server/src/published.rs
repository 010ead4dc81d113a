//! What an account has revoked, and what a further bundle of it brings beside those that it has published, for the budgets.

use chat_protocol::{
    id::KeyId,
    keys::{Bundle, BundleHeader},
};

/// Whether a signing key of an account counts no more: it is `kept` as revoked, or a newest bundle names it.
pub(crate) fn is_revoked<'a>(
    kept: &[KeyId],
    mut newest: impl Iterator<Item = &'a BundleHeader>,
    sk: &KeyId,
) -> bool {
    kept.contains(sk) || newest.any(|bundle| bundle.rev.contains(sk))
}

/// Whether the newest signing key of a bundle is none of those published.
pub(crate) fn has_new_key<'a>(
    bundle: &Bundle,
    published: impl Iterator<Item = &'a BundleHeader>,
) -> bool {
    let newest = bundle.header().sk.first().map(|key| key.kid);
    !published.flat_map(|bundle| &bundle.sk).any(|key| Some(key.kid) == newest)
}

/// Whether a bundle brings no key and revokes one of another device that is good until now. It costs nothing:
/// who has stolen that key could use up every budget of the account. There are no more of those than keys
/// were published by the budgets, because a bundle that brings a key of its own is taken from them.
pub(crate) fn only_revokes<'a>(
    bundle: &Bundle,
    kept: &[KeyId],
    published: impl Iterator<Item = &'a BundleHeader> + Clone,
) -> bool {
    let others = published.clone().filter(|known| known.dev != bundle.header().dev);
    let is_good = |kid: &KeyId| {
        others.clone().flat_map(|other| &other.sk).any(|key| key.kid == *kid)
            && !is_revoked(kept, published.clone(), kid)
    };
    let revokes = bundle.header().rev.iter().any(is_good);
    revokes && !has_new_key(bundle, published)
}
