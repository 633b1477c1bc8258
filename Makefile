# One command per chore. `make run` starts the server on its defaults; `make test` sets up what the tests need and runs
# them all.

CARGO ?= cargo

.PHONY: run test unit compat setup lint fix deny bench bench-full

run:
	$(CARGO) run --release --bin garner -- serve

test: setup unit compat

# Everything that needs nothing but this checkout.
unit:
	$(CARGO) test --workspace --exclude garner-compat-tests

# Real Prometheus, node_exporter and S3 server; kill -9 of the real binary; the conformance suites where they are at hand.
# The server is built with the same selection as the unit tests: another one has other features, and builds every
# dependency a second time.
compat:
	$(CARGO) build --workspace --exclude garner-compat-tests --all-targets
	$(CARGO) test -p garner-compat-tests -- --test-threads 1 --nocapture

setup:
	scripts/setup-peers.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fix:
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

# Small data; `make bench-full` is the size that docs/benchmarks.md quotes.
bench: setup
	$(CARGO) build --release --bin garner
	$(CARGO) run --release -p garner-benches --bin garner-codec-bench
	$(CARGO) run --release -p garner-benches --bin garner-bench -- --small

bench-full: setup
	$(CARGO) build --release --bin garner
	$(CARGO) run --release -p garner-benches --bin garner-codec-bench
	$(CARGO) run --release -p garner-benches --bin garner-bench -- --full
