//! Line filters, compiled, on one line and on many at once.

use garner_storage::scan::{LineFilter as ScanFilter, LineSlice};
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::ip::IpSet;
use super::line_search::Scout;
use crate::goregex::{self, GoRegexError, Plain};
use crate::logql::ast::{LineFilter, LineOp, LineOperand};
use crate::logql::line_pattern::LinePattern;

/// A compiled line filter.
#[derive(Debug, Clone)]
pub struct LineMatch {
    negative: bool,
    any: Vec<Needle>,
    /// Finds the lines that can match, before they are negated.
    scout: Option<Scout>,
    /// Whether what the scout finds matches for sure.
    surely: bool,
}

/// Line filters all of which must pass, in the order in which they are tried.
#[derive(Debug, Clone, Default)]
pub struct LineMatches(Vec<LineMatch>);

#[derive(Debug, Clone)]
enum Needle {
    Always,
    NotEmpty,
    Text(Box<Finder<'static>>),
    Regex(Regex),
    Pattern(LinePattern),
    Ip(IpSet),
}

impl LineMatch {
    /// Compiles a filter.
    pub fn compile(filter: &LineFilter) -> Result<Self, String> {
        let any = filter
            .operands
            .iter()
            .map(|o| needle(filter.op, o))
            .collect::<Result<_, _>>()?;
        Ok(LineMatch::new(filter.op.is_negative(), any))
    }

    fn new(negative: bool, any: Vec<Needle>) -> Self {
        let texts: Option<Vec<&[u8]>> = any.iter().map(Needle::text).collect();
        let scout = match (texts, any.as_slice()) {
            (Some(texts), _) => Scout::of_texts(&texts),
            (None, [Needle::Regex(regex)]) => Scout::of_regex(regex),
            (None, _) => None,
        };
        LineMatch {
            negative,
            surely: any.iter().all(|n| n.text().is_some()),
            any,
            scout,
        }
    }

    /// Whether a line passes.
    pub fn passes(&self, line: &[u8]) -> bool {
        self.matches(line) != self.negative
    }

    fn matches(&self, line: &[u8]) -> bool {
        self.any.iter().any(|n| n.is_match(line))
    }

    /// Replaces `rows` by those of `lines` that pass.
    fn select(&self, lines: LineSlice<'_>, rows: &mut Vec<u32>) {
        let Some(scout) = &self.scout else {
            rows.clear();
            rows.extend((0..lines.len() as u32).filter(|row| self.passes(lines.line(*row as usize))));
            return;
        };
        scout.select(lines, self.surely, |line| self.matches(line), rows);
        if self.negative {
            let mut matching = std::mem::take(rows).into_iter().peekable();
            rows.extend((0..lines.len() as u32).filter(|row| matching.next_if_eq(row).is_none()));
        }
    }
}

impl LineMatches {
    /// Those that leave few lines, and find them fast, come first; the order does not show.
    pub fn new(mut filters: Vec<LineMatch>) -> Self {
        filters.sort_by_key(|f| match (&f.scout, f.negative) {
            (Some(_), false) => 0,
            (Some(_), true) => 1,
            (None, _) => 2,
        });
        LineMatches(filters)
    }

    /// Whether every line passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a line passes.
    pub fn passes(&self, line: &[u8]) -> bool {
        self.0.iter().all(|filter| filter.passes(line))
    }
}

impl ScanFilter for LineMatches {
    fn select(&self, lines: LineSlice<'_>, rows: &mut Vec<u32>) {
        let Some((first, others)) = self.0.split_first() else {
            rows.clear();
            rows.extend(0..lines.len() as u32);
            return;
        };
        first.select(lines, rows);
        if !others.is_empty() {
            rows.retain(|row| others.iter().all(|f| f.passes(lines.line(*row as usize))));
        }
    }

    fn may_pass(&self, text: &[u8]) -> bool {
        let mut wanted = self.0.iter().filter(|f| !f.negative).filter_map(|f| f.scout.as_ref());
        wanted.all(|scout| scout.finds(text))
    }
}

fn needle(op: LineOp, operand: &LineOperand) -> Result<Needle, String> {
    if operand.ip {
        return match op {
            LineOp::Contains | LineOp::NotContains => Ok(Needle::Ip(IpSet::parse(&operand.text)?)),
            _ => Err("ip: invalid operation".to_string()),
        };
    }
    let text = operand.text.as_str();
    Ok(match op {
        LineOp::Contains | LineOp::NotContains if text.is_empty() => Needle::Always,
        LineOp::Contains | LineOp::NotContains => Needle::Text(Box::new(Finder::new(text).into_owned())),
        LineOp::Matches | LineOp::NotMatches => {
            // What is too large to be run is refused, plain or not.
            let regex = goregex::compile(text).map_err(|e| e.to_string())?;
            match goregex::plain(text, false).map_err(|e| e.to_string())? {
                Some(plain) => plain_needle(plain, regex).map_err(|e| e.to_string())?,
                None => Needle::Regex(regex),
            }
        }
        LineOp::Pattern | LineOp::NotPattern => Needle::Pattern(LinePattern::filter(text)?),
    })
}

/// What a plain pattern looks for; `regex` is the pattern itself.
fn plain_needle(plain: Plain, regex: Regex) -> Result<Needle, GoRegexError> {
    Ok(match plain {
        Plain::Always => Needle::Always,
        Plain::Exists => Needle::NotEmpty,
        Plain::Equal(text, false) | Plain::Contains(text, false) => {
            Needle::Text(Box::new(Finder::new(&text).into_owned()))
        }
        Plain::Equal(text, true) | Plain::Contains(text, true) => {
            Needle::Regex(goregex::compile(&format!("(?i){}", regex_syntax::escape(&text)))?)
        }
        Plain::Any(list) => {
            let texts = list.iter().map(|leg| match leg {
                Plain::Equal(text, fold) | Plain::Contains(text, fold) => {
                    let flag = if *fold { "(?i:" } else { "(?:" };
                    Some(format!("{flag}{})", regex_syntax::escape(text)))
                }
                _ => None,
            });
            match texts.collect::<Option<Vec<_>>>() {
                Some(texts) => Needle::Regex(goregex::compile(&texts.join("|"))?),
                // One leg asks for any text at all.
                None => Needle::Regex(regex),
            }
        }
    })
}

impl Needle {
    /// The text whose presence is all that it asks.
    fn text(&self) -> Option<&[u8]> {
        match self {
            Needle::Text(finder) => Some(finder.needle()),
            _ => None,
        }
    }

    fn is_match(&self, line: &[u8]) -> bool {
        match self {
            Needle::Always => true,
            Needle::NotEmpty => !line.is_empty(),
            Needle::Text(finder) => finder.find(line).is_some(),
            Needle::Regex(regex) => regex.is_match(line),
            Needle::Pattern(pattern) => pattern.is_match(line),
            Needle::Ip(set) => set.is_in(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(op: LineOp, texts: &[&str]) -> LineMatch {
        let operands = texts.iter().map(|text| LineOperand {
            ip: false,
            text: text.to_string(),
        });
        let operands = operands.collect();
        LineMatch::compile(&LineFilter { op, operands }).unwrap_or(LineMatch::new(false, Vec::new()))
    }

    proptest::proptest! {
        #[test]
        fn many_lines_at_once_pass_as_each_would(
            lines in proptest::collection::vec("[abc]{0,6}", 0..20),
            filters in proptest::collection::vec(
                (
                    proptest::sample::select(vec![LineOp::Contains, LineOp::NotContains, LineOp::Matches, LineOp::NotMatches]),
                    proptest::collection::vec(
                        proptest::sample::select(vec![
                            "a", "ab", "ba", "abc", "ab[bc]+", "a.b", "(ab|bca)c?", "(?i)AB", "^ab", "ab$", "a*", "[ab].*ca", "",
                        ]),
                        1..3,
                    ),
                ),
                1..3,
            ),
            skipped in 0usize..3,
        ) {
            let filters: Vec<LineMatch> = filters
                .iter()
                .map(|(op, texts)| filter(*op, texts))
                .collect();
            let data = lines.concat();
            let mut offsets = vec![0];
            lines.iter().for_each(|line| offsets.push(offsets[offsets.len() - 1] + line.len() as i32));
            let skipped = skipped.min(lines.len());
            let slice = LineSlice { data: data.as_bytes(), offsets: &offsets[skipped..] };
            let all = LineMatches::new(filters.clone());
            let mut got = vec![7];
            all.select(slice, &mut got);
            let passes = |line: &String| filters.iter().all(|f| f.passes(line.as_bytes()));
            let expected: Vec<u32> = (0..(lines.len() - skipped) as u32).filter(|i| passes(&lines[skipped + *i as usize])).collect();
            proptest::prop_assert!(expected.is_empty() || all.may_pass(slice.text()));
            proptest::prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn single_lines() {
        for (op, text, line, expected) in [
            (LineOp::Contains, "", "x", true),
            (LineOp::NotContains, "", "x", false),
            (LineOp::Matches, ".*", "", true),
            (LineOp::NotMatches, ".*", "x", false),
            (LineOp::Matches, "(?i)ERR", "an error", true),
            (LineOp::Matches, "failed.java", "failed\njava", false),
            (LineOp::Matches, "user|", "other", false),
            (LineOp::Matches, "(?i)K|x1", "k", true),
            (LineOp::Matches, "time(out|)", "time", true),
            (LineOp::Matches, "zz|.+", "a", true),
            (LineOp::Pattern, "<_> b", "a b", true),
        ] {
            assert_eq!(
                filter(op, &[text]).passes(line.as_bytes()),
                expected,
                "{} {text} on {line:?}",
                op.as_str()
            );
        }
    }
}
