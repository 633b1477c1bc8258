//! Go's spellings of floats, cut texts and times, which the originals' messages are made of; quoted ones are
//! [`garner_storage::model::go_text`].

use garner_storage::model::NANOS_PER_SECOND;

/// `%v` of a float64.
pub(crate) fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_string();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => value.to_string(),
    }
}

/// `%.<max>s`: the first `max` characters.
pub(crate) fn truncate_chars(text: &str, max: usize) -> &str {
    match text.char_indices().nth(max) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// `time.RFC3339` in UTC, seconds precision.
pub(crate) fn rfc3339(time_ns: i64) -> String {
    let seconds = time_ns.div_euclid(NANOS_PER_SECOND);
    let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60
    )
}

/// Nanoseconds of a time in RFC 3339, as Go's `time.Parse` reads it.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i128> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, mut rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let number = |text: &str, range: std::ops::RangeInclusive<i64>| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i64>().ok().filter(|n| digits && range.contains(n))
    };
    let parts = |text: &'_ str, sign: char| -> Option<[String; 3]> {
        let mut parts = text.split(sign).map(str::to_string);
        let found = [parts.next()?, parts.next()?, parts.next()?];
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = parts(date, '-')?;
    let [hour, minute, second] = parts(clock, ':')?;
    if [&month, &day, &hour, &minute, &second]
        .iter()
        .any(|part| part.len() != 2)
    {
        return None;
    }
    let (year, month) = (number(&year, 0..=9999)?, number(&month, 1..=12)?);
    let day = number(&day, 1..=31)?;
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let seconds = number(&hour, 0..=23)? * 3_600 + number(&minute, 0..=59)? * 60 + number(&second, 0..=59)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let digits: String = fraction[..len].chars().chain("000000000".chars()).take(9).collect();
        nanos = number(&digits, 0..=999_999_999).filter(|_| len > 0)?;
        rest = &fraction[len..];
    }
    let offset = match rest {
        "Z" => 0,
        _ => {
            let sign = match rest.chars().next()? {
                '+' => 1,
                '-' => -1,
                _ => return None,
            };
            let (hours, minutes) = rest[1..]
                .split_once(':')
                .filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
            sign * (number(hours, 0..=24)? * 3_600 + number(minutes, 0..=60)? * 60)
        }
    };
    let total = i128::from(days * 86_400 + seconds - offset);
    Some(total * i128::from(NANOS_PER_SECOND) + i128::from(nanos))
}

/// The inverse of [`civil_from_days`] (the same source, `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Days since 1970-01-01 to (year, month, day) in the proleptic Gregorian calendar, by counting years from March so that
/// the leap day comes last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_rfc_3339() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_768_003_200, "2026-01-10T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds * NANOS_PER_SECOND), expected);
        }
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43Z");
    }

    #[test]
    fn rfc_3339_is_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("2018-12-18T08:28:06.801064-04:00", Some(1_545_136_086_801_064_000)),
            ("2000-02-29T00:00:00.1234567899+00:00", Some(951_782_400_123_456_789)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000_000)),
            ("2001-02-29T00:00:00Z", None),
            ("2000-1-01T00:00:00Z", None),
            ("2000-01-01 00:00:00Z", None),
            ("2000-01-01T00:00:00", None),
            ("2000-01-01T00:00:00.Z", None),
            ("2000-01-01T24:00:00Z", None),
            ("日本", None),
        ] {
            assert_eq!(parse_rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(truncate_chars("日本語", 2), "日本");
        assert_eq!(truncate_chars("ab", 2), "ab");
    }
}
