//! Keys and devices, as lines and as objects.

use std::fmt::Write as _;

use chat_endpoint::{DeviceState, KnownDevice, Standing};
use chat_protocol::fingerprint::{Fingerprint, ordered};
use chat_protocol::name::UserName;
use chat_protocol::{sanitise, spoken};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Lines, SERVER_SAYS};
use chat_device::identity::{Kind, Question};

/// What stands behind a writer's name.
pub fn mark(peer: Standing) -> &'static str {
    match peer {
        Standing::Known => "",
        Standing::Verified => " [verified]",
        Standing::Changed => " [KEY IN QUESTION]",
    }
}

/// The line for a device that was not known before.
pub(super) fn new_device(me: &UserName, user: &UserName, (number, words): (usize, &str)) -> String {
    let words = sanitise::line(words);
    if user == me {
        return format!(
            "! your account has a new device, number {number}: {words}. If it is not yours: /devices \
             revoke {number}, and change the password"
        );
    }
    format!("· {user} has a new device, number {number}: {words}")
}

/// The line for somebody whose key is in question.
pub fn undecided(user: &UserName) -> String {
    format!(
        "! the server offers another key for {user} than the known one: commands and files to and \
         from {user} stop until /trust {user} or /distrust {user}"
    )
}

/// What is said of somebody's keys where the server says that there is no account any more.
pub fn deleted(user: &UserName) -> String {
    format!("  {SERVER_SAYS}{}", spoken::deleted(user))
}

/// What is read to each other: the same on both screens, and whose half is whose.
pub fn question(me: &UserName, question: &Question) -> String {
    let Question { kind, user, known, digits, is_deleted } = question;
    let mut text = match kind {
        Kind::Verify => format!("compare with {user}, by telephone or face to face:\n"),
        Kind::Trust | Kind::Distrust => format!("the keys of {user}:\n"),
    };
    if *kind == Kind::Verify {
        let (mine, theirs) = (known.own.words, known.pinned.words);
        for half in ordered(mine, theirs) {
            let whose = if half == mine { me } else { user };
            let note = if half == mine { " (you)" } else { "" };
            push_half(&mut text, &format!("{whose}{note}"), half, *digits);
        }
    } else {
        push_half(&mut text, "known", known.pinned.words, false);
    }
    if let Some(other) = known.other {
        let whose = if known.standing == Standing::Changed { "offered now" } else { "refused" };
        push_half(&mut text, whose, other.words, false);
    }
    let state = match known.standing {
        Standing::Known => "not verified",
        Standing::Verified => "verified",
        Standing::Changed => "the server offers another key than the known one",
    };
    // Writing to a string cannot fail.
    write!(text, "  {user}: {state}").ok();
    if *is_deleted {
        write!(text, "\n{}", deleted(user)).ok();
    }
    text
}

fn push_half(text: &mut String, whose: &str, half: Fingerprint, digits: bool) {
    writeln!(text, "  {whose:<16} {half}").ok();
    if digits {
        writeln!(text, "  {:<16} {}", "", half.digits().join(" ")).ok();
    }
}

/// The same for programs.
pub fn question_object(me: &UserName, question: &Question) -> Value {
    let Question { kind, user, known, is_deleted, .. } = question;
    let half =
        |half: Fingerprint| json!({"words": half.to_string(), "digits": half.digits().join(" ")});
    let both = ordered(known.own.words, known.pinned.words).map(|half| half.to_string());
    json!({
        "event": kind.verb(), "user": user, "me": me, "words": both.join(" "),
        "mine": half(known.own.words), "theirs": half(known.pinned.words),
        "other": known.other.map(|other| half(other.words)),
        "peer_verified": known.standing == Standing::Verified,
        "peer_changed": known.standing == Standing::Changed, "deleted": is_deleted,
    })
}

/// One device of a list.
pub fn device(lines: &Lines, number: usize, device: &KnownDevice) -> String {
    let state = match device.state {
        DeviceState::Live => "reads and writes",
        DeviceState::Away => "away for months: left out until it signs in",
        DeviceState::Revoked => "revoked",
    };
    let this = if device.is_this { ", this one" } else { "" };
    let agent = if device.is_agent { ", accepts commands" } else { "" };
    format!(
        "{number:>3}  {}\n     since {}, keys renewed {}; {state}{this}{agent}",
        device.words,
        lines.time(device.since_ms),
        lines.time(device.renewed_ms),
    )
}

/// The same for programs.
pub fn device_object(
    (user, is_deleted): (&UserName, bool),
    number: usize,
    device: &KnownDevice,
) -> Value {
    let at = |ms: u64| {
        let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at.map(|at| format!("{at:.3}"))
    };
    json!({
        "event": "device", "user": user, "number": number, "words": device.words.to_string(),
        "key": device.sk, "since": at(device.since_ms), "renewed": at(device.renewed_ms),
        "state": state(device), "this": device.is_this, "agent": device.is_agent, "deleted": is_deleted,
    })
}

fn state(device: &KnownDevice) -> &'static str {
    match device.state {
        DeviceState::Live => "live",
        DeviceState::Away => "away",
        DeviceState::Revoked => "revoked",
    }
}
