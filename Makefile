# Two commands matter: `make demo` shows what keytrail does, `make test` proves that it does it.
# Both need Rust, a C compiler and make; the rest they fetch into this folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

CARGO ?= cargo
# One build serves lints, tests and documentation: see scripts/lint.sh.
LINTED := scripts/lint.sh

.PHONY: help
help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 10

.PHONY: demo
demo: ## build, then import and judge the logs of three clouds and an HSM cluster
	@$(CARGO) build --locked --profile demo
	rm -rf keytrail-demo
	$(CARGO) run --locked --quiet --profile demo -- demo --dir keytrail-demo

.PHONY: test
test: fmt lint peers ## formatting, lints, all tests, documentation
	@$(LINTED) $(CARGO) test --locked --no-fail-fast --lib --bins --tests
	$(LINTED) $(CARGO) test --locked --doc

.PHONY: fmt
fmt:
	@$(CARGO) fmt --check

.PHONY: lint
lint: ## clippy over everything, warnings are errors
	@$(LINTED) $(CARGO) test --locked --no-run

.PHONY: peers
peers: ## the browser, readers, servers and PKCS #11 tokens that keytrail is tested against, into .peers
	@scripts/peers.sh
	scripts/tokens.sh

.PHONY: bench
bench: ## imports beside gzip and DuckDB, all rules over a year of a million events: some minutes
	@scripts/peers.sh
	$(CARGO) build --locked --release
	folder=$${CARGO_TARGET_DIR:-target}
	.peers/python3 benches/corpus.py "$$folder/bench" 540 1000000
	.peers/python3 benches/run.py "$$folder/release/keytrail" "$$folder/bench"
	scripts/tokens.sh
	KEYTRAIL_SOAK=1 $(CARGO) test --locked --release --no-default-features --features verify --test verify -- --nocapture --test-threads 1 speed

.PHONY: docs
docs: ## write the generated pages of docs/ anew
	@$(CARGO) run --locked --quiet -- docs docs

.PHONY: deny
deny: ## licences, advisories and origins of the dependencies
	@command -v cargo-deny >/dev/null || nice $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check

# FUZZ_SECONDS=60 FUZZ_MOST=600 FUZZ_TARGETS="split open …": see scripts/soak.sh.
.PHONY: soak
soak: ## hours of fuzzing, kills and concurrent writers: what `make test` has no time for
	@scripts/soak.sh

.PHONY: clean
clean: ## remove what was built and fetched into this folder
	@$(CARGO) clean
	rm -rf .peers keytrail-demo keytrail-store
