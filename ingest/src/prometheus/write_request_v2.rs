//! `io.prometheus.write.v2.Request` (prometheus `prompb/io/prometheus/write/v2/types.proto`), read in place.
//!
//! ```text
//! Request    { symbols = 4, timeseries = 5 }
//! TimeSeries { labels_refs = 1 packed, samples = 2, histograms = 3, exemplars = 4, metadata = 5 }
//! Sample     { value = 1 double, timestamp = 2 int64 milliseconds, start_timestamp = 3 int64 milliseconds }
//! Metadata   { type = 1, help_ref = 3, unit_ref = 4 }
//! ```
//!
//! Texts are numbers into the symbols, so the same series has other bytes in each request. Its labels are written out as
//! version 1 has them: a series is then found by the same hash whichever version brings it, and a sample is the same
//! message in both.

use std::collections::HashSet;

use garner_storage::model::{METRIC_NAME, MetricType};

use super::metadata::{SentMetadata, metric_type};
use super::write_request::{TimeSeries, Version, parse_pair};
use crate::error::IngestError;
use crate::wire::{Reader, Value, WireError, push_bytes, push_varint, varint_len};

/// Most symbols of a request. Each costs two bytes on the wire, sixteen here; a sender's largest request has some 10,000.
const MAX_SYMBOLS: usize = 1 << 20;

/// Bytes that the labels of one series may grow to. Two bytes on the wire name a symbol of any length, so that a request
/// could ask for far more than it holds; label limits are looked at only once the labels are written out.
const MAX_LABEL_BYTES: usize = 1 << 17;

/// Walks the series of a decompressed request.
#[derive(Debug)]
pub(crate) struct WriteRequestV2<'a> {
    fields: Reader<'a>,
    symbols: Vec<&'a [u8]>,
    /// Whether series get the labels of [`TYPE_LABEL`] and [`UNIT_LABEL`].
    type_and_unit: bool,
    /// Metadata handed out, so that each is once, however many series of the metric come with it: numbers of the metric's
    /// name, help text and unit, and the type.
    told: HashSet<(u64, u64, u64, MetricType)>,
}

/// Labels made of metadata (prometheus `schema/labels.go`).
const TYPE_LABEL: &str = "__type__";
const UNIT_LABEL: &str = "__unit__";

/// What stands in one place of the list of series.
#[derive(Debug)]
pub(crate) enum SeriesV2<'a, 's> {
    /// A series whose texts were all found, and what it tells of its metric that no series before it did.
    Series(TimeSeries<'a, 's>, Option<SentMetadata<'a>>),
    /// A series that names symbols which are not there, with the number of its samples and histograms, and why.
    Unreadable(u64, String),
}

impl<'a> WriteRequestV2<'a> {
    /// Reads the symbols, wherever in the message they stand.
    pub(crate) fn new(body: &'a [u8], type_and_unit: bool) -> Result<Self, IngestError> {
        let mut symbols = Vec::new();
        let mut fields = Reader::new(body);
        while let Some((number, value)) = fields.next()? {
            if number == 4 {
                if symbols.len() >= MAX_SYMBOLS {
                    return Err(IngestError::bad_request(format!(
                        "the request has more than {MAX_SYMBOLS} symbols; send smaller requests"
                    )));
                }
                symbols.push(value.bytes("Symbols")?);
            }
        }
        Ok(WriteRequestV2 {
            fields: Reader::new(body),
            symbols,
            type_and_unit,
            told: HashSet::default(),
        })
    }

    /// The texts that numbers name.
    pub(crate) fn symbols(&self) -> &[&'a [u8]] {
        &self.symbols
    }

    /// The next series, `None` at the end; its labels are written to `labels`.
    pub(crate) fn next<'s>(&mut self, labels: &'s mut Vec<u8>) -> Result<Option<SeriesV2<'a, 's>>, WireError>
    where
        'a: 's,
    {
        while let Some((number, value)) = self.fields.next()? {
            if number == 5 {
                return self.series(value.bytes("Timeseries")?, labels).map(Some);
            }
        }
        Ok(None)
    }

    fn series<'s>(&mut self, message: &'a [u8], labels: &'s mut Vec<u8>) -> Result<SeriesV2<'a, 's>, WireError>
    where
        'a: 's,
    {
        labels.clear();
        let mut pairs = PairWriter {
            symbols: &self.symbols,
            name: None,
            metric: 0,
            refs: 0,
            problem: None,
        };
        let (mut samples, mut histograms, mut exemplars, mut metadata) = (0, 0, 0, None);
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => match value {
                    Value::Varint(one) => pairs.push(one, labels),
                    packed => {
                        let mut refs = Reader::new(packed.bytes("LabelsRefs")?);
                        while let Some(one) = refs.next_varint()? {
                            pairs.push(one, labels);
                        }
                    }
                },
                2 => samples += 1,
                3 => histograms += 1,
                4 => exemplars += 1,
                5 => metadata = Some(value.bytes("Metadata")?),
                _ => {}
            }
        }
        let metric = pairs.metric;
        let mut problem = pairs.finish();
        let mut news = None;
        if let Some(message) = metadata {
            match self.metadata(message, metric)? {
                Ok((metadata, told_before)) => {
                    if self.type_and_unit && problem.is_none() {
                        problem = add_type_and_unit(&metadata, labels)?;
                    }
                    news = Some(metadata).filter(|_| !told_before);
                }
                Err(reason) => problem = problem.or(Some(reason)),
            }
        }
        if problem.is_none() && samples == 0 && histograms == 0 {
            problem = Some("TimeSeries must contain at least one sample or histogram".to_string());
        }
        Ok(match problem {
            Some(reason) => SeriesV2::Unreadable(samples + histograms, reason),
            None => {
                let series = TimeSeries {
                    label_bytes: labels,
                    rows: message,
                    version: Version::V2,
                    samples,
                    exemplars,
                    histograms,
                };
                SeriesV2::Series(series, news)
            }
        })
    }

    /// Metadata of the metric whose name has this number, and whether it was told before.
    fn metadata(&mut self, message: &[u8], metric: u64) -> Result<Result<(SentMetadata<'a>, bool), String>, WireError> {
        let (mut kind, mut help, mut unit) = (MetricType::Unknown, 0, 0);
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => kind = metric_type(value.int("Type")?),
                3 => help = value.int("HelpRef")? as u64,
                4 => unit = value.int("UnitRef")? as u64,
                _ => {}
            }
        }
        let text = |at: u64| match (symbol(&self.symbols, at), at) {
            (Some(text), _) => Ok(text),
            (None, 0) => Ok(&b""[..]),
            (None, _) => Err(format!(
                "metadata refers to symbol {at} outside of symbols table (size {})",
                self.symbols.len()
            )),
        };
        let (help_text, unit_text) = match (text(help), text(unit)) {
            (Ok(help), Ok(unit)) => (help, unit),
            (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
        };
        let metadata = SentMetadata {
            kind,
            metric: symbol(&self.symbols, metric).unwrap_or_default(),
            help: help_text,
            unit: unit_text,
        };
        let empty = kind == MetricType::Unknown && help_text.is_empty() && unit_text.is_empty();
        let told_before = empty || !self.told.insert((metric, help, unit, kind));
        Ok(Ok((metadata, told_before)))
    }
}

/// Replaces what a sender put into the labels of type and unit by what the metadata says, where it says anything
/// (prometheus `storage/remote/write_handler.go`, `appendV2`). Gives a problem with the labels.
fn add_type_and_unit(metadata: &SentMetadata<'_>, labels: &mut Vec<u8>) -> Result<Option<String>, WireError> {
    let kind = metadata.kind;
    if kind == MetricType::Unknown && metadata.unit.is_empty() {
        return Ok(None);
    }
    let sent = std::mem::take(labels);
    let mut fields = Reader::new(&sent);
    loop {
        let start = fields.position();
        let Some((_, value)) = fields.next()? else { break };
        let (name, _) = parse_pair(value.bytes("Labels")?)?;
        if name != TYPE_LABEL.as_bytes() && name != UNIT_LABEL.as_bytes() {
            labels.extend_from_slice(&sent[start..fields.position()]);
        }
    }
    if kind != MetricType::Unknown {
        push_pair(TYPE_LABEL.as_bytes(), kind.as_str().as_bytes(), labels);
    }
    if !metadata.unit.is_empty() {
        push_pair(UNIT_LABEL.as_bytes(), metadata.unit, labels);
    }
    Ok((labels.len() > MAX_LABEL_BYTES).then(labels_too_long))
}

fn labels_too_long() -> String {
    format!("the labels of a series take more than {MAX_LABEL_BYTES} bytes")
}

/// Appends a label message of version 1.
fn push_pair(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let field = |text: &[u8]| 1 + varint_len(text.len() as u64) + text.len();
    out.push(1 << 3 | 2);
    push_varint(out, (field(name) + field(value)) as u64);
    push_bytes(out, 1, name);
    push_bytes(out, 2, value);
}

/// prometheus `prompb/io/prometheus/write/v2/symbols.go`, `desymbolizeLabels`
pub(super) fn outside_of_symbols(name: u64, value: u64, size: usize) -> String {
    format!("labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})")
}

pub(super) fn symbol<'a>(symbols: &[&'a [u8]], at: u64) -> Option<&'a [u8]> {
    symbols.get(usize::try_from(at).ok()?).copied()
}

/// Puts pairs of references into label messages of version 1.
struct PairWriter<'a, 'y> {
    symbols: &'y [&'a [u8]],
    /// The name whose value is still to come, with its reference.
    name: Option<u64>,
    /// The number of the metric's name.
    metric: u64,
    refs: usize,
    problem: Option<String>,
}

impl PairWriter<'_, '_> {
    fn push(&mut self, reference: u64, out: &mut Vec<u8>) {
        self.refs += 1;
        let Some(name_ref) = self.name.take() else {
            self.name = Some(reference);
            return;
        };
        if self.problem.is_some() {
            return;
        }
        let (Some(name), Some(value)) = (symbol(self.symbols, name_ref), symbol(self.symbols, reference)) else {
            self.problem = Some(outside_of_symbols(name_ref, reference, self.symbols.len()));
            return;
        };
        // A bound from above of what the message takes.
        if out.len() + name.len() + value.len() + 24 > MAX_LABEL_BYTES {
            self.problem = Some(labels_too_long());
            return;
        }
        if name == METRIC_NAME.as_bytes() {
            self.metric = reference;
        }
        push_pair(name, value, out);
    }

    fn finish(self) -> Option<String> {
        let odd = || format!("invalid labelRefs length {}", self.refs);
        self.problem.or_else(|| self.name.map(|_| odd()))
    }
}
