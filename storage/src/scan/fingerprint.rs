//! What decides the rows that a request finds, where they cannot change any more.

use crate::deletes::TombstoneId;
use crate::model::{TimeRange, Timestamp};
use crate::segment::SegmentId;

/// An immutable source: a segment, and what deletes hide of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceIdentity {
    /// The segment.
    pub segment: SegmentId,
    /// The deletes that cover it.
    pub deletes: Vec<TombstoneId>,
}

/// What a request's rows rest on in a view whose recent rows have no part in them: the segments that overlap its time, each
/// under which deletes, in the view's order, and where retention cuts them. Of two views with the same fingerprint for a
/// request, the request finds the same rows in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    sources: Vec<SourceIdentity>,
    /// Where retention hides rows of the sources that the request asks for: before this.
    cutoff: Option<Timestamp>,
}

impl Fingerprint {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds the next source, whose rows are in `rows`, to that of a request for `asked` of which `cutoff` is left.
    pub(super) fn push(&mut self, source: SourceIdentity, rows: TimeRange, asked: TimeRange, cutoff: Timestamp) {
        if rows.start < cutoff && asked.start < cutoff {
            self.cutoff = Some(cutoff);
        }
        self.sources.push(source);
    }

    /// Whether no source has a part in it.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Heap bytes, about.
    pub fn size_bytes(&self) -> usize {
        let of_source = |s: &SourceIdentity| size_of::<SourceIdentity>() + s.deletes.len() * size_of::<TombstoneId>();
        self.sources.iter().map(of_source).sum()
    }
}
