//! Which series hides behind the raw label bytes of a request: by their 128-bit hash, without parsing a label.
//!
//! A series is nearly always sent with the same bytes, so its first alias lies in an array by series; the hash table holds
//! numbers of series only. A sender lists its series in one order, so the guess that the next series follows the last finds
//! most of them without the table.

use hashbrown::{HashMap, HashTable};

use super::paged::Paged;

/// Further aliases kept per series on average, plus [`MIN_MORE`]. A sender that shuffles its labels makes a new alias with
/// each request; beyond this all further ones are forgotten, and its labels are parsed again.
const MAX_MORE_PER_SERIES: usize = 3;
/// Further aliases that are always allowed.
const MIN_MORE: usize = 1024;

/// See the module docs.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// By series; 0 where there is none.
    first: Paged<u128>,
    by_first: HashTable<u32>,
    more: HashMap<u128, u32, ahash::RandomState>,
    hasher: ahash::RandomState,
}

impl Aliases {
    /// The series of an alias; `guess` is tried first.
    #[inline]
    pub fn find(&self, alias: u128, guess: u32) -> Option<u32> {
        if alias != 0 && self.first.get(guess as usize) == Some(&alias) {
            return Some(guess);
        }
        let is_alias = |id: &u32| self.first.get(*id as usize) == Some(&alias);
        let found = self.by_first.find(self.hasher.hash_one(alias), is_alias);
        found.or_else(|| self.more.get(&alias)).copied()
    }

    /// Makes `alias`, which is unknown or that of another series, one of series `id`.
    pub fn insert(&mut self, alias: u128, id: u32) {
        self.first.extend_to(id as usize + 1, || 0);
        let Some(first) = self.first.get_mut(id as usize) else {
            return;
        };
        if *first == alias && alias != 0 {
            return;
        }
        if *first == 0 && alias != 0 && self.find(alias, id).is_none() {
            if let Some(first) = self.first.get_mut(id as usize) {
                *first = alias;
            }
            let (first, hasher) = (&self.first, &self.hasher);
            let hash_of = |id: &u32| hasher.hash_one(first.get(*id as usize).copied().unwrap_or(0));
            self.by_first.insert_unique(hasher.hash_one(alias), id, hash_of);
            return;
        }
        if self.more.len() >= self.first.len() * MAX_MORE_PER_SERIES + MIN_MORE {
            self.more.clear();
        }
        self.more.insert(alias, id);
    }

    /// Every alias with its series.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u32)> {
        let first = self.first.iter().enumerate().map(|(id, alias)| (*alias, id as u32));
        let more = self.more.iter().map(|(alias, id)| (*alias, *id));
        first.filter(|(alias, _)| *alias != 0).chain(more)
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        self.first.size_bytes() + self.by_first.allocation_size() + self.more.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_finds_its_series_whatever_is_guessed() {
        let mut aliases = Aliases::default();
        for id in 0..3000u32 {
            for number in 0..1 + id % 3 {
                aliases.insert(u128::from(id) << 70 | u128::from(number), id);
            }
        }
        aliases.insert(3 << 70, 3);
        for guess in [0, 5, 2999, u32::MAX] {
            for id in 0..3000u32 {
                for number in 0..1 + id % 3 {
                    assert_eq!(aliases.find(u128::from(id) << 70 | u128::from(number), guess), Some(id));
                }
            }
            assert_eq!(aliases.find(1 << 69, guess), None);
        }
        assert_eq!(aliases.iter().count(), 6000);
    }

    #[test]
    fn a_sender_that_shuffles_does_not_fill_the_memory() {
        let mut aliases = Aliases::default();
        for number in 1..100_000u128 {
            aliases.insert(number, 0);
        }
        assert_eq!(aliases.find(1, 7), Some(0));
        assert!(aliases.size_bytes() < 100_000, "{}", aliases.size_bytes());
    }
}
