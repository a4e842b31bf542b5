# Everything a person or a CI needs. Each target installs or builds what it needs and is missing, and does nothing twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
IMAGE ?= stackwarden:$(VERSION)
STAND_INS := compose/stand-ins
# Without buildx the classic builder serves; it leaves the container of a failed build behind unless told not to.
BUILD := $(if $(shell docker buildx version 2>/dev/null),docker build,DOCKER_BUILDKIT=0 docker build --force-rm)
ARGUMENTS := --build-arg VERSION=$(VERSION) $(if $(CARGO_BUILD_JOBS),--build-arg CARGO_BUILD_JOBS=$(CARGO_BUILD_JOBS))
SCRIPTS := compose/demo $(STAND_INS)/tools $(STAND_INS)/images $(STAND_INS)/debian.sh $(wildcard $(STAND_INS)/*/*.sh) .ci/run tests/engines tests/engine-restart

.PHONY: help tools images image image-with-clients api-image demo demo-down test lint check bench engines stores

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

tools: ## Compose v2, promtool and small programs, where they are missing
	@$(STAND_INS)/tools

images: ## Images of the demo and the tests: pulled, or built as stand-ins
	@$(STAND_INS)/images

image: tools ## The product's image: make image IMAGE=name
	@$(STAND_INS)/images rust:1.95-slim-bookworm
	$(BUILD) --target standard $(ARGUMENTS) -t $(IMAGE) .

image-with-clients: tools ## The same with PostgreSQL's programs, for databases outside the stack
	@$(STAND_INS)/images rust:1.95-slim-bookworm debian:trixie-slim
	$(BUILD) --target with-clients $(ARGUMENTS) -t $(IMAGE)-with-clients .

demo: tools images image ## Two stacks behind Traefik; ends with the first proven backups
	@[ "$(IMAGE)" = "stackwarden:$(VERSION)" ] || docker tag $(IMAGE) stackwarden:$(VERSION)
	@STACKWARDEN_TAG=$(VERSION) compose/demo

demo-down: ## Removes all that the demo made, its volumes and backups too
	@compose/demo down

api-image: tools images ## The demo's api, which the gate's tests migrate
	$(BUILD) -q -t recyclic-api:demo compose/api

test: tools images image api-image ## Every test, with real servers
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked; else cargo test --locked; fi

lint: tools ## Format, clippy, alert rules, compose files, scripts
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	promtool check rules dashboards/alerts.yml
	promtool test rules dashboards/alerts_test.yml
	docker compose -f compose/docker-compose.edge.yml config -q
	docker compose --env-file compose/.env.production -f compose/docker-compose.prod.yml config -q
	docker compose --env-file compose/.env.staging -f compose/docker-compose.staging.yml config -q
	@for script in $(SCRIPTS); do bash -n "$$script"; done

check: lint test ## What CI runs: lint, then every test

bench: tools images image ## Measures against the bars of the contract: PostgreSQL 17 and 15, 1.5 and 6 GB, 10 000 tables; corrupts 1 000 backups
	@. $(STAND_INS)/debian.sh; need wrk wrk
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/bench.py --postgres 17 --readers
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/bench.py --postgres 15
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/bench.py --tables 10000
	@$(STAND_INS)/images stackwarden-test/ceph:rgw
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/bench.py --bucket
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/bench.py --rows 24 --rounds 1
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/bench.py --rows 24 --rounds 1 --bucket
	STACKWARDEN_IMAGE=$(IMAGE) tests/bench/corruptions.py

stores: tools images image ## Copies in other S3 servers: Ceph's gateway with rights, locks and a wrong clock; Garage; rclone, which lies
	@$(STAND_INS)/images stackwarden-test/ceph:rgw stackwarden-test/rclone:s3 dxflrs/garage:v2.5.0
	cargo test --locked --bench stores

engines: tools images image api-image ## The end-to-end tests on another Docker Engine (28.5) and Compose (2.40), and one that is restarted
	@tests/engine-restart
	@tests/engines
