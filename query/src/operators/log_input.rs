//! The seam between log operators and the language that says what becomes of each line: operators scan, collect and merge,
//! the language's workers filter and parse.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BinaryDictionaryBuilder, Int64Builder};
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use garner_storage::model::Timestamp;
use garner_storage::scan::{LogBatch, LogColumns};

use crate::error::QueryError;

/// Makes samplers and filters of texts, for plans that came from elsewhere.
pub trait LineLanguage: Debug + Send + Sync {
    /// The sampler that [`LogSampler::text`] describes.
    fn sampler(&self, text: &str) -> Result<Arc<dyn LogSampler>, QueryError>;

    /// The filter that [`LogFilter::text`] describes.
    fn filter(&self, text: &str) -> Result<Arc<dyn LogFilter>, QueryError>;
}

/// Makes samples of log lines.
pub trait LogSampler: Debug + Send + Sync {
    /// What it reads of each row.
    fn columns(&self) -> LogColumns;

    /// The text that [`LineLanguage::sampler`] makes it of again.
    fn text(&self) -> String;

    /// A worker for one partition.
    fn start(&self) -> Box<dyn SampleWorker>;
}

/// A [`LogSampler`] at work; keeps scratch from batch to batch.
pub trait SampleWorker: Send {
    /// Gives the samples of a batch to `sink`, streams in order and each stream's rows in ascending time.
    fn run(&mut self, batch: &LogBatch, sink: &mut dyn SampleSink) -> Result<(), QueryError>;
}

/// Takes samples.
pub trait SampleSink {
    /// The number of the group with these canonical labels; equal labels have one number.
    fn group(&mut self, labels: &[u8]) -> Result<u32, QueryError>;

    /// One sample.
    fn sample(&mut self, group: u32, time_ns: Timestamp, value: f64);

    /// Whether some window holds this time.
    fn is_seen(&self, time_ns: Timestamp) -> bool;

    /// A sample of value 1 at each of these ascending times.
    fn ones(&mut self, group: u32, times_ns: &[Timestamp]);
}

/// Filters and changes log lines for a log query.
pub trait LogFilter: Debug + Send + Sync {
    /// What it reads of each row.
    fn columns(&self) -> LogColumns;

    /// The text that [`LineLanguage::filter`] makes it of again.
    fn text(&self) -> String;

    /// A worker for one partition.
    fn start(&self) -> Box<dyn FilterWorker>;
}

/// A [`LogFilter`] at work.
pub trait FilterWorker: Send {
    /// The rows worth a closer look, in no order. Cheap tests over the whole batch belong here.
    fn select(&mut self, batch: &LogBatch, selected: &mut Vec<u32>);

    /// Adds what becomes of one row to `out`; returns whether it was kept.
    fn row(&mut self, batch: &LogBatch, stream: usize, row: usize, out: &mut LogRows) -> Result<bool, QueryError>;
}

/// Rows of a log query's answer on their way to a batch.
#[derive(Default)]
pub struct LogRows {
    /// Nanoseconds.
    pub times: Vec<Timestamp>,
    lines: BinaryBuilder,
    sets: [BinaryDictionaryBuilder<UInt32Type>; 3],
}

impl LogRows {
    /// Adds a row: its line and its labels, by where they come from, in the store's canonical form but with empty values
    /// allowed.
    pub fn push(
        &mut self,
        time_ns: Timestamp,
        line: &[u8],
        stream: &[u8],
        metadata: &[u8],
        parsed: &[u8],
    ) -> Result<(), QueryError> {
        for (builder, bytes) in self.sets.iter_mut().zip([stream, metadata, parsed]) {
            builder.append(bytes).map_err(|e| QueryError::internal(e.to_string()))?;
        }
        self.lines.append_value(line);
        self.times.push(time_ns);
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Heap bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.lines.values_slice().len() + self.times.len() * 32
    }

    /// The rows as a batch; there are none afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut times = Int64Builder::with_capacity(self.times.len());
        times.append_slice(&self.times);
        self.times.clear();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times.finish()), Arc::new(self.lines.finish())];
        for set in &mut self.sets {
            columns.push(Arc::new(set.finish()));
        }
        RecordBatch::try_new(log_schema(), columns)
    }
}

impl Debug for LogRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogRows({} rows)", self.times.len())
    }
}

/// The schema of log operators: `time`, `line`, and the labels of the stream, of structured metadata, and parsed ones.
pub fn log_schema() -> SchemaRef {
    let labels = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Binary));
    Arc::new(Schema::new(vec![
        Field::new("time", DataType::Int64, false),
        Field::new("line", DataType::Binary, false),
        Field::new("stream", labels.clone(), false),
        Field::new("metadata", labels.clone(), false),
        Field::new("parsed", labels, false),
    ]))
}
