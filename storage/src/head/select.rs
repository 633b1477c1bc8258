//! Which series of an index pass a set of matchers.

use roaring::RoaringBitmap;

use super::index::{IndexInner, SeriesIndex};
use crate::model::{LabelMatcher, MatchOp};

/// Candidates up to which labels are looked at one by one, instead of making bitmaps of whole label values.
const MAX_CHECKED_ONE_BY_ONE: u64 = 2048;

impl SeriesIndex {
    /// Ids of the series that pass all of `matchers`, ascending.
    pub(super) fn matching(&self, matchers: &[LabelMatcher]) -> Vec<u32> {
        let index = self.read();
        if matchers.is_empty() {
            return (0..index.len() as u32).collect();
        }
        // The narrowest `=` decides how many series must be looked at at all.
        let mut narrowest = None;
        for (position, matcher) in matchers.iter().enumerate() {
            if matcher.op() == MatchOp::Equal && !matcher.value().is_empty() {
                let Some(list) = index.pairs.list(matcher.name(), matcher.value()) else {
                    return Vec::new();
                };
                if narrowest.is_none_or(|(_, len)| list.len() < len) {
                    narrowest = Some((position, list.len()));
                }
            }
        }
        if let Some((position, len)) = narrowest
            && len <= MAX_CHECKED_ONE_BY_ONE
            && let Some(list) = index.pairs.list(matchers[position].name(), matchers[position].value())
        {
            let passes = |id: &u32| {
                let mut others = matchers.iter().enumerate().filter(|(i, _)| *i != position);
                others.all(|(_, m)| index.passes(*id, m))
            };
            return list.iter().filter(passes).collect();
        }
        index.matching_by_bitmaps(matchers)
    }
}

impl IndexInner {
    /// Intersects what each matcher allows, matchers that need a label present first.
    fn matching_by_bitmaps(&self, matchers: &[LabelMatcher]) -> Vec<u32> {
        let (any, present): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| m.matches_absent());
        let mut found: Option<RoaringBitmap> = None;
        for matcher in present {
            let allowed = self.union(matcher, true);
            found = Some(match found {
                None => allowed,
                Some(found) => found & allowed,
            });
        }
        let mut found = found.unwrap_or_else(|| (0..self.len() as u32).collect());
        for matcher in any {
            if found.len() <= MAX_CHECKED_ONE_BY_ONE {
                let passes = |id: &u32| self.passes(*id, matcher);
                found = found.iter().filter(passes).collect();
            } else {
                found -= self.union(matcher, false);
            }
        }
        found.iter().collect()
    }

    /// Series with a value of the matcher's label on which it says `outcome`.
    fn union(&self, matcher: &LabelMatcher, outcome: bool) -> RoaringBitmap {
        let mut bitmap = RoaringBitmap::new();
        if outcome && matcher.op() == MatchOp::Equal {
            if let Some(list) = self.pairs.list(matcher.name(), matcher.value()) {
                list.add_to(&mut bitmap);
            }
            return bitmap;
        }
        for (value, list) in self.pairs.values(matcher.name()) {
            if matcher.matches(value) == outcome {
                list.add_to(&mut bitmap);
            }
        }
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::MemoryAccountant;
    use crate::model::Labels;

    fn matcher(name: &str, op: MatchOp, value: &str) -> LabelMatcher {
        LabelMatcher::new(name, op, value).expect("pattern compiles")
    }

    fn filled(series: &[Labels]) -> SeriesIndex {
        let index = SeriesIndex::new(&MemoryAccountant::new(1 << 30));
        for labels in series {
            index.insert_durable(labels.clone()).expect("fits");
        }
        index
    }

    #[test]
    fn wide_selectors_take_the_bitmap_way_and_agree() {
        let series: Vec<Labels> = (0..10_000)
            .map(|i| {
                Labels::from_pairs([
                    ("id", i.to_string()),
                    ("a", if i % 2 == 0 { "x" } else { "y" }.to_string()),
                    ("b", (i % 7).to_string()),
                    ("c", if i % 3 == 0 { String::new() } else { i.to_string() }),
                ])
            })
            .collect();
        let index = filled(&series);
        let check = |matchers: &[LabelMatcher]| {
            let expected: Vec<u32> = (0..series.len() as u32)
                .filter(|id| matchers.iter().all(|m| m.matches_labels(&series[*id as usize])))
                .collect();
            assert!(index.matching(matchers) == expected, "{matchers:?}");
        };
        check(&[]);
        check(&[matcher("a", MatchOp::Equal, "x")]);
        check(&[matcher("a", MatchOp::Equal, "x"), matcher("b", MatchOp::NotEqual, "3")]);
        check(&[matcher("a", MatchOp::Regex, ".+"), matcher("c", MatchOp::Equal, "")]);
        check(&[
            matcher("c", MatchOp::Regex, "1.*|"),
            matcher("b", MatchOp::NotRegex, "1|2"),
        ]);
        check(&[matcher("none", MatchOp::NotEqual, "")]);
        check(&[matcher("c", MatchOp::Equal, "7")]);
    }

    const PATTERNS: &[&str] = &["", "x", "xy", "x.*", ".+", ".*", "x|y", "z|", "[^x]"];

    proptest! {
        #[test]
        fn selection_agrees_with_looking_at_every_series(
            series in prop::collection::vec(prop::collection::vec(("[ab]", "[xyz]{0,2}"), 0..4), 0..60),
            matchers in prop::collection::vec(("[abc]", 0..4u8, prop::sample::select(PATTERNS)), 0..4),
        ) {
            let series: Vec<Labels> = series.into_iter().map(Labels::from_pairs).collect();
            let mut distinct: Vec<Labels> = Vec::new();
            for labels in series {
                if !distinct.contains(&labels) {
                    distinct.push(labels);
                }
            }
            let matchers: Vec<_> = matchers
                .iter()
                .map(|(name, op, value)| {
                    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
                    matcher(name, ops[*op as usize], value)
                })
                .collect();
            let index = filled(&distinct);
            let expected: Vec<u32> = (0..distinct.len() as u32)
                .filter(|id| matchers.iter().all(|m| m.matches_labels(&distinct[*id as usize])))
                .collect();
            prop_assert_eq!(index.matching(&matchers), expected.clone());
            prop_assert_eq!(if matchers.is_empty() { expected.clone() } else { index.read().matching_by_bitmaps(&matchers) }, expected);
        }
    }
}
