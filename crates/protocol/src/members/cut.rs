//! Which devices an epoch is wrapped for where there are more than fit (rule R42). Hub and devices
//! compute it here, from the bundles and the chain.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::id::Nonce16;
use crate::limits::EPOCH_DEVICES_MAX;
use crate::name::UserName;

/// One live device that belongs to a conversation.
#[derive(Debug, Clone)]
pub struct Candidate<'a, L> {
    /// The owner of the device.
    pub name: &'a UserName,
    /// The number of the link by which they came; 0 where there is none.
    pub since: u32,
    /// When its newest bundle was signed.
    pub ts: u64,
    /// Its id.
    pub dev: Nonce16,
    /// What stands for it in the list.
    pub line: L,
}

/// What fits into one epoch. Of more than [`EPOCH_DEVICES_MAX`] each person has the newest k devices, by
/// `ts` and then `dev`, both falling, with the largest k that fits. Where one of each is too many, those
/// who joined last are left out.
pub fn fitting<L>(candidates: Vec<Candidate<'_, L>>) -> Vec<L> {
    fitting_in(EPOCH_DEVICES_MAX, candidates)
}

fn fitting_in<L>(max: usize, candidates: Vec<Candidate<'_, L>>) -> Vec<L> {
    if candidates.len() <= max {
        return candidates.into_iter().map(|candidate| candidate.line).collect();
    }
    let mut people: BTreeMap<(u32, &UserName), Vec<Candidate<'_, L>>> = BTreeMap::new();
    for candidate in candidates {
        people.entry((candidate.since, candidate.name)).or_default().push(candidate);
    }
    let lines = |k: usize| people.values().map(|devices| devices.len().min(k)).sum::<usize>();
    let most = people.values().map(Vec::len).max().unwrap_or(0);
    let k = (1..=most).rev().find(|k| lines(*k) <= max).unwrap_or(1);
    // With one of each the first `max` people are those who joined first.
    let kept = people.into_values().flat_map(|mut devices| {
        devices.sort_by_key(|device| Reverse((device.ts, device.dev)));
        devices.truncate(k);
        devices
    });
    kept.map(|device| device.line).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People by name, when they joined, and when their devices published their newest bundles.
    fn cut(max: usize, people: &[(&str, u32, &[u64])]) -> Vec<String> {
        let names: Vec<UserName> =
            people.iter().map(|(name, ..)| UserName::new(name).unwrap()).collect();
        let mut candidates = Vec::new();
        for (name, (_, since, devices)) in names.iter().zip(people) {
            for (number, ts) in devices.iter().enumerate() {
                let dev = Nonce16([u8::try_from(number).unwrap(); 16]);
                let line = format!("{name}{number}");
                candidates.push(Candidate { name, since: *since, ts: *ts, dev, line });
            }
        }
        let mut backwards = candidates.clone();
        backwards.reverse();
        let (mut kept, mut again) = (fitting_in(max, candidates), fitting_in(max, backwards));
        kept.sort();
        again.sort();
        assert_eq!(kept, again, "the order of the devices does not matter");
        kept
    }

    #[test]
    fn everybody_keeps_the_newest_devices_that_fit() {
        let people: [(&str, u32, &[u64]); 3] =
            [("alice", 0, &[5, 9, 7]), ("bob", 1, &[1]), ("carol", 2, &[4, 4])];
        assert_eq!(cut(6, &people).len(), 6);
        assert_eq!(cut(5, &people), ["alice1", "alice2", "bob0", "carol0", "carol1"]);
        // Of two that are as new, the one with the greater id.
        assert_eq!(cut(4, &people), ["alice1", "bob0", "carol1"]);
        assert_eq!(cut(3, &people), ["alice1", "bob0", "carol1"]);
    }

    #[test]
    fn who_joined_last_is_left_out_where_one_of_each_is_too_many() {
        let people: [(&str, u32, &[u64]); 4] =
            [("dave", 1, &[1, 2]), ("alice", 7, &[9]), ("bob", 3, &[5]), ("carol", 4, &[1])];
        assert_eq!(cut(3, &people), ["bob0", "carol0", "dave1"]);
    }
}
