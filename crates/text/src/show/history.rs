//! The history as lines for people and as JSON objects for programs.

use chat_protocol::id::KeyId;
use chat_protocol::name::UserName;
use chat_protocol::spoken::counted;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::form::{Form, both};
use super::{Lines, SERVER_SAYS, fields, identity, json as events, veil_mark};
use chat_device::history::proof::{Proof, Verdict};
use chat_device::history::{Entry, State};

/// Names that a line lists; a number says how many more there are.
const NAMES_SHOWN_MAX: usize = 20;

/// One message as a line, with what has become of it.
pub fn line(lines: &Lines, entry: &Entry) -> String {
    let record = &entry.record;
    let marks = (veil_mark(record.veiled), mark(entry));
    let said = match (&entry.state, &record.text, record.tag) {
        (State::Unreadable { reason }, ..) => Lines::unreadable(&record.cid, &record.from, reason),
        (_, Some(text), Some(_)) if record.cid.is_feed() => {
            let said_in = record.said_in.as_ref();
            lines.copied(&record.from, said_in, text, record.sent_ms, marks)
        }
        (_, Some(text), Some(tag)) => {
            lines.marked((&record.cid, tag), &record.from, text, record.sent_ms, marks)
        }
        _ => String::new(),
    };
    match outcome(entry) {
        Some(outcome) => format!("{said}  {outcome}"),
        None => said,
    }
}

/// Messages of the past, set in.
pub(super) fn forms(lines: &Lines, entries: &[Entry]) -> Vec<Form> {
    let form = |entry| both(format!("  {}", line(lines, entry)), object(&lines.me, entry));
    entries.iter().map(form).collect()
}

/// How well the writer's key was known when the message was shown.
fn mark(entry: &Entry) -> &'static str {
    match &entry.state {
        State::Received { peer, .. } => identity::mark(*peer),
        _ => "",
    }
}

/// What has become of a message of ours; nothing for those of others.
pub fn outcome(entry: &Entry) -> Option<String> {
    Some(match &entry.state {
        State::Queued => "… queued".to_owned(),
        State::Refused { code, reason, by_hub } => {
            let readers = entry.confirmed.iter().filter(|one| one.readable);
            match readers.map(|one| one.by.as_str()).collect::<Vec<_>>().as_slice() {
                [] => {
                    let whose = if *by_hub { SERVER_SAYS } else { "" };
                    format!("✗ NOACK {}: {whose}{}", sanitised(code), sanitised(reason))
                }
                names => {
                    let names = names.join(", ");
                    format!("✓✓ delivered to {names} although the server refused it")
                }
            }
        }
        State::Stored { kept, recipients, .. } => {
            let readable = entry.confirmed.iter().filter(|one| one.readable).count();
            match (recipients.as_slice(), readable) {
                (_, 0) if entry.confirmed.iter().any(|one| !one.readable) => {
                    "✗ could not be read".to_owned()
                }
                ([one], 0) if *kept => format!("✓ kept for {one}, who is away"),
                (_, 0) => "✓ stored".to_owned(),
                ([one], _) => format!("✓✓ delivered to {one}"),
                (all, some) => format!("✓✓ delivered {some} of {}", all.len()),
            }
        }
        State::Received { .. } | State::Unreadable { .. } => return None,
    })
}

/// One message as an object. Fields that a message has at arrival have the same names here.
pub fn object(me: &UserName, entry: &Entry) -> Value {
    let record = &entry.record;
    let mut fields = fields::place(&record.cid);
    fields.insert("event".to_owned(), "history".into());
    if let Some(room) = &record.said_in {
        fields.insert("room".to_owned(), json!(room));
    }
    fields.insert("id".to_owned(), json!(record.id));
    fields.insert("from".to_owned(), json!(record.from));
    if let Some(to) = addressee(me, entry) {
        fields.insert("to".to_owned(), json!(to));
    }
    fields.insert("text".to_owned(), json!(record.text));
    if record.veiled {
        fields.insert("veiled".to_owned(), true.into());
    }
    fields.insert("sent_at".to_owned(), time(record.sent_ms));
    let state = match &entry.state {
        State::Queued => "queued",
        State::Refused { code, reason, .. } => {
            fields.insert("code".to_owned(), json!(code));
            fields.insert("reason".to_owned(), json!(reason));
            "refused"
        }
        State::Stored { position, kept, recipients } => {
            fields.insert("seq".to_owned(), json!(position));
            fields.insert("recipients".to_owned(), json!(recipients));
            fields.insert("delivered".to_owned(), json!(who(entry, true)));
            fields.insert("unreadable".to_owned(), json!(who(entry, false)));
            match who(entry, true).len() {
                0 if *kept => "kept",
                0 => "stored",
                _ => "delivered",
            }
        }
        State::Received { position, peer } => {
            fields.insert("seq".to_owned(), json!(position));
            events::standing(&mut fields, *peer);
            "received"
        }
        State::Unreadable { reason } => {
            fields.insert("reason".to_owned(), json!(reason));
            "unreadable"
        }
    };
    fields.insert("state".to_owned(), state.into());
    Value::Object(fields)
}

/// Who has confirmed a message of ours, in full.
pub fn receipts(lines: &Lines, entry: &Entry) -> Vec<String> {
    let mut shown = vec![line(lines, entry)];
    if let State::Stored { recipients, .. } = &entry.state {
        let has_confirmed = |name: &&UserName| entry.confirmed.iter().all(|one| one.by != **name);
        let missing: Vec<&UserName> = recipients.iter().filter(has_confirmed).collect();
        let groups = [
            ("delivered to", who(entry, true)),
            ("could not be read by", who(entry, false)),
            ("no receipt yet from", missing),
        ];
        for (what, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
            shown.push(format!("  {what} {}", listed(&names)));
        }
    }
    shown.push(format!("  id {}", entry.record.id));
    shown
}

/// A proof, for people.
pub fn proof_lines(lines: &Lines, proof: &Proof) -> Vec<String> {
    let header = &proof.header;
    let place = match header.to.user() {
        Some(to) => format!("to {to}"),
        None => format!("in {}", header.cid.spoken()),
    };
    let mut shown = vec![
        format!("message {} from {} {place}", header.id, header.from),
        format!("  sent {}, digest {}", lines.time(header.ts), proof.digest),
    ];
    if let Some(text) = &proof.text {
        let text = chat_protocol::sanitise::text(text).replace('\n', "\n    ");
        shown.push(format!("  text: {text}"));
    }
    shown.push(format!("  {} signed it: {}", header.from, judged(&proof.signature)));
    for receipt in &proof.receipts {
        let how = if receipt.readable { "received it" } else { "could not read it" };
        let (by, at) = (&receipt.by, lines.time(receipt.at_ms));
        shown.push(format!("  {by} {how} at {at}: {}", judged(&receipt.verdict)));
    }
    if !proof.missing.is_empty() {
        let missing: Vec<&UserName> = proof.missing.iter().collect();
        shown.push(format!("  no receipt yet from {}", listed(&missing)));
    }
    shown
}

/// A proof, for programs.
pub fn proof_object(proof: &Proof) -> Value {
    let header = &proof.header;
    let mut fields = fields::place(&header.cid);
    let receipts = proof.receipts.iter().map(|receipt| {
        let mut fields = verdict(&receipt.verdict);
        fields.insert("by".to_owned(), json!(receipt.by));
        fields.insert("readable".to_owned(), json!(receipt.readable));
        fields.insert("at".to_owned(), time(receipt.at_ms));
        Value::Object(fields)
    });
    let values = [
        ("event", json!("proof")),
        ("id", json!(header.id)),
        ("from", json!(header.from)),
        ("to", json!(header.to)),
        ("sent_at", time(header.ts)),
        ("digest", json!(proof.digest)),
        ("text", json!(proof.text)),
        ("signature", Value::Object(verdict(&proof.signature))),
        ("receipts", receipts.collect()),
        ("missing", json!(proof.missing)),
        ("verified", json!(proof.is_verified())),
    ];
    fields.extend(values.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(fields)
}

fn verdict(verdict: &Verdict) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("verified".to_owned(), verdict.is_ok().into());
    match verdict {
        Ok(identity) => fields.insert("fingerprint".to_owned(), json!(identity.in_groups())),
        Err(error) => fields.insert("reason".to_owned(), json!(error.to_string())),
    };
    fields
}

fn judged(verdict: &Verdict) -> String {
    let key = |identity: &KeyId| format!("verified, key {}", identity.in_groups());
    verdict.as_ref().map_or_else(|error| format!("NOT VERIFIED: {error}"), key)
}

fn who(entry: &Entry, readable: bool) -> Vec<&UserName> {
    let mut names: Vec<&UserName> = entry
        .confirmed
        .iter()
        .filter(|confirmation| confirmation.readable == readable)
        .map(|confirmation| &confirmation.by)
        .collect();
    names.sort();
    names
}

fn addressee(me: &UserName, entry: &Entry) -> Option<UserName> {
    let cid = &entry.record.cid;
    if entry.record.from == *me { cid.other(me) } else { cid.is_direct().then(|| me.clone()) }
}

fn listed(names: &[&UserName]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN_MAX).map(|name| name.as_str()).collect();
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn time(unix_ms: u64) -> Value {
    let at = i64::try_from(unix_ms).ok().filter(|ms| *ms > 0);
    let at = at.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    json!(at.map(|at| format!("{at:.3}")))
}

fn sanitised(outside: &str) -> std::borrow::Cow<'_, str> {
    chat_protocol::sanitise::line(outside)
}

/// How much was looked at, and whether there is more.
pub fn found(found: &chat_device::history::Found) -> String {
    let (count, looked_at) = (found.entries.len(), found.looked_at);
    if found.more {
        return format!("the newest {count} that fit; add a word to see fewer");
    }
    let fit = if count == 1 { "fits" } else { "fit" };
    format!("{count} of {} {fit}", counted(looked_at, "message"))
}
