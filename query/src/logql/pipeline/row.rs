//! The labels of one log line on its way through a pipeline: those of its stream, its structured metadata, and what
//! stages parsed out of it. One [`Row`] is reused for all lines of a pipeline, so that a line costs no allocation.

use std::ops::Range;
use std::sync::Arc;

use garner_storage::model::Labels;

use super::hints::Hints;
use super::json::ShapedFields;
use super::json_paths::Progress;

/// The label that holds a stage's error.
pub const ERROR: &str = "__error__";
/// The label that says more about it.
pub const ERROR_DETAILS: &str = "__error_details__";
/// Set where a metric query asked for `__error__`, so that errors do not fail it.
pub const PRESERVE_ERROR: &str = "__preserve_error__";
/// Ends the name of an extracted label that would hide a label of the stream or its metadata.
pub const DUPLICATE_SUFFIX: &str = "_extracted";

/// A text in the row's arena.
type Span = Range<u32>;

/// Where a label comes from; answers can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The stream.
    Stream,
    /// Structured metadata.
    Metadata,
    /// A stage.
    Parsed,
}

/// The labels of a stream, split once.
#[derive(Debug, Default)]
pub struct StreamLabels {
    pairs: Vec<(String, String)>,
}

impl StreamLabels {
    /// Splits a label set.
    pub fn new(labels: &Labels) -> Arc<Self> {
        Arc::new(StreamLabels {
            pairs: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The state of one line's labels.
#[derive(Debug, Default)]
pub struct Row {
    stream: Arc<StreamLabels>,
    arena: String,
    metadata: Vec<(Span, Span)>,
    parsed: Vec<(Span, Span)>,
    /// Names that were set by a stage, deleted ones included: no later parser sets them again.
    extracted: Vec<Span>,
    deleted: Vec<Span>,
    error: Span,
    details: Span,
    /// How many of the required labels have been extracted.
    required_found: u32,
    /// Whether a parser found a field that is called `__error__`.
    parsed_error: bool,
    pub(super) buffers: Buffers,
}

/// The metadata of a line before any stage.
#[derive(Debug)]
pub struct Beginning {
    arena: Box<str>,
    metadata: Box<[(Span, Span)]>,
    error: Span,
    details: Span,
}

/// Memory that stages reuse from line to line.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// The line, once a stage has changed it.
    pub(super) line: Vec<u8>,
    /// The line before that.
    pub(super) spare: Vec<u8>,
    pub(super) changed: bool,
    pub(super) key: String,
    pub(super) value: String,
    /// A key that a walk over JSON unescapes.
    pub(super) scanned: String,
    pub(super) progress: Vec<Progress>,
    /// What `| json` has learned of the lines before.
    pub(super) fields: ShapedFields,
    pub(super) sorted: Vec<(Span, Span, Source)>,
}

/// Which text a sorted label refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Stream(u32),
    Arena,
    Error,
    Details,
}

impl Row {
    /// Starts the lines of a stream.
    pub fn set_stream(&mut self, stream: Arc<StreamLabels>) {
        self.stream = stream;
    }

    /// Forgets the line before.
    pub fn reset(&mut self) {
        self.arena.clear();
        self.metadata.clear();
        self.parsed.clear();
        self.extracted.clear();
        self.deleted.clear();
        self.error = 0..0;
        self.details = 0..0;
        self.required_found = 0;
        self.parsed_error = false;
        self.buffers.changed = false;
    }

    /// What is set so far, to begin other lines with the same metadata by [`Row::begin_with`].
    pub fn beginning(&self) -> Beginning {
        Beginning {
            arena: self.arena.as_str().into(),
            metadata: self.metadata.as_slice().into(),
            error: self.error.clone(),
            details: self.details.clone(),
        }
    }

    /// Forgets the line before and starts like an earlier one of the same stream.
    pub fn begin_with(&mut self, beginning: &Beginning) {
        self.reset();
        self.arena.push_str(&beginning.arena);
        self.metadata.extend_from_slice(&beginning.metadata);
        self.error = beginning.error.clone();
        self.details = beginning.details.clone();
    }

    /// The line after the stages; `input` where none changed it.
    pub fn line<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        if self.buffers.changed {
            &self.buffers.line
        } else {
            input
        }
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = self.arena.len() as u32;
        self.arena.push_str(text);
        start..self.arena.len() as u32
    }

    fn text(&self, span: &Span) -> &str {
        self.arena
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    fn find(&self, list: &[(Span, Span)], name: &str) -> Option<usize> {
        list.iter().position(|(n, _)| self.text(n) == name)
    }

    /// Adds structured metadata: a name that the stream has gets a suffix.
    pub fn add_metadata(&mut self, labels: &Labels) {
        for (name, value) in labels.iter() {
            match name {
                ERROR => self.error = self.keep(value),
                ERROR_DETAILS => self.details = self.keep(value),
                _ => {
                    let start = self.arena.len() as u32;
                    self.arena.push_str(name);
                    if self.stream.get(name).is_some() {
                        self.arena.push_str(DUPLICATE_SUFFIX);
                    }
                    let name = start..self.arena.len() as u32;
                    let value = self.keep(value);
                    let existing = self.metadata.iter().position(|(n, _)| self.text(n) == self.text(&name));
                    match existing {
                        Some(at) => self.metadata[at].1 = value,
                        None => self.metadata.push((name, value)),
                    }
                }
            }
        }
    }

    /// The value of a label, wherever it comes from.
    pub fn get(&self, name: &str) -> Option<&str> {
        for list in [&self.metadata, &self.parsed] {
            if let Some(at) = self.find(list, name) {
                return Some(self.text(&list[at].1));
            }
        }
        if self.is_deleted(name) {
            return None;
        }
        self.stream.get(name)
    }

    fn is_deleted(&self, name: &str) -> bool {
        self.deleted.iter().any(|d| self.text(d) == name)
    }

    /// Whether a parser must not use this name: the stream or the metadata has it.
    pub fn is_taken(&self, name: &str) -> bool {
        self.stream.get(name).is_some() || self.find(&self.metadata, name).is_some()
    }

    /// Whether a stage has set this name on this line.
    pub fn was_extracted(&self, name: &str) -> bool {
        self.extracted.iter().any(|e| self.text(e) == name)
    }

    /// Sets a label as parsed; it hides metadata of the same name.
    pub fn set(&mut self, name: &str, value: &str, hints: &Hints) {
        self.parsed_error |= name == ERROR;
        if let Some(at) = self.find(&self.metadata, name) {
            self.metadata.remove(at);
        }
        let value = self.keep(value);
        if let Some(at) = self.find(&self.parsed, name) {
            self.parsed[at].1 = value;
            return;
        }
        let name_span = self.keep(name);
        if !self.was_extracted(name) {
            self.extracted.push(name_span.clone());
            if hints.is_required(name) {
                self.required_found += 1;
            }
        }
        self.parsed.push((name_span, value));
    }

    /// Removes a label from everywhere.
    pub fn delete(&mut self, name: &str) {
        if let Some(at) = self.find(&self.metadata, name) {
            self.metadata.remove(at);
        }
        if let Some(at) = self.find(&self.parsed, name) {
            self.parsed.remove(at);
        }
        let name = self.keep(name);
        self.deleted.push(name);
    }

    /// How many required labels have been extracted.
    pub(super) fn required_found(&self) -> u32 {
        self.required_found
    }

    /// The error so far; empty where there is none.
    pub fn error(&self) -> &str {
        self.text(&self.error)
    }

    /// What is known about the error.
    pub fn error_details(&self) -> &str {
        self.text(&self.details)
    }

    /// Whether a label of the line may be called `__error__` without a stage having failed.
    pub fn has_parsed_error(&self) -> bool {
        self.parsed_error
    }

    /// Whether a stage failed.
    pub fn has_error(&self) -> bool {
        !self.error.is_empty()
    }

    /// Sets the error.
    pub fn set_error(&mut self, error: &str) {
        self.error = self.keep(error);
    }

    /// Sets the details of the error.
    pub fn set_error_details(&mut self, details: &str) {
        self.details = self.keep(details);
    }

    /// Sets the error of a parser; where the query asks for errors, marks the row so that they do not fail it.
    pub(super) fn set_parser_error(&mut self, error: &str, details: Option<&str>, hints: &Hints) {
        self.set_error(error);
        if let Some(details) = details {
            self.set_error_details(details);
        }
        if hints.preserves_errors() {
            self.set(PRESERVE_ERROR, "true", hints);
        }
    }

    /// Forgets the error.
    pub fn clear_error(&mut self) {
        self.error = 0..0;
    }

    /// Forgets the details.
    pub fn clear_error_details(&mut self) {
        self.details = 0..0;
    }

    /// Whether a label of this name stands aside for the error of a stage or its details.
    fn is_covered_by_error(&self, name: &str) -> bool {
        (!self.error.is_empty() && name == ERROR) || (!self.details.is_empty() && name == ERROR_DETAILS)
    }

    /// Whether the labels are exactly the stream's.
    pub fn is_unchanged(&self) -> bool {
        self.metadata.is_empty() && self.parsed.is_empty() && self.deleted.is_empty() && self.error.is_empty()
    }

    /// Calls `found` for each label with its category, in no order. Errors count as parsed.
    pub fn for_each(&self, mut found: impl FnMut(Category, &str, &str)) {
        for (name, value) in &self.stream.pairs {
            let hidden = self.is_deleted(name)
                || self.find(&self.metadata, name).is_some()
                || self.find(&self.parsed, name).is_some();
            if !hidden {
                found(Category::Stream, name, value);
            }
        }
        for (list, category) in [(&self.metadata, Category::Metadata), (&self.parsed, Category::Parsed)] {
            for (name, value) in list {
                if !self.is_covered_by_error(self.text(name)) {
                    found(category, self.text(name), self.text(value));
                }
            }
        }
        if !self.error.is_empty() {
            found(Category::Parsed, ERROR, self.error());
        }
        if !self.details.is_empty() {
            found(Category::Parsed, ERROR_DETAILS, self.error_details());
        }
    }

    /// Writes the labels that `keep` accepts, sorted by name, in the store's canonical form. With `keep_empty` labels
    /// without a value are written too, as log answers show them; the bytes are then no canonical set.
    pub fn encode(&mut self, out: &mut Vec<u8>, keep_empty: bool, keep: impl Fn(Category, &str) -> bool) {
        let mut sorted = std::mem::take(&mut self.buffers.sorted);
        sorted.clear();
        for (at, (name, _)) in self.stream.pairs.iter().enumerate() {
            let hidden = self.is_deleted(name)
                || self.find(&self.metadata, name).is_some()
                || self.find(&self.parsed, name).is_some();
            if !hidden && keep(Category::Stream, name) {
                sorted.push((0..0, 0..0, Source::Stream(at as u32)));
            }
        }
        for (list, category) in [(&self.metadata, Category::Metadata), (&self.parsed, Category::Parsed)] {
            for (name, value) in list {
                let shown = (keep_empty || !value.is_empty()) && !self.is_covered_by_error(self.text(name));
                if shown && keep(category, self.text(name)) {
                    sorted.push((name.clone(), value.clone(), Source::Arena));
                }
            }
        }
        if !self.error.is_empty() && keep(Category::Parsed, ERROR) {
            sorted.push((0..0, self.error.clone(), Source::Error));
        }
        if !self.details.is_empty() && keep(Category::Parsed, ERROR_DETAILS) {
            sorted.push((0..0, self.details.clone(), Source::Details));
        }
        let pair = |(name, value, source): &(Span, Span, Source)| match source {
            Source::Stream(at) => {
                let (n, v) = &self.stream.pairs[*at as usize];
                (n.as_str(), v.as_str())
            }
            Source::Arena => (self.text(name), self.text(value)),
            Source::Error => (ERROR, self.text(value)),
            Source::Details => (ERROR_DETAILS, self.text(value)),
        };
        sorted.sort_unstable_by(|a, b| pair(a).0.cmp(pair(b).0));
        sorted.dedup_by(|a, b| pair(a).0 == pair(b).0);
        for entry in &sorted {
            let (name, value) = pair(entry);
            push_text(out, name);
            push_text(out, value);
        }
        self.buffers.sorted = sorted;
    }

    /// The labels of `names` that are there, as `by (names)` sees them: a deleted name stays absent even where a later
    /// stage set it again, and one that was set to nothing is there (loki `pkg/logql/log/labels.go`, `withResult`).
    pub fn encode_by(&mut self, out: &mut Vec<u8>, names: &[String]) {
        for (i, name) in names.iter().enumerate() {
            if self.is_deleted(name) || names[..i].contains(name) {
                continue;
            }
            if let Some(value) = self.get(name) {
                push_text(out, name);
                push_text(out, value);
            }
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Pairs of bytes that [`Row::encode`] wrote.
pub fn decode_pairs(mut bytes: &[u8]) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let (mut len, mut shift, mut used) = (0usize, 0, 0);
        for byte in bytes {
            len |= ((byte & 0x7f) as usize) << shift;
            shift += 7;
            used += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = (used + len).min(bytes.len());
        texts.push(String::from_utf8_lossy(&bytes[used..end]).into_owned());
        bytes = &bytes[end..];
    }
    let mut pairs = Vec::with_capacity(texts.len() / 2);
    let mut texts = texts.into_iter();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        pairs.push((name, value));
    }
    pairs
}
