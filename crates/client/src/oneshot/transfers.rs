//! `transfers`: files that are partly here, without a connection.

use std::path::Path;

use chat_files::part::{self, PartError, Resumable};
use chat_protocol::sanitise;
use serde_json::{Value, json};

use super::{print_json, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::show::files as show;
use crate::start::Failure;

/// Shows the parts in the folder for files that are fetched, or removes those that nobody receives now.
pub fn transfers(common: &Common, clean: bool) -> Result<ExitStatus, Failure> {
    let failed = |error: &PartError| Failure::Other {
        status: ExitStatus::Storage,
        reason: error.to_string(),
    };
    let folder = part::folder(&common.downloads).map_err(|error| failed(&error))?;
    let parts = part::list(&folder).map_err(|error| failed(&error))?;
    let mut lines = Vec::new();
    for of in &parts {
        let is_gone = match clean.then(|| part::discard(&folder, &of.manifest.root)) {
            None => false,
            Some(Ok(())) => true,
            Some(Err(PartError::Busy)) => {
                lines.push(line(of, "is being received now, and stays"));
                continue;
            }
            Some(Err(error)) => return Err(failed(&error)),
        };
        lines.push(line(of, if is_gone { "is removed" } else { "" }));
    }
    if lines.is_empty() {
        let nothing = format!("no part of a file is in {}", common.downloads.display());
        lines.push((nothing, json!({"event": "transfers", "count": 0})));
    }
    if common.json {
        print_json(lines.into_iter().map(|(_, object)| object).collect())?;
    } else {
        for (line, _) in lines {
            print_line(&line)?;
        }
    }
    Ok(ExitStatus::Ok)
}

/// The parts of a folder but those of files that are on their way, for a list of transfers. A folder that
/// is not there has none.
pub fn partly_here(folder: &Path, is_running: impl Fn(&str) -> bool) -> Vec<(String, Value)> {
    let parts = part::folder(folder).and_then(|folder| part::list(&folder)).unwrap_or_default();
    let parts = parts.iter().filter(|of| !is_running(&of.manifest.name));
    parts.map(|of| line(of, "`chat-client transfers clean` removes it")).collect()
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
