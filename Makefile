SHELL := bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMPOSE  = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
BENCH   ?=
ARGS    ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## bin/millrace
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/millrace ./cmd/millrace

.PHONY: run
run: build ## everything in one process: millrace up (more flags in ARGS)
	@exec bin/millrace up $(ARGS)

.PHONY: test
test: ## every test this machine can run, real servers included
	@scripts/test

.PHONY: test-race
test-race: ## unit and contract suites under the race detector
	@scripts/test race

.PHONY: mutants
mutants: ## mistakes put into the machinery, and the check that catches each (-only NAME in ARGS)
	@scripts/mutants $(ARGS)

.PHONY: lint
lint: ## golangci-lint (its first build takes minutes), and shellcheck where there is one
	go tool -modfile=tools.mod golangci-lint run ./...
	@if command -v shellcheck >/dev/null; then shellcheck -x scripts/infra scripts/infra.d/*.sh scripts/test scripts/mutants scripts/verify .ci/run; fi

.PHONY: verify
verify: ## generated files are fresh
	@scripts/verify

.PHONY: bench
bench: build ## Millrace and its peers on real servers, some 35 minutes (flags in BENCH)
	cd bench && go run ./cmd/bench $(BENCH)

.PHONY: bench-quick
bench-quick: build ## the same in one small round, under 3 minutes
	cd bench && go run ./cmd/bench -quick $(BENCH)

.PHONY: chaos
chaos: ## break it and compare all books: STACK=embedded|real SEED= DURATION=3m FAULTS= CORPUS= LIST=yes
	@mkdir -p bin
	@go build -o bin/chaos ./tests/chaos
	@bin/chaos $(if $(LIST),-list) $(if $(STACK),-stack $(STACK)) $(if $(SEED),-seed $(SEED)) $(if $(DURATION),-duration $(DURATION)) $(if $(FAULTS),-faults $(FAULTS)) $(if $(REPORT),-report $(REPORT)) $(if $(CORPUS),-corpus $(CORPUS)) $(if $(KEEP),-keep)

.PHONY: infra-up
infra-up: ## PostgreSQL, Kafka and Redis on loopback; addresses in .infra/env
	@scripts/infra up

.PHONY: infra-down
infra-down: ## end them, and remove their data
	@scripts/infra down

.PHONY: up
up: ## the six services and their servers in containers
	$(COMPOSE) up -d --build

.PHONY: down
down: ## end the containers; their volumes stay
	$(COMPOSE) down

.PHONY: logs
logs: ## follow what the containers log
	$(COMPOSE) logs -f --tail 100

.PHONY: seed
seed: ## catalog and stock into the containers' database
	$(COMPOSE) run --rm seed
