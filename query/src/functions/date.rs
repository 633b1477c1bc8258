//! Parts of a date in UTC, of Unix seconds.

use super::name::InstantFunction;

const SECONDS_A_DAY: i64 = 86_400;

/// Days from the first of March of the year -292277022400 to 1970 (Go's time/time.go, `unixToAbsolute`).
const UNIX_TO_ABSOLUTE_DAYS: i64 = 106_751_991_073_400;

/// The part of the date that `function` names; nothing for functions of another kind.
pub fn date_part(function: InstantFunction, seconds: f64) -> Option<f64> {
    // As Go converts on amd64: whatever is no 64-bit integer becomes the least one.
    let in_range = (i64::MIN as f64..i64::MAX as f64).contains(&seconds);
    let seconds = if in_range { seconds as i64 } else { i64::MIN };
    // Years are counted from one so early that what lies before it comes out of the far end.
    let absolute = (seconds as u64).wrapping_add(UNIX_TO_ABSOLUTE_DAYS as u64 * SECONDS_A_DAY as u64);
    let days = (absolute / SECONDS_A_DAY as u64) as i64 - UNIX_TO_ABSOLUTE_DAYS;
    let of_day = (absolute % SECONDS_A_DAY as u64) as i64;
    let (year, month, day) = civil(days);
    let part = match function {
        InstantFunction::Year => year,
        InstantFunction::Month => month,
        InstantFunction::DayOfMonth => day,
        // 1970-01-01 was a Thursday; Sunday is 0.
        InstantFunction::DayOfWeek => (days + 4).rem_euclid(7),
        InstantFunction::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        InstantFunction::DaysInMonth => days_in_month(year, month),
        InstantFunction::Hour => of_day / 3600,
        InstantFunction::Minute => of_day / 60 % 60,
        _ => return None,
    };
    Some(part as f64)
}

/// `2006-01-02T15:04:05Z` of Unix seconds.
pub fn rfc3339(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_A_DAY));
    let of_day = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)
}

/// Year, month and day of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_dates() {
        use InstantFunction as F;
        let check = |function: F, seconds: f64, expected: f64| {
            assert_eq!(
                date_part(function, seconds),
                Some(expected),
                "{}({seconds})",
                function.as_str()
            );
        };
        check(F::Year, 0.0, 1970.0);
        check(F::DayOfWeek, 0.0, 4.0);
        check(F::DayOfYear, 0.0, 1.0);
        check(F::DayOfYear, 1_609_372_800.0, 366.0);
        check(F::DayOfMonth, 1_456_790_399.0, 29.0);
        check(F::DaysInMonth, 1_454_284_800.0, 29.0);
        check(F::Month, 1_456_790_399.0, 2.0);
        check(F::Hour, 1_456_790_399.0, 23.0);
        check(F::Minute, 1_456_790_399.0, 59.0);
        check(F::Year, -1.0, 1969.0);
        for seconds in [f64::NAN, f64::NEG_INFINITY, f64::INFINITY, 1e19] {
            check(F::Year, seconds, 292_277_026_596.0);
            check(F::Month, seconds, 12.0);
            check(F::Hour, seconds, 15.0);
        }
        assert_eq!(rfc3339(1_456_790_399), "2016-02-29T23:59:59Z");
    }
}
