//! What stands behind the numbers in a record of samples with more: start times, native histograms, exemplars, metadata.
//! See FORMAT.md, "Samples with more".

use std::sync::Arc;

use super::body::{BadBody, Input, put_series_and_times, put_varint, unzigzag, zigzag};
use crate::codec::histogram_bytes::{HistogramReader, HistogramWriter};
use crate::head::{ExemplarRows, SampleRows};
use crate::model::{Exemplar, MetadataRef, MetricType};
use crate::scan::HistogramColumn;

const START_TIMES: u8 = 1;
const HISTOGRAMS: u8 = 2;
const EXEMPLARS: u8 = 3;
const METADATA: u8 = 4;

/// Appends a block for each kind of thing that is there.
pub(super) fn put_side(out: &mut Vec<u8>, rows: &SampleRows) {
    let mut block = Vec::new();
    let mut put = |kind: u8, block: &mut Vec<u8>| {
        if !block.is_empty() {
            out.push(kind);
            put_varint(out, block.len() as u64);
            out.append(block);
        }
    };
    put_start_times(&mut block, &rows.start_times);
    put(START_TIMES, &mut block);
    put_histograms(&mut block, &rows.histograms);
    put(HISTOGRAMS, &mut block);
    put_exemplars(&mut block, &rows.exemplars);
    put(EXEMPLARS, &mut block);
    put_metadata(&mut block, rows);
    put(METADATA, &mut block);
}

/// Reads the blocks behind the numbers of `rows`.
pub(super) fn take_side(input: &mut Input<'_>, rows: &mut SampleRows) -> Result<(), BadBody> {
    while !input.0.is_empty() {
        let kind = input.take(1)?[0];
        let len = input.count(1)?;
        let mut block = Input(input.take(len)?);
        match kind {
            START_TIMES => rows.start_times = take_start_times(&mut block, rows.times.len())?,
            HISTOGRAMS => rows.histograms = take_histograms(&mut block, rows.times.len())?,
            EXEMPLARS => rows.exemplars = take_exemplars(&mut block)?,
            METADATA => take_metadata(&mut block, rows)?,
            _ => {
                return Err(BadBody(
                    "a kind of block this garner does not know; a newer one wrote it",
                ));
            }
        }
        if !block.0.is_empty() {
            return Err(BadBody("a block with bytes left over"));
        }
    }
    Ok(())
}

fn put_start_times(out: &mut Vec<u8>, times: &[i64]) {
    let mut previous = 0i64;
    for time in times {
        put_varint(out, zigzag(time.wrapping_sub(previous)));
        previous = *time;
    }
}

fn take_start_times(input: &mut Input<'_>, rows: usize) -> Result<Vec<i64>, BadBody> {
    let mut times = Vec::with_capacity(rows);
    let mut previous = 0i64;
    for _ in 0..rows {
        previous = previous.wrapping_add(unzigzag(input.varint()?));
        times.push(previous);
    }
    Ok(times)
}

fn put_histograms(out: &mut Vec<u8>, column: &HistogramColumn) {
    if column.is_empty() {
        return;
    }
    put_varint(out, column.len() as u64);
    let mut next = 0;
    for row in &column.rows {
        put_varint(out, u64::from(row - next));
        next = row + 1;
    }
    let mut writer = HistogramWriter::default();
    column.values.iter().for_each(|histogram| writer.push(histogram, out));
}

fn take_histograms(input: &mut Input<'_>, rows: usize) -> Result<HistogramColumn, BadBody> {
    let bad = BadBody("a histogram that cannot be read");
    let count = input.count(1)?;
    let mut column = HistogramColumn::default();
    let mut next = 0u64;
    for _ in 0..count {
        let row = next.saturating_add(input.varint()?);
        if row >= rows as u64 {
            return Err(BadBody("a histogram without a row"));
        }
        column.rows.push(row as u32);
        next = row + 1;
    }
    let mut reader = HistogramReader::new(input.0);
    for _ in 0..count {
        column.values.push(Arc::new(reader.read().map_err(|_| bad)?.clone()));
    }
    input.0 = reader.rest();
    Ok(column)
}

fn put_exemplars(out: &mut Vec<u8>, rows: &ExemplarRows) {
    if rows.is_empty() {
        return;
    }
    put_varint(out, rows.series.len() as u64);
    let times: Vec<i64> = rows.exemplars.iter().map(|e| e.time).collect();
    put_series_and_times(out, &rows.series, &times);
    for exemplar in &rows.exemplars {
        out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        put_varint(out, exemplar.labels.size_bytes() as u64);
        out.extend_from_slice(exemplar.labels.as_bytes());
    }
}

fn take_exemplars(input: &mut Input<'_>) -> Result<ExemplarRows, BadBody> {
    let count = input.count(11)?;
    let (series, times) = input.series_and_times(count)?;
    let mut rows = ExemplarRows {
        series,
        exemplars: Vec::with_capacity(count),
    };
    for time in times {
        let value = f64::from_bits(input.i64()? as u64);
        let labels = input.labels()?;
        rows.exemplars.push(Exemplar { labels, value, time });
    }
    Ok(rows)
}

fn put_metadata(out: &mut Vec<u8>, rows: &SampleRows) {
    let text = |out: &mut Vec<u8>, text: &str| {
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    };
    for (metric, known) in rows.metadata.iter() {
        for metadata in known {
            text(out, metric);
            out.push(metadata.kind as u8);
            text(out, &metadata.help);
            text(out, &metadata.unit);
        }
    }
}

fn take_metadata(input: &mut Input<'_>, rows: &mut SampleRows) -> Result<(), BadBody> {
    while !input.0.is_empty() {
        let metric = input.text()?;
        let kind = MetricType::from_code(input.take(1)?[0]).ok_or(BadBody("an unknown type of metric"))?;
        let metadata = MetadataRef {
            kind,
            help: input.text()?,
            unit: input.text()?,
        };
        rows.metadata.add(metric, metadata);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::Rows;
    use crate::model::{Labels, Signal, TenantId};
    use crate::testing::histogram;
    use crate::wal::body::{decode_rows, encode_rows, open_body};
    use crate::wal::record::RecordKind;

    proptest! {
        #[test]
        fn samples_with_more_come_back(
            samples in prop::collection::vec((0..5u32, 0..100i64, prop::option::of(0..4000u64), -3..3i64), 0..12),
            exemplars in prop::collection::vec((any::<u32>(), any::<i64>(), -9..9i32, "[a-c]{0,3}"), 0..5),
            metadata in prop::collection::vec(("[a-c]{1,2}", 0..8u8, "[a-z é]{0,5}"), 0..5),
        ) {
            let mut rows = SampleRows::default();
            for (series, time, seed, start) in samples {
                match seed {
                    // NaN is not equal to itself, and histograms with it are tested by their bits elsewhere.
                    Some(seed) if !histogram(seed).sum.is_nan() => rows.push_histogram(series, time, Arc::new(histogram(seed))),
                    _ => rows.push(series, time, 0.5),
                }
                rows.set_start_time(start);
            }
            rows.finish();
            for (series, time, value, label) in exemplars {
                let labels = Labels::from_pairs([("trace_id", label)]);
                rows.exemplars.push(series, Exemplar { labels, value: f64::from(value), time });
            }
            for (metric, kind, help) in metadata {
                let kind = MetricType::from_code(kind).unwrap_or_default();
                rows.metadata.add(&metric, MetadataRef { kind, unit: &help, help: &help });
            }
            let plain = rows.is_plain();
            let rows = Rows::Samples(rows);
            let body = encode_rows(&TenantId::new("t").expect("allowed"), &rows).expect("fits");
            prop_assert_eq!(body.kind == RecordKind::Rows, plain);
            let (_, raw) = open_body(&body.bytes).expect("was written");
            prop_assert_eq!(decode_rows(body.kind, Signal::Metrics, &raw).expect("was written"), rows);
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_rows(RecordKind::RowsAndMore, Signal::Metrics, &bytes);
            let mut rows = SampleRows { times: vec![0; 9], ..SampleRows::default() };
            let _ = take_side(&mut Input(&bytes), &mut rows);
        }
    }
}
