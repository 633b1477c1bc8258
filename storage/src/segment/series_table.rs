//! The series table: the label sets of one group of series as an Arrow IPC message. See FORMAT.md, "Series groups".

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor as IoCursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray, UInt16Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::root_as_message;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use roaring::RoaringBitmap;

use super::bytes::{Broken, MAX_RAW_BYTES, Parsed, pack, put_slice, unpack};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LabelMatcher, Labels};
use crate::scan::LabelInterner;

/// Series of one message. Small enough that 16-bit codes name every value and that a reader of one series decodes little.
pub(super) const GROUP_SERIES: usize = 8192;
/// Messages are plain IPC inside a zstd frame. Against IPC's own lz4 bodies that halves the table (100,000 series of 7
/// labels: 14.7 for 29.5 bytes a series), and a table of ten series takes 0.8 KB where IPC's heads alone take 4.
const ZSTD_LEVEL: i32 = 3;
const WHAT: &str = "series table";

/// Collects label sets in ordinal order.
#[derive(Debug, Default)]
pub(super) struct SeriesTableBuilder {
    messages: Vec<(u32, Vec<u8>)>,
    columns: BTreeMap<String, ColumnBuilder>,
    rows: usize,
    series: u32,
}

#[derive(Debug, Default)]
struct ColumnBuilder {
    codes: Vec<Option<u16>>,
    values: Vec<Arc<str>>,
    by_value: HashMap<Arc<str>, u16>,
}

impl SeriesTableBuilder {
    pub fn push(&mut self, labels: &Labels) -> Result<()> {
        for (name, value) in labels.iter() {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.to_string(), ColumnBuilder::default());
            }
            let Some(column) = self.columns.get_mut(name) else {
                continue;
            };
            let code = match column.by_value.get(value) {
                Some(code) => *code,
                None => {
                    let (code, value) = (column.values.len() as u16, Arc::<str>::from(value));
                    column.values.push(Arc::clone(&value));
                    column.by_value.insert(value, code);
                    code
                }
            };
            column.codes.resize(self.rows, None);
            column.codes.push(Some(code));
        }
        self.rows += 1;
        self.series += 1;
        if self.rows == GROUP_SERIES {
            self.seal_message()?;
        }
        Ok(())
    }

    pub fn len(&self) -> u32 {
        self.series
    }

    fn seal_message(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let columns = std::mem::take(&mut self.columns);
        let bytes = encode_message(rows, columns)
            .map_err(|e| Error::with_source(ErrorKind::Internal, "cannot encode the series table", e))?;
        self.messages.push((rows as u32, bytes));
        Ok(())
    }

    /// Heap bytes held, about; the open message counts by its codes.
    pub fn size_bytes(&self) -> usize {
        let sealed: usize = self.messages.iter().map(|(_, bytes)| bytes.len()).sum();
        sealed + self.columns.len() * self.rows * 4
    }

    /// The messages with their numbers of series.
    pub fn finish(mut self) -> Result<Vec<(u32, Vec<u8>)>> {
        if self.rows > 0 {
            self.seal_message()?;
        }
        Ok(self.messages)
    }
}

fn encode_message(rows: usize, columns: BTreeMap<String, ColumnBuilder>) -> std::result::Result<Vec<u8>, ArrowError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (name, mut column) in columns {
        column.codes.resize(rows, None);
        let values = StringArray::from_iter_values(column.values.iter().map(|v| &**v));
        let array = DictionaryArray::<UInt16Type>::try_new(UInt16Array::from(column.codes), Arc::new(values))?;
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(Arc::new(array));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    writer.finish()?;
    Ok(pack(&writer.into_inner()?, ZSTD_LEVEL))
}

/// The label sets of one group, opened.
#[derive(Debug)]
pub(super) struct SeriesMessage {
    /// Ordinal of its first series.
    first: u32,
    rows: usize,
    /// In name order.
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    codes: UInt16Array,
    values: StringArray,
}

impl SeriesMessage {
    /// The message of `rows` series from ordinal `first` on.
    pub fn decode(bytes: &[u8], first: u32, rows: u32) -> Parsed<SeriesMessage> {
        let rows = rows as usize;
        let columns = decode_message(bytes, rows)?;
        Ok(SeriesMessage { first, rows, columns })
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        // Arrays are slices of one buffer a message; each counts its own share of it.
        let slice_bytes = |array: &dyn Array| array.to_data().get_slice_memory_size().unwrap_or(0);
        self.columns
            .iter()
            .map(|c| slice_bytes(&c.codes) + slice_bytes(&c.values) + c.name.len())
            .sum()
    }

    /// The label set of `ordinal`, built into `scratch`; `None` outside the group. Where `interner` has it, no other is made.
    pub fn labels(&self, ordinal: u32, scratch: &mut Vec<u8>, interner: &LabelInterner) -> Result<Option<Labels>> {
        let row = ordinal.checked_sub(self.first).map(|row| row as usize);
        let Some(row) = row.filter(|row| *row < self.rows) else {
            return Ok(None);
        };
        scratch.clear();
        for column in &self.columns {
            if column.codes.is_valid(row) {
                let value = column.values.value(usize::from(column.codes.value(row)));
                put_slice(scratch, column.name.as_bytes());
                put_slice(scratch, value.as_bytes());
            }
        }
        interner.get(scratch, || Labels::from_canonical(scratch).ok())
    }

    /// The value of label `name` of series `ordinal`.
    pub fn value(&self, ordinal: u32, name: &str) -> Option<&str> {
        let row = ordinal.checked_sub(self.first)? as usize;
        let column = self.column(name)?;
        (row < self.rows && column.codes.is_valid(row))
            .then(|| column.values.value(usize::from(column.codes.value(row))))
    }

    /// How many distinct values each label has here.
    pub fn value_counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.columns.iter().map(|c| (c.name.as_str(), c.values.len()))
    }

    /// The codes of label `name`, a row each, and the values they mean.
    pub fn codes(&self, name: &str) -> Option<(&UInt16Array, &StringArray)> {
        self.column(name).map(|c| (&c.codes, &c.values))
    }

    /// Appends the ordinals that pass all matchers, which must lie beyond those in `out`. A matcher is asked once per
    /// distinct value, not per series.
    pub fn select(&self, matchers: &[LabelMatcher], out: &mut RoaringBitmap) {
        let mut keep = vec![true; self.rows];
        for matcher in matchers {
            self.narrow(matcher, &mut keep);
        }
        let passing = keep.iter().enumerate().filter(|(_, keep)| **keep);
        // Rows ascend, so appending cannot fail.
        let _ = out.append(passing.map(|(row, _)| self.first + row as u32));
    }

    /// Every label name that occurs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// Every value of `name` that occurs.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.column(name).into_iter().flat_map(|c| c.values.iter().flatten())
    }

    fn column(&self, name: &str) -> Option<&Column> {
        let at = self.columns.binary_search_by(|c| c.name.as_str().cmp(name)).ok()?;
        self.columns.get(at)
    }

    fn narrow(&self, matcher: &LabelMatcher, keep: &mut [bool]) {
        let absent = matcher.matches_absent();
        let Some(column) = self.column(matcher.name()) else {
            if !absent {
                keep.fill(false);
            }
            return;
        };
        let passes: Vec<bool> = column
            .values
            .iter()
            .map(|v| v.is_some_and(|v| matcher.matches(v)))
            .collect();
        for (row, keep) in keep.iter_mut().enumerate() {
            *keep &= match column.codes.is_valid(row) {
                true => passes[usize::from(column.codes.value(row))],
                false => absent,
            };
        }
    }
}

/// One message's columns; names sorted, codes inside the values, all as many rows as said.
/// Whether the messages of a stream lie inside of its bytes, not compressed: Arrow's reader allocates what their lengths say.
fn check_frames(ipc: &[u8]) -> Parsed<()> {
    /// Stands before a length since version 0.15 of the format.
    const CONTINUATION: [u8; 4] = [0xff; 4];
    let mut rest = ipc;
    loop {
        let mut length = rest.split_off(..4);
        if length == Some(CONTINUATION.as_slice()) {
            length = rest.split_off(..4);
        }
        // A stream ends with a length of zero, or with its bytes; whether it may, the reader knows.
        let Some(length) = length.and_then(|l| l.try_into().ok()).map(u32::from_le_bytes) else {
            return Ok(());
        };
        if length == 0 {
            return Ok(());
        }
        let metadata = rest.split_off(..length as usize).ok_or(Broken(WHAT))?;
        let message = root_as_message(metadata).map_err(|_| Broken(WHAT))?;
        let batch = message
            .header_as_record_batch()
            .or_else(|| message.header_as_dictionary_batch().and_then(|d| d.data()));
        if batch.is_some_and(|batch| batch.compression().is_some()) {
            return Err(Broken(WHAT));
        }
        let body = usize::try_from(message.bodyLength()).map_err(|_| Broken(WHAT))?;
        rest.split_off(..body).ok_or(Broken(WHAT))?;
    }
}

fn decode_message(bytes: &[u8], rows: usize) -> Parsed<Vec<Column>> {
    let broken = |_: ArrowError| Broken(WHAT);
    if rows > GROUP_SERIES {
        return Err(Broken(WHAT));
    }
    let ipc = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    check_frames(&ipc)?;
    let mut reader = StreamReader::try_new(IoCursor::new(&ipc), None).map_err(broken)?;
    let batch = reader.next().ok_or(Broken(WHAT))?.map_err(broken)?;
    if batch.num_rows() != rows {
        return Err(Broken(WHAT));
    }
    let expected = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    let mut columns: Vec<Column> = Vec::with_capacity(batch.num_columns());
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if *field.data_type() != expected || columns.last().is_some_and(|c| c.name.as_str() >= field.name().as_str()) {
            return Err(Broken(WHAT));
        }
        let dictionary = array.as_dictionary::<UInt16Type>();
        let values = dictionary.values().as_string_opt::<i32>().ok_or(Broken(WHAT))?.clone();
        let codes = dictionary.keys().clone();
        if codes.iter().flatten().any(|code| usize::from(code) >= values.len()) || values.null_count() > 0 {
            return Err(Broken(WHAT));
        }
        columns.push(Column {
            name: field.name().clone(),
            codes,
            values,
        });
    }
    Ok(columns)
}
