//! The benchmark's fleet as the segments that a store holds of it: what of their bytes are values, times, labels, index.

use anyhow::{Context, Result};
use garner_storage::model::{Labels, SeriesKey, TenantId};
use garner_storage::segment::{SampleSegmentWriter, SegmentSizes, segment_sizes};

use super::families;
use super::fleet::Target;

/// Scrapes of two hours, of half an hour (what a flush writes), and of a day.
const TWO_HOURS: usize = 480;
const HALF_HOUR: usize = 120;
const DAY: usize = 5760;

/// Levels of segments, see `SegmentMeta::level`.
const FLUSHED: u8 = 0;
const COMPACTED_TO_TWO_HOURS: u8 = 1;
const COMPACTED_TO_A_DAY: u8 = 2;

/// Prints the fleet of so many targets over two hours, flushed and compacted, and one of as many samples over a day; `families`
/// adds what each metric family takes.
pub fn run(targets: usize, families: bool, speed: bool) -> Result<()> {
    let fleet = Fleet::new(targets, TWO_HOURS);
    fleet.print("fleet over 2 h, flushed each half hour", HALF_HOUR, FLUSHED)?;
    fleet.print("fleet over 2 h, one segment", TWO_HOURS, COMPACTED_TO_TWO_HOURS)?;
    if families {
        fleet.print_families(speed)?;
    }
    drop(fleet);
    let day = Fleet::new((targets * TWO_HOURS).div_ceil(DAY), DAY);
    let name = "fleet over 24 h with as many samples, one segment";
    day.print(name, DAY, COMPACTED_TO_A_DAY)?;
    if families {
        day.print_families(speed)?;
    }
    Ok(())
}

struct Fleet {
    /// Nanoseconds, by target.
    times: Vec<Vec<i64>>,
    /// Labels, target and values, in the order of series.
    series: Vec<(SeriesKey, usize, Vec<f64>)>,
}

impl Fleet {
    fn new(targets: usize, scrapes: usize) -> Fleet {
        let (mut times, mut series) = (Vec::with_capacity(targets), Vec::new());
        let mut values = Vec::new();
        for number in 0..targets {
            let mut target = Target::new(number);
            let mut own: Vec<(SeriesKey, usize, Vec<f64>)> = target
                .series
                .iter()
                .map(|s| Labels::from_pairs(s.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
                .map(|labels| (SeriesKey(labels), number, Vec::with_capacity(scrapes)))
                .collect();
            let mut column = Vec::with_capacity(scrapes);
            for scrape in 0..scrapes {
                column.push(target.scrape(scrape, &mut values) * 1_000_000);
                own.iter_mut()
                    .zip(&values)
                    .for_each(|((_, _, all), value)| all.push(*value));
            }
            times.push(column);
            series.append(&mut own);
        }
        series.sort_by(|a, b| a.0.cmp(&b.0));
        Fleet { times, series }
    }

    fn print_families(&self, speed: bool) -> Result<()> {
        let series = self.series.iter();
        families::print(series.map(|(key, _, values)| (&key.0, values.as_slice())), speed)
    }

    /// Writes segments of `scrapes` scrapes each, as of this level.
    fn print(&self, name: &str, scrapes: usize, level: u8) -> Result<()> {
        let all = self.times.first().map_or(0, Vec::len);
        let mut sizes = SegmentSizes::default();
        for from in (0..all).step_by(scrapes) {
            let rows = from..(from + scrapes).min(all);
            let mut writer = SampleSegmentWriter::new(TenantId::new("bench")?, level);
            for (key, target, values) in &self.series {
                writer.push_series(&key.0, &self.times[*target][rows.clone()], &values[rows.clone()])?;
            }
            let segment = writer.finish()?.context("an empty segment")?;
            sizes.add(&segment_sizes(&segment.bytes)?);
        }
        let samples = sizes.rows as f64;
        println!(
            "## {name}: {} segments, {} series, {} samples",
            sizes.segments,
            self.series.len(),
            sizes.rows
        );
        for (part, bytes) in sizes.parts() {
            println!("{part:<14} {bytes:>12} bytes {:>9.4} a sample", bytes as f64 / samples);
        }
        let total = sizes.total();
        println!(
            "{:<14} {total:>12} bytes {:>9.4} a sample\n",
            "everything",
            total as f64 / samples
        );
        Ok(())
    }
}
