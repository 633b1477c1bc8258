//! Label pair → series, for the series of one index.

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::model::Labels;

/// Longest list kept as plain ids. Most pairs of a high-cardinality label name one or a few series, where a bitmap's
/// containers cost ten times the ids.
const MAX_PLAIN_IDS: usize = 32;

/// The series that carry one label pair. Ids arrive in ascending order.
#[derive(Debug, Clone)]
pub(super) enum PostingList {
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl PostingList {
    pub fn len(&self) -> u64 {
        match self {
            PostingList::Few(ids) => ids.len() as u64,
            PostingList::Many(bitmap) => bitmap.len(),
        }
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            PostingList::Few(ids) => Box::new(ids.iter().copied()),
            PostingList::Many(bitmap) => Box::new(bitmap.iter()),
        }
    }

    pub fn add_to(&self, bitmap: &mut RoaringBitmap) {
        match self {
            PostingList::Few(ids) => bitmap.extend(ids.iter().copied()),
            PostingList::Many(other) => *bitmap |= other,
        }
    }

    fn push(&mut self, id: u32) {
        match self {
            PostingList::Few(ids) if ids.len() < MAX_PLAIN_IDS => ids.push(id),
            PostingList::Few(ids) => {
                let mut bitmap: RoaringBitmap = ids.iter().copied().collect();
                bitmap.insert(id);
                *self = PostingList::Many(bitmap);
            }
            PostingList::Many(bitmap) => {
                bitmap.insert(id);
            }
        }
    }
}

/// All pairs of one label name.
pub(super) type ValueMap = HashMap<Box<str>, PostingList, ahash::RandomState>;

/// Every label pair of an index.
#[derive(Debug, Default)]
pub(super) struct Postings {
    names: HashMap<Box<str>, ValueMap, ahash::RandomState>,
}

impl Postings {
    /// Enters series `id`, higher than every id before it. Returns about how many bytes that took.
    pub fn insert(&mut self, id: u32, labels: &Labels) -> usize {
        let mut bytes = 0;
        for (name, value) in labels.iter() {
            if !self.names.contains_key(name) {
                bytes += name.len() + 96;
                self.names.insert(name.into(), ValueMap::default());
            }
            let Some(values) = self.names.get_mut(name) else {
                continue;
            };
            match values.get_mut(value) {
                Some(list) => {
                    bytes += 4;
                    list.push(id);
                }
                None => {
                    bytes += value.len() + 80;
                    values.insert(value.into(), PostingList::Few(vec![id]));
                }
            }
        }
        bytes
    }

    pub fn values(&self, name: &str) -> Option<&ValueMap> {
        self.names.get(name)
    }

    pub fn list(&self, name: &str, value: &str) -> Option<&PostingList> {
        self.names.get(name)?.get(value)
    }
}
