//! Whoever comes from a banned address is told so, as long as few do: to be told costs a handshake, to be cut
//! nothing.

use std::sync::Arc;

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use crate::limits::{BARRED_TIME_MAX, BARRED_TOLD_MAX};

/// Places for those who are told. Each is taken for the whole of [`BARRED_TIME_MAX`], so that nobody is told again
/// and again by ending early.
#[derive(Debug)]
pub struct Barred(Arc<Semaphore>);

impl Default for Barred {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BARRED_TOLD_MAX)))
    }
}

impl Barred {
    /// Until when one more may listen to the reason; nothing when no place is left.
    pub(super) fn hear(&self) -> Option<Instant> {
        let seat = Arc::clone(&self.0).try_acquire_owned().ok()?;
        let until = Instant::now() + BARRED_TIME_MAX;
        tokio::spawn(async move {
            sleep_until(until).await;
            drop(seat);
        });
        Some(until)
    }
}
