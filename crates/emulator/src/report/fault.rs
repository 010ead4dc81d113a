//! What can be wrong with a run.

use std::fmt;
use std::time::Duration;

use super::{SumCheck, milliseconds};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This many of what must be none.
    Count {
        /// `lost`, `duplicated`, ...
        what: &'static str,
        /// How many.
        count: u64,
    },
    /// The clients' own numbers do not add up.
    Sum {
        /// Left side, in words.
        what: &'static str,
        /// Left side.
        got: u64,
        /// Right side.
        expected: u64,
    },
    /// The server counted differently.
    Server(SumCheck),
    /// A 99th percentile is above its limit.
    Slow {
        /// `stored` or `delivered`.
        stage: &'static str,
        /// What it is.
        p99: Duration,
        /// What it may be.
        limit: Duration,
    },
    /// Nothing was sent, so nothing is proven.
    NothingSent,
    /// The run was ended before everything was sent, answered and delivered.
    Interrupted,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { what, count } => write!(formatter, "{count} {what}"),
            Self::Sum { what, got, expected } => {
                write!(formatter, "{what}: {got}, expected {expected}")
            }
            Self::Server(SumCheck { name, clients, server }) => {
                write!(formatter, "{name}: clients counted {clients}, the server {server}")
            }
            Self::Slow { stage, p99, limit } => {
                let (p99, limit) = (milliseconds(*p99), milliseconds(*limit));
                write!(formatter, "p99 of {stage} is {p99} ms, above the limit of {limit} ms")
            }
            Self::NothingSent => formatter.write_str("nothing was sent"),
            Self::Interrupted => formatter.write_str("the run was interrupted before its end"),
        }
    }
}
