//! How much of what the hub keeps each account has sent: counted in the store at the start and once a day,
//! and by what is stored in between.

use std::{collections::HashMap, sync::Weak, time::Duration};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::Budgets;
use crate::store::{AccountId, Reads};

/// How often it is counted anew: what rooms keep no longer counts for nobody from then on.
const COUNT_PERIOD: Duration = Duration::from_hours(24);

/// Bytes by account.
#[derive(Debug, Default)]
pub struct Kept(Mutex<HashMap<AccountId, u64>>);

impl Kept {
    /// What an account has sent and is kept.
    pub fn of(&self, account: AccountId) -> u64 {
        self.0.lock().get(&account).copied().unwrap_or(0)
    }

    /// So much more of an account was kept.
    pub fn add(&self, account: AccountId, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut all = self.0.lock();
        let sum = all.entry(account).or_default();
        *sum = sum.saturating_add(bytes);
    }

    fn replace(&self, counted: HashMap<AccountId, u64>) {
        *self.0.lock() = counted;
    }
}

/// Counts as long as the hub lives. Until the first count has come, nobody has anything.
pub(crate) async fn count(budgets: Weak<Budgets>, reads: Reads) {
    loop {
        match reads.kept_bytes().await {
            Ok(counted) => {
                let Some(budgets) = budgets.upgrade() else { return };
                budgets.kept.replace(counted);
            }
            Err(error) => tracing::error!(%error, "what accounts keep cannot be counted"),
        }
        sleep(COUNT_PERIOD).await;
        if budgets.strong_count() == 0 {
            return;
        }
    }
}
