//! What the program asks of its allocator besides memory: to give back what was freed.

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// `mi_option_purge_delay` (mimalloc `include/mimalloc.h`, `mi_option_e`, the same in versions 2 and 3); the crate does not
/// name it.
const PURGE_DELAY: mi_option_t = 15;
/// How long freed memory stays with the process, in milliseconds. The allocator's own second is long enough for a flush to
/// pile up several times what it holds; queries reuse theirs sooner than this.
const PURGE_DELAY_MS: core::ffi::c_long = 50;

/// Sets the allocator up; to be called first.
#[allow(unsafe_code)]
pub fn set_up() {
    // SAFETY: sets a number that the allocator reads when it next purges.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) }
}

/// Gives freed memory back to the system now. An idle process would keep it: the allocator purges only while it works.
#[allow(unsafe_code)]
pub fn give_back_memory() {
    // SAFETY: may be called from any thread at any time; it touches only memory that is free.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_allocator_can_be_set_up_and_asked() {
        super::set_up();
        super::give_back_memory();
    }
}
