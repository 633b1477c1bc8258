//! Memory of a query that something alive holds.

use crate::error::Result;
use crate::memory::QueryMemory;

/// Bytes taken from a query's memory, given back on drop.
#[derive(Debug)]
pub(crate) struct Held {
    memory: QueryMemory,
    bytes: u64,
}

impl Held {
    pub(crate) fn new(memory: &QueryMemory) -> Self {
        Held {
            memory: memory.clone(),
            bytes: 0,
        }
    }

    /// Holds exactly `bytes` from now on; on an error what it held before.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<()> {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.memory.try_grow(bytes - self.bytes)?;
        } else {
            self.memory.shrink(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.shrink(self.bytes);
    }
}
