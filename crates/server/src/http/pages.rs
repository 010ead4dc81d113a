//! The page at `/` and the one for everything that is not there: self-contained, no script, no outside
//! resource.

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

macro_rules! page {
    ($title:literal, $($body:literal),*) => {
        concat!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width\">\n",
            "<title>",
            $title,
            "</title>\n<style>",
            style!(),
            "</style>\n</head>\n<body>\n<main>\n",
            $($body,)*
            "</main>\n</body>\n</html>\n",
        )
    };
}

/// The 404 page.
pub(super) const NOT_FOUND: &str =
    page!("404 &middot; not found", "<h1>404</h1>\n", "<p>There is no page at this address.</p>\n");

/// What a browser is told at `/`. No version and no name: strangers need neither.
pub(super) const FRONT: &str = page!(
    "chat-server",
    "<h1>A chat server</h1>\n",
    "<p>This is a hub for encrypted chat, rooms, files and remote commands. What people say is sealed on \
     their own machines; this server passes it on and cannot read it.</p>\n",
    "<p>There is nothing to see in a browser. People connect with the program <code>chat-client</code>, \
     with the address of this page behind <code>--server</code>, <code>wss://</code> before it, or \
     <code>ws://</code> on this machine.</p>\n",
    "<p>Programs that watch it find <code>/livez</code>, <code>/readyz</code> and, unless it is elsewhere, \
     <code>/metrics</code>.</p>\n"
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
    fn the_pages_load_nothing() {
        for word in ["<script", "src=", "href=", "url(", "@import", "http:", "https:"] {
            assert!(!NOT_FOUND.contains(word) && !FRONT.contains(word), "{word}");
        }
    }
}
