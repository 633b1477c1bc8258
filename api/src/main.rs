//! garner.
fn main() {}
