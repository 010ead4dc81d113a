//! Keys, devices and the account.

use super::super::{Completion, SlashCommand, SlashRow, first_word, identity};
use crate::input::{self, Input, InputError};

/// The rows.
pub(super) static KEYS: &[SlashRow] = &[
    SlashRow {
        name: "whoami",
        aliases: &[],
        usage: "/whoami",
        description: "show my name, device and server",
        example: "/whoami",
        completion: Completion::Nothing,
        parse: |row, rest| row.alone(rest, SlashCommand::WhoAmI),
    },
    SlashRow {
        name: "fingerprint",
        aliases: &[],
        usage: "/fingerprint [USER]",
        description: "show the fingerprint of my key, or of the key I know USER by",
        example: "/fingerprint bob",
        completion: Completion::Users,
        parse: |row, rest| {
            let (name, surplus) = first_word(rest);
            let user = if name.is_empty() { None } else { Some(input::user(name)?) };
            row.alone(surplus, SlashCommand::Fingerprint { user })
        },
    },
    SlashRow {
        name: "verify",
        aliases: &[],
        usage: "/verify USER [WORDS]",
        description: "compare keys: twelve words, the same on both screens; or --digits",
        example: "/verify bob",
        completion: Completion::Users,
        parse: identity::verify,
    },
    SlashRow {
        name: "trust",
        aliases: &[],
        usage: "/trust USER [WORDS]",
        description: "take another key for USER than the known one, after comparing its words",
        example: "/trust bob",
        completion: Completion::Users,
        parse: identity::trust,
    },
    SlashRow {
        name: "distrust",
        aliases: &[],
        usage: "/distrust USER [WORDS]",
        description: "keep the known key of USER and refuse the other one from now on",
        example: "/distrust bob",
        completion: Completion::Users,
        parse: identity::distrust,
    },
    SlashRow {
        name: "devices",
        aliases: &[],
        usage: "/devices [USER|revoke N]",
        description: "show devices, mine or USER's; or shut one of mine out, after the password",
        example: "/devices revoke 2",
        completion: Completion::Users,
        parse: identity::devices,
    },
    SlashRow {
        name: "key",
        aliases: &[],
        usage: "/key rotate",
        description: "give this device a new signing and encryption key",
        example: "/key rotate",
        completion: Completion::Nothing,
        parse: identity::key,
    },
    SlashRow {
        name: "password",
        aliases: &["passwd"],
        usage: "/password",
        description: "change the password of the account and of this machine's key file",
        example: "/password",
        completion: Completion::Nothing,
        parse: |row, rest| match rest {
            "" => Ok(Input::Slash(SlashCommand::Password)),
            _ => Err(InputError::TypedInSight { command: row.name }),
        },
    },
];
