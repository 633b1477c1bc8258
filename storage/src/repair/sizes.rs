//! What the bytes of a store are spent on.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::progress::Progress;
use crate::catalog::salvage;
use crate::error::{ErrorKind, Result};
use crate::model::{Signal, TenantId};
use crate::object::Bucket;
use crate::segment::{SegmentSizes, stored_sizes};

/// Segments asked at the same time.
const PARALLEL_SEGMENTS: usize = 16;

/// Segments that are told of together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizesOf {
    /// Whose rows.
    pub tenant: TenantId,
    /// Logs or metrics.
    pub signal: &'static str,
    /// How often compacted.
    pub level: u8,
}

/// The live segments of a bucket by tenant, signal and level; reads the tail of each. A damaged one is left out.
pub async fn store_sizes(bucket: &Bucket, progress: &dyn Progress) -> Result<BTreeMap<SizesOf, SegmentSizes>> {
    progress.stage("reading the catalog", 0);
    let catalog = salvage(bucket).await?;
    let segments: Vec<_> = catalog.state.all_segments().cloned().collect();
    progress.stage("reading segments", segments.len() as u64);
    let asked = segments.into_iter().map(|meta| async move {
        let sizes = match stored_sizes(bucket, &meta).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                tracing::warn!(%error, "a segment is left out of the sizes");
                SegmentSizes::default()
            }
            sizes => sizes?,
        };
        progress.advance(1);
        let of = SizesOf {
            tenant: meta.tenant.clone(),
            signal: Signal::as_str(meta.signal),
            level: meta.level,
        };
        Ok::<_, crate::Error>((of, sizes))
    });
    let found: Vec<(SizesOf, SegmentSizes)> = stream::iter(asked)
        .buffer_unordered(PARALLEL_SEGMENTS)
        .try_collect()
        .await?;
    let mut out: BTreeMap<SizesOf, SegmentSizes> = BTreeMap::new();
    for (of, sizes) in found {
        out.entry(of).or_default().add(&sizes);
    }
    Ok(out)
}
