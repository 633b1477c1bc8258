//! Series to measure codecs on, and how a recording becomes series of several hosts.

use super::recording::{ABSENT, Recording, Target};

/// One series of one host.
#[derive(Clone, Debug)]
pub struct Series {
    /// What kind of numbers it has, for the table by class.
    pub class: &'static str,
    /// Label pairs in no order.
    pub labels: Vec<(String, String)>,
    /// Nanoseconds.
    pub times: Vec<i64>,
    /// As many values.
    pub values: Vec<f64>,
}

/// One second of a recording stands for a scrape interval of so much.
const INTERVAL_MS: i64 = 15_000;
const SECOND_MS: i64 = 1_000;

/// `rows` scrapes after each other are one host, every `every`-th scrape being taken; at most `hosts` of them.
pub fn hosts(recording: &Recording, rows: usize, every: usize, hosts: usize) -> Vec<Series> {
    let mut out = Vec::new();
    for (number, target) in recording.targets.iter().enumerate() {
        let taken: Vec<usize> = (0..target.times_ms.len()).step_by(every).collect();
        for (host, scrapes) in taken.chunks_exact(rows).take(hosts).enumerate() {
            let instance = format!("10.1.{host}.1:9{number}00");
            let times = grid_times(target, scrapes);
            for (name, values) in &target.series {
                let rows = scrapes.iter().zip(&times).filter(|(i, _)| values[**i] != ABSENT);
                let (times, values): (Vec<i64>, Vec<f64>) = rows.map(|(i, t)| (*t, f64::from_bits(values[*i]))).unzip();
                if values.is_empty() {
                    continue;
                }
                let mut labels = pairs(name);
                labels.push(("instance".to_string(), instance.clone()));
                labels.push(("job".to_string(), format!("job-{number}")));
                out.push(Series {
                    class: class(name, &values),
                    labels,
                    times,
                    values,
                });
            }
        }
    }
    out
}

/// The scrapes' times on a grid of [`INTERVAL_MS`], each as many milliseconds beside it as it was beside its own second.
fn grid_times(target: &Target, scrapes: &[usize]) -> Vec<i64> {
    let start = target.times_ms.first().copied().unwrap_or(0);
    let base = start - start % INTERVAL_MS;
    let mut times: Vec<i64> = (0..)
        .zip(scrapes)
        .map(|(row, scrape)| {
            let real = target.times_ms[*scrape] - start;
            let second = (real + SECOND_MS / 2).div_euclid(SECOND_MS);
            base + start % SECOND_MS + row * INTERVAL_MS + (real - second * SECOND_MS)
        })
        .collect();
    // A recorder that fell behind by more than an interval would not ascend; Prometheus would have skipped the scrape.
    for i in 1..times.len() {
        times[i] = times[i].max(times[i - 1] + 1);
    }
    times.iter().map(|t| t * 1_000_000).collect()
}

/// `name{a="b",...}` as pairs.
fn pairs(series: &str) -> Vec<(String, String)> {
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut out = vec![("__name__".to_string(), name.to_string())];
    let mut rest = rest.trim_end_matches('}');
    while let Some((label, behind)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let mut end = behind.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                c => value.push(c),
            }
        }
        out.push((label.to_string(), value));
        rest = behind[end..].trim_start_matches(',');
    }
    out
}

/// A rough kind, by name and values.
fn class(name: &str, values: &[f64]) -> &'static str {
    let whole = values.iter().all(|v| v.fract() == 0.0 || v.is_nan());
    let decimal = values
        .iter()
        .all(|v| v.is_nan() || ((v * 1e9).round() / 1e9 == *v && v.abs() < 4e6));
    let rises = values.windows(2).all(|w| w[1] >= w[0]);
    if values.windows(2).all(|w| w[0].to_bits() == w[1].to_bits()) {
        "const"
    } else if name.contains("_bucket{") {
        "hist_bucket"
    } else {
        match (whole, decimal, rises) {
            (true, _, true) => "int_counter",
            (true, _, false) => "int_gauge",
            (false, true, true) => "dec_counter",
            (false, true, false) => "dec_gauge",
            (false, false, _) => "float",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_written() {
        let pair = |n: &str, v: &str| (n.to_string(), v.to_string());
        assert_eq!(pairs("up"), [pair("__name__", "up")]);
        let read = pairs(r#"a{b="c,\"d\\",e=""}"#);
        assert_eq!(read, [pair("__name__", "a"), pair("b", "c,\"d\\"), pair("e", "")]);
    }
}
