//! Bodies of pushes: Loki's protobuf and JSON, OpenTelemetry logs, remote write and read, packed and plain.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| garner_ingest::fuzzing::check(data));
