//! The decoders of a segment's sections and parts behind one function, for fuzzing.

use roaring::RoaringBitmap;

use super::directory::{PageEntry, PageStats, decode_chunks, decode_directory, encode_directory};
use super::footer::Footer;
use super::label_index::decode_labels;
use super::postings;
use super::sample_chunks::SampleChunks;
use super::series_groups::decode_groups;
use super::series_table::SeriesMessage;
use super::time_columns::{TimeHeads, decode_time_directory};
use crate::model::TimeRange;

/// Series and end of pages that the bytes are taken to be of.
const SERIES: u32 = 10_000;
const PAGES_END: u64 = 1 << 40;

/// Decodes `data` as the part that its first byte names; packed ones come as their raw bytes.
pub fn decode_parts(data: &[u8]) {
    let Some((part, raw)) = data.split_first() else {
        return;
    };
    let packed = super::bytes::pack(raw, 1);
    let pages: Vec<PageEntry> = decode_directory(&directory_of_two_pages(), PAGES_END, SERIES).unwrap_or_default();
    match part % 10 {
        0 => drop(Footer::decode(raw)),
        1 => drop(decode_directory(&packed, PAGES_END, SERIES)),
        2 => drop(decode_chunks(&packed, &pages)),
        3 => drop(decode_groups(&packed, PAGES_END, SERIES)),
        4 => drop(decode_time_directory(&packed, PAGES_END)),
        5 => {
            if let Ok(mut chunks) = SampleChunks::decode(&packed, 0..SERIES.min(8192), &pages) {
                chunks.set_bounds(&pages, |_| None);
            }
        }
        6 => drop(decode_labels(&packed, PAGES_END)),
        7 => {
            let count = u32::from(raw.first().copied().unwrap_or(0)) + 1;
            let mut out = RoaringBitmap::new();
            let _ = postings::read(raw.get(1..).unwrap_or(&[]), count, SERIES, &mut out);
        }
        8 => drop(SeriesMessage::decode(&packed, 0, 3)),
        _ => {
            let columns = u32::from(raw.first().copied().unwrap_or(0));
            drop(TimeHeads::parse(
                &super::bytes::pack(raw.get(1..).unwrap_or(&[]), 1),
                0,
                columns,
                100,
            ));
        }
    }
}

fn directory_of_two_pages() -> Vec<u8> {
    let page = |first_series: u32| PageEntry {
        first_series,
        last_series: first_series + 100,
        range: TimeRange::new(0, 1_000_000),
        rows: 1000,
        stats: PageStats::Logs { line_bytes: 1 },
        columns: Vec::new(),
    };
    encode_directory(&[page(0), page(100)])
}
