//! Group commit: appends queue up, one thread writes what has queued as one group with one sync, and answers each.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::body::RowsBody;
use super::files::{FileSet, LaneKey, WalFileInfo, file_path};
use super::pace::Pace;
use super::writer::LogWriter;
use crate::catalog::WalPosition;
use crate::error::{Error, ErrorKind, Result};
use crate::file::{SharedFiles, disk_error};
use crate::model::{Labels, TimeRange};

/// Bodies written as one group at most; a group is one write call and one buffer.
const MAX_GROUP_BYTES: usize = 16 << 20;

/// Rows that wait to become durable.
///
/// Once they are, [`PendingRows::make_visible`] is called exactly once, whether or not anybody still waits for the answer:
/// a client that went away must not leave rows that are in the log and in no head. When they cannot be made durable, the
/// value is dropped without that call.
pub trait PendingRows: Send + Sync + Debug {
    /// Whose rows.
    fn lane(&self) -> &LaneKey;
    /// Bounds of the rows.
    fn time_range(&self) -> TimeRange;
    /// Ids of their series, repeats included: those of rows, and those of exemplars.
    fn series(&self) -> [&[u32]; 2];
    /// Which index the ids belong to.
    fn index_generation(&self) -> u64;
    /// The labels of a series.
    fn labels(&self, id: u32) -> Labels;
    /// The rows record's body, from [`super::encode_rows`].
    fn body(&self) -> &RowsBody;
    /// Gives the rows to the head.
    fn make_visible(&mut self);
}

/// Rows that are durable: dropping this makes them visible.
#[derive(Debug)]
struct Durable(Box<dyn PendingRows>);

impl Drop for Durable {
    fn drop(&mut self) {
        self.0.make_visible();
    }
}

#[derive(Debug)]
struct Request {
    rows: Box<dyn PendingRows>,
    answer: oneshot::Sender<Result<Durable>>,
}

/// Who writes what has queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalThread {
    /// A thread of the log's own; appends that wait at one time share a sync.
    #[default]
    Own,
    /// Each append writes its own group before it first yields. It blocks its caller, and what happens depends on no other
    /// thread: for simulations.
    Caller,
}

/// How the log is written.
#[derive(Clone, Debug)]
pub struct WalSettings {
    /// Its folder.
    pub dir: PathBuf,
    /// `None`: each group is synced before it is answered. Otherwise the file is synced this often.
    pub sync_interval: Option<Duration>,
    /// Size at which the next file is begun.
    pub max_file_bytes: u64,
    /// Who writes.
    pub thread: WalThread,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalCounters {
    /// Records written.
    pub records: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Groups written; with `wal.sync = always` each is one sync.
    pub groups: u64,
    /// Failed writes and syncs.
    pub errors: u64,
}

#[derive(Debug)]
struct WalShared {
    files: SharedFiles,
    dir: PathBuf,
    set: FileSet,
    /// Where the next record will stand.
    end: Mutex<WalPosition>,
    records: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
    errors: AtomicU64,
}

/// The log, open for appends. Dropping it ends its thread after what is queued.
#[derive(Debug)]
pub struct Wal {
    shared: Arc<WalShared>,
    queue: Mutex<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where appends go.
#[derive(Debug)]
enum Queue {
    /// To the log's thread.
    Thread(Sender<Request>),
    /// Into the log, on the caller's thread.
    Direct(Box<Committer>),
    /// Nowhere: the log is closed.
    Closed,
}

impl Wal {
    /// Starts the log behind the files that replay found. The first append begins a new file: files of earlier runs are
    /// never appended to.
    pub fn start(
        files: SharedFiles,
        settings: WalSettings,
        existing: Vec<WalFileInfo>,
        next_number: u64,
    ) -> Result<Wal> {
        let previous = existing.last().map_or((0, 0), |f| (f.number, f.len));
        let writer = LogWriter::new(
            files.clone(),
            settings.dir.clone(),
            settings.max_file_bytes,
            previous,
            next_number,
        );
        let shared = Arc::new(WalShared {
            files,
            dir: settings.dir.clone(),
            set: FileSet::new(existing),
            end: Mutex::new(writer.position()),
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
            groups: AtomicU64::default(),
            errors: AtomicU64::default(),
        });
        let committer = Committer {
            shared: shared.clone(),
            writer,
            sync_interval: settings.sync_interval,
            pace: Pace::default(),
        };
        let (queue, thread) = match settings.thread {
            WalThread::Caller => (Queue::Direct(Box::new(committer)), None),
            WalThread::Own => {
                let (sender, receiver) = channel();
                let thread = std::thread::Builder::new()
                    .name("garner-wal".into())
                    .spawn(move || committer.run(&receiver))
                    .map_err(|e| Error::with_source(ErrorKind::Unavailable, "cannot start the WAL thread", e))?;
                (Queue::Thread(sender), Some(thread))
            }
        };
        Ok(Wal {
            shared,
            queue: Mutex::new(queue),
            thread: Mutex::new(thread),
        })
    }

    /// Returns once the rows are durable (as the settings say) and visible. On an error neither is the case.
    pub async fn append(&self, rows: Box<dyn PendingRows>) -> Result<()> {
        let closed = || Error::new(ErrorKind::Closed, "the WAL is closed");
        let (answer, outcome) = oneshot::channel();
        let request = Request { rows, answer };
        match &mut *self.queue.lock() {
            Queue::Thread(sender) => sender.send(request).map_err(|_| closed())?,
            Queue::Direct(committer) => {
                let mut group = Group::default();
                group.add(request);
                committer.commit(group);
            }
            Queue::Closed => return Err(closed()),
        }
        let durable = outcome.await.map_err(|_| closed())??;
        drop(durable);
        Ok(())
    }

    /// Where the next record will stand, or before: every record written from now on is at or behind it, every record
    /// answered before it.
    pub fn position(&self) -> WalPosition {
        *self.shared.end.lock()
    }

    /// Removes the oldest files as far as `committed` says that the catalog has their rows. Blocks on the disk. Returns
    /// how many went; one that cannot be removed is left for the next start, which finds that it is not needed.
    pub fn truncate(&self, committed: &dyn Fn(&LaneKey) -> Option<WalPosition>) -> Result<u64> {
        let numbers = self.shared.set.take_committed(committed);
        for number in &numbers {
            let path = file_path(&self.shared.dir, *number);
            self.shared
                .files
                .remove(&path)
                .map_err(|e| disk_error("cannot remove WAL file", &path, e))?;
        }
        if !numbers.is_empty() {
            let dir = &self.shared.dir;
            self.shared
                .files
                .sync_dir(dir)
                .map_err(|e| disk_error("cannot sync WAL folder", dir, e))?;
        }
        Ok(numbers.len() as u64)
    }

    /// Lanes whose rows keep the oldest file from being removed.
    pub fn oldest_lanes(&self, committed: &dyn Fn(&LaneKey) -> Option<WalPosition>) -> Vec<LaneKey> {
        self.shared.set.oldest_lanes(committed)
    }

    /// Number of files on disk and their bytes.
    pub fn size(&self) -> (u64, u64) {
        self.shared.set.size()
    }

    /// Counters since the start.
    pub fn counters(&self) -> WalCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WalCounters {
            records: get(&self.shared.records),
            bytes: get(&self.shared.bytes),
            groups: get(&self.shared.groups),
            errors: get(&self.shared.errors),
        }
    }

    /// Writes what is queued and ends the thread; later appends fail with [`ErrorKind::Closed`]. Blocks.
    pub fn close(&self) {
        let queue = std::mem::replace(&mut *self.queue.lock(), Queue::Closed);
        match queue {
            Queue::Direct(committer) => committer.finish(),
            // The sender must go before the thread is waited for: its end is what ends the thread.
            gone @ (Queue::Thread(_) | Queue::Closed) => drop(gone),
        }
        if let Some(thread) = self.thread.lock().take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the WAL thread panicked");
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

/// Appends that are written together.
#[derive(Default)]
struct Group {
    rows: Vec<Box<dyn PendingRows>>,
    answers: Vec<oneshot::Sender<Result<Durable>>>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, request: Request) {
        self.bytes += request.rows.body().size_bytes();
        self.rows.push(request.rows);
        self.answers.push(request.answer);
    }
}

#[derive(Debug)]
struct Committer {
    shared: Arc<WalShared>,
    writer: LogWriter,
    sync_interval: Option<Duration>,
    pace: Pace,
}

impl Committer {
    fn run(mut self, queue: &Receiver<Request>) {
        let mut arrived = Vec::new();
        loop {
            if arrived.is_empty() {
                arrived.extend(self.next(queue));
            }
            if arrived.is_empty() {
                break;
            }
            let group = self.gather(std::mem::take(&mut arrived), queue);
            let (written, begun) = (group.rows.len(), Instant::now());
            self.commit(group);
            let took = begun.elapsed();
            let mut bytes = 0;
            while bytes < MAX_GROUP_BYTES
                && let Ok(request) = queue.try_recv()
            {
                bytes += request.rows.body().size_bytes();
                arrived.push(request);
            }
            self.pace.note(written, arrived.len(), took);
        }
        self.finish();
    }

    fn finish(mut self) {
        self.sync();
        // Nothing is written any more: the last file may go like every other.
        self.shared.set.close_last();
    }

    /// The group that `arrived` begins, which is not empty.
    fn gather(&mut self, arrived: Vec<Request>, queue: &Receiver<Request>) -> Group {
        let mut group = Group::default();
        arrived.into_iter().for_each(|request| group.add(request));
        // Without a sync to share there is nothing to wait for.
        let patience = match self.sync_interval {
            None => self.pace.patience(),
            Some(_) => Duration::ZERO,
        };
        let begun = Instant::now();
        while group.bytes < MAX_GROUP_BYTES {
            let left = match group.rows.len() < self.pace.expected() {
                true => patience.saturating_sub(begun.elapsed()),
                false => Duration::ZERO,
            };
            let more = match left.is_zero() {
                true => queue.try_recv().ok(),
                false => queue.recv_timeout(left).ok(),
            };
            match more {
                Some(request) => group.add(request),
                None => break,
            }
        }
        group
    }

    /// The next request; syncs whenever the interval passes without one. `None` once the log is closed.
    fn next(&mut self, queue: &Receiver<Request>) -> Option<Request> {
        let Some(interval) = self.sync_interval else {
            return queue.recv().ok();
        };
        loop {
            match queue.recv_timeout(interval) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn commit(&mut self, Group { rows, answers, bytes }: Group) {
        let outcome = self
            .writer
            .write_group(&rows, self.sync_interval.is_none(), &self.shared.set);
        *self.shared.end.lock() = self.writer.position();
        match outcome {
            Ok(()) => {
                self.shared.records.fetch_add(rows.len() as u64, Ordering::Relaxed);
                self.shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.shared.groups.fetch_add(1, Ordering::Relaxed);
                for (rows, answer) in rows.into_iter().zip(answers) {
                    // Where nobody waits any more, the value comes back, and its drop makes the rows visible here.
                    drop(answer.send(Ok(Durable(rows))));
                }
            }
            Err(error) => {
                self.shared.errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, appends = rows.len(), "WAL write failed; these appends are refused");
                drop(rows);
                for answer in answers {
                    drop(answer.send(Err(Error::new(error.kind(), error.to_string()))));
                }
            }
        }
    }

    fn sync(&mut self) {
        if let Err(error) = self.writer.sync(&self.shared.set) {
            self.shared.errors.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "WAL sync failed; rows since the last sync would not survive a power loss before they are flushed");
            *self.shared.end.lock() = self.writer.position();
        }
    }
}
