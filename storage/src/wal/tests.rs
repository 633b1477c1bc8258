//! The log end to end: what was answered comes back, what failed does not.
