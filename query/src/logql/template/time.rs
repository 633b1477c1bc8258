//! Times in Go's layouts (`2006-01-02T15:04:05Z07:00`), in UTC, in zones by name, and with offsets.

use std::fmt;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, Tz};

const DAY: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// The parts of a layout, longer ones before those they start with.
const TOKENS: [&str; 33] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "Z07:00:00",
    "Z07:00",
    "Z0700",
    "Z07",
    "-07:00:00",
    "-07:00",
    "-0700",
    "-07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "_2006",
    "_2",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
    ".0",
    ".9",
];

/// Year, month (1-12) and day of days since 1970 (proleptic Gregorian).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

/// Days since 1970 of a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// The next part of a layout: a token, or literal text.
fn next_token(layout: &str) -> Option<&'static str> {
    let found = TOKENS.into_iter().find(|t| layout.starts_with(t))?;
    // A fraction stands only behind digits and runs to its last 0 or 9; "Jan" inside a word is text.
    if found == "Jan" && layout[3..].starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    Some(found)
}

/// Length of the run of fraction digits after the point.
fn fraction_len(layout: &str) -> usize {
    let digit = layout.as_bytes().get(1).copied().unwrap_or(b'0');
    layout[1..].bytes().take_while(|b| *b == digit).count()
}

/// Where clocks stand.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Zone {
    Utc,
    Named(Tz),
    /// A name that stood in a text, perhaps none, and seconds east of UTC.
    Fixed(String, i64),
}

/// A moment, and the zone it is shown in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
    zone: Zone,
}

/// What a clock and a calendar show.
#[derive(Clone, Copy, Debug)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub year_day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// Days since 1970.
    days: i64,
}

impl Date {
    /// In English.
    pub fn month_name(&self) -> &'static str {
        MONTHS[(self.month - 1).clamp(0, 11) as usize]
    }

    /// In English.
    pub fn weekday_name(&self) -> &'static str {
        WEEKDAYS[(self.days + 4).rem_euclid(7) as usize]
    }
}

impl Time {
    /// Go's zero time: what a text that does not fit its layout gives.
    pub const ZERO: Time = Time {
        seconds: -62_135_596_800,
        nanos: 0,
        zone: Zone::Utc,
    };

    /// In UTC.
    pub fn utc(seconds: i64, nanos: u32) -> Self {
        Time {
            seconds,
            nanos,
            zone: Zone::Utc,
        }
    }

    /// In UTC, of nanoseconds since 1970.
    pub fn utc_of_ns(ns: i64) -> Self {
        Time::utc(ns.div_euclid(NANOS), ns.rem_euclid(NANOS) as u32)
    }

    /// Whether it is Go's zero time.
    pub fn is_zero(&self) -> bool {
        (self.seconds, self.nanos) == (Time::ZERO.seconds, 0)
    }

    /// Since 1970, in units of which a second has `per_second`; it overflows as in Go.
    pub fn scaled(&self, per_second: i64) -> i64 {
        let part = i64::from(self.nanos) * per_second / NANOS;
        self.seconds.wrapping_mul(per_second).wrapping_add(part)
    }

    /// Seconds east of UTC and the zone's name at that moment, empty where it has none.
    fn offset(&self) -> (i64, String) {
        match &self.zone {
            Zone::Utc => (0, "UTC".to_string()),
            Zone::Fixed(name, offset) => (*offset, name.clone()),
            Zone::Named(zone) => {
                let Some(moment) = DateTime::from_timestamp(self.seconds, 0) else {
                    return (0, "UTC".to_string());
                };
                let offset = zone.offset_from_utc_datetime(&moment.naive_utc());
                let name = offset.abbreviation().unwrap_or_default().to_string();
                (i64::from(offset.fix().local_minus_utc()), name)
            }
        }
    }

    /// What is shown of it.
    pub fn date(&self) -> Date {
        self.date_at(self.offset().0)
    }

    fn date_at(&self, offset: i64) -> Date {
        let local = self.seconds.saturating_add(offset);
        let day = local.div_euclid(DAY);
        let (year, month, date) = civil(day);
        Date {
            year,
            month,
            day: date,
            year_day: day - days(year, 1, 1) + 1,
            hour: local.rem_euclid(DAY) / 3600,
            minute: local.rem_euclid(3600) / 60,
            second: local.rem_euclid(60),
            days: day,
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self, "2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// `+07:00` and its like.
fn push_offset(out: &mut String, offset: i64, token: &str) {
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    out.push(sign);
    out.push_str(&format!("{:02}", offset / 3600));
    let colon = if token.contains(':') { ":" } else { "" };
    if token.len() > 3 {
        out.push_str(&format!("{colon}{:02}", offset / 60 % 60));
    }
    if token.len() == 9 {
        out.push_str(&format!("{colon}{:02}", offset % 60));
    }
}

/// A time in a layout.
pub fn format(time: &Time, layout: &str) -> String {
    let (offset, zone_name) = time.offset();
    let date = time.date_at(offset);
    let Date {
        year,
        month,
        day,
        hour,
        minute,
        second,
        ..
    } = date;
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let Some(token) = next_token(rest) else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let mut len = token.len();
        match token {
            "2006" => out.push_str(&format!("{year:04}")),
            "06" => out.push_str(&format!("{:02}", year.rem_euclid(100))),
            "January" => out.push_str(date.month_name()),
            "Jan" => out.push_str(&date.month_name()[..3]),
            "01" => out.push_str(&format!("{month:02}")),
            "1" => out.push_str(&month.to_string()),
            "Monday" => out.push_str(date.weekday_name()),
            "Mon" => out.push_str(&date.weekday_name()[..3]),
            "02" => out.push_str(&format!("{day:02}")),
            "_2" => out.push_str(&format!("{day:2}")),
            "2" => out.push_str(&day.to_string()),
            "002" => out.push_str(&format!("{:03}", date.year_day)),
            "15" => out.push_str(&format!("{hour:02}")),
            "03" => out.push_str(&format!("{hour12:02}")),
            "3" => out.push_str(&hour12.to_string()),
            "04" => out.push_str(&format!("{minute:02}")),
            "4" => out.push_str(&minute.to_string()),
            "05" => out.push_str(&format!("{second:02}")),
            "5" => out.push_str(&second.to_string()),
            "PM" => out.push_str(if hour >= 12 { "PM" } else { "AM" }),
            "pm" => out.push_str(if hour >= 12 { "pm" } else { "am" }),
            "MST" if zone_name.is_empty() => push_offset(&mut out, offset, "-0700"),
            "MST" => out.push_str(&zone_name),
            "Z07:00:00" | "Z07:00" | "Z0700" | "Z07" if offset == 0 => out.push('Z'),
            "Z07:00:00" | "Z07:00" | "Z0700" | "Z07" | "-07:00:00" | "-07:00" | "-0700" | "-07" => {
                push_offset(&mut out, offset, token);
            }
            "_2006" => out.push_str(&format!("_{year:04}")),
            _ => {
                let digits = fraction_len(rest);
                len = 1 + digits;
                let text = format!("{:09}", time.nanos);
                let mut fraction = text[..digits.min(9)].to_string();
                if token == ".9" {
                    fraction.truncate(fraction.trim_end_matches('0').len());
                }
                if token == ".0" || !fraction.is_empty() {
                    out.push('.');
                    out.push_str(&fraction);
                }
            }
        }
        rest = &rest[len..];
    }
    out
}

/// A time in a layout, UTC where the text names no offset.
pub fn parse(layout: &str, text: &str) -> Time {
    parse_with(layout, text, &Zone::Utc)
}

/// A time in a layout, in a named zone where the text names no offset. Zones that are not known are UTC.
pub fn parse_in_zone(layout: &str, zone: &str, text: &str) -> Time {
    let zone = match zone.parse::<Tz>() {
        Ok(Tz::UTC) | Err(_) => Zone::Utc,
        Ok(zone) => Zone::Named(zone),
    };
    parse_with(layout, text, &zone)
}

/// As Go's `ParseInLocation`.
fn parse_with(layout: &str, text: &str, zone: &Zone) -> Time {
    let Some(parts) = parse_parts(layout, text) else {
        return Time::ZERO;
    };
    let at = |seconds: i64, zone: Zone| Time {
        seconds,
        nanos: parts.nanos,
        zone,
    };
    let offset_at = |seconds: i64| at(seconds, zone.clone()).offset();
    match (parts.offset, parts.zone_name) {
        (Some(0), Some(name)) if name == "UTC" => at(parts.local, Zone::Utc),
        (Some(offset), name) => {
            let seconds = parts.local - offset;
            let (known, known_name) = offset_at(seconds);
            let name = name.unwrap_or_default();
            let fits = known == offset && (name.is_empty() || name == known_name);
            at(seconds, if fits { zone.clone() } else { Zone::Fixed(name, offset) })
        }
        (None, Some(name)) => {
            // A name that the zone does not use has no known offset, and is kept for show.
            let (offset, known) = offset_at(parts.local - offset_at(parts.local).0);
            match known == name {
                true => at(parts.local - offset, zone.clone()),
                false => at(parts.local, Zone::Fixed(name, 0)),
            }
        }
        (None, None) => {
            let (offset, _) = offset_at(parts.local - offset_at(parts.local).0);
            at(parts.local - offset, zone.clone())
        }
    }
}

/// What a text says.
struct Parts {
    /// Seconds since 1970 of a clock in UTC that shows the same.
    local: i64,
    nanos: u32,
    offset: Option<i64>,
    zone_name: Option<String>,
}

fn parse_parts(layout: &str, text: &str) -> Option<Parts> {
    let (mut year, mut month, mut date, mut yearday) = (0, 1, 1, None);
    let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
    let (mut pm, mut offset, mut zone_name) = (None, None, None);
    let (mut layout, mut text) = (layout, text);
    while let Some(c) = layout.chars().next() {
        let Some(token) = next_token(layout) else {
            text = text.strip_prefix(c)?;
            layout = &layout[c.len_utf8()..];
            continue;
        };
        let mut len = token.len();
        match token {
            "2006" | "_2006" => year = digits(&mut text, 4, 4)?,
            "06" => {
                let short = digits(&mut text, 2, 2)?;
                year = if short >= 69 { 1900 + short } else { 2000 + short };
            }
            "January" => month = name(&mut text, &MONTHS, 9)?,
            "Jan" => month = name(&mut text, &MONTHS, 3)?,
            "01" => month = digits(&mut text, 2, 2)?,
            "1" => month = digits(&mut text, 1, 2)?,
            "Monday" => {
                name(&mut text, &WEEKDAYS, 9)?;
            }
            "Mon" => {
                name(&mut text, &WEEKDAYS, 3)?;
            }
            "02" => date = digits(&mut text, 2, 2)?,
            "2" | "_2" => {
                text = text.trim_start_matches(' ');
                date = digits(&mut text, 1, 2)?;
            }
            "002" => yearday = Some(digits(&mut text, 3, 3)?),
            "15" => hour = digits(&mut text, 2, 2)?,
            "03" | "3" => hour = digits(&mut text, token.len(), 2)?,
            "04" | "4" => minute = digits(&mut text, token.len(), 2)?,
            "05" | "5" => {
                second = digits(&mut text, token.len(), 2)?;
                // A fraction may follow the seconds without standing in the layout.
                let more = &layout[len..];
                if text.starts_with('.') && !more.starts_with(".0") && !more.starts_with(".9") {
                    nanos = fraction(&mut text)?;
                }
            }
            "PM" | "pm" => {
                let (head, tail) = (text.get(..2)?, text.get(2..)?);
                pm = Some(match head.to_ascii_uppercase().as_str() {
                    "PM" => true,
                    "AM" => false,
                    _ => return None,
                });
                text = tail;
            }
            "MST" => {
                let end = text.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(text.len());
                // As long as zones' names are in Go.
                if !(3..=5).contains(&end) {
                    return None;
                }
                if &text[..end] == "UTC" {
                    offset = Some(0);
                }
                zone_name = Some(text[..end].to_string());
                text = &text[end..];
            }
            ".0" | ".9" => {
                len = 1 + fraction_len(layout);
                if text.starts_with('.') {
                    nanos = fraction(&mut text)?;
                } else if token == ".0" {
                    return None;
                }
            }
            zone => {
                if zone.starts_with('Z')
                    && let Some(rest) = text.strip_prefix('Z')
                {
                    offset = Some(0);
                    zone_name = Some("UTC".to_string());
                    text = rest;
                } else {
                    let sign = match text.chars().next()? {
                        '+' => 1,
                        '-' => -1,
                        _ => return None,
                    };
                    text = &text[1..];
                    let hours = digits(&mut text, 2, 2)?;
                    if zone.contains(':') {
                        text = text.strip_prefix(':')?;
                    }
                    let minutes = if zone.ends_with("07") {
                        0
                    } else {
                        digits(&mut text, 2, 2)?
                    };
                    offset = Some(sign * (hours * 3600 + minutes * 60));
                }
            }
        }
        layout = &layout[len..];
    }
    if !text.is_empty() || !(1..=12).contains(&month) || !(1..=31).contains(&date) {
        return None;
    }
    match pm {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    if date > days(next_year, next_month, 1) - days(year, month, 1) {
        return None;
    }
    let day = yearday.map_or(days(year, month, date), |n| days(year, 1, 1) + n - 1);
    Some(Parts {
        local: day * DAY + hour * 3600 + minute * 60 + second,
        nanos: u32::try_from(nanos).ok()?,
        offset,
        zone_name,
    })
}

fn digits(text: &mut &str, min: usize, max: usize) -> Option<i64> {
    let len = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    if len < min {
        return None;
    }
    let value = text[..len].parse().ok()?;
    *text = &text[len..];
    Some(value)
}

fn fraction(text: &mut &str) -> Option<i64> {
    let body = text.strip_prefix('.')?;
    let len = body.bytes().take_while(u8::is_ascii_digit).count();
    let nine: String = body[..len].chars().chain("000000000".chars()).take(9).collect();
    *text = &body[len..];
    nine.parse().ok()
}

fn name(text: &mut &str, names: &[&str], len: usize) -> Option<i64> {
    for (i, name) in names.iter().enumerate() {
        let wanted = &name[..len.min(name.len())];
        if text.get(..wanted.len()).is_some_and(|t| t.eq_ignore_ascii_case(wanted)) {
            *text = &text[wanted.len()..];
            return Some(i as i64 + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_both_ways() {
        let time = Time::utc_of_ns(1_679_577_215_123_456_789);
        for (layout, expected) in [
            ("2006-01-02T15:04:05Z07:00", "2023-03-23T13:13:35Z"),
            ("Jan 2 2006 3:04PM", "Mar 23 2023 1:13PM"),
            ("2006-01-02T15:04:05.000000000Z07:00", "2023-03-23T13:13:35.123456789Z"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "Thu, 23 Mar 2023 13:13:35 +0000"),
        ] {
            assert_eq!(format(&time, layout), expected);
        }
        for (layout, text, expected) in [
            (
                "2006-01-02T15:04:05Z07:00",
                "2023-03-23T15:13:35+02:00",
                "2023-03-23 15:13:35 +0200 +0200",
            ),
            (
                "2006-01-02T15:04:05Z",
                "2026-01-10T00:59:31Z",
                "2026-01-10 00:59:31 +0000 UTC",
            ),
            ("Jan _2 2006", "Mar  5 2023", "2023-03-05 00:00:00 +0000 UTC"),
            ("2006-01-02 MST", "2023-03-05 EST", "2023-03-05 00:00:00 +0000 EST"),
            ("2006-01-02", "2023-02-30", "0001-01-01 00:00:00 +0000 UTC"),
            ("2006", "x", "0001-01-01 00:00:00 +0000 UTC"),
        ] {
            assert_eq!(parse(layout, text).to_string(), expected, "{text}");
        }
        for (zone, text, expected) in [
            ("America/New_York", "2023-07-01 12:00", "2023-07-01 12:00:00 -0400 EDT"),
            ("America/New_York", "2023-01-01 12:00", "2023-01-01 12:00:00 -0500 EST"),
            ("Europe/Berlin", "2023-01-01 12:00", "2023-01-01 12:00:00 +0100 CET"),
            ("Asia/Kolkata", "2023-01-01 12:00", "2023-01-01 12:00:00 +0530 IST"),
            ("nowhere", "2023-01-01 12:00", "2023-01-01 12:00:00 +0000 UTC"),
        ] {
            assert_eq!(parse_in_zone("2006-01-02 15:04", zone, text).to_string(), expected);
        }
        assert_eq!(Time::ZERO.scaled(1), -62_135_596_800);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(layout in "[-0-9A-Za-z:._é ]{0,20}", text in "[-0-9A-Za-z:.é ]{0,20}", ns in proptest::num::i64::ANY) {
            let _ = parse_in_zone(&layout, "Europe/Berlin", &text);
            let _ = format(&Time::utc_of_ns(ns), &layout);
        }
    }
}
