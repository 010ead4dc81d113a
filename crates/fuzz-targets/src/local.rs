//! What is read on one's own machine: files that others may have written, and what is shown.

use std::borrow::Cow;

use chat_device::vault::KeyFile;
use chat_exec::Policy;
use chat_files::keywords;
use chat_protocol::{sanitise, vault};

/// Everything that reaches a screen.
pub fn sanitiser(data: &[u8]) {
    let shown = sanitise::bytes(data);
    check_shown(&shown, true);
    let text = String::from_utf8_lossy(data);
    check_shown(&sanitise::text(&text), true);
    let line = sanitise::line(&text);
    check_shown(&line, false);
    assert!(matches!(sanitise::line(&line), Cow::Borrowed(_)), "what is clean stays as it is");
}

fn check_shown(shown: &str, has_lines: bool) {
    for c in shown.chars() {
        let is_break = has_lines && (c == '\n' || c == '\t');
        assert!(is_break || !c.is_control(), "{c:?}");
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!turns, "{c:?}");
    }
}

/// `keyword.txt` of a shared folder.
pub fn keyword_txt(data: &[u8]) {
    let read = keywords::parse(data);
    assert_eq!(keywords::parse(data), read);
}

/// The policy of a machine.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Policy::parse(text, "policy.toml") {
        assert!(!error.to_string().is_empty());
    }
}

/// The key file of a home, and the vault that a hub gives.
pub fn key_file(data: &[u8]) {
    if let Some((number, sealed)) = vault::split(data) {
        assert_eq!(vault::keep(number, sealed), data);
    }
    if let KeyFile::Clear(vault) = KeyFile::new(data.to_vec()) {
        // Whatever is inside is an identity key or an error.
        drop(vault.identity());
    }
}
