#!/usr/bin/env bash
# Fuzzes the decoders of stored bytes for SECONDS (60), starting from the kept corpus. Needs no nightly compiler: coverage
# comes from LLVM's own pass. Inputs that crash are left in storage/testdata/fuzz, where `cargo test` replays them.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"

export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
 -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
 -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# A target of its own: these flags would rebuild everything else each time. With --target they leave build scripts alone.
target="$(rustc -vV | sed -n 's/^host: //p')"
cargo build --release --manifest-path storage/fuzz/Cargo.toml --target "$target" --target-dir storage/fuzz/target

found="$(mktemp -d)"
"storage/fuzz/target/$target/release/decode" "$found" storage/testdata/fuzz \
  -artifact_prefix=storage/testdata/fuzz/ -max_len=65536 -rss_limit_mb=2048 -timeout=10 "-max_total_time=$seconds"
