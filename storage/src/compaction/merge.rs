//! Merges the inputs of some jobs into segments of one object.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt, stream};

use super::input::Input;
use super::job::Job;
use super::merge_logs::merge_logs;
use super::merge_samples::merge_samples;
use super::pace::Pace;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::QueryMemory;
use crate::model::{Labels, Signal, Timestamp};
use crate::object::{Bucket, ObjectWriter};
use crate::retention::RetentionAt;
use crate::scan::{Held, ScanContext, SeriesSource};
use crate::segment::{SegmentBytes, SegmentId, SegmentMeta, WholeSegment};

/// Segments opened at the same time.
const PARALLEL_OPENS: usize = 8;
/// Bytes of rows after which the allocator is asked for what was freed: windows, batches and parts of an object come and go,
/// and left alone it keeps several times what is held at one time.
const GIVE_BACK_EVERY: usize = 32 << 20;

/// What merging works with.
pub(crate) struct MergeContext<'a> {
    pub bucket: &'a Bucket,
    pub memory: QueryMemory,
    pub pace: &'a Pace,
    pub retention: &'a RetentionAt,
    /// Asked now and then; ends the merge.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
    /// Gives freed memory back to the system.
    pub give_back_memory: fn(),
}

/// The segments of an object, which is not finished yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Merged {
    pub segments: Vec<SegmentMeta>,
    /// Bytes read from the object store.
    pub bytes_read: u64,
    /// Rows left out since they had expired.
    pub rows_expired: u64,
}

/// Why a merge came to nothing.
#[derive(Debug)]
pub(crate) struct MergeFailure {
    pub error: Error,
    /// Number of the job that failed.
    pub job: usize,
    /// Inputs that cannot be read, and why.
    pub damaged: Vec<(SegmentId, String)>,
}

/// Merges each of `jobs` into one segment, or none where no row is left, and writes them to `out` one behind the other.
/// After a failure `out` holds half a segment and must be given up.
pub(crate) async fn merge(
    context: &MergeContext<'_>,
    jobs: &[Job],
    out: &mut ObjectWriter,
) -> std::result::Result<Merged, MergeFailure> {
    let mut merged = Merged::default();
    for (number, job) in jobs.iter().enumerate() {
        let mut opened = Vec::new();
        if let Err(error) = merge_job(context, job, &mut opened, out, &mut merged).await {
            let damaged = opened.iter().filter_map(|segment| match segment {
                Opened::Whole(segment) => segment.damage().map(|reason| (segment.meta().id.clone(), reason)),
                Opened::Damaged(id, reason) => Some((id.clone(), reason.clone())),
            });
            return Err(MergeFailure {
                error,
                job: number,
                damaged: damaged.collect(),
            });
        }
    }
    Ok(merged)
}

enum Opened {
    Whole(Arc<WholeSegment>),
    Damaged(SegmentId, String),
}

async fn merge_job(
    context: &MergeContext<'_>,
    job: &Job,
    opened: &mut Vec<Opened>,
    out: &mut ObjectWriter,
    merged: &mut Merged,
) -> Result<()> {
    let scan = ScanContext::passing(context.memory.clone(), Arc::default());
    open(context, job, &scan, opened).await?;
    let mut inputs: Vec<Input> = Vec::with_capacity(opened.len());
    for (number, segment) in opened.iter().enumerate() {
        let deleted = job.deleted.get(number).cloned().flatten();
        match segment {
            Opened::Whole(segment) => inputs.push(Input::new(Arc::clone(segment), deleted)),
            Opened::Damaged(_, reason) => return Err(Error::new(ErrorKind::Corrupt, reason.clone())),
        }
    }
    // Newest first, as in a view: what came first stays first.
    inputs.sort_by(|a, b| b.segment.meta().id.cmp(&a.segment.meta().id));
    let mut held = Held::new(&context.memory);
    let fixed = inputs.iter().map(|i| i.segment.size_bytes()).sum::<u64>() + ObjectWriter::MAX_HELD_BYTES;
    held.set(fixed as usize)?;
    let merging = Merging {
        job,
        sources: inputs.iter().map(Input::source).collect(),
        inputs,
        scan,
        pace: context.pace,
        retention: context.retention,
        is_stopped: context.is_stopped,
        give_back_memory: context.give_back_memory,
        merged_bytes: AtomicUsize::new(0),
    };
    let mut output = Output {
        start: out.len(),
        out,
        held: Held::new(&context.memory),
        rows_expired: 0,
    };
    let finished = match job.signal {
        Signal::Metrics => merge_samples(&merging, &mut output).await?,
        Signal::Logs => merge_logs(&merging, &mut output).await?,
    };
    merged.rows_expired += output.rows_expired;
    if let Some(segment) = finished {
        let path: Arc<str> = output.out.path().into();
        output.out.write(&segment.bytes).await?;
        merged.segments.push(segment.meta.at(path, output.start));
    }
    merged.bytes_read += merging.inputs.iter().map(|i| i.segment.bytes_read()).sum::<u64>();
    Ok(())
}

/// Opens all inputs; those that cannot be read are named, whatever becomes of the others.
async fn open(context: &MergeContext<'_>, job: &Job, scan: &ScanContext, segments: &mut Vec<Opened>) -> Result<()> {
    let opens = job.inputs.iter().map(|meta| async move {
        match WholeSegment::open(context.bucket.clone(), Arc::clone(meta), scan).await {
            Ok(segment) => Ok(Opened::Whole(Arc::new(segment))),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                Ok(Opened::Damaged(meta.id.clone(), error.to_string()))
            }
            Err(error) => Err(error),
        }
    });
    let opens: Vec<_> = opens.map(futures::FutureExt::boxed).collect();
    let mut opened = stream::iter(opens).buffered(PARALLEL_OPENS);
    while let Some(segment) = opened.try_next().await? {
        segments.push(segment);
    }
    Ok(())
}

/// One job on its way.
pub(super) struct Merging<'a> {
    pub job: &'a Job,
    /// Newest first.
    pub inputs: Vec<Input>,
    /// Theirs.
    pub sources: Vec<Arc<dyn SeriesSource>>,
    pub scan: ScanContext,
    pace: &'a Pace,
    retention: &'a RetentionAt,
    is_stopped: &'a (dyn Fn() -> bool + Sync),
    give_back_memory: fn(),
    /// Of rows, so far.
    merged_bytes: AtomicUsize,
}

impl Merging<'_> {
    pub fn cutoff(&self, labels: &Labels) -> Timestamp {
        self.retention.cutoff(&self.job.tenant, self.job.signal, labels)
    }

    /// Accounts for work on `bytes` of rows and lets others have their turn; an error where the store closes.
    pub async fn pace(&self, bytes: usize) -> Result<()> {
        let before = self.merged_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before / GIVE_BACK_EVERY != before.saturating_add(bytes) / GIVE_BACK_EVERY {
            (self.give_back_memory)();
        }
        self.pace.spend(bytes as u64).await;
        if (self.is_stopped)() {
            return Err(Error::new(ErrorKind::Closed, "compaction stops since the store closes"));
        }
        Ok(())
    }
}

/// Where a job's segment goes.
pub(super) struct Output<'a> {
    out: &'a mut ObjectWriter,
    start: u64,
    /// What the segment writer holds.
    held: Held,
    pub rows_expired: u64,
}

impl Output<'_> {
    /// Passes finished pages on, and accounts for what the writer still holds.
    pub async fn pass_on(&mut self, bytes: Vec<u8>, writer_bytes: usize) -> Result<()> {
        self.held.set(writer_bytes)?;
        self.out.write(&bytes).await
    }
}

/// What the segment writers leave when they are finished.
pub(super) type Finished = Option<SegmentBytes>;
