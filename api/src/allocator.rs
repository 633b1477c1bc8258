//! What the program asks of its allocator besides memory: to give back what was freed.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// How often the program asked for memory to be given back.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How often it had asked when this thread last did so.
    static ANSWERED: Cell<u64> = const { Cell::new(0) };
}

/// Gives freed memory back to the system now. An idle process would keep it: the allocator purges only while it works.
///
/// Each thread has a heap of its own, in which also lies what other threads freed of it and which no other thread may
/// touch: this gives back that of the caller, and [`give_back_when_idle`] the others.
pub fn give_back_memory() {
    let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    ANSWERED.set(asked);
    collect();
}

/// To be called by threads that are about to sleep: gives back what theirs holds, where it was asked for since they last
/// did so.
pub fn give_back_when_idle() {
    let asked = ASKED.load(Ordering::Relaxed);
    if ANSWERED.replace(asked) != asked {
        collect();
    }
}

#[allow(unsafe_code)]
fn collect() {
    // SAFETY: may be called from any thread at any time; it touches only memory that is free.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_allocator_can_be_set_up_and_asked() {
        super::set_up();
        super::give_back_memory();
        let others = std::thread::spawn(|| {
            super::give_back_when_idle();
            super::ANSWERED.get()
        });
        // Other tests of this process may ask as well.
        assert!(others.join().is_ok_and(|answered| answered >= super::ANSWERED.get()));
    }
}
