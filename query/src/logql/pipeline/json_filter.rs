//! Label filters right behind `| json`, tried on the text of a line: what they refuse is dropped before anything is made of
//! the line, and each distinct value is judged once.
//!
//! A filter that asks for one label only looks at the first field of that name. Where it refuses that value, or where there
//! is no such field and it refuses absence, the line is dropped whatever else is in it: an error of the parser or of another
//! filter shows on lines that are kept. Where the label may come from somewhere else (the stream, structured metadata,
//! nested fields) nothing is told.

use std::ops::ControlFlow;

use super::hints::Hints;
use super::json;
use super::json_scan::Kind;
use super::json_shape::{Shapes, Use, Walked};
use super::label_filter::Filter;
use super::row::{DUPLICATE_SUFFIX, ERROR, ERROR_DETAILS, PRESERVE_ERROR, Row};
use super::stages::Step;

/// Labels that are looked for in a line.
const MAX_LABELS: usize = 8;
/// Values that are remembered for each label; a power of two.
const KNOWN_VALUES: usize = 256;
/// Bytes of a value that is remembered.
const KNOWN_BYTES: usize = 15;

/// What is told of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Some filter refuses it.
    Drop,
    /// It is no malformed JSON, every filter lets it pass, and none finds an error.
    Keep,
    /// Nothing.
    Unknown,
}

/// The filters of a pipeline that can be tried so.
#[derive(Debug, Default, Clone)]
pub(super) struct JsonFilters {
    labels: Vec<(String, Vec<Filter>)>,
    /// Whether nothing else stands behind the parser.
    whole: bool,
}

impl JsonFilters {
    /// Those of these stages; `None` where there are none.
    pub fn of(steps: &[Step]) -> Option<JsonFilters> {
        let [Step::Json, rest @ ..] = steps else { return None };
        let mut found = JsonFilters {
            labels: Vec::new(),
            whole: true,
        };
        let filters = rest.iter().map_while(|step| match step {
            Step::LabelFilter(filter) => Some(filter),
            _ => None,
        });
        let mut count = 0;
        for filter in filters {
            count += 1;
            let mut parts = vec![filter];
            while let Some(part) = parts.pop() {
                match part {
                    Filter::And(a, b) => parts.extend([&**a, &**b]),
                    part => found.whole &= found.take(part),
                }
            }
        }
        found.whole &= count == rest.len();
        (!found.labels.is_empty()).then_some(found)
    }

    /// Takes a filter that asks for one label of a line, and for nothing else.
    fn take(&mut self, filter: &Filter) -> bool {
        let mut names = Vec::new();
        filter.labels(&mut names);
        let Some(name) = names.pop().filter(|_| names.is_empty()) else {
            return false;
        };
        let special =
            matches!(name.as_str(), ERROR | ERROR_DETAILS | PRESERVE_ERROR) || name.ends_with(DUPLICATE_SUFFIX);
        // An address filter lets pass whatever follows an error.
        if special || filter.asks_for_address() {
            return false;
        }
        match self.labels.iter().position(|(n, _)| *n == name) {
            Some(at) => self.labels[at].1.push(filter.clone()),
            None if self.labels.len() < MAX_LABELS => self.labels.push((name, vec![filter.clone()])),
            None => return false,
        }
        true
    }
}

/// The filters at work on one partition.
#[derive(Debug)]
pub struct JsonJudge {
    names: Vec<String>,
    /// What they say, by the number of the name.
    opinions: Vec<Opinions>,
    whole: bool,
    /// The wanted fields are numbers of names.
    shapes: Shapes<usize>,
}

/// What is known of a line while it is walked.
#[derive(Debug, Default)]
struct Seen {
    /// A bit for each label found.
    found: u8,
    refused: bool,
    unclear: bool,
}

const _: () = assert!(MAX_LABELS <= u8::BITS as usize, "each label has a bit");

impl JsonJudge {
    pub(super) fn new(filters: &JsonFilters) -> Self {
        JsonJudge {
            names: filters.labels.iter().map(|(name, _)| name.clone()).collect(),
            opinions: filters
                .labels
                .iter()
                .map(|(name, own)| Opinions::new(name, own))
                .collect(),
            whole: filters.whole,
            shapes: Shapes::default(),
        }
    }

    /// Whether it can tell anything of lines that begin like this row, which no stage has touched yet.
    pub fn can_judge(&self, row: &Row) -> bool {
        !self.names.iter().any(|name| row.is_taken(name))
    }

    /// What the filters say of a line.
    pub(super) fn judge(&mut self, line: &[u8], hints: &Hints) -> Verdict {
        let (names, opinions) = (&self.names, &mut self.opinions);
        let usage = |key: &str, kind| {
            let mut name = String::new();
            json::append_sanitized(&mut name, key);
            match kind {
                Kind::Object if hints.wants_prefix(&name) => Use::Unknown,
                Kind::Object | Kind::Array => Use::Skip,
                _ => names.iter().position(|n| *n == name).map_or(Use::Skip, Use::Value),
            }
        };
        let walked = self.shapes.walk(line, usage, |seen: &mut Seen, _, label, kind, text| {
            // Only the first field of a name is one, and null is none.
            let bit = 1u8 << *label;
            let opinion = match opinions.get_mut(*label) {
                Some(opinions) if seen.found & bit == 0 && kind != Kind::Null => opinions.of(kind, text),
                _ => return ControlFlow::Continue(()),
            };
            seen.found |= bit;
            match opinion {
                Opinion::Passes => {}
                Opinion::Unclear => seen.unclear = true,
                Opinion::Refuses => {
                    seen.refused = true;
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        let seen = match walked {
            Walked::Not => return Verdict::Unknown,
            Walked::Stopped(seen) | Walked::Whole(seen) => seen,
        };
        let absent = self.opinions.iter().enumerate();
        let absent = absent
            .filter(|(label, _)| seen.found & (1 << label) == 0)
            .map(|(_, o)| o.absent);
        let (mut refused, mut unclear) = (seen.refused, seen.unclear);
        for opinion in absent {
            // A line whose walk was stopped is refused already.
            refused |= opinion == Opinion::Refuses;
            unclear |= opinion == Opinion::Unclear;
        }
        match (refused, unclear || !self.whole) {
            (true, _) => Verdict::Drop,
            (false, true) => Verdict::Unknown,
            (false, false) => Verdict::Keep,
        }
    }
}

/// What the filters of a label say of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opinion {
    Passes,
    Refuses,
    /// It passes with an error.
    Unclear,
}

/// The filters of one label, and what they said of values before.
#[derive(Debug)]
struct Opinions {
    name: String,
    filters: Vec<Filter>,
    absent: Opinion,
    /// By a hash of the value; another value of that hash takes the place.
    known: Box<[Option<(Known, Opinion)>]>,
    row: Row,
    value: String,
}

/// A short value: its bytes, and behind them its length and whether it is a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known(u128);

impl Known {
    fn of(kind: Kind, text: &[u8]) -> Option<Known> {
        if text.len() > KNOWN_BYTES {
            return None;
        }
        let word = text.iter().fold(0u128, |word, byte| (word << 8) | u128::from(*byte));
        let kind = (text.len() << 1) | usize::from(kind == Kind::String);
        Some(Known((word << 8) | kind as u128))
    }

    fn slot(self) -> usize {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let folded = (self.0 as u64) ^ ((self.0 >> 64) as u64).rotate_left(23);
        (folded.wrapping_mul(MIX) >> 32) as usize % KNOWN_VALUES
    }
}

impl Opinions {
    fn new(name: &str, filters: &[Filter]) -> Self {
        let mut own = Opinions {
            name: name.to_string(),
            filters: filters.to_vec(),
            absent: Opinion::Unclear,
            known: vec![None; KNOWN_VALUES].into_boxed_slice(),
            row: Row::default(),
            value: String::new(),
        };
        own.absent = own.ask();
        own
    }

    fn of(&mut self, kind: Kind, text: &[u8]) -> Opinion {
        let known = Known::of(kind, text);
        if let Some(known) = known
            && let Some(Some((value, opinion))) = self.known.get(known.slot())
            && *value == known
        {
            return *opinion;
        }
        json::field_text(kind, text, &mut self.value);
        self.row.reset();
        self.row.set(&self.name, &self.value, &Hints::default());
        let opinion = self.ask();
        if let Some(known) = known
            && let Some(place) = self.known.get_mut(known.slot())
        {
            *place = Some((known, opinion));
        }
        opinion
    }

    /// What the filters say of the row.
    fn ask(&mut self) -> Opinion {
        let passes = self.filters.iter().all(|filter| filter.passes(&mut self.row));
        match (passes, self.row.has_error()) {
            (false, _) => Opinion::Refuses,
            (true, false) => Opinion::Passes,
            (true, true) => Opinion::Unclear,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use garner_storage::model::Labels;
    use proptest::prelude::*;

    use super::super::json_shape::tests::{changed, line};
    use super::super::{Pipeline, StreamLabels, Wanted};
    use super::*;
    use crate::logql::parser::parse_log_selector;

    const STAGES: [&str; 16] = [
        "| json",
        "| json | status >= 500",
        "| json | status >= 500 | user = \"x\"",
        "| json | status >= 500 and level != \"info\"",
        "| json | status >= 500 or level = \"info\"",
        "| json | status = 200 or status = 503",
        "| json | level = \"\"",
        "| json | level =~ \"i.*|\" | __error__ = \"\"",
        "| json | user_id > 3",
        "| json | status > 2ms",
        "| json | status < 3KB",
        "| json | user = ip(\"1.2.3.0/24\") | status = 2",
        "| json | app = \"a\" | status = 2",
        "| json | app_extracted = \"a\"",
        "| json | status = 2 | line_format \"{{.user}}\" | json",
        "| json | status = 2 | drop level | level = \"\"",
    ];

    fn pipeline(stages: &str, wanted: &Wanted) -> Pipeline {
        let log = parse_log_selector(&format!("{{app=\"x\"}} {stages}")).unwrap();
        Pipeline::compile(&log.stages, wanted).unwrap()
    }

    /// What becomes of a line: its labels and its text.
    fn run(pipeline: &Pipeline, row: &mut Row, line: &[u8]) -> Option<(Vec<String>, Vec<u8>)> {
        pipeline.process(row, 0, line).then(|| {
            let mut labels = Vec::new();
            row.for_each(|_, name, value| labels.push(format!("{name}={value}")));
            labels.sort();
            (labels, row.line(line).to_vec())
        })
    }

    fn begin(row: &mut Row, metadata: &[(&str, &str)]) {
        row.reset();
        row.add_metadata(&Labels::from_pairs(metadata.iter().copied()));
    }

    fn row() -> Row {
        let mut row = Row::default();
        row.set_stream(StreamLabels::new(&Labels::from_pairs([("app", "x")])));
        row
    }

    #[test]
    fn lines_are_judged_by_their_text() {
        let pipeline = pipeline("| json | status >= 500 | level != \"debug\"", &Wanted::default());
        let mut judge = pipeline.judge().unwrap();
        let line = |level: &str, status: &str| format!("{{\"level\":\"{level}\",\"status\":{status},\"end\":\"x\"}}");
        assert_eq!(
            pipeline.verdict(&mut judge, line("info", "200").as_bytes()),
            Verdict::Unknown
        );
        for (level, status, expected) in [
            ("info", "200", Verdict::Drop),
            ("info", "503", Verdict::Keep),
            ("info", "503", Verdict::Keep),
            ("debug", "503", Verdict::Drop),
            ("info", "null", Verdict::Drop),
            ("info", "\"x\"", Verdict::Unknown),
            ("info", "5x", Verdict::Unknown),
            // The first field of the name counts.
            ("info\",\"status\":\"7", "503", Verdict::Drop),
            ("info\",\"msg\":\"7", "503", Verdict::Unknown),
        ] {
            let line = line(level, status);
            assert_eq!(pipeline.verdict(&mut judge, line.as_bytes()), expected, "{line}");
        }
        let mut row = row();
        begin(&mut row, &[("status", "1")]);
        assert!(!judge.can_judge(&row));
    }

    #[test]
    fn only_filters_on_one_label_behind_json_are_tried() {
        let kinds: Vec<_> = STAGES
            .iter()
            .map(|stages| {
                let filters = pipeline(stages, &Wanted::default()).json_filters().cloned();
                filters.map_or(String::new(), |f| {
                    let names: Vec<_> = f
                        .labels
                        .iter()
                        .map(|(name, own)| format!("{name}*{}", own.len()))
                        .collect();
                    format!("{}{}", names.join(" "), if f.whole { "" } else { " …" })
                })
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "",
                "status*1",
                "status*1 user*1",
                "level*1 status*1",
                "",
                "status*1",
                "level*1",
                "level*1 …",
                "user_id*1",
                "status*1",
                "status*1",
                "status*1 …",
                "app*1 status*1",
                "",
                "status*1 …",
                "status*1 …",
            ]
        );
    }

    proptest! {
        #[test]
        fn verdicts_and_shapes_say_what_the_stages_say(
            stages in prop::sample::select(STAGES.to_vec()),
            by in prop::sample::select(vec![&[][..], &["app"], &["level"], &["user_id"], &["status_extracted"]]),
            without: bool,
            with_metadata: bool,
            lines in prop::collection::vec(
                line(&["status", "level", "user", "user_id", " status", "app", "id", "st\\u0061tus", ""]), 1..4,
            ),
            order in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..6), 1..40),
        ) {
            let wanted = Wanted {
                groups: by.iter().map(|name| name.to_string()).collect(),
                without,
                ..Wanted::default()
            };
            let pipeline = pipeline(stages, &wanted);
            let metadata: &[(&str, &str)] = if with_metadata { &[("user", "m")] } else { &[] };
            let (mut kept_row, mut judge) = (row(), pipeline.judge());
            for (at, place, byte, change) in order {
                let bytes = changed(&lines[at.index(lines.len())], (change == 0).then_some((place, byte)));
                let mut fresh = row();
                begin(&mut fresh, metadata);
                let expected = run(&pipeline, &mut fresh, &bytes);
                begin(&mut kept_row, metadata);
                let verdict = match &mut judge {
                    Some(judge) if judge.can_judge(&kept_row) => pipeline.verdict(judge, &bytes),
                    _ => Verdict::Unknown,
                };
                let text = String::from_utf8_lossy(&bytes);
                match verdict {
                    Verdict::Drop => prop_assert!(expected.is_none(), "{}", text),
                    Verdict::Keep => prop_assert!(expected.is_some() && !fresh.has_error(), "{}", text),
                    Verdict::Unknown => {}
                }
                prop_assert_eq!(run(&pipeline, &mut kept_row, &bytes), expected, "{}", text);
            }
        }
    }
}
