//! `prometheus.WriteRequest` (prometheus `prompb/remote.proto`, `types.proto`), read in place.
//!
//! ```text
//! WriteRequest { timeseries = 1, metadata = 3 (counted) }
//! TimeSeries   { labels = 1, samples = 2, exemplars = 3 (counted), histograms = 4 (counted) }
//! Label        { name = 1, value = 2 }
//! Sample       { value = 1 double, timestamp = 2 int64 milliseconds }
//! ```
//!
//! The labels of a series stay bytes: [`TimeSeries::label_bytes`] is one slice of the body that identifies the series, so a
//! series that is known is found by its hash alone.

use crate::validate::SeriesLabels;
use crate::wire::{Reader, WireError};

/// Walks the series of a decompressed write request.
#[derive(Debug)]
pub(crate) struct WriteRequest<'a> {
    fields: Reader<'a>,
    metadata: u64,
}

/// One series with its rows still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeSeries<'a, 's> {
    /// All label fields with their tags, as they were sent.
    pub label_bytes: &'s [u8],
    /// The fields that hold the rows; samples are field 2 in both versions.
    pub(super) rows: &'a [u8],
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
}

impl<'a> WriteRequest<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        WriteRequest {
            fields: Reader::new(body),
            metadata: 0,
        }
    }

    /// Metadata entries passed so far.
    pub(crate) fn metadata(&self) -> u64 {
        self.metadata
    }

    /// The next series, `None` at the end. `scratch` holds the labels of a series whose label fields are scattered.
    pub(crate) fn next<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<Option<TimeSeries<'a, 's>>, WireError>
    where
        'a: 's,
    {
        while let Some((number, value)) = self.fields.next()? {
            match number {
                1 => return TimeSeries::read(value.bytes("Timeseries")?, scratch).map(Some),
                3 => self.metadata += 1,
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
    };
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => sample.value = value.double("Value")?,
            2 => sample.timestamp_ms = value.int("Timestamp")?,
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
        let (mut name, mut text): (&[u8], &[u8]) = (b"", b"");
        let mut pair = Reader::new(value.bytes("Labels")?);
        while let Some((number, value)) = pair.next()? {
            match number {
                1 => name = value.bytes("Name")?,
                2 => text = value.bytes("Value")?,
                _ => {}
            }
        }
        labels.push(name, text);
    }
    Ok(labels)
}
