//! What somebody talks with: the full screen, lines, or records for a script.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;

use super::Common;
use crate::diagnostics::is_dumb;

/// What somebody talks with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ui {
    /// The full screen
    Tui,
    /// One line after the other
    Line,
    /// One record per line, its fields parted by tabs
    Plain,
}

/// What a process has to show something with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Input and output are a terminal.
    pub(crate) is_terminal: bool,
    /// It can place a cursor, as its name in TERM says.
    pub(crate) has_cursor: bool,
}

impl Ground {
    /// That of this process.
    pub(crate) fn found() -> Self {
        Self {
            is_terminal: io::stdin().is_terminal() && io::stdout().is_terminal(),
            has_cursor: !is_dumb(),
        }
    }
}

impl Ui {
    /// What is used on this ground; none where a flag asks for what it does not have. Without a terminal it is
    /// the pipe, whose records are lines for people or objects where no flag says otherwise.
    pub(crate) fn chosen(common: &Common, ground: Ground) -> Result<Option<Self>, &'static str> {
        if common.json {
            return Ok(None);
        }
        match (common.ui, common.ui_wish) {
            (Some(Self::Plain), _) | (None, Some(Self::Plain)) => Ok(Some(Self::Plain)),
            (Some(Self::Tui), _) if !ground.is_terminal => {
                Err("--tui needs a terminal for input and output")
            }
            (Some(Self::Line), _) if !ground.is_terminal => {
                Err("--line needs a terminal for input and output; without one each line that is \
                     read is sent, and nothing has to be said")
            }
            _ if !ground.is_terminal => Ok(None),
            (Some(flag), _) => Ok(Some(flag)),
            (None, _) if !ground.has_cursor => Ok(Some(Self::Line)),
            (None, wish) => Ok(Some(wish.unwrap_or(Self::Tui))),
        }
    }
}
