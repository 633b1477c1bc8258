//! Sizes as Loki spells them: `256KB`, `4MB`, `1.5GB`, `1048576`. `KB` and `KiB` both mean 1024 bytes.

const UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1 << 10),
    ("mb", 1 << 20),
    ("gb", 1 << 30),
    ("tb", 1 << 40),
    ("b", 1),
    ("", 1),
];

/// Reads a size in bytes; `None` where it is none or does not fit.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*scale),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * *scale as f64;
            (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_in_every_spelling() {
        for (text, expected) in [
            ("256KB", Some(262_144)),
            ("4MB", Some(4 << 20)),
            ("64 KiB", Some(65_536)),
            ("1.5GB", Some(3 << 29)),
            ("1048576", Some(1 << 20)),
            ("0", Some(0)),
            ("5B", Some(5)),
            ("", None),
            ("MB", None),
            ("-1", None),
            ("12 apples", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
