//! A hub that went back is told of by everybody who can know it (rule R36).

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::id::MessageId;

use super::Findings;
use crate::facts::{Dated, Fact, Seat};

/// What each device knows of positions.
#[derive(Default)]
struct Known<'a> {
    /// The highest that it was told.
    highest: BTreeMap<&'a Seat, u64>,
    /// What it knew when a hub with a lower one let it in, as long as it has raised no alarm.
    untold: BTreeMap<&'a Seat, u64>,
}

impl<'a> Known<'a> {
    fn hears(&mut self, seat: &'a Seat, position: u64) {
        let highest = self.highest.entry(seat).or_default();
        *highest = position.max(*highest);
    }
}

/// A device that comes to a hub with a lower position than it was told before raises an alarm.
pub(super) fn check(facts: &[Dated], findings: &mut Findings) {
    let mut known = Known::default();
    // What is told late of a place that a restore has taken belongs to the time before.
    let mut taken: BTreeSet<(&MessageId, u64)> = BTreeSet::new();
    for Dated { fact, .. } in facts {
        match fact {
            Fact::Taken { id, position, .. } => drop(taken.insert((id, *position))),
            Fact::Stored { by: seat, id, position, .. }
            | Fact::Shown { to: seat, id, position: Some(position), .. }
                if !taken.contains(&(id, *position)) =>
            {
                known.hears(seat, *position);
            }
            Fact::SignedIn { at, position } => {
                let highest = known.highest.get(at).copied().unwrap_or(0);
                if *position < highest {
                    known.untold.insert(at, highest);
                    known.highest.insert(at, *position);
                }
            }
            Fact::Alarm { at, kind: "rolled_back", .. } => {
                // One without a sign-in before it is of a step whose process died: it has told, and what it was
                // shown is not known here.
                let was_awaited = known.untold.remove(at).is_some();
                let highest = known.highest.entry(at).or_default();
                *highest = if was_awaited { *highest } else { 0 };
            }
            // The step in which it was to tell of it may be lost; then it knows what it knew.
            Fact::Died { at, .. } => {
                if let Some(highest) = known.untold.remove(at) {
                    known.hears(at, highest);
                }
            }
            _ => {}
        }
    }
    for (seat, highest) in known.untold {
        findings.add("silence", format!("{seat} knew position {highest}, and told nobody"));
    }
}
