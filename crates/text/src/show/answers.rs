//! What commands answer, as lines and as objects.

use std::time::Duration;

use chat_device::client::Status;
use chat_files::part::Resumable;
use chat_files::transfer::Offered;
use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;
use chat_protocol::sanitise;
use chat_protocol::spoken::counted;
use serde_json::{Value, json};

use super::form::{Form, both, empty, line};
use super::{Lines, feeds, files, history, identity, noise, retention, rooms, session};
use crate::item::{Answer, Pending};
use crate::slash;

/// What a person should know once their password is changed.
pub const PASSWORD_CHANGED: &str = "The password of the account and of this machine is changed. A new machine needs the new one. Your \
     other machines go on; each keeps the password it had for its own key file, until it is changed there too.";

/// Lists, and what is one thing.
pub(super) fn answer(lines: &Lines, answer: &Answer) -> Vec<Form> {
    let me = &lines.me;
    let pairs = |all: Vec<(String, Value)>| all.into_iter().map(|(line, of)| both(line, of));
    match answer {
        Answer::Rooms(rooms) => {
            let room = |info| both(format!("  {}", rooms::room(info)), rooms::room_object(info));
            rooms.iter().map(room).collect()
        }
        Answer::Members(room, roster) => rooms::members(room, roster),
        Answer::Follows(names) => feeds::list("follows", names),
        Answer::Subscribers(names) => feeds::list("subscribers", names),
        Answer::History(entries) => history::forms(lines, entries),
        Answer::Found(found) => {
            let last = line(format!("· {}", history::found(found)));
            history::forms(lines, &found.entries).into_iter().chain([last]).collect()
        }
        Answer::Receipts(entry) => {
            let shown = history::receipts(lines, entry).into_iter().map(line);
            shown.chain([(None, Some(history::object(me, entry)))]).collect()
        }
        Answer::Pending(pending) => self::pending(pending),
        Answer::Devices(user, is_deleted, devices) => {
            let device = |(at, device)| {
                let object = identity::device_object((user, *is_deleted), at, device);
                both(identity::device(lines, at, device), object)
            };
            let note = is_deleted.then(|| line(identity::deleted(user)));
            (1..).zip(devices).map(device).chain(note).collect()
        }
        Answer::Findings(findings) => pairs(files::findings(findings, me)).collect(),
        Answer::Transfers(running, offered, parts) => transfers(running, offered, parts),
        Answer::Cleaned(folder, parts) => pairs(files::cleaned(folder, parts)).collect(),
        Answer::Settings(_) | Answer::Unread(_) | Answer::Jobs(_) => session::list(answer),
        Answer::Ignoring(_) | Answer::Muting(_) => noise::list(answer),
        one => vec![
            of_account(me, one)
                .or_else(|| of_place(one))
                .or_else(|| session::one(lines, one))
                .or_else(|| noise::one(one))
                .unwrap_or_default(),
        ],
    }
}

/// What is about this program, its user and keys.
fn of_account(me: &UserName, answer: &Answer) -> Option<Form> {
    Some(match answer {
        Answer::Help(about) => {
            let row = about.and_then(slash::find);
            let help = row.map_or_else(slash::help, slash::help_about);
            both(help.trim_end(), json!({"event": "help", "text": help}))
        }
        Answer::WhoAmI(status) => who_am_i(status),
        Answer::Status(status) => self::status(status),
        Answer::Version => {
            let version = env!("CARGO_PKG_VERSION");
            let protocol = chat_protocol::limits::VERSION;
            both(
                format!("chat-client {version}, protocol {protocol}"),
                json!({"event": "version", "client": version, "protocol": protocol}),
            )
        }
        Answer::Password => both(format!("· {PASSWORD_CHANGED}"), json!({"event": "password"})),
        Answer::Nothing => line("· nothing is changed"),
        Answer::Compare(question) => {
            both(identity::question(me, question), identity::question_object(me, question))
        }
        Answer::Decided(kind, user, done) => both(
            format!("· {done}"),
            json!({"event": "decided", "user": user, "decision": kind.verb()}),
        ),
        Answer::Fingerprint(user, is_deleted, key) => fingerprint(user, *is_deleted, key),
        Answer::Rotated => both(
            "· this device has new keys; the next messages use them",
            json!({"event": "key", "state": "rotated"}),
        ),
        Answer::Revoked(number, device) => both(
            format!(
                "· device {number} ({}) is revoked; what it has said is not shown to whoever has not read it yet",
                device.words
            ),
            json!({"event": "revoked", "number": number, "key": device.sk}),
        ),
        _ => return None,
    })
}

/// What is about conversations and files.
fn of_place(answer: &Answer) -> Option<Form> {
    Some(match answer {
        Answer::Veil(on) => {
            let said = if *on {
                "· the veil is on: the letters of what you send are shifted, and shown shifted back"
            } else {
                "· the veil is off"
            };
            both(said, json!({"event": "veil", "on": on}))
        }
        Answer::Topic(info) => rooms::topic(info),
        Answer::Retention(info) => {
            let room = info.room.as_ref();
            both(retention::kept(room, info.keep_ms), retention::object(room, info.keep_ms, None))
        }
        Answer::NothingToAccept(room) => line(format!(
            "· nothing to decide in #{room}: the server shows the membership that is known"
        )),
        Answer::Granted { to, cid, count } => both(
            format!("· {to} is granted {} of {}", counted(*count, "message"), cid.spoken()),
            json!({"event": "grant", "conversation": cid, "user": to, "messages": count}),
        ),
        Answer::NoHistory { cid, is_more } => {
            let what = if *is_more { "nothing more" } else { "nothing" };
            empty(format!("· {what} was said in {} yet", cid.spoken()), "history")
        }
        Answer::Fetching { n, name, owner, size } => both(
            format!("⇣ {n} {} from {owner} ({})", sanitise::line(name), files::size(*size)),
            json!({
                "event": "fetching", "transfer": n, "owner": owner, "name": name, "size": size,
            }),
        ),
        Answer::Declined(offered) => {
            let name = sanitise::line(&offered.file.name);
            both(
                format!("· {name} of {} is declined", offered.from),
                json!({"event": "declined", "owner": offered.from, "name": name}),
            )
        }
        _ => return None,
    })
}

fn who_am_i(status: &Status) -> Form {
    let Status { user, dev, identity, server, .. } = status;
    let key = identity.in_groups();
    both(
        format!("you are {user}, device {dev}, key {key}\nserver {server}"),
        json!({
            "event": "whoami", "user": user, "device": dev, "fingerprint": key, "server": server,
        }),
    )
}

fn status(status: &Status) -> Form {
    let url = status.url.as_ref().map(ToString::to_string);
    let connection = match (&url, status.silent_s) {
        (Some(url), Some(seconds)) => {
            format!("connected to {url}, which has not answered for {seconds} s")
        }
        (Some(url), None) => format!("connected to {url}"),
        (None, _) if status.is_away => session::AWAY.to_owned(),
        (None, _) => "offline; trying again".to_owned(),
    };
    let connection = format!("{connection}{}", elsewhere(status));
    let answer = match status.answer_us {
        Some(us) => {
            let took = Duration::from_micros(us).as_secs_f64() * 1e3;
            format!("the last answer took {took:.1} ms")
        }
        None => "nothing was answered yet".to_owned(),
    };
    let open = status.unanswered;
    both(
        format!("{connection}; {answer}; {open} without an answer"),
        json!({
            "event": "status", "online": url.is_some(), "disconnected": status.is_away, "url": url,
            "addresses": status.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "answer_us": status.answer_us, "silent_s": status.silent_s, "unanswered": open,
        }),
    )
}

/// Where the server can be reached, too.
fn elsewhere(status: &Status) -> String {
    let others = status.addresses.iter().filter(|url| Some(*url) != status.url.as_ref());
    match others.map(ToString::to_string).collect::<Vec<_>>().join(", ") {
        others if status.addresses.len() < 2 || others.is_empty() => String::new(),
        others if status.url.is_some() => format!(" (else {others})"),
        all => format!(" at {all}"),
    }
}

fn fingerprint(user: &UserName, is_deleted: bool, key: &KeyId) -> Form {
    let groups = key.in_groups();
    let mut text = format!("the key of {user}: {groups}\n  in a policy: {key}");
    if is_deleted {
        text = format!("{text}\n{}", identity::deleted(user));
    }
    both(
        text,
        json!({
            "event": "fingerprint", "user": user, "fingerprint": groups, "key": key,
            "deleted": is_deleted,
        }),
    )
}

fn pending(pending: &[Pending]) -> Vec<Form> {
    if pending.is_empty() {
        return vec![empty("everything sent is answered", "pending")];
    }
    let form = |Pending { id, cid, tag, text }: &Pending| {
        let text = text.as_ref().map(|text| format!(": {}", sanitise::line(text)));
        both(
            format!("  {id} {tag} in {}{}", cid.spoken(), text.unwrap_or_default()),
            json!({"event": "pending", "id": id, "in": cid, "tag": tag}),
        )
    };
    pending.iter().map(form).collect()
}

fn transfers(running: &[(u32, String)], offered: &[Offered], parts: &[Resumable]) -> Vec<Form> {
    let running = running.iter().map(|(n, name)| {
        let object = json!({"event": "fetching", "transfer": n, "name": name});
        both(format!("⇣ {n} {}", sanitise::line(name)), object)
    });
    let others = offered.iter().map(files::offered);
    let parts = parts.iter().map(|of| files::part(of, "/transfers clean removes it"));
    let others = others.chain(parts).map(|(line, object)| both(line, object));
    let mut forms: Vec<Form> = running.chain(others).collect();
    if forms.is_empty() {
        let nothing = "nothing is on its way and nobody offers you a file";
        forms.push(both(nothing, json!({"event": "transfers", "count": 0})));
    }
    forms
}
