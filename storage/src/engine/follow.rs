//! Following a tenant's log appends: each append is handed to those who follow it in the moment in which it becomes
//! visible, whole, once and in order of arrival.
//!
//! A hook in the append rather than a scan that polls: rows may carry any time, so a poll would have to look everywhere for
//! what is new, and a flush moves rows between two of its looks. A hand-over knows neither problem, and costs an
//! append nothing while nobody follows.
//!
//! Who is too slow loses rows, is told which, and keeps no append waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::builder::BinaryBuilder;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::head::{Head, LogRows};
use crate::model::{LabelMatcher, Labels, Timestamp};
use crate::scan::LogBatch;

/// Bytes of rows that wait for one follower; what does not fit is dropped. Two pushes of the size that agents send.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Dropped entries that are remembered by name until the follower asks; further ones are only counted.
const MAX_NAMED_DROPS: usize = 1000;

/// The followers of one lane.
#[derive(Debug, Default)]
pub(super) struct Followers {
    queues: RwLock<Vec<Arc<Queue>>>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct Queue {
    matchers: Vec<LabelMatcher>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<LogBatch>,
    bytes: usize,
    dropped: Dropped,
}

/// Entries that a follower was too slow for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub entries: u64,
    /// The first of them, by stream and time.
    pub named: Vec<(Labels, Timestamp)>,
}

/// Receives the log entries of one tenant that are appended while it lives, of the streams that pass its matchers.
#[derive(Debug)]
pub struct LogFollower {
    queue: Arc<Queue>,
    followers: Arc<Followers>,
}

impl Followers {
    pub fn follow(self: &Arc<Self>, matchers: Vec<LabelMatcher>) -> LogFollower {
        let queue = Arc::new(Queue {
            matchers,
            waiting: Mutex::default(),
            arrived: Notify::new(),
        });
        let mut queues = self.queues.write();
        queues.push(queue.clone());
        self.count.store(queues.len(), Ordering::Release);
        LogFollower {
            queue,
            followers: self.clone(),
        }
    }

    /// Hands rows that `head` has just taken to everybody who follows their streams.
    pub fn publish(&self, head: &Head, rows: &LogRows) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut streams: HashMap<u32, Labels> = HashMap::new();
        for id in &rows.series {
            streams
                .entry(*id)
                .or_insert_with(|| head.index().labels(*id).unwrap_or_default());
        }
        for queue in self.queues.read().iter() {
            let wanted = |labels: &Labels| queue.matchers.iter().all(|m| m.matches_labels(labels));
            let chosen: HashMap<u32, Labels> = streams
                .iter()
                .filter(|(_, labels)| wanted(labels))
                .map(|(id, labels)| (*id, labels.clone()))
                .collect();
            if !chosen.is_empty() {
                queue.push(batch(rows, &chosen));
            }
        }
    }
}

impl Queue {
    fn push(&self, batch: LogBatch) {
        let bytes = batch
            .line_lengths
            .iter()
            .map(|length| *length as usize + 32)
            .sum::<usize>();
        let mut waiting = self.waiting.lock();
        // One batch always fits, whatever its size: the append itself was bounded.
        if waiting.bytes > 0 && waiting.bytes + bytes > MAX_WAITING_BYTES {
            waiting.dropped.add(&batch);
        } else {
            waiting.bytes += bytes;
            waiting.batches.push_back(batch);
        }
        drop(waiting);
        self.arrived.notify_one();
    }
}

impl Dropped {
    fn add(&mut self, batch: &LogBatch) {
        self.entries += batch.len() as u64;
        for (labels, bounds) in batch.streams.iter().zip(batch.offsets.windows(2)) {
            for row in bounds[0]..bounds[1] {
                if self.named.len() >= MAX_NAMED_DROPS {
                    return;
                }
                self.named.push((labels.clone(), batch.timestamps[row as usize]));
            }
        }
    }
}

/// The rows of the `chosen` series, grouped by stream, each stream's in order of arrival.
fn batch(rows: &LogRows, chosen: &HashMap<u32, Labels>) -> LogBatch {
    let mut order: Vec<u32> = (0..rows.series.len() as u32).collect();
    order.retain(|row| chosen.contains_key(&rows.series[*row as usize]));
    // Stable: rows of one stream keep their order.
    order.sort_by_key(|row| rows.series[*row as usize]);
    let mut out = LogBatch {
        streams: Vec::with_capacity(chosen.len()),
        offsets: vec![0],
        timestamps: Vec::with_capacity(order.len()),
        lines: None,
        line_lengths: Vec::with_capacity(order.len()),
        metadata_sets: rows.metadata_sets.clone(),
        metadata: Vec::with_capacity(order.len()),
        derived: Vec::with_capacity(order.len()),
    };
    let mut lines = BinaryBuilder::new();
    let mut last = None;
    for row in order {
        let row = row as usize;
        let id = rows.series[row];
        if last != Some(id) {
            if last.is_some() {
                out.offsets.push(out.timestamps.len() as u32);
            }
            out.streams.push(chosen.get(&id).cloned().unwrap_or_default());
            last = Some(id);
        }
        let start = row.checked_sub(1).map_or(0, |before| rows.line_ends[before]) as usize;
        let line = &rows.bytes[start..rows.line_ends[row] as usize];
        lines.append_value(line);
        out.timestamps.push(rows.times[row]);
        out.line_lengths.push(line.len() as u32);
        out.metadata.push(rows.metadata[row]);
        out.derived.push(rows.derived[row]);
    }
    out.offsets.push(out.timestamps.len() as u32);
    out.lines = Some(lines.finish());
    out
}

impl LogFollower {
    /// The next append's entries, as soon as there are any. Rows of a stream stand in order of arrival, not of time. Nothing
    /// is lost where the future is dropped.
    pub async fn next(&self) -> LogBatch {
        loop {
            if let Some(batch) = self.try_next() {
                return batch;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// As [`LogFollower::next`], without waiting.
    pub fn try_next(&self) -> Option<LogBatch> {
        let mut waiting = self.queue.waiting.lock();
        let batch = waiting.batches.pop_front();
        if waiting.batches.is_empty() {
            waiting.bytes = 0;
        } else if let Some(batch) = &batch {
            let bytes = batch
                .line_lengths
                .iter()
                .map(|length| *length as usize + 32)
                .sum::<usize>();
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
        }
        batch
    }

    /// What was dropped since this was asked last.
    pub fn take_dropped(&self) -> Dropped {
        std::mem::take(&mut self.queue.waiting.lock().dropped)
    }
}

impl Drop for LogFollower {
    fn drop(&mut self) {
        let mut queues = self.followers.queues.write();
        queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.followers.count.store(queues.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow_array::Array;

    use super::*;
    use crate::model::{MatchOp, TenantId};
    use crate::testing::StoreFixture;

    async fn append(storage: &crate::engine::Storage, tenant: &TenantId, rows: &[(&str, i64, &str)]) {
        let mut append = storage.begin_logs(tenant).await.unwrap();
        for (app, time, line) in rows {
            let labels = Labels::from_pairs([("app", app)]);
            let series = append.register(labels.fingerprint(), labels).unwrap();
            append.push(series, *time, line.as_bytes(), &[], Some("info"));
        }
        append.commit().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn followers_get_each_append_once_across_flushes() {
        let storage = StoreFixture::new(3).open().await.unwrap();
        let (tenant, other) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        append(&storage, &tenant, &[("x", 1, "before")]).await;
        let matcher = LabelMatcher::new("app", MatchOp::Equal, "x").unwrap();
        let follower = storage.follow_logs(&tenant, vec![matcher]).unwrap();
        let mut expected = Vec::new();
        for round in 0..6i64 {
            let line = format!("line {round}");
            append(&storage, &tenant, &[("y", 1, "another"), ("x", 10 - round, &line)]).await;
            append(&storage, &other, &[("x", 1, "not mine")]).await;
            expected.push((10 - round, line));
            if round % 2 == 0 {
                storage.flush().await.unwrap();
            }
        }
        let mut got = Vec::new();
        while let Some(batch) = follower.try_next() {
            assert_eq!(batch.streams, [Labels::from_pairs([("app", "x")])]);
            let lines = batch.lines.as_ref().unwrap();
            let derived = &batch.metadata_sets[batch.derived[0] as usize];
            assert_eq!(derived.get("detected_level"), Some("info"));
            got.extend(
                (0..lines.len()).map(|i| (batch.timestamps[i], String::from_utf8(lines.value(i).to_vec()).unwrap())),
            );
        }
        assert_eq!(got, expected);
        assert_eq!(follower.take_dropped(), Dropped::default());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_follower_is_told_what_it_missed() {
        let storage = StoreFixture::new(4).open().await.unwrap();
        let tenant = TenantId::new("a").unwrap();
        let follower = storage.follow_logs(&tenant, Vec::new()).unwrap();
        let line = "z".repeat(MAX_WAITING_BYTES / 2);
        for time in 1..=4 {
            append(&storage, &tenant, &[("x", time, &line)]).await;
        }
        let mut times = Vec::new();
        while let Some(batch) = follower.try_next() {
            times.extend(batch.timestamps);
        }
        let dropped = follower.take_dropped();
        let named: Vec<i64> = dropped.named.iter().map(|(_, time)| *time).collect();
        assert_eq!((times, named, dropped.entries), (vec![1], vec![2, 3, 4], 3));
        append(&storage, &tenant, &[("x", 5, &line)]).await;
        assert_eq!(follower.next().await.timestamps, [5]);
    }
}
