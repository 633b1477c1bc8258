//! The seam between log operators and the language that says what becomes of each line: operators scan, collect and merge,
//! the language's workers filter and parse.

use std::fmt::Debug;
use std::sync::Arc;

use ahash::AHashMap;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use garner_storage::model::Timestamp;
use garner_storage::scan::{LogBatch, LogRead};

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
    /// What it reads, and of which rows: none but those whose line passes its filter need to come.
    fn read(&self) -> LogRead;

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
    /// What it reads, and of which rows: none but those whose line passes its filter need to come.
    fn read(&self) -> LogRead;

    /// The text that [`LineLanguage::filter`] makes it of again.
    fn text(&self) -> String;

    /// A worker for one partition.
    fn start(&self) -> Box<dyn FilterWorker>;
}

/// A [`LogFilter`] at work.
pub trait FilterWorker: Send {
    /// Says that rows of another batch follow.
    fn begin(&mut self, batch: &LogBatch);

    /// Adds what becomes of one row to `out`; returns whether it was kept.
    fn row(&mut self, batch: &LogBatch, stream: usize, row: usize, out: &mut LogRows) -> Result<bool, QueryError>;
}

/// Rows of a log query's answer on their way to a batch.
#[derive(Default)]
pub struct LogRows {
    /// Nanoseconds.
    pub times: Vec<Timestamp>,
    lines: BinaryBuilder,
    keys: [Vec<u32>; 3],
    sets: [LabelSets; 3],
}

/// Numbers of a row's label sets in [`LogRows`]: of the stream, of structured metadata, and of what was parsed.
pub type SetKeys = [u32; 3];

/// Distinct label sets, numbered as they come.
#[derive(Default)]
struct LabelSets {
    index: AHashMap<Box<[u8]>, u32>,
    values: BinaryBuilder,
}

impl LabelSets {
    fn number(&mut self, set: &[u8]) -> Result<u32, QueryError> {
        if let Some(number) = self.index.get(set) {
            return Ok(*number);
        }
        let number = u32::try_from(self.index.len()).map_err(|_| QueryError::internal("too many label sets"))?;
        self.values.append_value(set);
        self.index.insert(set.into(), number);
        Ok(number)
    }
}

impl LogRows {
    /// Numbers the labels of a row, by where they come from, in the store's canonical form but with empty values allowed.
    pub fn sets(&mut self, stream: &[u8], metadata: &[u8], parsed: &[u8]) -> Result<SetKeys, QueryError> {
        let [of_stream, of_metadata, of_parsed] = &mut self.sets;
        Ok([
            of_stream.number(stream)?,
            of_metadata.number(metadata)?,
            of_parsed.number(parsed)?,
        ])
    }

    /// Adds a row: its line, and its labels as [`LogRows::sets`] numbered them.
    pub fn push(&mut self, time_ns: Timestamp, line: &[u8], keys: SetKeys) {
        for (column, key) in self.keys.iter_mut().zip(keys) {
            column.push(key);
        }
        self.lines.append_value(line);
        self.times.push(time_ns);
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
        let sets: usize = self
            .sets
            .iter()
            .map(|s| 2 * s.values.values_slice().len() + 32 * s.index.len())
            .sum();
        self.lines.values_slice().len() + self.times.len() * 32 + sets
    }

    /// The rows at these positions, in this order. Label sets get other numbers, which those who keep them must forget.
    pub fn pick(self, rows: impl Iterator<Item = usize>) -> Result<LogRows, QueryError> {
        let LogRows {
            times,
            mut lines,
            keys,
            sets,
        } = self;
        let lines = lines.finish();
        let [stream, metadata, parsed] = sets.map(|mut sets| sets.values.finish());
        let [of_stream, of_metadata, of_parsed] = keys;
        let mut out = LogRows::default();
        for row in rows {
            let keys = out.sets(
                stream.value(of_stream[row] as usize),
                metadata.value(of_metadata[row] as usize),
                parsed.value(of_parsed[row] as usize),
            )?;
            out.push(times[row], lines.value(row), keys);
        }
        Ok(out)
    }

    /// The rows as a batch; there are none afterwards.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut rows = std::mem::take(self);
        let times = Int64Array::from(rows.times);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(rows.lines.finish())];
        for (keys, mut sets) in rows.keys.into_iter().zip(rows.sets) {
            let values = Arc::new(sets.values.finish());
            columns.push(Arc::new(DictionaryArray::try_new(UInt32Array::from(keys), values)?));
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
