//! Tasks with an owner, who waits for them or cuts them: nothing that was started outlives what it works for.
//!
//! Each has a span that names it, of level debug: it is entered whenever its task goes on, and at the usual level
//! that costs nothing. Who asks for more sees in each line which task says it.

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{Instrument as _, Span};

/// Starts one task. Whoever holds what comes back waits for it, or ends it by dropping that.
pub(crate) fn own<T: Send + 'static>(
    span: Span,
    task: impl Future<Output = T> + Send + 'static,
) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task.instrument(span)))
}

/// The tasks of one owner. When it is dropped, those that still run are cut where they wait next.
#[derive(Debug, Default)]
pub struct Tasks {
    running: TaskTracker,
    /// Cuts those that were started since the last end.
    cut: Mutex<CancellationToken>,
}

impl Tasks {
    /// Starts one more.
    pub fn spawn(&self, span: Span, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.lock().clone();
        let task = async move {
            // Nothing comes back: whoever is cut has nobody left to work for.
            cut.run_until_cancelled_owned(task).await;
        };
        self.running.spawn(task.instrument(span));
    }

    /// Waits until none runs.
    pub async fn wait(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Waits until none runs, and cuts those that have not ended by the deadline; how many these were. What is
    /// started afterwards runs until the next end.
    pub async fn end(&self, deadline: Instant) -> usize {
        if timeout_at(deadline, self.wait()).await.is_ok() {
            return 0;
        }
        let late = self.running.len();
        self.cut();
        self.running.wait().await;
        late
    }

    fn cut(&self) {
        std::mem::take(&mut *self.cut.lock()).cancel();
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::time::sleep;

    use super::*;

    /// Starts one task of each length, in seconds, which counts itself at its end.
    fn start(lengths: &[u64]) -> (Tasks, Arc<AtomicUsize>) {
        let (tasks, ended) = (Tasks::default(), Arc::new(AtomicUsize::new(0)));
        for &length in lengths {
            let ended = Arc::clone(&ended);
            tasks.spawn(Span::none(), async move {
                sleep(Duration::from_secs(length)).await;
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        (tasks, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_waits_until_its_deadline_and_cuts_the_others() {
        let begun = Instant::now();
        let (tasks, ended) = start(&[1, 2, 3600]);
        assert_eq!(tasks.end(begun + Duration::from_secs(10)).await, 1);
        assert_eq!((ended.load(Ordering::Relaxed), begun.elapsed().as_secs()), (2, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_longer_than_they_take() {
        let begun = Instant::now();
        let (tasks, ended) = start(&[1, 2]);
        assert_eq!(tasks.end(begun + Duration::from_secs(10)).await, 0);
        assert_eq!((ended.load(Ordering::Relaxed), begun.elapsed().as_secs()), (2, 2));
    }

    /// Goal: whoever comes while the hub ends hears its last words, also when others before them were cut.
    #[tokio::test(start_paused = true)]
    async fn what_is_started_after_an_end_runs_until_the_next() {
        let begun = Instant::now();
        let (tasks, ended) = start(&[3600]);
        assert_eq!(tasks.end(begun + Duration::from_secs(1)).await, 1);
        let counted = Arc::clone(&ended);
        tasks.spawn(Span::none(), async move {
            sleep(Duration::from_secs(1)).await;
            counted.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(tasks.end(begun + Duration::from_secs(10)).await, 0);
        assert_eq!(ended.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_go_with_their_owner() {
        let (tasks, ended) = start(&[1]);
        drop(tasks);
        sleep(Duration::from_secs(10)).await;
        assert_eq!((ended.load(Ordering::Relaxed), Arc::strong_count(&ended)), (0, 1));
    }
}
