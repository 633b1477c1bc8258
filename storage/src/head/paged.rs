//! A growing array in pages: growing copies nothing but a small first page, and a head that goes gives whole pages back.

/// Elements of a page, as a power of two.
const PAGE_BITS: u32 = 10;
const PAGE_LEN: usize = 1 << PAGE_BITS;

/// Elements by index, added at the end.
#[derive(Debug, Clone)]
pub(super) struct Paged<T> {
    /// All of [`PAGE_LEN`] elements' capacity, but the first while it is the only one: it doubles, so that a thousand
    /// tenants of ten series do not pay for pages.
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged {
            pages: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Paged<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index >> PAGE_BITS)?.get(index & (PAGE_LEN - 1))
    }

    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pages.get_mut(index >> PAGE_BITS)?.get_mut(index & (PAGE_LEN - 1))
    }

    pub fn push(&mut self, element: T) {
        if self.len.is_multiple_of(PAGE_LEN) {
            let capacity = if self.pages.is_empty() { 4 } else { PAGE_LEN };
            self.pages.push(Vec::with_capacity(capacity));
        }
        if let Some(page) = self.pages.last_mut() {
            if page.len() == page.capacity() {
                // Only the first page comes here: doubling from four ends at a page's length.
                page.reserve_exact(page.len());
            }
            page.push(element);
            self.len += 1;
        }
    }

    /// Makes it at least `len` long.
    pub fn extend_to(&mut self, len: usize, mut element: impl FnMut() -> T) {
        while self.len < len {
            self.push(element());
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        let elements = match self.pages.as_slice() {
            [] => 0,
            [first] => first.capacity(),
            pages => pages.len() * PAGE_LEN,
        };
        elements * size_of::<T>() + self.pages.capacity() * size_of::<Vec<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stay_where_they_are_put() {
        let mut paged = Paged::default();
        assert_eq!(paged.size_bytes(), 0);
        for i in 0..5000usize {
            assert_eq!(paged.get(i), None);
            paged.push(i);
        }
        paged.extend_to(5003, || 7);
        paged.extend_to(10, || 8);
        assert_eq!(paged.len(), 5003);
        assert_eq!((paged.get(1023), paged.get(1024)), (Some(&1023), Some(&1024)));
        assert_eq!(
            (paged.get(4999), paged.get(5002), paged.get(5003)),
            (Some(&4999), Some(&7), None)
        );
        assert!(paged.iter().copied().eq((0..5000).chain([7; 3])));
        assert!(paged.size_bytes() >= 5 * 1024 * 8 && paged.size_bytes() < 5 * 1024 * 8 + 300);
        if let Some(element) = paged.get_mut(2000) {
            *element = 1;
        }
        assert_eq!(paged.get(2000), Some(&1));
    }
}
