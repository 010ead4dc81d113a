//! What is configured, and changing it in an editor; connects to nobody.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use clap::Subcommand;
use serde_json::json;

use super::{print_json, print_line};
use crate::config::{Common, Config, save};
use crate::exit::ExitStatus;
use crate::start::Failure;

/// Where nobody says which editor.
const EDITOR: &str = "vi";

/// What a new file begins with.
const FIRST: &str = "\
# What chat-client likes; `chat-client config show --origin` says what holds.
# user = \"alice\"
# server = \"wss://chat.example.org:9000\"
# presence = \"followed\"
#
# [profile.work]            # chat-client -P work
# server = \"wss://chat.work.example:9000\"
";

/// What to do with the configuration.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum ConfigVerb {
    /// Show what holds
    Show {
        /// Also where each value comes from: option, environment, profile, file or default
        #[arg(long)]
        origin: bool,
    },
    /// Change the file in $VISUAL or $EDITOR, and check it
    Edit,
}

impl ConfigVerb {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        match self {
            Self::Show { origin } => show(common, *origin),
            Self::Edit => edit(common),
        }
    }
}

fn show(common: &Common, with_origin: bool) -> Result<ExitStatus, Failure> {
    for one in &common.configured.shown {
        let value = one.value.as_deref().unwrap_or_default();
        if common.json {
            let origin = one.origin.to_string();
            print_json(vec![json!({
                "event": "config", "key": one.key, "value": one.value, "origin": origin,
            })])?;
            continue;
        }
        let shown = chat_protocol::sanitise::line(value);
        if with_origin {
            print_line(&format!("{} = {shown}  ({})", one.key, one.origin))?;
        } else {
            print_line(&format!("{} = {shown}", one.key))?;
        }
    }
    Ok(ExitStatus::Ok)
}

fn edit(common: &Common) -> Result<ExitStatus, Failure> {
    let other = |reason: String| Failure::Other { status: ExitStatus::Failure, reason };
    let Some(path) = common.configured.path.as_deref() else {
        return Err(other(
            "no folder for the configuration is known; give --config FILE".to_owned(),
        ));
    };
    if !path.exists() {
        save::write(path, FIRST)?;
    }
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| EDITOR.to_owned());
    // Its words are a shell's, so that it can have options.
    let script = format!("{editor} \"$1\"");
    let status = Command::new("sh").arg("-c").arg(script).arg("sh").arg(path).status()?;
    if !status.success() {
        return Err(other(format!(
            "{editor} ended with {status}; {} is as it left it",
            path.display()
        )));
    }
    check(path, common).map_err(other)?;
    writeln!(io::stderr(), "{} is in order", path.display()).ok();
    Ok(ExitStatus::Ok)
}

/// Whether the file can be used as it is now.
fn check(path: &Path, common: &Common) -> Result<(), String> {
    fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let profile = common.configured.profile.as_deref();
    Config::check_file(path, profile).map_err(|error| error.to_string())
}
