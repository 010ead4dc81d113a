//! Threads for what is slow in a sign-in: as many as cores, each with memory that it uses again and again.
//! Before them is a queue with a bound, in which nobody alone takes more than a part.
//!
//! Whoever talks goes before whoever comes. Threads for what lasts have the time that nobody else needs; where others
//! need all of it, one more thread does again what does not get on, so that a newcomer still gets in.

use std::{
    collections::{HashMap, VecDeque},
    io, iter,
    net::IpAddr,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};
use tokio::sync::oneshot;

/// Nobody is asked to come back sooner: the hub answers no faster to who asks more often.
const COME_BACK_MIN: Duration = Duration::from_secs(1);

/// How much a thread gives way that has a little time in any case: beside a thread that is always busy it gets about a
/// tenth of a core.
const NICENESS: i32 = 10;

/// A job that idle time has not ended after this long is next for the thread for relief: twice as long where it waited
/// so long for its turn. A hash takes 30 ms on a core of its own: what takes so much longer stands beside others who
/// need all cores.
const PATIENCE: Duration = Duration::from_millis(150);

/// What time a thread has, and for which jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// Each job, in time that nobody else needs (sched(7), `SCHED_IDLE`): whoever else wakes up has the core at once.
    /// Beside a thread that only gives way a message waits for the end of a slice, several times on its way.
    Idle,
    /// Each job, in a little time in any case: for what is short.
    Little,
    /// What does not get on in idle time, in a little time in any case.
    Relief,
}

impl Time {
    /// Lets this thread give way. A machine that does not allow it works at the usual priority.
    fn give_way(self) {
        let given = match self {
            Self::Idle => set_thread_priority_and_policy(
                thread_native_id(),
                ThreadPriority::Min,
                ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
            )
            // Where the hub was started with less than the usual priority the policy is set, and the priority that goes
            // with it is refused.
            .or_else(|error| if has_idle_time() { Ok(()) } else { Err(format!("{error:?}")) }),
            // Linux has a priority for each thread, and takes the number of one here (setpriority(2), "C
            // library/kernel differences").
            Self::Little | Self::Relief => {
                let this = Some(rustix::thread::gettid());
                let gives_way = rustix::process::getpriority_process(this)
                    .is_ok_and(|niceness| niceness >= NICENESS);
                let set = || rustix::process::setpriority_process(this, NICENESS);
                if gives_way { Ok(()) } else { set().map_err(|error| error.to_string()) }
            }
        };
        if let Err(error) = given {
            tracing::warn!(%error, "a thread for sign-ins runs at the usual priority");
        }
    }
}

/// Whether this thread has only the time that nobody else needs.
fn has_idle_time() -> bool {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    thread_schedule_policy() == Ok(idle)
}

/// These locks are those of the standard library: a thread for idle time may wait for one, and have no core to take it
/// when it is handed over, as those of `parking_lot` are. Nothing that can fail is done under them.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What somebody waits for.
trait Work<M>: Send + Sync {
    /// Whether somebody still waits.
    fn is_wanted(&self) -> bool;

    /// Does it and answers. If two threads do it, the first one answers.
    fn run(&self, memory: &mut M);
}

struct Task<T, F> {
    work: F,
    reply: Mutex<Option<oneshot::Sender<T>>>,
}

impl<M, T: Send, F: Fn(&mut M) -> T + Send + Sync> Work<M> for Task<T, F> {
    fn is_wanted(&self) -> bool {
        locked(&self.reply).as_ref().is_some_and(|reply| !reply.is_closed())
    }

    fn run(&self, memory: &mut M) {
        let done = (self.work)(memory);
        // The lock ends here: whoever asks whether somebody waits does not wait for an answer to be sent.
        let reply = locked(&self.reply).take();
        if let Some(reply) = reply {
            // Whoever waited may be gone meanwhile: nobody asks then.
            drop(reply.send(done));
        }
    }
}

struct Job<M> {
    source: Option<IpAddr>,
    /// Since when it waits, or is under way.
    since: Instant,
    work: Arc<dyn Work<M>>,
}

/// What the thread for relief finds.
enum Relief<M> {
    /// This does not get on.
    Do(Arc<dyn Work<M>>),
    /// Look again after this time.
    In(Duration),
    /// Nothing waits, and nothing is under way.
    Idle,
}

struct Waiting<M> {
    jobs: VecDeque<Job<M>>,
    /// What idle time is given to.
    under_way: Vec<Job<M>>,
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

    /// Takes the oldest job for a thread that has this time.
    fn begin(&mut self, time: Time) -> Option<Arc<dyn Work<M>>> {
        let Job { source, work, .. } = self.jobs.pop_front()?;
        self.has_left(source);
        if time == Time::Idle {
            let since = Instant::now();
            self.under_way.push(Job { source: None, since, work: Arc::clone(&work) });
        }
        Some(work)
    }

    /// What idle time was given to has come to its end.
    fn end(&mut self, work: &Arc<dyn Work<M>>) {
        self.under_way.retain(|job| !Arc::ptr_eq(&job.work, work));
    }

    /// The job which waits most for relief: of those under way the oldest; the head of the queue where all that idle
    /// time was given to is relieved already.
    fn relieve(&mut self) -> Relief<M> {
        let oldest = self.under_way.iter().map(|job| job.since).min();
        let Some(since) = oldest.or_else(|| Some(self.jobs.front()?.since)) else {
            return Relief::Idle;
        };
        let left = PATIENCE.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Relief::In(left);
        }
        match self.under_way.iter().position(|job| job.since == since) {
            Some(at) => Relief::Do(self.under_way.swap_remove(at).work),
            None => self.begin(Time::Relief).map_or(Relief::Idle, Relief::Do),
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
    /// What the thread for relief waits for. It is apart from the others, so that each can be woken alone: a thread for
    /// idle time may have no core to begin what it was woken for.
    needs_relief: Condvar,
}

impl<M> Queue<M> {
    /// What a thread that has this time waits for.
    fn condition(&self, time: Time) -> &Condvar {
        match time {
            Time::Idle | Time::Little => &self.has_work,
            Time::Relief => &self.needs_relief,
        }
    }

    /// The next job that somebody waits for; nothing when the hub ends.
    fn next(&self, time: Time) -> Option<Arc<dyn Work<M>>> {
        let mut waiting = locked(&self.waiting);
        while !waiting.is_closed {
            let found = match time {
                Time::Idle | Time::Little => waiting.begin(time),
                Time::Relief => match waiting.relieve() {
                    Relief::Do(work) => Some(work),
                    Relief::In(left) => {
                        let again = self.needs_relief.wait_timeout(waiting, left);
                        waiting = again.unwrap_or_else(PoisonError::into_inner).0;
                        continue;
                    }
                    Relief::Idle => None,
                },
            };
            match found {
                Some(work) if work.is_wanted() => return Some(work),
                Some(work) => waiting.end(&work),
                None => {
                    let condition = self.condition(time);
                    waiting = condition.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        None
    }

    /// Does jobs until the hub ends.
    fn work(&self, time: Time)
    where
        M: Default,
    {
        time.give_way();
        let mut memory = M::default();
        while let Some(work) = self.next(time) {
            // A fault of one job is the end of that job, and not of all that come after it.
            if catch_unwind(AssertUnwindSafe(|| work.run(&mut memory))).is_err() {
                memory = M::default();
            }
            if time == Time::Idle {
                locked(&self.waiting).end(&work);
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

/// The threads and their queue. `M` is the memory of one of them.
pub(crate) struct Threads<M> {
    queue: Arc<Queue<M>>,
    bounds: QueueBounds,
    /// About how long one job takes, for who has to come again.
    job_time: Duration,
    /// How many do each job.
    workers: usize,
    /// Waited for when this is dropped.
    running: Vec<JoinHandle<()>>,
}

impl<M: Default + 'static> Threads<M> {
    /// Starts them. `job_time` is about how long one job takes, and `time` what time they have for it. Fails where the
    /// system gives no more threads: what nobody does would be waited for without end.
    pub(crate) fn new(
        name: &str,
        bounds: QueueBounds,
        job_time: Duration,
        time: Time,
    ) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let waiting = Waiting {
            jobs: VecDeque::new(),
            // With room for all: it is not made longer under the lock.
            under_way: Vec::with_capacity(cores),
            by_source: HashMap::new(),
            is_closed: false,
        };
        let queue = Arc::new(Queue {
            waiting: Mutex::new(waiting),
            has_work: Condvar::new(),
            needs_relief: Condvar::new(),
        });
        let relief = (time == Time::Idle).then_some(Time::Relief);
        let mut threads = Self { queue, bounds, job_time, workers: cores, running: Vec::new() };
        for (number, time) in iter::repeat_n(time, cores).chain(relief).enumerate() {
            let queue = Arc::clone(&threads.queue);
            let thread = thread::Builder::new().name(format!("{name}-{number}"));
            let running = thread.spawn(move || queue.work(time))?;
            // On a busy machine nobody can say when idle time has ended what it was given to. Such a thread has nothing
            // of the hub's but what it hashes.
            if time != Time::Idle {
                threads.running.push(running);
            }
        }
        Ok(threads)
    }

    /// Whether something could be put behind what waits.
    pub(crate) fn check_room(&self, source: Option<IpAddr>) -> Result<(), Full> {
        self.room(&mut locked(&self.queue.waiting), source)
    }

    fn room(&self, waiting: &mut Waiting<M>, source: Option<IpAddr>) -> Result<(), Full> {
        if waiting.has_room(source, self.bounds) != (true, true) {
            waiting.clear_unwanted();
        }
        let (has_room, has_own_room) = waiting.has_room(source, self.bounds);
        if has_room && has_own_room {
            return Ok(());
        }
        let threads = u32::try_from(self.workers).unwrap_or(u32::MAX);
        let ahead = u32::try_from(waiting.jobs.len()).unwrap_or(u32::MAX);
        // Where nobody has time for them, how long the first one waits already tells more than their number.
        let waited = waiting.jobs.front().map_or(Duration::ZERO, |job| job.since.elapsed());
        let after = (self.job_time.saturating_mul(ahead) / threads).max(waited).max(COME_BACK_MIN);
        Err(Full { after, is_of_one: !has_own_room })
    }

    /// Puts work behind what waits. `source` is whose part of the queue it takes; none for this machine,
    /// which is exempt. It is not done when the receiver is dropped before its turn.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        source: Option<IpAddr>,
        work: impl Fn(&mut M) -> T + Send + Sync + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let mut waiting = locked(&self.queue.waiting);
        self.room(&mut waiting, source)?;
        if let Some(source) = source {
            *waiting.by_source.entry(source).or_default() += 1;
        }
        let (reply, answer) = oneshot::channel();
        let work = Arc::new(Task { work, reply: Mutex::new(Some(reply)) });
        waiting.jobs.push_back(Job { source, since: Instant::now(), work });
        drop(waiting);
        self.queue.has_work.notify_one();
        self.queue.needs_relief.notify_one();
        Ok(answer)
    }
}

impl<M> Drop for Threads<M> {
    fn drop(&mut self) {
        let mut waiting = locked(&self.queue.waiting);
        waiting.is_closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.queue.needs_relief.notify_one();
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
        f.debug_struct("Threads").field("count", &self.workers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const BOUNDS: QueueBounds = QueueBounds { all: 8, of_one: 2 };

    fn threads_with(time: Time) -> Threads<()> {
        Threads::new("test", BOUNDS, Duration::from_millis(60), time).unwrap()
    }

    fn threads() -> Threads<()> {
        threads_with(Time::Little)
    }

    /// All threads are busy until what comes back is dropped.
    fn keep_busy(threads: &Threads<()>) -> impl Sized {
        let busy = |_| {
            let (open, gate) = mpsc::channel::<()>();
            let (here, started) = mpsc::channel();
            let gate = Mutex::new(gate);
            let work = move |(): &mut ()| {
                here.send(()).unwrap();
                locked(&gate).recv().ok();
            };
            let busy = threads.submit(None, work).unwrap();
            started.recv().unwrap();
            (open, busy)
        };
        (0..threads.workers).map(busy).collect::<Vec<_>>()
    }

    /// Goal: whoever comes gives way to whoever talks, and nobody else does.
    #[test]
    fn threads_for_sign_ins_give_way() {
        let threads = threads();
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let before = niceness().unwrap();
        let there = threads.submit(None, move |()| niceness()).unwrap().blocking_recv().unwrap();
        assert_eq!(there, Ok(NICENESS.max(before)));
        assert_eq!(niceness(), Ok(before));
        // The thread for relief does it where the idle one does not get on here: then it is no idle one.
        let threads = threads_with(Time::Idle);
        let there = threads
            .submit(None, move |()| has_idle_time() || niceness() == Ok(NICENESS.max(before)))
            .unwrap();
        assert_eq!(there.blocking_recv(), Ok(true));
    }

    /// Goal: a newcomer gets in, also where nobody has time for it. Method: all threads for idle time stand still, each
    /// with a job that another thread would end; one more job waits behind them.
    #[test]
    fn what_does_not_get_on_in_idle_time_is_done_in_any_case() {
        let mut threads = threads_with(Time::Idle);
        threads.bounds.all += threads.workers;
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut answers = Vec::new();
        for n in 0..threads.workers {
            let gate = Arc::clone(&gate);
            let work = move |(): &mut ()| {
                if has_idle_time() {
                    locked(&gate).recv().ok();
                }
                n
            };
            answers.push(threads.submit(None, work).unwrap());
        }
        answers.push(
            threads
                .submit(None, {
                    let last = threads.workers;
                    move |()| last
                })
                .unwrap(),
        );
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.blocking_recv(), Ok(n));
        }
        drop(open);
    }

    /// Goal: who finds the queue full is not asked to come back sooner than its first one can have begun.
    #[test]
    fn who_comes_again_waits_as_long_as_the_first_has() {
        let threads = threads();
        let busy = keep_busy(&threads);
        let answers: Vec<_> = (0..8).map(|n| threads.submit(None, move |()| n).unwrap()).collect();
        let waited = Duration::from_secs(7);
        let early = Instant::now().checked_sub(waited).unwrap();
        locked(&threads.queue.waiting).jobs.front_mut().unwrap().since = early;
        assert!(threads.submit(None, |()| 0).unwrap_err().after >= waited);
        drop((busy, answers));
    }

    #[test]
    fn the_queue_has_a_bound_and_one_address_a_part_of_it() {
        let threads = threads();
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
        let threads = threads();
        for _ in 0..=threads.workers {
            let failing = threads.submit::<()>(None, |()| panic!("a fault")).unwrap();
            assert!(failing.blocking_recv().is_err());
        }
        assert_eq!(threads.submit(None, |()| 1).unwrap().blocking_recv(), Ok(1));
    }

    /// Goal: whoever comes and goes takes neither a place nor time.
    #[test]
    fn what_nobody_waits_for_is_not_done_and_takes_no_place() {
        let threads = threads();
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
