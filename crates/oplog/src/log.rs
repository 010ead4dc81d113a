//! The handle that callers write to, and the thread that owns the files.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::encode;
use crate::file::{LogFile, OpenError, Rotation};
use crate::operation::Operation;

/// Bytes that may wait for the disk, all files of one writer together. About 20,000 lines: more
/// than a second at the highest load, so that a caller waits only when the disk stands still.
pub const PENDING_BYTES_MAX: usize = 8 << 20;

/// What a log does when its disk is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// Its caller waits.
    Wait,
    /// The line is lost, and counted.
    Drop,
}

/// How long the first line waits for others: waking a thread costs more than writing a line.
const COMPANY_TIME: Duration = Duration::from_millis(5);

/// Bytes that are company enough: one write of this size costs next to nothing for each line.
const COMPANY_BYTES: usize = 64 << 10;

/// One log file. Clones write to the same file.
///
/// The last clone that goes away waits until its lines are in the file, so a program that returns
/// from `main` loses nothing; [`OperationLog::flush`] does it earlier.
#[derive(Debug, Clone)]
pub struct OperationLog {
    /// `None`: a log that takes everything and keeps nothing.
    target: Option<Target>,
}

#[derive(Debug, Clone)]
struct Target {
    writer: Arc<Writer>,
    file: usize,
    full: Full,
}

impl OperationLog {
    /// Opens `folder/file_stem.jsonl` for appending, with a writer thread of its own.
    pub fn open(folder: &Path, file_stem: &str) -> Result<Self, OpenError> {
        OperationLogs::start(folder, Rotation::default())?.open(file_stem)
    }

    /// The same log for somebody who must never wait: when [`PENDING_BYTES_MAX`] bytes are ahead, lines
    /// are lost and counted.
    #[must_use]
    pub fn dropping(mut self) -> Self {
        if let Some(target) = &mut self.target {
            target.full = Full::Drop;
        }
        self
    }

    /// A log that takes everything and keeps nothing; for tests.
    pub fn disabled() -> Self {
        Self { target: None }
    }

    /// Writes one line, soon. Costs one serialisation and one short lock.
    ///
    /// 1. MUST NOT wait for the disk, but for space when [`PENDING_BYTES_MAX`] bytes are ahead.
    /// 2. MUST NOT drop the line, but where it must not wait ([`OperationLog::dropping`]); a line that was
    ///    dropped or that the disk refused is counted by [`OperationLog::lines_failed`].
    /// 3. MUST NOT reorder lines of one caller.
    pub fn write(&self, operation: &Operation<'_>) {
        let Some(target) = &self.target else { return };
        match encode::line(operation) {
            Ok(line) => target.writer.shared.push(target.file, &line, target.full),
            Err(_) => target.writer.shared.count_failed(1),
        }
    }

    /// Waits until every line written before this call is in its file (or counted as failed).
    /// Blocks the thread for the disk.
    pub fn flush(&self) {
        if let Some(target) = &self.target {
            target.writer.shared.flush();
        }
    }

    /// Whether the last line was lost because the disk stands still.
    pub fn is_stalled(&self) -> bool {
        let shared = self.target.as_ref().map(|target| &target.writer.shared);
        shared.is_some_and(|shared| shared.is_stalled.load(Ordering::Relaxed))
    }

    /// Lines that the disk refused or that were dropped, all files of this writer together.
    pub fn lines_failed(&self) -> u64 {
        self.count(|shared| &shared.lines_failed)
    }

    /// Lines that are in their files, all files of this writer together.
    pub fn lines_written(&self) -> u64 {
        self.count(|shared| &shared.lines_written)
    }

    /// How often a caller found the queue full and had to wait.
    pub fn waits(&self) -> u64 {
        self.count(|shared| &shared.waits)
    }

    fn count(&self, counter: impl Fn(&Shared) -> &AtomicU64) -> u64 {
        self.target
            .as_ref()
            .map_or(0, |target| counter(&target.writer.shared).load(Ordering::Relaxed))
    }
}

/// Several logs in one folder that share one writer thread: a thousand emulated clients need a
/// thousand files, not a thousand threads.
#[derive(Debug)]
pub struct OperationLogs {
    writer: Arc<Writer>,
    folder: PathBuf,
    rotation: Rotation,
}

impl OperationLogs {
    /// Starts the writer thread; no file exists before the first [`OperationLogs::open`].
    pub fn start(folder: &Path, rotation: Rotation) -> Result<Self, OpenError> {
        let writer = Arc::new(Writer::start().map_err(OpenError::Thread)?);
        Ok(Self { writer, folder: folder.to_owned(), rotation })
    }

    /// Opens `folder/file_stem.jsonl` for appending.
    pub fn open(&self, file_stem: &str) -> Result<OperationLog, OpenError> {
        let file = LogFile::open(&self.folder, file_stem, self.rotation)?;
        let file = self.writer.shared.add(file);
        let writer = Arc::clone(&self.writer);
        let full = Full::Wait;
        Ok(OperationLog { target: Some(Target { writer, file, full }) })
    }
}

/// Owns the thread. Dropped by whoever lets go of the last log.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("operation-log".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // The thread has no way to panic; if it did, its last batch is what was lost.
            self.shared.count_failed(1);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write, or the end has come.
    work: Condvar,
    /// A batch has been taken away.
    space: Condvar,
    /// A batch has reached its file.
    done: Condvar,
    lines_written: AtomicU64,
    lines_failed: AtomicU64,
    waits: AtomicU64,
    /// The last line found no room.
    is_stalled: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    files: Vec<Waiting>,
    /// Files with waiting lines, the one that waits longest first.
    ready: VecDeque<usize>,
    bytes: usize,
    /// Lines taken in and lines settled (written or failed), ever; equal when all is on disk.
    lines_in: u64,
    lines_settled: u64,
    /// Somebody waits for the disk: lines do not wait for company.
    hurried: bool,
    closed: bool,
}

impl Queue {
    /// Whether what waits goes to the disk at once.
    fn is_due(&self) -> bool {
        self.hurried || self.closed || self.bytes >= COMPANY_BYTES
    }
}

/// What waits for one file. The file itself is away while the thread writes to it.
#[derive(Debug)]
struct Waiting {
    file: Option<LogFile>,
    lines: Vec<u8>,
    count: u64,
}

/// A batch on its way to the disk, outside the lock.
struct Batch {
    index: usize,
    file: LogFile,
    lines: Vec<u8>,
    count: u64,
}

impl Shared {
    fn add(&self, file: LogFile) -> usize {
        let mut queue = self.queue.lock();
        queue.files.push(Waiting { file: Some(file), lines: Vec::new(), count: 0 });
        queue.files.len() - 1
    }

    fn push(&self, index: usize, line: &[u8], full: Full) {
        let mut queue = self.queue.lock();
        let is_full = queue.bytes > 0 && queue.bytes + line.len() > PENDING_BYTES_MAX;
        self.is_stalled.store(is_full, Ordering::Relaxed);
        if is_full && full == Full::Drop {
            drop(queue);
            return self.count_failed(1);
        }
        let mut waited = false;
        while queue.bytes > 0 && queue.bytes + line.len() > PENDING_BYTES_MAX && !queue.closed {
            waited = true;
            self.space.wait(&mut queue);
        }
        let is_new = match queue.files.get_mut(index) {
            Some(waiting) => {
                waiting.lines.extend_from_slice(line);
                waiting.count += 1;
                waiting.count == 1
            }
            None => return,
        };
        let before = queue.bytes;
        queue.bytes += line.len();
        queue.lines_in += 1;
        // The thread sleeps while nothing waits, and then until there is company enough.
        let wakes =
            queue.ready.is_empty() || (before < COMPANY_BYTES && queue.bytes >= COMPANY_BYTES);
        if is_new {
            queue.ready.push_back(index);
        }
        drop(queue);
        if waited {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
        if wakes {
            self.work.notify_one();
        }
    }

    fn flush(&self) {
        let mut queue = self.queue.lock();
        let goal = queue.lines_in;
        queue.hurried = true;
        self.work.notify_one();
        while queue.lines_settled < goal {
            self.done.wait(&mut queue);
        }
    }

    fn close(&self) {
        self.queue.lock().closed = true;
        self.work.notify_all();
        self.space.notify_all();
    }

    fn count_failed(&self, lines: u64) {
        self.lines_failed.fetch_add(lines, Ordering::Relaxed);
    }

    /// The lines of the file that waits longest, once there is company; `None` when all is written
    /// and the end has come. `due` counts the files whose lines have waited for company already.
    fn take(&self, due: &mut usize) -> Option<Batch> {
        let mut queue = self.queue.lock();
        loop {
            let is_due = *due > 0 || queue.is_due();
            if queue.ready.is_empty() {
                if queue.closed {
                    return None;
                }
                self.work.wait(&mut queue);
            } else if !is_due {
                self.work.wait_while_for(&mut queue, |q| !q.is_due(), COMPANY_TIME);
                *due = queue.ready.len();
            } else if let Some(index) = queue.ready.pop_front()
                && let Some(waiting) = queue.files.get_mut(index)
                && let Some(file) = waiting.file.take()
            {
                *due = due.saturating_sub(1);
                let lines = std::mem::take(&mut waiting.lines);
                let count = std::mem::take(&mut waiting.count);
                queue.bytes -= lines.len();
                drop(queue);
                self.space.notify_all();
                return Some(Batch { index, file, lines, count });
            }
        }
    }

    /// Gives the file back and tells who waits for the disk.
    fn settle(&self, batch: Batch, written: bool) {
        self.is_stalled.store(false, Ordering::Relaxed);
        let counter = if written { &self.lines_written } else { &self.lines_failed };
        counter.fetch_add(batch.count, Ordering::Relaxed);
        let mut queue = self.queue.lock();
        queue.lines_settled += batch.count;
        queue.hurried &= queue.lines_settled < queue.lines_in;
        if let Some(waiting) = queue.files.get_mut(batch.index) {
            waiting.file = Some(batch.file);
        }
        drop(queue);
        self.done.notify_all();
    }
}

/// The writer thread: takes what one file has waiting, writes it in one go, until the end. While
/// it writes, the next batch collects.
fn run(shared: &Shared) {
    let mut due = 0;
    while let Some(mut batch) = shared.take(&mut due) {
        let written = batch.file.append(&batch.lines).is_ok();
        shared.settle(batch, written);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::operation::Outcome;

    fn lines(path: &Path) -> Vec<Operation<'static>> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn numbered(number: u64) -> Operation<'static> {
        Operation { seq: Some(number), outcome: Some(Outcome::Ok), ..Operation::new("test.line") }
    }

    /// Goal: whoever must not wait does not, and what is lost is counted. Method: a pipe that nobody
    /// reads stands for a disk that stands still.
    #[test]
    fn a_disk_that_stands_still_costs_lines_and_no_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.jsonl");
        std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        // Without a reader the pipe could not be opened.
        let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let log = OperationLog::open(folder.path(), "server").unwrap().dropping();
        let began = std::time::Instant::now();
        let text = "x".repeat(300);
        let line = Operation { reason: Some(text.as_str().into()), ..numbered(1) };
        let lines = u64::try_from(PENDING_BYTES_MAX / 300 + 1_000).unwrap();
        (0..lines).for_each(|_| log.write(&line));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(log.lines_failed() > 0 && log.is_stalled(), "{}", log.lines_failed());
        // The end waits for the disk; let it go.
        thread::spawn(move || io::copy(&mut &reader, &mut io::sink()));
    }

    /// Goal: nothing is lost and each caller's order is kept. Method: four threads with clones of
    /// one log, then drop, then count.
    #[test]
    fn every_line_of_every_thread_arrives_in_order() {
        const LINES: u64 = 5_000;
        let folder = tempfile::tempdir().unwrap();
        let log = OperationLog::open(folder.path(), "server").unwrap();
        thread::scope(|scope| {
            for conn_id in 0..4 {
                let log = log.clone();
                scope.spawn(move || {
                    for number in 0..LINES {
                        log.write(&Operation { conn_id: Some(conn_id), ..numbered(number) });
                    }
                });
            }
        });
        drop(log);
        let lines = lines(&folder.path().join("server.jsonl"));
        for conn_id in 0..4 {
            let mine = lines.iter().filter(|line| line.conn_id == Some(conn_id));
            assert!(mine.map(|line| line.seq.unwrap()).eq(0..LINES), "connection {conn_id}");
        }
    }

    /// The queue's bound lets callers wait and loses nothing: more bytes than it holds go through.
    #[test]
    fn more_than_the_queue_holds_goes_through() {
        let folder = tempfile::tempdir().unwrap();
        let log = OperationLog::open(folder.path(), "s").unwrap();
        let reason = "x".repeat(250);
        let count = u64::try_from(PENDING_BYTES_MAX / 250 * 2).unwrap();
        for number in 0..count {
            log.write(&Operation { reason: Some(reason.as_str().into()), ..numbered(number) });
        }
        log.flush();
        assert_eq!((log.lines_written(), log.lines_failed()), (count, 0));
        assert!(lines(&folder.path().join("s.jsonl")).iter().map(|l| l.seq.unwrap()).eq(0..count));
    }

    #[test]
    fn flush_puts_what_was_written_before_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = OperationLog::open(folder.path(), "s").unwrap();
        log.write(&numbered(1));
        log.flush();
        assert_eq!(lines(&folder.path().join("s.jsonl")).len(), 1);
    }

    #[test]
    fn one_thread_serves_many_files() {
        let folder = tempfile::tempdir().unwrap();
        let logs = OperationLogs::start(folder.path(), Rotation::default()).unwrap();
        let open: Vec<_> =
            (0..50).map(|number| logs.open(&format!("client-emu-{number:03}")).unwrap()).collect();
        for round in 0..20 {
            for log in &open {
                log.write(&numbered(round));
            }
        }
        drop((logs, open));
        for number in 0..50 {
            let path = folder.path().join(format!("client-emu-{number:03}.jsonl"));
            assert!(lines(&path).iter().map(|line| line.seq.unwrap()).eq(0..20), "{number}");
        }
    }

    #[test]
    fn lines_that_the_disk_refuses_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("gone");
        let log = OperationLog::open(&inner, "s").unwrap();
        fs::remove_dir_all(&inner).unwrap();
        log.write(&numbered(1));
        log.write(&numbered(2));
        log.flush();
        assert_eq!((log.lines_written(), log.lines_failed()), (0, 2));
        fs::create_dir(&inner).unwrap();
        log.write(&numbered(3));
        log.flush();
        assert_eq!((log.lines_written(), log.lines_failed()), (1, 2));
    }

    #[test]
    fn a_disabled_log_takes_everything() {
        let log = OperationLog::disabled();
        log.write(&numbered(1));
        log.flush();
        assert_eq!((log.lines_written(), log.lines_failed(), log.waits()), (0, 0, 0));
    }
}
