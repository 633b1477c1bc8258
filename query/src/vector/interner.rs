//! Interned byte strings: label sets become small numbers once, and operators work on the numbers.

use ahash::RandomState;
use hashbrown::HashTable;

/// Gives equal byte strings one number, counted up from 0.
#[derive(Debug)]
pub struct Interner {
    table: HashTable<u32>,
    hasher: RandomState,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Default for Interner {
    fn default() -> Self {
        Self::new()
    }
}

impl Interner {
    /// An empty table. The seeds are fixed: keys come from stored rows of one tenant and live for one query.
    pub fn new() -> Self {
        Interner {
            table: HashTable::new(),
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The number of `key`, a new one where it was not seen before.
    pub fn intern(&mut self, key: &[u8]) -> usize {
        let hash = self.hasher.hash_one(key);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(found) = self.table.find(hash, |i| slice(bytes, ends, *i as usize) == key) {
            return *found as usize;
        }
        let index = self.ends.len();
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        self.table
            .insert_unique(hash, index as u32, |i| hasher.hash_one(slice(bytes, ends, *i as usize)));
        index
    }

    /// The number of `key` where it was seen before.
    pub fn get(&self, key: &[u8]) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        self.table
            .find(hash, |i| slice(&self.bytes, &self.ends, *i as usize) == key)
            .map(|i| *i as usize)
    }

    /// The byte string of a number.
    pub fn bytes(&self, index: usize) -> &[u8] {
        slice(&self.bytes, &self.ends, index)
    }

    /// How many different byte strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.table.capacity() * 5
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &bytes[start..ends[index]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_one_number() {
        let mut interner = Interner::new();
        let numbers: Vec<_> = ["", "a", "b", "a", ""]
            .iter()
            .map(|k| interner.intern(k.as_bytes()))
            .collect();
        assert_eq!(numbers, [0, 1, 2, 1, 0]);
        assert_eq!(
            (interner.bytes(0), interner.bytes(2), interner.len()),
            (&b""[..], &b"b"[..], 3)
        );
        assert_eq!((interner.get(b"b"), interner.get(b"c")), (Some(2), None));
        for i in 0..1000 {
            interner.intern(format!("k{i}").as_bytes());
        }
        assert_eq!(interner.get(b"k999"), Some(1002));
    }
}
