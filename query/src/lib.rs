//! garner.
