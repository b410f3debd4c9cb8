# Targets to build, try, check and measure Reloader. `make` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# The version is part of the folder, so that a new one is compiled.
CARGO_DENY_VERSION := 0.20.2
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/reloader-tools
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

CARGO_AUDITABLE_VERSION := 0.7.7
CARGO_AUDITABLE := $(TOOLS)/cargo-auditable-$(CARGO_AUDITABLE_VERSION)/bin/cargo-auditable
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_CYCLONEDX := $(TOOLS)/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx

MDBOOK_VERSION := 0.5.4
MDBOOK := $(TOOLS)/mdbook-$(MDBOOK_VERSION)/bin/mdbook
# Neither its server nor its watcher, which bring most of its dependencies.
$(MDBOOK): FEATURES := --no-default-features --features search

ACTIONLINT_VERSION := 1.7.12
ACTIONLINT := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)/actionlint

# It brings hundreds of modules that nothing else needs, so only the release compiles it.
COSIGN_VERSION := 3.1.3
COSIGN := $(TOOLS)/cosign-$(COSIGN_VERSION)/cosign

# What `make program` and `make image` build: for this computer's processor.
STATIC_TARGET := $(shell uname -m)-unknown-linux-musl
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)

# Tests against a control plane wait more than they compute, so more of them run than there are cores.
TEST_THREADS ?= 3

##@ Try it

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Watch it work on a real API server on this computer; KEEP=1 stays up at the end, for kubectl
	cargo build
	cargo run --example demo

.PHONY: control-plane
control-plane: ## Build a Kubernetes control plane for this computer; `cargo run -p testbed -- up` starts one
	cargo run --package testbed -- build

##@ Check it

.PHONY: test
test: ## Run every test, those against a real API server included
	@echo "The control plane's programs and the tools (compiled once, about ten minutes on two cores):"
	cargo run --package testbed -- build
	cargo run --package testbed -- tools
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace

# Test targets that need neither a control plane nor the chart's tools.
QUICK_TESTS := --test ci --test compatibility --test layering --test readme --test words

.PHONY: test-unit
test-unit: ## Run the tests that need no control plane; half a minute once compiled
	cargo test --workspace --lib --bins $(QUICK_TESTS) --test release --test publish
	cargo test --workspace --doc

.PHONY: test-fast
test-fast: ## Run unit tests and one file of tests/integration, ONLY=pause; under two minutes once compiled
	cargo test --lib $(QUICK_TESTS)
ifdef ONLY
	cargo run --package testbed -- build
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --test integration -- $(ONLY)::
endif

.PHONY: integration-test
integration-test: ## Test the program and the testbed against a real API server
	cargo run --package testbed -- build
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --test integration
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --package testbed --test '*'

# SEEDS=200000: so many instead, from FIRST=1 on or new ones; SEED=7: that one alone; PLAN=FILE: that plan alone.
SIMULATE := cargo run --quiet --profile simulation --package simulation --bin simulate --

.PHONY: simulate
simulate: ## Play random clusters, users and faults for two minutes in virtual time; SEEDS=, SEED= or PLAN= to choose
	$(SIMULATE) $(if $(SEEDS),--seeds=$(SEEDS)) $(if $(FIRST),--first=$(FIRST)) $(if $(SEED),--seed=$(SEED) --shrink) $(if $(PLAN),--plan=$(PLAN) --logs)

.PHONY: crash-table
crash-table: ## Kill the leader at each of its calls, before, in and after it, and print what came of it
	$(SIMULATE) --crash-table

.PHONY: seeded-defects
seeded-defects: ## Take one safeguard after the other out of a copy of the controller: does `make simulate` notice?
	simulation/defects.sh $(NAMES)

.PHONY: chart-test
chart-test: ## Test the Helm chart and the plain manifests; two minutes once Helm and the control plane are compiled
	cargo run --package testbed -- tools
	cargo test --test chart

.PHONY: install-test
install-test: ## Install, upgrade and remove the chart for real, run the commands of the docs and the load test on a cluster; Linux, as root or with user namespaces
	cargo run --package testbed -- build
	cargo run --package testbed -- tools
	cargo test --test install
	cargo test --package loadtest --test '*'

.PHONY: alerts-test
alerts-test: ## Test the chart's alerts and the expressions of its dashboard
	cargo test --test chart alerts

.PHONY: lint
lint: lint-code book deny ## Check format, lints, documentation, workflows and dependencies

# Private items are documented too, so links to them work.
RUSTDOC_LINTS := -D warnings -A rustdoc::private_intra_doc_links

.PHONY: lint-code
lint-code: $(ACTIONLINT) ## Check format, lints, documentation and workflows
	cargo fmt --all --check
	$(ACTIONLINT)
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="$(RUSTDOC_LINTS)" cargo doc --workspace --no-deps --document-private-items

# The commands are released for Windows, too; the controller refuses to run there.
.PHONY: check-windows
check-windows: ## Check that the program compiles for Windows; needs mingw's compiler
	@command -v x86_64-w64-mingw32-gcc >/dev/null || { echo "check-windows: install gcc-mingw-w64-x86-64" >&2; exit 1; }
	rustup target add x86_64-pc-windows-gnu
	cargo check --locked --bin reloader --target x86_64-pc-windows-gnu

.PHONY: book
book: $(MDBOOK) ## Build the documentation as a book, target/book/html, and check its links
	.ci/book $(MDBOOK)

.PHONY: deny
deny: $(CARGO_DENY) ## Check licences, sources, advisories and duplicates of dependencies
	$(CARGO_DENY) --workspace check bans licenses sources
	@if timeout 120 $(CARGO_DENY) --workspace fetch db; then \
		$(CARGO_DENY) --workspace check advisories; \
	else \
		echo "lint: WARNING: advisories were not checked, because their database could not be fetched" >&2; \
	fi

# Without optimisation: they compile several times faster and still do their work in seconds.
$(CARGO_DENY) $(CARGO_AUDITABLE) $(CARGO_CYCLONEDX) $(MDBOOK):
	@echo "Compiling $(@F), once, into $(TOOLS)"
	cargo install --locked --debug $(FEATURES) $(subst $(@F)-,$(@F)@,$(notdir $(patsubst %/bin/$(@F),%,$@))) --root $(patsubst %/bin/$(@F),%,$@)

$(ACTIONLINT):
	@echo "Compiling actionlint $(ACTIONLINT_VERSION), once, into $(TOOLS)"
	GOBIN=$(dir $(ACTIONLINT)) go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)

##@ Release it

.PHONY: manifests
manifests: ## Generate the plain manifests from the chart; `make chart-test` fails when they are out of date
	deployments/generate.sh "$$(cargo run --quiet --package testbed -- tools | sed -n 1p)"

.PHONY: program
program: $(CARGO_AUDITABLE) ## Build the static program of the image, with the list of its crates in it; needs musl's compiler
	@command -v musl-gcc >/dev/null || { echo "program: musl-gcc is missing; install musl-tools" >&2; exit 1; }
	rustup target add $(STATIC_TARGET)
	PATH="$(dir $(CARGO_AUDITABLE)):$$PATH" \
		RELOADER_COMMIT_HASH="$$(git rev-parse HEAD)" RELOADER_COMMIT_TIME="$$(git log -1 --format=%cI)" \
		cargo auditable build --release --locked --bin reloader --target $(STATIC_TARGET)

.PHONY: man
man: ## Write the manual pages of the program and its commands to target/man
	cargo run --quiet --locked --package man -- target/man

.PHONY: image
image: ## Build the image with docker, podman or buildah; PROGRAM=FILE (of `make program`) needs no base image
	.ci/image

.PHONY: image-check
image-check: ## Check the image: user, labels, files, that it runs; without root some checks are skipped
	.ci/image-check target/image/reloader-$(ARCHITECTURE).oci.tar

.PHONY: sbom
sbom: $(CARGO_CYCLONEDX) ## Write the bill of materials (CycloneDX) to target/sbom and check it
	.ci/sbom $(CARGO_CYCLONEDX) target/sbom/reloader.cdx.json

.PHONY: cosign cosign-path
cosign: $(COSIGN) ## Compile cosign, which signs releases
cosign-path:
	@echo $(COSIGN)

$(COSIGN):
	@echo "Compiling cosign $(COSIGN_VERSION), once, into $(TOOLS)"
	GOBIN=$(dir $(COSIGN)) go install github.com/sigstore/cosign/v3/cmd/cosign@v$(COSIGN_VERSION)

.PHONY: release-check
release-check: ## Check that this checkout can be released as the version in Cargo.toml
	.ci/release-check

##@ Measure it

.PHONY: bench
bench: ## Measure: speed of the pure parts, then everything on a real API server; about 20 minutes once compiled, see loadtest/README.md
	cargo bench --benches
	cargo build --release
	cargo run --release --package loadtest

# A cluster of its own, with a kubeconfig of its own: the user's is not written.
KIND ?= kind
KIND_CLUSTER := reloader-bench
KIND_KUBECONFIG := target/bench-kind.kubeconfig

.PHONY: bench-kind
bench-kind: ## Measure on a cluster that kind makes and deletes; needs docker, kind and helm; IMAGE=NAME takes a ready image, BENCH=FLAGS goes to the load test
	@for program in docker helm $(KIND); do \
		command -v "$$program" >/dev/null || { echo "bench-kind: $$program is missing; install it" >&2; exit 1; }; \
	done
	@! $(KIND) get clusters | grep --quiet --line-regexp $(KIND_CLUSTER) || { \
		echo "bench-kind: a cluster $(KIND_CLUSTER) is there, of another run or of yours; \`$(KIND) delete cluster --name $(KIND_CLUSTER)\` removes it" >&2; exit 1; }
	$(if $(IMAGE),,.ci/image --load --tag reloader:bench)
	cargo build --release --package loadtest
	mkdir -p target
	trap '$(KIND) delete cluster --name $(KIND_CLUSTER) --kubeconfig $(KIND_KUBECONFIG)' EXIT; \
	$(KIND) create cluster --name $(KIND_CLUSTER) --kubeconfig $(KIND_KUBECONFIG) --config loadtest/kind.yaml --wait 3m; \
	$(KIND) load docker-image $(or $(IMAGE),reloader:bench) --name $(KIND_CLUSTER); \
	cargo run --release --package loadtest -- --kubeconfig $(KIND_KUBECONFIG) --image $(or $(IMAGE),reloader:bench) $(BENCH)

##@ Clean up

.PHONY: clean
clean: ## Delete build output; compiled tools and the control plane stay
	cargo clean
