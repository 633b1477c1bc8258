//! Segments as the objects themselves tell of them.

use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::object::{Bucket, ObjectInfo};
use crate::segment::{SegmentMeta, last_footer_before, segment_ending_at};

/// Segments of one object. Bounds a walk through damaged bytes; a flush round makes far fewer.
const MAX_SEGMENTS: usize = 1 << 20;

/// What an object says that it holds.
#[derive(Debug, Default)]
pub(super) struct ObjectContents {
    /// Its segments, the last first.
    pub segments: Vec<SegmentMeta>,
    /// Bytes that belong to no segment that could be found, and why.
    pub faults: Vec<String>,
}

/// Walks through an object from its end, from footer to footer. Behind a damaged one it looks for the next that is whole.
pub(super) async fn contents(bucket: &Bucket, object: &ObjectInfo) -> Result<ObjectContents> {
    let path: Arc<str> = object.path.as_str().into();
    let mut found = ObjectContents::default();
    let mut end = object.size;
    while end > 0 && found.segments.len() < MAX_SEGMENTS {
        match segment_ending_at(bucket, &path, end).await {
            Ok(meta) => {
                end = meta.id.offset;
                found.segments.push(meta);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let before = last_footer_before(bucket, &path, end).await?.unwrap_or(0);
                found.faults.push(format!("bytes {before}..{end}: {error}"));
                end = before;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
