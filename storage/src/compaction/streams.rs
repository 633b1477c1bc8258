//! Where the streams of several segments of logs lie: numbers only, since they are gone through era after era. Their names
//! are read again where they are wanted.

use super::input::Input;
use super::walk::SeriesWalk;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Labels, TimeRange};
use crate::scan::{Held, ScanContext};

/// Streams that are passed at one time.
const WALK_STREAMS: usize = 1024;

/// See the module docs. Streams are numbered in the order of [`crate::model::SeriesKey`].
#[derive(Debug)]
pub(super) struct StreamPlaces {
    /// Places of stream `i` lie at `offsets[i]..offsets[i + 1]`, in the order of the inputs.
    offsets: Vec<u32>,
    /// Input and ordinal there.
    places: Vec<(u32, u32)>,
    _held: Held,
}

/// Some streams that have rows in one era, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct EraStreams {
    pub numbers: Vec<u32>,
    pub labels: Vec<Labels>,
    /// Rows of stream `i` lie at `offsets[i]..offsets[i + 1]` of these: input, ordinal there, bounds and number.
    places: Vec<(u32, u32, TimeRange, u64)>,
    offsets: Vec<u32>,
}

impl EraStreams {
    /// Where the rows of the `i`-th lie.
    pub fn places(&self, i: usize) -> &[(u32, u32, TimeRange, u64)] {
        &self.places[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }
}

impl StreamPlaces {
    /// Walks through the streams of `inputs`.
    pub async fn of(inputs: &[Input], scan: &ScanContext) -> Result<StreamPlaces> {
        let mut held = Held::new(&scan.memory);
        let (mut offsets, mut places) = (vec![0], Vec::new());
        let mut walk = SeriesWalk::new(inputs, scan);
        while let Some(block) = walk.next(WALK_STREAMS, scan).await? {
            for stream in 0..block.len() {
                places.extend(block.places(stream).iter().map(|place| (place.input, place.ordinal)));
                offsets.push(places.len() as u32);
            }
            held.set(places.capacity() * size_of::<(u32, u32)>() + offsets.capacity() * 4)?;
            tokio::task::yield_now().await;
        }
        Ok(StreamPlaces {
            offsets,
            places,
            _held: held,
        })
    }

    /// Number of streams.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// At most `max` streams with rows in `era` from number `from` on, and the number behind the last that was looked at.
    pub async fn in_era(
        &self,
        inputs: &[Input],
        era: TimeRange,
        from: usize,
        max: usize,
        scan: &ScanContext,
    ) -> Result<(EraStreams, usize)> {
        let mut out = EraStreams {
            offsets: vec![0],
            ..EraStreams::default()
        };
        // Who names each of them: the first input that has rows of it.
        let mut named_by: Vec<Vec<u32>> = vec![Vec::new(); inputs.len()];
        let mut next = from;
        while next < self.len() && out.numbers.len() < max {
            let own = &self.places[self.offsets[next] as usize..self.offsets[next + 1] as usize];
            let before = out.places.len();
            out.places.extend(own.iter().filter_map(|(input, ordinal)| {
                let (range, rows) = inputs[*input as usize].segment.bounds_in(*ordinal, era)?;
                Some((*input, *ordinal, range, rows))
            }));
            if let Some((input, ordinal, ..)) = out.places.get(before) {
                named_by[*input as usize].push(*ordinal);
                out.numbers.push(next as u32);
                out.offsets.push(out.places.len() as u32);
            }
            next += 1;
        }
        let mut names = Vec::with_capacity(inputs.len());
        for (input, ordinals) in inputs.iter().zip(&named_by) {
            // Ordinals ascend with the numbers.
            names.push(input.segment.labels_of(ordinals, scan).await?.into_iter());
        }
        for stream in 0..out.numbers.len() {
            let first = out.places(stream).first().map_or(0, |place| place.0);
            let labels = names[first as usize].next().ok_or_else(|| {
                let message = "a stream of a merge has no name";
                Error::new(ErrorKind::Internal, message)
            })?;
            out.labels.push(labels);
        }
        Ok((out, next))
    }
}
