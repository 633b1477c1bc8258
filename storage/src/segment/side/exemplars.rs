//! Exemplars with the labels of their series, which need not have rows in the segment.

use super::blob::{Blob, MIN_BLOB_BYTES};
use crate::model::{Exemplar, Labels, TimeRange};
use crate::segment::bytes::{Cursor, MAX_RAW_BYTES, Parsed, pack, put_slice, put_varint, put_zigzag, unpack};

/// Exemplars at which a blob ends: some 100 KB.
pub(super) const MAX_BLOB_EXEMPLARS: usize = 4096;

/// Section 20, decoded: blobs with the bounds of the exemplars in each.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ExemplarList(pub Vec<(Blob, TimeRange)>);

impl ExemplarList {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.0.len() as u64);
        for (blob, range) in &self.0 {
            blob.put(&mut out);
            put_zigzag(&mut out, range.start);
            put_varint(&mut out, range.end.wrapping_sub(range.start) as u64);
        }
        pack(&out, 1)
    }

    /// `pages_end` bounds where blobs may lie.
    pub fn decode(bytes: &[u8], pages_end: u64) -> Parsed<ExemplarList> {
        const WHAT: &str = "list of exemplars";
        let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
        let mut cursor = Cursor::new(&raw, WHAT);
        let mut list = Vec::new();
        for _ in 0..cursor.count(MIN_BLOB_BYTES + 2)? {
            let blob = Blob::take(&mut cursor, pages_end)?;
            let start = cursor.zigzag()?;
            let end = start.wrapping_add(cursor.varint()? as i64);
            list.push((blob, TimeRange::new(start, end)));
        }
        cursor.end()?;
        Ok(ExemplarList(list))
    }
}

/// A blob of these exemplars, by series.
pub(super) fn encode_blob(series: &[(Labels, Vec<Exemplar>)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, series.len() as u64);
    for (labels, exemplars) in series {
        put_slice(&mut out, labels.as_bytes());
        put_varint(&mut out, exemplars.len() as u64);
        let mut previous = 0i64;
        for exemplar in exemplars {
            put_zigzag(&mut out, exemplar.time.wrapping_sub(previous));
            previous = exemplar.time;
            out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
            put_slice(&mut out, exemplar.labels.as_bytes());
        }
    }
    pack(&out, 3)
}

/// The exemplars of a blob, by series.
pub(super) fn decode_blob(bytes: &[u8]) -> Parsed<Vec<(Labels, Vec<Exemplar>)>> {
    const WHAT: &str = "exemplars";
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let broken = cursor.broken();
    let count = cursor.count(2)?;
    let mut series = Vec::with_capacity(count);
    for _ in 0..count {
        let labels = Labels::from_canonical(cursor.slice()?).map_err(|_| broken)?;
        let count = cursor.count(10)?;
        let mut exemplars = Vec::with_capacity(count);
        let mut previous = 0i64;
        for _ in 0..count {
            previous = previous.wrapping_add(cursor.zigzag()?);
            exemplars.push(Exemplar {
                time: previous,
                value: cursor.f64()?,
                labels: Labels::from_canonical(cursor.slice()?).map_err(|_| broken)?,
            });
        }
        series.push((labels, exemplars));
    }
    cursor.end()?;
    Ok(series)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn series(rows: &[(i64, i32)]) -> Vec<(Labels, Vec<Exemplar>)> {
        let exemplar = |(time, value): &(i64, i32)| Exemplar {
            labels: Labels::from_pairs([("trace_id", value.to_string())]),
            value: f64::from(*value),
            time: *time,
        };
        vec![
            (
                Labels::from_pairs([("__name__", "a")]),
                rows.iter().map(exemplar).collect(),
            ),
            (Labels::empty(), vec![exemplar(&(1, 2))]),
        ]
    }

    proptest! {
        #[test]
        fn exemplars_come_back_and_damage_is_refused_without_panic(
            rows in prop::collection::vec((any::<i64>(), -9..9i32), 0..5), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let series = series(&rows);
            let bytes = encode_blob(&series);
            let back = decode_blob(&bytes);
            prop_assert_eq!(back.as_ref(), Ok(&series));
            let list = ExemplarList(vec![(Blob { offset: 1, len: 2, checksum: 3 }, TimeRange::ALL)]);
            let back = ExemplarList::decode(&list.encode(), 3);
            prop_assert_eq!(back.as_ref(), Ok(&list));
            for bytes in [bytes, list.encode()] {
                let mut raw = unpack(&bytes, MAX_RAW_BYTES, "test").expect("was written");
                let at = at.index(raw.len());
                raw[at] = byte;
                let _ = decode_blob(&pack(&raw, 1));
                let _ = ExemplarList::decode(&pack(&raw, 1), 3);
            }
        }
    }
}
