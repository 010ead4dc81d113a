//! What the server shows, for people to compare with what it says of itself.

use serde_json::json;

use super::{print_json, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use chat_device::connection::Look;
use chat_device::home::known_servers::hex;

/// Prints the six words of its identity key and the digest of its certificate. Nobody signs in.
///
/// The words suffice where somebody signs in: a sign-in is bound to the TLS connection, so nobody
/// else can pass on what the holder of that key has to answer.
pub async fn verify(common: &Common) -> Result<ExitStatus, Failure> {
    let connector = start::connector(common)?;
    let Look { shown, certificate, is_known } = tokio::select! {
        look = Box::pin(connector.look()) => look?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    let certificate = certificate.map(|digest| format!("sha256:{}", hex(&digest)));
    if common.json {
        print_json(vec![json!({
            "event": "server_words",
            "url": shown.url.to_string(),
            "server": shown.server.to_string(),
            "words": shown.words.to_string(),
            "certificate": certificate,
            "known": is_known,
        })])?;
        return Ok(ExitStatus::Ok);
    }
    let known = if is_known { "known here" } else { "not known here yet" };
    print_line(&format!("server {} ({known})", shown.url))?;
    print_line(&format!("words: {}", shown.words))?;
    print_line(&format!(
        "certificate: {}",
        certificate.as_deref().unwrap_or("none, it is not TLS")
    ))?;
    Ok(ExitStatus::Ok)
}
