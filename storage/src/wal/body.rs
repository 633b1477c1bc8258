//! The inner layer of a WAL record: whose rows, in which bounds, and the rows as lz4-compressed columns.

use crate::error::{Error, ErrorKind, Result};
use crate::head::{LogRows, Rows, SampleRows};
use crate::model::{Labels, Signal, TenantId, TimeRange};

use super::record::{MAX_BODY_BYTES, RecordKind};
use super::scratch::{Scratch, with_scratch};
use super::side::{put_side, take_side};

/// What stands before the compressed part of every body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BodyHead {
    pub tenant: TenantId,
    pub signal: Signal,
    /// Bounds of the rows; empty in series records.
    pub range: TimeRange,
}

/// Why a body cannot be decoded though its checksum holds: a defect, or a format that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("undecodable body: {0}")]
pub(super) struct BadBody(pub &'static str);

/// A record's body, and the kind that tells how to read it.
#[derive(Debug)]
pub struct RowsBody {
    pub(super) kind: RecordKind,
    pub(super) bytes: Vec<u8>,
}

impl RowsBody {
    /// Bytes of the body.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The body of a rows record.
pub fn encode_rows(tenant: &TenantId, rows: &Rows) -> Result<RowsBody> {
    with_scratch(|scratch| encode_rows_with(tenant, rows, scratch))
}

fn encode_rows_with(tenant: &TenantId, rows: &Rows, scratch: &mut Scratch) -> Result<RowsBody> {
    let raw = &mut scratch.raw;
    raw.reserve(raw_size(rows));
    let mut kind = RecordKind::Rows;
    let signal = match rows {
        Rows::Samples(rows) => {
            put_samples(raw, rows);
            if !rows.is_plain() {
                kind = RecordKind::RowsAndMore;
                put_side(raw, rows);
            }
            Signal::Metrics
        }
        Rows::Logs(rows) => {
            put_logs(raw, rows);
            Signal::Logs
        }
    };
    if raw.len() > MAX_BODY_BYTES / 2 {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "one append of {} bytes is more than the WAL takes at once ({}); send smaller requests",
                raw.len(),
                MAX_BODY_BYTES / 2
            ),
        ));
    }
    let head = BodyHead {
        tenant: tenant.clone(),
        signal,
        range: rows.time_range(),
    };
    Ok(RowsBody {
        kind,
        bytes: compressed(&head, raw, &mut scratch.compressed),
    })
}

/// The body of a series record.
pub(super) fn encode_series(tenant: &TenantId, signal: Signal, series: &[(u32, Labels)]) -> Vec<u8> {
    with_scratch(|Scratch { raw, compressed: room }| {
        put_varint(raw, series.len() as u64);
        for (id, labels) in series {
            put_varint(raw, u64::from(*id));
            put_varint(raw, labels.size_bytes() as u64);
            raw.extend_from_slice(labels.as_bytes());
        }
        let head = BodyHead {
            tenant: tenant.clone(),
            signal,
            range: TimeRange::new(0, 0),
        };
        compressed(&head, raw, room)
    })
}

/// Splits a body into its head and the decompressed rest.
pub(super) fn open_body(body: &[u8]) -> Result<(BodyHead, Vec<u8>), BadBody> {
    let (head, mut input) = read_head(body)?;
    let raw_len = input.varint()? as usize;
    if raw_len > MAX_BODY_BYTES {
        return Err(BadBody("its decompressed length is over the limit"));
    }
    let raw = lz4_flex::block::decompress(input.0, raw_len).map_err(|_| BadBody("lz4 does not decompress it"))?;
    Ok((head, raw))
}

/// The head of a body, without decompressing the rest.
pub(super) fn open_head(body: &[u8]) -> Result<BodyHead, BadBody> {
    read_head(body).map(|(head, _)| head)
}

/// The rows of a rows record.
pub(super) fn decode_rows(kind: RecordKind, signal: Signal, raw: &[u8]) -> Result<Rows, BadBody> {
    let mut input = Input(raw);
    Ok(match signal {
        Signal::Metrics => {
            let mut rows = take_samples(&mut input)?;
            if kind == RecordKind::RowsAndMore {
                take_side(&mut input, &mut rows)?;
            }
            Rows::Samples(rows)
        }
        Signal::Logs => Rows::Logs(take_logs(&mut input)?),
    })
}

/// The series of a series record.
pub(super) fn decode_series(raw: &[u8]) -> Result<Vec<(u32, Labels)>, BadBody> {
    let mut input = Input(raw);
    let count = input.count(2)?;
    let mut series = Vec::with_capacity(count);
    for _ in 0..count {
        let id = u32::try_from(input.varint()?).map_err(|_| BadBody("a series id over 32 bits"))?;
        series.push((id, input.labels()?));
    }
    Ok(series)
}

/// The body of `head` and the rows, as long as it must be; `room` is compressed into.
fn compressed(head: &BodyHead, raw: &[u8], room: &mut Vec<u8>) -> Vec<u8> {
    let most = lz4_flex::block::get_maximum_output_size(raw.len());
    if room.len() < most {
        room.resize(most, 0);
    }
    // The room is as large as lz4 can ever need, so this cannot fail.
    let written = lz4_flex::block::compress_into(raw, room).unwrap_or(0);
    let mut out = Vec::with_capacity(64 + head.tenant.as_str().len() + written);
    let tenant = head.tenant.as_str().as_bytes();
    put_varint(&mut out, tenant.len() as u64);
    out.extend_from_slice(tenant);
    out.push(head.signal.code());
    out.extend_from_slice(&head.range.start.to_le_bytes());
    out.extend_from_slice(&head.range.end.to_le_bytes());
    put_varint(&mut out, raw.len() as u64);
    out.extend_from_slice(&room[..written]);
    out
}

fn read_head(body: &[u8]) -> Result<(BodyHead, Input<'_>), BadBody> {
    let mut input = Input(body);
    let len = input.count(1)?;
    let name = std::str::from_utf8(input.take(len)?).map_err(|_| BadBody("a tenant that is not UTF-8"))?;
    let tenant = TenantId::new(name).map_err(|_| BadBody("a tenant name that is not allowed"))?;
    let signal = Signal::from_code(input.take(1)?[0]).ok_or(BadBody("an unknown signal"))?;
    let range = TimeRange::new(input.i64()?, input.i64()?);
    Ok((BodyHead { tenant, signal, range }, input))
}

fn raw_size(rows: &Rows) -> usize {
    match rows {
        Rows::Samples(rows) => rows.times.len() * 13 + 16 + rows.side_bytes(),
        Rows::Logs(rows) => rows.times.len() * 12 + rows.bytes.len() + 64,
    }
}

fn put_samples(out: &mut Vec<u8>, rows: &SampleRows) {
    put_varint(out, rows.times.len() as u64);
    put_series_and_times(out, &rows.series, &rows.times);
    for value in &rows.values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn take_samples(input: &mut Input<'_>) -> Result<SampleRows, BadBody> {
    let count = input.count(10)?;
    let (series, times) = input.series_and_times(count)?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(f64::from_bits(input.i64()? as u64));
    }
    Ok(SampleRows {
        series,
        times,
        values,
        ..SampleRows::default()
    })
}

fn put_logs(out: &mut Vec<u8>, rows: &LogRows) {
    put_varint(out, rows.times.len() as u64);
    put_series_and_times(out, &rows.series, &rows.times);
    let mut start = 0;
    for end in &rows.line_ends {
        put_varint(out, u64::from(end - start));
        start = *end;
    }
    for code in rows.metadata.iter().chain(&rows.derived) {
        put_varint(out, u64::from(*code));
    }
    put_varint(out, rows.metadata_sets.len() as u64);
    for set in &rows.metadata_sets {
        put_varint(out, set.size_bytes() as u64);
        out.extend_from_slice(set.as_bytes());
    }
    out.extend_from_slice(&rows.bytes);
}

fn take_logs(input: &mut Input<'_>) -> Result<LogRows, BadBody> {
    let count = input.count(5)?;
    let (series, times) = input.series_and_times(count)?;
    let mut line_ends = Vec::with_capacity(count);
    let mut end = 0u64;
    for _ in 0..count {
        end = end.saturating_add(input.varint()?);
        line_ends.push(u32::try_from(end).map_err(|_| BadBody("lines of more than 4 GB"))?);
    }
    let mut codes = Vec::with_capacity(count * 2);
    for _ in 0..count * 2 {
        codes.push(u32::try_from(input.varint()?).map_err(|_| BadBody("a metadata code over 32 bits"))?);
    }
    let sets = input.count(1)?;
    let mut metadata_sets = Vec::with_capacity(sets);
    for _ in 0..sets {
        metadata_sets.push(input.labels()?);
    }
    if codes.iter().any(|code| *code as usize >= sets) {
        return Err(BadBody("a metadata code without a set"));
    }
    let bytes = input.take(end as usize)?.to_vec();
    let derived = codes.split_off(count);
    Ok(LogRows {
        series,
        times,
        line_ends,
        bytes,
        metadata: codes,
        derived,
        metadata_sets,
    })
}

/// Ids and times as differences to the row before: senders list series in one order and give them one time.
pub(super) fn put_series_and_times(out: &mut Vec<u8>, series: &[u32], times: &[i64]) {
    let mut previous = 0i64;
    for id in series {
        put_varint(out, zigzag(i64::from(*id) - previous));
        previous = i64::from(*id);
    }
    let mut previous = 0i64;
    for time in times {
        put_varint(out, zigzag(time.wrapping_sub(previous)));
        previous = *time;
    }
}

pub(super) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub(super) fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The bytes not read yet.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], BadBody> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadBody("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn i64(&mut self) -> Result<i64, BadBody> {
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(i64::from_le_bytes(word))
    }

    pub fn varint(&mut self) -> Result<u64, BadBody> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadBody("a number over 64 bits"))
    }

    /// A number of things that take at least `least` bytes each, so that it bounds what is allocated for them.
    pub fn count(&mut self, least: usize) -> Result<usize, BadBody> {
        let count = self.varint()?;
        if count > (self.0.len() / least) as u64 {
            return Err(BadBody("a count larger than what follows"));
        }
        Ok(count as usize)
    }

    pub fn labels(&mut self) -> Result<Labels, BadBody> {
        let len = self.count(1)?;
        Labels::from_canonical(self.take(len)?).map_err(|_| BadBody("labels that are not canonical"))
    }

    pub fn text(&mut self) -> Result<&'a str, BadBody> {
        let len = self.count(1)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| BadBody("a text that is not UTF-8"))
    }

    pub fn series_and_times(&mut self, count: usize) -> Result<(Vec<u32>, Vec<i64>), BadBody> {
        let mut series = Vec::with_capacity(count);
        let mut previous = 0i64;
        for _ in 0..count {
            previous = previous.wrapping_add(unzigzag(self.varint()?));
            series.push(u32::try_from(previous).map_err(|_| BadBody("a series id over 32 bits"))?);
        }
        let mut times = Vec::with_capacity(count);
        let mut previous = 0i64;
        for _ in 0..count {
            previous = previous.wrapping_add(unzigzag(self.varint()?));
            times.push(previous);
        }
        Ok((series, times))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn tenant() -> TenantId {
        TenantId::new("team-a").unwrap()
    }

    #[test]
    fn series_round_trip() {
        let series = vec![
            (5, Labels::from_pairs([("a", "b")])),
            (0, Labels::empty()),
            (u32::MAX, Labels::from_pairs([("ü", "x\n")])),
        ];
        let (head, raw) = open_body(&encode_series(&tenant(), Signal::Logs, &series)).unwrap();
        assert_eq!((head.tenant, head.signal), (tenant(), Signal::Logs));
        assert_eq!(decode_series(&raw).unwrap(), series);
    }

    proptest! {
        #[test]
        fn samples_round_trip_bit_by_bit(rows in prop::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 0..200)) {
            let mut samples = SampleRows::default();
            for (series, time, bits) in rows {
                samples.push(series, time, f64::from_bits(bits));
            }
            let (head, raw) = open_body(&encode_rows(&tenant(), &Rows::Samples(samples.clone())).unwrap().bytes).unwrap();
            prop_assert_eq!(head.signal, Signal::Metrics);
            let Rows::Samples(back) = decode_rows(RecordKind::Rows, head.signal, &raw).unwrap() else { unreachable!() };
            prop_assert_eq!(&back.series, &samples.series);
            prop_assert_eq!(&back.times, &samples.times);
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back.values), bits(&samples.values));
        }

        #[test]
        fn log_rows_round_trip(rows in prop::collection::vec((0..9u32, any::<i64>(), prop::collection::vec(any::<u8>(), 0..40), 0..3u32), 0..100)) {
            let mut logs = LogRows {
                metadata_sets: ["", "x", "y"].iter().map(|v| Labels::from_pairs([("trace", v)])).collect(),
                ..LogRows::default()
            };
            for (series, time, line, code) in rows {
                logs.series.push(series);
                logs.times.push(time);
                logs.bytes.extend_from_slice(&line);
                logs.line_ends.push(logs.bytes.len() as u32);
                logs.metadata.push(code);
                logs.derived.push(2 - code);
            }
            let rows = Rows::Logs(logs);
            let (head, raw) = open_body(&encode_rows(&tenant(), &rows).unwrap().bytes).unwrap();
            prop_assert_eq!(head.range, rows.time_range());
            prop_assert_eq!(decode_rows(RecordKind::Rows, head.signal, &raw).unwrap(), rows);
        }

        #[test]
        fn garbage_is_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = open_body(&bytes);
            let _ = decode_series(&bytes);
            let _ = decode_rows(RecordKind::Rows, Signal::Metrics, &bytes);
            let _ = decode_rows(RecordKind::Rows, Signal::Logs, &bytes);
        }
    }
}
