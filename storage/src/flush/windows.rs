//! The segments of one head, one a window of time, written to the object one behind the other in bounded memory.
//!
//! Series come in their order, so rows of several windows come mixed. Of one window pages go to the object as they are full;
//! those of the others wait in memory until it is complete. Where they become too many, the largest is given up and comes in
//! another pass, out of the series that have rows in it.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::output::Output;
use crate::error::Result;
use crate::model::{TimeRange, Timestamp, Window};
use crate::segment::{LogSegmentWriter, SampleSegmentWriter, SegmentBytes};

/// What windows that wait may hold together. Heads mostly reach over one or two windows, and small ones are written in one
/// pass.
pub(super) const MAX_WAITING_BYTES: usize = 4 << 20;

/// A writer of one segment.
pub(super) trait SegmentWriter {
    /// Takes the bytes that are final.
    fn drain(&mut self) -> Vec<u8>;
    /// Heap bytes held, about.
    fn size_bytes(&self) -> usize;
    /// The rest.
    fn finish(self) -> Result<Option<SegmentBytes>>;
}

macro_rules! segment_writer {
    ($writer:ty) => {
        impl SegmentWriter for $writer {
            fn drain(&mut self) -> Vec<u8> {
                <$writer>::drain(self)
            }

            fn size_bytes(&self) -> usize {
                <$writer>::size_bytes(self)
            }

            fn finish(self) -> Result<Option<SegmentBytes>> {
                <$writer>::finish(self)
            }
        }
    };
}

segment_writer!(SampleSegmentWriter);
segment_writer!(LogSegmentWriter);

/// The rows of a head, by the place of their series in the order of series.
pub(super) trait HeadRows<W> {
    /// Number of series.
    fn places(&self) -> u32;

    /// Hands the rows of these series inside `range` to the writers of their windows, and calls [`Pass::settle`] now and
    /// then.
    fn write(&self, places: &[u32], range: TimeRange, pass: &mut Pass<'_, '_, W>) -> Result<()>;

    /// Adds what belongs to no series with rows; `known` are all windows that have rows, ascending.
    fn complete(&self, known: &[i64], pass: &mut Pass<'_, '_, W>);
}

/// Series handed to [`HeadRows::write`] at a time: a head is compressed, what is read of it is not.
const SERIES_AT_ONCE: usize = 64;

/// Writes all segments of a head.
pub(super) fn write_windows<W: SegmentWriter>(
    rows: &impl HeadRows<W>,
    new_writer: &dyn Fn() -> W,
    now: Timestamp,
    max_waiting_bytes: usize,
    out: &mut Output<'_>,
) -> Result<()> {
    let mut todo = None;
    let mut known = Vec::new();
    loop {
        let mut pass = Pass {
            out: &mut *out,
            new_writer,
            start: 0,
            first: None,
            waiting: BTreeMap::new(),
            later: BTreeMap::new(),
            max_waiting_bytes,
            todo: todo.as_ref(),
        };
        let (places, range): (RoaringBitmap, TimeRange) = match pass.todo {
            None => ((0..rows.places()).collect(), TimeRange::ALL),
            Some(todo) => {
                let ranges = todo.keys().map(|start| Window::of(*start, now).range);
                let range = ranges.reduce(|a, b| a.union(&b)).unwrap_or(TimeRange::ALL);
                (todo.values().fold(RoaringBitmap::new(), |all, some| all | some), range)
            }
        };
        let places: Vec<u32> = places.into_iter().collect();
        for some in places.chunks(SERIES_AT_ONCE) {
            rows.write(some, range, &mut pass)?;
            pass.settle()?;
        }
        if known.is_empty() {
            known = pass.windows();
        }
        rows.complete(&known, &mut pass);
        let later = pass.finish()?;
        if later.is_empty() {
            return Ok(());
        }
        todo = Some(later);
    }
}

/// One pass over the series of a head. Windows are named by their start.
pub(super) struct Pass<'a, 'o, W> {
    out: &'a mut Output<'o>,
    new_writer: &'a dyn Fn() -> W,
    /// Where the segment of `first` begins.
    start: u64,
    /// The window whose pages go to the object.
    first: Option<(i64, W)>,
    /// With the places of their series.
    waiting: BTreeMap<i64, (W, RoaringBitmap)>,
    /// Windows that come in another pass, with the places of their series.
    later: BTreeMap<i64, RoaringBitmap>,
    max_waiting_bytes: usize,
    /// The windows of this pass; `None` for all.
    todo: Option<&'a BTreeMap<i64, RoaringBitmap>>,
}

impl<W: SegmentWriter> Pass<'_, '_, W> {
    /// The writer for rows of the window that begins at `window`, of the series at `place`; `None` where they come in
    /// another pass or came in one.
    pub fn writer(&mut self, place: u32, window: i64) -> Option<&mut W> {
        if self.todo.is_some_and(|todo| !todo.contains_key(&window)) {
            return None;
        }
        if let Some(places) = self.later.get_mut(&window) {
            places.insert(place);
            return None;
        }
        if self.first.is_none() {
            self.start = self.out.len();
            self.first = Some((window, (self.new_writer)()));
        }
        match &mut self.first {
            Some((first, writer)) if *first == window => Some(writer),
            _ => {
                let new = || ((self.new_writer)(), RoaringBitmap::new());
                let (writer, places) = self.waiting.entry(window).or_insert_with(new);
                places.insert(place);
                Some(writer)
            }
        }
    }

    /// The writer of a window, where this pass writes it.
    pub fn open_writer(&mut self, window: i64) -> Option<&mut W> {
        match &mut self.first {
            Some((first, writer)) if *first == window => Some(writer),
            _ => self.waiting.get_mut(&window).map(|(writer, _)| writer),
        }
    }

    /// Passes finished pages on, and gives up windows where too much waits.
    pub fn settle(&mut self) -> Result<()> {
        let mut waiting: usize = self.waiting.values().map(|(writer, _)| writer.size_bytes()).sum();
        while waiting > self.max_waiting_bytes {
            let largest = self.waiting.iter().max_by_key(|(_, (writer, _))| writer.size_bytes());
            let Some(window) = largest.map(|(window, _)| *window) else {
                break;
            };
            if let Some((writer, places)) = self.waiting.remove(&window) {
                waiting = waiting.saturating_sub(writer.size_bytes());
                self.later.insert(window, places);
            }
        }
        if let Some((_, writer)) = &mut self.first {
            let bytes = writer.drain();
            self.out.write(bytes, writer.size_bytes() + waiting)?;
        }
        Ok(())
    }

    /// All windows that rows were handed over for, ascending.
    fn windows(&self) -> Vec<i64> {
        let first = self.first.iter().map(|(window, _)| *window);
        let mut all: Vec<i64> = first
            .chain(self.waiting.keys().copied())
            .chain(self.later.keys().copied())
            .collect();
        all.sort_unstable();
        all
    }

    /// Ends the segments of this pass; gives what comes in another one.
    fn finish(self) -> Result<BTreeMap<i64, RoaringBitmap>> {
        let mut waiting: usize = self.waiting.values().map(|(writer, _)| writer.size_bytes()).sum();
        if let Some((_, writer)) = self.first
            && let Some(rest) = writer.finish()?
        {
            self.out.end_segment(self.start, rest, waiting)?;
        }
        for (writer, _) in self.waiting.into_values() {
            waiting = waiting.saturating_sub(writer.size_bytes());
            let start = self.out.len();
            if let Some(segment) = writer.finish()? {
                self.out.end_segment(start, segment, waiting)?;
            }
        }
        Ok(self.later)
    }
}

/// Cuts ascending times into runs of one window each: (start of the window, rows).
pub(super) fn runs_by_window(times: &[i64], now: Timestamp) -> Vec<(i64, std::ops::Range<usize>)> {
    let mut runs = Vec::new();
    let mut from = 0;
    while from < times.len() {
        let window = Window::of(times[from], now).range;
        // A run has at least its first row: at the very end of time a window cannot hold it.
        let len = times[from..].partition_point(|t| window.contains(*t)).max(1);
        runs.push((window.start, from..from + len));
        from += len;
    }
    runs
}
