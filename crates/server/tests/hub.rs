//! The hub through real sockets: accounts, messages, receipts, catching up, and what it refuses.

#[cfg(test)]
#[path = "hub/accounts.rs"]
mod accounts;
#[cfg(test)]
#[path = "hub/banned.rs"]
mod banned;
#[cfg(test)]
#[path = "hub/brought.rs"]
mod brought;
#[cfg(test)]
#[path = "hub/budgets.rs"]
mod budgets;
#[cfg(test)]
#[path = "hub/client.rs"]
mod client;
#[cfg(test)]
#[path = "hub/copies.rs"]
mod copies;
#[cfg(test)]
#[path = "hub/data.rs"]
mod data;
#[cfg(test)]
#[path = "hub/delivery.rs"]
mod delivery;
#[cfg(test)]
#[path = "hub/epochs.rs"]
mod epochs;
#[cfg(test)]
#[path = "hub/files.rs"]
mod files;
#[cfg(test)]
#[path = "hub/forgotten.rs"]
mod forgotten;
#[cfg(test)]
#[path = "hub/offers.rs"]
mod offers;
#[cfg(test)]
#[path = "hub/refusals.rs"]
mod refusals;
#[cfg(test)]
#[path = "hub/remind.rs"]
mod remind;
#[cfg(test)]
#[path = "hub/restart.rs"]
mod restart;
#[cfg(test)]
#[path = "hub/revoked.rs"]
mod revoked;
#[cfg(test)]
#[path = "hub/slow.rs"]
mod slow;
