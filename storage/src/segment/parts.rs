//! The parts of a segment that are read when they are wanted, and kept: series groups, time columns, blocks of the label
//! index. What lies in the tail is taken from it; the rest is read with few requests and goes into the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use roaring::RoaringBitmap;

use super::bytes::Broken;
use super::cache::{Part, PartId, TailCache};
use super::fetch::{Fetcher, Held, read_parts};
use super::series_groups::SeriesGroup;
use super::tail::OpenTail;
use super::time_columns::{TimeCodes, TimeHead, TimeHeads};
use crate::error::{Error, ErrorKind, Result};
use crate::model::LabelMatcher;
use crate::pieces::Extent;

/// Series groups that are held open at one time, about a megabyte each.
pub(super) const GROUPS_AT_ONCE: usize = 16;

/// Parts of one opened segment, for one query.
pub(super) struct Parts<'a> {
    pub fetcher: &'a Fetcher<'a>,
    pub tail: &'a OpenTail,
    pub cache: &'a TailCache,
}

impl Parts<'_> {
    /// Ordinals that pass all matchers.
    pub async fn matching(&self, matchers: &[LabelMatcher]) -> Result<RoaringBitmap> {
        if let Some(labels) = &self.tail.index
            && let Some(found) = self.matching_by_index(labels, matchers).await?
        {
            return Ok(found);
        }
        let mut out = RoaringBitmap::new();
        self.each_group(|group| group.table.select(matchers, &mut out)).await?;
        Ok(out)
    }

    /// Every label name, sorted.
    pub async fn label_names(&self) -> Result<Vec<String>> {
        if let Some(labels) = &self.tail.index {
            return Ok(labels.iter().map(|label| label.name.clone()).collect());
        }
        let mut names = BTreeSet::new();
        let mut add = |name: &str| {
            if !names.contains(name) {
                names.insert(name.to_string());
            }
        };
        self.each_group(|group| group.table.names().for_each(&mut add)).await?;
        Ok(names.into_iter().collect())
    }

    /// Every value of label `name`, sorted.
    pub async fn label_values(&self, name: &str) -> Result<Vec<String>> {
        if let Some(labels) = &self.tail.index
            && let Some(values) = self.values_by_index(labels, name).await?
        {
            return Ok(values);
        }
        let mut values = BTreeSet::new();
        let mut add = |value: &str| {
            if !values.contains(value) {
                values.insert(value.to_string());
            }
        };
        self.each_group(|group| group.table.values(name).for_each(&mut add))
            .await?;
        Ok(values.into_iter().collect())
    }

    /// Shows every sound group to `look`, a few at a time.
    async fn each_group(&self, mut look: impl FnMut(&SeriesGroup)) -> Result<()> {
        let numbers: Vec<u32> = (0..self.tail.groups.len() as u32).collect();
        for some in numbers.chunks(GROUPS_AT_ONCE) {
            let groups = self.groups(&some.iter().copied().collect()).await?;
            groups.values().for_each(|group| look(group));
        }
        Ok(())
    }

    /// The groups of these numbers. One that is damaged is left out, counted and logged.
    pub async fn groups(&self, numbers: &BTreeSet<u32>) -> Result<BTreeMap<u32, Arc<SeriesGroup>>> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for number in numbers {
            let Some(entry) = self.tail.groups.get(*number as usize) else {
                continue;
            };
            match self.cached(PartId::Group(*number)) {
                Some(Part::Group(group)) => drop(found.insert(*number, group)),
                _ => missing.push((*number, entry)),
            }
        }
        let extents: Vec<Extent> = missing.iter().flat_map(|(_, entry)| entry.extents()).collect();
        let (bytes, _held) = self.read(&extents).await?;
        let mut opened = Vec::with_capacity(missing.len());
        let mut columns = BTreeSet::new();
        for ((number, entry), bytes) in missing.iter().zip(bytes.chunks_exact(2)) {
            match SeriesGroup::decode(&bytes[0], &bytes[1], entry, &self.tail.pages) {
                Ok(group) => {
                    columns.extend(group.chunks.columns().filter_map(|c| self.tail.time_group_of(c)));
                    opened.push((*number, group));
                }
                Err(broken) => self.leave_out(broken),
            }
        }
        let heads = self.time_heads(&columns).await?;
        for (number, mut group) in opened {
            let head =
                |column: u32| -> Option<&TimeHead> { heads.get(&self.tail.time_group_of(column)?)?.head(column) };
            let lost = group.chunks.set_bounds(&self.tail.pages, head);
            for _ in 0..lost {
                self.leave_out(Broken("chunk list (its times)"));
            }
            let group = Arc::new(group);
            self.keep(PartId::Group(number), Part::Group(Arc::clone(&group)));
            found.insert(number, group);
        }
        Ok(found)
    }

    /// The heads of these groups of time columns; a damaged one is left out. The codes come along in the same read and are
    /// kept, since whoever asks for bounds mostly asks for rows next.
    pub async fn time_heads(&self, numbers: &BTreeSet<u32>) -> Result<BTreeMap<u32, Arc<TimeHeads>>> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for number in numbers {
            let Some(entry) = self.tail.time_groups.get(*number as usize) else {
                continue;
            };
            match self.cached(PartId::TimeHeads(*number)) {
                Some(Part::TimeHeads(heads)) => drop(found.insert(*number, heads)),
                _ => missing.push((*number, entry)),
            }
        }
        let extents: Vec<Extent> = missing.iter().flat_map(|(_, entry)| entry.extents()).collect();
        let (bytes, _held) = self.read(&extents).await?;
        for ((number, entry), bytes) in missing.into_iter().zip(bytes.chunks_exact(2)) {
            let (heads, codes) = (&bytes[0], &bytes[1]);
            if let Ok(codes) = TimeCodes::verify(codes, entry) {
                self.keep(PartId::TimeCodes(number), Part::TimeCodes(codes));
            }
            match TimeHeads::decode(heads, entry) {
                Ok(heads) => {
                    let heads = Arc::new(heads);
                    self.keep(PartId::TimeHeads(number), Part::TimeHeads(Arc::clone(&heads)));
                    found.insert(number, heads);
                }
                Err(broken) => self.leave_out(broken),
            }
        }
        Ok(found)
    }

    /// The codes of these groups of time columns; a damaged one is left out.
    pub async fn time_codes(&self, numbers: &BTreeSet<u32>) -> Result<BTreeMap<u32, TimeCodes>> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for number in numbers {
            let Some(entry) = self.tail.time_groups.get(*number as usize) else {
                continue;
            };
            match self.cached(PartId::TimeCodes(*number)) {
                Some(Part::TimeCodes(codes)) => drop(found.insert(*number, codes)),
                _ => missing.push((*number, entry)),
            }
        }
        let extents: Vec<Extent> = missing.iter().map(|(_, entry)| entry.extents()[1].clone()).collect();
        let (bytes, _held) = self.read(&extents).await?;
        for ((number, entry), bytes) in missing.into_iter().zip(&bytes) {
            match TimeCodes::verify(bytes, entry) {
                Ok(codes) => {
                    self.keep(PartId::TimeCodes(number), Part::TimeCodes(codes.clone()));
                    found.insert(number, codes);
                }
                Err(broken) => self.leave_out(broken),
            }
        }
        Ok(found)
    }

    pub fn cached(&self, id: PartId) -> Option<Part> {
        self.cache.get(&self.fetcher.meta.id, id)
    }

    pub fn keep(&self, id: PartId, part: Part) {
        self.cache.insert(&self.fetcher.meta.id, id, part);
    }

    /// The bytes of these extents, and the account of what they take.
    pub async fn read(&self, extents: &[Extent]) -> Result<(Vec<Bytes>, Held)> {
        let held = Held::take(self.fetcher.scan, extents.iter().map(Extent::len).sum())?;
        Ok((read_parts(self.fetcher, &self.tail.bytes, extents).await?, held))
    }

    fn leave_out(&self, broken: Broken) {
        self.fetcher.count_damage();
        let error: Error = broken.at(self.fetcher.place());
        debug_assert_eq!(error.kind(), ErrorKind::Corrupt);
        tracing::warn!(%error, "a damaged part of a segment is left out of an answer");
    }
}
