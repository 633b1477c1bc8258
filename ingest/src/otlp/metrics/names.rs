//! Names of metrics, labels and units as Prometheus makes them of OpenTelemetry's (prometheus/otlptranslator
//! `metric_namer.go`, `label_namer.go`, `strconv.go`, `unit_namer.go`).

use std::borrow::Cow;

use garner_storage::model::go_text::go_quote;

use super::config::OtlpMetricsConfig;
use super::point::Data;

/// Units whose names are longer than their signs (UCUM).
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// What stands behind "per".
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// Makes names by a tenant's rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namer {
    escapes: bool,
    adds_suffixes: bool,
    key_before_underscore: bool,
    keeps_underscores: bool,
}

impl Namer {
    pub(super) fn new(config: &OtlpMetricsConfig) -> Self {
        Namer {
            escapes: config.translation_strategy.escapes(),
            adds_suffixes: config.translation_strategy.adds_suffixes(),
            key_before_underscore: config.label_name_underscore_sanitization,
            keeps_underscores: config.label_name_preserve_multiple_underscores,
        }
    }

    /// Whether names become classic ones, so that several may become one.
    pub(super) fn escapes(&self) -> bool {
        self.escapes
    }

    /// The family's name of a metric; `Err` is the text where there is none.
    pub(super) fn metric(&self, name: &[u8], unit: &str, data: Data) -> Result<String, String> {
        let name = String::from_utf8_lossy(name);
        if !self.escapes {
            return Ok(self.whole_metric(&name, unit, data));
        }
        let escaped = match self.adds_suffixes {
            true => with_suffixes(&name, unit, data),
            false => joined(&name, |c| is_metric_char(c) || c == '_'),
        };
        let escaped = match escaped.starts_with(|c: char| c.is_ascii_digit()) {
            true => format!("_{escaped}"),
            false => escaped,
        };
        if escaped.is_empty() {
            return Err(format!(
                "normalization for metric {} resulted in empty name",
                go_quote(name.as_bytes())
            ));
        }
        if escaped != name && escaped.bytes().all(|b| b == b'_') {
            return Err(format!(
                "normalization for metric {} resulted in invalid name {}",
                go_quote(name.as_bytes()),
                go_quote(&escaped)
            ));
        }
        Ok(escaped)
    }

    /// A name that is not escaped, with the suffixes that it does not have yet.
    fn whole_metric(&self, name: &str, unit: &str, data: Data) -> String {
        let mut whole = name.to_string();
        if !self.adds_suffixes {
            return whole;
        }
        let ratio = unit == "1" && data == Data::Gauge;
        let total = data == Data::Sum { monotonic: true };
        let (main, per) = unit_words(unit);
        for (wanted, suffix) in [(ratio, "ratio"), (total, "total"), (!per.is_empty(), &per)] {
            // The delimiter goes with the suffix, whatever it is.
            if wanted && whole.ends_with(suffix) && whole.len() > suffix.len() + 1 {
                whole.truncate(whole.floor_char_boundary(whole.len() - suffix.len() - 1));
            }
        }
        let has_main = main.is_empty() || whole.ends_with(&main);
        for (wanted, suffix) in [
            (!has_main, &*main),
            (!per.is_empty(), &per),
            (total, "total"),
            (ratio, "ratio"),
        ] {
            if wanted {
                whole.push('_');
                whole.push_str(suffix);
            }
        }
        whole
    }

    /// The label that an attribute becomes; `Err` is the text where it cannot become one.
    pub(super) fn label<'a>(&self, name: &Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, String> {
        if name.is_empty() {
            return Err("label name is empty".to_string());
        }
        let only_underscores = |name: &[u8]| name.iter().all(|b| *b == b'_');
        if !self.escapes {
            return match only_underscores(name) {
                true => Err(format!(
                    "label name {} contains only underscores",
                    go_quote(String::from_utf8_lossy(name).as_bytes())
                )),
                false => Ok(name.clone()),
            };
        }
        let mut label = self.escaped_label(name);
        if label.first().is_some_and(u8::is_ascii_digit) {
            label.splice(0..0, *b"key_");
        } else if self.key_before_underscore && label.starts_with(b"_") && !label.starts_with(b"__") {
            label.splice(0..0, *b"key");
        }
        if only_underscores(&label) {
            return Err(format!(
                "normalization for label name {} resulted in invalid name {}",
                go_quote(String::from_utf8_lossy(name).as_bytes()),
                go_quote(String::from_utf8_lossy(&label).as_bytes())
            ));
        }
        Ok(match label == **name {
            true => name.clone(),
            false => Cow::Owned(label),
        })
    }

    fn escaped_label(&self, name: &[u8]) -> Vec<u8> {
        let reserved = name.strip_prefix(b"__").and_then(|n| n.strip_suffix(b"__"));
        let reserved = reserved.filter(|_| !self.keeps_underscores);
        let mut out = Vec::with_capacity(name.len() + 4);
        let mut push = |valid: Option<char>| match valid.filter(char::is_ascii_alphanumeric) {
            Some(c) => out.push(c as u8),
            None if !self.keeps_underscores && out.last() == Some(&b'_') => {}
            None => out.push(b'_'),
        };
        for chunk in reserved.unwrap_or(name).utf8_chunks() {
            chunk.valid().chars().for_each(|c| push(Some(c)));
            chunk.invalid().iter().for_each(|_| push(None));
        }
        match reserved {
            Some(_) => [b"__", &*out, b"__"].concat(),
            None => out,
        }
    }

    /// The unit for the label of it, of one that was named before.
    pub(super) fn unit_label(&self, unit: &str) -> String {
        named_unit(unit, self.escapes)
    }
}

/// The unit for metadata.
pub(super) fn unit(unit: &str) -> String {
    named_unit(unit, true)
}

fn named_unit(unit: &str, escapes: bool) -> String {
    let (mut main, mut per) = unit_words(unit);
    if escapes {
        (main, per) = (clean_unit(&main), clean_unit(&per));
    }
    let named = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        (true, _) => per,
    };
    let named = named.strip_prefix('_').unwrap_or(&named);
    named.strip_suffix('_').unwrap_or(named).to_string()
}

/// Words of a metric's name, joined by one `_`; those of its unit and type come last, each once.
fn with_suffixes(name: &str, unit: &str, data: Data) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = (clean_unit(&main), clean_unit(&per));
    let mut words: Vec<&str> = name.split(|c| !is_metric_char(c)).filter(|w| !w.is_empty()).collect();
    let per = match &*per {
        "per_" => "",
        per => per.strip_suffix('_').unwrap_or(per),
    };
    let per = if words.contains(&per) { "" } else { per };
    let main = if words.contains(&&*main) { "" } else { &*main };
    let main = match per.is_empty() {
        true => main,
        false => main.strip_suffix('_').unwrap_or(main),
    };
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let last = match (data, unit) {
        (Data::Sum { monotonic: true }, _) => Some("total"),
        (Data::Gauge, "1") => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|word| *word != last);
        words.push(last);
    }
    words.join("_")
}

/// The parts of `name` that hold only such characters, joined by `_`.
fn joined(name: &str, keep: impl Fn(char) -> bool) -> String {
    let parts: Vec<&str> = name.split(|c| !keep(c)).filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The unit in words, and what it is per.
fn unit_words(unit: &str) -> (String, String) {
    let word = |sign: &str, words: &[(&str, &'static str)]| {
        let sign = sign.trim();
        if sign.contains(['{', '}']) {
            return String::new();
        }
        let found = words.iter().find(|(known, _)| *known == sign);
        found.map_or(sign, |(_, word)| word).to_string()
    };
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let per = word(per, &PER_UNITS);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    (word(main, &UNITS), per)
}

/// A unit as part of a classic name: what that does not allow becomes `_`, runs of it one, none in front.
fn clean_unit(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        if is_metric_char(c) {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    match out.strip_prefix('_') {
        Some(rest) => rest.to_string(),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::TranslationStrategy;
    use super::*;

    fn namer(translation_strategy: TranslationStrategy) -> Namer {
        Namer::new(&OtlpMetricsConfig {
            translation_strategy,
            ..OtlpMetricsConfig::default()
        })
    }

    const COUNTER: Data = Data::Sum { monotonic: true };

    #[test]
    fn classic_names_get_units_and_types() {
        let namer = namer(TranslationStrategy::UnderscoreEscapingWithSuffixes);
        for (name, unit, data, expected) in [
            (
                "http.server.duration",
                "s",
                Data::Histogram,
                "http_server_duration_seconds",
            ),
            ("requests", "1", COUNTER, "requests_total"),
            ("requests.total.done", "", COUNTER, "requests_done_total"),
            ("cpu.utilization", "1", Data::Gauge, "cpu_utilization_ratio"),
            ("ratio.of.x", "1", Data::Gauge, "of_x_ratio"),
            ("disk.io", "By/s", Data::Gauge, "disk_io_bytes_per_second"),
            ("bytes.sent", "By", COUNTER, "bytes_sent_total"),
            ("packets", "{packet}", COUNTER, "packets_total"),
            ("packets", "{packet}/s", Data::Gauge, "packets_per_second"),
            ("5xx", "", Data::Gauge, "_5xx"),
            ("a__b..c", "", Data::Gauge, "a_b_c"),
            ("ns:x", "m/d", Data::Gauge, "ns:x_meters_per_day"),
            ("x", "m²", Data::Gauge, "x_m_"),
            ("x", "°", Data::Gauge, "x"),
        ] {
            assert_eq!(
                namer.metric(name.as_bytes(), unit, data).as_deref(),
                Ok(expected),
                "{name} {unit}"
            );
        }
        let refused = |name: &str| namer.metric(name.as_bytes(), "", Data::Gauge).err();
        assert_eq!(
            refused("").as_deref(),
            Some("normalization for metric \"\" resulted in empty name")
        );
        assert_eq!(
            refused("--").as_deref(),
            Some("normalization for metric \"--\" resulted in empty name")
        );
    }

    #[test]
    fn other_strategies_leave_more_as_it_is() {
        use TranslationStrategy::*;
        for (strategy, name, unit, data, expected) in [
            (UnderscoreEscapingWithoutSuffixes, "a..b_c", "s", COUNTER, "a_b_c"),
            (UnderscoreEscapingWithoutSuffixes, "5.x", "s", COUNTER, "_5_x"),
            (
                NoUtf8EscapingWithSuffixes,
                "http.duration",
                "s",
                Data::Histogram,
                "http.duration_seconds",
            ),
            (
                NoUtf8EscapingWithSuffixes,
                "requests.total",
                "",
                COUNTER,
                "requests_total",
            ),
            (
                NoUtf8EscapingWithSuffixes,
                "disk.io",
                "By/s",
                COUNTER,
                "disk.io_bytes_per_second_total",
            ),
            (NoUtf8EscapingWithSuffixes, "a.seconds", "s", Data::Gauge, "a.seconds"),
            (NoUtf8EscapingWithSuffixes, "größeétotal", "", COUNTER, "größe_total"),
            (NoUtf8EscapingWithSuffixes, "util", "1", Data::Gauge, "util_ratio"),
            (NoTranslation, "requests.total", "s", COUNTER, "requests.total"),
        ] {
            assert_eq!(
                namer(strategy).metric(name.as_bytes(), unit, data).as_deref(),
                Ok(expected),
                "{strategy:?} {name}"
            );
        }
    }

    #[test]
    fn attributes_become_labels() {
        let by_default = namer(TranslationStrategy::UnderscoreEscapingWithSuffixes);
        let collapsing = Namer::new(&OtlpMetricsConfig {
            label_name_underscore_sanitization: false,
            label_name_preserve_multiple_underscores: false,
            ..OtlpMetricsConfig::default()
        });
        let label = |namer: &Namer, name: &str| {
            let label = namer.label(&Cow::Borrowed(name.as_bytes()));
            label.map(|label| String::from_utf8_lossy(&label).into_owned())
        };
        for (name, expected, collapsed) in [
            ("http.method", "http_method", "http_method"),
            ("a..b", "a__b", "a_b"),
            ("1st", "key_1st", "key_1st"),
            ("_private", "key_private", "_private"),
            ("__a.b__", "__a_b__", "__a_b__"),
            ("__a__b__", "__a__b__", "__a_b__"),
            ("日x", "key_x", "_x"),
        ] {
            assert_eq!(label(&by_default, name).as_deref(), Ok(expected));
            assert_eq!(label(&collapsing, name).as_deref(), Ok(collapsed));
        }
        assert_eq!(
            label(&collapsing, "..").err().as_deref(),
            Some("normalization for label name \"..\" resulted in invalid name \"_\"")
        );
        let whole = namer(TranslationStrategy::NoTranslation);
        assert_eq!(label(&whole, "http.method").as_deref(), Ok("http.method"));
        assert_eq!(
            label(&whole, "__").err().as_deref(),
            Some("label name \"__\" contains only underscores")
        );
    }

    #[test]
    fn units_are_named() {
        for (sign, expected) in [
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("{x}", ""),
            ("1", ""),
            ("/s", "per_second"),
            ("m²", "m"),
        ] {
            assert_eq!(unit(sign), expected);
        }
    }
}
