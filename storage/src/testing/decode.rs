//! Decoders of stored bytes, as one function that takes any bytes: what the fuzz target runs and the kept corpus is run
//! through.

use bytes::Bytes;

use crate::codec::compress::FLUSH_LEVEL;
use crate::codec::histogram_page::HistogramPage;
use crate::codec::log_page::LogPage;
use crate::codec::metric_page::{self, ChunkInput, MetricPage};
use crate::codec::times;
use crate::codec::varint::Reader;
use crate::model::TimeRange;
use crate::scan::LogColumns;

/// Rows of a page that is written again after it was read; larger ones are only read.
const MAX_ROWS_AGAIN: usize = 1 << 16;

/// Decodes `data` by the decoder that its first byte chooses. Bytes that no encoder wrote may be refused; nothing may panic,
/// and what is read must come back bit for bit when it is written and read again.
pub fn decode_any(data: &[u8]) {
    let Some((decoder, bytes)) = data.split_first() else {
        return;
    };
    match decoder % 6 {
        0 => metric_page(&Bytes::copy_from_slice(bytes)),
        1 => time_column(bytes),
        2 => log_page(&Bytes::copy_from_slice(bytes)),
        3 => crate::segment::decode_parts(bytes),
        4 => histogram_page(bytes),
        _ => crate::wal::decode_bodies(bytes),
    }
}

fn histogram_page(bytes: &[u8]) {
    let Ok(mut page) = HistogramPage::open(bytes) else {
        return;
    };
    for index in 0..page.chunk_count() {
        let rows = page.rows(index);
        if let Ok(found) = page.decode(index, TimeRange::new(i64::MIN, i64::MAX)) {
            assert!(found.len() <= rows);
        }
    }
}

fn metric_page(bytes: &Bytes) {
    let Ok(page) = MetricPage::open(bytes) else { return };
    let mut decoder = page.decoder();
    let mut read: Vec<Vec<f64>> = Vec::new();
    for index in 0..page.chunk_count() {
        if let Ok(values) = decoder.values(index) {
            assert_eq!(Some(values.len()), page.rows(index));
            read.push(values.to_vec());
        }
    }
    if read.iter().map(Vec::len).sum::<usize>() > MAX_ROWS_AGAIN {
        return;
    }
    let chunks: Vec<ChunkInput<'_>> = read
        .iter()
        .map(|values| ChunkInput {
            values,
            next_bucket: true,
        })
        .collect();
    for again in [
        metric_page::encode(&chunks, FLUSH_LEVEL),
        metric_page::encode_smallest(&chunks, FLUSH_LEVEL),
    ] {
        let again = again.map(Bytes::from).expect("values that were read can be written");
        let page = MetricPage::open(&again).expect("a page just written can be read");
        let mut decoder = page.decoder();
        for (index, values) in read.iter().enumerate() {
            let found = decoder.values(index).expect("a chunk just written can be read");
            assert!(found.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
        }
    }
}

fn time_column(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let (Ok(first), Ok(rows)) = (reader.zigzag("first"), reader.count(MAX_ROWS_AGAIN, "rows")) else {
        return;
    };
    let Ok(column) = times::decode(&mut reader, first, rows) else {
        return;
    };
    assert_eq!(column.len(), rows);
    let mut again = Vec::new();
    times::encode(&column, &mut again);
    let found = times::decode(&mut Reader::new(&again), first, rows);
    assert_eq!(found.as_ref(), Ok(&column));
}

fn log_page(bytes: &Bytes) {
    let Ok(page) = LogPage::open(bytes) else { return };
    let _ = page.decode(LogColumns {
        lines: true,
        metadata: true,
    });
    let _ = page.times();
}
