//! What is said of a shared folder in which something is wrong.

use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::spoken::nobody;

use super::{Shared, TransferEvent};

/// Said when `keyword.txt` cannot be read as a whole and something is shared already.
pub(super) const KEPT: &str =
    "what was shared before stays so, and nothing else is, until these lines are mended";

/// Said when it cannot be read as a whole and something is on the list since an earlier start.
pub(super) const LEFT_ON_LIST: &str = "what was put on the list before stays there; what these lines share cannot be \
                            fetched until they are mended";

/// Said when a section for nobody has taken the place of a good one.
pub(super) const STAYS_AS_IT_WAS: &str = "whoever could find these files before still can, until the section is mended or the lines are taken out";

/// Said when `keyword.txt` is gone or says nothing and something is shared already.
pub(super) const KEPT_WITHOUT: &str = "keyword.txt is gone, or names no file: what was shared before stays so until it is written \
     again; a line with a # alone in it shares nothing";

/// Tells what is wrong in the folder, until another look finds something else.
pub(super) async fn tell_once(shared: &Shared, told: &mut Vec<String>, line: &str) {
    if told.iter().all(|known| known != line) {
        told.push(line.to_owned());
        shared.tell_surely(TransferEvent::Folder { line: line.to_owned() }).await;
    }
}

/// Why nothing is listed for a room or a person.
pub(super) fn not_in(cid: &ConversationId, me: &UserName) -> String {
    let (reason, whom) = match (cid.kind(), cid.other(me)) {
        (ConversationKind::Room(room), _) => {
            (format!("you are not in #{room}, or there is no such room"), "it")
        }
        (_, Some(user)) => (nobody(user), "them"),
        (_, None) => (format!("nobody can be reached in {}", cid.spoken()), "it"),
    };
    format!("{reason}: what is shared with {whom} is not listed")
}
