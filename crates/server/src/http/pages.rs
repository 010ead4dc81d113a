//! The page for everything that is not there: self-contained, no script, no outside resource.

/// What a browser may load for our own pages: nothing but the style below, and no page may frame them.
pub(super) const CONTENT_POLICY: &str = concat!(
    "default-src 'none'; ",
    "style-src 'sha256-5EdYYSWsDMsX6h71jyTuhvx+4AN0MthpC0GSBc0j8pA='; ",
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);

/// What a page of `--www` may load: what lies beside it, styles in the page itself, and pictures
/// written into it. Scripts only as files, nothing from elsewhere, and no page may frame it.
pub(super) const SITE_POLICY: &str = concat!(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; ",
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
);

macro_rules! style {
    () => {
        "
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto; padding: 0 1rem }
@media (prefers-color-scheme: dark) { body { background: #16181d; color: #dde } }
"
    };
}

/// The 404 page.
pub(super) const NOT_FOUND: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n",
    "<title>404 &middot; not found</title>\n<style>",
    style!(),
    "</style>\n</head>\n<body>\n<main>\n<h1>404</h1>\n",
    "<p>There is no page at this address.</p>\n",
    "</main>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_exactly_our_style() {
        let digest = STANDARD.encode(Sha256::digest(style!()));
        let allowed = format!("'sha256-{digest}'");
        assert!(CONTENT_POLICY.contains(&allowed), "expected {allowed} in {CONTENT_POLICY}");
    }

    #[test]
    fn the_page_loads_nothing() {
        for word in ["<script", "src=", "href=", "url(", "@import", "http:", "https:"] {
            assert!(!NOT_FOUND.contains(word), "{word}");
        }
    }
}
