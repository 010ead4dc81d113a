//! `transfers`: files that are partly here, without a connection.

use std::path::Path;

use chat_files::disk::Dir;
use chat_files::part::{self, PartError, Resumable};
use chat_protocol::sanitise;
use serde_json::{Value, json};

use super::print_lines;
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::start::Failure;
use chat_text::show::files as show;

/// Shows the parts in the folder for files that are fetched, or removes those that nobody receives now.
pub fn transfers(common: &Common, clean: bool) -> Result<ExitStatus, Failure> {
    let folder = &common.downloads;
    let done = if clean {
        removed(folder)
    } else {
        parts(folder).map(|(_, parts)| parts.iter().map(|of| line(of, "")).collect())
    };
    let mut lines = done.map_err(|error| Failure::Other {
        status: ExitStatus::Storage,
        reason: error.to_string(),
    })?;
    if lines.is_empty() {
        lines.push(none(folder));
    }
    print_lines(common.json, lines)?;
    Ok(ExitStatus::Ok)
}

/// The parts of a folder but those of files that are on their way, for a list of transfers. A folder that
/// cannot be read has none.
pub fn partly_here(folder: &Path, is_running: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
    let (_, parts) = parts(folder).unwrap_or_default();
    let parts = parts.iter().filter(|of| !is_running(&of.manifest.name));
    parts.map(|of| line(of, "/transfers clean removes it")).collect()
}

/// Removes the parts of a folder that nobody receives now. What has become of each.
pub fn removed(folder: &Path) -> Result<Vec<(String, Value)>, PartError> {
    let (Some(dir), parts) = parts(folder)? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for of in &parts {
        let what = match part::discard(&dir, &of.manifest.root) {
            Ok(()) => "is removed",
            Err(PartError::Busy) => "is being received now, and stays",
            Err(error) => return Err(error),
        };
        lines.push(line(of, what));
    }
    Ok(lines)
}

/// Said where there is no part.
pub fn none(folder: &Path) -> (String, Value) {
    let line = format!("no part of a file is in {}", folder.display());
    (line, json!({"event": "transfers", "count": 0}))
}

/// A folder for files that are fetched, and the parts in it. One that was not made yet has none.
fn parts(folder: &Path) -> Result<(Option<Dir>, Vec<Resumable>), PartError> {
    if matches!(folder.try_exists(), Ok(false)) {
        return Ok((None, Vec::new()));
    }
    let dir = part::folder(folder)?;
    let parts = part::list(&dir)?;
    Ok((Some(dir), parts))
}

fn line(of: &Resumable, what: &str) -> (String, Value) {
    let Resumable { manifest, have, .. } = of;
    let percent = u64::from(*have).saturating_mul(100) / u64::from(manifest.chunks().max(1));
    let what = if what.is_empty() { String::new() } else { format!("; {what}") };
    let name = sanitise::line(&manifest.name);
    (
        format!("⇣ {name}: {percent} % of {} is here{what}", show::size(manifest.size)),
        json!({
            "event": "part", "name": manifest.name, "size": manifest.size, "percent": percent,
            "root": manifest.root,
        }),
    )
}
