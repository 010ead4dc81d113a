//! Threads that hash passwords: as many as cores, each with one block of memory that it uses again and
//! again. Before them is a queue with a bound, in which nobody alone takes more than a part.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use argon2::Block;
use tokio::sync::oneshot;

/// About how long one password takes, for who has to come again. Twice what it takes here.
const HASH_TIME: Duration = Duration::from_millis(60);

/// Nobody is asked to come back sooner: the hub answers no faster to who asks more often.
const COME_BACK_MIN: Duration = Duration::from_secs(1);

/// How much these threads give way to all others of the machine: beside a thread that is always busy they get
/// about a tenth of a core. Whoever talks goes before whoever comes; and a newcomer still gets in.
const NICENESS: i32 = 10;

/// The memory of one thread: 19 MiB, once it was used.
pub(super) type Memory = Vec<Block>;

type Work = Box<dyn FnOnce(&mut Memory) + Send>;

struct Job {
    source: Option<IpAddr>,
    work: Work,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    by_source: HashMap<IpAddr, usize>,
    is_closed: bool,
}

struct Queue {
    waiting: Mutex<Waiting>,
    has_work: Condvar,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; nothing when the hub ends.
    fn next(&self) -> Option<Job> {
        let waiting = self.waiting();
        let is_idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.is_closed;
        let mut waiting =
            self.has_work.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner);
        let job = waiting.jobs.pop_front()?;
        if let Some(source) = job.source
            && let Some(count) = waiting.by_source.get_mut(&source)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.by_source.remove(&source);
            }
        }
        Some(job)
    }
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueBounds {
    /// From everywhere.
    pub(super) all: usize,
    /// From one address.
    pub(super) of_one: usize,
}

/// There is no room; nothing was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// When there will be some.
    pub(super) after: Duration,
    /// The address has too much in it, whatever others have.
    pub(super) is_of_one: bool,
}

/// Lowers the priority of this thread. A machine that does not allow it hashes at the usual one.
fn give_way() {
    // Linux has a priority for each thread, and takes the number of one here (setpriority(2), "C library/kernel
    // differences").
    let lowered = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
    if let Err(error) = lowered {
        tracing::warn!(%error, "the threads that hash passwords run at the usual priority");
    }
}

/// The threads and their queue.
pub(super) struct Hashers {
    queue: Arc<Queue>,
    bounds: QueueBounds,
    threads: usize,
}

impl Hashers {
    pub(super) fn new(bounds: QueueBounds) -> Self {
        let queue = Arc::new(Queue { waiting: Mutex::default(), has_work: Condvar::new() });
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let start = |number: usize| {
            let queue = Arc::clone(&queue);
            let run = move || {
                give_way();
                let mut memory = Memory::new();
                while let Some(job) = queue.next() {
                    (job.work)(&mut memory);
                }
            };
            let started = thread::Builder::new().name(format!("passwords-{number}")).spawn(run);
            started.inspect_err(|error| tracing::error!(%error, "a thread for passwords")).is_ok()
        };
        let threads = (0..cores).filter(|number| start(*number)).count();
        Self { queue, bounds, threads }
    }

    /// Puts work behind what waits. `source` is whose part of the queue it takes; none for this machine,
    /// which is exempt.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        source: Option<IpAddr>,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let mut waiting = self.queue.waiting();
        let threads = u32::try_from(self.threads.max(1)).unwrap_or(u32::MAX);
        let ahead = u32::try_from(waiting.jobs.len()).unwrap_or(u32::MAX);
        let after = (HASH_TIME.saturating_mul(ahead) / threads).max(COME_BACK_MIN);
        let of_one = source.and_then(|source| waiting.by_source.get(&source)).copied();
        let is_of_one = of_one.unwrap_or(0) >= self.bounds.of_one;
        if is_of_one || waiting.jobs.len() >= self.bounds.all {
            return Err(Full { after, is_of_one });
        }
        if let Some(source) = source {
            *waiting.by_source.entry(source).or_default() += 1;
        }
        let (reply, answer) = oneshot::channel();
        // Whoever waited may be gone: nobody asks then, but the work is not undone.
        let work: Work = Box::new(move |memory| drop(reply.send(work(memory))));
        waiting.jobs.push_back(Job { source, work });
        drop(waiting);
        self.queue.has_work.notify_one();
        Ok(answer)
    }
}

impl Drop for Hashers {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        waiting.is_closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.queue.has_work.notify_all();
    }
}

impl std::fmt::Debug for Hashers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashers").field("threads", &self.threads).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Goal: whoever signs up gives way to whoever talks, and nobody else does.
    #[test]
    fn threads_that_hash_give_way() {
        let hashers = Hashers::new(QueueBounds { all: 8, of_one: 2 });
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let before = niceness().unwrap();
        let there = hashers.submit(None, move |_| niceness()).unwrap().blocking_recv().unwrap();
        assert_eq!(there, Ok(NICENESS.max(before)));
        assert_eq!(niceness(), Ok(before));
    }

    #[test]
    fn the_queue_has_a_bound_and_one_address_a_part_of_it() {
        let hashers = Hashers::new(QueueBounds { all: 8, of_one: 2 });
        // All threads are busy until the test lets them go.
        let (gates, busy): (Vec<_>, Vec<_>) = (0..hashers.threads)
            .map(|_| {
                let (open, gate) = mpsc::channel::<()>();
                let (here, started) = mpsc::channel();
                let work = move |_: &mut Memory| {
                    here.send(()).unwrap();
                    gate.recv().ok();
                };
                let busy = hashers.submit(None, work).unwrap();
                started.recv().unwrap();
                (open, busy)
            })
            .unzip();
        let one: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let mut waiting: Vec<_> =
            (0..2).map(|n| hashers.submit(one, move |_| n).unwrap()).collect();
        let full = hashers.submit(one, |_| 0).unwrap_err();
        assert!(full.is_of_one && full.after >= COME_BACK_MIN, "{full:?}");
        waiting.extend((2..8).map(|n| hashers.submit(None, move |_| n).unwrap()));
        assert!(!hashers.submit(None, |_| 0).unwrap_err().is_of_one);
        drop(gates);
        drop(busy);
        for (n, answer) in waiting.into_iter().enumerate() {
            assert_eq!(answer.blocking_recv(), Ok(n));
        }
        assert!(hashers.submit(one, |_| 0).is_ok(), "its part is free again");
    }
}
