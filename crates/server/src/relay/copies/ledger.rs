//! Which copies there are and who may leave another one. Pure: the disk and the store are elsewhere.

use std::collections::HashMap;

use chat_protocol::{code, id::Nonce16, name::UserName};

use super::{Keep, OFF};
use crate::{
    budgets::CopyLimits,
    limits::COPIES_PER_PERSON_MAX,
    request::Refusal,
    store::{AccountId, CopyChange, CopyRow},
};

/// How much longer a copy at another hub stays on the list than its time, in milliseconds: that hub takes it off.
const COPIES_PATIENCE_MS: u64 = 24 * 60 * 60 * 1_000;

/// What KEEP is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is room; it counts from now.
    New(CopyRow),
    /// The same copy is kept already, until then: its KEPT was lost.
    Kept(u64),
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    copies: usize,
}

/// The list of copies, and those that come in.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: CopyLimits,
    /// The number of this hub.
    node: u32,
    copies: HashMap<(UserName, Nonce16), Entry>,
    used: HashMap<UserName, Used>,
    /// Who owns the copies of an account: the log names accounts, and connections names.
    owners: HashMap<AccountId, UserName>,
    /// What the copies at this hub come to.
    own_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    row: CopyRow,
    is_kept: bool,
}

impl Ledger {
    pub(super) fn new(limits: CopyLimits, node: u32, rows: Vec<CopyRow>) -> Self {
        let (copies, used, owners) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut ledger = Self { limits, node, copies, used, owners, own_bytes: 0 };
        for row in rows {
            ledger.insert(row, true);
        }
        ledger
    }

    fn insert(&mut self, row: CopyRow, is_kept: bool) {
        let used = self.used.entry(row.owner.clone()).or_default();
        used.bytes = used.bytes.saturating_add(row.size);
        used.copies += 1;
        if row.node == self.node {
            self.own_bytes = self.own_bytes.saturating_add(row.size);
        }
        self.owners.entry(row.account).or_insert_with(|| row.owner.clone());
        self.copies.insert((row.owner.clone(), row.tid), Entry { row, is_kept });
    }

    /// Bytes of all copies at this hub, those that come in included.
    pub(super) fn bytes(&self) -> u64 {
        self.own_bytes
    }

    /// The list has changed, by whichever hub: this is called in the order in which the changes were kept, so that it is
    /// the same at all of them. Returns copies whose files are here and not on it any more.
    pub(super) fn changed(&mut self, change: &CopyChange) -> Vec<CopyRow> {
        match change {
            CopyChange::Keep(row) => {
                let before = self.take_off(row.account, row.tid);
                // Where the same one comes in here, too, the one that is kept last is on the list.
                self.remove(&row.owner, row.tid);
                self.insert(row.clone(), true);
                before.filter(|before| before.node != row.node).into_iter().collect()
            }
            CopyChange::Remove(gone) => {
                gone.iter().filter_map(|(account, tid)| self.take_off(*account, *tid)).collect()
            }
        }
    }

    /// Takes a kept copy off the list. Returns it if its file is here.
    fn take_off(&mut self, account: AccountId, tid: Nonce16) -> Option<CopyRow> {
        let key = (self.owners.get(&account)?.clone(), tid);
        let kept = self.copies.get(&key).filter(|entry| entry.is_kept)?.row.clone();
        self.remove(&kept.owner, tid);
        (kept.node == self.node).then_some(kept)
    }

    /// Makes room for a copy.
    pub(super) fn reserve(
        &mut self,
        account: AccountId,
        owner: &UserName,
        keep: &Keep,
        now_ms: u64,
    ) -> Result<Place, Refusal> {
        if self.limits.quota == 0 {
            return Err(Refusal::new(code::NOT_ALLOWED, OFF));
        }
        let longest = u64::try_from(self.limits.time_max.as_millis()).unwrap_or(u64::MAX);
        let until = keep.until.min(now_ms.saturating_add(longest));
        if until <= now_ms {
            return Err(Refusal::new(code::MALFORMED, "the time of the copy is over already"));
        }
        if let Some(Entry { row, is_kept }) = self.copies.get(&(owner.clone(), keep.tid)) {
            if *is_kept && (row.chunks, row.size) == (keep.chunks, keep.size) {
                return Ok(Place::Kept(row.until));
            }
            let reason = "another copy of yours has the number of this transfer";
            return Err(Refusal::new(code::CONFLICT, reason));
        }
        let (bytes, copies) = self.used.get(owner).map_or((0, 0), |used| (used.bytes, used.copies));
        if copies >= COPIES_PER_PERSON_MAX {
            let reason =
                format!("you have {copies} copies here, the most there may be; take some away");
            return Err(Refusal::new(code::COPIES_FULL, reason));
        }
        let left = self.limits.quota.saturating_sub(bytes);
        if keep.size > left {
            let (size, quota) = (keep.size, self.limits.quota);
            let reason = format!(
                "a copy of {size} bytes, and {left} of your {quota} are left here; take others away"
            );
            return Err(Refusal::new(code::COPIES_FULL, reason));
        }
        let row = CopyRow {
            account,
            owner: owner.clone(),
            tid: keep.tid,
            chunks: keep.chunks,
            size: keep.size,
            until,
            node: self.node,
        };
        self.insert(row.clone(), false);
        Ok(Place::New(row))
    }

    /// A copy that came in was not kept.
    pub(super) fn give_up(&mut self, row: &CopyRow) {
        let entry = self.copies.get(&(row.owner.clone(), row.tid));
        if entry.is_some_and(|entry| !entry.is_kept) {
            self.remove(&row.owner, row.tid);
        }
    }

    /// A kept copy whose time is not over.
    pub(super) fn find(&self, owner: &UserName, tid: Nonce16, now_ms: u64) -> Option<CopyRow> {
        let entry = self.copies.get(&(owner.clone(), tid))?;
        (entry.is_kept && entry.row.until > now_ms).then(|| entry.row.clone())
    }

    /// Kept copies whose time is over, and those of owners who are gone. Each hub looks after its own ones; those of
    /// a hub that does not do so for a day are taken off the list by the others.
    pub(super) fn expired(&self, now_ms: u64, is_gone: impl Fn(&UserName) -> bool) -> Vec<CopyRow> {
        let is_over = |entry: &&Entry| {
            let row = &entry.row;
            let patience = if row.node == self.node { 0 } else { COPIES_PATIENCE_MS };
            let is_late = row.until.saturating_add(patience) <= now_ms;
            entry.is_kept && (is_late || (row.node == self.node && is_gone(&row.owner)))
        };
        self.copies.values().filter(is_over).map(|entry| entry.row.clone()).collect()
    }

    /// Whether the file of such a copy has its place here: it is kept, or comes in.
    pub(super) fn is_wanted(&self, row: &CopyRow) -> bool {
        let entry = self.copies.get(&(row.owner.clone(), row.tid));
        entry.is_some_and(|entry| entry.row.node == self.node)
    }

    /// Forgets a copy and gives its room back.
    fn remove(&mut self, owner: &UserName, tid: Nonce16) {
        let Some(Entry { row, .. }) = self.copies.remove(&(owner.clone(), tid)) else { return };
        if row.node == self.node {
            self.own_bytes = self.own_bytes.saturating_sub(row.size);
        }
        let Some(used) = self.used.get_mut(owner) else { return };
        used.bytes = used.bytes.saturating_sub(row.size);
        used.copies = used.copies.saturating_sub(1);
        if used.copies == 0 {
            self.used.remove(owner);
            self.owners.remove(&row.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000;
    const DAY: u64 = 24 * 60 * 60 * 1_000;

    fn ledger(quota: u64) -> Ledger {
        Ledger::new(CopyLimits::new(quota, 14), 0, Vec::new())
    }

    fn keep(number: u8, size: u64) -> Keep {
        let chunks = chat_protocol::file::chunks(size);
        Keep { tid: Nonce16([number; 16]), size, chunks, until: NOW + DAY }
    }

    fn alice() -> UserName {
        UserName::new("alice").unwrap()
    }

    fn new(ledger: &mut Ledger, keep: &Keep) -> CopyRow {
        match ledger.reserve(AccountId(1), &alice(), keep, NOW) {
            Ok(Place::New(row)) => row,
            other => panic!("{other:?}"),
        }
    }

    fn refused(ledger: &mut Ledger, keep: &Keep) -> &'static str {
        ledger.reserve(AccountId(1), &alice(), keep, NOW).unwrap_err().code
    }

    #[test]
    fn the_quota_counts_what_comes_in_and_what_is_kept() {
        let mut ledger = ledger(1_000);
        let first = new(&mut ledger, &keep(1, 600));
        assert_eq!(refused(&mut ledger, &keep(2, 401)), code::COPIES_FULL);
        ledger.changed(&CopyChange::Keep(first.clone()));
        assert_eq!(refused(&mut ledger, &keep(2, 401)), code::COPIES_FULL);
        let second = new(&mut ledger, &keep(2, 400));
        let bob = UserName::new("bob").unwrap();
        let of_bob = ledger.reserve(AccountId(2), &bob, &keep(1, 1_000), NOW);
        assert!(of_bob.is_ok(), "each person has a quota");
        assert_eq!(ledger.bytes(), 2_000);
        ledger.give_up(&second);
        ledger.changed(&CopyChange::Remove(vec![(AccountId(1), first.tid)]));
        assert_eq!(ledger.bytes(), 1_000);
        new(&mut ledger, &keep(3, 1_000));
    }

    #[test]
    fn the_number_of_copies_is_bounded() {
        let mut ledger = ledger(u64::MAX);
        for n in 0..COPIES_PER_PERSON_MAX {
            let mut tid = [0; 16];
            tid[..8].copy_from_slice(&n.to_be_bytes());
            new(&mut ledger, &Keep { tid: Nonce16(tid), ..keep(0, 0) });
        }
        assert_eq!(refused(&mut ledger, &keep(255, 0)), code::COPIES_FULL);
    }

    #[test]
    fn a_copy_is_found_when_it_is_kept_and_until_its_time() {
        let mut ledger = ledger(1_000);
        let asked = Keep { until: NOW + 100 * DAY, ..keep(1, 10) };
        let row = new(&mut ledger, &asked);
        assert_eq!(row.until, NOW + 14 * DAY, "no longer than the hub keeps copies");
        assert_eq!(ledger.find(&alice(), row.tid, NOW), None, "not complete");
        ledger.changed(&CopyChange::Keep(row.clone()));
        assert_eq!(ledger.find(&alice(), row.tid, NOW), Some(row.clone()));
        assert_eq!(ledger.find(&alice(), Nonce16([2; 16]), NOW), None);
        assert_eq!(ledger.find(&alice(), row.tid, row.until), None);
        assert_eq!(ledger.expired(row.until - 1, |_| false), Vec::new());
        assert_eq!(ledger.expired(row.until - 1, |_| true), vec![row.clone()]);
        assert_eq!(ledger.expired(row.until, |_| false), vec![row]);
    }

    #[test]
    fn a_lost_answer_is_given_again_and_another_file_is_refused() {
        let mut ledger = ledger(1_000);
        let row = new(&mut ledger, &keep(1, 10));
        assert_eq!(refused(&mut ledger, &keep(1, 10)), code::CONFLICT, "still coming in");
        ledger.changed(&CopyChange::Keep(row.clone()));
        let again = ledger.reserve(AccountId(1), &alice(), &keep(1, 10), NOW);
        assert_eq!(again, Ok(Place::Kept(row.until)));
        assert_eq!(refused(&mut ledger, &keep(1, 11)), code::CONFLICT);
    }

    #[test]
    fn no_quota_means_no_copies_and_no_time_is_no_time() {
        assert_eq!(refused(&mut ledger(0), &keep(1, 0)), code::NOT_ALLOWED);
        let over = Keep { until: NOW, ..keep(1, 1) };
        assert_eq!(refused(&mut ledger(10), &over), code::MALFORMED);
    }

    /// What a hub does about a copy, and what it hears.
    enum Step {
        /// It comes in at this one of the hubs.
        Reserve(usize),
        /// It was kept at this one, and all hear of it.
        Keep(usize),
    }

    /// Goal: whoever keeps the same copy last is where all say that it lies, and who kept it before takes its file away.
    /// Before: each of two hubs said that it lies at the other one, for good.
    #[test]
    fn a_copy_that_comes_in_at_two_hubs_lies_at_one_for_all() {
        use Step::{Keep as Kept, Reserve};
        let orders: [&[Step]; 4] = [
            &[Reserve(0), Reserve(1), Kept(0), Kept(1)],
            &[Reserve(0), Reserve(1), Kept(1), Kept(0)],
            &[Reserve(1), Kept(1), Reserve(2), Kept(1)],
            &[Reserve(0), Kept(0), Kept(0)],
        ];
        for (number, steps) in orders.into_iter().enumerate() {
            let limits = CopyLimits::new(1_000, 14);
            let mut hubs: Vec<Ledger> =
                (1..=3).map(|node| Ledger::new(limits, node, Vec::new())).collect();
            let mut files = [false; 3];
            let mut last = 0;
            for step in steps {
                match step {
                    Reserve(at) => {
                        hubs[*at].reserve(AccountId(1), &alice(), &keep(1, 600), NOW).unwrap();
                    }
                    Kept(at) => {
                        files[*at] = true;
                        last = *at;
                        let row = CopyRow {
                            account: AccountId(1),
                            owner: alice(),
                            tid: Nonce16([1; 16]),
                            chunks: chat_protocol::file::chunks(600),
                            size: 600,
                            until: NOW + DAY,
                            node: u32::try_from(at + 1).unwrap(),
                        };
                        let change = CopyChange::Keep(row);
                        for (hub, file) in hubs.iter_mut().zip(&mut files) {
                            *file &= hub.changed(&change).is_empty();
                        }
                    }
                }
            }
            for (at, hub) in hubs.iter().enumerate() {
                let found = hub.find(&alice(), Nonce16([1; 16]), NOW).unwrap();
                assert_eq!(found.node, u32::try_from(last + 1).unwrap(), "{number}: at {at}");
                assert_eq!(files[at], at == last, "{number}: the file at {at}");
                assert_eq!(hub.bytes(), if at == last { 600 } else { 0 }, "{number}: {at}");
            }
        }
    }

    /// Goal: what is taken off the list gives its room back, whoever has taken it off.
    #[test]
    fn what_is_taken_off_the_list_by_any_hub_gives_its_room_back() {
        let mut ledger = ledger(1_000);
        let first = new(&mut ledger, &keep(1, 600));
        ledger.changed(&CopyChange::Keep(first.clone()));
        let second = new(&mut ledger, &keep(2, 400));
        let elsewhere = CopyRow { node: 9, ..second.clone() };
        assert_eq!(ledger.changed(&CopyChange::Keep(elsewhere)), Vec::new());
        assert_eq!(ledger.bytes(), 600, "what came in here has its room back");
        let gone = [1, 2, 3].map(|number| (AccountId(1), Nonce16([number; 16])));
        assert_eq!(ledger.changed(&CopyChange::Remove(gone.to_vec())), vec![first]);
        assert_eq!((ledger.bytes(), ledger.used.len(), ledger.owners.len()), (0, 0, 0));
    }
}
