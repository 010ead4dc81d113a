//! Files and transfers as lines and as JSON objects. Names and keywords come from others: all of them
//! pass the sanitiser here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chat_protocol::file::catalogue::Audience;
use chat_protocol::name::UserName;
use chat_protocol::sanitise;
use jiff::Timestamp;
use serde_json::{Value, json};

use chat_files::part::Resumable;
use chat_files::transfer::{Findings, Forged, Listed, Offered, TransferEvent};

/// Forged offers that are shown one by one; more are counted.
const FORGED_LINES_MAX: usize = 8;

/// A size as people read it, in powers of ten as on drives and in file managers.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("B", 1)];
    for (unit, one) in UNITS {
        if bytes < one {
            continue;
        }
        let (whole, tenth) = (bytes / one, bytes % one * 10 / one);
        return if one == 1 || whole >= 100 {
            format!("{whole} {unit}")
        } else {
            format!("{whole}.{tenth} {unit}")
        };
    }
    "0 B".to_owned()
}

/// A list with numbers, for `/get`.
pub fn findings(findings: &Findings, me: &UserName) -> Vec<(String, Value)> {
    let mut lines: Vec<_> =
        (1..).zip(&findings.files).map(|(n, listed)| numbered(n, listed, me)).collect();
    if findings.files.is_empty() {
        let nothing = json!({"event": "files", "count": 0});
        lines.push(("no file was found".to_owned(), nothing));
    }
    if findings.unreadable > 0 {
        let count = findings.unreadable;
        lines.push((
            format!("· {count} more whose owner has not told their key here yet"),
            json!({"event": "files", "unreadable": count}),
        ));
    }
    lines.extend(left_out(findings));
    if findings.more {
        let line = "· there are more; say more words".to_owned();
        lines.push((line, json!({"event": "files", "more": true})));
    }
    lines
}

/// What the list holds and is not shown, and why.
pub fn left_out(findings: &Findings) -> Vec<(String, Value)> {
    let mut lines: Vec<_> = findings.forged.iter().take(FORGED_LINES_MAX).map(forged).collect();
    let more = findings.forged.len().saturating_sub(FORGED_LINES_MAX);
    for (count, key, why) in [
        (more, "forged", "likewise listed under names that have not signed them"),
        (findings.outdated, "outdated", "not shown: a newer copy of each was seen here before"),
        (findings.revoked, "revoked", "not shown: signed with a key that its owner has revoked"),
        (findings.ignored, "ignored", "not shown: you ignore whose they are"),
    ] {
        if count > 0 {
            lines.push((format!("· {count} more {why}"), json!({"event": "files", key: count})));
        }
    }
    lines
}

fn forged(forged: &Forged) -> (String, Value) {
    let Forged { owner, name } = forged;
    let line = format!("! {}", not_signed(forged));
    (line, json!({"event": "forged", "owner": owner, "name": name}))
}

/// Says of a file that its owner has not signed it.
pub fn not_signed(forged: &Forged) -> String {
    let Forged { owner, name } = forged;
    let name = sanitise::line(name.as_deref().unwrap_or("a file"));
    format!("the server lists {name} under {owner}'s name; {owner}'s key has not signed that")
}

fn numbered(n: usize, listed: &Listed, me: &UserName) -> (String, Value) {
    let Listed { owner, online, file, words, .. } = listed;
    let state = match (owner == me, *online) {
        (true, _) => "mine",
        (false, true) => "here",
        (false, false) => "away",
    };
    let words = words.join(", ");
    let line = format!(
        "  {n}  {owner}  {}  {}  {}  ({state}{})",
        sanitise::line(&file.name),
        size(file.size),
        sanitise::line(&words),
        audience(&listed.audience),
    );
    (line, object(listed))
}

fn audience(audience: &Audience) -> String {
    match audience {
        Audience::Everybody => String::new(),
        Audience::Conversation(cid) => format!(", for {}", cid.spoken()),
    }
}

/// One file of a list as an object.
pub fn object(listed: &Listed) -> Value {
    let Listed { owner, online, offer, audience, file, words } = listed;
    json!({
        "event": "file", "owner": owner, "online": online, "offer": offer, "audience": audience,
        "name": file.name, "size": file.size, "root": file.root, "keywords": words,
    })
}

/// A file that somebody would like to give me.
pub fn offered(offered: &Offered) -> (String, Value) {
    let Offered { n, from, file, .. } = offered;
    let name = sanitise::line(&file.name);
    (
        format!("⇣ {from} offers you {name} ({}): /accept {n} or /decline {n}", size(file.size)),
        json!({
            "event": "offered", "n": n, "owner": from, "name": file.name, "size": file.size,
        }),
    )
}

/// What happened to a transfer; `name` is that of the file, where the event has none.
pub fn event(event: &TransferEvent, name: Option<&str>) -> Vec<(String, Value)> {
    let line = match event {
        TransferEvent::Progress { .. }
        | TransferEvent::Waiting { .. }
        | TransferEvent::Fetched { .. }
        | TransferEvent::Failed { .. } => return coming(event, name).into_iter().collect(),
        TransferEvent::Gave { to, name, bytes } => (
            format!("⇡ {to} fetched {} ({})", sanitise::line(name), size(*bytes)),
            json!({"event": "gave", "to": to, "name": name, "bytes": bytes}),
        ),
        TransferEvent::NotGiven { to, reason } => (
            format!("! a file was not given to {to}: {}", sanitise::line(reason)),
            json!({"event": "not-given", "to": to, "reason": reason}),
        ),
        TransferEvent::Offered(of) => offered(of),
        TransferEvent::Sent { to, name, size: whole } => (
            format!("⇡ {} ({}) is offered to {to}", sanitise::line(name), size(*whole)),
            json!({"event": "offer", "to": to, "name": name, "size": whole}),
        ),
        TransferEvent::Answered { by, name, reason } => (
            format!("✗ {} to {by}: {}", sanitise::line(name), sanitise::line(reason)),
            json!({"event": "refused", "by": by, "name": name, "reason": reason}),
        ),
        TransferEvent::Listed { files, offered, ended } => (
            format!("· files on the list: {files} ({offered} new, {ended} taken off)"),
            json!({"event": "shared", "files": files, "offered": offered, "ended": ended}),
        ),
        TransferEvent::Folder { line } => {
            (format!("· {}", sanitise::line(line)), json!({"event": "folder", "text": line}))
        }
        TransferEvent::Copied { name, until } => (
            format!("· the server keeps a copy of {} until {}", sanitise::line(name), day(*until)),
            json!({"event": "copied", "name": name, "until": day(*until)}),
        ),
        TransferEvent::Problem { reason } => {
            (format!("✗ {}", sanitise::line(reason)), json!({"event": "error", "reason": reason}))
        }
        TransferEvent::Done => return Vec::new(),
    };
    vec![line]
}

/// What happened to a file that is fetched.
fn coming(event: &TransferEvent, name: Option<&str>) -> Option<(String, Value)> {
    let name = name.unwrap_or("a file");
    let shown = sanitise::line(name);
    Some(match event {
        TransferEvent::Progress { n, done, size: whole, rate } => (
            format!("⇣ {n} {shown} {}", progress(*done, *whole, *rate)),
            json!({
                "event": "progress", "transfer": n, "name": name, "done": done, "size": whole,
                "rate": rate,
            }),
        ),
        TransferEvent::Waiting { n, why } => (
            format!("… {n} {shown}: {}", sanitise::line(why)),
            json!({"event": "waiting", "transfer": n, "name": name, "reason": why}),
        ),
        TransferEvent::Fetched { n, owner, givers, path, size: whole } => {
            let path = path.to_string_lossy();
            (
                format!(
                    "✓ {n} {shown} from {owner} is here, checked: {} ({}{})",
                    sanitise::line(&path),
                    size(*whole),
                    given_by(owner, givers).map(|by| format!(", {by}")).unwrap_or_default(),
                ),
                json!({
                    "event": "fetched", "transfer": n, "owner": owner, "name": name,
                    "path": path, "size": whole, "givers": givers,
                }),
            )
        }
        TransferEvent::Failed { n, error } => (
            format!("✗ {n} {shown}: {}", sanitise::line(&error.to_string())),
            json!({
                "event": "failed", "transfer": n, "name": name, "reason": error.to_string(),
            }),
        ),
        _ => return None,
    })
}

/// Bytes in a second, on average.
pub fn rate(size: u64, took: Duration) -> u64 {
    let micros = took.as_micros().max(1);
    u64::try_from(u128::from(size) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

/// The same in words.
pub fn average(whole: u64, took: Duration) -> String {
    format!("{} in {:.1} s ({}/s)", size(whole), took.as_secs_f64(), size(rate(whole, took)))
}

/// A part of a file that is here, and what is said of it.
pub fn part(of: &Resumable, what: &str) -> (String, Value) {
    let Resumable { manifest, have, .. } = of;
    let percent = u64::from(*have).saturating_mul(100) / u64::from(manifest.chunks().max(1));
    let what = if what.is_empty() { String::new() } else { format!("; {what}") };
    let name = sanitise::line(&manifest.name);
    (
        format!("⇣ {name}: {percent} % of {} is here{what}", size(manifest.size)),
        json!({
            "event": "part", "name": manifest.name, "size": manifest.size, "percent": percent,
            "root": manifest.root,
        }),
    )
}

/// What has become of the parts of a folder.
pub fn cleaned(folder: &Path, parts: &[(Resumable, bool)]) -> Vec<(String, Value)> {
    if parts.is_empty() {
        return vec![no_part(folder)];
    }
    let what = |removed| if removed { "is removed" } else { "is being received now, and stays" };
    parts.iter().map(|(of, is_removed)| part(of, what(*is_removed))).collect()
}

/// Said where there is no part.
pub fn no_part(folder: &Path) -> (String, Value) {
    let line = format!("no part of a file is in {}", folder.display());
    (line, json!({"event": "transfers", "count": 0}))
}

/// Who gave a file, if it was not its owner alone.
pub fn given_by(owner: &UserName, givers: &BTreeSet<UserName>) -> Option<String> {
    let is_owner_alone = givers.iter().all(|giver| giver == owner);
    let names: Vec<&str> = givers.iter().map(UserName::as_str).collect();
    (!is_owner_alone).then(|| format!("given by {}", names.join(", ")))
}

/// How far a transfer is: share, bytes, rate and the time left.
pub fn progress(done: u64, whole: u64, rate: u64) -> String {
    let percent = done.saturating_mul(100) / whole.max(1);
    let left = whole.saturating_sub(done).checked_div(rate).map(Duration::from_secs);
    let left = left.map(|left| format!(", {} left", time(left))).unwrap_or_default();
    format!("{percent} %, {} of {}, {}/s{left}", size(done), size(whole), size(rate))
}

/// A moment as people and scripts read it.
fn day(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| format!("{at:.0}")).unwrap_or_default()
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_progress_are_read_at_a_glance() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (12_345, "12.3 kB"),
            (123_456, "123 kB"),
            (1_073_741_824, "1.0 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        let text = progress(50_000_000, 200_000_000, 1_000_000);
        assert_eq!(text, "25 %, 50.0 MB of 200 MB, 1.0 MB/s, 2:30 left");
        assert_eq!(progress(0, 0, 0), "0 %, 0 B of 0 B, 0 B/s");
    }

    #[test]
    fn hostile_names_do_no_harm_on_the_screen() {
        let (to, name) = (UserName::new("bob").unwrap(), "a\u{1b}[2J\u{202e}".to_owned());
        let [(line, _)] =
            event(&TransferEvent::Gave { to, name, bytes: 1 }, None).try_into().unwrap();
        assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
    }
}
