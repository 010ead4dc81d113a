//! What of a typed line is shown to nobody again, or only under the veil: what may hold a password, and what was covered.

use super::{Input, LIKE_A_SLASH, is_hidden, parse, slash, slip};

/// Whether a line may hold a password: it is for a command that asks for one, or slips away from that. Nobody is
/// shown it again, and it is kept nowhere.
pub fn may_hold_password(line: &str) -> bool {
    secret(line).is_some()
}

/// Whether a line that was typed may be had again. What was typed under the veil would be said without it once that is
/// off; of what was typed there only commands without a text come back. Nor does an answer with a quote: it would quote
/// another message, and what was said under the veil is answered under it once.
pub fn may_come_back(line: &str, is_veiled: bool) -> bool {
    if may_hold_password(line) {
        return false;
    }
    match parse(line) {
        Ok(Input::Slash(command)) => !(command.has_quote() || is_veiled && command.has_text()),
        // One that was not understood may be a slip in what says something.
        _ => !is_veiled,
    }
}

/// What is repeated of a line that goes nowhere: nothing of one that may hold a password, or was typed under the veil.
pub fn repeated(line: &str, is_veiled: bool) -> &str {
    if is_veiled || may_hold_password(line) { "…" } else { line }
}

/// A line that is for a command that asks for a password.
pub(super) struct Secret {
    pub(super) command: &'static str,
    /// Something stands behind it, where somebody may have typed the password.
    pub(super) is_followed: bool,
}

/// Whether a line is for a command that asks for a password, or slips away from one; also behind spaces and what nobody
/// sees, with which it is a text.
pub(super) fn secret(line: &str) -> Option<Secret> {
    let (mut rest, mut before) = (line, usize::MAX);
    while rest.len() < before {
        before = rest.len();
        rest = rest.trim_start_matches(|one: char| one.is_whitespace() || is_hidden(one));
        rest = slip::behind_escapes(rest);
    }
    // Two slashes begin a text.
    let command = rest.strip_prefix(['/', LIKE_A_SLASH]).filter(|rest| !rest.starts_with('/'))?;
    let (command, behind) = slash::secret(command)?;
    Some(Secret { command, is_followed: !behind.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::InputError;

    #[test]
    fn what_may_hold_a_password_is_known_by_its_command_or_a_slip_of_it() {
        for (line, is_secret) in [
            ("/password hunter2", true),
            (" /PASSWD hunter2", true),
            ("\u{ff0f}password hunter2", true),
            ("/pasword hunter2", true),
            ("\u{ff0f}pasword hunter2", true),
            ("  /pasword hunter2", true),
            (" \u{200b}/password hunter2", true),
            (r" \u{200b}/password hunter2", true),
            ("/passwordhunter2", true),
            ("/pass hunter2", true),
            ("/passhunter2", true),
            ("/paswordhunter2", true),
            ("/PSSWDhunter2", true),
            ("/passwor hunter2", true),
            ("/passphrase hunter2", true),
            ("/psswd hunter2", true),
            ("/devcies revoke 2 hunter2", true),
            ("/part hunter2", false),
            ("/past it", false),
            ("/devices revoke 2 hunter2", true),
            (" /DEVICES revok 2 hunter2", true),
            ("/device revoke hunter2", true),
            ("/devices revoke2 hunter2", true),
            ("/devices revoke2hunter2", true),
            (" /devices revok2hunter2", true),
            ("/devices revokehunter2", true),
            ("/devicesrevoke 2 hunter2", true),
            ("/DEVICERevoke2hunter2", true),
            ("/devicesrevok2hunter2", true),
            ("/revoke 2 hunter2", true),
            (" /revok hunter2", true),
            ("/revoke2hunter2", true),
            ("/devices revoke219841984", true),
            ("/devices revoke 219841984", true),
            ("/revoke 219841984", true),
            ("/revoke 2", false),
            ("/remove 2 of them", false),
            ("/devices revoke 2", false),
            ("/devices revoke2", false),
            ("/devices revoke20", false),
            ("/devices bob", false),
            ("/devices removal-van", false),
            ("/jion ops", false),
            ("//password is a word", false),
            ("//pasword is a word", false),
            (" //password is a word", false),
            ("password: ask bob", false),
            ("bob*/password", false),
        ] {
            assert_eq!(may_hold_password(line), is_secret, "{line}");
        }
    }

    /// Goal: a space too many before the command says no password to a room, with a slip in the command neither. (The build
    /// before said ` /pasword hunter2` and ` /devices revoke 2 hunter2`.)
    #[test]
    fn a_password_behind_a_space_is_not_said() {
        for (line, command) in [
            (" /password hunter2", "password"),
            ("\u{3000}/passwd hunter2", "password"),
            ("\t /Password hunter2", "password"),
            (" /pasword hunter2", "password"),
            (" /pass hunter2", "password"),
            (" /PASS hunter2", "password"),
            (" /passw hunter2", "password"),
            (" /passhunter2", "password"),
            (" /revoke 2 hunter2", "devices revoke N"),
            (" /paswordhunter2", "password"),
            (" /passphrase hunter2", "password"),
            (" \u{200b}/password hunter2", "password"),
            (r" \u{200b}/password hunter2", "password"),
            (" /devices revoke 2 hunter2", "devices revoke N"),
            ("/devices revoke 2 hunter2", "devices revoke N"),
            ("  /device revok hunter2", "devices revoke N"),
            ("/devices revoke2hunter2", "devices revoke N"),
            (" /devices revoke2hunter2", "devices revoke N"),
        ] {
            assert_eq!(parse(line), Err(InputError::TypedInSight { command }), "{line}");
        }
        for text in [" /password", " /devices revoke 2", " /devices", " /pass", " /path to it"] {
            assert_eq!(parse(text), Ok(Input::Text { text: text.to_owned() }), "{text}");
        }
    }

    /// Goal: what was run into the command that asks for a password is not repeated: it may be the password. (The build before
    /// said that there is no command `/passhunter2`.)
    #[test]
    fn a_password_that_is_run_into_its_command_is_not_repeated() {
        for (line, command) in [
            ("/passhunter2", "password"),
            ("/passwordhunter2", "password"),
            ("/paswordhunter2", "password"),
            ("/passwdhunter2 or so", "password"),
            ("/pasword hunter2", "password"),
            ("/device revoke 2 hunter2", "devices revoke N"),
            ("/devicesrevoke2hunter2", "devices revoke N"),
            ("/devicesrevok2hunter2", "devices revoke N"),
            ("/devices revoke2hunter2", "devices revoke N"),
            (" /devices revoke2hunter2", "devices revoke N"),
            ("/revoke 2 hunter2", "devices revoke N"),
            ("/revok 2 hunter2", "devices revoke N"),
            ("/REVOKE2hunter2", "devices revoke N"),
            ("/devices revoke219841984", "devices revoke N"),
            ("/devices revoke 219841984", "devices revoke N"),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error, InputError::TypedInSight { command }, "{line}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!error.to_string().contains("219841984"), "{error}");
            assert_eq!(repeated(line, false), "…");
        }
        // Nothing stands behind it, and what was meant is told.
        for line in ["/pasword", "/pass", "/jion ops", "/revoke", "/revoke 2", "/remove bob"] {
            assert!(matches!(parse(line), Err(InputError::UnknownCommand { .. })), "{line}");
        }
        assert_eq!(repeated("//passhunter2", false), "//passhunter2");
        assert_eq!(repeated("It was Zoe", true), "…");
    }

    /// Goal: nothing that was said under the veil is said without it because it came back. (The build before gave back all
    /// that was typed.)
    #[test]
    fn what_was_typed_under_the_veil_does_not_come_back() {
        for (line, in_clear, under_the_veil) in [
            ("It was Zoe", true, false),
            ("bob*It was Zoe", true, false),
            ("ALL*It was Zoe", true, false),
            ("DM bob It was Zoe", true, false),
            ("/me says that it was Zoe", true, false),
            ("/msg bob It was Zoe", true, false),
            ("/mgs bob It was Zoe", true, false),
            ("/reply It was Zoe", true, false),
            ("/reply ^1 It was Zoe", false, false),
            ("//it was Zoe", true, false),
            ("/veil off", true, true),
            ("/join ops", true, true),
            ("/run server -- uname", true, true),
            ("/password hunter2", false, false),
        ] {
            let comes_back = (may_come_back(line, false), may_come_back(line, true));
            assert_eq!(comes_back, (in_clear, under_the_veil), "{line}");
        }
    }
}
