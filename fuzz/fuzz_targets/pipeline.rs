//! LogQL pipelines over arbitrary lines: no line may change what becomes of another, and a query sent as text must do the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| garner_query::logql::fuzzing::check_pipeline(data));
