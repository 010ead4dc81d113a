//! The servers that the home knows, and how one is forgotten.

use clap::Subcommand;
use serde_json::json;

use super::{note, print_json, print_line};
use crate::config::{Common, Verbosity};
use crate::exit::ExitStatus;
use crate::start::Failure;
use chat_device::home::KnownServers;
use chat_device::home::known_servers::hex;
use chat_device::server_url::ServerUrl;

/// What `servers` does.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Action {
    /// Forget who answers at an address, identity and certificate: for a server that was set up anew
    Forget {
        /// The addresses, as `servers` shows them
        #[arg(value_name = "URL", required = true)]
        urls: Vec<ServerUrl>,
    },
}

/// Prints them all, or forgets some: their certificates and identities.
pub fn servers(common: &Common, action: Option<&Action>) -> Result<ExitStatus, Failure> {
    let known = KnownServers::load(&common.home)?;
    if let Some(Action::Forget { urls }) = action {
        for url in urls {
            forget(common, &known, url)?;
        }
        return Ok(ExitStatus::Ok);
    }
    for (url, known) in known.all() {
        let certificate = known.certificate.map(|digest| format!("sha256:{}", hex(&digest)));
        if common.json {
            let server = known.server.to_string();
            print_json(vec![json!({
                "event": "server", "url": url, "server": server, "words": known.words,
                "certificate": certificate,
            })])?;
        } else {
            let certificate = certificate.map(|digest| format!("  certificate {digest}"));
            print_line(&format!("{url}  {}{}", known.words, certificate.unwrap_or_default()))?;
        }
    }
    Ok(ExitStatus::Ok)
}

fn forget(common: &Common, known: &KnownServers, url: &ServerUrl) -> Result<(), Failure> {
    if !known.forget(url)? {
        return Err(Failure::Other {
            status: ExitStatus::Failure,
            reason: format!("{url} is not known here; `chat-client servers` shows what is"),
        });
    }
    if common.json {
        print_json(vec![json!({"event": "forgotten", "url": url.to_string()})])?;
    } else if common.verbosity > Verbosity::Quiet {
        note(&format!("{url} is forgotten; whoever answers there next is a new server"));
    }
    Ok(())
}
