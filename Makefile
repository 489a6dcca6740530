# The front door. Every target can be run again at any time; `make` alone lists them.

CARGO ?= cargo
PYTHON ?= python3
PLIMSOLL = $(CARGO) run --quiet --release --package plimsoll-cli --

# Where there is no desktop, a Vulkan layer of Mesa's writes harmless error lines; this keeps it out.
export NODEVICE_SELECT = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test adapters examples soak fashion words smoke bench peers lint targets docs api profiles deny fuzz golden clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## Install a software Vulkan driver and a linker, where they are missing
	@sh scripts/setup.sh

demo: setup ## Plan the default run, train it, and have it write; takes minutes
	$(CARGO) build --release --package plimsoll-cli
	$(PLIMSOLL) plan
	$(PLIMSOLL) train --out runs/demo --force
	$(PLIMSOLL) sample runs/demo --prompt 'fn '

test: setup ## Run the whole test suite
	$(CARGO) test --workspace

adapters: setup ## Run the kernels' tests on other software adapters, and Tint over their texts
	@sh scripts/other_adapters.sh

examples: setup ## Run the examples that take seconds
	$(CARGO) run --quiet --example dry_run
	$(CARGO) run --quiet --example mlp
	$(CARGO) run --quiet --example custom
	$(CARGO) run --quiet --example char_rnn
	$(CARGO) run --quiet --example time_series target/time_series.svg

soak: setup ## Train 20,000 steps and open 100 sessions, and hold what they keep against the plan; takes minutes
	SOAK_STEPS=20000 SOAK_SESSIONS=100 $(CARGO) test --test soak -- --nocapture

fashion: setup ## Learn Fashion-MNIST, by a perceptron and by an LSTM; takes minutes
	$(CARGO) run --quiet --release --example fashion_mnist
	$(CARGO) run --quiet --release --example fashion_mnist examples/fashion_mnist_lstm.toml

words: setup ## Learn a language model of words, and have it write; takes minutes
	$(CARGO) run --quiet --release --example word_language_model

smoke: setup ## Run every bench once, without measuring
	$(CARGO) test --quiet --bench '*'

bench: setup ## Measure products, windows, training steps and planning, for benches/RESULTS.md; half an hour
	$(CARGO) bench | tee target/bench.txt
	$(PYTHON) benches/table.py target/bench.txt

peers: setup ## Train beside other libraries (PEERS='--rounds 3 --only w3 pytorch'); builds them first, for an hour
	$(PYTHON) benches/peers/setup.py
	$(PYTHON) benches/peers/compare.py $(PEERS)

lint: ## Check the format, and let clippy deny warnings
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) fmt --manifest-path scripts/public_api/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings

targets: ## Check that it compiles for Windows and macOS; needs their std, fetched by `rustup target add`, and minutes
	@sh scripts/targets.sh

docs: ## Build the documentation, and let broken links fail
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --no-deps --workspace

api: ## Hold the public API against public-api.txt; ACCEPT=1 writes that file anew
	RUSTDOC=$(CURDIR)/scripts/rustdoc_json.sh $(CARGO) rustdoc --quiet --package plimsoll --lib -- \
		-Z unstable-options --output-format json
	$(CARGO) run --quiet --locked --manifest-path scripts/public_api/Cargo.toml -- \
		target/doc/plimsoll.json public-api.txt $(if $(ACCEPT),--accept)

profiles: ## Write the profiles of devices from their drivers' figures
	$(PYTHON) scripts/profiles.py

deny: ## Hold all dependencies to deny.toml: licences, sources, known vulnerabilities; needs cargo-deny
	@command -v cargo-deny >/dev/null || { \
		echo 'cargo-deny is missing; cargo install cargo-deny --locked takes minutes' >&2; exit 1; }
	$(CARGO) deny check

fuzz: ## Fuzz whatever users hand in, FUZZ_SECONDS=10 a target; builds it first, for minutes
	@sh scripts/setup.sh c++
	@sh scripts/fuzz.sh

golden: ## Make the golden files of tests/ anew, with PyTorch
	$(PYTHON) tests/golden/make_golden.py
	$(PYTHON) tests/golden/make_cases.py

clean: ## Remove what was built; runs/ is kept
	$(CARGO) clean
