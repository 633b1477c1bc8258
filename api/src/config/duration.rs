//! Durations as Prometheus, Loki and Mimir spell them: `10m`, `30d1h`, `1w`, `1h30m`, `1.5s`, `0`.

use std::time::Duration;

const UNITS: [(&str, u64); 9] = [
    // Longer spellings first, so that `ms` is not read as `m`.
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("d", 86_400 * NANOS_PER_SECOND),
    ("w", 7 * 86_400 * NANOS_PER_SECOND),
];
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_YEAR: u64 = 365 * 86_400 * NANOS_PER_SECOND;

/// Reads a duration; `None` where it is none or does not fit 64 bits of nanoseconds.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total_ns = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(0);
        let (number, after) = rest.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| after.starts_with(name));
        let (unit_len, unit_ns) = match unit {
            Some((name, ns)) => (name.len(), *ns),
            None if after.starts_with('y') => (1, NANOS_PER_YEAR),
            None => return None,
        };
        let part_ns = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit_ns)?,
            Err(_) => {
                let ns = number.parse::<f64>().ok()? * unit_ns as f64;
                (ns < i64::MAX as f64).then_some(ns as u64)?
            }
        };
        total_ns = total_ns.checked_add(part_ns)?;
        rest = &after[unit_len..];
    }
    (total_ns <= i64::MAX as u64).then(|| Duration::from_nanos(total_ns))
}

/// The shortest spelling, as Prometheus prints a `model.Duration`: `30d1h`, `1w`, `500ms`.
pub fn format_duration(duration: Duration) -> String {
    let mut ms = duration.as_millis() as u64;
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    // Years, weeks and days stand only where nothing smaller remains, except as in `30d1h` (prometheus common
    // model/time.go, Duration.String: `exact` for y and w).
    let parts = [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    for (unit, unit_ms, exact) in parts {
        if exact && !ms.is_multiple_of(unit_ms) {
            continue;
        }
        if ms >= unit_ms {
            out.push_str(&format!("{}{unit}", ms / unit_ms));
            ms %= unit_ms;
        }
    }
    out
}

/// As Go prints a `time.Duration`: `491112h10m5s`, `1.5s`, `0s`.
pub fn format_go_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    if ns < NANOS_PER_SECOND {
        let (unit, scale) = match ns {
            0 => return "0s".to_string(),
            1..1_000 => ("ns", 1.0),
            1_000..1_000_000 => ("µs", 1e3),
            _ => ("ms", 1e6),
        };
        return format!("{sign}{}{unit}", ns as f64 / scale);
    }
    let seconds = ns / NANOS_PER_SECOND;
    let fraction = format!("{:09}", ns % NANOS_PER_SECOND);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}{dot}{fraction}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}{dot}{fraction}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}{dot}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_in_every_spelling() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_duration(text).map(|d| d.as_millis() as u64), expected, "{text}")
        };
        check("0", Some(0));
        check("0s", Some(0));
        check("10m", Some(600_000));
        check("1h30m", Some(5_400_000));
        check("30d1h", Some(30 * 86_400_000 + 3_600_000));
        check("1w", Some(7 * 86_400_000));
        check("1y", Some(365 * 86_400_000));
        check("87600h", Some(87_600 * 3_600_000));
        check("500ms", Some(500));
        check("1.5s", Some(1_500));
        for bad in [
            "",
            "10",
            "m",
            "1x",
            "-1m",
            "1m ",
            "1..5s",
            "999999y",
            "1e3s",
            "99999999999999999999s",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn durations_print_as_prometheus_and_go_print_them() {
        let check = |text: &str, prometheus: &str, go: &str| {
            let duration = parse_duration(text).expect("reads");
            assert_eq!(format_duration(duration), prometheus);
            assert_eq!(format_go_duration(duration.as_nanos() as i64), go);
        };
        check("30d1h", "30d1h", "721h0m0s");
        check("1w", "1w", "168h0m0s");
        check("8d", "8d", "192h0m0s");
        check("1m30s", "1m30s", "1m30s");
        check("1500ms", "1s500ms", "1.5s");
        check("250ms", "250ms", "250ms");
        check("0", "0s", "0s");
        assert_eq!(format_go_duration(-5_000_000_000), "-5s");
    }
}
