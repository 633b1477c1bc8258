//! The object of a round while it is built: pieces of bytes on their way out, and the segments they make.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::segment::{SegmentBytes, SegmentMeta};

/// Takes the next bytes of the object, and is told what the writers hold besides.
pub type Send<'a> = dyn FnMut(Vec<u8>, usize) -> Result<()> + 'a;

/// See the module docs.
pub(super) struct Output<'a> {
    path: Arc<str>,
    len: u64,
    segments: Vec<SegmentMeta>,
    send: &'a mut Send<'a>,
}

impl<'a> Output<'a> {
    /// An empty object at `path`.
    pub fn new(path: Arc<str>, send: &'a mut Send<'a>) -> Self {
        Output {
            path,
            len: 0,
            segments: Vec::new(),
            send,
        }
    }

    /// Where the next bytes will lie.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Passes bytes on; the writers still hold `held`.
    pub fn write(&mut self, bytes: Vec<u8>, held: usize) -> Result<()> {
        self.len += bytes.len() as u64;
        (self.send)(bytes, held)
    }

    /// Ends the segment that begins at `start` with what its writer left.
    pub fn end_segment(&mut self, start: u64, rest: SegmentBytes, held: usize) -> Result<()> {
        self.write(rest.bytes, held)?;
        self.segments.push(rest.meta.at(self.path.clone(), start));
        Ok(())
    }

    /// The segments of the object.
    pub fn into_segments(self) -> Vec<SegmentMeta> {
        self.segments
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({}, {} bytes)", self.path, self.len)
    }
}
