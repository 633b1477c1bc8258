//! Line filters, compiled, on one line and on a whole batch.

use arrow_array::{Array, BinaryArray};
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::ip::IpSet;
use crate::goregex::{self, GoRegexError, Plain};
use crate::logql::ast::{LineFilter, LineOp, LineOperand};
use crate::logql::line_pattern::LinePattern;

/// A compiled line filter.
#[derive(Debug, Clone)]
pub struct LineMatch {
    negative: bool,
    any: Vec<Needle>,
}

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
        Ok(LineMatch {
            negative: filter.op.is_negative(),
            any,
        })
    }

    /// Whether a line passes.
    pub fn passes(&self, line: &[u8]) -> bool {
        self.any.iter().any(|n| n.is_match(line)) != self.negative
    }

    /// Of the rows in `selected`, keeps those whose line passes.
    pub fn select(&self, lines: &BinaryArray, selected: &mut Vec<u32>) {
        if let ([Needle::Text(finder)], false) = (self.any.as_slice(), self.negative)
            && selected.len() == lines.len()
        {
            search_all(finder, lines, selected);
            return;
        }
        selected.retain(|row| self.passes(lines.value(*row as usize)));
    }
}

/// One search over the lines as they lie in memory, instead of one a line: rare needles cost what reading memory costs.
fn search_all(finder: &Finder<'_>, lines: &BinaryArray, selected: &mut Vec<u32>) {
    selected.clear();
    let offsets = lines.value_offsets();
    let data = lines.value_data();
    let needle_len = finder.needle().len();
    let Some(first) = offsets.first() else { return };
    let (mut at, mut row) = (*first as usize, 0);
    let end = offsets.last().map_or(at, |e| *e as usize);
    while let Some(found) = finder.find(&data[at..end]) {
        let start = at + found;
        row += offsets[row + 1..].partition_point(|o| *o as usize <= start);
        let row_end = offsets[row + 1] as usize;
        if start + needle_len <= row_end {
            selected.push(row as u32);
            at = row_end;
        } else {
            // The hit lies across two lines.
            at = start + 1;
        }
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

    fn filter(op: LineOp, text: &str) -> LineMatch {
        let operands = vec![LineOperand {
            ip: false,
            text: text.to_string(),
        }];
        LineMatch::compile(&LineFilter { op, operands }).unwrap_or(LineMatch {
            negative: false,
            any: Vec::new(),
        })
    }

    proptest::proptest! {
        #[test]
        fn a_search_over_the_batch_finds_what_a_search_per_line_finds(
            lines in proptest::collection::vec("[ab]{0,6}", 0..20),
            needle in "[ab]{1,3}",
        ) {
            let array = BinaryArray::from_iter_values(lines.iter().map(String::as_bytes));
            let compiled = filter(LineOp::Contains, &needle);
            let mut got: Vec<u32> = (0..lines.len() as u32).collect();
            compiled.select(&array, &mut got);
            let expected: Vec<u32> =
                (0..lines.len()).filter(|i| lines[*i].contains(&needle)).map(|i| i as u32).collect();
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
                filter(op, text).passes(line.as_bytes()),
                expected,
                "{} {text} on {line:?}",
                op.as_str()
            );
        }
    }
}
