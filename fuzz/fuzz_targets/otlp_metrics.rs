//! OTLP metrics: protobuf and JSON, packed and plain, under all rules of translation.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| garner_ingest::fuzzing::otlp_metrics::check(data));
