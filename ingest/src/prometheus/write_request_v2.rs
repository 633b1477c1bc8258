//! `io.prometheus.write.v2.Request` (prometheus `prompb/io/prometheus/write/v2/types.proto`), read in place.
//!
//! ```text
//! Request    { symbols = 4, timeseries = 5 }
//! TimeSeries { labels_refs = 1 packed, samples = 2, histograms = 3 (counted), exemplars = 4 (counted), metadata = 5 (checked) }
//! Sample     { value = 1 double, timestamp = 2 int64 milliseconds, start_timestamp = 3 (passed over) }
//! Metadata   { type = 1, help_ref = 3, unit_ref = 4 }
//! ```
//!
//! Texts are numbers into the symbols, so the same series has other bytes in each request. Its labels are written out as
//! version 1 has them: a series is then found by the same hash whichever version brings it, and a sample is the same
//! message in both.

use super::write_request::TimeSeries;
use crate::error::IngestError;
use crate::wire::{Reader, Value, WireError, push_bytes, varint_len};

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
    metadata: u64,
}

/// What stands in one place of the list of series.
#[derive(Debug)]
pub(crate) enum SeriesV2<'a, 's> {
    /// A series whose texts were all found.
    Series(TimeSeries<'a, 's>),
    /// A series that names symbols which are not there, with the number of its samples and histograms, and why.
    Unreadable(u64, String),
}

impl<'a> WriteRequestV2<'a> {
    /// Reads the symbols, wherever in the message they stand.
    pub(crate) fn new(body: &'a [u8]) -> Result<Self, IngestError> {
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
            metadata: 0,
        })
    }

    /// Series passed so far that told a type, a help text or a unit.
    pub(crate) fn metadata(&self) -> u64 {
        self.metadata
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
        let mut problem = pairs.finish();
        if let Some(metadata) = metadata {
            let found = self.check_metadata(metadata)?;
            self.metadata += u64::from(found.is_ok());
            problem = problem.or(found.err());
        }
        if problem.is_none() && samples == 0 && histograms == 0 {
            problem = Some("TimeSeries must contain at least one sample or histogram".to_string());
        }
        Ok(match problem {
            Some(reason) => SeriesV2::Unreadable(samples + histograms, reason),
            None => SeriesV2::Series(TimeSeries {
                label_bytes: labels,
                rows: message,
                samples,
                exemplars,
                histograms,
            }),
        })
    }

    fn check_metadata(&self, message: &[u8]) -> Result<Result<(), String>, WireError> {
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next()? {
            if number == 3 || number == 4 {
                let at = value.int("Metadata")? as u64;
                if at != 0 && symbol(&self.symbols, at).is_none() {
                    return Ok(Err(format!(
                        "metadata refers to symbol {at} outside of symbols table (size {})",
                        self.symbols.len()
                    )));
                }
            }
        }
        Ok(Ok(()))
    }
}

fn symbol<'a>(symbols: &[&'a [u8]], at: u64) -> Option<&'a [u8]> {
    symbols.get(usize::try_from(at).ok()?).copied()
}

/// Puts pairs of references into label messages of version 1.
struct PairWriter<'a, 'y> {
    symbols: &'y [&'a [u8]],
    /// The name whose value is still to come, with its reference.
    name: Option<u64>,
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
            // prometheus `prompb/io/prometheus/write/v2/symbols.go`, `desymbolizeLabels`
            self.problem = Some(format!(
                "labelRefs {name_ref} (name) = {reference} (value) outside of symbols table (size {})",
                self.symbols.len()
            ));
            return;
        };
        let field = |text: &[u8]| 1 + varint_len(text.len() as u64) + text.len();
        let len = field(name) + field(value);
        if out.len() + len > MAX_LABEL_BYTES {
            self.problem = Some(format!("the labels of a series take more than {MAX_LABEL_BYTES} bytes"));
            return;
        }
        out.push(1 << 3 | 2);
        crate::wire::push_varint(out, len as u64);
        push_bytes(out, 1, name);
        push_bytes(out, 2, value);
    }

    fn finish(self) -> Option<String> {
        let odd = || format!("invalid labelRefs length {}", self.refs);
        self.problem.or_else(|| self.name.map(|_| odd()))
    }
}
