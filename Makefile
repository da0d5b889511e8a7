# Every target is described on its own line; "make" prints the list.
# Nothing here is needed to use Troupe: "go run ./cmd/troupe dev" and
# "go test ./..." work without it.

SHELL      := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ARGS     ?=
FUZZTIME ?= 20s

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## Run a node on this machine with the weather workflow; ARGS="--port 9000"
	go run ./cmd/troupe dev $(ARGS)

.PHONY: test
test: ## Run all tests
	go test ./...

.PHONY: race
race: ## Run all tests under the race detector
	go test -race ./...

.PHONY: cover
cover: ## Measure test coverage; writes coverage.html
	go test -coverprofile=coverage.out -coverpkg=./... ./...
	go tool cover -html=coverage.out -o coverage.html
	go tool cover -func=coverage.out | tail -1

.PHONY: fuzz
fuzz: ## Fuzz every fuzz test for a while; FUZZTIME=20s each
	@grep -rn --include='*_test.go' '^func Fuzz' . | \
	sed -E 's|^(.*)/[^/]+:[0-9]+:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | sort | \
	while read -r dir name; do \
		echo "== $$dir $$name"; \
		go test -C "$$dir" -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) . </dev/null; \
	done

.PHONY: bench
bench: ## Measure beside the other systems, minutes; ARGS="-workloads L1,L4a -rounds 3"
	cd bench && go run . $(ARGS)

.PHONY: lint
lint: bin/golangci-lint ## Run the linters (the first run builds them: minutes)
	bin/golangci-lint run ./...
	cd bench && ../bin/golangci-lint run ./...
	cd tools && ../bin/golangci-lint run ./testsummary/...

.PHONY: fmt
fmt: bin/golangci-lint ## Format all Go code
	bin/golangci-lint fmt ./...
	cd bench && ../bin/golangci-lint fmt ./...
	cd tools && ../bin/golangci-lint fmt ./testsummary/...

.PHONY: ci
ci: ## Do all that continuous integration does
	.ci/run

bin/golangci-lint: tools/go.mod tools/go.sum
	go build -C tools -o ../bin/ tool
	@touch $@
