//! Answers about people, the connection, commands under way and settings.

use std::time::Duration;

use chat_endpoint::Standing;
use chat_protocol::sanitise;
use chat_protocol::spoken::counted;
use serde_json::{Value, json};

use super::form::{Form, both, empty};
use super::{Lines, SERVER_SAYS};
use crate::item::{Answer, Job, Unread, Whois};
use crate::settings::{KEYS, Key, Settings};

/// What is said while nothing connects, because somebody has gone away.
pub(super) const AWAY: &str = "disconnected; /connect connects again";

/// Lists.
pub(super) fn list(answer: &Answer) -> Vec<Form> {
    match answer {
        Answer::Settings(settings) => KEYS.iter().map(|key| setting(key, settings)).collect(),
        Answer::Unread(unread) if unread.is_empty() => {
            vec![both("· nothing is new", json!({"event": "unread_sum", "conversations": 0}))]
        }
        Answer::Unread(unread) => {
            let sum = json!({"event": "unread_sum", "conversations": unread.len()});
            unread.iter().map(self::unread).chain([(None, Some(sum))]).collect()
        }
        Answer::Jobs(jobs) if jobs.is_empty() => {
            vec![empty("· no command of yours is under way", "jobs")]
        }
        Answer::Jobs(jobs) => jobs.iter().map(job).collect(),
        _ => Vec::new(),
    }
}

/// What is one thing.
pub(super) fn one(lines: &Lines, answer: &Answer) -> Option<Form> {
    Some(match answer {
        Answer::Set(key, settings) => setting(key, settings),
        Answer::Saved(place) => both(
            format!("· the settings are kept in {}", sanitise::line(place)),
            json!({"event": "saved", "path": place}),
        ),
        Answer::Whois(whois) => self::whois(lines, whois),
        Answer::Ping(took) => both(
            format!("· the server answers in {}", milliseconds(*took)),
            json!({"event": "ping", "answer_us": u64::try_from(took.as_micros()).ok()}),
        ),
        Answer::Lag(None) => {
            both("· nothing was answered yet", json!({"event": "lag", "answer_us": Value::Null}))
        }
        Answer::Lag(Some(us)) => both(
            format!("· the last answer took {}", milliseconds(Duration::from_micros(*us))),
            json!({"event": "lag", "answer_us": us}),
        ),
        Answer::Motd(None) => both(
            "· nothing was announced since you came",
            json!({"event": "motd", "text": Value::Null}),
        ),
        Answer::Motd(Some(text)) => both(
            format!("* {SERVER_SAYS}{}", sanitise::line(text)),
            json!({"event": "motd", "text": text}),
        ),
        Answer::IsOnline(true) => {
            both("· you are connected already", json!({"event": "connection", "state": "online"}))
        }
        Answer::IsOnline(false) => both(
            format!("· {AWAY}"),
            json!({"event": "connection", "state": "offline", "reason": AWAY}),
        ),
        Answer::Cancelled(job) => both(
            format!("· command {} on {} is taken back", job.n, job.target),
            json!({"event": "job_cancelled", "n": job.n, "id": job.id}),
        ),
        _ => return None,
    })
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1e3)
}

fn setting(key: &Key, settings: &Settings) -> Form {
    let value = key.get(settings);
    let said = format!("· {} = {value} ({}: {})", key.name, key.description, key.values);
    let object = match key.name {
        "presence" => json!({"event": "set", "key": "presence", "value": value, "presence": value}),
        name => json!({"event": "set", "key": name, "value": value}),
    };
    both(said, object)
}

fn unread(Unread { cid, messages, mentions }: &Unread) -> Form {
    let named = match mentions {
        0 => String::new(),
        named => format!(", {named} for you"),
    };
    both(
        format!("  {}: {} new{named}", cid.spoken(), counted(*messages, "message")),
        json!({"event": "unread", "in": cid, "messages": messages, "mentions": mentions}),
    )
}

fn job(Job { n, id, target, argv, state }: &Job) -> Form {
    let words = argv.join(" ");
    let how = match *state {
        "STARTED" => "runs",
        "DELIVERED" => "was handed on and has not started",
        _ => "is on its way",
    };
    both(
        format!("  {n} on {target}: {} ({how})", sanitise::line(&words)),
        json!({"event": "job", "n": n, "id": id, "target": target, "argv": argv, "state": state}),
    )
}

fn whois(lines: &Lines, whois: &Whois) -> Form {
    let Whois { user, is_online, is_agent, is_deleted, key, devices, rooms, seen_ms } = whois;
    let here = if *is_online { "online" } else { "away" };
    let agent = if *is_agent { ", accepts commands" } else { "" };
    let mut text = format!("{user}: {here}{agent}");
    if *is_deleted {
        text = format!("{text}\n{}", super::identity::deleted(user));
    }
    let standing = key.as_ref().map(|(_, standing)| match standing {
        Standing::Known => "known",
        Standing::Verified => "verified",
        Standing::Changed => "in_question",
    });
    match (key, standing) {
        (Some((words, _)), Some(standing)) => {
            let how = match standing {
                "verified" => "compared with you".to_owned(),
                "in_question" => "IN QUESTION".to_owned(),
                _ => format!("not compared yet; /verify {user}"),
            };
            text = format!("{text}\n  key: {words} ({how})");
        }
        _ => text.push_str("\n  no key of theirs was ever seen here"),
    }
    if let Some((count, since_ms)) = devices {
        let since = lines.time(*since_ms);
        text = format!("{text}\n  {}, the first known since {since}", counted(*count, "device"));
    }
    if let Some(seen_ms) = seen_ms {
        text = format!("{text}\n  heard of last {}", lines.time(*seen_ms));
    }
    let named: Vec<String> = rooms.iter().map(|room| format!("#{room}")).collect();
    if !named.is_empty() {
        text = format!("{text}\n  also in {}", named.join(", "));
    }
    let object = json!({
        "event": "whois", "user": user, "online": is_online, "agent": is_agent,
        "deleted": is_deleted, "key": standing,
        "words": key.as_ref().map(|(words, _)| words.to_string()),
        "devices": devices.map(|(count, _)| count), "since_ms": devices.map(|(_, since_ms)| since_ms),
        "rooms": rooms, "seen_ms": seen_ms,
    });
    both(text, object)
}
