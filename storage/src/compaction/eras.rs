//! Cuts the time of log segments so that pages are read once: each era begins where no page of any input reaches across.

use crate::model::TimeRange;

/// Stored bytes of an era up to which the next one is read along: pages of quiet hours fit into the windows of all inputs
/// anyway, and the writer puts them together.
const MIN_ERA_BYTES: u64 = 512 << 10;

/// Ascending eras without gaps between their rows that hold all of `pages` (times, and bytes as they are stored).
pub(super) fn eras(pages: impl Iterator<Item = (TimeRange, u64)>) -> Vec<TimeRange> {
    let mut pages: Vec<(TimeRange, u64)> = pages.collect();
    pages.sort_unstable_by_key(|(range, _)| (range.start, range.end));
    let mut eras: Vec<(TimeRange, u64)> = Vec::new();
    for (range, bytes) in pages {
        match eras.last_mut() {
            Some((era, held)) if range.start < era.end || held.saturating_add(bytes) <= MIN_ERA_BYTES => {
                era.end = era.end.max(range.end);
                *held = held.saturating_add(bytes);
            }
            _ => eras.push((range, bytes)),
        }
    }
    eras.into_iter().map(|(era, _)| era).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_part_where_no_page_reaches_across() {
        let large = MIN_ERA_BYTES;
        let check = |pages: &[(i64, i64, u64)], expected: &[(i64, i64)]| {
            let found = eras(
                pages
                    .iter()
                    .map(|(start, end, bytes)| (TimeRange::new(*start, *end), *bytes)),
            );
            let expected: Vec<_> = expected
                .iter()
                .map(|(start, end)| TimeRange::new(*start, *end))
                .collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(&[(5, 9, large), (0, 5, large)], &[(0, 5), (5, 9)]);
        check(
            &[(0, 5, large), (4, 9, large), (7, 8, 1), (9, 10, large)],
            &[(0, 9), (9, 10)],
        );
        check(&[(0, 1, 10), (3, 4, 10), (8, 9, large)], &[(0, 4), (8, 9)]);
    }
}
