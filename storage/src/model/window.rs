//! Windows of time: segments of one window are merged, and no segment reaches out of its own. They coarsen with age, so
//! that years stay few segments.

use super::{TimeRange, Timestamp};

const HOUR: i64 = 3_600 * 1_000_000_000;
const DAY: i64 = 24 * HOUR;

/// Length of windows of recent rows.
const RECENT_WINDOW: i64 = 2 * HOUR;
/// Age from which windows are a day long.
const DAYS_FROM_AGE: i64 = 2 * DAY;
/// Length of windows of old rows, and the age from which they are used: a backfill of years stays few segments.
const OLD_WINDOW: i64 = 30 * DAY;

/// Length of the windows of a level, from 1 on.
const LENGTHS: [i64; 3] = [RECENT_WINDOW, DAY, OLD_WINDOW];

/// A window, and the level of the segments that are merged for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its time.
    pub range: TimeRange,
    /// 1 for two hours, 2 for a day, 3 for 30 days.
    pub level: u8,
}

impl Window {
    /// The window of a row of time `time` at the time `now`. Windows are aligned to the epoch, those of one `now` do not
    /// overlap (the ages at which their length changes are rounded down to whole longer windows), and each lies inside one
    /// window of every later `now`.
    pub fn of(time: Timestamp, now: Timestamp) -> Window {
        let level = if time >= floor(now.saturating_sub(DAYS_FROM_AGE), DAY) {
            1
        } else if time >= floor(now.saturating_sub(OLD_WINDOW), OLD_WINDOW) {
            2
        } else {
            3
        };
        Window::at(time, level)
    }

    /// The window that a segment with these bounds belongs to: the one that all of it lies in, coarser than its age asks for
    /// where it must be (exemplars need not lie in the window of their samples, and clocks are set). What reaches over
    /// everything belongs to the coarsest that it begins in.
    pub fn around(range: TimeRange, now: Timestamp) -> Window {
        let window = Window::of(range.start, now);
        // At the very end of time a window cannot hold its last row.
        let inside = |window: &Window| range.end <= window.range.end || window.range.end == i64::MAX;
        let coarsest = LENGTHS.len() as u8;
        let mut coarser = (window.level..=coarsest).map(|level| Window::at(range.start, level));
        coarser.find(inside).unwrap_or(Window::at(range.start, coarsest))
    }

    fn at(time: Timestamp, level: u8) -> Window {
        let len = LENGTHS[usize::from(level) - 1];
        let start = floor(time, len);
        Window {
            range: TimeRange::new(start, start.saturating_add(len)),
            level,
        }
    }
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
            let window = Window::of(time, now);
            assert_eq!(window.range, TimeRange::new(start, start + len), "{time}");
            assert_eq!(len, LENGTHS[usize::from(window.level) - 1]);
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
                let (x, y) = (Window::of(a, now), Window::of(b, now));
                prop_assert!(x.range.contains(a) || a == i64::MAX);
                prop_assert!(x == y || !x.range.overlaps(&y.range), "{x:?} {y:?}");
            }
        }

        #[test]
        fn windows_lie_inside_one_of_every_later_time(
            near in -100 * DAY..DAY, now in 100 * DAY..100_000 * DAY, later in 0..100 * DAY, width in 1..RECENT_WINDOW,
        ) {
            let time = now + near;
            let early = Window::of(time, now);
            let late = Window::around(early.range, now + later);
            prop_assert_eq!(late, Window::of(time, now + later));
            prop_assert!(late.level >= early.level);
            // Whatever its bounds, a segment belongs to a window that holds it, or to the coarsest.
            let range = TimeRange::new(time, time + width);
            let window = Window::around(range, now);
            prop_assert!(window.range.start <= range.start);
            prop_assert!(range.end <= window.range.end || window.level == 3);
        }
    }
}
