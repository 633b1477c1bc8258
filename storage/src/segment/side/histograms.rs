//! The list of native histograms: which blobs there are, and which rows of which series lie in them.

use super::blob::{Blob, MIN_BLOB_BYTES};
use crate::model::TimeRange;
use crate::segment::bytes::{Broken, Cursor, MAX_RAW_BYTES, Parsed, pack, put_varint, put_zigzag, unpack};

/// The histograms of one series in one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HistogramChunk {
    pub series: u32,
    /// Index into [`HistogramList::blobs`], and of the chunk in there.
    pub blob: u32,
    pub index: u32,
    pub rows: u32,
    /// Times of the first and the last row.
    pub first: i64,
    pub last: i64,
}

impl HistogramChunk {
    pub fn range(&self) -> TimeRange {
        TimeRange::closed(self.first, self.last)
    }
}

/// Section 18, decoded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HistogramList {
    pub blobs: Vec<Blob>,
    /// In the order of series and time.
    pub chunks: Vec<HistogramChunk>,
}

impl HistogramList {
    /// The chunks of a series in time order.
    pub fn of(&self, series: u32) -> &[HistogramChunk] {
        let from = self.chunks.partition_point(|c| c.series < series);
        let to = from + self.chunks[from..].partition_point(|c| c.series == series);
        &self.chunks[from..to]
    }

    pub fn size_bytes(&self) -> usize {
        self.blobs.len() * size_of::<Blob>() + self.chunks.len() * size_of::<HistogramChunk>()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.blobs.len() as u64);
        let (mut rest, mut series) = (self.chunks.as_slice(), 0);
        for (number, blob) in (0..).zip(&self.blobs) {
            blob.put(&mut out);
            let (own, next) = rest.split_at(rest.iter().take_while(|c| c.blob == number).count());
            rest = next;
            put_varint(&mut out, own.len() as u64);
            for chunk in own {
                put_varint(&mut out, u64::from(chunk.series - series));
                series = chunk.series;
                put_varint(&mut out, u64::from(chunk.rows));
                put_zigzag(&mut out, chunk.first);
                put_varint(&mut out, chunk.last.wrapping_sub(chunk.first) as u64);
            }
        }
        pack(&out, 1)
    }

    /// `pages_end` bounds where blobs may lie; `series` the ordinals.
    pub fn decode(bytes: &[u8], pages_end: u64, series: u32) -> Parsed<HistogramList> {
        const WHAT: &str = "list of histograms";
        let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
        let mut cursor = Cursor::new(&raw, WHAT);
        let mut list = HistogramList::default();
        let mut last = (0u32, i64::MIN);
        for blob in 0..cursor.count(MIN_BLOB_BYTES + 1)? as u32 {
            list.blobs.push(Blob::take(&mut cursor, pages_end)?);
            for index in 0..cursor.count(4)? as u32 {
                let ordinal = last.0.checked_add(cursor.varint_u32()?).ok_or(Broken(WHAT))?;
                let rows = cursor.varint_u32()?;
                let first = cursor.zigzag()?;
                let chunk = HistogramChunk {
                    series: ordinal,
                    blob,
                    index,
                    rows,
                    first,
                    last: first.wrapping_add(cursor.varint()? as i64),
                };
                let in_order = ordinal > last.0 || list.chunks.is_empty() || first > last.1;
                if ordinal >= series || rows == 0 || chunk.last < first || !in_order {
                    return Err(Broken(WHAT));
                }
                last = (ordinal, chunk.last);
                list.chunks.push(chunk);
            }
        }
        cursor.end()?;
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list() -> HistogramList {
        let blob = |offset| Blob {
            offset,
            len: 10,
            checksum: offset.wrapping_mul(77),
        };
        let chunk = |series, blob, index, first: i64, last| HistogramChunk {
            series,
            blob,
            index,
            rows: 3,
            first,
            last,
        };
        HistogramList {
            blobs: vec![blob(0), blob(90)],
            chunks: vec![
                chunk(2, 0, 0, -5, 5),
                chunk(7, 0, 1, 0, 9),
                chunk(7, 1, 0, 10, 10),
                chunk(8, 1, 1, i64::MIN, i64::MAX),
            ],
        }
    }

    #[test]
    fn a_list_comes_back() {
        let back = HistogramList::decode(&list().encode(), 100, 9).expect("was written");
        assert_eq!(back, list());
        assert_eq!(back.of(7).len(), 2);
        assert_eq!(back.of(3), []);
        assert!(HistogramList::decode(&list().encode(), 99, 9).is_err());
        assert!(HistogramList::decode(&list().encode(), 100, 8).is_err());
    }

    proptest! {
        #[test]
        fn damaged_lists_are_refused_without_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut raw = unpack(&list().encode(), MAX_RAW_BYTES, "test").expect("was written");
            let at = at.index(raw.len());
            raw[at] = byte;
            let _ = HistogramList::decode(&pack(&raw, 1), 100, 9);
        }
    }
}
