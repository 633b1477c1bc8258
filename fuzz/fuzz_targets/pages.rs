//! Decoders of stored bytes: pages, sections of segments, WAL records. What is read must come back when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| garner_storage::testing::decode_any(data));
