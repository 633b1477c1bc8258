//! What both body formats decode to: a walk over streams and entries that borrows from the body.

use std::borrow::Cow;

use super::labels::StreamLabels;
use crate::error::IngestError;

/// A name and a value as they were sent: not checked, not always UTF-8.
pub(crate) type RawPair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// One entry as the client sent it. The decoder reuses one value for all entries of a body.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Entry<'a> {
    /// Nanoseconds; `Err` says that the client's time lies outside what 64 bits can hold (true: after it).
    pub time: EntryTime,
    /// The line's bytes, not always UTF-8.
    pub line: Cow<'a, [u8]>,
    /// Structured metadata in the order sent, names and values not yet checked.
    pub metadata: Vec<RawPair<'a>>,
}

/// An entry's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryTime {
    /// Nanoseconds since the epoch.
    Ns(i64),
    /// A valid time before the first nanosecond that can be stored (1677).
    BeforeRange,
    /// A valid time after the last one (2262).
    AfterRange,
}

impl Default for EntryTime {
    fn default() -> Self {
        EntryTime::Ns(0)
    }
}

/// Takes the streams of a push in order. An error ends the walk and refuses the push.
pub(crate) trait PushVisitor<'a> {
    /// A stream starts; its entries follow. Called for streams without entries too.
    fn stream(&mut self, labels: StreamLabels<'a>) -> Result<(), IngestError>;

    /// Metadata that the entries of the stream that started last carry behind their own; names are normalised already.
    fn shared_metadata<'s>(&mut self, pairs: impl Iterator<Item = &'s RawPair<'a>>) -> Result<(), IngestError>
    where
        'a: 's;

    /// An entry of the stream that started last. `entry` may be changed; the decoder overwrites all of it.
    fn entry(&mut self, entry: &mut Entry<'a>) -> Result<(), IngestError>;
}
