//! Times in Go's layouts (`2006-01-02T15:04:05Z07:00`). Zones: UTC and offsets; a named zone other than UTC is one of the
//! few with fixed rules below, else UTC, as Loki does with zones it does not know.

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

/// A time in UTC in a layout.
pub fn format(time_ns: i64, layout: &str) -> String {
    let seconds = time_ns.div_euclid(NANOS);
    let nanos = time_ns.rem_euclid(NANOS);
    let day = seconds.div_euclid(DAY);
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (
        seconds.rem_euclid(DAY) / 3600,
        seconds.rem_euclid(3600) / 60,
        seconds.rem_euclid(60),
    );
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let month_name = MONTHS[(month - 1).clamp(0, 11) as usize];
    let weekday = WEEKDAYS[(day + 4).rem_euclid(7) as usize];
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
            "January" => out.push_str(month_name),
            "Jan" => out.push_str(&month_name[..3]),
            "01" => out.push_str(&format!("{month:02}")),
            "1" => out.push_str(&month.to_string()),
            "Monday" => out.push_str(weekday),
            "Mon" => out.push_str(&weekday[..3]),
            "02" => out.push_str(&format!("{date:02}")),
            "_2" => out.push_str(&format!("{date:2}")),
            "2" => out.push_str(&date.to_string()),
            "002" => out.push_str(&format!("{:03}", day - days(year, 1, 1) + 1)),
            "15" => out.push_str(&format!("{hour:02}")),
            "03" => out.push_str(&format!("{hour12:02}")),
            "3" => out.push_str(&hour12.to_string()),
            "04" => out.push_str(&format!("{minute:02}")),
            "4" => out.push_str(&minute.to_string()),
            "05" => out.push_str(&format!("{second:02}")),
            "5" => out.push_str(&second.to_string()),
            "PM" => out.push_str(if hour >= 12 { "PM" } else { "AM" }),
            "pm" => out.push_str(if hour >= 12 { "pm" } else { "am" }),
            "MST" => out.push_str("UTC"),
            "Z07:00:00" | "Z07:00" | "Z0700" | "Z07" => out.push('Z'),
            "-07:00:00" => out.push_str("+00:00:00"),
            "-07:00" => out.push_str("+00:00"),
            "-0700" => out.push_str("+0000"),
            "-07" => out.push_str("+00"),
            "_2006" => out.push_str(&format!("_{year:04}")),
            _ => {
                let digits = fraction_len(rest);
                len = 1 + digits;
                let text = format!("{nanos:09}");
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

/// Go's zero time, in nanoseconds as far as they reach: what a text that does not fit its layout gives.
const ZERO: i64 = i64::MIN;

/// A time in a layout, UTC where the text names no offset.
pub fn parse(layout: &str, text: &str) -> i64 {
    parse_parts(layout, text).map_or(ZERO, |(local, offset)| {
        local.saturating_sub(offset.unwrap_or(0) * NANOS)
    })
}

/// A time in a layout, in a named zone where the text names no offset.
pub fn parse_in_zone(layout: &str, zone: &str, text: &str) -> i64 {
    let Some((local, offset)) = parse_parts(layout, text) else {
        return ZERO;
    };
    let offset = offset.unwrap_or_else(|| zone_offset(zone, local.div_euclid(NANOS)));
    local.saturating_sub(offset * NANOS)
}

/// Seconds east of UTC at a local time.
fn zone_offset(zone: &str, local_seconds: i64) -> i64 {
    let (standard, rule) = match zone {
        "America/New_York" | "US/Eastern" | "America/Toronto" | "America/Detroit" => (-5, Rule::America),
        "America/Chicago" | "US/Central" => (-6, Rule::America),
        "America/Denver" | "US/Mountain" => (-7, Rule::America),
        "America/Los_Angeles" | "US/Pacific" => (-8, Rule::America),
        "Europe/London" | "Europe/Dublin" | "Europe/Lisbon" => (0, Rule::Europe),
        "Europe/Berlin" | "Europe/Paris" | "Europe/Madrid" | "Europe/Rome" | "Europe/Amsterdam" | "Europe/Vienna"
        | "Europe/Zurich" | "Europe/Stockholm" | "Europe/Oslo" | "Europe/Copenhagen" | "Europe/Warsaw"
        | "Europe/Prague" | "Europe/Brussels" | "Europe/Budapest" | "CET" => (1, Rule::Europe),
        "Europe/Helsinki" | "Europe/Athens" | "Europe/Kyiv" | "EET" => (2, Rule::Europe),
        "Asia/Tokyo" | "Asia/Seoul" | "Japan" => (9, Rule::None),
        "Asia/Shanghai" | "Asia/Singapore" | "Asia/Hong_Kong" | "Asia/Taipei" => (8, Rule::None),
        "Asia/Dubai" => (4, Rule::None),
        "Europe/Moscow" | "Europe/Istanbul" => (3, Rule::None),
        "Asia/Kolkata" | "Asia/Calcutta" => return 19_800,
        "America/Sao_Paulo" => (-3, Rule::None),
        _ => (0, Rule::None),
    };
    let (year, _, _) = civil(local_seconds.div_euclid(DAY));
    let summer = match rule {
        Rule::None => false,
        // Second Sunday of March to first Sunday of November, at two o'clock.
        Rule::America => {
            let start = sunday_from(days(year, 3, 8)) * DAY + 2 * 3600;
            let end = sunday_from(days(year, 11, 1)) * DAY + 2 * 3600;
            (start..end).contains(&local_seconds)
        }
        // Last Sundays of March and October, at one o'clock UTC.
        Rule::Europe => {
            let start = sunday_from(days(year, 3, 25)) * DAY + (1 + standard) * 3600;
            let end = sunday_from(days(year, 10, 25)) * DAY + (2 + standard) * 3600;
            (start..end).contains(&local_seconds)
        }
    };
    (standard + i64::from(summer)) * 3600
}

enum Rule {
    None,
    America,
    Europe,
}

/// The first Sunday on or after a day.
fn sunday_from(day: i64) -> i64 {
    day + (3 - day).rem_euclid(7)
}

/// Local nanoseconds since 1970 and the offset, if the text names one.
fn parse_parts(layout: &str, text: &str) -> Option<(i64, Option<i64>)> {
    let (mut year, mut month, mut date, mut yearday) = (0, 1, 1, None);
    let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
    let (mut pm, mut offset) = (None, None);
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
                if end < 3 {
                    return None;
                }
                if &text[..end] == "UTC" {
                    offset = Some(0);
                }
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
    let day = yearday.map_or(days(year, month, date), |n| days(year, 1, 1) + n - 1);
    let seconds = day * DAY + hour * 3600 + minute * 60 + second;
    Some((seconds.checked_mul(NANOS)?.checked_add(nanos)?, offset))
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
        let time = 1_679_577_215_123_456_789;
        for (layout, expected) in [
            ("2006-01-02T15:04:05Z07:00", "2023-03-23T13:13:35Z"),
            ("Jan 2 2006 3:04PM", "Mar 23 2023 1:13PM"),
            ("2006-01-02T15:04:05.000000000Z07:00", "2023-03-23T13:13:35.123456789Z"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "Thu, 23 Mar 2023 13:13:35 +0000"),
        ] {
            assert_eq!(format(time, layout), expected);
        }
        for (layout, text, expected) in [
            ("2006-01-02T15:04:05Z07:00", "2023-03-23T15:13:35+02:00", 1_679_577_215),
            ("2006-01-02T15:04:05Z", "2026-01-10T00:59:31Z", 1_768_006_771),
            ("Jan _2 2006", "Mar  5 2023", 1_677_974_400),
        ] {
            assert_eq!(parse(layout, text), expected * NANOS, "{text}");
        }
        assert_eq!(
            parse_in_zone("2006-01-02 15:04", "America/New_York", "2023-07-01 12:00"),
            1_688_227_200 * NANOS
        );
        assert_eq!(
            parse_in_zone("2006-01-02 15:04", "Europe/Berlin", "2023-01-01 12:00"),
            1_672_570_800 * NANOS
        );
        assert_eq!(parse("2006", "x"), ZERO);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(layout in "[-0-9A-Za-z:._é ]{0,20}", text in "[-0-9A-Za-z:.é ]{0,20}", time in proptest::num::i64::ANY) {
            let _ = parse_in_zone(&layout, "Europe/Berlin", &text);
            let _ = format(time, &layout);
        }
    }
}
