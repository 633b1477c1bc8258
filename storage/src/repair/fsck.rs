//! Checks everything in a bucket: the catalog, its invariants, every live segment down to its rows, and what lies beside.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::objects::contents;
use super::progress::Progress;
use crate::catalog::{Salvage, broken_invariants, salvage};
use crate::error::Result;
use crate::memory::MemoryAccountant;
use crate::object::paths::SEGMENTS_PREFIX;
use crate::object::{Bucket, ObjectInfo};
use crate::segment::{Depth, SegmentMeta, verify};

/// Segments checked at the same time: reads wait for the store, decoding for the processor.
const PARALLEL_SEGMENTS: usize = 4;

/// How thorough a check is.
#[derive(Clone, Debug)]
pub struct FsckOptions {
    /// Verifies checksums only, instead of decoding every row as well.
    pub quick: bool,
    /// Memory that the check may use.
    pub memory_limit_bytes: u64,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Object, and segment in it.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct FsckReport {
    /// Version of the catalog, as far as it can be read.
    pub catalog_version: u64,
    /// Objects of the catalog.
    pub catalog_objects: usize,
    /// Objects with segments.
    pub objects: usize,
    /// Live segments checked; where the catalog is damaged, all that were found.
    pub segments: usize,
    /// Their rows, as the catalog or their footers say.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Deletes that the catalog lists.
    pub deletes: usize,
    /// What is wrong with the catalog: it should be rebuilt.
    pub catalog_faults: Vec<Fault>,
    /// What is wrong with segments.
    pub faults: Vec<Fault>,
    /// Objects that no live segment lies in: left by a flush that was cut short, or waiting to be removed. No fault.
    pub orphans: Vec<ObjectInfo>,
}

impl FsckReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.catalog_faults.is_empty() && self.faults.is_empty()
    }
}

/// Checks everything and changes nothing. An error says that the bucket could not be read; whatever is wrong in it is in
/// the report. The bucket should have no writer meanwhile: what comes and goes may look like faults.
pub async fn fsck(bucket: &Bucket, options: &FsckOptions, progress: &dyn Progress) -> Result<FsckReport> {
    progress.stage("reading the catalog", 0);
    let catalog = salvage(bucket).await?;
    progress.stage("listing objects", 0);
    let objects = bucket.list(SEGMENTS_PREFIX, None).await?;
    let mut report = FsckReport {
        catalog_version: catalog.state.version().0,
        catalog_objects: catalog.objects,
        objects: objects.len(),
        deletes: catalog.state.all_deletes().map(|deletes| deletes.all().count()).sum(),
        catalog_faults: catalog_faults(&catalog, &objects),
        ..FsckReport::default()
    };
    let mut live: Vec<Arc<SegmentMeta>> = catalog.state.all_segments().cloned().collect();
    for object in &objects {
        if catalog.state.is_object_live(&object.path) {
            continue;
        }
        if report.catalog_faults.is_empty() {
            report.orphans.push(object.clone());
            continue;
        }
        // The catalog cannot say whether it is live: check what it holds.
        let found = contents(bucket, object).await?;
        report.faults.extend(found.faults.into_iter().map(|what| Fault {
            place: object.path.clone(),
            what,
        }));
        live.extend(found.segments.into_iter().map(Arc::new));
    }
    let (present, missing) = present(live, &objects);
    report.faults.extend(missing);
    report.segments = present.len();
    report.rows = present.iter().map(|meta| meta.rows).sum();
    report.bytes = present.iter().map(|meta| meta.len).sum();
    let depth = if options.quick { Depth::Checksums } else { Depth::Rows };
    report
        .faults
        .extend(check_segments(bucket, present, depth, options, progress).await?);
    report.faults.sort();
    report.faults.dedup();
    Ok(report)
}

/// The faults of segments that are there.
pub(super) async fn check_segments(
    bucket: &Bucket,
    segments: Vec<Arc<SegmentMeta>>,
    depth: Depth,
    options: &FsckOptions,
    progress: &dyn Progress,
) -> Result<Vec<Fault>> {
    progress.stage("checking segments", segments.iter().map(|meta| meta.len).sum());
    let memory = MemoryAccountant::new(options.memory_limit_bytes).query(options.memory_limit_bytes);
    let checks = segments.into_iter().map(|meta| {
        let memory = &memory;
        async move {
            // Bytes that are read twice count once.
            let told = std::sync::atomic::AtomicU64::new(0);
            let advance = |bytes: u64| {
                let before = told.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                progress.advance(bytes.min(meta.len.saturating_sub(before)));
            };
            let faults = verify(bucket, &meta, depth, memory, &advance).await?;
            advance(meta.len);
            let place = meta.place();
            Ok::<_, crate::Error>(faults.into_iter().map(move |what| Fault {
                place: place.clone(),
                what,
            }))
        }
    });
    let faults: Vec<_> = stream::iter(checks)
        .buffer_unordered(PARALLEL_SEGMENTS)
        .try_collect()
        .await?;
    Ok(faults.into_iter().flatten().collect())
}

/// Splits segments into those whose bytes are all there, and faults for the others.
pub(super) fn present(segments: Vec<Arc<SegmentMeta>>, objects: &[ObjectInfo]) -> (Vec<Arc<SegmentMeta>>, Vec<Fault>) {
    let sizes: HashMap<&str, u64> = objects.iter().map(|o| (o.path.as_str(), o.size)).collect();
    let mut faults = Vec::new();
    let mut present: BTreeMap<_, Arc<SegmentMeta>> = BTreeMap::new();
    for meta in segments {
        let end = meta.id.offset.saturating_add(meta.len);
        let what = match sizes.get(&*meta.id.object) {
            None => "the object is missing".to_string(),
            Some(size) if *size < end => format!("the object has {size} bytes, the segment ends at {end}"),
            Some(_) => {
                present.insert(meta.id.clone(), meta);
                continue;
            }
        };
        faults.push(Fault {
            place: meta.place(),
            what,
        });
    }
    (present.into_values().collect(), faults)
}

fn catalog_faults(catalog: &Salvage, objects: &[ObjectInfo]) -> Vec<Fault> {
    let fault = |place: &str, what: &str| Fault {
        place: place.to_string(),
        what: what.to_string(),
    };
    let mut faults: Vec<Fault> = catalog.faults.iter().map(|(place, what)| fault(place, what)).collect();
    let broken = broken_invariants(&catalog.state);
    faults.extend(broken.iter().map(|what| fault("catalog", what)));
    if catalog.objects == 0 && !objects.is_empty() {
        faults.push(fault("catalog", "there is none, but there are segments"));
    }
    faults
}
