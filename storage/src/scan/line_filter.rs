//! The seam to whoever tests log lines: a scan hands over many lines at once, as they lie in memory.

use std::fmt::Debug;

/// Lines one after the other without gaps: line `i` is `data[offsets[i]..offsets[i + 1]]`.
#[derive(Clone, Copy, Debug)]
pub struct LineSlice<'a> {
    /// The text, which may hold more than these lines.
    pub data: &'a [u8],
    /// One more than there are lines, never falling, all within `data`.
    pub offsets: &'a [i32],
}

impl<'a> LineSlice<'a> {
    /// How many lines.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One line; empty where there is none.
    pub fn line(&self, row: usize) -> &'a [u8] {
        let bounds = self.offsets.get(row).zip(self.offsets.get(row + 1));
        bounds
            .and_then(|(from, to)| self.data.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }

    /// The text of all lines.
    pub fn text(&self) -> &'a [u8] {
        let bounds = self.offsets.first().zip(self.offsets.last());
        bounds
            .and_then(|(from, to)| self.data.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }
}

/// A test of log lines. Equal lines must get equal answers, since entries that several sources hold are compared after it.
pub trait LineFilter: Debug + Send + Sync {
    /// Replaces `rows` by the lines that pass, ascending.
    fn select(&self, lines: LineSlice<'_>, rows: &mut Vec<u32>);

    /// Whether a line of this text may pass; asked before it is known where lines begin. May be wrong only with `true`.
    fn may_pass(&self, _text: &[u8]) -> bool {
        true
    }
}
