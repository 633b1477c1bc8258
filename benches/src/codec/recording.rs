//! Real scrapes, kept: what two exporters said once a second for forty minutes, as columns under zstd.
//!
//! ```text
//! file    = "GRNRSCRP", u8 version (1), zstd frame of the rest
//! rest    = varint targets, target *
//! target  = varint scrapes, zigzag varint difference to the time before (milliseconds, the first: to 0) * scrapes
//!           varint series, series *
//! series  = varint length, labels as the exporter writes them (`name{...}`)
//!           8 planes: byte k of each scrape's value bits XOR those of the scrape before (the first: XOR 0), least
//!           significant plane first
//! ```
//!
//! A scrape that lacks a series has [`ABSENT`] there. Values are kept as they were sent, host names are not.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;

const MAGIC: &[u8; 9] = b"GRNRSCRP\x01";
/// Bits of a value that was not there: a NaN that no exporter sends.
pub const ABSENT: u64 = 0x7ff8_dead_dead_dead;
/// Strong, since it runs once.
const ZSTD_LEVEL: i32 = 19;

/// One exporter's scrapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Milliseconds of each scrape.
    pub times_ms: Vec<i64>,
    /// Name and labels as written, and a value (its bits) for each scrape.
    pub series: Vec<(String, Vec<u64>)>,
}

/// All of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Its exporters.
    pub targets: Vec<Target>,
}

impl Recording {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        put_varint(&mut raw, self.targets.len() as u64);
        for target in &self.targets {
            put_varint(&mut raw, target.times_ms.len() as u64);
            let mut before = 0;
            for time in &target.times_ms {
                let delta = time - before;
                put_varint(&mut raw, ((delta << 1) ^ (delta >> 63)) as u64);
                before = *time;
            }
            put_varint(&mut raw, target.series.len() as u64);
            for (labels, values) in &target.series {
                put_varint(&mut raw, labels.len() as u64);
                raw.extend_from_slice(labels.as_bytes());
                let mut before = 0;
                let xors: Vec<[u8; 8]> = values
                    .iter()
                    .map(|bits| (bits ^ std::mem::replace(&mut before, *bits)).to_le_bytes())
                    .collect();
                for plane in 0..8 {
                    raw.extend(xors.iter().map(|xor| xor[plane]));
                }
            }
        }
        let mut out = MAGIC.to_vec();
        out.extend(zstd::encode_all(raw.as_slice(), ZSTD_LEVEL)?);
        Ok(out)
    }

    /// Reads what [`Recording::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Recording> {
        let frame = bytes.strip_prefix(MAGIC).context("this is no recording of scrapes")?;
        let raw = zstd::decode_all(frame)?;
        let mut rest = raw.as_slice();
        let mut recording = Recording::default();
        for _ in 0..varint(&mut rest)? {
            let scrapes = varint(&mut rest)? as usize;
            let mut target = Target::default();
            let mut time = 0;
            for _ in 0..scrapes {
                let n = varint(&mut rest)?;
                time += (n >> 1) as i64 ^ -((n & 1) as i64);
                target.times_ms.push(time);
            }
            for _ in 0..varint(&mut rest)? {
                let length = varint(&mut rest)? as usize;
                let labels = std::str::from_utf8(take(&mut rest, length)?)?.to_string();
                let planes = take(&mut rest, scrapes * 8)?;
                let mut before = 0;
                let values = (0..scrapes).map(|i| {
                    before ^= (0..8).fold(0, |bits, plane| {
                        bits | u64::from(planes[plane * scrapes + i]) << (8 * plane)
                    });
                    before
                });
                let values = values.collect();
                target.series.push((labels, values));
            }
            recording.targets.push(target);
        }
        ensure!(rest.is_empty(), "bytes behind a recording");
        Ok(recording)
    }

    /// Reads the recording that lies with the benchmarks.
    pub fn kept() -> Result<Recording> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/scrapes.bin");
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Recording::from_bytes(&bytes)
    }
}

/// What `scripts/record-scrapes.py` wrote of one exporter: `<target> <unix ms> <bytes>`, a line break and the body, again
/// and again, under gzip. Keeps the first `scrapes`.
pub fn parse(path: &Path, scrapes: usize, hide: &[String]) -> Result<Target> {
    let mut text = Vec::new();
    // A recorder that was stopped leaves a cut stream; what came before counts.
    let end = MultiGzDecoder::new(std::fs::File::open(path)?).read_to_end(&mut text);
    let mut rest = text.as_slice();
    let mut target = Target::default();
    let mut series: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while target.times_ms.len() < scrapes {
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            break;
        };
        let head = std::str::from_utf8(&rest[..end])?;
        let mut fields = head.split(' ').skip(1);
        let time = fields.next().context("a head without time")?.parse()?;
        let length: usize = fields.next().context("a head without length")?.parse()?;
        let Some(body) = rest.get(end + 1..end + 1 + length) else {
            break;
        };
        rest = &rest[end + 1 + length..];
        let scrape = target.times_ms.len();
        target.times_ms.push(time);
        for line in std::str::from_utf8(body)?.lines().filter(|l| !l.starts_with('#')) {
            let Some((labels, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let mut labels = labels.to_string();
            for value in hide {
                labels = labels.replace(&format!("=\"{value}\""), "=\"host\"");
            }
            let value: f64 = value.parse().with_context(|| format!("the value of {line}"))?;
            let values = series.entry(labels).or_default();
            values.resize(scrape, ABSENT);
            values.push(value.to_bits());
        }
    }
    ensure!(
        target.times_ms.len() == scrapes,
        "{} holds {} scrapes of {scrapes} ({end:?})",
        path.display(),
        target.times_ms.len()
    );
    for values in series.values_mut() {
        values.resize(scrapes, ABSENT);
    }
    target.series = series.into_iter().collect();
    Ok(target)
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first().context("a recording that is cut short")?;
        *rest = behind;
        n |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    Ok(n)
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(n).context("a recording that is cut short")?;
    *rest = behind;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_comes_back() -> Result<()> {
        let series = |name: &str, values: [f64; 3]| (name.to_string(), values.map(f64::to_bits).to_vec());
        let target = Target {
            times_ms: vec![1_700_000_000_000, 1_700_000_001_003, 1_700_000_001_990],
            series: vec![
                series("up", [1.0, 1.0, 0.0]),
                ("gone{a=\"b\"}".to_string(), vec![ABSENT, 1f64.to_bits(), ABSENT]),
            ],
        };
        let recording = Recording {
            targets: vec![target.clone(), Target::default(), target],
        };
        assert_eq!(Recording::from_bytes(&recording.to_bytes()?)?, recording);
        Ok(())
    }
}
