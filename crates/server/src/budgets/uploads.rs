//! The memory of epochs that are coming in, of everybody together. When all of it is used, the oldest
//! upload of the account that holds most is cut: never that of a newcomer, however many come.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;

use super::{AccountBudgets, Budget, Limits};
use crate::store::AccountId;

/// Why an upload got no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The account has too much under way.
    Account,
    /// It was cut for others.
    Cut,
}

/// Forgets what an upload holds.
type Clear = Box<dyn Fn() + Send>;

struct Slot {
    account: AccountId,
    budgets: Arc<AccountBudgets>,
    bytes: u64,
    clear: Clear,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Uploads in the order in which they began.
#[derive(Debug, Default)]
struct Slots {
    next: u64,
    bytes: u64,
    uploads: BTreeMap<u64, Slot>,
}

impl Slots {
    /// Ends an upload and gives its room back.
    fn end(&mut self, number: u64) -> Option<Slot> {
        let slot = self.uploads.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        slot.budgets.upload_bytes.fetch_sub(slot.bytes, Ordering::Relaxed);
        Some(slot)
    }

    /// The oldest upload of the account that holds most.
    fn victim(&self) -> Option<u64> {
        let largest = self.uploads.values().max_by_key(|slot| slot.budgets.upload_bytes())?.account;
        let of_largest = |(_, slot): &(&u64, &Slot)| slot.account == largest && slot.bytes > 0;
        self.uploads.iter().find(of_largest).map(|(number, _)| *number)
    }
}

/// All of them.
#[derive(Debug)]
pub struct Uploads {
    account_max: u64,
    all_max: u64,
    slots: Mutex<Slots>,
}

impl Uploads {
    pub(super) fn new(limits: &Limits) -> Self {
        let account_max = limits.number(Budget::UploadBytes);
        let all_max = limits.number(Budget::AllUploadBytes);
        Self { account_max, all_max, slots: Mutex::default() }
    }

    /// Begins an upload that holds `content`.
    pub(crate) fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        account: AccountId,
        budgets: &Arc<AccountBudgets>,
        content: T,
    ) -> Held<T> {
        let content = Arc::new(Mutex::new(Some(content)));
        let held = Arc::clone(&content);
        let clear = Box::new(move || drop(held.lock().take()));
        let mut slots = self.slots.lock();
        let number = slots.next;
        slots.next += 1;
        let slot = Slot { account, budgets: Arc::clone(budgets), bytes: 0, clear };
        slots.uploads.insert(number, slot);
        Held { uploads: Arc::clone(self), number, content }
    }

    /// Takes room for an upload; cuts others where there is none.
    fn grow(&self, number: u64, bytes: u64) -> Result<(), NoRoom> {
        let mut slots = self.slots.lock();
        let slot = slots.uploads.get_mut(&number).ok_or(NoRoom::Cut)?;
        let of_account = slot.budgets.upload_bytes().saturating_add(bytes);
        if of_account > self.account_max {
            return Err(NoRoom::Account);
        }
        slot.bytes = slot.bytes.saturating_add(bytes);
        slot.budgets.upload_bytes.fetch_add(bytes, Ordering::Relaxed);
        slots.bytes = slots.bytes.saturating_add(bytes);
        let mut cut = Vec::new();
        while slots.bytes > self.all_max
            && let Some(victim) = slots.victim()
        {
            cut.extend(slots.end(victim));
        }
        let is_left = slots.uploads.contains_key(&number);
        drop(slots);
        // Outside of the lock: others hold theirs while they come in here.
        for slot in &cut {
            (slot.clear)();
        }
        if is_left { Ok(()) } else { Err(NoRoom::Cut) }
    }

    /// Bytes that are held now.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.slots.lock().bytes
    }
}

/// What one upload holds, as long as nobody else needs the room.
pub(crate) struct Held<T> {
    uploads: Arc<Uploads>,
    number: u64,
    content: Arc<Mutex<Option<T>>>,
}

impl<T> Held<T> {
    /// Takes room for so many bytes more.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        self.uploads.grow(self.number, u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// Works with what is held; nothing when it was cut.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut content = self.content.lock();
        content.as_mut().map(work)
    }

    /// Takes what is held out.
    pub(crate) fn take(&self) -> Option<T> {
        self.content.lock().take()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.uploads.slots.lock().end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AccountBudgets, Hits};
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn somebody() -> Arc<AccountBudgets> {
        let hits = Arc::new(Hits(Vec::new()));
        Arc::new(AccountBudgets::new(Arc::new(Limits::default()), hits))
    }

    #[test]
    fn an_account_holds_eight_mebibytes_and_gives_them_back() {
        let uploads = Arc::new(Uploads::new(&Limits::default()));
        let (alice, bob) = (somebody(), somebody());
        let first = uploads.begin(AccountId(1), &alice, ());
        let second = uploads.begin(AccountId(1), &alice, ());
        assert_eq!((first.grow(5 * MIB), second.grow(3 * MIB)), (Ok(()), Ok(())));
        assert_eq!(second.grow(1), Err(NoRoom::Account));
        assert_eq!(uploads.begin(AccountId(2), &bob, ()).grow(MIB), Ok(()));
        drop(first);
        assert_eq!(second.grow(5 * MIB), Ok(()));
        drop(second);
        assert_eq!((uploads.bytes(), alice.upload_bytes()), (0, 0));
    }

    /// Goal: however many accounts come, a newcomer finds room, and the memory is bounded. Method: nine
    /// accounts hold all they may, 7 MiB each; a tenth begins; who holds most is cut at its oldest.
    #[test]
    fn who_holds_most_is_cut_at_its_oldest() {
        let uploads = Arc::new(Uploads::new(&Limits::default()));
        let mut held = Vec::new();
        for number in 1..=9 {
            let budgets = somebody();
            for _ in 0..2 {
                let one = uploads.begin(AccountId(number), &budgets, vec![number]);
                assert_eq!(one.grow(3 * MIB + 512 * 1024), Ok(()));
                held.push(one);
            }
        }
        let newcomer = uploads.begin(AccountId(10), &somebody(), vec![10]);
        assert_eq!(newcomer.grow(2 * MIB), Ok(()));
        assert!(uploads.bytes() <= 64 * u64::try_from(MIB).unwrap());
        let cut = held.iter().filter(|held| held.with(|_| ()).is_none()).count();
        assert_eq!(cut, 1, "no more than needed");
        assert!(newcomer.with(|_| ()).is_some());
        let (gone, here): (Vec<_>, Vec<_>) =
            held.iter().enumerate().partition(|(_, held)| held.with(|_| ()).is_none());
        assert!(gone.iter().all(|(at, held)| at % 2 == 0 && held.grow(1) == Err(NoRoom::Cut)));
        assert_eq!(here.len(), 17);
    }
}
