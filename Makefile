# tattled: everything that is done to it. `make` alone says what there is.
SHELL        := /bin/bash
.SHELLFLAGS  := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell packaging/version)
FUZZTIME ?= 30s
KILLS    ?= 200
BUSY     ?= 2m
ROUNDS   ?= 2000

# -buildvcs=false: the version is put in here, and git refuses to describe a tree that belongs to somebody else.
BUILD    := go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'
TOOL     := go tool -modfile=tools/go.mod
SCRIPTS  := $(shell grep -rlE '^\#!(/bin/sh|/bin/bash|/usr/bin/env bash)' .ci bench e2e packaging tools 2>/dev/null) $(wildcard e2e/*.sh)

.PHONY: help build run test lint dashboard bench fuzz crash chaos attack nightly deb e2e clean

help: ## what there is
	@echo 'tattled: a log record is received, an event is detected in it, judged, stored, and reported.'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'The first two install missing prerequisites (Debian, Ubuntu; as root). See also: README.md, CONTRIBUTING.md.'

run: build ## build and run it here: dry-run, page on http://127.0.0.1:9817, syslog on 127.0.0.1:5514, state in ./var
	@mkdir -p var
	@if bin/tattled-journal --no-follow --since "@$$(date +%s)" > /dev/null 2>&1; then cat packaging/quickstart.yaml; \
	else sed 's|^  journal: .*|  files: [{path: /var/log/auth.log}]|' packaging/quickstart.yaml; fi > var/quickstart.yaml
	bin/tattled run --config var/quickstart.yaml

test: ## the whole test suite, with the race detector
	@tools/need test
	go test -race -timeout 40m ./...
	cd tools/dashboard && go test ./...

lint: ## golangci-lint (.golangci.yml says why which), shellcheck
	@tools/need lint
	$(TOOL) golangci-lint run
	cd tools/dashboard && go tool -modfile=../go.mod golangci-lint run
	shellcheck -x $(SCRIPTS)

dashboard: ## write the dashboards for Grafana, fill them from a real Prometheus for BUSY (2m), and draw docs/grafana-*.png
	@tools/need test
	@mkdir -p bin
	cd tools/dashboard && go run . write ../../packaging/grafana && go test ./...
	go test ./cmd/tattled -run TestDashboards -count=1 -v -dashboard.for=$(BUSY) -dashboard.answers='$(CURDIR)/bin/answers.json'
	cd tools/dashboard && go run . draw -answers ../../bin/answers.json -folder ../../docs

bench: build ## lines per second of each stage, and detection against a hand-written floor and the installed peers
	go test -run '^$$' -bench . -benchmem ./receiver/... ./detect/... ./store/... ./daemon/...
	bench/run

fuzz: ## every fuzz target for FUZZTIME (30s)
	@tools/need test
	tools/fuzz $(FUZZTIME)

crash: ## kill -9 the daemon KILLS times (200) and judge the books
	@tools/need test
	go test ./cmd/tattled -run TestCrash -count=1 -v -timeout 30m -crash.kills=$(KILLS)

chaos: ## ROUNDS (2000) lives of a reporting process under random faults of the API, kill -9 and wrong clocks, and judge its file and the double's
	@tools/need test
	go test ./report -run TestChaosCampaign -count=1 -v -timeout 60m -parallel 4 -chaos.rounds=$(ROUNDS)

attack: ## attack real daemons with hostile values and see whom that has reported (root; 2 GB below TMPDIR)
	e2e/attack/run

nightly: ## everything in its full form, for hours, and the figures into docs/reliability.md (root; tools/nightly has the knobs: SOAK=24h ...)
	tools/nightly

deb: build ## dist/tattled_VERSION_ARCH.deb
	packaging/build-deb '$(VERSION)'

e2e: ## install the .deb on a booted Debian, attack it, upgrade it, purge it (root; 0.6 GB below TMPDIR)
	e2e/run
	SET_UP=1 e2e/systemd

clean: ## remove what was built, and the state of `make run`
	rm -rf bin dist var

build: ## the three programs, into bin/
	@tools/need build
	CGO_ENABLED=0 $(BUILD) -o bin/tattled ./cmd/tattled
	CGO_ENABLED=0 $(BUILD) -o bin/abuseipdb-double ./cmd/abuseipdb-double
	CGO_ENABLED=1 $(BUILD) -o bin/tattled-journal ./cmd/tattled-journal
