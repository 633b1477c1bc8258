//! Where a log scan cuts time: slabs that touch a bounded number of rows.
//!
//! Rows lie in pieces (pages, or a series' rows in a source), which are decoded whole. A cut through a piece makes it be
//! decoded for both slabs, so a slab grows until it holds at least as many rows as its cut touches twice; then no row is
//! decoded more than about three times, however long the pieces and however many streams run side by side:
//!
//! ```text
//! stream a   |---page---|---page---|--page--|
//! stream b   |------page------|------page------|
//! time       +------+-------------+------------+
//!             first       the cuts follow the ends of pages where they can
//! ```
//!
//! Unless streams are read one by one, the first slab is small and ignores that rule, since most queries want the newest
//! hundred lines.

use super::{LogOrder, RowBounds};
use crate::model::{TimeRange, Timestamp};

/// Rows of the first slab.
const FIRST_ROWS: f64 = 4096.0;
/// Rows a later slab aims at.
pub(super) const TARGET_ROWS: u64 = 64 << 10;
/// How much larger each slab may be than the one before it, until the target is reached.
const GROWTH: f64 = 4.0;
/// A piece of time is taken whole where it brings at most this much more than was wanted.
const TOLERANCE: f64 = 1.25;
/// No piece has more rows; keeps sums of statistics from overflowing, whatever is in them.
const MAX_PIECE_ROWS: u64 = 1 << 40;

/// Cuts the range of a scan into slabs, one after the other.
#[derive(Debug)]
pub(super) struct SlabPlanner {
    /// Ends of all pieces inside the range, and the range's own.
    bounds: Vec<Timestamp>,
    intervals: Vec<Interval>,
    /// Rows of the pieces on both sides of a bound.
    crossing: Vec<u64>,
    rest: TimeRange,
    backward: bool,
    wanted: f64,
    first: bool,
}

/// The time between two neighbouring bounds.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    /// Rows, if each piece spreads its rows evenly.
    rows: f64,
    /// All rows of the pieces that reach in.
    touched: u64,
}

/// A slab and about how many rows it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slab {
    pub range: TimeRange,
    pub rows: u64,
}

impl SlabPlanner {
    /// Cuts `range`, in which `pieces` lie, for slabs in this order.
    pub fn new(range: TimeRange, pieces: &[RowBounds], order: LogOrder) -> Self {
        let small_first = order != LogOrder::Streams;
        let clipped = || {
            pieces
                .iter()
                .map(|p| (p, p.range.intersect(&range)))
                .filter(|(_, r)| !r.is_empty())
        };
        let mut bounds: Vec<Timestamp> = clipped().flat_map(|(_, r)| [r.start, r.end]).collect();
        bounds.extend([range.start, range.end]);
        bounds.sort_unstable();
        bounds.dedup();

        // Rates change at the bounds only: what starts and ends there is summed up from left to right.
        let mut starts = vec![(0.0, 0u64); bounds.len()];
        let mut ends = starts.clone();
        let index = |time: Timestamp| bounds.partition_point(|b| *b < time);
        for (piece, inside) in clipped() {
            let rows = piece.rows.min(MAX_PIECE_ROWS);
            let per_nano = rows as f64 / nanos(piece.range);
            let (start, end) = (index(inside.start), index(inside.end));
            starts[start].0 += per_nano;
            starts[start].1 += rows;
            ends[end].0 += per_nano;
            ends[end].1 += rows;
        }
        let (mut per_nano, mut touched) = (0.0f64, 0u64);
        let mut intervals = Vec::with_capacity(bounds.len());
        let mut crossing = vec![0];
        for (i, pair) in bounds.windows(2).enumerate() {
            per_nano += starts[i].0;
            touched += starts[i].1;
            intervals.push(Interval {
                // Sums of floats leave a speck where everything has ended.
                rows: if touched == 0 {
                    0.0
                } else {
                    per_nano.max(0.0) * nanos(TimeRange::new(pair[0], pair[1]))
                },
                touched,
            });
            per_nano -= ends[i + 1].0;
            touched -= ends[i + 1].1;
            crossing.push(touched);
        }
        SlabPlanner {
            bounds,
            intervals,
            crossing,
            rest: range,
            backward: order == LogOrder::Backward,
            wanted: if small_first { FIRST_ROWS } else { TARGET_ROWS as f64 },
            first: small_first,
        }
    }

    /// As [`SlabPlanner::next`], where a filter keeps one of `rows_a_row_kept` rows of the slab before: the next one grows by
    /// as much, so that a rare text is not searched for in pages that are cut again and again.
    pub fn next_filtered(&mut self, max_rows: u64, rows_a_row_kept: u64) -> Option<Slab> {
        if !self.first {
            self.wanted = self.wanted.max(FIRST_ROWS * rows_a_row_kept as f64);
        }
        self.next(max_rows.saturating_mul(rows_a_row_kept))
    }

    /// The next slab, of at most about `max_rows` rows; `None` when all time has been given out.
    pub fn next(&mut self, max_rows: u64) -> Option<Slab> {
        if self.rest.is_empty() {
            return None;
        }
        let max_rows = max_rows.max(1) as f64;
        let wanted = |touched: u64| match self.first {
            true => self.wanted.min(max_rows),
            false => self.wanted.max(touched as f64).min(max_rows),
        };
        let mut rows = 0.0;
        let mut rest = self.rest;
        while !rest.is_empty() {
            let (i, near) = self.near_interval(rest);
            let interval = self.intervals[i];
            let near_rows = interval.rows * nanos(near) / nanos(TimeRange::new(self.bounds[i], self.bounds[i + 1]));
            let limit = wanted(interval.touched);
            if rows + near_rows > limit * TOLERANCE {
                rest = self.cut(rest, near, ((limit - rows) / near_rows).max(0.0));
                rows = limit.max(rows);
                break;
            }
            rows += near_rows;
            rest = if self.backward {
                TimeRange::new(rest.start, near.start)
            } else {
                TimeRange::new(near.end, rest.end)
            };
            let passed = if self.backward { i } else { i + 1 };
            let crossing = self.crossing[passed];
            // A bound that hardly cuts anything is worth a smaller slab.
            let clean = crossing as f64 * 8.0 <= rows && rows * 4.0 >= wanted(0) * 3.0;
            if clean || rows >= wanted(crossing) {
                break;
            }
        }
        let range = if self.backward {
            TimeRange::new(rest.end, self.rest.end)
        } else {
            TimeRange::new(self.rest.start, rest.start)
        };
        self.rest = rest;
        self.first = false;
        self.wanted = (self.wanted * GROWTH).min(TARGET_ROWS as f64);
        Some(Slab {
            range,
            rows: rows as u64,
        })
    }

    /// The interval at the near end of `rest`, and its part inside.
    fn near_interval(&self, rest: TimeRange) -> (usize, TimeRange) {
        let i = if self.backward {
            self.bounds.partition_point(|b| *b < rest.end) - 1
        } else {
            self.bounds.partition_point(|b| *b <= rest.start) - 1
        };
        (i, TimeRange::new(self.bounds[i], self.bounds[i + 1]).intersect(&rest))
    }

    /// What is left of `rest` after this share of its near interval; at least a nanosecond is taken.
    fn cut(&self, rest: TimeRange, near: TimeRange, share: f64) -> TimeRange {
        let len = i128::from(near.end) - i128::from(near.start);
        let taken = ((nanos(near) * share) as i128).clamp(1, len);
        if self.backward {
            TimeRange::new(rest.start, (i128::from(near.end) - taken) as Timestamp)
        } else {
            TimeRange::new((i128::from(near.start) + taken) as Timestamp, rest.end)
        }
    }
}

fn nanos(range: TimeRange) -> f64 {
    ((i128::from(range.end) - i128::from(range.start)) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(start: i64, end: i64, rows: u64) -> RowBounds {
        RowBounds {
            range: TimeRange::new(start, end),
            rows,
            bytes: 0,
        }
    }

    fn slabs(range: TimeRange, pieces: &[RowBounds], order: LogOrder, max_rows: u64) -> Vec<Slab> {
        let mut planner = SlabPlanner::new(range, pieces, order);
        let mut slabs: Vec<Slab> = std::iter::from_fn(|| planner.next(max_rows)).take(100_000).collect();
        if order == LogOrder::Backward {
            slabs.reverse();
        }
        slabs
    }

    proptest! {
        #[test]
        fn slabs_cover_the_range_without_overlap(
            start in -1000i64..1000, len in 1i64..3000, order in prop_oneof![Just(LogOrder::Forward), Just(LogOrder::Backward), Just(LogOrder::Streams)], max_rows in 1u64..200_000,
            pieces in proptest::collection::vec((-2000i64..2000, 0i64..500, 0u64..200_000), 0..20),
        ) {
            let range = TimeRange::new(start, start + len);
            let pieces: Vec<_> = pieces.into_iter().map(|(s, l, rows)| piece(s, s + l, rows)).collect();
            let slabs = slabs(range, &pieces, order, max_rows);
            let mut at = range.start;
            for slab in &slabs {
                prop_assert_eq!(slab.range.start, at);
                prop_assert!(!slab.range.is_empty());
                at = slab.range.end;
            }
            prop_assert_eq!(at, range.end);
        }
    }

    #[test]
    fn cuts_follow_the_ends_of_pages() {
        let hour = 3_600_000_000_000i64;
        let pages: Vec<_> = (0..24).map(|h| piece(h * hour, (h + 1) * hour, 16_384)).collect();
        let cut = slabs(TimeRange::new(0, 24 * hour), &pages, LogOrder::Forward, u64::MAX);
        assert_eq!(cut[0].rows, 4096);
        let streams = slabs(TimeRange::new(0, 24 * hour), &pages, LogOrder::Streams, u64::MAX);
        assert_eq!(streams[0].rows, 49_152);
        assert!(cut[1..].iter().all(|s| s.range.end % hour == 0), "{cut:?}");
        assert!(cut.len() <= 12, "{cut:?}");
    }

    #[test]
    fn slabs_grow_where_a_filter_keeps_little() {
        let pages: Vec<_> = (0..100).map(|i| piece(i * 10, i * 10 + 15, 10_000)).collect();
        let rows = |rows_a_row_kept: u64| {
            let mut planner = SlabPlanner::new(TimeRange::new(0, 1005), &pages, LogOrder::Backward);
            std::iter::from_fn(move || planner.next_filtered(100_000, rows_a_row_kept))
                .map(|slab| slab.rows)
                .collect::<Vec<_>>()
        };
        let (all, few) = (rows(1), rows(64));
        assert!(all.len() > 10 && all.iter().all(|rows| *rows <= 125_000), "{all:?}");
        assert_eq!((few[0], all[0]), (4096, 4096));
        assert!(few.len() < all.len() && few[1] > 150_000, "{few:?}");
    }

    #[test]
    fn many_long_pages_side_by_side_are_not_read_again_and_again() {
        let pages = vec![piece(0, 1_000_000, 10_000); 200];
        for order in [LogOrder::Forward, LogOrder::Backward] {
            let cut = slabs(TimeRange::new(0, 1_000_000), &pages, order, u64::MAX);
            assert_eq!(cut.len(), 2, "{cut:?}");
            // Unless memory asks for it.
            assert!(slabs(TimeRange::new(0, 1_000_000), &pages, order, 100_000).len() >= 19);
        }
    }

    #[test]
    fn the_whole_of_time_can_be_cut() {
        for order in [LogOrder::Forward, LogOrder::Backward] {
            let cut = slabs(
                TimeRange::ALL,
                &[piece(i64::MIN, i64::MAX, 1_000_000), piece(5, 6, 10)],
                order,
                u64::MAX,
            );
            assert_eq!(cut.first().map(|s| s.range.start), Some(i64::MIN));
            assert_eq!(cut.last().map(|s| s.range.end), Some(i64::MAX));
        }
    }
}
