//! Fuzzes every decoder of stored bytes. What it finds goes to `storage/testdata/fuzz`, which a test replays.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| garner_storage::testing::decode_any(data));
