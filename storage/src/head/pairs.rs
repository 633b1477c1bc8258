//! The distinct label pairs of an index: each one's text once, and the series that carry it.
//!
//! A series keeps four bytes a label, the number of the pair; its label set is put together when it is asked for.

use hashbrown::{HashMap, HashTable};

use super::paged::Paged;
use super::postings::PostingList;
use crate::model::{split_pair, split_raw_pair};

/// Numbers of pairs and of names count up from 0.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pairs: Paged<Pair>,
    by_bytes: HashTable<u32>,
    names: Vec<Name>,
    by_name: HashMap<Box<str>, u32, ahash::RandomState>,
    hasher: ahash::RandomState,
    /// Of texts, names and lists.
    heap_bytes: usize,
}

#[derive(Debug)]
struct Pair {
    /// Canonical, as in `model/labels.rs`.
    bytes: Box<[u8]>,
    name: u32,
    list: PostingList,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    pairs: Vec<u32>,
}

impl Pairs {
    /// The number of a pair by its canonical bytes.
    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        let found = self
            .by_bytes
            .find(self.hasher.hash_one(bytes), |pair| self.bytes(*pair) == bytes);
        found.copied()
    }

    /// Enters series `id`, higher than every id before it, under a pair; returns the pair's number.
    pub fn insert(&mut self, bytes: &[u8], id: u32) -> u32 {
        if let Some(known) = self.find(bytes) {
            if let Some(pair) = self.pairs.get_mut(known as usize) {
                self.heap_bytes += pair.list.push(id);
            }
            return known;
        }
        let new = self.pairs.len() as u32;
        let name = self.name_of_new(split_pair(bytes).0);
        self.heap_bytes += bytes.len();
        self.pairs.push(Pair {
            bytes: bytes.into(),
            name,
            list: PostingList::One(id),
        });
        if let Some(name) = self.names.get_mut(name as usize) {
            let before = name.pairs.capacity();
            name.pairs.push(new);
            self.heap_bytes += (name.pairs.capacity() - before) * size_of::<u32>();
        }
        let (pairs, hasher) = (&self.pairs, &self.hasher);
        let hash_of = |pair: &u32| hasher.hash_one(pairs.get(*pair as usize).map_or(&[][..], |p| &p.bytes));
        self.by_bytes.insert_unique(hasher.hash_one(bytes), new, hash_of);
        new
    }

    fn name_of_new(&mut self, text: &str) -> u32 {
        if let Some(name) = self.by_name.get(text) {
            return *name;
        }
        let new = self.names.len() as u32;
        self.names.push(Name {
            text: text.into(),
            pairs: Vec::new(),
        });
        self.by_name.insert(text.into(), new);
        self.heap_bytes += text.len() * 2 + size_of::<Name>();
        new
    }

    /// The canonical bytes of a pair.
    pub fn bytes(&self, pair: u32) -> &[u8] {
        self.pairs.get(pair as usize).map_or(&[], |p| &p.bytes)
    }

    /// The number of a pair's name.
    pub fn name_number(&self, pair: u32) -> Option<u32> {
        self.pairs.get(pair as usize).map(|p| p.name)
    }

    /// The value of a pair, its text unchecked.
    pub fn raw_value(&self, pair: u32) -> &[u8] {
        split_raw_pair(self.bytes(pair)).1
    }

    /// The value of a pair.
    pub fn value(&self, pair: u32) -> &str {
        split_pair(self.bytes(pair)).1
    }

    /// The number of a name.
    pub fn number_of_name(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The text of a name.
    pub fn name(&self, name: u32) -> &str {
        self.names.get(name as usize).map_or("", |n| &n.text)
    }

    /// Every value of a name with its series.
    pub fn values(&self, name: &str) -> impl Iterator<Item = (&str, &PostingList)> {
        let name = self
            .number_of_name(name)
            .and_then(|number| self.names.get(number as usize));
        let pairs = name.into_iter().flat_map(|name| &name.pairs);
        pairs.filter_map(|pair| Some((self.value(*pair), &self.pairs.get(*pair as usize)?.list)))
    }

    /// The series of one pair.
    pub fn list(&self, name: &str, value: &str) -> Option<&PostingList> {
        let wanted = crate::model::Labels::from_pairs([(name, value)]);
        self.find(wanted.as_bytes())
            .and_then(|pair| self.pairs.get(pair as usize))
            .map(|p| &p.list)
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        self.pairs.size_bytes()
            + self.by_bytes.allocation_size()
            + self.by_name.allocation_size()
            + self.names.capacity() * size_of::<Name>()
            + self.heap_bytes
    }
}
