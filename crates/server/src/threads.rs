//! Threads for what is slow in a sign-in: as many as cores, each with memory that it uses again and again.
//! Before them is a queue with a bound, in which nobody alone takes more than a part.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::IpAddr,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// Nobody is asked to come back sooner: the hub answers no faster to who asks more often.
const COME_BACK_MIN: Duration = Duration::from_secs(1);

/// How much these threads give way to all others of the machine: beside a thread that is always busy they get
/// about a tenth of a core. Whoever talks goes before whoever comes; and a newcomer still gets in.
const NICENESS: i32 = 10;

/// What somebody waits for.
trait Work<M>: Send {
    /// Whether somebody still waits.
    fn is_wanted(&self) -> bool;

    /// Does it and answers.
    fn run(self: Box<Self>, memory: &mut M);
}

struct Task<T, F> {
    work: F,
    reply: oneshot::Sender<T>,
}

impl<M, T: Send, F: FnOnce(&mut M) -> T + Send> Work<M> for Task<T, F> {
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut M) {
        let Self { work, reply } = *self;
        // Whoever waited may be gone meanwhile: nobody asks then.
        drop(reply.send(work(memory)));
    }
}

struct Job<M> {
    source: Option<IpAddr>,
    work: Box<dyn Work<M>>,
}

struct Waiting<M> {
    jobs: VecDeque<Job<M>>,
    by_source: HashMap<IpAddr, usize>,
    is_closed: bool,
}

impl<M> Waiting<M> {
    /// A job is no longer in the queue.
    fn has_left(&mut self, source: Option<IpAddr>) {
        if let Some(source) = source
            && let Some(count) = self.by_source.get_mut(&source)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }

    /// Whether there is room for one more: in all, and for its source.
    fn has_room(&self, source: Option<IpAddr>, bounds: QueueBounds) -> (bool, bool) {
        let of_one = source.and_then(|source| self.by_source.get(&source)).copied().unwrap_or(0);
        (self.jobs.len() < bounds.all, of_one < bounds.of_one)
    }

    /// Takes out what nobody waits for any more. Whoever comes and goes fills no queue.
    fn clear_unwanted(&mut self) {
        let jobs = std::mem::take(&mut self.jobs);
        for job in jobs {
            if job.work.is_wanted() {
                self.jobs.push_back(job);
            } else {
                self.has_left(job.source);
            }
        }
    }
}

struct Queue<M> {
    waiting: Mutex<Waiting<M>>,
    has_work: Condvar,
}

impl<M> Queue<M> {
    /// The next job that somebody waits for; nothing when the hub ends.
    fn next(&self) -> Option<Box<dyn Work<M>>> {
        let mut waiting = self.waiting.lock();
        loop {
            let is_idle = |waiting: &mut Waiting<M>| waiting.jobs.is_empty() && !waiting.is_closed;
            self.has_work.wait_while(&mut waiting, is_idle);
            let Job { source, work } = waiting.jobs.pop_front()?;
            waiting.has_left(source);
            if work.is_wanted() {
                return Some(work);
            }
        }
    }
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueBounds {
    /// From everywhere.
    pub(crate) all: usize,
    /// From one address.
    pub(crate) of_one: usize,
}

/// There is no room; nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    /// When there will be some.
    pub(crate) after: Duration,
    /// The address has too much in it, whatever others have.
    pub(crate) is_of_one: bool,
}

/// Lowers the priority of this thread. A machine that does not allow it works at the usual one.
fn give_way() {
    // Linux has a priority for each thread, and takes the number of one here (setpriority(2), "C library/kernel
    // differences").
    let lowered = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
    if let Err(error) = lowered {
        tracing::warn!(%error, "the threads for sign-ins run at the usual priority");
    }
}

/// The threads and their queue. `M` is the memory of one of them.
pub(crate) struct Threads<M> {
    queue: Arc<Queue<M>>,
    bounds: QueueBounds,
    /// About how long one job takes, for who has to come again.
    job_time: Duration,
    /// Waited for when this is dropped.
    running: Vec<JoinHandle<()>>,
}

impl<M: Default + 'static> Threads<M> {
    /// Starts them. `job_time` is about how long one job takes. Fails where the system gives no more threads: what
    /// nobody does would be waited for without end.
    pub(crate) fn new(name: &str, bounds: QueueBounds, job_time: Duration) -> io::Result<Self> {
        let waiting =
            Waiting { jobs: VecDeque::new(), by_source: HashMap::new(), is_closed: false };
        let queue = Arc::new(Queue { waiting: Mutex::new(waiting), has_work: Condvar::new() });
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let start = |number: usize| {
            let queue = Arc::clone(&queue);
            let run = move || {
                give_way();
                let mut memory = M::default();
                while let Some(work) = queue.next() {
                    // A fault of one job is the end of that job, and not of all that come after it.
                    if catch_unwind(AssertUnwindSafe(|| work.run(&mut memory))).is_err() {
                        memory = M::default();
                    }
                }
            };
            thread::Builder::new().name(format!("{name}-{number}")).spawn(run)
        };
        let mut threads = Self { queue: Arc::clone(&queue), bounds, job_time, running: Vec::new() };
        for number in 0..cores {
            threads.running.push(start(number)?);
        }
        Ok(threads)
    }

    /// Whether something could be put behind what waits.
    pub(crate) fn check_room(&self, source: Option<IpAddr>) -> Result<(), Full> {
        self.room(&mut self.queue.waiting.lock(), source)
    }

    fn room(&self, waiting: &mut Waiting<M>, source: Option<IpAddr>) -> Result<(), Full> {
        if waiting.has_room(source, self.bounds) != (true, true) {
            waiting.clear_unwanted();
        }
        let (has_room, has_own_room) = waiting.has_room(source, self.bounds);
        if has_room && has_own_room {
            return Ok(());
        }
        let threads = u32::try_from(self.running.len().max(1)).unwrap_or(u32::MAX);
        let ahead = u32::try_from(waiting.jobs.len()).unwrap_or(u32::MAX);
        let after = (self.job_time.saturating_mul(ahead) / threads).max(COME_BACK_MIN);
        Err(Full { after, is_of_one: !has_own_room })
    }

    /// Puts work behind what waits. `source` is whose part of the queue it takes; none for this machine,
    /// which is exempt. It is not done when the receiver is dropped before its turn.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        source: Option<IpAddr>,
        work: impl FnOnce(&mut M) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let mut waiting = self.queue.waiting.lock();
        self.room(&mut waiting, source)?;
        if let Some(source) = source {
            *waiting.by_source.entry(source).or_default() += 1;
        }
        let (reply, answer) = oneshot::channel();
        waiting.jobs.push_back(Job { source, work: Box::new(Task { work, reply }) });
        drop(waiting);
        self.queue.has_work.notify_one();
        Ok(answer)
    }
}

impl<M> Drop for Threads<M> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock();
        waiting.is_closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.queue.has_work.notify_all();
        for thread in self.running.drain(..) {
            // What holds the hub last may be one of their jobs: it does not wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread for sign-ins failed");
            }
        }
    }
}

impl<M> std::fmt::Debug for Threads<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("count", &self.running.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn threads(all: usize, of_one: usize) -> Threads<()> {
        Threads::new("test", QueueBounds { all, of_one }, Duration::from_millis(60)).unwrap()
    }

    /// All threads are busy until what comes back is dropped.
    fn keep_busy(threads: &Threads<()>) -> impl Sized {
        let busy = |_| {
            let (open, gate) = mpsc::channel::<()>();
            let (here, started) = mpsc::channel();
            let work = move |(): &mut ()| {
                here.send(()).unwrap();
                gate.recv().ok();
            };
            let busy = threads.submit(None, work).unwrap();
            started.recv().unwrap();
            (open, busy)
        };
        (0..threads.running.len()).map(busy).collect::<Vec<_>>()
    }

    /// Goal: whoever comes gives way to whoever talks, and nobody else does.
    #[test]
    fn threads_for_sign_ins_give_way() {
        let threads = threads(8, 2);
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let before = niceness().unwrap();
        let there = threads.submit(None, move |()| niceness()).unwrap().blocking_recv().unwrap();
        assert_eq!(there, Ok(NICENESS.max(before)));
        assert_eq!(niceness(), Ok(before));
    }

    #[test]
    fn the_queue_has_a_bound_and_one_address_a_part_of_it() {
        let threads = threads(8, 2);
        let busy = keep_busy(&threads);
        let one: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let mut waiting: Vec<_> =
            (0..2).map(|n| threads.submit(one, move |()| n).unwrap()).collect();
        let full = threads.submit(one, |()| 0).unwrap_err();
        assert!(full.is_of_one && full.after >= COME_BACK_MIN, "{full:?}");
        waiting.extend((2..8).map(|n| threads.submit(None, move |()| n).unwrap()));
        assert!(!threads.submit(None, |()| 0).unwrap_err().is_of_one);
        drop(busy);
        for (n, answer) in waiting.into_iter().enumerate() {
            assert_eq!(answer.blocking_recv(), Ok(n));
        }
        assert!(threads.submit(one, |()| 0).is_ok(), "its part is free again");
    }

    /// Goal: a fault in one job costs that job, and no thread.
    #[test]
    fn threads_outlive_a_job_that_fails() {
        let threads = threads(8, 2);
        for _ in 0..=threads.running.len() {
            let failing = threads.submit::<()>(None, |()| panic!("a fault")).unwrap();
            assert!(failing.blocking_recv().is_err());
        }
        assert_eq!(threads.submit(None, |()| 1).unwrap().blocking_recv(), Ok(1));
    }

    /// Goal: whoever comes and goes takes neither a place nor time.
    #[test]
    fn what_nobody_waits_for_is_not_done_and_takes_no_place() {
        let threads = threads(8, 2);
        let busy = keep_busy(&threads);
        let one: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let (here, done) = mpsc::channel();
        for n in 0..20 {
            let here = here.clone();
            drop(threads.submit(one, move |()| here.send(n)).unwrap());
        }
        let last = threads.submit(one, move |()| here.send(20)).unwrap();
        drop(busy);
        last.blocking_recv().unwrap().unwrap();
        assert_eq!(done.iter().collect::<Vec<_>>(), [20]);
    }
}
