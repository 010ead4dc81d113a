//! What somebody does rather than says: `/me waves` is the text `/me waves`, and reads as `* alice waves`.

use chat_protocol::name::UserName;

/// How such a text begins, as in other chats (XEP-0245): a program that does not know it shows it as it stands.
pub const MARK: &str = "/me ";

/// What somebody does, if the text says that: `waves`.
pub fn deed(text: &str) -> Option<&str> {
    let what = text.strip_prefix(MARK)?.trim_start();
    (!what.is_empty()).then_some(what)
}

/// How it reads.
pub fn done(from: &UserName, text: &str) -> Option<String> {
    deed(text).map(|what| format!("* {from} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_with_the_mark_is_an_action() {
        let alice = UserName::new("alice").unwrap();
        for (text, shown) in [
            ("/me waves", Some("* alice waves")),
            ("/me  sits\ndown", Some("* alice sits\ndown")),
            ("/me ", None),
            ("/meow", None),
            (" /me waves", None),
        ] {
            assert_eq!(done(&alice, text).as_deref(), shown, "{text:?}");
        }
    }
}
