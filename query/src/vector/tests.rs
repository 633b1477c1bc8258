//! Rows with histograms through batches, copies, and bytes.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use datafusion_common::Result;
use garner_storage::model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterReset, Histogram};

use super::{RowBuffer, VectorBuilder, VectorReader, vector_schema, wide_schema, widen};

/// Labels, steps with floats, steps with histograms.
type Row = (Vec<u8>, Vec<(usize, f64)>, Vec<(usize, Histogram)>);

fn histogram(count: f64) -> Histogram {
    Histogram {
        schema: 3,
        counter_reset: CounterReset::Gauge,
        zero_threshold: 0.25,
        zero_count: 1.0,
        count,
        sum: -count,
        positive_spans: vec![
            BucketSpan { offset: -2, length: 1 },
            BucketSpan { offset: 4, length: 2 },
        ],
        negative_spans: vec![BucketSpan { offset: 7, length: 1 }],
        positive_buckets: vec![1.0, 2.0, count],
        negative_buckets: vec![0.5],
        custom_values: Vec::new(),
    }
}

fn custom() -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: vec![1.0, 2.5],
        ..Histogram::default()
    }
}

fn read(batch: &RecordBatch) -> Result<Vec<Row>> {
    let rows = VectorReader::new(batch)?;
    let row = |row: super::VectorRow<'_>| {
        let histograms = row.histogram_points().map(|(step, h)| (step, Histogram::clone(&h)));
        (row.labels.to_vec(), row.iter().collect(), histograms.collect())
    };
    Ok(rows.rows().map(row).collect())
}

/// A float row, a mixed one with a run of one histogram, one of histograms alone.
fn batch() -> Result<RecordBatch> {
    let mut builder = VectorBuilder::new();
    builder.push_dense(b"a", 1, &[1.0, 2.0]);
    let mut row = RowBuffer::new(6);
    row.set(0, 9.0);
    row.set(1, 1.0);
    row.set(4, 4.0);
    let shared = Arc::new(histogram(3.0));
    row.set_histogram(0, Arc::new(custom()));
    row.set_histogram(2, Arc::clone(&shared));
    row.set_histogram(3, Arc::clone(&shared));
    row.set_histogram(5, shared);
    assert!(builder.push_row(b"b", &row));
    builder.push_histogram(b"c", 3, &histogram(5.0));
    assert!(builder.histogram_bytes() > 0);
    Ok(builder.finish()?)
}

fn expected() -> Vec<Row> {
    let (custom, shared) = (custom(), histogram(3.0));
    vec![
        (b"a".to_vec(), vec![(1, 1.0), (2, 2.0)], Vec::new()),
        (
            b"b".to_vec(),
            vec![(1, 1.0), (4, 4.0)],
            vec![(0, custom), (2, shared.clone()), (3, shared.clone()), (5, shared)],
        ),
        (
            b"c".to_vec(),
            Vec::new(),
            (0..3).map(|step| (step, histogram(5.0))).collect(),
        ),
    ]
}

#[test]
fn rows_with_histograms_come_back_as_they_were_pushed() -> Result<()> {
    let batch = batch()?;
    assert_eq!(batch.schema(), wide_schema());
    assert_eq!(read(&batch)?, expected());
    let reader = VectorReader::new(&batch)?;
    let row = reader.row(1);
    assert_eq!(row.histogram_at(3), Some(histogram(3.0)));
    assert_eq!((row.histogram_at(1), row.histogram_at(4)), (None, None));
    assert_eq!((row.at(3), row.at(4)), (None, Some(4.0)));
    let mut steps: Vec<_> = row.steps().collect();
    steps.sort_unstable();
    assert_eq!(steps, [0, 1, 2, 3, 4, 5]);
    assert!((0..6).all(|step| row.is_at(step)) && !row.is_at(6));
    assert!(row.floats().histograms().is_none());
    // Two steps that follow each other with one histogram are one run.
    assert_eq!(row.histograms().map(|runs| runs.len()), Some(3));
    Ok(())
}

#[test]
fn copies_are_equal_and_floats_alone_stay_narrow() -> Result<()> {
    let batch = batch()?;
    let mut builder = VectorBuilder::new();
    for row in VectorReader::new(&batch)?.rows() {
        builder.push_copy(row.labels, row);
    }
    assert_eq!(read(&builder.finish()?)?, expected());
    for row in VectorReader::new(&batch)?.rows() {
        builder.push_copy(row.labels, row.floats());
    }
    let floats = builder.finish()?;
    assert_eq!(floats.schema(), vector_schema());
    assert_eq!(floats.num_rows(), 2);
    Ok(())
}

#[test]
fn a_buffer_forgets_its_histograms() {
    let mut row = RowBuffer::new(2);
    row.set(0, 1.0);
    row.set_histogram(0, Arc::new(custom()));
    assert!(row.is_present(0) && !row.has_floats() && row.has_histograms());
    row.clear();
    assert!(row.is_empty() && !row.is_present(0));
    row.set(1, 1.0);
    assert!(row.has_floats());
    row.unset(1);
    assert!(!row.has_floats() && !row.is_present(1));
}

#[test]
fn wide_and_widened_batches_travel_in_one_stream() -> Result<()> {
    let mut builder = VectorBuilder::new();
    builder.push_dense(b"z", 0, &[7.0]);
    let batches = [batch()?, builder.finish()?];
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &wide_schema())?;
    for batch in &batches {
        writer.write(&widen(batch.clone())?)?;
    }
    writer.finish()?;
    drop(writer);
    let mut rows = Vec::new();
    for batch in StreamReader::try_new(bytes.as_slice(), None)? {
        rows.extend(read(&batch?)?);
    }
    let mut all = expected();
    all.push((b"z".to_vec(), vec![(0, 7.0)], Vec::new()));
    assert_eq!(rows, all);
    Ok(())
}
