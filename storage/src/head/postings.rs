//! The series that carry one label pair.

use roaring::RoaringBitmap;

/// Longest list kept as plain ids. Most pairs of a high-cardinality label name one or a few series, where a bitmap's
/// containers cost ten times the ids.
const MAX_PLAIN_IDS: usize = 32;
/// Bytes that a bitmap takes for itself and its first container, about.
const BITMAP_BYTES: usize = 96;

/// Series by id. Ids arrive in ascending order.
#[derive(Debug, Clone)]
pub(super) enum PostingList {
    /// Of a label that differs in every series, which must cost next to nothing.
    One(u32),
    More(Box<Ids>),
}

#[derive(Debug, Clone)]
pub(super) enum Ids {
    Few(Vec<u32>),
    Many(RoaringBitmap),
}

impl PostingList {
    pub fn len(&self) -> u64 {
        match self {
            PostingList::One(_) => 1,
            PostingList::More(ids) => match &**ids {
                Ids::Few(ids) => ids.len() as u64,
                Ids::Many(bitmap) => bitmap.len(),
            },
        }
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            PostingList::One(id) => Box::new(std::iter::once(*id)),
            PostingList::More(ids) => match &**ids {
                Ids::Few(ids) => Box::new(ids.iter().copied()),
                Ids::Many(bitmap) => Box::new(bitmap.iter()),
            },
        }
    }

    pub fn add_to(&self, bitmap: &mut RoaringBitmap) {
        match self {
            PostingList::One(id) => {
                bitmap.insert(*id);
            }
            PostingList::More(ids) => match &**ids {
                Ids::Few(ids) => bitmap.extend(ids.iter().copied()),
                Ids::Many(other) => *bitmap |= other,
            },
        }
    }

    /// Adds an id; returns about how many bytes that took.
    pub fn push(&mut self, id: u32) -> usize {
        match self {
            PostingList::One(first) => {
                let ids = vec![*first, id];
                let bytes = size_of::<Ids>() + ids.capacity() * size_of::<u32>();
                *self = PostingList::More(Box::new(Ids::Few(ids)));
                bytes
            }
            PostingList::More(list) => match &mut **list {
                Ids::Few(ids) if ids.len() < MAX_PLAIN_IDS => {
                    let before = ids.capacity();
                    ids.push(id);
                    (ids.capacity() - before) * size_of::<u32>()
                }
                Ids::Few(ids) => {
                    let mut bitmap: RoaringBitmap = ids.iter().copied().collect();
                    bitmap.insert(id);
                    **list = Ids::Many(bitmap);
                    // The plain ids went.
                    BITMAP_BYTES.saturating_sub(MAX_PLAIN_IDS * size_of::<u32>())
                }
                Ids::Many(bitmap) => {
                    bitmap.insert(id);
                    size_of::<u16>()
                }
            },
        }
    }
}
