//! What a person can type about something that is wrong. The device says by a code and a sentence what it is, and
//! knows no commands.

use chat_device::client::SendError;
use chat_device::identity::IdentityError;
use chat_endpoint::Alarm;
use chat_protocol::code;
use chat_protocol::name::UserName;

/// About a refusal, by its code. Most hints are about what this device keeps: with other codes the hub refuses what
/// concerns somebody else, or what is mended without anybody.
pub(crate) fn of_refusal(code: &str, by_hub: bool) -> Option<&'static str> {
    Some(match code {
        code::NO_SUCH_ROOM => "/rooms lists rooms, /create makes one",
        _ if by_hub => return None,
        code::NOT_A_MEMBER => "/join enters an open room",
        code::MEMBERS => "/room accept takes the other membership",
        code::UNTRUSTED => "/verify shows keys, /trust and /distrust decide about another one",
        _ => return None,
    })
}

/// About an alarm that concerns somebody.
pub(crate) fn of_alarm(kind: Alarm, user: &UserName) -> Option<String> {
    Some(match kind {
        Alarm::KeyChanged => format!("/trust {user}, or /distrust {user}"),
        Alarm::Fork => "/room accept takes it, /leave leaves the room".to_owned(),
        Alarm::OtherView => "/members shows who is in it here".to_owned(),
        _ => return None,
    })
}

/// Why something was not taken, and what else can be said.
pub fn not_sent(error: &SendError) -> String {
    match error {
        SendError::Refused(chat_endpoint::SendError::MayStart { .. }) => {
            format!("{error}, or say --again to ask for it once more")
        }
        _ => error.to_string(),
    }
}

/// Why a key or a device was not decided on, and what else can be done.
pub fn undecided(error: &IdentityError) -> String {
    match error {
        IdentityError::Myself(_) => format!("{error}; /devices shows your devices"),
        IdentityError::InQuestion(user) => {
            format!("{error}: /trust {user} or /distrust {user} first")
        }
        IdentityError::NoDevice(_) => format!("{error}; `devices` shows it"),
        _ => error.to_string(),
    }
}
