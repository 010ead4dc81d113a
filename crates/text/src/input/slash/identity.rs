//! How the commands about keys and devices are written.

use super::{RUN_IN_SLIPS_MAX, SlashCommand, SlashRow, begins_near, first_word};
use crate::input::{self, Input, InputError};
use chat_device::identity::{IdentityCommand, Kind};
use strsim::osa_distance;

pub(super) fn verify(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    decide(row, rest, Kind::Verify)
}

pub(super) fn trust(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    decide(row, rest, Kind::Trust)
}

pub(super) fn distrust(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    decide(row, rest, Kind::Distrust)
}

fn decide(row: &'static SlashRow, rest: &str, kind: Kind) -> Result<Input, InputError> {
    let (name, words) = first_word(rest);
    let user = input::user(row.needs("a user", name)?)?;
    let digits = kind == Kind::Verify && words == "--digits";
    let words = (!words.is_empty() && !digits).then(|| words.to_owned());
    Ok(Input::Slash(SlashCommand::Identity(IdentityCommand::Decide { kind, user, words, digits })))
}

/// The command that shows devices, and shuts one out.
pub(super) const DEVICES: &str = "devices";

/// The word behind it that shuts one out, which asks for the password.
const REVOKE: &str = "revoke";

/// Both, as they are named to a person.
pub(super) const REVOKES: &str = "devices revoke N";

/// Slips of the finger in that word.
const SLIPS_MAX: usize = 2;

/// Digits of the number of a device: a list has no more of them, and a password, which may be digits alone, has more digits.
const NUMBER_DIGITS_MAX: usize = 4;

/// The number of a device, if a word is one.
fn numbered(word: &str) -> Option<usize> {
    word.parse().ok().filter(|_| word.len() <= NUMBER_DIGITS_MAX)
}

/// What stands behind the number of the device that is to be shut out, of what stands behind `/devices`; also with slips in
/// the word for it, or with something run into it but a number. Nothing where there is neither that nor the word.
pub(super) fn revokes(rest: &str) -> Option<(&'static str, &str)> {
    let (word, after) = first_word(rest);
    let is_numbered = word.get(REVOKE.len()..).and_then(numbered).is_some();
    if is_run_into(word) && !is_numbered && begins_near(word, REVOKE) {
        return Some((REVOKES, word));
    }
    let is_short = word.len() <= REVOKE.len() + SLIPS_MAX;
    let is_meant = is_short && osa_distance(&word.to_ascii_lowercase(), REVOKE) <= SLIPS_MAX;
    let (number, behind) = first_word(after);
    let behind = if numbered(number).is_some() { behind } else { after };
    (is_meant && !behind.is_empty()).then_some((REVOKES, behind))
}

/// The same where the word stands without `/devices`, or something is run into it.
pub(super) fn revokes_alone<'l>(word: &'l str, rest: &'l str) -> Option<(&'static str, &'l str)> {
    let (number, after) = first_word(rest);
    let behind = match numbered(number) {
        _ if is_run_into(word) => word,
        Some(_) => after,
        None => rest,
    };
    (begins_near(word, REVOKE) && !behind.is_empty()).then_some((REVOKES, behind))
}

/// Whether a word is longer than the one that shuts a device out, with slips in it.
fn is_run_into(word: &str) -> bool {
    word.len() > REVOKE.len() + RUN_IN_SLIPS_MAX
}

/// `/devices`, `/devices USER`, `/devices revoke N`.
pub(super) fn devices(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, after) = first_word(rest);
    if let Some((command, _)) = revokes(rest) {
        return Err(InputError::TypedInSight { command });
    }
    if word.eq_ignore_ascii_case(REVOKE) {
        let Some(number) = numbered(after) else {
            let (command, usage) = (row.name, row.usage);
            return Err(InputError::Missing { command, what: "the number of a device", usage });
        };
        return Ok(Input::Slash(SlashCommand::Identity(IdentityCommand::Revoke { number })));
    }
    let user = if word.is_empty() { None } else { Some(input::user(word)?) };
    row.alone(after, SlashCommand::Identity(IdentityCommand::Devices { user }))
}

/// `/whois USER`.
pub(super) fn whois(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let user = input::user(row.needs("a user", name)?)?;
    row.alone(surplus, SlashCommand::Whois { user })
}

/// `/key rotate`.
pub(super) fn key(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, after) = first_word(rest);
    let word = if word.eq_ignore_ascii_case("rotate") { word } else { "" };
    row.needs("`rotate`", word)?;
    row.alone(after, SlashCommand::Identity(IdentityCommand::Rotate))
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::UserName;

    use super::*;

    #[test]
    fn a_user_words_and_numbers_are_read_and_anything_else_is_an_error() {
        let bob = || UserName::new("bob").unwrap();
        let decide = |kind, words: Option<&str>, digits| {
            let words = words.map(str::to_owned);
            IdentityCommand::Decide { kind, user: bob(), words, digits }
        };
        for (line, expected) in [
            ("/verify bob", decide(Kind::Verify, None, false)),
            ("/verify bob --digits", decide(Kind::Verify, None, true)),
            ("/verify bob a b c", decide(Kind::Verify, Some("a b c"), false)),
            ("/trust bob yes", decide(Kind::Trust, Some("yes"), false)),
            ("/distrust bob", decide(Kind::Distrust, None, false)),
            ("/devices", IdentityCommand::Devices { user: None }),
            ("/devices bob", IdentityCommand::Devices { user: Some(bob()) }),
            ("/devices revoke 2", IdentityCommand::Revoke { number: 2 }),
            ("/key rotate", IdentityCommand::Rotate),
        ] {
            let expected = Ok(Input::Slash(SlashCommand::Identity(expected)));
            assert_eq!(input::parse(line), expected, "{line}");
        }
        for (line, part) in [
            ("/verify", "needs a user"),
            ("/trust b*b", "not allowed"),
            ("/devices bob carol", "takes nothing more"),
            ("/devices revoke", "needs the number of a device"),
            ("/devices revoke two", "nothing is typed behind it"),
            ("/devices revok 2 hunter2", "nothing is typed behind it"),
            ("/devices revoke2hunter2", "nothing is typed behind it"),
            ("/devices revoke219841984", "nothing is typed behind it"),
            ("/devices revoke 219841984", "nothing is typed behind it"),
            ("/key", "needs `rotate`"),
            ("/key delete", "needs `rotate`"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
