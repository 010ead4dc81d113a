//! The first contact with a server that no authority vouches for: what it shows, and a person's yes.

use std::sync::Arc;

use chat_protocol::id::KeyId;

use super::{Prompt, StartError, aside};
use crate::connection::error::described;
use crate::connection::pins::Shown;
use crate::connection::{ConnectError, Connector};

/// The server of this process. Whoever is at a terminal is asked about one that is new and not on
/// this machine; without a terminal it is an error that says what it showed.
pub async fn server(connector: &Connector, prompt: &Arc<dyn Prompt>) -> Result<KeyId, StartError> {
    match connector.server().await {
        Err(ConnectError::Unknown { shown }) if prompt.is_interactive() => {
            let (asks, question, words) = (Arc::clone(prompt), question(&shown), shown.words);
            if !aside(move || asks.confirm_in_full(&question, &words)).await? {
                return Err(StartError::NotAccepted { url: shown.url });
            }
            connector.accept(&shown);
            Ok(shown.server)
        }
        other => Ok(other?),
    }
}

fn question(shown: &Shown) -> String {
    format!(
        "{} is not known here, and no authority vouches for its certificate.\n{}.\n\
         The server says both at its start, and with `chat-server fingerprint`.\n\
         Type yes if they are the same, or the six words: ",
        shown.url,
        described(shown)
    )
}

/// What is said when a certificate was pinned.
pub(super) fn pinned(shown: &Shown) -> String {
    format!("{} is pinned. {}.", shown.url, described(shown))
}
