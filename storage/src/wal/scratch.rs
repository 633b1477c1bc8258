//! Memory that encoding uses again: bodies of one size come all the time, and fresh memory costs more than filling it.

use std::cell::RefCell;

/// Bytes of each buffer that a thread keeps at most.
const MAX_KEPT_BYTES: usize = 2 << 20;

/// The buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Rows before compression; empty when it is handed out.
    pub raw: Vec<u8>,
    /// Room for what compression gives, of any length and content.
    pub compressed: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Calls `work` with the thread's buffers.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    // Taken out, so that a use inside a use finds fresh ones.
    let mut scratch = SCRATCH.take();
    scratch.raw.clear();
    let done = work(&mut scratch);
    for buffer in [&mut scratch.raw, &mut scratch.compressed] {
        if buffer.capacity() > MAX_KEPT_BYTES {
            *buffer = Vec::new();
        }
    }
    SCRATCH.set(scratch);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_stay_and_large_ones_go() {
        with_scratch(|scratch| scratch.raw.resize(1000, 1));
        with_scratch(|scratch| {
            assert!(scratch.raw.is_empty() && scratch.raw.capacity() >= 1000);
            with_scratch(|inner| assert_eq!(inner.raw.capacity(), 0));
            scratch.compressed.resize(MAX_KEPT_BYTES + 1, 0);
        });
        with_scratch(|scratch| assert_eq!(scratch.compressed.capacity(), 0));
    }
}
