//! The first contact with a server that no authority vouches for: what it shows, and a person's yes.

use std::sync::Arc;

use chat_protocol::id::KeyId;

use super::{Dialog, People, StartError};
use crate::connection::pins::Shown;
use crate::connection::{ConnectError, Connector};

/// Finds out who the server of this process is.
pub fn meet(connector: Arc<Connector>, is_attended: bool) -> Dialog<KeyId> {
    Dialog::new(is_attended, |people| async move { server(&connector, &people).await })
}

/// The server of this process. Whoever is there is asked about one that is new and not on this machine;
/// otherwise it is an error that says what it showed.
pub(super) async fn server(connector: &Connector, people: &People) -> Result<KeyId, StartError> {
    match connector.server().await {
        Err(ConnectError::Unknown { shown }) if people.are_there() => {
            if !people.confirm_in_full(&question(&shown), shown.words).await {
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
        shown.described()
    )
}

/// What is said when a certificate was pinned.
pub(super) fn pinned(shown: &Shown) -> String {
    format!("{} is pinned. {}.", shown.url, shown.described())
}
