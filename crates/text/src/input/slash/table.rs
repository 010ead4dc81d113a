//! The rows of the table, by their groups.

use super::SlashRow;

mod files;
mod keys;
mod people;
mod program;
mod rooms;
mod talk;

/// Commands that belong together in `/help`.
#[derive(Debug)]
pub struct Group {
    /// What they are about.
    pub heading: &'static str,
    /// The commands, in the order of `/help`.
    pub rows: &'static [SlashRow],
}

/// Every slash command, in the order of `/help`.
pub static GROUPS: [Group; 6] = [
    Group { heading: "talk", rows: talk::TALK },
    Group { heading: "rooms", rows: rooms::ROOMS },
    Group { heading: "people", rows: people::PEOPLE },
    Group { heading: "files", rows: files::FILES },
    Group { heading: "keys and account", rows: keys::KEYS },
    Group { heading: "machines, connection, program", rows: program::PROGRAM },
];

/// All rows.
pub fn rows() -> impl Iterator<Item = &'static SlashRow> {
    GROUPS.iter().flat_map(|group| group.rows)
}
