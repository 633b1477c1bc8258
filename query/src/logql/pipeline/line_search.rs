//! Searching many lines at once: one pass over their text finds the few lines that can match, instead of a search a line.

use garner_storage::scan::LineSlice;
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind};

/// Texts below this length stand in too many lines for a first pass to pay.
const MIN_LITERAL_BYTES: usize = 2;
/// Most alternatives of a first pass; vector search takes about this many.
const MAX_LITERALS: usize = 64;

/// Finds places that every match touches: each match contains one of some texts.
#[derive(Debug, Clone)]
pub(super) enum Scout {
    /// One text.
    One(Box<Finder<'static>>),
    /// One of several.
    Any(Regex),
}

impl Scout {
    /// A scout for these texts; `None` where it would not pay.
    pub(super) fn of_texts(texts: &[&[u8]]) -> Option<Scout> {
        let short = texts.iter().any(|text| text.len() < MIN_LITERAL_BYTES);
        match texts {
            [one] if !one.is_empty() => Some(Scout::One(Box::new(Finder::new(*one).into_owned()))),
            [] => None,
            _ if short || texts.len() > MAX_LITERALS => None,
            _ => {
                let escape = |text: &&[u8]| text.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
                let pattern = texts.iter().map(escape).collect::<Vec<_>>().join("|");
                RegexBuilder::new(&pattern).unicode(false).build().ok().map(Scout::Any)
            }
        }
    }

    /// A scout for the texts one of which each match of `regex` contains.
    pub(super) fn of_regex(regex: &Regex) -> Option<Scout> {
        let parsed = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(regex.as_str());
        let texts = required_texts(&parsed.ok()?)?;
        Scout::of_texts(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// The first place from `at` on, if there is one.
    fn find(&self, text: &[u8], at: usize) -> Option<usize> {
        let rest = text.get(at..)?;
        match self {
            Scout::One(finder) => finder.find(rest).map(|found| at + found),
            Scout::Any(regex) => regex.find(rest).map(|found| at + found.start()),
        }
    }

    /// Whether there is any such place.
    pub(super) fn finds(&self, text: &[u8]) -> bool {
        match self {
            Scout::One(finder) => finder.find(text).is_some(),
            Scout::Any(regex) => regex.is_match(text),
        }
    }

    /// Replaces `rows` by the lines that pass, of which each has a place that this finds. `surely` tells that one text is
    /// all that a line needs to pass.
    pub(super) fn select(
        &self,
        lines: LineSlice<'_>,
        surely: bool,
        passes: impl Fn(&[u8]) -> bool,
        rows: &mut Vec<u32>,
    ) {
        rows.clear();
        let (Some(first), Some(last)) = (lines.offsets.first(), lines.offsets.last()) else {
            return;
        };
        let text = &lines.data[..*last as usize];
        let (mut at, mut row) = (*first as usize, 0);
        while let Some(found) = self.find(text, at) {
            row = line_around(lines.offsets, row, found);
            let end = lines.offsets[row + 1] as usize;
            // The place can lie across two lines: such a line is looked at as a whole.
            let inside = match self {
                Scout::One(finder) => found + finder.needle().len() <= end,
                Scout::Any(_) => false,
            };
            if (surely && inside) || passes(lines.line(row)) {
                rows.push(row as u32);
            }
            at = end;
        }
    }
}

/// The line, from `row` on, that holds the byte at `at`: near ones are tried first, as common texts stand in most lines.
fn line_around(offsets: &[i32], row: usize, at: usize) -> usize {
    let mut step = 1;
    let mut low = row;
    while low + step < offsets.len() && offsets[low + step] as usize <= at {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(offsets.len());
    low + offsets[low + 1..high].partition_point(|offset| *offset as usize <= at)
}

/// Texts one of which stands in every match; `None` where there are none that would help.
fn required_texts(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut best: Option<Vec<Vec<u8>>> = None;
    let worth = |texts: &[Vec<u8>]| texts.iter().map(Vec::len).min().unwrap_or(0);
    let mut offer = |mut texts: Vec<Vec<u8>>| {
        texts.sort_unstable();
        texts.dedup();
        let usable = !texts.is_empty() && texts.len() <= MAX_LITERALS && worth(&texts) >= MIN_LITERAL_BYTES;
        if usable && best.as_ref().is_none_or(|best| worth(&texts) > worth(best)) {
            best = Some(texts);
        }
    };
    for kind in [ExtractKind::Prefix, ExtractKind::Suffix] {
        let mut found = Extractor::new().kind(kind.clone()).extract(hir);
        match kind {
            ExtractKind::Prefix => found.optimize_for_prefix_by_preference(),
            _ => found.optimize_for_suffix_by_preference(),
        }
        if let Some(literals) = found.literals() {
            offer(literals.iter().map(|literal| literal.as_bytes().to_vec()).collect());
        }
    }
    // What stands between is found where nothing around it is optional.
    let mut parts = vec![hir];
    while let Some(part) = parts.pop() {
        match part.kind() {
            HirKind::Literal(literal) => offer(vec![literal.0.to_vec()]),
            HirKind::Concat(inner) => parts.extend(inner),
            HirKind::Capture(group) => parts.push(&group.sub),
            HirKind::Alternation(_) => {
                let mut found = Extractor::new().extract(part);
                found.optimize_for_prefix_by_preference();
                if let Some(literals) = found.literals() {
                    offer(literals.iter().map(|literal| literal.as_bytes().to_vec()).collect());
                }
            }
            _ => {}
        }
    }
    best
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn texts_that_every_match_holds() {
        for (pattern, expected) in [
            ("req-7f[a-f0-9]+b60", Some(vec!["req-7f"])),
            (".*timeout.*after", Some(vec!["timeout"])),
            ("(failed|refused) to", Some(vec!["failed to", "refused to"])),
            ("x[0-9]+ (lost|late)", Some(vec!["late", "lost"])),
            ("[a-z]+", None),
            ("a|.*", None),
            ("(?:abc)?", None),
            ("(abc)*d", None),
        ] {
            let regex = Regex::new(pattern).unwrap();
            let parsed = regex_syntax::parse(regex.as_str()).unwrap();
            let found = required_texts(&parsed).map(|texts| {
                let text = |t: Vec<u8>| String::from_utf8(t).unwrap();
                texts.into_iter().map(text).collect::<Vec<_>>()
            });
            let expected = expected.map(|texts| texts.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
