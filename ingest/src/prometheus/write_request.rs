//! `prometheus.WriteRequest` (prometheus `prompb/remote.proto`, `types.proto`), read in place.
//!
//! ```text
//! WriteRequest { timeseries = 1, metadata = 3 }
//! TimeSeries   { labels = 1, samples = 2, exemplars = 3, histograms = 4 }
//! Label        { name = 1, value = 2 }
//! Sample       { value = 1 double, timestamp = 2 int64 milliseconds }
//! ```
//!
//! The labels of a series stay bytes: [`TimeSeries::label_bytes`] is one slice of the body that identifies the series, so a
//! series that is known is found by its hash alone.

use super::metadata::SentMetadata;
use super::sent_histogram::SentHistogram;
use crate::validate::SeriesLabels;
use crate::wire::{Reader, WireError};

/// Walks the series of a decompressed write request.
#[derive(Debug)]
pub(crate) struct WriteRequest<'a> {
    fields: Reader<'a>,
}

/// What stands in one place of a request.
#[derive(Debug)]
pub(crate) enum Part<'a, 's> {
    Series(TimeSeries<'a, 's>),
    Metadata(SentMetadata<'a>),
}

/// Which version's numbers the fields of a series have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// One series with its rows still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeSeries<'a, 's> {
    /// All label fields with their tags, as they were sent.
    pub label_bytes: &'s [u8],
    /// The fields that hold the rows.
    pub(super) rows: &'a [u8],
    pub(super) version: Version,
    /// Number of samples.
    pub samples: u64,
    /// Number of exemplars.
    pub exemplars: u64,
    /// Number of native histograms.
    pub histograms: u64,
}

/// A float sample as sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Any float; staleness markers are NaNs of one bit pattern.
    pub value: f64,
    /// Milliseconds since the epoch when its counting began, 0 where not told; of version 2.
    pub start_ms: i64,
}

impl<'a> WriteRequest<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        WriteRequest {
            fields: Reader::new(body),
        }
    }

    /// The next series or entry of metadata, `None` at the end. `scratch` holds the labels of a series whose label fields are scattered.
    pub(crate) fn next<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<Option<Part<'a, 's>>, WireError>
    where
        'a: 's,
    {
        while let Some((number, value)) = self.fields.next()? {
            match number {
                1 => {
                    let series = TimeSeries::read(value.bytes("Timeseries")?, scratch)?;
                    return Ok(Some(Part::Series(series)));
                }
                3 => {
                    let metadata = SentMetadata::read(value.bytes("Metadata")?)?;
                    return Ok(Some(Part::Metadata(metadata)));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<'a, 's> TimeSeries<'a, 's>
where
    'a: 's,
{
    /// Counts the fields of a series and finds its labels. All known senders write the labels first and in one run; where
    /// one does not, they are copied together, which gives the same bytes.
    fn read(message: &'a [u8], scratch: &'s mut Vec<u8>) -> Result<Self, WireError> {
        let mut series = TimeSeries {
            label_bytes: b"",
            rows: message,
            version: Version::V1,
            samples: 0,
            exemplars: 0,
            histograms: 0,
        };
        let (mut run_end, mut scattered) = (label_run(message), false);
        let mut fields = Reader::at(message, run_end);
        loop {
            let start = fields.position();
            let Some((number, value)) = fields.next()? else { break };
            match number {
                1 => {
                    value.bytes("Labels")?;
                    if start == run_end {
                        run_end = fields.position();
                    } else {
                        scattered = true;
                    }
                }
                2 => series.samples += 1,
                3 => series.exemplars += 1,
                4 => series.histograms += 1,
                _ => {}
            }
        }
        if scattered {
            gather_labels(message, scratch)?;
            series.label_bytes = scratch;
        } else {
            (series.label_bytes, series.rows) = message.split_at(run_end);
        }
        Ok(series)
    }

    /// Calls `visit` for each float sample.
    pub(crate) fn each_sample(&self, mut visit: impl FnMut(Sample)) -> Result<(), WireError> {
        let mut fields = Reader::new(self.rows);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                visit(sample(value.bytes("Samples")?)?);
            }
        }
        Ok(())
    }

    /// Calls `visit` for each native histogram.
    pub(crate) fn each_histogram(&self, mut visit: impl FnMut(SentHistogram)) -> Result<(), WireError> {
        let wanted = if self.version == Version::V1 { 4 } else { 3 };
        let mut fields = Reader::new(self.rows);
        while let Some((number, value)) = fields.next()? {
            if number == wanted {
                visit(SentHistogram::read(value.bytes("Histograms")?)?);
            }
        }
        Ok(())
    }

    /// Calls `visit` for the message of each exemplar.
    pub(crate) fn each_exemplar(
        &self,
        mut visit: impl FnMut(&'a [u8]) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let wanted = if self.version == Version::V1 { 3 } else { 4 };
        let mut fields = Reader::new(self.rows);
        while let Some((number, value)) = fields.next()? {
            if number == wanted {
                visit(value.bytes("Exemplars")?)?;
            }
        }
        Ok(())
    }
}

/// Bytes of label fields that `message` begins with. A label is hardly ever longer than 127 bytes; what is left is read
/// field by field.
fn label_run(message: &[u8]) -> usize {
    const LABELS: u8 = 1 << 3 | 2;
    let mut end = 0;
    while let Some([LABELS, len @ 0..0x80, rest @ ..]) = message.get(end..)
        && rest.len() >= usize::from(*len)
    {
        end += 2 + usize::from(*len);
    }
    end
}

fn gather_labels(message: &[u8], scratch: &mut Vec<u8>) -> Result<(), WireError> {
    scratch.clear();
    let mut fields = Reader::new(message);
    loop {
        let start = fields.position();
        match fields.next()? {
            Some((1, _)) => scratch.extend_from_slice(&message[start..fields.position()]),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

fn sample(message: &[u8]) -> Result<Sample, WireError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
        start_ms: 0,
    };
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => sample.value = value.double("Value")?,
            2 => sample.timestamp_ms = value.int("Timestamp")?,
            3 => sample.start_ms = value.int("StartTimestamp")?,
            _ => {}
        }
    }
    Ok(sample)
}

/// Reads the labels of a series that is not known yet.
pub(crate) fn parse_labels(label_bytes: &[u8]) -> Result<SeriesLabels<'_>, WireError> {
    let mut labels = SeriesLabels::default();
    let mut fields = Reader::new(label_bytes);
    while let Some((_, value)) = fields.next()? {
        let (name, text) = parse_pair(value.bytes("Labels")?)?;
        labels.push(name, text);
    }
    Ok(labels)
}

/// Name and value of a label message.
pub(super) fn parse_pair(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
    let mut pair = Reader::new(message);
    while let Some((number, value)) = pair.next()? {
        match number {
            1 => name = value.bytes("Name")?,
            2 => text = value.bytes("Value")?,
            _ => {}
        }
    }
    Ok((name, text))
}
