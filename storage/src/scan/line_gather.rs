//! Lines of an answer, gathered from several places. Lines that come from one place in one piece are not copied.

use std::ops::Range;

use arrow_array::{Array, BinaryArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use crate::error::{Error, ErrorKind, Result};

/// Most bytes of lines in one answer; offsets of an Arrow array are 32 bits.
const MAX_LINE_BYTES: usize = i32::MAX as usize;

/// Lines so far.
#[derive(Debug, Default)]
pub struct LineGather {
    /// The first lines, as long as they are the only ones.
    only: Option<BinaryArray>,
    /// Where each of the others ends in `bytes`.
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

impl LineGather {
    /// Appends lines `rows` of `lines`, which has that many.
    pub fn append(&mut self, lines: &BinaryArray, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.only.is_none() && self.ends.is_empty() {
            self.only = Some(lines.slice(rows.start, rows.len()));
            return Ok(());
        }
        self.copy_first()?;
        self.copy(lines, rows)
    }

    /// Appends one line.
    pub fn append_line(&mut self, line: &[u8]) -> Result<()> {
        self.copy_first()?;
        self.make_room(line.len())?;
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len() as i32);
        Ok(())
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        let only = self.only.as_ref().map_or(0, |l| l.value_data().len() + 4 * l.len());
        only + self.bytes.len() + 4 * self.ends.len()
    }

    /// The lines.
    pub fn finish(self) -> Result<BinaryArray> {
        if let Some(only) = self.only {
            return Ok(only);
        }
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend(self.ends);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        BinaryArray::try_new(offsets, Buffer::from_vec(self.bytes), None)
            .map_err(|e| Error::with_source(ErrorKind::Internal, "the lines of an answer do not fit together", e))
    }

    fn copy_first(&mut self) -> Result<()> {
        match self.only.take() {
            Some(only) => self.copy(&only, 0..only.len()),
            None => Ok(()),
        }
    }

    fn copy(&mut self, lines: &BinaryArray, rows: Range<usize>) -> Result<()> {
        let offsets = &lines.value_offsets()[rows.start..=rows.end];
        let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        self.make_room(last - first)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&lines.value_data()[first..last]);
        let ends = offsets[1..].iter().map(|end| (start + (*end as usize - first)) as i32);
        self.ends.extend(ends);
        Ok(())
    }

    fn make_room(&self, bytes: usize) -> Result<()> {
        if self.bytes.len() + bytes > MAX_LINE_BYTES {
            return Err(Error::new(
                ErrorKind::Limit,
                "more than 2 GiB of log lines in one batch; narrow the query's time range",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_come_in_the_order_they_were_given() {
        let lines = BinaryArray::from_vec(vec![b"a", b"bc", b"", b"def"]);
        let check = |steps: &[Result<Range<usize>, &[u8]>], expected: &[&[u8]]| {
            let mut gather = LineGather::default();
            for step in steps {
                match step {
                    Ok(rows) => gather.append(&lines, rows.clone()).unwrap(),
                    Err(line) => gather.append_line(line).unwrap(),
                }
            }
            let found = gather.finish().unwrap();
            assert_eq!(found.iter().flatten().collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&[Ok(1..3)], &[b"bc", b""]);
        check(&[Ok(0..0), Ok(3..4), Ok(1..2), Err(b"x")], &[b"def", b"bc", b"x"]);
        check(&[Err(b""), Ok(2..4)], &[b"", b"", b"def"]);
        // One piece is a view of what was given.
        let mut gather = LineGather::default();
        gather.append(&lines, 1..3).unwrap();
        assert_eq!(
            gather.finish().unwrap().value_data().as_ptr(),
            lines.value_data().as_ptr()
        );
    }
}
