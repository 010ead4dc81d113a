//! How full the disk is: beyond a share of it new work is refused, so that what protects people still fits.
//! Of a large disk the rest is more than that needs, so the share counts only when little room is left.

use std::{
    path::PathBuf,
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{Budget, Budgets};

/// How often the disk is looked at. At 100 MB/s half a gigabyte comes meanwhile.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// With so many bytes free the share does not matter: revocations, removals and keys of years fit, and what
/// comes between two looks is a quarter of it.
const ROOM_ENOUGH: u64 = 2 << 30;

/// Whether there is room for new work.
#[derive(Debug, Default)]
pub struct Disk {
    is_full: AtomicBool,
}

impl Disk {
    /// Whether new work is refused.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Notes how many of so many blocks of some bytes are free for us.
    fn note(&self, percent_max: u64, (free, all): (u64, u64), block: u64) {
        let used = all.saturating_sub(free);
        let is_full = used.saturating_mul(100) > all.saturating_mul(percent_max)
            && free.saturating_mul(block) < ROOM_ENOUGH;
        if is_full != self.is_full.swap(is_full, Ordering::Relaxed) {
            let percent = used.saturating_mul(100).checked_div(all).unwrap_or(0);
            if is_full {
                tracing::error!(
                    "the disk is used to {percent} %: new messages and accounts are refused"
                );
            } else {
                tracing::info!("the disk is used to {percent} %: there is room again");
            }
        }
    }
}

/// Looks at the disk of a folder as long as the hub lives.
pub(crate) async fn watch(budgets: Weak<Budgets>, folder: PathBuf) {
    while let Some(budgets) = budgets.upgrade() {
        let percent = budgets.limits().number(Budget::Disk);
        // One call of the system; a disk that hangs would stop the store as well.
        if let Ok(stat) = rustix::fs::statvfs(&folder) {
            // As df counts: what is reserved for the system is neither used nor free.
            let used = stat.f_blocks.saturating_sub(stat.f_bfree);
            let blocks = (stat.f_bavail, used.saturating_add(stat.f_bavail));
            budgets.disk.note(percent, blocks, stat.f_frsize);
        }
        drop(budgets);
        sleep(LOOK_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_beyond_its_share_and_not_for_ever() {
        let disk = Disk::default();
        disk.note(95, (5, 100), 4_096);
        assert!(!disk.is_full());
        disk.note(95, (4, 100), 4_096);
        assert!(disk.is_full());
        disk.note(u64::MAX, (0, 100), 4_096);
        assert!(!disk.is_full(), "lifted");
        disk.note(95, (4, 100), 4_096);
        disk.note(95, (4, 100), 1 << 30);
        assert!(!disk.is_full(), "4 GiB are enough");
        disk.note(95, (50, 100), 4_096);
        assert!(!disk.is_full());
    }
}
