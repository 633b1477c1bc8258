#!/usr/bin/env bash
# Fuzzes TARGET (of fuzz/fuzz_targets) for SECONDS (60), starting from the kept corpus. Needs no nightly compiler: coverage
# comes from LLVM's own pass. Inputs that crash are left in fuzz/corpus/TARGET, where `cargo test` replays them. With a third
# argument, `minimise`, the corpus is grown by what was found and cut down to the fewest files with its coverage.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:?a target: $(cd fuzz/fuzz_targets && echo *.rs | sed 's/\.rs//g')}"
seconds="${2:-60}"

export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
 -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
 -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# A folder of its own: these flags would rebuild everything else each time. With --target they leave build scripts alone.
host="$(rustc -vV | sed -n 's/^host: //p')"
cargo build --release --manifest-path fuzz/Cargo.toml --bin "$target" --target "$host" --target-dir fuzz/target

case "$target" in
logql | pipeline) options=(-dict=fuzz/dictionaries/logql.dict -max_len=4096) ;;
push | otlp_metrics) options=(-dict=fuzz/dictionaries/push.dict -max_len=4096) ;;
promql) options=(-max_len=4096) ;;
*) options=(-max_len=65536) ;;
esac
found="$(mktemp -d)"
trap 'rm -rf "$found"' EXIT
program="fuzz/target/$host/release/$target"
"$program" "$found" "fuzz/corpus/$target" "-artifact_prefix=fuzz/corpus/$target/" "${options[@]}" \
  -rss_limit_mb=2048 -timeout=10 "-max_total_time=$seconds"
if [ "${3:-}" = minimise ]; then
  fewest="$(mktemp -d)"
  "$program" -set_cover_merge=1 -use_counters=0 "${options[@]}" "$fewest" "fuzz/corpus/$target" "$found"
  rm -rf "fuzz/corpus/$target"
  mv "$fewest" "fuzz/corpus/$target"
fi
