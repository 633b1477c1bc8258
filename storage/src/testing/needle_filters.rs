//! A small language for the line filters of deletes.

use std::sync::Arc;

use crate::deletes::{EntryFilter, EntryFilterCompiler, EntryRef, StreamFilter};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Labels;

/// `text` matches lines that contain it, `name=value` entries with this metadata as sent, `stream:text` lines of streams
/// whose labels have `text` as a value. The empty text is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeedleFilters;

#[derive(Clone, Debug)]
struct Needle(String);

impl EntryFilterCompiler for NeedleFilters {
    fn compile(&self, text: &str) -> Result<Arc<dyn EntryFilter>> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "an empty needle"));
        }
        Ok(Arc::new(Needle(text.to_string())))
    }
}

impl EntryFilter for Needle {
    fn of_stream(&self, stream: &Labels) -> Box<dyn StreamFilter> {
        let of_stream = |text: &str| stream.iter().any(|(_, value)| value == text);
        Box::new(match (self.0.strip_prefix("stream:"), self.0.split_once('=')) {
            (Some(text), _) => StreamNeedle::Whole(of_stream(text)),
            (None, Some((name, value))) => StreamNeedle::Metadata(name.into(), value.into()),
            (None, None) => StreamNeedle::Line(self.0.clone()),
        })
    }
}

enum StreamNeedle {
    Whole(bool),
    Metadata(String, String),
    Line(String),
}

impl StreamFilter for StreamNeedle {
    fn matches(&mut self, entry: EntryRef<'_>) -> bool {
        match self {
            StreamNeedle::Whole(all) => *all,
            StreamNeedle::Metadata(name, value) => entry.metadata.get(name) == Some(value.as_str()),
            StreamNeedle::Line(needle) => memchr::memmem::find(entry.line, needle.as_bytes()).is_some(),
        }
    }
}
