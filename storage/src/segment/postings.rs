//! Postings: which series have a value, as ordinals that ascend. See FORMAT.md, "Label index".

use roaring::RoaringBitmap;

use super::bytes::{Broken, Parsed};
use crate::codec::pfor;
use crate::codec::varint::{Reader, put_varint, varint_len};

const GAPS: u8 = 0;
const RUNS: u8 = 1;
const PACKED: u8 = 2;
const WHAT: Broken = Broken("postings");

/// Ordinals as they arrive, ascending: runs of neighbours, as varints.
#[derive(Debug, Default)]
pub(super) struct PostingsBuilder {
    count: u32,
    /// Closed runs: varint gap since the run before, varint length - 1.
    closed: Vec<u8>,
    runs: u32,
    /// One past the last closed run.
    closed_end: u32,
    /// The run that may still grow.
    start: u32,
    end: u32,
}

impl PostingsBuilder {
    /// Appends an ordinal greater than those before.
    pub fn push(&mut self, ordinal: u32) {
        self.count += 1;
        if ordinal == self.end && self.count > 1 {
            self.end += 1;
            return;
        }
        self.close();
        (self.start, self.end) = (ordinal, ordinal + 1);
    }

    fn close(&mut self) {
        if self.end > self.start {
            put_varint(&mut self.closed, u64::from(self.start - self.closed_end));
            put_varint(&mut self.closed, u64::from(self.end - self.start - 1));
            self.closed_end = self.end;
            self.runs += 1;
        }
    }

    pub fn len(&self) -> u32 {
        self.count
    }

    /// Appends the shortest form. How many there are is kept by the caller.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.count == 1 {
            put_varint(out, u64::from(self.start));
            return;
        }
        let mut runs = self.closed.clone();
        put_varint(&mut runs, u64::from(self.start - self.closed_end));
        put_varint(&mut runs, u64::from(self.end - self.start - 1));
        // Where neighbours are common no other form can be shorter.
        if self.count / (self.runs + 1) >= 8 {
            out.push(RUNS);
            out.extend_from_slice(&runs);
            return;
        }
        let mut gaps = Vec::with_capacity(self.count as usize);
        let mut before = 0;
        let mut reader = Reader::new(&runs);
        while let (Ok(gap), Ok(more)) = (reader.varint("gap"), reader.varint("length")) {
            gaps.push(gap);
            gaps.extend((0..more).map(|_| 0));
            before += gap + more + 1;
        }
        debug_assert_eq!((gaps.len() as u32, before), (self.count, u64::from(self.end)));
        let gap_bytes: usize = gaps.iter().map(|g| varint_len(*g)).sum();
        let packed_bytes = pfor::cost_bytes(&gaps);
        if packed_bytes < gap_bytes.min(runs.len()) {
            out.push(PACKED);
            pfor::encode(&gaps, out);
        } else if gap_bytes < runs.len() {
            out.push(GAPS);
            gaps.iter().for_each(|gap| put_varint(out, *gap));
        } else {
            out.push(RUNS);
            out.extend_from_slice(&runs);
        }
    }
}

/// Adds the `count` ordinals of `bytes`, all below `series`, to `out`.
pub(super) fn read(bytes: &[u8], count: u32, series: u32, out: &mut RoaringBitmap) -> Parsed<()> {
    let mut reader = Reader::new(bytes);
    if count == 1 {
        let ordinal = reader.varint("ordinal").map_err(|_| WHAT)?;
        if ordinal >= u64::from(series) || !reader.is_empty() {
            return Err(WHAT);
        }
        out.insert(ordinal as u32);
        return Ok(());
    }
    if count > series {
        return Err(WHAT);
    }
    let mut next = 0u64;
    let mut add = |gap: u64, len: u64| -> Parsed<u64> {
        let start = next.checked_add(gap).ok_or(WHAT)?;
        next = start
            .checked_add(len)
            .filter(|end| *end <= u64::from(series))
            .ok_or(WHAT)?;
        Ok(start)
    };
    match reader.u8("kind of postings").map_err(|_| WHAT)? {
        RUNS => {
            let mut found = 0;
            while !reader.is_empty() {
                let gap = reader.varint("gap").map_err(|_| WHAT)?;
                let len = reader.varint("length").map_err(|_| WHAT)?.checked_add(1).ok_or(WHAT)?;
                let start = add(gap, len)? as u32;
                out.insert_range(start..start + len as u32);
                found += len;
            }
            if found != u64::from(count) {
                return Err(WHAT);
            }
        }
        kind @ (GAPS | PACKED) => {
            let mut gaps = vec![0u64; count as usize];
            if kind == PACKED {
                pfor::decode(&mut reader, &mut gaps).map_err(|_| WHAT)?;
            } else {
                for gap in &mut gaps {
                    *gap = reader.varint("gap").map_err(|_| WHAT)?;
                }
            }
            for gap in &mut gaps {
                *gap = add(*gap, 1)?;
            }
            if !reader.is_empty() {
                return Err(WHAT);
            }
            // Ascending numbers from one list make a bitmap in one go; it is joined to what is there.
            let own = RoaringBitmap::from_sorted_iter(gaps.iter().map(|o| *o as u32)).map_err(|_| WHAT)?;
            *out |= own;
        }
        _ => return Err(WHAT),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(ordinals: &[u32]) -> Vec<u8> {
        let mut builder = PostingsBuilder::default();
        ordinals.iter().for_each(|o| builder.push(*o));
        let mut out = Vec::new();
        builder.write(&mut out);
        out
    }

    proptest! {
        #[test]
        fn ordinals_come_back(gaps in prop::collection::vec(prop_oneof![3 => Just(0u32), 2 => 1u32..9, 1 => 0u32..5000], 1..400)) {
            let mut next = 0;
            let ordinals: Vec<u32> = gaps.into_iter().map(|gap| { next += gap + 1; next - 1 }).collect();
            let bytes = written(&ordinals);
            let mut out = RoaringBitmap::new();
            prop_assert_eq!(read(&bytes, ordinals.len() as u32, next, &mut out), Ok(()));
            prop_assert_eq!(out.iter().collect::<Vec<_>>(), ordinals.clone());
            prop_assert!(read(&bytes, ordinals.len() as u32, next - 1, &mut RoaringBitmap::new()).is_err());
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 1u32..300, series in 0u32..1000) {
            let mut out = RoaringBitmap::new();
            if read(&bytes, count, series, &mut out).is_ok() {
                prop_assert!(out.max().is_some_and(|max| max < series) && out.len() == u64::from(count));
            }
        }
    }

    #[test]
    fn each_kind_of_list_is_short() {
        assert_eq!(written(&[5]).len(), 1);
        assert_eq!(written(&(1000..900_000).collect::<Vec<_>>()).len(), 1 + 2 + 3);
        // Every 366th series, give or take: ten bits each, not a varint of two bytes.
        let periodic: Vec<u32> = (0..2000).map(|i| i * 366 + i * i % 7).collect();
        assert!(written(&periodic).len() < 2000 * 5 / 4);
    }
}
