//! Log pages beside bare zstd on the bytes of the same lines.

use std::hint::black_box;

use anyhow::{Result, ensure};
use arrow_array::BinaryArray;
use garner_storage::codec::compress::{COMPACTED_LEVEL, FLUSH_LEVEL};
use garner_storage::codec::log_page::{self, LogPageInput, TARGET_PAGE_BYTES};
use garner_storage::model::Labels;

use super::lines::{BASE_NS, Lines};
use super::measure::{figure, rate};

/// Pages, each of one stream.
const PAGES: usize = 16;
/// Time between two lines.
const STEP_NS: i64 = 7_300_000;

struct Page {
    times: Vec<i64>,
    lines: BinaryArray,
    /// The code of each row's set: none but the level, as the server derives it.
    derived: Vec<u32>,
    metadata: Vec<u32>,
}

impl Page {
    fn new(stream: usize) -> Page {
        let mut source = Lines::new(stream as u64);
        let (mut texts, mut bytes) = (Vec::new(), 0);
        while bytes < TARGET_PAGE_BYTES && texts.len() < log_page::TARGET_PAGE_ROWS {
            let line = source.next(stream);
            bytes += line.len();
            texts.push(line);
        }
        let rows = texts.len();
        Page {
            times: (0..rows as i64)
                .map(|row| BASE_NS + row * STEP_NS + row % 11 * 1000)
                .collect(),
            derived: texts.iter().map(|line| 1 + u32::from(line.contains("rror"))).collect(),
            metadata: vec![0; rows],
            lines: texts.iter().map(|line| Some(line.as_bytes())).collect(),
        }
    }

    fn encode(&self, sets: &[Labels], level: i32) -> Result<Vec<u8>> {
        Ok(log_page::encode(
            &LogPageInput {
                chunk_rows: &[self.times.len() as u32],
                timestamps: &self.times,
                lines: &self.lines,
                metadata_sets: sets,
                metadata: &self.metadata,
                derived: &self.derived,
            },
            level,
        )?)
    }
}

/// Prints sizes, and with `speed` the speeds of both.
pub fn run(speed: bool) -> Result<()> {
    let pages: Vec<Page> = (0..PAGES).map(Page::new).collect();
    let level = |level: &str| Labels::from_pairs([("detected_level", level)]);
    let sets = [Labels::empty(), level("info"), level("error")];
    let raw: usize = pages.iter().map(|page| page.lines.value_data().len()).sum();
    ensure!(raw > PAGES * TARGET_PAGE_BYTES / 2, "pages are half empty: {raw} bytes");
    println!("## log pages of the generator's lines: {PAGES} pages, {raw} bytes of lines");
    for (name, level) in [("flushed", FLUSH_LEVEL), ("compacted", COMPACTED_LEVEL)] {
        let (mut own, mut bare) = (0, 0);
        for page in &pages {
            own += page.encode(&sets, level)?.len();
            bare += zstd::bulk::compress(page.lines.value_data(), level)?.len();
        }
        figure(
            &format!("{name}, raw bytes a stored byte"),
            raw as f64 / own as f64,
            None,
        );
        figure(
            &format!("bare zstd-{level} of the lines alone"),
            raw as f64 / bare as f64,
            None,
        );
    }
    if speed {
        let encode = rate(raw, || {
            for page in &pages {
                black_box(page.encode(&sets, FLUSH_LEVEL)?);
            }
            Ok(())
        })?;
        let mut compressor = zstd::bulk::Compressor::new(FLUSH_LEVEL)?;
        let bare = rate(raw, || {
            for page in &pages {
                black_box(compressor.compress(page.lines.value_data())?);
            }
            Ok(())
        })?;
        figure("encode, MB of lines per CPU second", encode / 1e6, None);
        figure("bare zstd-1", bare / 1e6, None);
        figure("encode, of bare zstd-1", encode / bare, Some((0.35, false)));
    }
    println!();
    Ok(())
}
