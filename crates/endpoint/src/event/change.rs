//! What may become of somebody in a room.

use serde::{Deserialize, Serialize};

/// How the members of a room have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// Came in by themselves.
    Joined,
    /// Left by themselves.
    Left,
    /// Was let in by an admin.
    Added,
    /// Was put out by an admin.
    Removed,
    /// Was put out and may not join again.
    Banned,
    /// Is an admin now.
    Admin,
    /// Is no admin any more.
    NoAdmin,
}
