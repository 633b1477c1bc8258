//! Reading a segment from front to back with few requests: windows of its bytes, held for what follows.

use std::ops::Range;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::error::Result;

/// Bytes read at once. A page of metrics has 20 to 90 KB, of logs about 100 KB, so a request brings some ten pages.
const WINDOW_BYTES: u64 = 1 << 20;
/// Windows of one segment: pages, and among them the times of samples and the names of series, are walked through side by
/// side.
const WINDOWS: usize = 3;

#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Bytes,
    used: u64,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn cut(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = range.start.checked_sub(self.start)?;
        (range.end <= self.end()).then(|| self.bytes.slice(from as usize..(range.end - self.start) as usize))
    }
}

/// The windows of one segment. A read inside one asks nothing of the store; one that reaches out of one moves it there.
#[derive(Debug, Default)]
pub(super) struct ReadAhead(Mutex<[Window; WINDOWS]>);

impl ReadAhead {
    /// Bytes held at most, of a segment of `len` bytes.
    pub fn max_bytes(len: u64) -> u64 {
        (WINDOW_BYTES * WINDOWS as u64).min(len)
    }

    /// Exactly the bytes of `range` of a segment of `len` bytes, which `fetch` reads.
    pub async fn get<F>(&self, range: Range<u64>, len: u64, fetch: impl FnOnce(Range<u64>) -> F) -> Result<Bytes>
    where
        F: Future<Output = Result<Bytes>>,
    {
        let mut windows = self.0.lock().await;
        let used = windows.iter().map(|w| w.used).max().unwrap_or(0) + 1;
        if let Some((window, found)) = windows.iter_mut().find_map(|w| w.cut(&range).map(|found| (w, found))) {
            window.used = used;
            return Ok(found);
        }
        // A small segment is read whole, whatever is asked of it first.
        let start = if len <= WINDOW_BYTES { 0 } else { range.start };
        let end = range.end.max(len.min(start + WINDOW_BYTES));
        let holds = |w: &Window| !w.bytes.is_empty() && w.start <= start && start <= w.end();
        let number = windows.iter().position(holds);
        let oldest = || (0..WINDOWS).min_by_key(|i| windows[*i].used).unwrap_or(0);
        let number = number.unwrap_or_else(oldest);
        let window = &mut windows[number];
        let bytes: Bytes = if holds(window) {
            let kept = window.bytes.slice((start - window.start) as usize..);
            let more = fetch(window.end()..end).await?;
            [kept, more].concat().into()
        } else {
            fetch(start..end).await?
        };
        // Of a read that was larger than the window its end is kept: the next page begins there.
        let passed = (bytes.len() as u64).saturating_sub(WINDOW_BYTES) as usize;
        let read = Window { start, bytes, used };
        let found = read.cut(&range);
        *window = match passed {
            0 => read,
            _ => Window {
                start: start + passed as u64,
                bytes: Bytes::copy_from_slice(&read.bytes[passed..]),
                used,
            },
        };
        found.ok_or_else(|| super::bytes::Broken("bounds of a read").into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use parking_lot::Mutex as SyncMutex;

    use super::*;

    #[tokio::test]
    async fn pages_that_follow_each_other_are_read_together() {
        let len = 9 * WINDOW_BYTES;
        let all: Bytes = (0..len).map(|i| (i / 1000) as u8).collect::<Vec<u8>>().into();
        let check = async |len: u64, reads: &[Range<u64>], expected: &[Range<u64>]| {
            let (ahead, asked) = (ReadAhead::default(), SyncMutex::new(Vec::new()));
            for read in reads {
                let fetch = async |range: Range<u64>| {
                    asked.lock().push(range.clone());
                    Ok(all.slice(range.start as usize..range.end as usize))
                };
                let found = ahead.get(read.clone(), len, fetch).await.unwrap();
                assert_eq!(found, all.slice(read.start as usize..read.end as usize), "{read:?}");
            }
            assert_eq!(*asked.lock(), expected);
        };
        let w = WINDOW_BYTES;
        check(len, &[0..10, 10..w, w - 5..w + 5, w..w + 9], &[0..w, w..2 * w - 5]).await;
        check(len, &[len - 10..len, 5..6], &[len - 10..len, 5..w + 5]).await;
        check(len, &[0..w + 9, w..w + 9, w + 5..w + 10], &[0..w + 9, w + 9..2 * w + 5]).await;
        check(w, &[w - 10..w, 0..10, 10..w - 10], std::slice::from_ref(&(0..w))).await;
        // Three places side by side; a fourth takes the place of the one that was not used for longest.
        let (a, b, c, d) = (0, 2 * w, 4 * w, 6 * w);
        let one = |at: u64| at..at + 1;
        check(
            len,
            &[
                one(a),
                one(b),
                one(c),
                one(a + 1),
                one(d),
                one(a + 2),
                one(c + 2),
                one(b),
            ],
            &[a..a + w, b..b + w, c..c + w, d..d + w, b..b + w],
        )
        .await;
    }
}
