//! What is asked for: bytes that are verified on their own, and which of them one read takes together.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of one read; a single larger range is still one read.
pub(crate) const MAX_READ_BYTES: u64 = 8 << 20;

/// How bytes show that they are whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// By their xxh3.
    Checksum(u64),
    /// By what they hold.
    Content(fn(&[u8]) -> bool),
}

/// Bytes of a segment, counted from its first.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub range: Range<u64>,
    pub check: Check,
}

impl Extent {
    /// The bytes of `range`, whose xxh3 is `checksum`.
    pub fn new(range: Range<u64>, checksum: u64) -> Self {
        Extent {
            range,
            check: Check::Checksum(checksum),
        }
    }

    pub fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    pub fn is_whole(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.len()
            && match self.check {
                Check::Checksum(checksum) => xxh3_64(bytes) == checksum,
                Check::Content(check) => check(bytes),
            }
    }
}

/// Whether `next`, which does not begin before `read`, is read along with it, where up to `max_gap` bytes may lie between
/// them that nobody wants.
pub(crate) fn joins(read: &Range<u64>, next: &Range<u64>, max_gap: u64) -> bool {
    next.start >= read.start
        && next.start.saturating_sub(read.end) <= max_gap
        && next.end.saturating_sub(read.start) <= MAX_READ_BYTES
}

/// The reads for these of `extents`, each with those that it serves.
pub(crate) fn coalesce(extents: &[Extent], mut wanted: Vec<usize>, max_gap: u64) -> Vec<(Range<u64>, Vec<usize>)> {
    wanted.sort_by_key(|i| extents[*i].range.start);
    let mut reads: Vec<(Range<u64>, Vec<usize>)> = Vec::new();
    for i in wanted {
        let range = &extents[i].range;
        match reads.last_mut() {
            Some((read, served)) if joins(read, range, max_gap) => {
                read.end = read.end.max(range.end);
                served.push(i);
            }
            _ => reads.push((range.clone(), vec![i])),
        }
    }
    reads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_apart_is_asked_for_apart_where_that_is_cheap() {
        let extents: Vec<Extent> = [0..10u64, 10..20, 120..130, 131..140]
            .map(|range| Extent::new(range, 0))
            .into();
        let reads = |max_gap| coalesce(&extents, vec![3, 0, 2, 1], max_gap);
        assert_eq!(reads(100), [(0..140, vec![0, 1, 2, 3])]);
        assert_eq!(reads(99), [(0..20, vec![0, 1]), (120..140, vec![2, 3])]);
        assert_eq!(
            reads(0),
            [(0..20, vec![0, 1]), (120..130, vec![2]), (131..140, vec![3])]
        );
    }
}
