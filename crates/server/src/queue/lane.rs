//! The five lanes, and a value for each of them.

use std::fmt;

use prometheus_client::metrics::{gauge::Gauge, histogram::Histogram};

/// How urgent a request is. Declared from most to least urgent, which is also how lanes compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Answers, receipts, presence, sign-in: small, and somebody's next step waits for them.
    Control,
    /// Commands for a machine.
    Command,
    /// What one person says to a room or to another.
    Interactive,
    /// What goes to everybody.
    Broadcast,
    /// Files.
    Bulk,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Control, Self::Command, Self::Interactive, Self::Broadcast, Self::Bulk];

    /// The lane a request rises to when it has waited, `None` at the top.
    pub fn above(self) -> Option<Self> {
        match self {
            Self::Control => None,
            Self::Command => Some(Self::Control),
            Self::Interactive => Some(Self::Command),
            Self::Broadcast => Some(Self::Interactive),
            Self::Bulk => Some(Self::Broadcast),
        }
    }

    /// The name used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Command => "command",
            Self::Interactive => "interactive",
            Self::Broadcast => "broadcast",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One value for each lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerLane<T> {
    control: T,
    command: T,
    interactive: T,
    broadcast: T,
    bulk: T,
}

impl<T> PerLane<T> {
    /// Makes the value of each lane.
    pub fn from_fn(mut make: impl FnMut(Lane) -> T) -> Self {
        Self {
            control: make(Lane::Control),
            command: make(Lane::Command),
            interactive: make(Lane::Interactive),
            broadcast: make(Lane::Broadcast),
            bulk: make(Lane::Bulk),
        }
    }

    /// The value of one lane.
    pub fn get(&self, lane: Lane) -> &T {
        match lane {
            Lane::Control => &self.control,
            Lane::Command => &self.command,
            Lane::Interactive => &self.interactive,
            Lane::Broadcast => &self.broadcast,
            Lane::Bulk => &self.bulk,
        }
    }

    /// The value of one lane, to change.
    pub fn get_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Command => &mut self.command,
            Lane::Interactive => &mut self.interactive,
            Lane::Broadcast => &mut self.broadcast,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

/// Depth and waiting time of one lane of the queue.
#[derive(Debug, Clone)]
pub struct LaneMetrics {
    /// Requests that wait now.
    pub depth: Gauge,
    /// Seconds from push to take.
    pub wait: Histogram,
}
