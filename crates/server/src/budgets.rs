//! What one account, one address and everybody together may use (rule R41): one table, one kind of
//! bucket, and the buckets of everybody who has used something lately.
//!
//! Each is checked at the reader of the connection that asks, or where the cost arises, never in the
//! worker's loop over the requests of others. What is only too fast makes that reader wait: nothing is
//! refused, and the order of a sender's messages stays.
//!
//! Buckets are in memory. Whoever has used nothing for so long that 16,384 others did begins anew, and so
//! does everybody when the hub starts.

mod account;
mod bucket;
pub(crate) mod disk;
pub(crate) mod kept;
mod quotas;
mod sources;
mod table;
pub(crate) mod uploads;

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

pub use account::{AccountBudgets, Reminded, Unpublished, Unreminded};
pub use bucket::{Bucket, Rate};
pub use quotas::{CopyLimits, MailboxLimits};
pub use sources::{By, Sources};
pub use table::{Amount, Answer, Budget, Row, TABLE};
use uploads::Uploads;

use crate::{metrics::Metrics, store::AccountId};

/// Accounts whose buckets are remembered: half a kilobyte each.
const ACCOUNTS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How much each budget is; nothing for one that is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    amounts: Vec<Option<Amount>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { amounts: TABLE.iter().map(|row| Some(row.default)).collect() }
    }
}

/// A budget that is none, or an amount that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// No such budget.
    #[error("there is no budget {0:?}; `chat-server config` lists them")]
    Unknown(String),
    /// Not an amount of its kind.
    #[error("{name} is an amount as {example}, or off; got {got:?}")]
    Amount {
        /// Which budget.
        name: &'static str,
        /// How such an amount is written.
        example: String,
        /// What was given.
        got: String,
    },
}

impl Limits {
    /// None at all.
    pub fn off() -> Self {
        Self { amounts: vec![None; TABLE.len()] }
    }

    /// Sets one by `NAME=AMOUNT`; the amount `off` lifts it.
    pub fn set(&mut self, text: &str) -> Result<(), LimitError> {
        let unknown = || LimitError::Unknown(text.to_owned());
        let (name, amount) = text.split_once('=').ok_or_else(unknown)?;
        let row = TABLE.iter().find(|row| row.name == name.trim()).ok_or_else(unknown)?;
        let amount = match amount.trim() {
            "off" => None,
            amount => {
                Some(table::parse(amount, &row.default).ok_or_else(|| LimitError::Amount {
                    name: row.name,
                    example: row.default.to_string(),
                    got: amount.to_owned(),
                })?)
            }
        };
        if let Some(place) = self.amounts.get_mut(row.budget.place()) {
            *place = amount;
        }
        Ok(())
    }

    /// How much a budget is.
    pub fn amount(&self, budget: Budget) -> Option<Amount> {
        self.amounts.get(budget.place()).copied().flatten()
    }

    /// The rate of a budget that is one.
    pub fn rate(&self, budget: Budget) -> Option<Rate> {
        match self.amount(budget)? {
            Amount::Rate(rate) => Some(rate),
            _ => None,
        }
    }

    /// The number of a budget that is one; as many as one likes where it is lifted.
    pub fn number(&self, budget: Budget) -> u64 {
        match self.amount(budget) {
            Some(
                Amount::Count(number)
                | Amount::Bytes(number)
                | Amount::Part(number)
                | Amount::Percent(number),
            ) => number,
            Some(Amount::Rate(_)) | None => u64::MAX,
        }
    }

    /// The same for what is counted in memory.
    pub fn count(&self, budget: Budget) -> usize {
        usize::try_from(self.number(budget)).unwrap_or(usize::MAX)
    }
}

/// How often each budget was used up.
#[derive(Debug)]
pub struct Hits(Vec<Counter>);

impl Hits {
    fn new(metrics: &Metrics) -> Self {
        Self(TABLE.iter().map(|row| metrics.budget(row.name)).collect())
    }

    /// One more.
    pub fn count(&self, budget: Budget) {
        if let Some(counter) = self.0.get(budget.place()) {
            counter.inc();
        }
    }
}

/// Everybody's.
#[derive(Debug)]
pub struct Budgets {
    limits: Arc<Limits>,
    hits: Arc<Hits>,
    accounts: Mutex<LruCache<AccountId, Arc<AccountBudgets>>>,
    /// Those of addresses.
    pub sources: Sources,
    /// The epochs that are coming in.
    pub uploads: Arc<Uploads>,
    /// The disk that everything is kept on.
    pub disk: disk::Disk,
    /// What the hub keeps of each account.
    pub kept: kept::Kept,
}

impl Budgets {
    /// Nobody has used anything.
    pub fn new(limits: Limits, metrics: &Metrics) -> Self {
        let (limits, hits) = (Arc::new(limits), Arc::new(Hits::new(metrics)));
        let uploads = Arc::new(Uploads::new(&limits));
        Self {
            sources: Sources::new(Arc::clone(&limits), Arc::clone(&hits)),
            accounts: Mutex::new(LruCache::new(ACCOUNTS_MAX)),
            disk: disk::Disk::default(),
            kept: kept::Kept::default(),
            uploads,
            limits,
            hits,
        }
    }

    /// How much each is.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts one that was used up.
    pub fn hit(&self, budget: Budget) {
        self.hits.count(budget);
    }

    /// Those of an account.
    pub fn of(&self, account: AccountId) -> Arc<AccountBudgets> {
        let mut accounts = self.accounts.lock();
        let make =
            || Arc::new(AccountBudgets::new(Arc::clone(&self.limits), Arc::clone(&self.hits)));
        Arc::clone(accounts.get_or_insert(account, make))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_set_by_name_and_lifted() {
        let mut limits = Limits::default();
        assert_eq!(limits.rate(Budget::Messages), Some(Rate::per_second(50, 1_000)));
        limits.set("messages=5/s").unwrap();
        assert_eq!(limits.rate(Budget::Messages), Some(Rate::per_second(5, 5)));
        limits.set("connections = off").unwrap();
        assert_eq!(limits.count(Budget::Connections), usize::MAX);
        assert!(limits.set("love=1").is_err());
        assert!(limits.set("messages=20").unwrap_err().to_string().contains("50/s+1000"));
        assert_eq!(Limits::off().rate(Budget::Messages), None);
        assert_eq!(Limits::off().number(Budget::UploadBytes), u64::MAX);
    }
}
