//! LogQL texts: parsing, printing, lowering and compiling them must not panic, and what is printed must mean the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| garner_query::logql::fuzzing::check(text));
