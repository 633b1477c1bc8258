//! Times and durations in the forms that the two dialects take.
//!
//! Sources: prometheus `web/api/v1/api.go` (`parseTime`, `parseDuration`), prometheus common `model/time.go`
//! (`ParseDuration`), loki `pkg/loghttp/params.go` (`parseTimestamp`, `parseSecondsOrDuration`).

use garner_storage::model::{NANOS_PER_MILLI, NANOS_PER_SECOND};

use super::number::{go_quote, parse_int};

/// A time of Prometheus' API, in milliseconds: seconds with a fraction, or RFC 3339.
pub fn parse_prometheus_time(text: &str) -> Result<i64, String> {
    match text {
        // The ends of time as Prometheus' own clients print them (`MinTime`, `MaxTime`).
        "-292273086-05-16T16:47:06Z" => return Ok(i64::MIN / 1_000_000 * 1_000),
        "292277025-08-18T07:12:54.999999999Z" => return Ok(i64::MAX / 1_000_000 * 1_000),
        _ => {}
    }
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok(seconds_to_ns(seconds, NANOS_PER_SECOND / NANOS_PER_MILLI));
    }
    match parse_rfc3339_ns(text) {
        Some(ns) => Ok(ns.div_euclid(NANOS_PER_MILLI)),
        None => Err(format!("cannot parse {} to a valid timestamp", go_quote(text))),
    }
}

/// A time of Loki's API, in nanoseconds: seconds with a fraction, seconds (up to ten digits), nanoseconds, or RFC 3339.
pub fn parse_loki_time(text: &str) -> Result<i64, String> {
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
        && seconds.is_finite()
    {
        return Ok(seconds_to_ns(seconds, NANOS_PER_SECOND));
    }
    match parse_int("ParseInt", text) {
        Ok(seconds) if text.len() <= 10 => Ok(seconds.saturating_mul(NANOS_PER_SECOND)),
        Ok(nanos) => Ok(nanos),
        Err(error) => parse_rfc3339_ns(text).ok_or(error),
    }
}

/// Whole seconds and a fraction that counts to the millisecond, as both originals round it, in `units` per second.
fn seconds_to_ns(seconds: f64, units: i64) -> i64 {
    let millis = (seconds.fract() * 1_000.0).round() as i64;
    let whole = (seconds.trunc() as i64).saturating_mul(units);
    whole.saturating_add(millis * (units / 1_000))
}

/// A step or interval: seconds with a fraction or a duration; nanoseconds.
pub fn parse_seconds_or_duration(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * NANOS_PER_SECOND as f64;
        if !(ns > i64::MIN as f64 && ns < i64::MAX as f64) {
            return Err(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                go_quote(text)
            ));
        }
        return Ok(ns as i64);
    }
    parse_prometheus_duration(text).ok_or_else(|| format!("cannot parse {} to a valid duration", go_quote(text)))
}

/// A duration in Prometheus' strict form (each unit once, from `y` down to `ms`, no fraction), in nanoseconds.
pub fn parse_prometheus_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut next_unit = 0;
    let mut total_ms = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let at = UNITS.iter().position(|(name, _)| *name == unit)?;
        if at < next_unit {
            return None;
        }
        next_unit = at + 1;
        total_ms = number
            .parse::<i64>()
            .ok()?
            .checked_mul(UNITS[at].1)?
            .checked_add(total_ms)?;
        rest = after;
    }
    total_ms.checked_mul(NANOS_PER_MILLI)
}

/// RFC 3339 with a zone and any number of fraction digits, in nanoseconds; `None` where it is none or out of range.
pub fn parse_rfc3339_ns(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let at = |index: usize, byte: u8| text.as_bytes().get(index) == Some(&byte);
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let punctuated = at(4, b'-') && at(7, b'-') && at(10, b'T') && at(13, b':') && at(16, b':');
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !punctuated || !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut fraction_ns = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.find(|c: char| !c.is_ascii_digit())?;
        if len == 0 {
            return None;
        }
        // Digits past the nanosecond are cut off.
        fraction_ns = format!("{:0<9}", &fraction[..len.min(9)]).parse::<i64>().ok()?;
        rest = &fraction[len..];
    }
    let offset_seconds = match rest.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours = rest.get(1..3)?.parse::<u8>().ok().filter(|h| *h < 24)?;
            let minutes = rest.get(4..6)?.parse::<u8>().ok().filter(|m| *m < 60)?;
            let seconds = i64::from(hours) * 3_600 + i64::from(minutes) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_seconds;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(fraction_ns)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_reads_with_zone_and_fraction() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_rfc3339_ns(text), expected, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-01-10T00:10:00.123456789Z", Some(1_768_003_800_123_456_789));
        check("2026-01-10T02:10:00+02:00", Some(1_768_003_800_000_000_000));
        check("2024-02-29T00:00:00-00:30", Some(1_709_166_600_000_000_000));
        check("1969-12-31T23:59:59.5Z", Some(-500_000_000));
        for bad in [
            "2026-13-45T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-10T00:00:00",
            "2026-01-10T00:10:00Zx",
            "2026-01-10 00:10:00Z",
            "2026-01-10T00:10:00.Z",
            "2026-01-10T00:10:00+1:00",
            "2026-01-10T00:10:00+é0:00",
            "",
            "+026-01-10T00:10:00Z",
            "0001-01-01T00:00:00Z",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn prometheus_times_are_seconds_or_rfc3339() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse_prometheus_time(text), expected.map_err(str::to_string), "{text}");
        };
        check("1768003800", Ok(1_768_003_800_000));
        check("1768003800.1234", Ok(1_768_003_800_123));
        check("-1.5", Ok(-1_500));
        check("1e3", Ok(1_000_000));
        check("2026-01-10T00:10:00.5Z", Ok(1_768_003_800_500));
        check("foo", Err(r#"cannot parse "foo" to a valid timestamp"#));
        check("", Err(r#"cannot parse "" to a valid timestamp"#));
        check("NaN", Err(r#"cannot parse "NaN" to a valid timestamp"#));
    }

    #[test]
    fn loki_times_take_their_unit_from_their_length() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse_loki_time(text), expected.map_err(str::to_string), "{text}");
        };
        check("1768003800", Ok(1_768_003_800_000_000_000));
        check("1768003800.25", Ok(1_768_003_800_250_000_000));
        check("1768003800000000001", Ok(1_768_003_800_000_000_001));
        check("-5", Ok(-5_000_000_000));
        check("4000000000", Ok(4_000_000_000_000_000_000));
        check("2026-01-10T00:10:00Z", Ok(1_768_003_800_000_000_000));
        check("abc", Err(r#"strconv.ParseInt: parsing "abc": invalid syntax"#));
    }

    #[test]
    fn steps_are_seconds_or_strict_durations() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(
                parse_seconds_or_duration(text),
                expected.map_err(str::to_string),
                "{text}"
            );
        };
        check("60", Ok(60 * NANOS_PER_SECOND));
        check("90.5", Ok(90_500 * NANOS_PER_MILLI));
        check("1h30m", Ok(5_400 * NANOS_PER_SECOND));
        check("250ms", Ok(250 * NANOS_PER_MILLI));
        check("0", Ok(0));
        check("-60", Ok(-60 * NANOS_PER_SECOND));
        check("abc", Err(r#"cannot parse "abc" to a valid duration"#));
        check("30m1h", Err(r#"cannot parse "30m1h" to a valid duration"#));
        check(
            "1e20",
            Err(r#"cannot parse "1e20" to a valid duration. It overflows int64"#),
        );
    }
}
