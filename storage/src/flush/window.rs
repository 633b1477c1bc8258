//! Which segment of a round a row goes to, by its time and age.

use crate::model::{TimeRange, Timestamp};

const HOUR: i64 = 3_600 * 1_000_000_000;
const DAY: i64 = 24 * HOUR;

/// Length of windows of recent rows.
const RECENT_WINDOW: i64 = 2 * HOUR;
/// Age from which windows are a day long.
const DAYS_FROM_AGE: i64 = 2 * DAY;
/// Length of windows of old rows, and the age from which they are used: a backfill of years stays few segments.
const OLD_WINDOW: i64 = 30 * DAY;

/// The window of a row of time `time` at the time `now`. Windows are aligned to the epoch and those of one `now` do not
/// overlap: the ages at which their length changes are rounded down to whole longer windows.
pub(super) fn window(time: Timestamp, now: Timestamp) -> TimeRange {
    let len = if time >= floor(now.saturating_sub(DAYS_FROM_AGE), DAY) {
        RECENT_WINDOW
    } else if time >= floor(now.saturating_sub(OLD_WINDOW), OLD_WINDOW) {
        DAY
    } else {
        OLD_WINDOW
    };
    let start = floor(time, len);
    TimeRange::new(start, start.saturating_add(len))
}

fn floor(time: Timestamp, len: i64) -> Timestamp {
    // Saturates in the first window of all, which is cut short by the range of timestamps.
    time.saturating_sub(time.rem_euclid(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_grow_with_age() {
        let now = 20_000 * DAY + 5 * HOUR;
        let check = |time: i64, start: i64, len: i64| {
            assert_eq!(window(time, now), TimeRange::new(start, start + len), "{time}");
        };
        check(now, now - HOUR, 2 * HOUR);
        check(now + 10 * DAY, now + 10 * DAY - HOUR, 2 * HOUR);
        check(19_998 * DAY, 19_998 * DAY, 2 * HOUR);
        check(19_998 * DAY - 1, 19_997 * DAY, DAY);
        check(19_950 * DAY - 1, 19_920 * DAY, 30 * DAY);
    }

    proptest! {
        #[test]
        fn windows_hold_their_rows_and_do_not_overlap(a in any::<i64>(), b in any::<i64>(), near in -100 * DAY..DAY, now in 0..i64::MAX) {
            for (a, b) in [(a, b), (now.saturating_add(near), b), (now.saturating_add(near), now.saturating_add(near / 2))] {
                let (x, y) = (window(a, now), window(b, now));
                prop_assert!(x.contains(a) || a == i64::MAX);
                prop_assert!(x == y || !x.overlaps(&y), "{x:?} {y:?}");
            }
        }
    }
}
