# The ways to build, try, check and measure Reloader. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# A changed version is built anew: the folder carries it.
CARGO_DENY_VERSION := 0.20.2
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/reloader-tools
CARGO_DENY := $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

ACTIONLINT_VERSION := 1.7.12
ACTIONLINT := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)/actionlint

# Tests against a control plane wait far more than they compute: more of them at once than there are cores.
TEST_THREADS ?= 3

##@ Try it

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	@echo "The control plane's programs (compiled once, about six minutes on two cores):"
	cargo run --package testbed -- build
	cargo run --package testbed -- tools
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but this computer's processor
	cargo test --lib

.PHONY: chart-test
chart-test: ## Test the Helm chart and the plain manifests; two minutes once Helm and the control plane are compiled
	cargo run --package testbed -- tools
	cargo test --test chart

.PHONY: install-test
install-test: ## Install, upgrade and remove the chart for real; Linux, as root or with user namespaces; a minute once compiled
	cargo run --package testbed -- build
	cargo run --package testbed -- tools
	cargo test --test install

.PHONY: alerts-test
alerts-test: ## Test the chart's alerts; needs promtool, which comes with Prometheus
	@command -v promtool >/dev/null || { echo "alerts-test: promtool is missing; install Prometheus (Debian: apt install prometheus)" >&2; exit 1; }
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	"$$(cargo run --quiet --package testbed -- tools | sed -n 1p)" template reloader charts/reloader --namespace tools \
		--set prometheusRule.enabled=true,prometheusRule.renderMode=alwaysRender \
		--show-only templates/prometheusrule.yaml | sed '1,/^spec:/d; s/^  //' > "$$folder/rules.yaml"; \
	cp charts/reloader/tests/alerts/alerts.test.yaml "$$folder"; \
	promtool check rules "$$folder/rules.yaml"; \
	promtool test rules "$$folder/alerts.test.yaml"

.PHONY: lint
lint: $(CARGO_DENY) $(ACTIONLINT) ## Check format, lints, workflows, licences, advisories and duplicate dependencies
	cargo fmt --all --check
	$(ACTIONLINT)
	cargo clippy --workspace --all-targets -- -D warnings
	$(CARGO_DENY) --workspace check bans licenses sources
	@if timeout 120 $(CARGO_DENY) --workspace fetch db; then \
		$(CARGO_DENY) --workspace check advisories; \
	else \
		echo "lint: WARNING: advisories were not checked, because their database could not be fetched" >&2; \
	fi

# Without optimisation: it compiles several times faster and still checks in a second.
$(CARGO_DENY):
	@echo "Compiling cargo-deny $(CARGO_DENY_VERSION), once, into $(TOOLS)"
	cargo install --locked --debug cargo-deny@$(CARGO_DENY_VERSION) --root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)

$(ACTIONLINT):
	@echo "Compiling actionlint $(ACTIONLINT_VERSION), once, into $(TOOLS)"
	GOBIN=$(dir $(ACTIONLINT)) go install github.com/rhysd/actionlint/cmd/actionlint@v$(ACTIONLINT_VERSION)

##@ Release it

.PHONY: manifests
manifests: ## Write the plain manifests anew from the chart; `make chart-test` tells when that is due
	deployments/generate.sh "$$(cargo run --quiet --package testbed -- tools | sed -n 1p)"

.PHONY: release-check
release-check: ## Check that what is checked out can be released as the version in Cargo.toml
	.ci/release-check

##@ Measure it

.PHONY: bench
bench: ## Measure: speed of the pure parts, then everything on a real API server; about 15 minutes, see loadtest/README.md
	cargo bench --benches
	cargo build --release
	cargo run --release --package loadtest

##@ Clean up

.PHONY: clean
clean: ## Delete what the builds of this folder left; compiled tools and control plane stay
	cargo clean
