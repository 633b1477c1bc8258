//! Merging the log rows of one slab from several sources: stream by stream, in time order, equal entries once.

use arrow_array::Array;

use super::log_rows::{LogRowsBuilder, SetCodes};
use super::{LogRows, dedup};
use crate::error::Result;

/// The rows of one stream in one source's answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamPiece<'a> {
    /// Which answer it is from, and where in it.
    pub answer: usize,
    pub rows: &'a LogRows,
    pub start: usize,
    pub end: usize,
}

impl StreamPiece<'_> {
    fn times(&self) -> &[i64] {
        &self.rows.timestamps[self.start..self.end]
    }

    /// Line and metadata as sent, of row `row` of the answer; empty where the column is absent, which is so only where
    /// nothing has to be compared.
    fn entry(&self, row: usize) -> (&[u8], &[u8]) {
        let line = self
            .rows
            .lines
            .as_ref()
            .filter(|l| row < l.len())
            .map_or(&[][..], |l| l.value(row));
        let set = self
            .rows
            .metadata
            .get(row)
            .and_then(|code| self.rows.metadata_sets.get(*code as usize));
        (line, set.map_or(&[], |s| s.as_bytes()))
    }
}

/// Whether two pieces hold entries of one nanosecond, which then have to be compared as a whole.
pub(super) fn share_a_time(pieces: &[StreamPiece<'_>]) -> bool {
    let pair_shares = |a: &[i64], b: &[i64]| {
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            match a[i].cmp(&b[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => return true,
            }
        }
        false
    };
    let disjoint = |a: &[i64], b: &[i64]| a[a.len() - 1] < b[0] || b[b.len() - 1] < a[0];
    pieces.iter().enumerate().any(|(i, a)| {
        pieces[i + 1..]
            .iter()
            .any(|b| !disjoint(a.times(), b.times()) && pair_shares(a.times(), b.times()))
    })
}

/// Appends the rows of one stream to `out`. `pieces` are not empty and stand newest source first; entries of one nanosecond
/// come out oldest source first. `codes` has one entry for each answer.
pub(super) fn append_stream(
    pieces: &mut [StreamPiece<'_>],
    codes: &mut [SetCodes],
    out: &mut LogRowsBuilder,
) -> Result<()> {
    pieces.reverse();
    // Stable, so that of pieces that begin together the older source stays first.
    pieces.sort_by_key(|p| p.times()[0]);
    let apart = pieces
        .windows(2)
        .all(|w| w[0].times()[w[0].times().len() - 1] < w[1].times()[0]);
    if apart {
        for piece in pieces.iter() {
            out.append(piece.rows, piece.start..piece.end, &mut codes[piece.answer])?;
        }
        return Ok(());
    }

    // (time, age of the source, row in its answer): sorting keeps the order of arrival among equal times.
    let age = |piece: &StreamPiece<'_>| usize::MAX - piece.answer;
    pieces.sort_by_key(age);
    let mut order: Vec<(i64, u32, u32)> = Vec::with_capacity(pieces.iter().map(|p| p.end - p.start).sum());
    for (i, piece) in pieces.iter().enumerate() {
        order.extend(
            piece
                .times()
                .iter()
                .zip(piece.start as u32..)
                .map(|(time, row)| (*time, i as u32, row)),
        );
    }
    order.sort_unstable();
    let times: Vec<i64> = order.iter().map(|(time, ..)| *time).collect();
    let entry = |at: usize| {
        let (_, piece, row) = order[at];
        pieces[piece as usize].entry(row as usize)
    };
    let duplicates = if share_a_time(pieces) {
        dedup::duplicate_entries(&times, entry)
    } else {
        Vec::new()
    };

    let mut skip = duplicates.into_iter().peekable();
    let mut at = 0;
    while at < order.len() {
        if skip.next_if_eq(&(at as u32)).is_some() {
            at += 1;
            continue;
        }
        // A run of neighbouring rows of one source is copied at once.
        let (_, piece, row) = order[at];
        let mut len = 1;
        while let Some((_, p, r)) = order.get(at + len)
            && (*p, *r) == (piece, row + len as u32)
            && skip.peek() != Some(&((at + len) as u32))
        {
            len += 1;
        }
        let from = &pieces[piece as usize];
        out.append(from.rows, row as usize..row as usize + len, &mut codes[from.answer])?;
        at += len;
    }
    Ok(())
}
